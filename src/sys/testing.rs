//! What tests ask the system that the program never does.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

/// Sends a signal to one thread.
pub(crate) fn interrupt<T>(thread: &JoinHandle<T>, number: i32) {
    // SAFETY: the thread has neither been joined nor detached, since its handle is there.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), number) };
}

/// Segments with data that a TCP socket has received, as Linux's tcp_info counts them (`tcpi_data_segs_in`).
pub(crate) fn data_segments_received(socket: BorrowedFd<'_>) -> u32 {
    const DATA_SEGMENTS_IN: usize = 152;
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is that long.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    assert!(result == 0 && length as usize >= DATA_SEGMENTS_IN + 4);
    u32::from_ne_bytes(info[DATA_SEGMENTS_IN..DATA_SEGMENTS_IN + 4].try_into().unwrap())
}

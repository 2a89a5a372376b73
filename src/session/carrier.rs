//! What holds bytes in transit: a leased buffer, or a leased kernel pipe for bytes that nobody looks at.
//!
//! Both are leased while there is something in them, so an idle direction owns neither. A kernel pipe goes back to its
//! pool only when it is empty: one that is dropped with bytes inside is closed, or the next session would get them.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use crate::buffer::{Lease, Pool};
use crate::layer::tls;
use crate::sys;

/// Where carriers come from: one for all sessions of a shard.
#[derive(Debug)]
pub struct Pools {
    buffers: Rc<Pool>,
    /// The same pool unless its buffers are very large.
    segments: Rc<Pool>,
    /// What layers use that ask for much.
    seams: Rc<Pool>,
    pipes: Rc<PipePool>,
}

impl Pools {
    /// Pools of buffers of `buffer` bytes and kernel pipes of `pipe` bytes.
    pub fn new(buffer: usize, pipe: usize) -> Rc<Self> {
        Pools::with_least(buffer, pipe, SHORT_PIPE)
    }

    /// The same for many sessions at once, on one of `shards` threads: the first few kernel pipes that are lent at a
    /// time have `long` bytes. A fill that takes more costs less, but all pipes of a user have a limit (pipe(7),
    /// /proc/sys/fs/pipe-user-pages-soft).
    pub fn with_some_long(buffer: usize, pipe: usize, long: usize, shards: usize) -> Rc<Self> {
        let (long, most_long) = (long.max(pipe), (LONG / shards.max(1)).max(1));
        Pools::made(buffer, PipePool { long, most_long, ..PipePool::new(pipe, SHORT_PIPE) })
    }

    fn with_least(buffer: usize, pipe: usize, least: usize) -> Rc<Self> {
        Pools::made(buffer, PipePool::new(pipe, least))
    }

    fn made(buffer: usize, pipes: PipePool) -> Rc<Self> {
        let buffers = Pool::new(buffer);
        let segments = if buffer > SEGMENT { Pool::new(SEGMENT) } else { Rc::clone(&buffers) };
        Rc::new(Pools { buffers, segments, seams: Pool::new(tls::SEAM), pipes: Rc::new(pipes) })
    }

    /// Pools whose kernel pipes all come out too short.
    #[cfg(test)]
    pub fn with_short_pipes(buffer: usize) -> Rc<Self> {
        Pools::with_least(buffer, SHORT_PIPE, usize::MAX)
    }

    /// Lends an empty buffer.
    pub fn buffer(&self) -> Lease {
        self.buffers.lease()
    }

    /// Lends an empty buffer that is no larger than a queue of many wants them.
    pub fn segment(&self) -> Lease {
        self.segments.lease()
    }

    /// How much such a one holds.
    pub fn segment_size(&self) -> usize {
        self.segments.capacity()
    }

    /// Where the layers of an end may borrow from.
    pub fn seams(&self) -> &Rc<Pool> {
        &self.seams
    }

    /// Lends an empty kernel pipe.
    ///
    /// # Errors
    /// EMFILE, ENFILE; `Unsupported` where there are none, or where the kernel has only tiny ones left to give
    /// (pipe(7), /proc/sys/fs/pipe-user-pages-soft): a buffer is faster than those.
    pub fn pipe(&self) -> io::Result<KernelPipe> {
        let pool = &self.pipes;
        let lend = |ends, is_long| KernelPipe { ends: Some(ends), is_long, held: 0, pool: Rc::clone(pool) };
        let idle = [&pool.free_long, &pool.free].into_iter().enumerate();
        for (index, free) in idle {
            if let Some(ends) = free.borrow_mut().pop() {
                return Ok(lend(ends, index == 0));
            }
        }
        let is_long = pool.long > pool.size && pool.longs.get() < pool.most_long;
        let (read, write, capacity) = sys::kernel_pipe(if is_long { pool.long } else { pool.size })?;
        if capacity < pool.least {
            return Err(io::ErrorKind::Unsupported.into());
        }
        pool.longs.set(pool.longs.get() + usize::from(is_long));
        Ok(lend((read, write), is_long))
    }

    /// What one splice may ask for, whichever pipe it is.
    pub fn pipe_size(&self) -> usize {
        self.pipes.size
    }
}

#[derive(Debug)]
struct PipePool {
    size: usize,
    /// The size of the first few.
    long: usize,
    most_long: usize,
    /// A pipe with less than this is not lent.
    least: usize,
    /// How many of the long ones there are, lent or not.
    longs: Cell<usize>,
    /// Invariant: every pipe here is empty; so it is with the long ones.
    free: RefCell<Vec<(OwnedFd, OwnedFd)>>,
    free_long: RefCell<Vec<(OwnedFd, OwnedFd)>>,
}

impl PipePool {
    fn new(size: usize, least: usize) -> Self {
        let (longs, free, free_long) = (Cell::new(0), RefCell::default(), RefCell::default());
        PipePool { size, long: size, most_long: 0, least, longs, free, free_long }
    }
}

/// A kernel pipe on loan, filled and drained by splice.
#[derive(Debug)]
pub struct KernelPipe {
    /// Read end, write end. Invariant: `Some` until drop.
    ends: Option<(OwnedFd, OwnedFd)>,
    is_long: bool,
    /// Bytes inside. No bound: a slot may hold more than a page.
    held: usize,
    pool: Rc<PipePool>,
}

impl KernelPipe {
    /// Bytes inside.
    pub fn held(&self) -> usize {
        self.held
    }

    /// What one splice may ask for.
    pub fn size(&self) -> usize {
        if self.is_long { self.pool.long } else { self.pool.size }
    }

    /// Moves bytes in; only while it is empty, so that WouldBlock can only mean the source. `Ok(0)` is end of file.
    ///
    /// # Errors
    /// What splice(2) says.
    pub fn fill(&mut self, from: impl AsFd, most: usize) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a kernel pipe is filled only when it is empty");
        let Some((_, write)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let count = sys::splice(from.as_fd(), write.as_fd(), most)?;
        self.held += count;
        Ok(count)
    }

    /// Moves bytes out.
    ///
    /// # Errors
    /// What splice(2) says; WouldBlock can only mean the sink.
    pub fn drain(&mut self, to: impl AsFd, most: usize) -> io::Result<usize> {
        let Some((read, _)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let count = sys::splice(read.as_fd(), to.as_fd(), most.min(self.held))?;
        self.held -= count.min(self.held);
        Ok(count)
    }

    /// Gives what is inside to another pipe as well, from its front on.
    ///
    /// # Errors
    /// What tee(2) says; WouldBlock can only mean the sink.
    pub fn duplicate(&self, to: impl AsFd, most: usize) -> io::Result<usize> {
        let Some((read, _)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        sys::tee(read.as_fd(), to.as_fd(), most.min(self.held))
    }

    /// Takes bytes out into memory, for a sink that refuses splice.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((read, _)) = &self.ends else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let count = sys::read(read.as_fd(), buffer)?;
        self.held -= count.min(self.held);
        Ok(count)
    }
}

impl Drop for KernelPipe {
    fn drop(&mut self) {
        let mut free = if self.is_long { &self.pool.free_long } else { &self.pool.free }.borrow_mut();
        if self.held == 0
            && free.len() < KEPT
            && let Some(ends) = self.ends.take()
        {
            free.push(ends);
        } else if self.is_long {
            self.pool.longs.set(self.pool.longs.get() - 1);
        }
    }
}

/// The largest segment: a queue that holds as many bytes as one buffer still has room at its end.
const SEGMENT: usize = 64 * 1024;

/// A pipe with less than this is slower than a buffer.
const SHORT_PIPE: usize = 64 * 1024;

/// Long kernel pipes at a time: with 1 MiB each a quarter of what a user may have, and as many as may be kept.
const LONG: usize = KEPT;

/// Empty pipes kept for the next lease; each costs two descriptors.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_pipe_with_bytes_inside_never_reaches_the_next_session() {
        if !sys::SPLICE {
            return;
        }
        let pools = Pools::new(1024, 65536);
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"secret").unwrap();
        let mut pipe = pools.pipe().unwrap();
        assert_eq!(pipe.fill(&reader, 100).unwrap(), 6);
        drop(pipe);
        assert!(pools.pipes.free.borrow().is_empty());
    }

    #[test]
    fn only_the_first_pipes_at_a_time_are_long() {
        if !sys::SPLICE {
            return;
        }
        let pools = Pools::with_some_long(1024, 65536, 1 << 17, 1);
        let lent: Vec<_> = (0..LONG + 2).map(|_| pools.pipe().unwrap()).collect();
        assert!(lent[..LONG].iter().all(|pipe| pipe.size() == 1 << 17));
        assert!(lent[LONG..].iter().all(|pipe| pipe.size() == 65536));
        drop(lent);
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"lost with its session").unwrap();
        let mut first = pools.pipe().unwrap();
        assert_eq!(first.size(), 1 << 17);
        first.fill(&reader, 5).unwrap();
        drop(first);
        assert_eq!(pools.pipes.longs.get(), LONG - 1);
        let again: Vec<_> = (0..LONG).map(|_| pools.pipe().unwrap()).collect();
        assert_eq!(again.iter().filter(|pipe| pipe.size() == 1 << 17).count(), LONG - 1);
    }

    #[test]
    fn an_empty_pipe_is_lent_again() {
        if !sys::SPLICE {
            return;
        }
        let pools = Pools::new(1024, 65536);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (mut sink, into) = std::io::pipe().unwrap();
        writer.write_all(b"through").unwrap();
        let mut pipe = pools.pipe().unwrap();
        pipe.fill(&reader, 100).unwrap();
        assert_eq!(pipe.drain(&into, 100).unwrap(), 7);
        drop((pipe, into));
        assert_eq!(pools.pipes.free.borrow().len(), 1);
        let mut got = String::new();
        sink.read_to_string(&mut got).unwrap();
        assert_eq!(got, "through");
    }
}

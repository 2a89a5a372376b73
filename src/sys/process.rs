//! What all Unixes share about processes: signals, limits, and programs that are started.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// True if haul was started with this signal ignored (nohup, or in the background of a script).
pub fn is_signal_ignored(number: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value; sigaction with a null `act` only fills `old`.
    let old = unsafe {
        let mut old: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &raw mut old) != 0 {
            return false;
        }
        old
    };
    old.sa_sigaction == libc::SIG_IGN
}

/// Puts a signal that haul was started with ignored back to its default: an ignored SIGCHLD would lose every status.
pub fn heed(number: i32) {
    if is_signal_ignored(number) {
        // SAFETY: an all-zero sigaction is SIG_DFL with no flags; the pointer is to a local.
        unsafe {
            let action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(number, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Ignores a signal whose cause is an error of some call as well; children get its default back.
pub fn ignore(number: i32) {
    // SAFETY: signal takes numbers only; SIG_IGN is a disposition for every signal but two, which it refuses.
    unsafe { libc::signal(number, libc::SIG_IGN) };
}

/// Ends (or stops) the process by a signal's default action, as if no handler had ever been there.
pub fn raise_default(number: i32) {
    // SAFETY: an all-zero sigaction with SIG_DFL is valid; raise(3) and sigprocmask(2) take values and local pointers.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(number, &raw const action, std::ptr::null_mut());
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, number);
        libc::raise(number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// As long as this lives, the signals that end a program do so at once, whatever handlers there are: around a call that
/// may sleep for long before there is a loop that would hear of them. What was ignored stays ignored.
pub struct AtOnce(Vec<(i32, libc::sigaction)>);

impl AtOnce {
    /// Sets the handlers of SIGHUP, SIGINT and SIGTERM aside.
    pub fn begin() -> Self {
        let heeded =
            [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].into_iter().filter(|number| !is_signal_ignored(*number));
        let aside = heeded.filter_map(|number| {
            // SAFETY: all-zero sigactions are valid, SIG_DFL with no flags among them; the pointers are to locals.
            unsafe {
                let (action, mut before): (libc::sigaction, libc::sigaction) = (std::mem::zeroed(), std::mem::zeroed());
                (libc::sigaction(number, &raw const action, &raw mut before) == 0).then_some((number, before))
            }
        });
        AtOnce(aside.collect())
    }
}

impl Drop for AtOnce {
    fn drop(&mut self) {
        for (number, before) in &self.0 {
            // SAFETY: `before` is what sigaction itself has filled in for this very signal.
            unsafe { libc::sigaction(*number, std::ptr::from_ref(before), std::ptr::null_mut()) };
        }
    }
}

/// Raises RLIMIT_NOFILE to its hard limit; the soft limit before, for children.
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    STARTED_WITH.store(before.current.unwrap_or(0), Relaxed);
    if before.current != before.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }).ok()?;
    }
    before.current
}

/// How many descriptors this process may have.
pub fn descriptor_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Stops the process as SIGTSTP does by default; returns when it is continued, with the handler back in place.
pub fn stop_until_continued() {
    // SIGSTOP cannot be caught and has the same effect on a job as SIGTSTP's default action
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
}

/// Where a program named as in a shell would be started from: itself if it holds a slash, else the first executable
/// file of that name along PATH.
///
/// # Errors
/// ENOENT if there is none, EACCES if what is there cannot be executed, EISDIR for a directory.
pub fn find_program(name: &std::ffi::OsStr) -> io::Result<std::path::PathBuf> {
    use std::path::{Path, PathBuf};
    let check = |path: &Path| -> io::Result<()> {
        if std::fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?)
    };
    if name.as_encoded_bytes().contains(&b'/') {
        return check(Path::new(name)).map(|()| PathBuf::from(name));
    }
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let path = folder.join(name);
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => worst = error,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Keeps every descriptor but 0, 1 and 2 from a child, also those that our parent left open for us, and gives it the
/// descriptor limit back that haul was started with, and its signals at their defaults: what nohup(1) or a shell's `&`
/// made haul ignore would be ignored by the child, too, which could then not be told to end.
pub fn shed_descriptors(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let limit = STARTED_WITH.load(Relaxed);
    let prepare = move || {
        if limit != 0 {
            let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: both calls take a pointer to a local struct and keep nothing; they are async-signal-safe.
            unsafe {
                if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now) == 0 {
                    now.rlim_cur = limit as libc::rlim_t;
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const now);
                }
            }
        }
        super::close_on_exec_from(3);
        for number in 1..=MOST_SIGNALS {
            // SAFETY: signal takes numbers only and is async-signal-safe; for what cannot be changed it answers EINVAL.
            unsafe { libc::signal(number, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: `prepare` runs between fork and exec; it allocates nothing, takes no lock, and only makes system calls.
    unsafe { command.pre_exec(prepare) };
}

/// The highest number of a signal on the systems that haul knows.
const MOST_SIGNALS: i32 = 64;

/// Sends a signal to the process group that a child of ours leads.
pub fn signal_group(leader: u32, number: i32) {
    if let Ok(leader) = i32::try_from(leader)
        && leader > 1
    {
        // SAFETY: kill takes numbers only. The group is one that we made, and its leader is not reaped yet.
        unsafe { libc::kill(-leader, number) };
    }
}

/// The soft descriptor limit that haul was started with; 0 until it was raised.
static STARTED_WITH: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

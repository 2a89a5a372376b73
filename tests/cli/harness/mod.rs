//! What every test stands on: children with deadlines, sockets of our own at the other end, other people's tools.
//!
//! A wait has a deadline and ends by an event (a pipe, a pidfd, a socket). Where the kernel offers no event, only a
//! table in `/proc`, [`poll_until`] looks again after a short wait. On failure each child prints all about itself.

mod captured;
pub mod child;
pub mod ended;
pub mod link;
pub mod peer;
pub mod proc;
pub mod pty;
pub mod tmux;
pub mod tool;
pub mod zoo;

pub use child::{Input, Program, Running, Sink, haul};
pub use ended::Ended;
pub use link::{Net, Role, Way};
pub use peer::{Ending, Listener, Peer};
pub use proc::poll_until;
pub use tool::require;
pub use zoo::Zoo;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The longest that any single wait may last: far beyond a slow machine, short enough to be told about.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A directory that goes when the test does; short enough for the 107 bytes of a Unix socket's name.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("haul-").tempdir().unwrap()
}

/// Writes `content` to `name` below `directory`.
#[track_caller]
pub fn file_with(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A FIFO in a directory of its own.
#[track_caller]
pub fn fifo() -> (tempfile::TempDir, PathBuf) {
    let home = scratch();
    let path = home.path().join("fifo");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    (home, path)
}

/// A new file, opened for writing.
#[track_caller]
pub fn create(path: &Path) -> OwnedFd {
    File::create(path).unwrap().into()
}

/// A file, opened for reading.
#[track_caller]
pub fn open(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

/// Makes four tests of a function of a [`Way`]: haul listens or connects, over TCP or a Unix stream socket.
macro_rules! both_ways {
    ($($promise:ident),+ $(,)?) => { $(
        mod $promise {
            use crate::harness::{Net, Role, Way};
            #[test]
            fn listener_over_tcp() {
                super::$promise(Way { role: Role::Listens, net: Net::Tcp });
            }
            #[test]
            fn connector_over_tcp() {
                super::$promise(Way { role: Role::Connects, net: Net::Tcp });
            }
            #[test]
            fn listener_over_unix() {
                super::$promise(Way { role: Role::Listens, net: Net::Unix });
            }
            #[test]
            fn connector_over_unix() {
                super::$promise(Way { role: Role::Connects, net: Net::Unix });
            }
        }
    )+ };
}

/// Makes two tests of a function of a [`Way`]: what only TCP has, with haul listening and connecting.
macro_rules! both_ways_over_tcp {
    ($($promise:ident),+ $(,)?) => { $(
        mod $promise {
            use crate::harness::{Net, Role, Way};
            #[test]
            fn listener() {
                super::$promise(Way { role: Role::Listens, net: Net::Tcp });
            }
            #[test]
            fn connector() {
                super::$promise(Way { role: Role::Connects, net: Net::Tcp });
            }
        }
    )+ };
}

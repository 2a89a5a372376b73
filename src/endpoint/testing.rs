//! Runs one endpoint at a time on a real reactor, with a limit on every wait.

use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::accept::{Accepted, Acceptor};
use super::dial::{Connected, Dial};
use crate::error::Error;
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, Kind, Options};
use crate::reactor::{Park, Reactor, Task, Turn};

/// What a step says: done with a value, or wait for an event or until this time.
pub(crate) type Step<T> = Result<T, Option<Instant>>;

/// The number of a descriptor that is now as a parent leaves one open, across exec(2).
#[track_caller]
pub(crate) fn left_open(fd: &impl AsFd) -> RawFd {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).unwrap();
    fd.as_fd().as_raw_fd()
}

/// The same for one that whoever is given the number will own.
#[track_caller]
pub(crate) fn handed_over(fd: impl Into<OwnedFd>) -> RawFd {
    let fd = fd.into();
    left_open(&fd);
    fd.into_raw_fd()
}

struct Steps<F, T> {
    step: F,
    result: Rc<RefCell<Option<T>>>,
    limit: Instant,
}

impl<T, F: FnMut(&mut Turn) -> Step<T>> Task for Steps<F, T> {
    fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        assert!(turn.now() < self.limit, "nothing happened in time");
        match (self.step)(turn) {
            Ok(value) => {
                *self.result.borrow_mut() = Some(value);
                Park::Done(Outcome::nothing_moved(Ended::Clean))
            }
            Err(deadline) => {
                turn.deadline(Some(deadline.map_or(self.limit, |at| at.min(self.limit))));
                Park::Wait
            }
        }
    }
}

/// Gives `step` its turns until it has a value.
#[track_caller]
pub(crate) fn drive<T: 'static>(step: impl FnMut(&mut Turn) -> Step<T> + 'static) -> T {
    let result = Rc::new(RefCell::new(None));
    let limit = Instant::now() + Duration::from_secs(20);
    let task = Steps { step, result: Rc::clone(&result), limit };
    Reactor::new().unwrap().run(Box::new(task)).unwrap();
    result.borrow_mut().take().unwrap()
}

/// Dials to the end. The socket's registration is gone with the reactor; its descriptor is alive.
#[track_caller]
pub(crate) fn dial(mut dial: Dial) -> Result<Connected, Error> {
    let mut started = false;
    drive(move |turn| {
        if !std::mem::replace(&mut started, true)
            && let Err(error) = dial.start(turn)
        {
            return Ok(Err(error));
        }
        match dial.turn(turn) {
            Ok(Some(connected)) => Ok(Ok(connected)),
            Ok(None) => Err(dial.deadline()),
            Err(error) => Ok(Err(error)),
        }
    })
}

/// Accepts one connection, and gives the listener back.
#[track_caller]
pub(crate) fn accept(acceptor: Acceptor) -> (Accepted, Acceptor) {
    let mut held = Some(acceptor);
    let mut started = false;
    drive(move |turn| {
        let Some(mut acceptor) = held.take() else { panic!("a turn after the end") };
        if !std::mem::replace(&mut started, true) {
            acceptor.start(turn).unwrap();
        }
        match acceptor.accept(turn).unwrap() {
            Some(accepted) => Ok((accepted, acceptor)),
            None => {
                let deadline = acceptor.deadline();
                held = Some(acceptor);
                Err(deadline)
            }
        }
    })
}

/// An address without options.
pub(crate) fn plain(kind: Kind) -> Rc<Address> {
    with(kind, Options::default())
}

/// An address with options.
pub(crate) fn with(kind: Kind, options: Options) -> Rc<Address> {
    Rc::new(Address { layers: Vec::new(), kind, options })
}

/// A connected TCP pair, the second of which takes no more than `window` bytes that nobody reads.
pub(crate) fn tcp_pair(window: Option<usize>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(window) = window {
        socket2::SockRef::from(&listener).set_recv_buffer_size(window).unwrap();
    }
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A connected pair of seqpacket sockets.
pub(crate) fn seqpacket_pair() -> (OwnedFd, OwnedFd) {
    let (near, far) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None).unwrap();
    (near.into(), far.into())
}

/// Sends an urgent byte.
pub(crate) fn send_urgent(socket: &TcpStream, byte: u8) {
    assert_eq!(socket2::SockRef::from(socket).send_out_of_band(&[byte]).unwrap(), 1);
}

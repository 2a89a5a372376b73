//! A whole reactor on a thread of its own, and the way to send something to it.
//!
//! Shards share nothing but what their tasks are given: a message goes through a channel, and the root task of the
//! shard is woken to take it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::{Reactor, Remote, Task, TaskId};

/// A thread with a reactor, as its maker sees it.
pub struct Shard<M> {
    inbox: Sender<M>,
    remote: Remote,
    root: TaskId,
    thread: JoinHandle<()>,
}

impl<M: Send + 'static> Shard<M> {
    /// Starts a thread and, there, the root task that `make` makes of what will be sent to it.
    ///
    /// # Errors
    /// No thread or no epoll could be had.
    pub fn start(name: &str, make: impl FnOnce(Receiver<M>) -> Box<dyn Task> + Send + 'static) -> io::Result<Self> {
        let (inbox, mail) = channel();
        let (ready, begun) = channel();
        let thread = Builder::new().name(name.into()).spawn(move || {
            let mut reactor = match Reactor::new() {
                Ok(reactor) => reactor,
                Err(error) => {
                    let _ = ready.send(Err(error)); // the maker waits for it, or is gone
                    return;
                }
            };
            let root = reactor.core.add(make(mail), None);
            let remote = reactor.core.remote();
            let _ = ready.send(remote.map(|remote| (remote, root)));
            // an epoll that fails ends the shard: its maker learns that when it sends
            let _ = reactor.run_to_the_end_of(root);
        })?;
        let (remote, root) = begun.recv().map_err(|_| io::Error::other("the thread ended"))??;
        Ok(Shard { inbox, remote, root, thread })
    }

    /// Sends something to the root task and wakes it.
    ///
    /// # Errors
    /// The shard has ended; the message comes back.
    pub fn send(&self, message: M) -> Result<(), M> {
        self.inbox.send(message).map_err(|error| error.0)?;
        self.remote.wake(self.root);
        Ok(())
    }

    /// Waits for the end of the shard, which its root task must have been asked for.
    pub fn join(self) {
        drop(self.inbox);
        // a panic there was told there
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Park, Turn};
    use super::*;
    use crate::error::Error;
    use crate::outcome::{Ended, Outcome};

    /// Sends back the double of every number, until 0.
    struct Doubler {
        mail: Receiver<u32>,
        answers: Sender<u32>,
    }

    impl Task for Doubler {
        fn start(&mut self, _: &mut Turn) -> Result<(), Error> {
            Ok(())
        }

        fn turn(&mut self, _: &mut Turn) -> Park {
            while let Ok(number) = self.mail.try_recv() {
                if number == 0 {
                    return Park::Done(Outcome::nothing_moved(Ended::Clean));
                }
                self.answers.send(2 * number).unwrap();
            }
            Park::Wait
        }
    }

    #[test]
    fn what_is_sent_to_a_shard_wakes_it_until_it_ends() {
        let (answers, answered) = channel();
        let shard = Shard::start("shard", move |mail| Box::new(Doubler { mail, answers })).unwrap();
        for number in 1..4 {
            shard.send(number).unwrap();
            assert_eq!(answered.recv().unwrap(), 2 * number);
        }
        shard.send(0).unwrap();
        // its end of the channel goes with it
        assert!(answered.recv().is_err());
        shard.join();
    }
}

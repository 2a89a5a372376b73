//! One try of `connect -z` at one target, as a task of its own; and the look-up of one name for all who need it.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::handshake::Handshake;
use super::layering::Layering;
use crate::endpoint::dial::{Dial, on_the_way};
use crate::endpoint::file::{self, Found};
use crate::endpoint::knock::{self, Knock, Terms};
use crate::endpoint::open::Opened;
use crate::endpoint::printed;
use crate::endpoint::resolve::{Lookup, NoAddress};
use crate::error::{Cause, Error, Op};
use crate::outcome::{Ended, Outcome};
use crate::plan::address::{Address, HostPort, Kind, Options, UnixSocket};
use crate::reactor::{Park, Task, Turn};
use crate::session::limits::soonest;

/// When a try is over, and how long that was from its beginning.
pub(super) type Limit = Option<(Instant, Duration)>;

/// Asks one target whether it is open. A clean outcome says that it is; an error says why it is not.
pub(super) struct Probe {
    question: Question,
    /// What else has to work for it to count as open.
    layering: Layering,
    /// As typed, for messages.
    name: Vec<u8>,
    limit: Limit,
}

enum Question {
    /// A connection that is closed as soon as it is up.
    Connection(Box<Dial>),
    /// The same once it is up and its layers shake hands.
    Handshake(Box<Handshake>),
    /// Datagrams to a UDP port: opened at the first turn.
    Datagram(Box<Datagram>),
    /// Answered before it was asked.
    Answered(Option<Error>),
}

struct Datagram {
    name: Vec<u8>,
    addresses: Vec<SocketAddr>,
    sources: Vec<SocketAddr>,
    options: Options,
    most: Option<Duration>,
    knock: Option<Knock>,
}

impl Probe {
    /// Asks a target that needs no name of the name server. `most`: the user's limit for one try.
    pub(super) fn new(target: &Rc<Address>, limit: Limit, most: Option<Duration>) -> Self {
        let name = name(target);
        let question = match &target.kind {
            Kind::Udp(at) => match Lookup::new(at, &target.options).and_then(Lookup::wait) {
                Ok(addresses) => datagram(target, addresses, most),
                Err(why) => Question::Answered(Some(unnamed(target, why))),
            },
            Kind::Unix(at, UnixSocket::Datagram) => Question::Answered(knock::unix(&name, at).err()),
            Kind::Path(path) => match file::find(path) {
                Ok(Found::Socket | Found::Nothing) => Question::Connection(Box::new(Dial::new(target))),
                Ok(_) => Question::Answered(Some(Error::said(Op::Use, &name, "it is not a socket"))),
                Err(error) => Question::Answered(Some(Error::new(Op::Connect, &name, error))),
            },
            _ => Question::Connection(Box::new(Dial::new(target))),
        };
        Probe { question, layering: Layering::default(), name: goal(target), limit }
    }

    /// Asks a target whose name, or that of the proxy before it, has these addresses.
    pub(super) fn at(target: &Rc<Address>, addresses: &[SocketAddr], limit: Limit, most: Option<Duration>) -> Self {
        let question = match &target.kind {
            Kind::Udp(_) => datagram(target, addresses.to_vec(), most),
            _ => Question::Connection(Box::new(Dial::to(target, addresses))),
        };
        Probe { question, layering: Layering::default(), name: goal(target), limit }
    }

    /// The same, where a handshake has to work, too.
    pub(super) fn with_layers(self, layering: Layering) -> Self {
        Probe { layering, ..self }
    }

    /// It is connected: that is the answer, or the first half of it.
    fn connected(&mut self, turn: &mut Turn, opened: Opened) -> Result<(), Error> {
        let handshake = Handshake::with_server(turn, opened, &self.layering, None, self.name.clone())?;
        self.question = Question::Handshake(Box::new(handshake.within(self.limit, turn.now()).only_asking()));
        Ok(())
    }
}

impl Task for Probe {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        match &mut self.question {
            Question::Connection(dial) => dial.start(turn),
            Question::Handshake(_) => Ok(()),
            Question::Datagram(datagram) => datagram.open(turn),
            Question::Answered(_) => Ok(()),
        }
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        if let Question::Connection(dial) = &mut self.question {
            let up = dial.turn(turn);
            let begun = match up {
                Ok(Some(connected)) => self.connected(turn, connected.into()),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                return Park::Done(Outcome::nothing_moved(Ended::Failed(error)));
            }
        }
        let answer = match &mut self.question {
            Question::Connection(dial) => match self.limit {
                Some((at, limit)) if at <= turn.now() => Err(dial.timed_out(limit)),
                limit => {
                    turn.deadline(soonest([dial.deadline(), limit.map(|(at, _)| at)]));
                    Ok(false)
                }
            },
            Question::Handshake(handshake) => match handshake.turn(turn) {
                Ok(Some(contact)) => {
                    contact.part(turn);
                    Ok(true)
                }
                Ok(None) => {
                    turn.deadline(handshake.deadline());
                    Ok(false)
                }
                Err(error) => Err(error),
            },
            Question::Datagram(datagram) => datagram.turn(turn),
            Question::Answered(answer) => answer.take().map_or(Ok(true), Err),
        };
        match answer {
            Ok(false) => Park::Wait,
            Ok(true) => Park::Done(Outcome::nothing_moved(Ended::Clean)),
            Err(error) => Park::Done(Outcome::nothing_moved(Ended::Failed(error))),
        }
    }
}

impl Datagram {
    fn open(&mut self, turn: &mut Turn) -> Result<(), Error> {
        let terms = Terms { sources: &self.sources, options: &self.options, most: self.most };
        self.knock = Some(Knock::open(turn, &self.name, &self.addresses, &terms)?);
        Ok(())
    }

    fn turn(&mut self, turn: &mut Turn) -> Result<bool, Error> {
        let Some(knock) = &mut self.knock else { return Ok(false) };
        let open = knock.turn(turn)?;
        turn.deadline(knock.deadline());
        Ok(open)
    }
}

fn datagram(target: &Address, addresses: Vec<SocketAddr>, most: Option<Duration>) -> Question {
    let (name, options) = (name(target), target.options.clone());
    let source = options.source.as_ref().map(|host| {
        let at = HostPort { host: host.clone(), port: options.source_port.unwrap_or(0) };
        Lookup::new(&at, &options).and_then(Lookup::wait)
    });
    match source.transpose() {
        Ok(sources) => {
            let sources = sources.unwrap_or_default();
            Question::Datagram(Box::new(Datagram { name, addresses, sources, options, most, knock: None }))
        }
        Err(why) => Question::Answered(Some(unnamed(target, why))),
    }
}

/// What messages and the report call a target: as it would be typed, without options.
pub(super) fn name(target: &Address) -> Vec<u8> {
    let object = printed::object(target, "localhost");
    match target.kind {
        Kind::Udp(_) => [b"udp:", object.as_slice()].concat(),
        _ => object,
    }
}

/// The same with the proxies that lead there, as errors tell it.
pub(super) fn goal(target: &Address) -> Vec<u8> {
    target.with_way(&name(target))
}

/// The name of a target has no address.
pub(super) fn unnamed(target: &Address, why: NoAddress) -> Error {
    on_the_way(&target.options, why.into_error(Op::Connect, goal(target)))
}

/// The name server has not answered in time.
pub(super) fn unanswered(name: &[u8], limit: Duration) -> Error {
    let error = Error::new(Op::Connect, name, Cause::TimedOut(limit));
    error.with_facts(vec!["the name server has not answered".into()])
}

/// Where a [`Naming`] leaves what it has found; `None` if there was no answer in time.
pub(super) type Answer = Rc<RefCell<Option<Result<Vec<SocketAddr>, NoAddress>>>>;

/// Looks up one name.
pub(super) struct Naming {
    lookup: Lookup,
    answer: Answer,
    limit: Limit,
}

impl Naming {
    /// Leaves the addresses in `answer`.
    pub(super) fn new(lookup: Lookup, answer: Answer, limit: Limit) -> Self {
        Naming { lookup, answer, limit }
    }
}

impl Task for Naming {
    fn start(&mut self, turn: &mut Turn) -> Result<(), Error> {
        self.lookup.start(turn).map_err(|error| Error::new(Op::Use, "the name server", error))
    }

    fn turn(&mut self, turn: &mut Turn) -> Park {
        let found = self.lookup.poll().transpose();
        if found.is_none() && self.limit.is_none_or(|(at, _)| at > turn.now()) {
            turn.deadline(self.limit.map(|(at, _)| at));
            return Park::Wait;
        }
        *self.answer.borrow_mut() = found;
        Park::Done(Outcome::nothing_moved(Ended::Clean))
    }
}

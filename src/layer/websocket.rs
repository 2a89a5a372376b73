//! WebSocket (RFC 6455), both roles: the opening handshake, then messages in frames, then the closing handshake.
//!
//! Messages are streamed: the payload of a frame is handed on as it comes, whatever length it announces, and nothing is
//! kept of a message but what its UTF-8 check needs. Of what the protocol has to say between two frames at most one of
//! each kind is pending, the newest pong among them. Extensions are neither asked for nor granted.
//!
//! What one call of [`Layer::encode`] takes is one message of bytes, or several of 16 KiB where it is more, since peers
//! have limits for what they take as one; in text mode each line is a message of text, without its line end, and each
//! message of text that comes is given as a line.
//!
//! A Close ends both directions: whoever wants the answer to what it sent waits before it closes. The Close of the peer is
//! answered when the application has ended: what it says until then is still sent, and a peer that waits for the answer
//! may take it. [`Layer::is_settled`] tells when the peer has answered our Close, or has had 5 s for it.
//!
//! A Close with a code that means a failure, and a protocol that was broken, are the peer's words. An end without a Close,
//! or within a message, is a cut like one that the kernel tells: [`ErrorKind::UnexpectedEof`]; and so is the silence of a
//! peer that answers no ping: [`ErrorKind::TimedOut`].

mod client;
mod frame;
mod handshake;
mod mask;
mod pinging;
mod receiving;
mod sending;
mod server;
#[cfg(test)]
mod tests;
mod utf8;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{HalfClose, Layer, LayerState, Note};
use crate::buffer::{Buffer, Portion};
use crate::error::{Cause, Error};
use crate::escape::Escaped;
use crate::outcome::ExitStatus;
use crate::secret::Login;
use crate::units::Size;
use client::Asking;
pub use client::Request;
use frame::{LONGEST_CONTROL, LONGEST_HEADER, Misfit, code};
pub use mask::{Entropy, Wide};
use pinging::{Finding, Heard, Pinging};
use receiving::{Receiving, Said, Wrong};
use sending::{Sending, Trouble};
use server::Answering;
pub use server::Terms;

/// How messages are made and told from bytes, and how a silent peer is dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// A message a line, of text; otherwise a message a write, of bytes.
    pub text: bool,
    /// Only text is taken: a message of bytes breaks it off.
    pub strict: bool,
    /// A peer that was silent for so long is pinged, and given up after as long again, unless it takes what it is sent
    /// so slowly that the ping may still be behind that.
    pub ping: Option<Duration>,
}

/// One WebSocket. Its wire buffer must hold at least [`LEAST_BUFFER`] bytes.
pub struct WebSocket {
    /// The opening handshake, until it is over.
    opening: Option<Box<Opening>>,
    /// What the peer was told of who we are, or what we want to hear, and must not show.
    login: Option<Arc<Login>>,
    sending: Sending,
    receiving: Receiving,
    /// When it began: asks for the time at once.
    began: Instant,
    pinging: Option<Box<Pinging>>,
    /// Until when the peer may answer our Close.
    answer_by: Option<Instant>,
    /// The peer has said Close, or will not be waited for any more.
    over: bool,
    /// The time for that is over within a message, to be told by the next decode.
    late: bool,
    wire_ended: bool,
    failed: bool,
    /// It was the peer that told of the failure, in its Close.
    is_refused: bool,
    /// Why nothing can be sent, to be told by the next decode.
    trouble: Option<Trouble>,
    /// The peer was silent for too long, to be told by the next decode.
    silent: bool,
    /// What [`Layer::seam`] says.
    seam: usize,
}

struct Opening {
    side: Side,
    /// What is to be said of it, and how much was.
    words: Vec<u8>,
    said: usize,
    /// The peer has said its part.
    heard: bool,
}

enum Side {
    Client(Asking),
    Server(Answering),
}

impl WebSocket {
    /// A client; its request goes out first.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn client(request: &Request, manner: Manner, entropy: Entropy, now: Instant) -> Result<Self, Error> {
        let login = request.credentials.as_deref().map(login);
        let (asking, words) = Asking::new(request, login.clone(), entropy).map_err(no_entropy)?;
        let opening = Opening { side: Side::Client(asking), words, said: 0, heard: false };
        Ok(WebSocket { login, ..WebSocket::new(opening, Sending::new(Some(entropy), manner.text), manner, now) })
    }

    /// A server; it answers a request.
    pub fn server(terms: Terms, manner: Manner, now: Instant) -> Self {
        let login = terms.credentials.as_deref().map(login);
        let opening = Opening { side: Side::Server(Answering::new(terms)), words: Vec::new(), said: 0, heard: false };
        WebSocket { login, ..WebSocket::new(opening, Sending::new(None, manner.text), manner, now) }
    }

    fn new(opening: Opening, sending: Sending, manner: Manner, now: Instant) -> Self {
        let masked = matches!(opening.side, Side::Server(_));
        let pinging = |every| Box::new(Pinging::new(every, now));
        WebSocket {
            opening: Some(Box::new(opening)),
            login: None,
            sending,
            receiving: Receiving::new(masked, manner),
            began: now,
            pinging: manner.ping.map(pinging),
            answer_by: None,
            over: false,
            late: false,
            wire_ended: false,
            failed: false,
            is_refused: false,
            trouble: None,
            silent: false,
            seam: 0,
        }
    }

    /// The same with so many bytes, at least, in the buffers at its seams: what a call of the system can move at once.
    pub fn with_seam(mut self, seam: usize) -> Self {
        self.seam = seam;
        self
    }

    /// The same with wider registers for masking than the compiler uses by itself.
    pub fn with_wide(mut self, wide: Wide) -> Self {
        (self.sending.wide, self.receiving.wide) = (wide, wide);
        self
    }

    /// Takes the peer's part of the opening handshake; true once it is over.
    fn open(&mut self, wire: &mut Buffer) -> Result<bool, Error> {
        let Some(opening) = &mut self.opening else { return Ok(true) };
        if !opening.heard {
            let (heard, failure) = opening.take(wire);
            opening.heard = heard;
            let ended = self.wire_ended && !opening.heard && wire.is_empty();
            if let Some(error) = failure.or_else(|| ended.then(|| opening.cut())) {
                // there is no WebSocket that could be closed
                (self.failed, self.sending.close_said) = (true, true);
                return Err(error);
            }
        }
        self.leave_opening();
        Ok(self.opening.is_none())
    }

    fn leave_opening(&mut self) {
        self.opening.take_if(|opening| opening.heard && opening.said == opening.words.len());
    }

    /// The peer broke the protocol, and is told so.
    fn reject(&mut self, wrong: Wrong) -> Error {
        let (code, said) = match wrong {
            Wrong::Protocol(Misfit(why)) => (code::PROTOCOL, why),
            Wrong::NotUtf8 => (code::NOT_TEXT, "text that is no UTF-8"),
            Wrong::Bytes => {
                self.sending.close(code::NOT_TAKEN, "only text is taken");
                return self.fail("the peer sent a message of bytes where only text is taken");
            }
        };
        self.sending.close(code, said);
        self.fail(format!("the peer broke the protocol of WebSocket: {said}"))
    }

    fn fail(&mut self, said: impl Into<String>) -> Error {
        self.failed = true;
        Error::begun(self.headline(), Cause::Said(said.into())).with_status(ExitStatus::Network)
    }

    /// The same of a stream that has no end, whatever the peer meant by that.
    fn cut(&mut self, said: impl AsRef<str>) -> Error {
        self.failed = true;
        let said = format!("stream cut short: {}", said.as_ref());
        Error::begun(self.headline(), io::Error::new(ErrorKind::UnexpectedEof, said))
    }

    fn headline(&self) -> String {
        format!("receiving failed after {}", Size(self.receiving.total).human())
    }

    /// What the peer said wants an answer.
    fn answer(&mut self, said: Said) -> Result<(), Error> {
        match said {
            Said::Ping(payload) => self.sending.pong = Some(payload),
            Said::Close(number, why) => {
                self.sending.answer_close(number);
                let odd = number.filter(|number| !code::is_orderly(*number));
                let error = match odd {
                    Some(number) => self.fail(self.closed_with(number, &why)),
                    None if self.receiving.is_within() => self.cut("the peer closed the WebSocket within a message"),
                    None => {
                        self.over = true;
                        return Ok(());
                    }
                };
                (self.sending.closed, self.is_refused) = (true, odd.is_some());
                return Err(error);
            }
        }
        Ok(())
    }

    /// What a Close that is no normal end says; three stars where it repeats a password.
    fn closed_with(&self, number: u16, why: &[u8]) -> String {
        let meaning = code::meaning(number).map(|meaning| format!(" ({meaning})")).unwrap_or_default();
        let why = match why {
            [] => String::new(),
            why if self.login.as_ref().is_some_and(|login| login.is_told_by(why)) => ": \"***\"".into(),
            why => format!(": \"{}\"", Escaped(why)),
        };
        format!("the peer closed the WebSocket with code {number}{meaning}{why}")
    }

    /// What the end of the wire means at this place.
    fn judge_end(&mut self) -> Result<(), Error> {
        if self.receiving.is_within() {
            return Err(self.cut("the peer ended within a message"));
        }
        if !self.sending.close_said {
            return Err(self.cut("the peer ended without closing the WebSocket"));
        }
        self.over = true;
        Ok(())
    }

    /// What was found out elsewhere, if anything was.
    fn judge_trouble(&mut self) -> Result<(), Error> {
        if let Some(trouble) = self.trouble.take() {
            self.failed = true;
            return Err(told(trouble));
        }
        if self.late {
            let limit = humantime::format_duration(PATIENCE);
            return Err(self.cut(format!("{limit} after our Close the peer was within a message")));
        }
        if std::mem::take(&mut self.silent) {
            let every = self.pinging.as_ref().map(|pinging| pinging.every).unwrap_or_default();
            let limit = humantime::format_duration(every);
            self.failed = true;
            let said = format!("the peer did not answer a ping within {limit}");
            return Err(Error::begun(self.headline(), io::Error::new(ErrorKind::TimedOut, said))
                .with_status(ExitStatus::TimeLimit));
        }
        Ok(())
    }

    /// Keeps the reason for the next decode, which is where failures are judged.
    fn remember(&mut self, trouble: Trouble) -> Error {
        let (error, again) = match trouble {
            Trouble::NotUtf8 => (told(Trouble::NotUtf8), Trouble::NotUtf8),
            Trouble::Entropy(error) => {
                let kind = error.kind();
                (told(Trouble::Entropy(error)), Trouble::Entropy(kind.into()))
            }
        };
        self.sending.close(code::INTERNAL, "");
        self.trouble = Some(again);
        error
    }

    fn tick(&mut self, now: Instant) {
        if self.awaits_answer() {
            match self.answer_by {
                None => self.answer_by = Some(now + PATIENCE),
                Some(at) if at > now => {}
                Some(_) if self.receiving.is_within() => self.late = true,
                Some(_) => self.over = true,
            }
        }
        // nothing is sent behind a Close
        let due = |pinging: &&mut Box<Pinging>| pinging.at <= now;
        let Some(pinging) = self.pinging.as_mut().filter(|_| !self.sending.close_said).filter(due) else { return };
        match pinging.tick(now, if self.opening.is_some() { Heard::Words } else { self.receiving.take_heard() }) {
            Finding::Alive => {}
            Finding::Silent => self.sending.ping = true,
            Finding::Dead => self.silent = true,
        }
    }

    /// Our Close is said, and the peer's has not come.
    fn awaits_answer(&self) -> bool {
        self.sending.close_said && !self.over && !self.late && !self.failed
    }
}

impl Opening {
    /// Takes the peer's part: whether it was all of it, and why it was no good.
    fn take(&mut self, wire: &mut Buffer) -> (bool, Option<Error>) {
        match &mut self.side {
            Side::Client(asking) => match asking.take(wire) {
                Ok(whole) => (whole, None),
                Err(error) => (false, Some(error)),
            },
            Side::Server(answering) => match answering.take(wire) {
                Some(answer) => {
                    self.words = answer.words;
                    (true, answer.failure)
                }
                None => (false, None),
            },
        }
    }

    fn cut(&self) -> Error {
        match &self.side {
            Side::Client(asking) => asking.cut(),
            Side::Server(answering) => answering.cut(),
        }
    }
}

impl Layer for WebSocket {
    fn decode(&mut self, wire: &mut Buffer, plain: &mut Buffer) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        self.judge_trouble()?;
        if let Some(pinging) = &mut self.pinging {
            pinging.looked = true;
        }
        if !self.open(wire)? {
            return Ok(());
        }
        loop {
            if self.over && !self.receiving.owes() {
                wire.clear(); // nothing counts behind a Close
                return Ok(());
            }
            match self.receiving.take(wire, plain) {
                Ok(Some(said)) => self.answer(said)?,
                Ok(None) => break,
                Err(wrong) => return Err(self.reject(wrong)),
            }
        }
        if self.wire_ended && wire.is_empty() && !self.over && !self.receiving.owes() {
            return self.judge_end();
        }
        Ok(())
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Buffer) -> Result<usize, Error> {
        self.flush(wire);
        if self.state() == LayerState::Handshaking {
            return Ok(0);
        }
        if self.failed || self.over && self.sending.close_said {
            let said = "the peer has closed the WebSocket";
            return Err(Error::begun("sending failed", Cause::Said(said.into())));
        }
        self.sending.take(plain, wire).map_err(|trouble| self.remember(trouble))
    }

    fn flush(&mut self, wire: &mut Buffer) {
        if let Some(opening) = &mut self.opening {
            opening.said += wire.push(&opening.words[opening.said..]);
            self.leave_opening();
        }
        if self.opening.is_none()
            && let Err(trouble) = self.sending.say(wire)
        {
            self.remember(trouble);
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::PlainClosed => self.sending.closed = true,
            Note::WireEof => self.wire_ended = true,
            Note::Tick(now) => self.tick(now),
            Note::Taken => self.pinging.iter_mut().for_each(|pinging| pinging.taken = true),
            Note::Delivered(_) | Note::Stopped(_) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let is_over = self.over || self.failed || self.sending.close_said;
        let ping = self.pinging.as_ref().filter(|_| !is_over).map(|pinging| pinging.at);
        // the time is only told to those who ask
        let answer = self.awaits_answer().then(|| self.answer_by.unwrap_or(self.began));
        ping.into_iter().chain(answer).min()
    }

    fn state(&self) -> LayerState {
        match () {
            () if self.failed => LayerState::Failed,
            () if self.opening.is_some() => LayerState::Handshaking,
            () if self.over && !self.receiving.owes() => LayerState::PlainEof,
            () => LayerState::Open,
        }
    }

    fn half_close(&self) -> HalfClose {
        HalfClose::EndsBoth
    }

    fn seam(&self) -> usize {
        self.seam
    }

    fn is_settled(&self) -> bool {
        self.failed || self.late || self.over && self.sending.close_said
    }

    fn is_failure_told(&self) -> bool {
        self.failed && self.sending.close_said && (self.is_refused || self.sending.has_said_failure())
    }

    fn announce(&mut self, payload: Portion<'_>, wire: &mut Buffer) {
        if self.state() == LayerState::Open
            && !self.sending.closed
            && let Err(trouble) = self.sending.announce(&payload, wire)
        {
            self.remember(trouble);
        }
    }

    fn raw_out(&self) -> usize {
        self.sending.missing
    }

    fn passed_out(&mut self, bytes: &[u8]) {
        self.sending.missing -= bytes.len();
    }

    fn raw_in(&self) -> usize {
        if self.failed || self.over { 0 } else { self.receiving.raw() }
    }

    fn passed_in(&mut self, bytes: Portion<'_>) {
        self.receiving.passed(&bytes);
    }
}

fn login(credentials: &str) -> Arc<Login> {
    Arc::new(Login::parse(credentials.as_bytes()))
}

fn told(trouble: Trouble) -> Error {
    match trouble {
        Trouble::NotUtf8 => {
            let said = "what is to be sent as text is no UTF-8";
            let error = Error::begun("sending failed", Cause::Said(said.into())).with_status(ExitStatus::LocalIo);
            error.with_advice("--binary")
        }
        Trouble::Entropy(error) => no_entropy(error),
    }
}

fn no_entropy(error: io::Error) -> Error {
    Error::begun("no random bytes for WebSocket", error).with_status(ExitStatus::LocalIo)
}

/// How long a peer may take to answer a Close.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that a seam of this layer must hold: the longest frame that goes only as a whole.
pub const LEAST_BUFFER: usize = LONGEST_HEADER + LONGEST_CONTROL;

//! The client's half of the conversation.

use super::incoming::{Incoming, Piece, Want};
use super::{Breach, Cookie, HELLO, MOST_RESULTS, Parameters, Results, State, framed};

/// What a client is to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientStep {
    /// Open the streams; the server waits for them. The parameters were sent.
    CreateStreams,
    /// Get ready.
    Start,
    /// Send, or receive. [`Client::end`] says when it is over.
    Run,
    /// Tell what was counted: [`Client::tell`].
    Tell,
    /// The server's account; [`Client::finish`] ends the conversation.
    Show(Box<Results>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Asked,
    Opening,
    Started,
    Running,
    Ended,
    Telling,
    Hearing,
    Showing,
    Refused,
    Over,
}

/// One test, as the client sees it.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    incoming: Incoming,
    outgoing: Vec<u8>,
    parameters: Parameters,
    haul: bool,
    theirs: Option<Box<Results>>,
}

impl Client {
    /// Begins with the cookie. What `parameters` have for haul alone is left out if the server is none.
    pub fn new(cookie: &Cookie, parameters: Parameters) -> Self {
        Client {
            stage: Stage::Greeting,
            incoming: Incoming::default(),
            outgoing: cookie.0.to_vec(),
            parameters,
            haul: false,
            theirs: None,
        }
    }

    /// True once the server is known to be haul.
    pub fn is_haul(&self) -> bool {
        self.haul
    }

    /// What is to be sent, and was not taken yet.
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Takes what came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.incoming.receive(bytes);
    }

    /// True until the server has said anything.
    pub fn is_unheard(&self) -> bool {
        self.stage == Stage::Greeting && !self.haul
    }

    /// True once everything was said.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The next step, if enough has come for one.
    ///
    /// # Errors
    /// The server refuses, leaves, or makes no sense: nothing more follows.
    pub fn step(&mut self) -> Result<Option<ClientStep>, Breach> {
        loop {
            let want = match self.stage {
                Stage::Hearing => Want::Message("results", MOST_RESULTS),
                Stage::Refused => Want::Numbers,
                Stage::Over => return Ok(None),
                _ => Want::State,
            };
            let first = self.incoming.rest().to_vec();
            let Some(piece) = self.incoming.next(want)? else { return Ok(None) };
            let state = match piece {
                Piece::Number(code) => return Err(Breach::Refused(code)),
                Piece::Message(text) => {
                    self.theirs = Some(Box::new(Results::decode(&text)?));
                    self.stage = Stage::Showing;
                    continue;
                }
                Piece::State(Err(HELLO)) if self.stage == Stage::Greeting && !self.haul => {
                    self.haul = true;
                    continue;
                }
                Piece::State(Ok(state)) => state,
                Piece::State(Err(_)) if self.stage == Stage::Greeting => return Err(self.foreign(first)),
                Piece::State(Err(byte)) => return Err(Breach::OutOfStep(byte)),
            };
            if let Some(step) = self.heard(state, first)? {
                return Ok(Some(step));
            }
        }
    }

    fn heard(&mut self, state: State, said: Vec<u8>) -> Result<Option<ClientStep>, Breach> {
        let (stage, step) = match (self.stage, state) {
            (_, State::AccessDenied) => return Err(Breach::Busy),
            (_, State::ServerTerminate) => return Err(Breach::Left),
            (_, State::ServerError) => {
                self.stage = Stage::Refused;
                return Ok(None);
            }
            (Stage::Greeting, State::ParamExchange) => {
                if !self.haul {
                    self.parameters.extra = None;
                }
                framed(&self.parameters.encode(), &mut self.outgoing);
                self.stage = Stage::Asked;
                return Ok(None);
            }
            (Stage::Asked, State::CreateStreams) => (Stage::Opening, ClientStep::CreateStreams),
            (Stage::Opening, State::TestStart) => (Stage::Started, ClientStep::Start),
            (Stage::Started, State::TestRunning) => (Stage::Running, ClientStep::Run),
            (Stage::Ended, State::ExchangeResults) => (Stage::Telling, ClientStep::Tell),
            (Stage::Showing, State::DisplayResults) => {
                (Stage::Showing, ClientStep::Show(self.theirs.take().unwrap_or_default()))
            }
            (Stage::Greeting, _) => return Err(self.foreign(said)),
            (_, state) => return Err(Breach::OutOfStep(state.byte())),
        };
        self.stage = stage;
        Ok(Some(step))
    }

    /// What was said from the first byte on: one of them may have looked like haul's.
    fn foreign(&self, said: Vec<u8>) -> Breach {
        let looked: &[u8] = if self.haul { &[HELLO] } else { &[] };
        Breach::Foreign([looked, &said].concat())
    }

    /// The test is over, as the client sees it.
    pub fn end(&mut self) {
        if self.stage == Stage::Running {
            self.outgoing.push(State::TestEnd.byte());
            self.stage = Stage::Ended;
        }
    }

    /// The answer to [`ClientStep::Tell`].
    pub fn tell(&mut self, results: &Results) {
        if self.stage == Stage::Telling {
            framed(&results.encode(), &mut self.outgoing);
            self.stage = Stage::Hearing;
        }
    }

    /// The last word.
    pub fn finish(&mut self) {
        self.outgoing.push(State::Done.byte());
        self.stage = Stage::Over;
    }

    /// The client leaves in the middle.
    pub fn leave(&mut self) {
        if self.stage != Stage::Over {
            self.outgoing.push(State::ClientTerminate.byte());
            self.stage = Stage::Over;
        }
    }
}

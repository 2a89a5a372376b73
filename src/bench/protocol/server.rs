//! The server's half of the conversation, from behind the cookie.

use super::incoming::{Incoming, Piece, Want};
use super::{Breach, Cookie, HELLO, MOST_PARAMETERS, MOST_RESULTS, Parameters, Refusal, Results, State, framed};

/// What a server is to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerStep {
    /// What the client wants: [`Server::agree`] or [`Server::refuse`].
    Judge(Box<Parameters>),
    /// The client says that the test is over: stop, close the streams, [`Server::exchange`].
    Stop,
    /// The client's account: [`Server::tell`] what was counted here.
    Tell(Box<Results>),
    /// The client has everything.
    Done,
    /// The client leaves in the middle.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asking,
    Judging,
    Opening,
    Running,
    Stopping,
    Hearing,
    Telling,
    Told,
    Over,
}

/// One test, as the server sees it.
#[derive(Debug)]
pub struct Server {
    stage: Stage,
    incoming: Incoming,
    outgoing: Vec<u8>,
}

impl Server {
    /// Asks the owner of this cookie for parameters.
    pub fn new(cookie: &Cookie) -> Self {
        let mut outgoing = Vec::new();
        if cookie.is_haul() {
            outgoing.push(HELLO);
        }
        outgoing.push(State::ParamExchange.byte());
        Server { stage: Stage::Asking, incoming: Incoming::default(), outgoing }
    }

    /// What is said to a client for whom there is no room.
    pub const BUSY: [u8; 1] = [State::AccessDenied as i8 as u8];

    /// What is to be sent, and was not taken yet.
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Takes what came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.incoming.receive(bytes);
    }

    /// True if nothing more is expected.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The next step, if enough has come for one.
    ///
    /// # Errors
    /// The client makes no sense; what it is told about that is in [`Server::outgoing`], and nothing more follows.
    pub fn step(&mut self) -> Result<Option<ServerStep>, Breach> {
        let want = match self.stage {
            Stage::Asking => Want::Message("parameters", MOST_PARAMETERS),
            Stage::Hearing => Want::Message("results", MOST_RESULTS),
            Stage::Judging | Stage::Over => return Ok(None),
            _ => Want::State,
        };
        let piece = match self.incoming.next(want) {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(None),
            Err(breach) => {
                let about = if self.stage == Stage::Asking { Refusal::Parameters } else { Refusal::Results };
                self.refuse(about);
                return Err(breach);
            }
        };
        let state = match piece {
            Piece::Message(text) => return self.message(&text).map(Some),
            Piece::State(state) => state,
            Piece::Number(_) => return Ok(None),
        };
        let step = match (self.stage, state) {
            (_, Ok(State::ClientTerminate)) => {
                self.stage = Stage::Over;
                ServerStep::Left
            }
            (Stage::Running, Ok(State::TestEnd)) => {
                self.stage = Stage::Stopping;
                ServerStep::Stop
            }
            (Stage::Told, Ok(State::Done)) => {
                self.stage = Stage::Over;
                ServerStep::Done
            }
            (_, state) => {
                self.stage = Stage::Over;
                return Err(Breach::OutOfStep(state.map_or_else(|byte| byte, State::byte)));
            }
        };
        Ok(Some(step))
    }

    fn message(&mut self, text: &[u8]) -> Result<ServerStep, Breach> {
        if self.stage == Stage::Asking {
            return match Parameters::decode(text) {
                Ok(parameters) => {
                    self.stage = Stage::Judging;
                    Ok(ServerStep::Judge(Box::new(parameters)))
                }
                Err((breach, refusal)) => {
                    self.refuse(refusal);
                    Err(breach)
                }
            };
        }
        match Results::decode(text) {
            Ok(results) => {
                self.stage = Stage::Telling;
                Ok(ServerStep::Tell(Box::new(results)))
            }
            Err(breach) => {
                self.refuse(Refusal::Results);
                Err(breach)
            }
        }
    }

    /// The client may have what it wants: it is told to open its streams.
    pub fn agree(&mut self) {
        if self.stage == Stage::Judging {
            self.outgoing.push(State::CreateStreams.byte());
            self.stage = Stage::Opening;
        }
    }

    /// The streams are there: the test begins.
    pub fn begin(&mut self) {
        if self.stage == Stage::Opening {
            self.outgoing.extend([State::TestStart.byte(), State::TestRunning.byte()]);
            self.stage = Stage::Running;
        }
    }

    /// The streams are closed: the client is asked what it has counted.
    pub fn exchange(&mut self) {
        if self.stage == Stage::Stopping {
            self.outgoing.push(State::ExchangeResults.byte());
            self.stage = Stage::Hearing;
        }
    }

    /// What was counted here.
    pub fn tell(&mut self, results: &Results) {
        if self.stage == Stage::Telling {
            framed(&results.encode(), &mut self.outgoing);
            self.outgoing.push(State::DisplayResults.byte());
            self.stage = Stage::Told;
        }
    }

    /// Ends it, with a reason.
    pub fn refuse(&mut self, why: Refusal) {
        if self.stage != Stage::Over {
            self.outgoing.push(State::ServerError.byte());
            self.outgoing.extend((why as i32).to_be_bytes());
            self.outgoing.extend(0_i32.to_be_bytes());
            self.stage = Stage::Over;
        }
    }

    /// The server leaves in the middle.
    pub fn leave(&mut self) {
        if self.stage != Stage::Over {
            self.outgoing.push(State::ServerTerminate.byte());
            self.stage = Stage::Over;
        }
    }
}

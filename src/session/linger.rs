//! How an end is closed without destroying what its peer is still to get.
//!
//! `close` on a TCP socket with unread input turns into a reset and throws away the send queue (RFC 1122, 4.2.2.13).
//! So a socket lingers first: what still arrives is read and dropped, and it is closed when its send queue is empty.

use std::time::{Duration, Instant};

use super::carrier::Pools;
use super::end::{End, Fault, Step};
use crate::reactor::Turn;

/// What is known of one end while its send queue empties.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linger {
    /// The smallest send queue seen; `None` before the first look.
    unsent: Option<usize>,
    progress_at: Instant,
    /// The last look found everything acknowledged, and the end of our bytes told.
    settled: bool,
    /// The peer answered a reset while our bytes were on their way, or while it could still refuse us.
    lost: bool,
}

/// How it stands with an end whose send queue is waited for.
pub(super) enum Lingering {
    /// It can be closed.
    Over,
    /// The peer, or the clock, has to move first.
    Waiting,
    /// There is more to be read and dropped at once.
    Busy,
    /// The peer will not confirm what it got, refuses us, or sent what is no good: nothing more is to be waited for.
    Failed(Fault),
}

/// What the looks of one linger have in common.
pub(super) struct Farewell<'a> {
    /// Where buffers come from.
    pub(super) pools: &'a Pools,
    /// The end of our bytes is told (FIN).
    pub(super) orderly: bool,
    /// A reset ends it whatever the peer still says: only our own bytes are waited for.
    pub(super) resets: bool,
    /// Something was sent that may be lost.
    pub(super) sent: bool,
    /// What it means for the peer that bytes of it are dropped.
    pub(super) rest: Rest,
}

/// What becomes of bytes that a peer under receipts sends when the session is parting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nobody here wants them: they count as delivered when they are dropped (`--send-only`).
    Unwanted,
    /// Their sink has ended after so many: there must be no more.
    Homeless(u64),
    /// A receipt is said already, or will not be.
    Judged,
}

impl Linger {
    /// Nothing was looked at yet.
    pub(super) fn new(now: Instant) -> Self {
        Linger { unsent: None, progress_at: now, settled: false, lost: false }
    }

    /// Looks at the send queue, and drops what came meanwhile.
    pub(super) fn look(&mut self, end: &mut End, turn: &mut Turn, farewell: &Farewell) -> Lingering {
        self.settled = false;
        let (mut closed, mut busy) = (true, false);
        for _ in 0..ROUNDS {
            busy = !farewell.resets && !end.is_read_ended() && {
                match discard_input(end, turn, farewell) {
                    Ok(more) => more,
                    Err(fault) => return Lingering::Failed(fault),
                }
            };
            if farewell.orderly {
                if let Step::Failed(fault) = end.attend(turn) {
                    return Lingering::Failed(fault);
                }
                // the wire may still be wanted, to say that everything that comes was dropped
                let waits = farewell.rest != Rest::Judged && end.owes_receipt() && !end.is_read_ended();
                let step = if waits { end.close_write(turn) } else { end.close_write_for_good(turn) };
                closed = !waits && !matches!(step, Step::Blocked);
            } else {
                // what layers hold was taken from the source: it goes first
                end.flush(turn);
            }
            // what came may have made the layers answer, and that may let them take more
            if busy || !end.take_stirred() {
                break;
            }
            busy = true;
        }
        end.look_for_cut();
        if end.is_cut() || end.is_mute() {
            // what came in front of the cut may say that nothing is lost, and no event has told of it yet
            if !farewell.resets && !end.is_read_ended() {
                end.arm(turn);
                match discard_input(end, turn, farewell) {
                    Ok(true) => return Lingering::Busy,
                    Ok(false) => {}
                    Err(fault) => return Lingering::Failed(fault),
                }
            }
            let reason = if farewell.resets { None } else { end.last_words(turn, Some(farewell.pools)) };
            if let Some(error) = reason {
                return Lingering::Failed(Fault::Layer(error));
            }
            // a reset that comes before the queue was seen to be empty has thrown away what was in it
            let held = end.is_mute() && end.words_behind_payload().is_none();
            // the kernel goes on telling what a reset has thrown away (tcp_reset leaves snd_una alone)
            let unsent = end.unsent_at_orderly_cut().or(self.unsent);
            self.lost = held || !end.is_accepted() || unsent.map_or(farewell.sent, |unsent| unsent > fin(end));
            return Lingering::Over;
        }
        let unsent = end.unsent();
        if self.unsent.is_none_or(|before| unsent < before) {
            (self.unsent, self.progress_at) = (Some(unsent), turn.now());
        }
        self.settled = unsent == 0 && closed;
        match self.settled {
            true => Lingering::Over,
            false if busy => Lingering::Busy,
            false => Lingering::Waiting,
        }
    }

    /// When something was acknowledged last.
    pub(super) fn progress_at(&self) -> Instant {
        self.progress_at
    }

    /// True if nothing was left to be acknowledged: the kernel need not be asked again.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// True if the peer's reset threw away what we had sent, or our leave to send it.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }
}

/// Reads and drops what still comes, so that closing does not turn into a reset; true if more may be there.
///
/// # Errors
/// What a layer's peer has said of a failure, or how it broke the protocol: it may be about what it was sent. A cut is no
/// loss of what nobody wants; it concerns only a peer that was to confirm what it got, or could still refuse us. One that
/// has confirmed it may say what it likes.
fn discard_input(end: &mut End, turn: &mut Turn, farewell: &Farewell) -> Result<bool, Fault> {
    let mut buffer = farewell.pools.buffer();
    for _ in 0..DISCARDS {
        match end.read(turn, &mut buffer, usize::MAX) {
            Step::Moved(_) => {
                buffer.clear();
                if let Rest::Homeless(count) = farewell.rest {
                    end.delivered(Err((count, "its program has ended".into())));
                }
            }
            Step::Eof => {
                if farewell.rest != Rest::Judged {
                    end.delivered(Ok(0));
                }
                return Ok(false);
            }
            Step::Failed(fault) if end.is_unconfirmed() || !end.is_accepted() => return Err(fault),
            Step::Failed(fault @ Fault::Layer(_)) if !end.is_verified() => return Err(fault),
            Step::Blocked | Step::Failed(_) => return Ok(false),
        }
    }
    Ok(true)
}

/// The acknowledgement of a FIN raises an edge, that of the last bytes before a reset none; so look again by the clock,
/// soon at first, then ever less often.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is no loss in a send queue: our own FIN counts as one byte of it, once it was sent, and what the layers say of
/// our end was not for the peer's application.
pub(super) fn fin(end: &End) -> usize {
    usize::from(end.is_write_closed()) + end.words_behind_payload().unwrap_or(0)
}

/// Reads in one turn while discarding: a flooding peer must not hold the loop.
const DISCARDS: usize = 16;

/// How often in one turn the layers may answer what came while discarding.
const ROUNDS: usize = 4;

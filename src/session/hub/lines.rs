//! Whose bytes may go to an output that several share: whole lines, and who may speak before its line is whole.
//!
//! - What a client has sent passes up to its last newline. The rest is held until the newline comes, until it is
//!   [`LONGEST`] bytes, or until the client ends.
//! - With one client connected nobody can be interrupted, so the rest passes at once. The line that it begins is then
//!   *open*: whoever joins waits for its newline, but no longer than [`PATIENCE`], and not for more than [`LONGEST`]
//!   bytes of it.
//! - Nothing is added: the output is made of the clients' bytes alone. Where a client ends without a newline, or where a
//!   line is given up, the next text follows on the same line.

use std::time::{Duration, Instant};

/// The line that stands unfinished on the output, if there is one.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Who began it.
    speaker: u64,
    /// Bytes of it so far. Invariant: less than [`LONGEST`].
    length: usize,
    /// Since when others wait for its end.
    awaited: Option<Instant>,
}

/// What is to be decided upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech<'a> {
    /// Who speaks.
    pub(super) speaker: u64,
    /// How much of it was held back before. Invariant: no newline is in it.
    pub(super) held: usize,
    /// What came since.
    pub(super) new: &'a [u8],
    /// Nobody else is there.
    pub(super) alone: bool,
    /// Nothing comes after it.
    pub(super) ended: bool,
}

impl Lines {
    /// True if no line of another stands open.
    pub(super) fn may_speak(&self, speaker: u64) -> bool {
        self.open.as_ref().is_none_or(|open| open.speaker == speaker)
    }

    /// True if this one's line stands open.
    pub(super) fn is_speaking(&self, speaker: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.speaker == speaker)
    }

    /// How many bytes pass, of what was held and what is new together; the others are to be held. Only for who
    /// [may speak](Lines::may_speak).
    pub(super) fn pass(&mut self, speech: Speech) -> usize {
        let Speech { speaker, held, new, alone, ended } = speech;
        let all = held + new.len();
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| held + at + 1);
        let rest = all - whole;
        let open = self.open.take().filter(|_| whole == 0);
        if ended || rest == 0 && whole > 0 {
            return all;
        }
        if open.is_some() || alone {
            let (before, awaited) = open.map_or((0, None), |open| (open.length, open.awaited));
            let length = before + rest;
            self.open = (0 < length && length < LONGEST).then_some(Open { speaker, length, awaited });
            return all;
        }
        if rest >= LONGEST { all } else { whole }
    }

    /// Somebody else has something to say.
    pub(super) fn await_end(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.awaited.get_or_insert(now);
        }
    }

    /// The speaker is gone: its line is given up.
    pub(super) fn leave(&mut self, speaker: u64) {
        self.open.take_if(|open| open.speaker == speaker);
    }

    /// When the open line is given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.open.as_ref()?.awaited? + PATIENCE)
    }

    /// Gives up the open line once others have waited for long enough.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.open = None;
        }
    }
}

/// A line that is longer passes in pieces.
pub(super) const LONGEST: usize = 64 * 1024;

/// How long others wait for the end of an open line.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Speakers with what they have held back, and the common output.
    #[derive(Default)]
    struct Room {
        lines: Lines,
        held: [Vec<u8>; 3],
        output: Vec<u8>,
    }

    impl Room {
        fn say(&mut self, speaker: usize, new: &[u8], alone: bool, ended: bool) {
            let held = &mut self.held[speaker];
            let speech = Speech { speaker: speaker as u64, held: held.len(), new, alone, ended };
            assert!(self.lines.may_speak(speech.speaker));
            let passed = self.lines.pass(speech);
            held.extend(new);
            self.output.extend(held.drain(..passed));
        }
    }

    proptest! {
        #[test]
        fn lines_of_several_speakers_stay_whole_whatever_the_reads(
            reads in proptest::collection::vec((0usize..3, 1usize..12), 0..200),
        ) {
            let mut room = Room::default();
            // each speaker says its own digit, eight a line
            let mut said = [0usize; 3];
            for (speaker, count) in reads {
                let digit = b'0' + speaker as u8;
                let new: Vec<u8> =
                    (0..count).map(|i| if (said[speaker] + i) % 9 == 8 { b'\n' } else { digit }).collect();
                said[speaker] += count;
                room.say(speaker, &new, false, false);
                prop_assert!(room.held[speaker].len() < 9 && !room.held[speaker].contains(&b'\n'));
            }
            for line in room.output.split_inclusive(|byte| *byte == b'\n') {
                prop_assert!(line.len() == 9 && line[..8].iter().all(|byte| *byte == line[0]), "{:?}", line);
            }
            for speaker in 0..3 {
                room.say(speaker, b"", false, true);
            }
            prop_assert_eq!(room.output.len(), said.iter().sum::<usize>());
        }
    }

    #[test]
    fn the_only_speaker_is_never_held_back() {
        let mut room = Room::default();
        room.say(0, b"login: ", true, false);
        assert_eq!(room.output, b"login: ");
        assert!(!room.lines.may_speak(1) && room.lines.is_speaking(0));
        room.say(0, b"root\n", true, false);
        assert!(room.lines.may_speak(1));
    }

    #[test]
    fn an_open_line_is_awaited_for_a_second_at_most() {
        let mut room = Room::default();
        let now = Instant::now();
        room.say(0, b"half a", true, false);
        assert_eq!(room.lines.deadline(), None, "nobody waits");
        room.lines.await_end(now);
        room.say(0, b" line", false, false);
        room.lines.await_end(now + PATIENCE / 2);
        assert_eq!(room.lines.deadline(), Some(now + PATIENCE));
        room.lines.tick(now + PATIENCE / 2);
        assert!(!room.lines.may_speak(1));
        room.lines.tick(now + PATIENCE);
        assert!(room.lines.may_speak(1));
        room.say(1, b"whole\n", false, false);
        room.say(0, b" and the rest\n", false, false);
        assert_eq!(room.output, b"half a linewhole\n and the rest\n");
    }

    #[test]
    fn a_stream_without_newlines_passes_in_pieces_and_holds_nobody_up() {
        let mut room = Room::default();
        let half = vec![0; LONGEST / 2];
        room.say(0, &half, false, false);
        assert_eq!(room.output.len(), 0);
        room.say(0, &half, false, false);
        assert_eq!(room.output.len(), LONGEST);
        assert!(room.lines.may_speak(1));
        // one that began while it was alone is no different
        room.say(0, &half, true, false);
        assert!(!room.lines.may_speak(1));
        room.say(0, &half, false, false);
        assert!(room.lines.may_speak(1));
        assert_eq!(room.output.len(), 2 * LONGEST);
    }

    #[test]
    fn a_last_line_without_newline_passes_as_it_is() {
        let mut room = Room::default();
        room.say(0, b"no newline", false, false);
        room.say(0, b"", false, true);
        room.say(1, b"next\n", false, false);
        assert_eq!(room.output, b"no newlinenext\n");
    }
}

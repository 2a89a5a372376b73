//! Any bytes as datagrams with stamps and as a stream that is taken apart: nothing panics, the books add up, no payload is
//! longer than the limit, and however the stream comes in pieces, it gives the same payloads.
#![no_main]

use haul::datagram::sequence::{Account, STAMP, Stamp};
use haul::datagram::split::{Rule, Splitter};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 300;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    account(how, rest);
    let rule = match how % 6 {
        0 => Rule::Line,
        1 => Rule::Nul,
        2 => Rule::Size(usize::from(how >> 3) + 1),
        3 => Rule::Len16,
        4 => Rule::None,
        _ => Rule::Size(usize::MAX),
    };
    assert_eq!(split(rule, rest, rest.len().max(1)), split(rule, rest, usize::from(how >> 3) + 1));
});

/// Takes datagrams as they come, and with stamps that are near enough to mean something.
fn account(how: u8, bytes: &[u8]) {
    let (mut account, mut wrong) = (Account::new(), 0);
    for (at, part) in bytes.chunks(usize::from(how) + 1).enumerate() {
        account.drops(u32::from(part[0]), 1 + u64::from(how >> 7) * 63);
        let stamp = match Stamp::decode(part) {
            Some((stamp, payload)) => {
                assert_eq!(payload.len() + STAMP, part.len());
                stamp
            }
            None => {
                let sequence = u64::from(part[0]).wrapping_mul(1 << (how % 48)).wrapping_add(at as u64);
                Stamp {
                    session: u64::from(part[0] >> 6),
                    sequence,
                    sent_at: u64::MAX - sequence,
                    is_end: part[0] == 63,
                }
            }
        };
        assert_eq!(Stamp::decode(&stamp.encode()), Some((stamp, &[][..])));
        account.came(&stamp, part.len(), at as u64);
        wrong += 1;
        let report = account.report();
        assert!(report.received <= wrong && report.dropped_here <= report.lost && report.received <= report.sent);
    }
}

/// The payloads of a stream that comes in pieces of this length; what is wrong ends them.
fn split(rule: Rule, bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
    let (mut splitter, mut pending, mut found) = (Splitter::new(rule, LIMIT), Vec::new(), Vec::new());
    let mut pieces = bytes.chunks(piece);
    loop {
        let next = pieces.next();
        pending.extend(next.unwrap_or_default());
        loop {
            match splitter.next(&pending, next.is_none()) {
                Ok(Some(message)) => {
                    assert!(message.length <= LIMIT && message.used > 0 || rule == Rule::None);
                    found.push(pending[message.start..message.start + message.length].to_vec());
                    pending.drain(..message.used);
                }
                Ok(None) => break,
                Err(unfit) => {
                    assert!(!unfit.to_string().contains(char::is_control));
                    return found;
                }
            }
        }
        if next.is_none() {
            return found;
        }
    }
}

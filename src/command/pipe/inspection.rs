//! What is learnt of the bytes of a pipe on their way: their digest, and how many records they are.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;

use sha2::Digest as _;

use crate::buffer::Portion;
use crate::digest::Digest;
use crate::meter::Meter;
use crate::plan::pipe::{Algorithm, Pipe};
use crate::session::tap::{Tap, Watch};

/// Looks at everything that is delivered. Clones share what they have seen.
#[derive(Clone)]
pub(super) struct Inspection(Rc<RefCell<Findings>>);

struct Findings {
    hasher: Option<Hasher>,
    /// The byte that ends a record.
    ends: Option<u8>,
    meter: Arc<Meter>,
}

enum Hasher {
    Blake3(Box<Digest>),
    Sha256(Box<sha2::Sha256>),
}

impl Inspection {
    /// What the plan wants to know; `None` where that is nothing, so that the bytes need not pass through memory.
    pub(super) fn new(plan: &Pipe, meter: Arc<Meter>) -> Option<Self> {
        if plan.hash.is_none() && plan.records.is_none() {
            return None;
        }
        let hasher = plan.hash.as_ref().map(|hash| match hash.algorithm {
            Algorithm::Blake3 => Hasher::Blake3(Box::default()),
            Algorithm::Sha256 => Hasher::Sha256(Box::default()),
        });
        Some(Inspection(Rc::new(RefCell::new(Findings { hasher, ends: plan.records, meter }))))
    }

    /// What shows the bytes from the source to it.
    pub(super) fn tap(&self) -> Tap {
        Tap::new(self.clone(), [true, false])
    }

    /// The digest of everything seen, in hexadecimal, if there is to be one.
    pub(super) fn digest(&self) -> Option<String> {
        let findings = self.0.borrow();
        Some(match findings.hasher.as_ref()? {
            Hasher::Blake3(hasher) => hasher.finalize().to_hex().to_string(),
            Hasher::Sha256(hasher) => hexadecimal(&hasher.clone().finalize()),
        })
    }
}

impl Watch for Inspection {
    fn seen(&mut self, direction: usize, bytes: &[u8]) {
        self.seen_portion(direction, bytes.into());
    }

    fn seen_portion(&mut self, _: usize, portion: Portion<'_>) {
        let findings = &mut *self.0.borrow_mut();
        match &mut findings.hasher {
            Some(Hasher::Blake3(hasher)) => hasher.update(portion),
            Some(Hasher::Sha256(hasher)) => hasher.update(portion.bytes()),
            None => {}
        }
        if let Some(end) = findings.ends {
            findings.meter.add_records(memchr::memchr_iter(end, &portion).count() as u64);
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // a string takes everything
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One line as the coreutils print it: the digest, two blanks and the name. In a name with a backslash, a newline or a
/// carriage return these are escaped, and the line begins with a backslash to say so.
pub(super) fn line(digest: &str, name: &[u8]) -> Vec<u8> {
    let odd = name.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    let mut line = if odd { vec![b'\\'] } else { Vec::new() };
    line.extend_from_slice(digest.as_bytes());
    line.extend_from_slice(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(hasher: Option<Hasher>, ends: Option<u8>) -> (Inspection, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (Inspection(Rc::new(RefCell::new(Findings { hasher, ends, meter: Arc::clone(&meter) }))), meter)
    }

    #[test]
    fn digests_are_those_of_the_standards_however_the_bytes_are_cut() {
        // FIPS 180-4's own example, and the first of BLAKE3's test vectors
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (mut sha, _) = watch(Some(Hasher::Sha256(Box::default())), None);
        sha.seen(0, b"a");
        sha.seen(0, b"bc");
        assert_eq!(sha.digest().as_deref(), Some(abc));
        let (blake, _) = watch(Some(Hasher::Blake3(Box::default())), None);
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(blake.digest().as_deref(), Some(empty));
        let content: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
        let (mut blake, _) = watch(Some(Hasher::Blake3(Box::default())), None);
        for (i, piece) in content.chunks(77_777).enumerate() {
            let (a, b) = piece.split_at(i * 1000 % piece.len());
            blake.seen(0, a);
            blake.seen(0, b);
        }
        assert_eq!(blake.digest().unwrap(), blake3::hash(&content).to_hex().to_string());
    }

    #[test]
    fn ends_of_records_are_counted_and_nothing_else() {
        let (mut lines, meter) = watch(None, Some(b'\n'));
        lines.seen(0, b"one\ntwo");
        lines.seen(0, b"\n\nlast without an end\0");
        assert_eq!((meter.records(), lines.digest()), (3, None));
    }

    #[test]
    fn odd_names_are_escaped_as_the_coreutils_do() {
        assert_eq!(line("00ff", b"-"), b"00ff  -\n");
        assert_eq!(line("00ff", b"a b"), b"00ff  a b\n");
        assert_eq!(line("00ff", b"a\nb\\c\rd"), b"\\00ff  a\\nb\\\\c\\rd\n");
    }
}

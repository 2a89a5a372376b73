//! Whether a text that comes in pieces is UTF-8 (RFC 3629), with at most three bytes kept between two of them.

/// What is known of one text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose rest has not come.
    held: [u8; 4],
    have: usize,
}

/// The text is no UTF-8, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// Takes the next piece.
    pub(super) fn take(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.have > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.held[self.have] = byte;
            self.have += 1;
            piece = rest;
            match std::str::from_utf8(&self.held[..self.have]) {
                Ok(_) => self.have = 0,
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                let rest = &piece[error.valid_up_to()..];
                self.held[..rest.len()].copy_from_slice(rest);
                self.have = rest.len();
                Ok(())
            }
        }
    }

    /// The text is over, and the next begins.
    pub(super) fn end(&mut self) -> Result<(), NotUtf8> {
        match std::mem::take(&mut self.have) {
            0 => Ok(()),
            _ => Err(NotUtf8),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged(pieces: impl Iterator<Item = Vec<u8>>) -> bool {
        let mut utf8 = Utf8::default();
        for piece in pieces {
            if utf8.take(&piece).is_err() {
                return false;
            }
        }
        utf8.end().is_ok()
    }

    proptest! {
        #[test]
        fn every_cut_is_judged_as_the_whole(
            text in any::<String>(),
            noise in proptest::collection::vec(any::<u8>(), 0..4),
            at in any::<proptest::sample::Index>(),
            cut in 1usize..7,
        ) {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, noise);
            let whole = std::str::from_utf8(&bytes).is_ok();
            prop_assert_eq!(judged(bytes.chunks(cut).map(<[u8]>::to_vec)), whole);
        }
    }

    #[test]
    fn a_character_that_cannot_become_one_is_refused_at_once() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.take(b"a\xed"), Ok(()));
        // a surrogate: whatever comes third
        assert_eq!(utf8.take(b"\xa0"), Err(NotUtf8));
    }
}

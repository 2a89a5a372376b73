//! What a peer has sent since the last match, as far as it is remembered, and the search for the next one.
//!
//! A stream is searched while it grows, and a match that touches its end may be another one with the next byte. One
//! that may only grow (`.*`) is *open*: the caller waits for more, and takes it when the peer has ended or falls silent,
//! since what matched is there whatever follows. One that holds only where the stream ends (`^OK$` behind `OK`, which
//! may become `OKAY`) is *unsure*: silence proves nothing, and it is taken when the peer has ended or the time is over.

use regex::bytes::Regex;

use crate::error::{Error, Op};
use crate::escape::Escaped;
use crate::plan::dialogue::pattern;

/// A regular expression for a stream: `^` and `$` are per line, and a line ends with LF or CRLF.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// Compiles it; the compiled size is bounded.
    ///
    /// # Errors
    /// It does not parse, or is too large (status 2).
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let built = pattern(text).map(|regex| Pattern { regex });
        built.map_err(|bad| Error::said(Op::Parse, format!("the pattern '{text}'"), bad.to_string()))
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        self.regex.as_str()
    }
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
    /// Where the search goes on. Invariant: at most `bytes.len()`; what stands before it is there so that `^` and `\b`
    /// see where they are.
    from: usize,
    /// Some bytes since the last match are forgotten.
    cut: bool,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A match that holds only if no more bytes come.
    Unsure,
    /// A match that more bytes may make longer.
    Open,
    /// A match.
    Match,
}

impl Window {
    /// Takes bytes that came. Search before more than [`CHUNK`] bytes are added, since the oldest are forgotten.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > LIMIT + CHUNK + CONTEXT {
            let from = self.from.max(self.bytes.len() - LIMIT - CHUNK);
            self.cut |= from > self.from;
            self.from = from;
            self.forget();
        }
    }

    /// Searches for `pattern`.
    pub(super) fn search(&self, pattern: &Pattern) -> Found {
        match pattern.regex.find_at(&self.bytes, self.from) {
            None => Found::Nothing,
            Some(found) if found.end() < self.bytes.len() => Found::Match,
            Some(found) => self.outlook(pattern, found.start()),
        }
    }

    /// Takes the match out of the window; the next search goes on behind it.
    pub(super) fn take(&mut self, pattern: &Pattern) -> Option<Vec<u8>> {
        let found = pattern.regex.find_at(&self.bytes, self.from)?;
        let (taken, end) = (found.as_bytes().to_vec(), found.end());
        (self.from, self.cut) = (end, false);
        self.forget();
        Some(taken)
    }

    /// What came since the last match, for a message: `"-ERR unknown command\r\n"`, or `nothing`.
    pub(super) fn told(&self) -> String {
        let all = &self.bytes[self.from..];
        if all.is_empty() {
            return "nothing".into();
        }
        let shown = &all[all.len().saturating_sub(SHOWN)..];
        let dots = if self.cut || shown.len() < all.len() { "…" } else { "" };
        format!("\"{dots}{}\"", Escaped(shown))
    }

    /// What a next byte may do to a match that ends with the window and begins at `start`.
    fn outlook(&self, pattern: &Pattern, start: usize) -> Found {
        let mut longer = self.bytes.clone();
        let end = longer.len();
        longer.push(0);
        let mut after = |byte| {
            longer[end] = byte;
            match pattern.regex.find_at(&longer, self.from) {
                Some(found) if found.start() == start && found.end() == end => Found::Match,
                Some(found) if found.start() == start && found.end() > end => Found::Open,
                _ => Found::Unsure,
            }
        };
        // all of the few, since one may lengthen what another undoes; they are of every kind that an anchor tells apart
        let few = PROBES.map(&mut after);
        if few.contains(&Found::Unsure) {
            return Found::Unsure;
        }
        if few.contains(&Found::Open) {
            return Found::Open;
        }
        (0..=u8::MAX).map(after).find(|found| *found != Found::Match).unwrap_or(Found::Match)
    }

    /// Drops what neither a search nor its context needs.
    fn forget(&mut self) {
        let unneeded = self.from.saturating_sub(CONTEXT);
        self.bytes.drain(..unneeded);
        self.from -= unneeded;
    }
}

/// Bytes that a match may have in all.
pub(super) const LIMIT: usize = 64 * 1024;

/// Most bytes to add between two searches.
pub(super) const CHUNK: usize = 16 * 1024;

/// Bytes kept before the place where the search goes on: a whole character, so that `\b` sees it.
const CONTEXT: usize = 4;

/// Bytes of the window that a message shows: the last ones, where an answer's error stands.
const SHOWN: usize = 160;

/// A letter, a digit, a space, the ends of a line: what every anchor tells apart, and most of what a match grows by.
const PROBES: [u8; 5] = *b"x0 \n\r";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compiled(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn window(bytes: &[u8]) -> Window {
        let mut window = Window::default();
        window.push(bytes);
        window
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_begin_where_they_begin() {
        for bytes in [&b"a\r\n+PONG\r\n"[..], b"+PONG\n", b"a\n+PONG\nb"] {
            assert_eq!(window(bytes).take(&compiled("^\\+PONG$")).as_deref(), Some(&b"+PONG"[..]), "{bytes:?}");
        }
        assert_eq!(window(b"a+PONG\r\n").search(&compiled("^\\+PONG$")), Found::Nothing);
        // behind a match in the middle of a line is no beginning
        let mut rest = window(b"ab\ncd\n");
        rest.take(&compiled("a"));
        assert_eq!(rest.search(&compiled("^b")), Found::Nothing);
        assert_eq!(rest.take(&compiled("^.")).as_deref(), Some(&b"c"[..]));
    }

    #[test]
    fn a_match_that_the_next_byte_may_lengthen_is_open() {
        for (text, bytes) in [("220 .*", "220 mail"), ("^OK.*$", "OK"), ("o+", "foo"), ("x*", "")] {
            assert_eq!(window(bytes.as_bytes()).search(&compiled(text)), Found::Open, "{text}");
        }
    }

    #[test]
    fn a_match_that_the_next_byte_may_undo_is_unsure() {
        for (text, bytes) in [
            ("^OK$", "a\nOK"),
            ("OK\\r?$", "OK"),
            ("OK\\r?$", "OK\r"),
            ("OK\\z", "OK"),
            ("err\\b", "an err"),
            ("\\bfoo\\b", "foo"),
            ("(?-u:err\\b)", "err"),
            ("$", ""),
            ("a+$", "aa"),
            ("O(K$)?", "OK"),
        ] {
            assert_eq!(window(bytes.as_bytes()).search(&compiled(text)), Found::Unsure, "{text}");
        }
    }

    #[test]
    fn a_match_that_no_next_byte_changes_is_one() {
        for (text, bytes) in [("^OK$", "OK\r"), ("220 .*", "220 mail\n"), ("login: ", "login: "), ("^", "")] {
            assert_eq!(window(bytes.as_bytes()).search(&compiled(text)), Found::Match, "{text}");
        }
    }

    #[test]
    fn the_search_goes_on_behind_the_match() {
        let mut window = window(b"one two one");
        assert_eq!(window.take(&compiled("one")).as_deref(), Some(&b"one"[..]));
        assert_eq!(window.told(), "\" two one\"");
        assert_eq!(window.take(&compiled("one")).as_deref(), Some(&b"one"[..]));
        assert_eq!(window.take(&compiled("one")), None);
        assert_eq!(window.told(), "nothing");
    }

    #[test]
    fn the_window_is_bounded_and_says_that_it_forgot() {
        let mut window = Window::default();
        for _ in 0..100 {
            window.push(&[b'a'; CHUNK]);
            assert!(window.bytes.len() <= LIMIT + 2 * CHUNK + CONTEXT);
        }
        assert_eq!(window.search(&compiled("^a")), Found::Nothing, "its beginning is no beginning of a line");
        assert_eq!(window.told(), format!("\"…{}\"", "a".repeat(SHOWN)));
        window.push(&[b'b'; LIMIT]);
        assert_eq!(window.search(&compiled("b{5}c")), Found::Nothing);
        window.push(b"c");
        assert_eq!(window.take(&compiled("b+c")).map(|taken| taken.len()), Some(LIMIT + 1));
    }

    #[test]
    fn a_bad_pattern_is_a_usage_error() {
        let error = Pattern::parse("a(b\x1b").unwrap_err();
        assert_eq!(error.line(), "cannot understand the pattern 'a(b\\x1b': unclosed group (at character 2)");
        assert_eq!(error.status().code(), 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_without_unicode() {
        let found = window(b"\xff\xfe\x01end").take(&compiled("(?-u:\\xff.)\\x01"));
        assert_eq!(found.as_deref(), Some(&b"\xff\xfe\x01"[..]));
    }

    /// All matches of these patterns, taken as the dialogue takes them, while `bytes` come in such pieces.
    fn matches(texts: &[&str], bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let (mut window, mut found) = (Window::default(), Vec::new());
        let mut patterns = texts.iter().map(|text| compiled(text)).peekable();
        let mut rest = bytes;
        let mut cuts = cuts.iter().cycle();
        loop {
            let count = cuts.next().copied().unwrap_or(1).min(rest.len());
            window.push(&rest[..count]);
            rest = &rest[count..];
            while let Some(next) = patterns.peek() {
                let state = window.search(next);
                if state == Found::Nothing || state != Found::Match && !rest.is_empty() {
                    break;
                }
                found.extend(window.take(next));
                patterns.next();
            }
            if rest.is_empty() {
                return found;
            }
        }
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_same_matches(cuts in proptest::collection::vec(1usize..9, 1..20)) {
            let bytes = b"220 mail.example ready\r\n250-SIZE 1000\r\n250 HELP\r\n> ";
            let texts = ["^220 .*$", "^250 .*", "\\d*", "> $"];
            prop_assert_eq!(matches(&texts, bytes, &cuts), matches(&texts, bytes, &[bytes.len()]));
        }
    }
}

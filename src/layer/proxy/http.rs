//! HTTP CONNECT, with the Basic login of RFC 7617.

use super::{Destination, Heard, Refusal};
use crate::buffer::Buffer;
use crate::escape::Escaped;
use crate::secret::Login;

/// The wait for the answer to a CONNECT.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// The header of the answer, as far as it has come.
    header: Vec<u8>,
    /// Bytes of its last line, without its end.
    line: usize,
    /// Bytes of all headers before this one: a proxy that says 100 again and again is heard out only so long.
    before: usize,
    /// What it was told of who asks.
    login: Option<Login>,
}

impl Http {
    /// The request for a way to `destination`, and the wait for its answer.
    pub(super) fn new(destination: &Destination, login: Option<Login>) -> Result<(Self, Vec<u8>), String> {
        let at = destination.authority();
        let length = login.as_ref().map_or(0, |login| login.user().len() + login.password().len() + 1);
        // all of it at once, so that no copy of the login stays behind where it grew
        let mut words = Vec::with_capacity(2 * at.len() + length.div_ceil(3) * 4 + FIXED);
        words.extend_from_slice(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n").as_bytes());
        if let Some(login) = &login {
            words.extend_from_slice(b"Proxy-Authorization: Basic ");
            words.extend_from_slice(&login.basic());
            words.extend_from_slice(b"\r\n");
        }
        words.extend_from_slice(b"\r\n");
        Ok((Http { login, ..Http::default() }, words))
    }

    /// Takes headers up to the one that decides, and not a byte behind it.
    pub(super) fn hear(&mut self, wire: &mut Buffer) -> Result<Heard, Refusal> {
        while self.take_header(wire)? {
            let (agreed, refusal) = self.judge();
            match refusal {
                Some(refusal) => return Err(refusal),
                None if agreed => return Ok(Heard::Agreed),
                None => {
                    self.before += self.header.len();
                    self.header.clear();
                }
            }
        }
        Ok(Heard::More)
    }

    /// True once a header is whole.
    fn take_header(&mut self, wire: &mut Buffer) -> Result<bool, Refusal> {
        let mut whole = false;
        let mut taken = 0;
        let room = LONGEST.saturating_sub(self.before + self.header.len());
        for byte in wire.filled().iter().take(room) {
            taken += 1;
            match byte {
                b'\n' if self.line == 0 => {
                    whole = true;
                    break;
                }
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => self.line += 1,
            }
        }
        self.header.extend_from_slice(&wire.filled()[..taken]);
        wire.consume(taken);
        let shown = self.header.len().min(BEGINNING.len());
        if self.header[..shown] != BEGINNING[..shown] {
            let advice = "the scheme of -x that the proxy speaks: http, https or socks5";
            return Err(Refusal { advice: Some(advice.into()), ..Refusal::said("gave an answer that is not HTTP") });
        }
        if !whole && taken == room {
            return Err(Refusal::said("did not end its answer within 64 KiB"));
        }
        self.line = if whole { 0 } else { self.line };
        Ok(whole)
    }

    /// What a whole header says: agreed or not yet, or refused.
    fn judge(&self) -> (bool, Option<Refusal>) {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let mut parser = httparse::ParserConfig::default();
        // only the status and what it wants for a login are of interest
        parser.allow_obsolete_multiline_headers_in_responses(true);
        parser.allow_spaces_after_header_name_in_responses(true);
        parser.ignore_invalid_headers_in_responses(true);
        // the code counts whatever the words behind it are
        let line = memchr::memchr(b'\n', &self.header).unwrap_or(self.header.len());
        let mut header = self.header.clone();
        header[..line]
            .iter_mut()
            .filter(|byte| byte.is_ascii_control() && **byte != b'\r')
            .for_each(|byte| *byte = b'?');
        let parsed = parser.parse_response(&mut answer, &header);
        let (Ok(httparse::Status::Complete(_)), Some(code)) = (parsed, answer.code) else {
            return (false, Some(Refusal::said("gave an answer that is not HTTP")));
        };
        match code {
            100 | 102..=199 => (false, None),
            200..=299 => (true, None),
            _ => (false, Some(self.refusal(code, self.header[..line].get(WORDS..).unwrap_or_default(), &answer))),
        }
    }

    fn refusal(&self, code: u16, reason: &[u8], answer: &httparse::Response) -> Refusal {
        let reason = self.shown(reason.trim_ascii());
        let told = format!("{code} {reason}");
        let told = told.trim_end();
        let logged_in = self.login.is_some();
        // 401 is what tinyproxy says of a wrong login
        if !(code == 407 || code == 401 && logged_in) {
            // it could not connect, by one code or another
            let passing = matches!(code, 500 | 502..=504);
            return Refusal { passing, ..Refusal::said(format!("answered {told}")) };
        }
        let fields = || answer.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("proxy-authenticate"));
        // a password may be of several words: all are looked at before they are told apart
        let way = |value: &[u8]| match self.repeats_login(value) {
            true => STARS.into(),
            false => self.shown(value.split(|byte| b" ,".contains(byte)).next().unwrap_or_default()),
        };
        let ways: Vec<_> = fields().map(|field| way(field.value)).filter(|way| !way.is_empty()).collect();
        // several may stand in one line
        let knows = |value: &[u8]| {
            let mut words = value.split(|byte| b" ,".contains(byte));
            words.any(|word| word.eq_ignore_ascii_case(b"basic"))
        };
        if !ways.is_empty() && !fields().any(|field| knows(field.value)) {
            let ways = ways.join(" or ");
            return Refusal::said(format!("wants a login by {ways}, and haul knows only Basic ({told})"));
        }
        let said = if logged_in { "does not accept the login" } else { "wants a login" };
        Refusal::login(format!("{said} ({told})"), logged_in)
    }

    /// The beginning of the proxy's words, for a person; three stars where they repeat a password that it was told.
    fn shown(&self, words: &[u8]) -> String {
        if self.repeats_login(words) {
            return STARS.into();
        }
        let text = String::from_utf8_lossy(words);
        let beginning: String = text.chars().take(LONGEST_REASON).collect();
        Escaped(beginning.as_bytes()).to_string()
    }

    fn repeats_login(&self, words: &[u8]) -> bool {
        self.login.as_ref().is_some_and(|login| login.is_told_by(words))
    }
}

/// What stands for a password.
const STARS: &str = "***";

/// How every answer begins.
const BEGINNING: &[u8] = b"HTTP/1.";

/// Where the words begin, behind the version and the code.
const WORDS: usize = b"HTTP/1.1 407 ".len();

/// Bytes of all headers together.
const LONGEST: usize = 64 * 1024;

/// Fields of one header.
const MOST_FIELDS: usize = 128;

/// Characters of the proxy's words that are told.
const LONGEST_REASON: usize = 100;

/// What a request has besides the destination and the login, rounded up.
const FIXED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_never_outgrows_its_memory() {
        let destination = Destination::Name("a".repeat(253), 65535);
        for length in [0, 1, 2, 100, 1000] {
            let login = Login::new(vec![b'u'; length], Some(vec![b'p'; length]));
            let (_, words) = Http::new(&destination, Some(login)).unwrap();
            assert!(words.len() <= 2 * 259 + (2 * length + 1).div_ceil(3) * 4 + FIXED);
        }
    }

    #[test]
    fn no_part_of_a_password_of_several_words_is_repeated() {
        let login = Login::new("me", Some("correct horse"));
        let (mut http, _) = Http::new(&Destination::Name("db".into(), 5432), Some(login)).unwrap();
        let mut wire = Buffer::new(200);
        wire.push(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: correct horse\r\n\r\n");
        let said = http.hear(&mut wire).err().unwrap().said;
        assert_eq!(said, "wants a login by ***, and haul knows only Basic (407 Who)");
    }
}

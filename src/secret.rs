//! What must not be seen: passwords, out of every message and out of memory that is given back.

use std::fmt;

use data_encoding::BASE64;
use zeroize::{Zeroize, Zeroizing};

/// Who logs in, and with which password. Only the user is ever shown; both are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Zeroizing<Vec<u8>>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Login {
    /// A user with a password, or without one where the protocol knows none.
    pub fn new(user: impl Into<Vec<u8>>, password: Option<impl Into<Vec<u8>>>) -> Self {
        Login { user: Zeroizing::new(user.into()), password: password.map(|bytes| Zeroizing::new(bytes.into())) }
    }

    /// `USER:PASSWORD`, or `USER` alone: the user ends at the first colon (RFC 7617, 2).
    pub fn parse(text: &[u8]) -> Self {
        match text.iter().position(|byte| *byte == b':') {
            Some(colon) => Login::new(&text[..colon], Some(&text[colon + 1..])),
            None => Login::new(text, None::<Vec<u8>>),
        }
    }

    /// The user.
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password; empty where there is none.
    pub fn password(&self) -> &[u8] {
        self.password.as_ref().map_or(&[], |password| password.as_slice())
    }

    /// `USER:PASSWORD` in base64: what HTTP's Basic login shows (RFC 7617, 2).
    pub fn basic(&self) -> Zeroizing<Vec<u8>> {
        let plain = Zeroizing::new([self.user(), b":", self.password()].concat());
        // as long as it will be, so that no copy stays behind where it grew
        let mut text = Zeroizing::new(vec![0; BASE64.encode_len(plain.len())]);
        BASE64.encode_mut(&plain, &mut text);
        text
    }

    /// True if these words give the password away, plainly or as [`Login::basic`] has it.
    pub fn is_told_by(&self, words: &[u8]) -> bool {
        let told = |secret: &[u8]| !secret.is_empty() && words.windows(secret.len()).any(|part| part == secret);
        // the padding may be left out
        let basic = self.basic();
        let bare = basic.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
        self.has_password() && (told(self.password()) || told(&basic[..bare]))
    }

    /// True if a password was given, be it an empty one.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// Bytes to be said that hold a secret: as much as fits at a time, wiped once they are said.
#[derive(Default)]
pub struct Words {
    bytes: Vec<u8>,
    /// Invariant: `said <= bytes.len()`.
    said: usize,
}

impl Words {
    /// These bytes, which are taken over so that no copy is left behind.
    pub fn new(bytes: Vec<u8>) -> Self {
        Words { bytes, said: 0 }
    }

    /// Says these, too, behind the rest.
    pub fn add(&mut self, bytes: Vec<u8>) {
        let more = Words::new(bytes);
        let mut all = Vec::with_capacity(self.rest().len() + more.bytes.len());
        all.extend_from_slice(self.rest());
        all.extend_from_slice(&more.bytes);
        // both are wiped where they stood
        *self = Words::new(all);
    }

    /// What is still to be said.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.said..]
    }

    /// The first `count` bytes of the rest are said.
    pub fn said(&mut self, count: usize) {
        self.said = (self.said + count).min(self.bytes.len());
        if self.said == self.bytes.len() {
            self.bytes.zeroize();
            self.said = 0;
        }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({} bytes)", self.rest().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_split_at_its_first_colon_and_never_shown() {
        let login = Login::parse(b"me:pass:word");
        assert_eq!((login.user(), login.password()), (&b"me"[..], &b"pass:word"[..]));
        assert_eq!(format!("{login:?}"), "Login(***)");
        assert!(!Login::parse(b"me").has_password() && Login::parse(b"me:").has_password());
    }

    #[test]
    fn a_password_is_recognised_in_what_others_say() {
        let login = Login::parse(b"me:s3cr3t");
        assert_eq!(&login.basic()[..], b"bWU6czNjcjN0");
        assert_eq!(&Login::parse(b"").basic()[..], b"Og==");
        for (words, told) in [
            ("no s3cr3t here", true),
            ("Basic bWU6czNjcjN0 is wrong", true),
            ("Bad Request", false),
            ("me", false),
            ("", false),
        ] {
            assert_eq!(login.is_told_by(words.as_bytes()), told, "{words}");
        }
        assert!(Login::parse(b"me:pass").is_told_by(b"bWU6cGFzcw") && !Login::parse(b"me:").is_told_by(b"me"));
    }

    #[test]
    fn words_are_said_in_any_pieces() {
        let mut words = Words::new(b"secret".to_vec());
        words.said(2);
        assert_eq!(words.rest(), b"cret");
        assert_eq!(format!("{words:?}"), "Words(4 bytes)");
        words.add(b"more".to_vec());
        assert_eq!(words.rest(), b"cretmore");
        words.said(8);
        assert!(words.rest().is_empty() && words.bytes.capacity() >= 6);
    }
}

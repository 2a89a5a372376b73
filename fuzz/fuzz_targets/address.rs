//! Any bytes as an endpoint: nothing panics, messages are fit for a terminal, and what is accepted can be written back.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use haul::plan::address::{Address, BadAddress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|word: &[u8]| {
    check(Address::parse(OsStr::from_bytes(word)));
    check(Address::unix_path(OsStr::from_bytes(word)));
    let mut words = word.splitn(2, |byte| *byte == b' ').map(OsStr::from_bytes);
    if let Some(first) = words.next() {
        check(Address::parse_words(first, words.next()));
    }
});

fn check(parsed: Result<Address, BadAddress>) {
    match parsed {
        Ok(address) => {
            let written = address.to_os_string();
            assert_eq!(Address::parse(&written).as_ref(), Ok(&address), "written as {written:?}");
            assert!(!address.to_string().contains(char::is_control));
            let _ = (address.protocol(), address.is_network(), address.is_loopback_or_local());
        }
        Err(error) => {
            assert!(!error.cause.is_empty());
            assert!(!error.cause.contains(char::is_control), "{:?}", error.cause);
            assert!(!error.hint.is_some_and(|hint| hint.contains(char::is_control)));
        }
    }
}

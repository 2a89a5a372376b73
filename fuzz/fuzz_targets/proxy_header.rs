//! Any bytes as a PROXY header, in any pieces: nothing panics, a verdict does not depend on the pieces, no header is
//! longer than the bound, and what was read is written and read again as the same.
#![no_main]

use haul::layer::proxy_header::{LONGEST, Parties, parse, write_v1, write_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = parse(input);
    let first = (0..=input.len()).map(|count| parse(&input[..count])).find(|found| *found != Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
    match whole {
        Ok(None) => assert!(input.len() < LONGEST),
        Ok(Some((parties, length))) => {
            assert!(length <= LONGEST.min(input.len()));
            let again = |header: Vec<u8>| match parse(&header) {
                Ok(Some((parties, length))) if length == header.len() => parties,
                other => panic!("{other:?} of {header:?}"),
            };
            let told = again(write_v2(&parties));
            assert_eq!(again(write_v2(&told)), told);
            if !matches!(parties, Parties::Unix(..)) {
                assert_eq!(again(write_v1(&parties)), told);
            }
        }
        Err(flaw) => assert!(!flaw.0.is_empty()),
    }
});

//! What each failure says.

use super::*;

fn greeted(rest: &[u8]) -> Vec<u8> {
    [&GREETING[..], rest].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&frame::header(frame::DATA, bytes.len())[..], bytes].concat()
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// What comes, and the line that it has to end with.
fn check(cases: Vec<(Vec<u8>, String)>) {
    for (wire, line) in cases {
        let (_, failure) = feed(&mut side(600), &wire, true);
        assert_eq!(line_and_status(failure), (line, ExitStatus::Verify));
    }
}

#[test]
fn each_failure_of_a_stream_says_what_it_is() {
    let mut other = GREETING;
    other[VERSION_AT] = 9;
    let begun = "receiving failed after 3 B";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (b"SSH-2.0".to_vec(), "nothing was transferred: the peer does not use --verify".into()),
        (vec![], "nothing was transferred: the peer ended without the greeting of --verify".into()),
        (
            GREETING[..4].to_vec(),
            "nothing was transferred: stream cut short: the peer ended within its greeting".into(),
        ),
        (other.to_vec(), "nothing was transferred: the peer speaks version 9 of --verify, this is version 1".into()),
        (greeted(&data(b"abc")), format!("{begun}: stream cut short: the peer ended without saying that it was done")),
        (
            greeted(&[data(b"abc"), frame::end(3, &digest(b"abx"))].concat()),
            format!("{begun}: digest mismatch: what arrived is not what was sent"),
        ),
        (
            greeted(&[data(b"abc"), frame::end(4, &digest(b"abc"))].concat()),
            format!("{begun}: stream cut short: 3 bytes arrived, 4 were sent"),
        ),
        (
            greeted(&[data(b"abc"), frame::abort("input/output\x1berror")].concat()),
            format!("{begun}: the peer stopped: input/output\\x1berror"),
        ),
        (
            greeted(&[data(b"abc"), frame::end(3, &digest(b"abc")), data(b"d")].concat()),
            format!("{begun}: the peer broke the protocol of --verify: something follows the end"),
        ),
        (
            greeted(&[data(b"abc"), frame::header(frame::DATA, LONGEST_DATA + 1).to_vec()].concat()),
            format!("{begun}: the peer broke the protocol of --verify: a data frame of more than 1 MiB"),
        ),
        (
            greeted(&[data(b"abc"), frame::header(frame::DATA, 0).to_vec()].concat()),
            format!("{begun}: the peer broke the protocol of --verify: an empty data frame"),
        ),
        (
            greeted(&[data(b"abc"), frame::receipt(Verdict::Good, 0, "")].concat()),
            format!("{begun}: the peer broke the protocol of --verify: a receipt for nothing"),
        ),
    ];
    check(cases);
}

#[test]
fn each_receipt_that_is_not_good_says_what_it_is() {
    let begun = "sending failed after 3 B";
    check(vec![
        (
            greeted(&frame::receipt(Verdict::NotWritten, 3, "no space left on device")),
            format!("{begun}: the receiver could not write: no space left on device"),
        ),
        (
            greeted(&frame::receipt(Verdict::Corrupt, 3, "")),
            format!("{begun}: the receiver found that what arrived is not what was sent"),
        ),
        (
            greeted(&frame::receipt(Verdict::Truncated, 3, "")),
            format!("{begun}: the receiver found the stream cut short"),
        ),
        (
            greeted(&frame::end(0, &digest(b""))),
            "sending failed after 0 B: the peer ended without confirming that everything arrived".into(),
        ),
    ]);
}

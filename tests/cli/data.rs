//! Payloads: reproducible bytes without a period that a buffer could share, sizes that straddle buffer edges, and a
//! comparison that says where two payloads part.

/// Sizes at and around the edges of pages, pipes and buffers.
pub const SIZES: [usize; 13] = [
    0,
    1,
    4095,
    4096,
    4097,
    65_535,
    65_536,
    65_537,
    (256 << 10) - 1,
    256 << 10,
    (256 << 10) + 1,
    (1 << 20) + 1,
    (5 << 20) + 3,
];

/// The sizes for tests that pay much for each run.
pub const FEW_SIZES: [usize; 4] = [0, 1, 65_537, (1 << 20) + 1];

/// `len` bytes of the xorshift64* sequence that starts at `seed`.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while out.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        out.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Panics with both lengths and the first differing offset unless `got` is `want`.
#[track_caller]
pub fn assert_same(what: &str, got: &[u8], want: &[u8]) {
    if got == want {
        return;
    }
    let at = got.iter().zip(want).take_while(|(g, w)| g == w).count();
    panic!(
        "{what}: {} bytes instead of {}, first difference at offset {at}: got {:02x?}, expected {:02x?}",
        got.len(),
        want.len(),
        excerpt(got, at),
        excerpt(want, at)
    );
}

/// Like [`assert_same`], but `got` may stop anywhere.
#[track_caller]
pub fn assert_prefix(what: &str, got: &[u8], want: &[u8]) {
    assert!(got.len() <= want.len(), "{what}: {} bytes came of {}", got.len(), want.len());
    assert_same(what, got, &want[..got.len()]);
}

fn excerpt(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at.min(bytes.len())..(at + 8).min(bytes.len())]
}

#[test]
fn a_seed_always_gives_the_same_bytes() {
    assert_eq!(bytes(7, 100), bytes(7, 200)[..100]);
    assert_ne!(bytes(7, 100), bytes(8, 100));
}

//! Masking with wider registers than those of the oldest machine that this is compiled for.

/// Copies the front of `from` to `to`, each four bytes combined with `key`, whose lowest byte comes first; how many bytes
/// that were, a multiple of four: none where there is nothing wider than what the compiler uses by itself.
pub fn mask(key: u32, from: &[u8], to: &mut [u8]) -> usize {
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    if from.len() >= avx2::BLOCK && std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has what the function wants of it, as it just said
        return unsafe { avx2::mask(key, from, to) };
    }
    let _ = (key, from, to);
    0
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
mod avx2 {
    use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256, _mm256_xor_si256};

    /// Bytes that are masked in one go; what is left is for the caller.
    pub(super) const BLOCK: usize = 128;

    #[target_feature(enable = "avx2")]
    pub(super) fn mask(key: u32, from: &[u8], to: &mut [u8]) -> usize {
        let key = _mm256_set1_epi32(key.cast_signed());
        let (from, to) = (from.as_chunks::<BLOCK>().0, to.as_chunks_mut::<BLOCK>().0);
        for (from, to) in from.iter().zip(&mut *to) {
            // spelled out, since a release is compiled for its size and would not unroll a loop
            if let ([a, b, c, d], [to_a, to_b, to_c, to_d]) = (from.as_chunks().0, to.as_chunks_mut().0) {
                store(_mm256_xor_si256(load(a), key), to_a);
                store(_mm256_xor_si256(load(b), key), to_b);
                store(_mm256_xor_si256(load(c), key), to_c);
                store(_mm256_xor_si256(load(d), key), to_d);
            }
        }
        from.len().min(to.len()) * BLOCK
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: 32 bytes are behind the reference, and this load wants no alignment
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(value: __m256i, bytes: &mut [u8; 32]) {
        // SAFETY: likewise, and nobody else has the 32 bytes
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whatever the machine does of it is right, and the rest is as it was.
    #[test]
    fn what_is_masked_is_masked_right() {
        let from: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        for (start, end) in (0..40).flat_map(|start| (start..1000).step_by(37).map(move |end| (start, end))) {
            let mut to = vec![0; end - start];
            let done = mask(0x0403_0201, &from[start..end], &mut to);
            assert!(done <= to.len() && done.is_multiple_of(4));
            let right = |(i, byte): (usize, &u8)| if i < done { byte ^ (i % 4 + 1) as u8 } else { 0 };
            assert_eq!(to, from[start..end].iter().enumerate().map(right).collect::<Vec<_>>());
        }
    }
}

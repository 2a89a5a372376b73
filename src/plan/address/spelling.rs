//! The known word that a mistyped one most likely meant.

/// The candidate nearest to `word` by insertions, deletions, substitutions and swaps of neighbours, ignoring case;
/// `None` where nothing is near: one slip in a short word, two in a longer one.
pub(super) fn nearest(word: &[u8], candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    const LONGEST: usize = 24;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let allowed = allowed(&word);
    let near = candidates.map(|candidate| (distance(&word, candidate.as_bytes()), candidate));
    near.filter(|(distance, _)| *distance <= allowed).min_by_key(|(distance, _)| *distance).map(|(_, found)| found)
}

/// True if `typed` is `meant` with a slip, by the measure of `nearest`.
pub fn is_slip(typed: &str, meant: &str) -> bool {
    distance(typed.as_bytes(), meant.as_bytes()) <= allowed(typed.as_bytes())
}

fn allowed(word: &[u8]) -> usize {
    match word.len() {
        0 | 1 => 0,
        2..=4 => 1,
        _ => 2,
    }
}

/// Optimal string alignment distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        const WORDS: &[&str] = &["tcp", "udp", "unix", "random", "user-timeout"];
        let near = |word: &str| nearest(word.as_bytes(), WORDS.iter().copied());
        assert_eq!(near("tpc"), Some("tcp"));
        assert_eq!(near("UDP"), Some("udp"));
        assert_eq!(near("randmo"), Some("random"));
        assert_eq!(near("usertimeout"), Some("user-timeout"));
        for other in ["", "x", "http", "localhost", "a-very-long-word-that-is-no-scheme"] {
            assert_eq!(near(other), None, "{other}");
        }
    }
}

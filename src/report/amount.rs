//! Numbers as a person reads them: bytes with a binary unit and three digits, seconds as a clock or with decimals.

use std::fmt;
use std::time::Duration;

/// A number of bytes: `0 B`, `1023 B`, `1.00 GiB`, `31.4 MiB`; at most eight characters wide.
pub(super) struct Amount(pub(super) u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64;
        let mut unit = "";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
            // 1023.5 would round to 1024 of the smaller unit
            if !unit.is_empty() && value < 1023.5 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        // the limits are those at which rounding would add a fourth digit
        let decimals = match value {
            v if v < 9.995 => 2,
            v if v < 99.95 => 1,
            _ => 0,
        };
        f.pad(&format!("{value:.decimals$} {unit}"))
    }
}

/// Whole seconds as `m:ss`, from an hour on as `h:mm:ss`.
pub(super) struct Clock(pub(super) Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0.as_secs() / 60, self.0.as_secs() % 60);
        match minutes / 60 {
            0 => f.pad(&format!("{minutes}:{seconds:02}")),
            hours => f.pad(&format!("{hours}:{:02}:{seconds:02}", minutes % 60)),
        }
    }
}

/// Bytes per second over `span`; 0 if there is no span to divide by.
pub(super) fn per_second(bytes: u64, span: Duration) -> u64 {
    if span.is_zero() {
        return 0;
    }
    (bytes as f64 / span.as_secs_f64()) as u64
}

/// Seconds for JSON, to the millisecond: more digits would claim a precision that the timer lacks.
pub(super) fn json_secs(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_three_digits_and_never_exceed_eight_columns() {
        let shown = |n| Amount(n).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1.00 KiB");
        assert_eq!(shown(10 * 1024 - 1), "10.0 KiB");
        assert_eq!(shown(1024 * 1024 - 1), "1.00 MiB");
        assert_eq!(shown(1 << 30), "1.00 GiB");
        assert_eq!(shown(u64::MAX), "16.0 EiB");
        for shift in 0..64 {
            for near in [-1i64, 0, 1] {
                let n = (1u64 << shift).wrapping_add_signed(near);
                assert!(shown(n).len() <= 8, "{n}: {}", shown(n));
            }
        }
    }

    #[test]
    fn a_clock_shows_hours_only_when_there_are_any() {
        assert_eq!(Clock(Duration::from_millis(5900)).to_string(), "0:05");
        assert_eq!(Clock(Duration::from_secs(3725)).to_string(), "1:02:05");
    }
}

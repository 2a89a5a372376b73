//! What the progress line says, fitted to a width: pure text, ASCII.

use std::time::Duration;

use super::amount::{Amount, Clock};
use super::pace::Pace;

/// What stands left and right of the bar; where there is no bar the right one is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    pub(super) left: String,
    pub(super) right: String,
}

impl Texts {
    /// Chooses what fits into `width` columns: text, a bar of at least [`SHORTEST_BAR`], text; else as many numbers
    /// as there is room for. Numbers are padded, so that nothing jumps when a digit comes or goes.
    pub(super) fn fit(pace: &Pace, width: usize) -> Self {
        let moved = Amount(pace.moved);
        let rate = format!("{:>8}/s", Amount(pace.current));
        let counted =
            pace.records.map(|(records, current)| (format!("{records} records"), format!("{current} records/s")));
        let (Some(size), Some(percent)) = (pace.size, pace.percent()) else {
            let spinner = SPINNER[(pace.elapsed.as_millis() / FRAME_EVERY.as_millis()) as usize % SPINNER.len()];
            let average = format!("{:>8}/s average", Amount(pace.average()));
            let mut fields = vec![format!("{spinner} {moved:>8}"), Clock(pace.elapsed).to_string(), rate, average];
            if let Some((records, current)) = counted {
                fields.splice(1..1, [records]);
                fields.splice(4..4, [current]);
            }
            let left = joined(&fields, width);
            return Texts { left, right: String::new() };
        };
        let percent = format!("{:>3}%", percent as u64);
        let eta = pace.eta().map_or_else(|| "-:--".to_string(), |eta| Clock(eta).to_string());
        let mut right = format!("{moved:>8} / {}  {rate}  ETA {eta:>5}", Amount(size));
        if let Some((records, current)) = &counted {
            right = format!("{right}  {records:>18}  {current:>16}");
        }
        if percent.len() + right.len() + BRACKETS + SHORTEST_BAR <= width {
            return Texts { left: percent, right };
        }
        let mut fields = vec![percent.trim_start().to_string(), moved.to_string(), rate, format!("ETA {eta}")];
        fields.extend(counted.map(|(records, _)| records));
        let left = joined(&fields, width);
        Texts { left, right: String::new() }
    }
}

/// As many of `fields`, ASCII, as fit into `width`; the first is cut if even that is too long.
fn joined(fields: &[String], width: usize) -> String {
    let mut line = String::new();
    for field in fields {
        let gap = if line.is_empty() { "" } else { "  " };
        if !line.is_empty() && line.len() + gap.len() + field.len() > width {
            break;
        }
        line += gap;
        line += field;
    }
    line.truncate(width);
    line
}

/// Time between two frames, and two positions of the spinner.
pub(super) const FRAME_EVERY: Duration = Duration::from_millis(100);
/// The brackets around the bar and the blanks around them.
const BRACKETS: usize = 4;
const SHORTEST_BAR: usize = 8;
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_useful_numbers_stay_when_room_gets_scarce() {
        let pace = Pace {
            moved: 3 << 20,
            size: Some(6 << 20),
            elapsed: Duration::from_secs(3),
            current: 1 << 20,
            records: None,
        };
        let left = |width| Texts::fit(&pace, width).left;
        assert_eq!(left(50), "50%  3.00 MiB  1.00 MiB/s  ETA 0:03");
        assert_eq!(left(30), "50%  3.00 MiB  1.00 MiB/s");
        assert_eq!(left(20), "50%  3.00 MiB");
        assert_eq!(left(5), "50%");
        assert_eq!(left(1), "5");
        let unknown = Pace { size: None, ..pace };
        assert_eq!(Texts::fit(&unknown, 80).left, "- 3.00 MiB  0:03  1.00 MiB/s  1.00 MiB/s average");
        assert_eq!(Texts::fit(&unknown, 20).left, "- 3.00 MiB  0:03");
        let counted = Pace { records: Some((12, 4)), ..unknown };
        let all = "- 3.00 MiB  12 records  0:03  1.00 MiB/s  4 records/s  1.00 MiB/s average";
        assert_eq!(Texts::fit(&counted, 80).left, all);
        assert_eq!(Texts::fit(&counted, 22).left, "- 3.00 MiB  12 records");
        let both = Pace { records: Some((12, 4)), ..pace };
        assert_eq!(Texts::fit(&both, 70).left, "50%  3.00 MiB  1.00 MiB/s  ETA 0:03  12 records");
    }

    #[test]
    fn the_numbers_beside_the_bar_do_not_jump() {
        let size = Some(40 << 30);
        let mut pace = Pace { moved: 0, size, elapsed: Duration::from_secs(1), current: 0, records: None };
        let widths = |pace: &Pace| {
            let texts = Texts::fit(pace, 100);
            (texts.left.len(), texts.right.len())
        };
        let first = widths(&pace);
        for step in 0..400 {
            pace.moved = step * 107_374_182;
            pace.current = 1 << (step % 35) | 1 << 24;
            assert_eq!(widths(&pace), first, "{pace:?}");
        }
    }
}

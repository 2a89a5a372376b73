//! Probabilities as people write them: `1%`, `0.05%`.

use std::fmt;
use std::str::FromStr;

use super::{BadQuantity, Number};

/// How often something happens, in parts of a thousand million: exact for seven digits behind the point of a percentage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

impl Chance {
    /// 0%.
    pub const NEVER: Chance = Chance(0);

    /// 100%.
    pub const ALWAYS: Chance = Chance(1_000_000_000);

    /// Of [`Chance::ALWAYS`].
    pub fn parts(self) -> u64 {
        u64::from(self.0)
    }
}

impl FromStr for Chance {
    type Err = BadQuantity;

    /// # Errors
    /// [`BadQuantity`] for what is no number from 0 to 100 with a `%` behind it.
    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        let bad = |cause: &str, hint| BadQuantity { cause: cause.into(), hint };
        let (number, unit) = Number::split(text).map_err(|cause| bad(cause, None))?;
        if unit != "%" {
            let number = text.trim_end_matches(unit);
            let meant = unit.is_empty() || matches!(unit.trim(), "%" | "percent");
            return Err(bad("a % has to follow the number", meant.then(|| format!("{number}%"))));
        }
        match number.times(PERCENT, 1) {
            Some(parts) if parts <= Chance::ALWAYS.parts() => Ok(Chance(parts as u32)),
            _ => Err(bad("it is more than 100%", None)),
        }
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.parts() / PERCENT, self.parts() % PERCENT);
        match rest {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{}%", format!("{rest:07}").trim_end_matches('0')),
        }
    }
}

/// Parts in one percent.
const PERCENT: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_is_exact_and_a_wrong_one_is_answered_with_the_right_one() {
        for (text, parts) in
            [("0%", 0), ("1%", 10_000_000), ("1.5%", 15_000_000), (".0000001%", 1), ("100%", 1_000_000_000)]
        {
            assert_eq!(text.parse::<Chance>().map(Chance::parts), Ok(parts), "{text}");
        }
        let hint = |text: &str| text.parse::<Chance>().unwrap_err().hint;
        for (text, right) in [("5", "5%"), ("0.1", "0.1%"), ("5 %", "5%"), ("5percent", "5%")] {
            assert_eq!(hint(text).as_deref(), Some(right), "{text}");
        }
        for text in ["", "%", "-1%", "101%", "100.1%", "5x", "5%%", "1.2.3%"] {
            assert_eq!(hint(text), None, "{text}");
        }
        assert_eq!("100.1%".parse::<Chance>().unwrap_err().to_string(), "it is more than 100%");
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(parts in 0u32..=1_000_000_000, text in "[0-9.]{0,25}[ a-z%]{0,4}|.{0,30}") {
            prop_assert_eq!(Chance(parts).to_string().parse(), Ok(Chance(parts)));
            if let Err(BadQuantity { hint: Some(hint), .. }) = text.parse::<Chance>() {
                prop_assert!(hint.parse::<Chance>().is_ok() || hint.trim_end_matches('%').parse::<f64>().is_ok_and(|n| n > 100.0));
            }
        }
    }
}

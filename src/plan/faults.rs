//! A bad network on demand: what is to go wrong, in which direction.
//!
//! A value counts for both directions unless `:up` (from the client to the target) or `:down` stands behind it. Whatever
//! is random is decided by the seed, the number of the session and the direction, so that a run can be repeated.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::advice::{clash, lonely};
use crate::error::{Error, Op};
use crate::units::{BadQuantity, Chance, Size, Span};

/// What faults may hold in memory in one direction where `--buffer` is not given.
pub const DEFAULT_HOLD: Size = Size(16 << 20);

/// Which way bytes go through a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    Up,
    /// From the target to the client.
    Down,
}

impl Direction {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Up => "up",
            Direction::Down => "down",
        }
    }
}

/// A value, and the direction it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aimed<T> {
    /// It.
    pub value: T,
    /// `None`: both.
    pub at: Option<Direction>,
}

impl<T> Aimed<T> {
    /// Reads `VALUE`, `VALUE:up` or `VALUE:down`.
    ///
    /// # Errors
    /// What `parse` says of the value, with the direction put behind its hint; a direction that is none.
    pub fn parse(text: &str, parse: impl Fn(&str) -> Result<T, BadQuantity>) -> Result<Self, BadQuantity> {
        let Some((value, way)) = text.split_once(':') else {
            return Ok(Aimed { value: parse(text)?, at: None });
        };
        let at = match way {
            "up" => Direction::Up,
            "down" => Direction::Down,
            _ => {
                let lower = way.trim().to_ascii_lowercase();
                let meant = ["up", "down"].into_iter().find(|name| !lower.is_empty() && name.starts_with(&lower));
                let hint = meant.filter(|_| parse(value).is_ok()).map(|name| format!("{value}:{name}"));
                return Err(BadQuantity { cause: "the direction is not up or down".into(), hint });
            }
        };
        let with_way =
            |BadQuantity { cause, hint }| BadQuantity { cause, hint: hint.map(|hint| format!("{hint}:{}", at.name())) };
        Ok(Aimed { value: parse(value).map_err(with_way)?, at: Some(at) })
    }
}

impl<T: FromStr<Err = BadQuantity>> FromStr for Aimed<T> {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<Self, BadQuantity> {
        Aimed::parse(text, str::parse)
    }
}

/// What was typed, before it is known to fit together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `--delay`
    pub delay: Vec<Aimed<Span>>,
    /// `--jitter`
    pub jitter: Vec<Aimed<Span>>,
    /// `--reset-after`
    pub reset_after: Vec<Aimed<Size>>,
    /// `--stall-after`
    pub stall_after: Vec<Aimed<Size>>,
    /// `--chop`
    pub chop: Vec<Aimed<Size>>,
    /// `--corrupt`
    pub corrupt: Vec<Aimed<Chance>>,
    /// `--loss`
    pub loss: Vec<Aimed<Chance>>,
    /// `--dup`
    pub dup: Vec<Aimed<Chance>>,
    /// `--reorder`
    pub reorder: Vec<Aimed<Chance>>,
    /// `--seed`
    pub seed: Option<u64>,
}

/// What is to go wrong in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How long everything is held back.
    pub delay: Duration,
    /// How much longer or shorter that may be. Invariant: at most `delay`.
    pub jitter: Duration,
    /// Bytes after which both sides are reset.
    pub reset_after: Option<u64>,
    /// Bytes after which nothing more comes through.
    pub stall_after: Option<u64>,
    /// Most bytes at once, never 0.
    pub chop: Option<u64>,
    /// How often a byte has one of its bits flipped.
    pub corrupt: Chance,
    /// How often a datagram is lost.
    pub loss: Chance,
    /// How often a datagram comes twice.
    pub dup: Chance,
    /// How often a datagram comes after the next one.
    pub reorder: Chance,
}

impl Way {
    /// True if nothing goes wrong.
    pub fn is_sound(&self) -> bool {
        *self == Way::default()
    }
}

/// What is to go wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// From the client to the target.
    pub up: Way,
    /// From the target to the client.
    pub down: Way,
    /// What decides whatever is random; `None`: any number, to be told.
    pub seed: Option<u64>,
}

impl Faults {
    /// Fits together what was typed.
    ///
    /// # Errors
    /// A flag given twice for one direction, flags that contradict each other, flags that mean nothing alone.
    pub fn new(wishes: &Wishes) -> Result<Self, Error> {
        let Wishes { delay, jitter, reset_after, stall_after, chop, corrupt, loss, dup, reorder, seed } = wishes;
        let mut faults = Faults { seed: *seed, ..Faults::default() };
        faults.set("--delay", delay, |way, span| way.delay = span.0)?;
        faults.set("--reset-after", reset_after, |way, size| way.reset_after = Some(size.0))?;
        faults.set("--stall-after", stall_after, |way, size| way.stall_after = Some(size.0))?;
        faults.set("--chop", chop, |way, size| way.chop = Some(size.0))?;
        faults.set("--corrupt", corrupt, |way, chance| way.corrupt = chance)?;
        faults.set("--loss", loss, |way, chance| way.loss = chance)?;
        faults.set("--dup", dup, |way, chance| way.dup = chance)?;
        faults.set("--reorder", reorder, |way, chance| way.reorder = chance)?;
        faults.add_jitter(jitter)?;
        for way in [&faults.up, &faults.down] {
            if way.reset_after.is_some() && way.stall_after.is_some() {
                let why = "in one direction only the first of them can happen";
                return Err(clash("--reset-after", "--stall-after", why, "one of them, or :up and :down behind them"));
            }
        }
        if seed.is_some() && faults.is_sound() {
            let why = "it decides what goes wrong, and nothing is to";
            return Err(lonely("--seed", "a fault", why, "--corrupt 0.1% --seed 1"));
        }
        Ok(faults)
    }

    fn set<T: Copy>(&mut self, flag: &str, wishes: &[Aimed<T>], put: impl Fn(&mut Way, T)) -> Result<(), Error> {
        let mut given = [false; 2];
        for wish in wishes {
            for (direction, given) in [Direction::Up, Direction::Down].into_iter().zip(&mut given) {
                if wish.at.is_some_and(|at| at != direction) {
                    continue;
                }
                if std::mem::replace(given, true) {
                    let why = format!("it was given twice for the direction {}", direction.name());
                    return Err(
                        Error::said(Op::Use, flag, why).with_advice("it once, or :up and :down behind its values")
                    );
                }
                put(self.way_mut(direction), wish.value);
            }
        }
        Ok(())
    }

    /// A jitter for both directions counts where there is a delay.
    fn add_jitter(&mut self, wishes: &[Aimed<Span>]) -> Result<(), Error> {
        let alone = || {
            let why = "there is no delay that could vary";
            lonely("--jitter", "--delay", why, "--delay 40ms --jitter 10ms")
        };
        self.set("--jitter", wishes, |way, span| way.jitter = span.0)?;
        if !self.is_late() && wishes.iter().any(|wish| !wish.value.0.is_zero()) {
            return Err(alone());
        }
        for direction in [Direction::Up, Direction::Down] {
            let aimed = wishes.iter().any(|wish| wish.at == Some(direction));
            let way = self.way_mut(direction);
            if way.delay.is_zero() {
                if aimed && !way.jitter.is_zero() {
                    return Err(alone());
                }
                way.jitter = Duration::ZERO;
            }
            if way.jitter > way.delay {
                let why = "nothing can come before it was sent: the delay may vary by at most itself";
                let remedy = format!("--jitter {}", Span(way.delay));
                return Err(clash("--jitter", "a shorter --delay", why, &remedy));
            }
        }
        Ok(())
    }

    fn is_late(&self) -> bool {
        !self.up.delay.is_zero() || !self.down.delay.is_zero()
    }

    /// What goes wrong in one direction.
    pub fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn way_mut(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// True if nothing goes wrong.
    pub fn is_sound(&self) -> bool {
        self.up.is_sound() && self.down.is_sound()
    }

    /// The first flag that was given and means nothing to a stream, which loses nothing and keeps its order.
    pub fn only_for_datagrams(&self) -> Option<&'static str> {
        let any = |pick: fn(&Way) -> bool| pick(&self.up) || pick(&self.down);
        let flags = [
            ("--loss", any(|way| way.loss != Chance::NEVER)),
            ("--dup", any(|way| way.dup != Chance::NEVER)),
            ("--reorder", any(|way| way.reorder != Chance::NEVER)),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    /// The first flag that was given and means nothing to datagrams, which have no place in a stream.
    pub fn only_for_streams(&self) -> Option<&'static str> {
        let any = |pick: fn(&Way) -> bool| pick(&self.up) || pick(&self.down);
        let flags = [
            ("--reset-after", any(|way| way.reset_after.is_some())),
            ("--stall-after", any(|way| way.stall_after.is_some())),
            ("--chop", any(|way| way.chop.is_some())),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// As `--explain` tells it: `up: delay 40ms, corrupt 1%; down: chop 5; seed 7`.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sound() {
            return f.write_str("none");
        }
        if self.up == self.down {
            write!(f, "both ways: {}", self.up)?;
        } else {
            let ways = [Direction::Up, Direction::Down].map(|direction| (direction.name(), self.way(direction)));
            let wrong = ways.into_iter().filter(|(_, way)| !way.is_sound());
            let told: Vec<_> = wrong.map(|(name, way)| format!("{name}: {way}")).collect();
            f.write_str(&told.join("; "))?;
        }
        self.seed.map_or(Ok(()), |seed| write!(f, "; seed {seed}"))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |name: &str, value: Duration| (!value.is_zero()).then(|| format!("{name} {}", Span(value)));
        let size = |name: &str, value: Option<u64>| value.map(|value| format!("{name} {}", Size(value)));
        let chance = |name: &str, value: Chance| (value != Chance::NEVER).then(|| format!("{name} {value}"));
        let told = [
            span("delay", self.delay),
            span("jitter", self.jitter),
            size("reset after", self.reset_after),
            size("stall after", self.stall_after),
            size("chop", self.chop),
            chance("corrupt", self.corrupt),
            chance("loss", self.loss),
            chance("dup", self.dup),
            chance("reorder", self.reorder),
        ];
        f.write_str(&told.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;

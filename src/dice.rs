//! Pseudo-random numbers that a seed decides, the same on every machine: what faults are made of.
//!
//! There is no sequence to keep in step: the number of a throw is part of the question. What happens to the millionth
//! byte therefore does not depend on how the bytes before it came.

use std::time::Duration;

use crate::units::Chance;

/// A die for one purpose. Its throws are numbered, and each comes out the same whenever it is asked for (splitmix64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dice(u64);

impl Dice {
    /// The die of a seed.
    pub fn new(seed: u64) -> Self {
        Dice(mixed(seed))
    }

    /// Another one, which has nothing to do with this one: for a session, a direction, a purpose.
    pub fn derived(self, name: u64) -> Self {
        Dice(mixed(self.0 ^ mixed(name.wrapping_add(STEP))))
    }

    /// A number of which every bit is even.
    pub fn throw(self, nth: u64) -> u64 {
        mixed(self.0.wrapping_add(nth.wrapping_mul(STEP)))
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(self, nth: u64, bound: u64) -> u64 {
        ((u128::from(self.throw(nth)) * u128::from(bound)) >> 64) as u64
    }

    /// True as often as `chance` says.
    pub fn hits(self, nth: u64, chance: Chance) -> bool {
        self.below(nth, Chance::ALWAYS.parts()) < chance.parts()
    }

    /// Flips a bit of as many bytes as `chance` says; `place` is that of the first of them in its stream.
    pub fn corrupt(self, chance: Chance, place: u64, bytes: &mut [u8]) {
        if chance == Chance::NEVER {
            return;
        }
        let bits = self.derived(BIT);
        for (byte, place) in bytes.iter_mut().zip(place..) {
            if self.hits(place, chance) {
                *byte ^= 1 << bits.below(place, 8);
            }
        }
    }

    /// A delay that varies by up to `jitter` (at most itself), evenly.
    pub fn varied(self, nth: u64, delay: Duration, jitter: Duration) -> Duration {
        if jitter.is_zero() {
            return delay;
        }
        let jitter = jitter.min(delay);
        let width = u64::try_from(2 * jitter.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
        delay - jitter + Duration::from_nanos(self.below(nth, width))
    }
}

/// A seed that is another one in each run.
pub fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The golden ratio, odd: multiples of it are spread evenly.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The die beside one that says which byte is hit: it says which bit.
const BIT: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        // a later version that changes these changes what people's tests do
        let dice = Dice::new(1).derived(7);
        assert_eq!([0, 1, 2].map(|nth| dice.below(nth, 1000)), [743, 780, 717]);
    }

    #[test]
    fn chances_are_kept_and_dice_do_not_know_of_each_other() {
        let hits = |dice: Dice, chance: &str| {
            let chance = chance.parse().unwrap();
            (0..100_000).filter(|nth| dice.hits(*nth, chance)).count()
        };
        for seed in [0, 1, 2, u64::MAX] {
            let dice = Dice::new(seed);
            assert_eq!((hits(dice, "0%"), hits(dice, "100%")), (0, 100_000));
            for (chance, expected) in [("50%", 50_000), ("1%", 1_000), ("99%", 99_000)] {
                let count = hits(dice, chance);
                assert!(count.abs_diff(expected) < 700, "{count} of {expected} for seed {seed}");
            }
            let (one, other) = (dice.derived(0), dice.derived(1));
            let alike = (0..100_000).filter(|nth| one.below(*nth, 10) == other.below(*nth, 10)).count();
            assert!(alike.abs_diff(10_000) < 700, "{alike} for seed {seed}");
        }
    }
}

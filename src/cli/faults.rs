//! Flags that make a bad network.

use super::value::{self, Value, fault};
use crate::error::Error;
use crate::plan::faults::{Aimed, Wishes};
use crate::units::{Chance, Size, Span};

#[derive(Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Faults, for both directions, or behind the value :up to the target, :down to the client"
)]
pub(super) struct Faults {
    /// Hold everything back for T, in its order; at most --buffer at once, then the sender waits [default: 0]
    ///
    /// The end of the stream and a reset are held back, too. A limit on idle sessions counts on meanwhile. Datagrams for
    /// which --buffer has no room are lost.
    #[arg(long, value_name = "T[:WAY]", value_parser = Value(value::units::<Aimed<Span>>))]
    delay: Vec<Aimed<Span>>,

    /// Let the delay vary by up to T more or less, evenly [default: 0]
    ///
    /// It is drawn anew for whatever was read at once, and for each datagram. Streams keep their order: what would
    /// overtake waits. Datagrams do overtake.
    #[arg(long, value_name = "T[:WAY]", value_parser = Value(value::units::<Aimed<Span>>))]
    jitter: Vec<Aimed<Span>>,

    /// Reset both sides once exactly SIZE bytes have been delivered in a direction [default: never]
    #[arg(long, value_name = "SIZE[:WAY]", value_parser = Value(value::units::<Aimed<Size>>))]
    reset_after: Vec<Aimed<Size>>,

    /// Let nothing more through, not even an end, once SIZE bytes have been delivered in a direction [default: never]
    ///
    /// The other direction goes on. Limits such as -w still end the session; nothing else may.
    #[arg(long, value_name = "SIZE[:WAY]", value_parser = Value(value::units::<Aimed<Size>>))]
    stall_after: Vec<Aimed<Size>>,

    /// Deliver at most SIZE bytes at once, over TCP in a segment of its own [default: as much as there is]
    #[arg(long, value_name = "SIZE[:WAY]", value_parser = Value(|v| match value::units::<Aimed<Size>>(v)? {
              Aimed { value: Size(0), .. } => Err(fault("at least 1 byte is needed")),
              size => Ok(size),
          }))]
    chop: Vec<Aimed<Size>>,

    /// Flip one bit of this part of all bytes, say 0.1% [default: of none]
    ///
    /// Which bytes and bits that are depends on the seed, the number of the session and the place in the stream alone.
    #[arg(long, value_name = "P%[:WAY]", value_parser = Value(value::units::<Aimed<Chance>>))]
    corrupt: Vec<Aimed<Chance>>,

    /// Lose this part of all datagrams [default: none]
    ///
    /// Which of a flow's datagrams that are depends on the seed, the number of the session and their own number alone.
    #[arg(long, value_name = "P%[:WAY]", value_parser = Value(value::units::<Aimed<Chance>>))]
    loss: Vec<Aimed<Chance>>,

    /// Send this part of all datagrams twice, each with a delay of its own [default: none]
    #[arg(long, value_name = "P%[:WAY]", value_parser = Value(value::units::<Aimed<Chance>>))]
    dup: Vec<Aimed<Chance>>,

    /// Send this part of all datagrams after the next one [default: none]
    ///
    /// Where no other follows for 50ms it goes by itself.
    #[arg(long, value_name = "P%[:WAY]", value_parser = Value(value::units::<Aimed<Chance>>))]
    reorder: Vec<Aimed<Chance>>,

    /// The number that decides what is random: the same one repeats it [default: any, told with -v]
    #[arg(long, value_name = "N", value_parser = Value(|v| value::number::<u64>(v).ok_or_else(|| fault("not a whole number"))))]
    seed: Option<u64>,
}

impl Faults {
    /// The part of a plan that says so.
    pub(super) fn faults(self) -> Result<crate::plan::faults::Faults, Error> {
        let Faults { delay, jitter, reset_after, stall_after, chop, corrupt, loss, dup, reorder, seed } = self;
        let wishes = Wishes { delay, jitter, reset_after, stall_after, chop, corrupt, loss, dup, reorder, seed };
        crate::plan::faults::Faults::new(&wishes)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Whole {
        #[command(flatten)]
        faults: Faults,
    }

    fn told(line: &str) -> String {
        let matches = Whole::command().try_get_matches_from(line.split_whitespace()).unwrap();
        Whole::from_arg_matches(&matches).unwrap().faults.faults().unwrap().to_string()
    }

    #[test]
    fn flags_may_be_repeated_for_the_other_direction() {
        Whole::command().debug_assert();
        assert_eq!(told(""), "none");
        assert_eq!(
            told("--delay 40ms:up --delay 1s:down --jitter 10ms --chop 1Ki --corrupt 0.5% --seed 18446744073709551615"),
            "up: delay 40ms, jitter 10ms, chop 1Ki, corrupt 0.5%; \
             down: delay 1s, jitter 10ms, chop 1Ki, corrupt 0.5%; seed 18446744073709551615"
        );
        assert_eq!(
            told("--loss 1% --dup 2%:up --reorder 3%:down --seed 1"),
            "up: loss 1%, dup 2%; down: loss 1%, reorder 3%; seed 1"
        );
        assert_eq!(told("--reset-after 0:up --stall-after 1M:down"), "up: reset after 0; down: stall after 1M");
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused() {
        for line in ["--chop 0", "--chop 0:up", "--delay -1s", "--corrupt 2", "--loss 101%", "--seed -1", "--seed x"] {
            assert!(Whole::command().try_get_matches_from(line.split_whitespace()).is_err(), "{line}");
        }
    }

    #[test]
    fn every_fault_is_explained() {
        for arg in Whole::command().get_arguments().filter(|arg| arg.get_long().is_some_and(|long| long != "help")) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("[default: "), "{arg}: {help}");
        }
    }
}

//! What fits together, and what is refused.

use super::*;

/// The wishes of a command line in which every flag has a value.
fn wishes(line: &str) -> Wishes {
    let mut wishes = Wishes::default();
    let words: Vec<_> = line.split_whitespace().collect();
    for pair in words.chunks(2) {
        let value = pair[1];
        match pair[0] {
            "--delay" => wishes.delay.push(value.parse().unwrap()),
            "--jitter" => wishes.jitter.push(value.parse().unwrap()),
            "--reset-after" => wishes.reset_after.push(value.parse().unwrap()),
            "--stall-after" => wishes.stall_after.push(value.parse().unwrap()),
            "--chop" => wishes.chop.push(value.parse().unwrap()),
            "--corrupt" => wishes.corrupt.push(value.parse().unwrap()),
            "--loss" => wishes.loss.push(value.parse().unwrap()),
            "--dup" => wishes.dup.push(value.parse().unwrap()),
            "--reorder" => wishes.reorder.push(value.parse().unwrap()),
            "--seed" => wishes.seed = Some(value.parse().unwrap()),
            flag => panic!("{flag}"),
        }
    }
    wishes
}

fn told(line: &str) -> String {
    Faults::new(&wishes(line)).unwrap().to_string()
}

fn refused(line: &str) -> String {
    Faults::new(&wishes(line)).unwrap_err().to_string()
}

#[test]
fn a_value_counts_for_both_directions_unless_it_names_one() {
    assert_eq!(told(""), "none");
    assert_eq!(told("--delay 40ms"), "both ways: delay 40ms");
    assert_eq!(told("--delay 40ms:up --corrupt 1.5%:down --seed 7"), "up: delay 40ms; down: corrupt 1.5%; seed 7");
    assert_eq!(told("--delay 40ms:up --delay 1s:down"), "up: delay 40ms; down: delay 1s");
    assert_eq!(told("--reset-after 1k --chop 5:up"), "up: reset after 1k, chop 5; down: reset after 1k");
    assert_eq!(told("--loss 1% --dup 2% --reorder 3%"), "both ways: loss 1%, dup 2%, reorder 3%");
    assert_eq!(told("--stall-after 0:down --reset-after 9:up"), "up: reset after 9; down: stall after 0");
}

#[test]
fn a_jitter_counts_where_there_is_a_delay() {
    assert_eq!(told("--delay 40ms:up --jitter 10ms"), "up: delay 40ms, jitter 10ms");
    assert_eq!(told("--delay 40ms --jitter 10ms:down"), "up: delay 40ms; down: delay 40ms, jitter 10ms");
    let lonely = "cannot use --jitter without --delay: there is no delay that could vary\n  \
                  try: --delay 40ms --jitter 10ms";
    for line in ["--jitter 10ms", "--jitter 10ms:up", "--delay 40ms:up --jitter 10ms:down"] {
        assert_eq!(refused(line), lonely, "{line}");
    }
    assert_eq!(
        refused("--delay 5ms --jitter 10ms"),
        "cannot use --jitter with a shorter --delay: nothing can come before it was sent: the delay may vary by at most \
         itself\n  try: --jitter 5ms"
    );
}

#[test]
fn contradictions_are_refused() {
    for line in ["--delay 1s --delay 2s", "--delay 1s --delay 2s:up", "--delay 1s:up --delay 1s:up"] {
        assert_eq!(
            refused(line),
            "cannot use --delay: it was given twice for the direction up\n  \
             try: it once, or :up and :down behind its values",
            "{line}"
        );
    }
    for line in ["--reset-after 5 --stall-after 9", "--reset-after 5:down --stall-after 9"] {
        assert!(refused(line).starts_with("cannot use --reset-after with --stall-after: "), "{line}");
    }
    assert!(refused("--seed 1").starts_with("cannot use --seed without a fault: "));
    assert!(refused("--seed 1 --loss 0%").starts_with("cannot use --seed without a fault: "));
}

#[test]
fn a_wrong_value_is_answered_with_the_right_one() {
    let hint = |text: &str| text.parse::<Aimed<Span>>().unwrap_err().hint;
    for (text, right) in
        [("40 ms:up", "40ms:up"), ("5 sec:down", "5s:down"), ("40ms:Up", "40ms:up"), ("40ms:d", "40ms:down")]
    {
        assert_eq!(hint(text).as_deref(), Some(right), "{text}");
    }
    for text in ["40ms:", "40ms:left", "x:up", ":up", "40ms:up:up"] {
        assert_eq!(hint(text), None, "{text}");
    }
    assert_eq!("1%".parse::<Aimed<Chance>>().unwrap(), Aimed { value: "1%".parse().unwrap(), at: None });
    assert_eq!("1".parse::<Aimed<Chance>>().unwrap_err().hint.as_deref(), Some("1%"));
    assert_eq!("1:up".parse::<Aimed<Chance>>().unwrap_err().hint.as_deref(), Some("1%:up"));
    assert_eq!("4ms:left".parse::<Aimed<Span>>().unwrap_err().to_string(), "the direction is not up or down");
}

#[test]
fn it_is_known_which_faults_a_stream_cannot_have_and_which_datagrams_cannot() {
    let faults = |line| Faults::new(&wishes(line)).unwrap();
    assert_eq!(faults("--delay 1s --corrupt 1%").only_for_datagrams(), None);
    assert_eq!(faults("--delay 1s --corrupt 1%").only_for_streams(), None);
    assert_eq!(faults("--dup 1%:up").only_for_datagrams(), Some("--dup"));
    assert_eq!(faults("--chop 5:down").only_for_streams(), Some("--chop"));
}

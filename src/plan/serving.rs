//! A listener's clients and its program: what of it fits together.

use super::address::Kind;
use super::advice::{Advice, advice, clash};
use super::{DEFAULT_GRACE, Flow, Listen, Local, Share};
use crate::error::Error;

/// Refuses contradictions, leaves standard input alone where it goes to nobody, and gives what is odd.
pub(super) fn settle(plan: &mut Listen) -> Result<Vec<Advice>, Error> {
    shared(plan)?;
    kind(plan)?;
    let merges = plan.serving.keep && plan.serving.share == Share::Merge && plan.local == Local::Stdio;
    if merges && plan.transfer.flow == Flow::SendOnly && plan.transfer.banner.is_empty() {
        let why = "standard input goes to none of several, so nothing is left to move";
        return Err(clash("--send-only", "many clients", why, "--fan-out, for standard input to every client"));
    }
    let odd = odd(plan);
    // several clients cannot share one input, and taking it from none of them is what -d does
    if merges && plan.transfer.flow == Flow::Both {
        plan.transfer.stdin = false;
    }
    Ok(odd)
}

/// `--fan-out` and `--broker`.
fn shared(plan: &Listen) -> Result<(), Error> {
    let flag = match plan.serving.share {
        Share::Merge => return Ok(()),
        Share::FanOut => "--fan-out",
        Share::Broker => "--broker",
    };
    if plan.local != Local::Stdio {
        return Err(clash(flag, "a program", "every client has a program of its own", "one of them"));
    }
    match (plan.serving.share, plan.transfer.flow) {
        (Share::FanOut, Flow::ReceiveOnly) => {
            Err(clash(flag, "--recv-only", "standard input is what it sends", "one of them"))
        }
        (Share::FanOut, _) if !plan.transfer.stdin => {
            Err(clash(flag, "-d", "standard input is what it sends", "one of them"))
        }
        (Share::Broker, Flow::ReceiveOnly) => {
            Err(clash(flag, "--recv-only", "what clients send goes to the others", "one of them"))
        }
        (Share::Broker, Flow::SendOnly) => {
            Err(clash(flag, "--send-only", "what clients send goes to the others", "one of them"))
        }
        _ => Ok(()),
    }
}

/// What a FIFO or a Unix socket has no use for.
fn kind(plan: &Listen) -> Result<(), Error> {
    let (serving, at) = (&plan.serving, plan.at.to_string());
    match &plan.at.kind {
        Kind::Fifo(_) if plan.local != Local::Stdio => {
            Err(clash("a program", &at, "a FIFO has no way back", "a shell redirection, or a Unix socket"))
        }
        Kind::Fifo(_) if serving.keep || serving.count.is_some() => {
            Err(clash("many clients", &at, "a FIFO has no connections", "a Unix socket"))
        }
        Kind::Fifo(_) if !plan.transfer.banner.is_empty() => {
            Err(clash("--banner", &at, "a FIFO is read here", "a Unix socket"))
        }
        Kind::Unix(..) | Kind::Path(_) | Kind::Fifo(_) => lists_and_the_nameless(plan),
        _ => Ok(()),
    }
}

/// Refuses access lists for an endpoint whose clients have no address: they would let everybody in. For a socket that
/// is handed over (`fd,listen:3`) that shows only once it is open.
///
/// # Errors
/// There are lists.
pub fn lists_and_the_nameless(plan: &Listen) -> Result<(), Error> {
    let lists = match (plan.serving.allow.is_empty(), plan.serving.deny.is_empty()) {
        (true, true) => return Ok(()),
        (true, false) => "--deny",
        (false, _) => "--allow",
    };
    let why = "who connects there has no address";
    Err(clash(lists, &plan.at.to_string(), why, "--mode and the directory's permissions"))
}

fn odd(plan: &Listen) -> Vec<Advice> {
    let serving = &plan.serving;
    let program = plan.local != Local::Stdio;
    let mut odd = Vec::new();
    let mut note = |condition: bool, sentence: &str, remedy: &str| {
        if condition {
            odd.push(advice(sentence, remedy));
        }
    };
    let one = !serving.keep;
    note(one && serving.most.is_some(), "-m changes nothing, for one connection is taken", "-k");
    note(one && serving.most_per_ip.is_some(), "--max-per-ip changes nothing, for one connection is taken", "-k");
    let local = matches!(plan.at.kind, Kind::Unix(..) | Kind::Path(_));
    note(
        !one && local && serving.most_per_ip.is_some(),
        "--max-per-ip changes nothing where nobody has an address",
        "-m",
    );
    note(
        serving.most.is_some_and(|most| serving.most_per_ip.is_some_and(|per_ip| per_ip > most)),
        "-m is reached before --max-per-ip can be",
        "a smaller --max-per-ip",
    );
    note(serving.open && !program, "--open is about programs, and none is run", "the command without it");
    note(
        serving.grace != DEFAULT_GRACE && one && !program && serving.then.is_none(),
        "--grace is about -k, --then and programs",
        "the command without it",
    );
    odd
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::address::{AccessList, Address, Program};
    use super::super::tests::listen_at;
    use super::super::{DEFAULT_GRACE, Serving};
    use super::*;

    fn listen(word: &str, change: fn(&mut Listen)) -> Listen {
        let mut plan = listen_at(Address::parse(OsStr::new(word)).unwrap());
        change(&mut plan);
        plan
    }

    #[track_caller]
    fn refused(word: &str, change: fn(&mut Listen)) -> String {
        settle(&mut listen(word, change)).unwrap_err().line()
    }

    fn cat() -> Local {
        Local::Program(Program::Words(vec!["cat".into()]))
    }

    #[test]
    fn contradictions_of_a_server_are_refused() {
        let line = refused("1", |plan| {
            plan.local = cat();
            plan.serving.share = Share::Broker;
        });
        assert_eq!(line, "cannot use --broker with a program: every client has a program of its own");
        let line = refused("1", |plan| {
            plan.serving.share = Share::FanOut;
            plan.transfer.stdin = false;
        });
        assert_eq!(line, "cannot use --fan-out with -d: standard input is what it sends");
        let line = refused("1", |plan| {
            plan.serving.share = Share::Broker;
            plan.transfer.flow = Flow::SendOnly;
        });
        assert_eq!(line, "cannot use --broker with --send-only: what clients send goes to the others");
        let line = refused("1", |plan| {
            plan.serving.keep = true;
            plan.transfer.flow = Flow::SendOnly;
        });
        assert_eq!(
            line,
            "cannot use --send-only with many clients: standard input goes to none of several, so nothing is left to move"
        );
    }

    #[test]
    fn what_has_no_connections_or_no_addresses_is_told_apart() {
        assert_eq!(
            refused("fifo:p", |plan| plan.local = cat()),
            "cannot use a program with fifo:p: a FIFO has no way back"
        );
        assert_eq!(
            refused("fifo:p", |plan| plan.serving.keep = true),
            "cannot use many clients with fifo:p: a FIFO has no connections"
        );
        assert_eq!(
            refused("unix:/s", |plan| plan.serving.deny = vec![AccessList::File("acl".into())]),
            "cannot use --deny with unix:/s: who connects there has no address"
        );
    }

    #[test]
    fn standard_input_goes_to_none_of_many_unless_it_is_fanned_out() {
        let stdin = |change| {
            let mut plan = listen("1", change);
            settle(&mut plan).unwrap();
            plan.transfer.stdin
        };
        assert!(stdin(|_| {}));
        assert!(!stdin(|plan| plan.serving.keep = true));
        assert!(stdin(|plan| {
            plan.serving.keep = true;
            plan.serving.share = Share::FanOut;
        }));
        assert!(stdin(|plan| {
            plan.serving.keep = true;
            plan.local = cat();
        }));
    }

    #[test]
    fn what_changes_nothing_is_told() {
        let sentences = |word: &str, serving: Serving| {
            let mut plan = listen(word, |_| {});
            plan.serving = serving;
            let odd = settle(&mut plan).unwrap();
            odd.into_iter().map(|advice| advice.sentence).collect::<Vec<_>>()
        };
        let plain = Serving::default;
        assert_eq!(sentences("1", plain()), Vec::<String>::new());
        assert_eq!(plain().grace, DEFAULT_GRACE);
        for (word, serving, sentence) in [
            ("1", Serving { most: Some(2), ..plain() }, "-m changes nothing, for one connection is taken"),
            ("1", Serving { open: true, ..plain() }, "--open is about programs, and none is run"),
            (
                "unix:/s",
                Serving { keep: true, most_per_ip: Some(2), ..plain() },
                "--max-per-ip changes nothing where nobody has an address",
            ),
            (
                "1",
                Serving { keep: true, most: Some(2), most_per_ip: Some(3), ..plain() },
                "-m is reached before --max-per-ip can be",
            ),
            ("1", Serving { grace: DEFAULT_GRACE * 2, ..plain() }, "--grace is about -k, --then and programs"),
        ] {
            assert_eq!(sentences(word, serving), [sentence]);
        }
    }
}

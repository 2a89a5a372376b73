//! Flags of a listener that serves many clients, and of who may be one.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::value::{self, Value, fault};
use crate::error::Error;
use crate::plan::address::BadAddress;
use crate::plan::{AccessList, DEFAULT_GRACE, Serving, Share, advice};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Many clients")]
pub(super) struct Clients {
    /// Keep accepting connections, many at once, until stopped; standard input then goes to nobody.
    ///
    /// With -u every peer is served and the latest answered without it, too: then -k only makes the status after SIGINT
    /// or SIGTERM 0.
    #[arg(short = 'k')]
    keep: bool,

    /// Hold at most N connections at once; 1 is one after the other [default: what the descriptor limit allows]
    #[arg(short = 'm', value_name = "N", value_parser = value::count())]
    most: Option<u64>,

    /// Hold at most N connections at once from one address [default: no limit]
    #[arg(long, value_name = "N", value_parser = value::count())]
    max_per_ip: Option<u64>,

    /// Accept N connections in all, then stop when they have ended [default: 1; with -k no limit]
    #[arg(long, value_name = "N", value_parser = value::count())]
    count: Option<u64>,

    /// Send standard input to every client; implies -k unless --count is given.
    #[arg(long)]
    fan_out: bool,

    /// Send what a client sends to every other client; implies -k unless --count is given.
    ///
    /// Bytes are passed on as they come. Over a WebSocket with --text each message stays whole; messages of bytes are a
    /// stream like any other: they may be joined and divided, and what others say may come between two parts of one.
    #[arg(long)]
    broker: bool,

    /// Once listening, run sh -c TEXT, with {port} and {addr} replaced; haul ends with it and with its status.
    ///
    /// Its standard input is the null device; its standard output is haul's if a program serves the connections, and
    /// otherwise standard error, because the payload goes to standard output. It implies -k unless --count is given.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = Value(text))]
    then: Option<OsString>,

    /// When stopping, give open sessions and programs T to end [default: 2s]
    #[arg(long, value_name = "T", value_parser = value::span())]
    grace: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(super) struct Gate {
    /// Let only these connect: networks with commas between them, or @FILE with one a line [default: everybody]
    ///
    /// A network is an address, or one with a prefix: 192.0.2.7, 10.0.0.0/8, fd00::/8. In a file, # begins a comment,
    /// and SIGHUP makes haul read it again. The flag may be repeated.
    #[arg(long, value_name = "CIDR,…|@FILE", value_parser = Value(AccessList::parse))]
    pub(super) allow: Vec<AccessList>,

    /// Do not let these connect, whatever --allow says; written in the same way [default: nobody]
    #[arg(long, value_name = "CIDR,…|@FILE", value_parser = Value(AccessList::parse))]
    pub(super) deny: Vec<AccessList>,

    /// Serve a program to everybody who can reach the address: without it, --allow or a loopback address is needed.
    #[arg(long)]
    pub(super) open: bool,
}

impl Gate {
    /// Whom a listener for one connection serves.
    pub(super) fn serving(self) -> Serving {
        Serving { allow: self.allow, deny: self.deny, open: self.open, ..Serving::default() }
    }
}

/// How many clients are served, and whom.
pub(super) fn serving(clients: Clients, gate: Gate) -> Result<Serving, Error> {
    let share = match (clients.fan_out, clients.broker) {
        (false, false) => Share::Merge,
        (true, false) => Share::FanOut,
        (false, true) => Share::Broker,
        (true, true) => {
            let why = "either standard input goes to the clients, or what they send";
            return Err(advice::clash("--fan-out", "--broker", why, "one of them"));
        }
    };
    let implied = match clients.count {
        Some(count) => count > 1,
        None => clients.then.is_some() || share != Share::Merge,
    };
    Ok(Serving {
        keep: clients.keep || implied,
        most: clients.most,
        most_per_ip: clients.max_per_ip,
        count: clients.count,
        share,
        allow: gate.allow,
        deny: gate.deny,
        open: gate.open,
        then: clients.then,
        grace: clients.grace.unwrap_or(DEFAULT_GRACE),
    })
}

fn text(value: &OsStr) -> Result<OsString, BadAddress> {
    if value.as_encoded_bytes().trim_ascii().is_empty() {
        return Err(fault("the text for the shell is missing"));
    }
    Ok(value.to_os_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Request, plan};
    use super::*;
    use crate::outcome::ExitStatus;
    use crate::plan::address::Program;
    use crate::plan::{Copy, Listen, Local, Plan};

    /// Words with a space in them stand in quotes here.
    fn split(line: &str) -> Vec<OsString> {
        shlex::split(line).unwrap().into_iter().map(OsString::from).collect()
    }

    fn run(line: &str) -> Result<Listen, Error> {
        match plan(split(&format!("listen {line}")))? {
            Request::Run(Plan::Listen(listen)) => Ok(listen),
            other => panic!("listen {line}: {other:?}"),
        }
    }

    fn program(words: &[&str]) -> Local {
        Local::Program(Program::Words(words.iter().map(OsString::from).collect()))
    }

    #[test]
    fn every_flag_of_a_server_reaches_the_plan() {
        let listen = run("-k -m 3 --max-per-ip 2 --count 9 --fan-out --allow 10.0.0.0/8,::1 --allow @list --deny \
             10.0.0.1 --open --then 'run {port}' --grace 5s -C -o copy --hex --timestamps --banner 'hi\\r\\n' 9000")
        .unwrap();
        let serving = &listen.serving;
        assert!(serving.keep && serving.open);
        assert_eq!((serving.most, serving.most_per_ip, serving.count), (Some(3), Some(2), Some(9)));
        assert_eq!(serving.share, Share::FanOut);
        let shown: Vec<_> = serving.allow.iter().chain(&serving.deny).map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8,::1", "@list", "10.0.0.1"]);
        assert_eq!((serving.then.clone(), serving.grace), (Some("run {port}".into()), Duration::from_secs(5)));
        assert!(listen.transfer.crlf);
        assert_eq!(listen.transfer.banner, b"hi\r\n");
        assert_eq!(listen.transfer.copy, Some(Copy { path: "copy".into(), hex: true, timestamps: true }));
    }

    #[test]
    fn what_implies_many_clients_does_so_unless_a_count_is_given() {
        for (line, keep) in [
            ("1", false),
            ("-k 1", true),
            ("--then x 1", true),
            ("--broker 1", true),
            ("--fan-out 1", true),
            ("--count 1 1", false),
            ("--count 2 1", true),
            ("--then x --count 1 1", false),
            ("--then x --count 2 1", true),
            ("-k --count 1 1", true),
        ] {
            assert_eq!(run(line).unwrap().serving.keep, keep, "listen {line}");
        }
    }

    #[test]
    fn a_program_is_given_in_one_of_three_ways() {
        let local = "127.0.0.1 9000";
        assert_eq!(run(&format!("-e 'tr a b' {local}")).unwrap().local, program(&["tr", "a", "b"]));
        assert_eq!(
            run(&format!("{local} -- tr -d 'a b' -- x")).unwrap().local,
            program(&["tr", "-d", "a b", "--", "x"])
        );
        let shell = Local::Program(Program::Shell("a | b".into()));
        assert_eq!(run(&format!("-c 'a | b' {local}")).unwrap().local, shell);
        assert_eq!(run(&format!("{local} --")).unwrap().local, Local::Stdio);
        for (line, expected) in [
            ("-e a -c b 127.0.0.1 1", "cannot use -e with -c: one program serves a connection"),
            ("-c a 127.0.0.1 1 -- b", "cannot use -c with -- CMD: one program serves a connection"),
            ("-e a 127.0.0.1 1 -- b", "cannot use -e with -- CMD: one program serves a connection"),
            ("127.0.0.1 1 -- ''", "cannot understand the program behind '--': its name is empty"),
            (
                "-d -e a 127.0.0.1 1",
                "cannot use -d with a program: what the program writes is sent, and standard input is not read anyway",
            ),
        ] {
            assert_eq!(run(line).unwrap_err().line(), expected, "listen {line}");
        }
    }

    #[test]
    fn contradictions_are_refused_with_a_sentence() {
        for (line, expected) in [
            (
                "--fan-out --broker 1",
                "cannot use --fan-out with --broker: either standard input goes to the clients, or what they send",
            ),
            (
                "--broker -e cat 127.0.0.1 1",
                "cannot use --broker with a program: every client has a program of its own",
            ),
            ("--hex 1", "cannot use --hex without -o: the dump needs a file to go to"),
            (
                "-o f --timestamps 1",
                "cannot use --timestamps without --hex: the time stands in front of the lines of a dump",
            ),
            ("-k fifo:p", "cannot use many clients with fifo:p: a FIFO has no connections"),
            ("--allow ::1 -U /s", "cannot use --allow with unix:/s: who connects there has no address"),
            ("--allow '' 1", "cannot understand '' for --allow: a network is missing"),
            ("--then '' 1", "cannot understand '' for --then: the text for the shell is missing"),
            ("--count 0 1", "cannot understand '0' for --count: at least 1 is needed"),
            ("--max-per-ip -1 1", "cannot understand '-1' for --max-per-ip: not a whole number"),
            ("-m many 1", "cannot understand 'many' for -m: not a whole number"),
        ] {
            let error = run(line).unwrap_err();
            assert_eq!(error.line(), expected, "listen {line}");
            assert_eq!(error.status(), ExitStatus::Usage, "listen {line}");
        }
    }

    #[test]
    fn a_program_for_the_world_is_refused_by_policy() {
        for line in ["-e cat 9000", "-c cat -k 0.0.0.0 9000", "-p 9000 -- cat", ":: 9000 -- cat", "--deny ::1 -e a 1"] {
            assert_eq!(run(line).unwrap_err().status(), ExitStatus::Policy, "listen {line}");
        }
        for line in
            ["-e cat localhost 9000", "--open -e cat 9000", "--allow @f -e cat 1", "-U /s -e cat", "-s ::1 -p 1 -e cat"]
        {
            assert!(run(line).is_ok(), "listen {line}");
        }
    }

    #[test]
    fn explain_tells_whom_a_server_serves_and_how() {
        let explain = |line: &str| match plan(split(&format!("listen --explain {line}"))).unwrap() {
            Request::Explain(plan) => plan.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            explain("-k -e 'cat \"a b\"' --allow 10.0.0.0/8 -m 3 --grace 5 -C -o x --hex --banner 'hi\\n' 9000"),
            "\
listen on tcp:9000 and accept connections until stopped
hold at most 3 connections at once
allow only 10.0.0.0/8
when stopping, give open sessions and programs 5s
run cat 'a b' for each connection
send \"hi\\n\" first
send the program's output, then tell the peer that it has ended
write what is received to the program
when the peer ends, go on until the program ends
send a line feed as a carriage return and a line feed
dump both directions to x
"
        );
        assert_eq!(
            explain("--then 'run {port}' --count 2 -q 1 127.0.0.1 0"),
            "\
listen on tcp:127.0.0.1:0 and accept 2 connections
once listening, run sh -c 'run {port}'; stop when it ends, with its status
send nothing, and leave the sending side open
write what is received to standard output, by whole lines
end when the peer ends
stop after standard input has ended and 1s, with status 0
note: -q counts from the end of standard input, which is not read; try: --idle
"
        );
        assert_eq!(
            explain("--broker --idle 5 9000"),
            "\
listen on tcp:9000 and accept connections until stopped
send what a client sends to every other client
stop when no byte has moved for 5s, with status 3
"
        );
    }
}

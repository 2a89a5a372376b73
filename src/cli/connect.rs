//! `haul connect`: its flags, and the plan they make.

mod udp;

use std::ffi::OsString;
use std::mem::take;
use std::time::Duration;

use clap::ValueHint;

use super::check::{self, Testing};
use super::datagrams::{self, Exchange};
use super::dialogue::Steps;
use super::program::{Copies, Programs};
use super::proxies::{self, Proxies};
use super::shared::{Buffers, Directions, InTransit, Limits, Moving, Output, Proof, Route, Stops, Tuning};
use super::tls::Tls;
use super::web::Web;
use super::{Request, endpoint, quoted, request, value};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Host, Options, Program};
use crate::plan::advice::{self, Advice};
use crate::plan::tls::{Reach, Side};
use crate::plan::{Check, Connect, Local, Plan, Progress, ProxyVersion, datagram};

/// Connect to an endpoint and join it to standard input and output, or to a program.
///
/// What standard input holds is sent, what arrives goes to standard output, and both sides end by themselves when the
/// transfer is over. Every address of a name is tried, and the first that answers is taken. A program, given by -e, by
/// -c or behind --, takes the place of standard input and output, and its exit status is haul's. With -z nothing is
/// moved: it is only tested whether something listens.
#[derive(Debug, clap::Parser)]
#[command(
    name = "connect",
    bin_name = "haul connect",
    override_usage = "haul connect [OPTIONS] HOST PORT [-- CMD…]\n       haul connect [OPTIONS] ENDPOINT [-- CMD…]\n       \
                      haul connect -z [OPTIONS] HOST PORT…\n       haul connect -z [OPTIONS] ENDPOINT…",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, eof, tls, units.",
    after_long_help = EXAMPLES
)]
pub(super) struct Args {
    /// Where to connect to: a HOST followed by a PORT, or an endpoint such as host:80, ::1/80 or unix:/run/a.sock.
    #[arg(value_name = "ENDPOINT", value_hint = ValueHint::Hostname)]
    first: Option<OsString>,

    /// The port, behind a HOST.
    #[arg(value_name = "PORT")]
    second: Option<OsString>,

    /// With -z: more ports and ranges of the HOST, or more endpoints.
    #[arg(value_name = "MORE")]
    more: Vec<OsString>,

    /// Connect from this port [default: a free one]
    #[arg(short = 'p', value_name = "PORT", value_parser = value::port(), help_heading = "Address")]
    port: Option<u16>,

    /// Connect from this address of this machine [default: the system chooses]
    #[arg(short = 's', value_name = "ADDR", value_parser = value::host(), help_heading = "Address")]
    source: Option<Host>,

    /// Connect to the Unix socket at this path.
    #[arg(short = 'U', value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Address")]
    unix: Option<OsString>,

    /// When nothing listens there yet, try again for T, also when the name is not found; then end with status 3 [default: one try]
    #[arg(long = "wait", value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    retry: Option<Duration>,

    /// Begin with a PROXY header, of version v1 or v2, about the connection's own two ends [default: none]
    #[arg(long, value_name = "VERSION", value_parser = value::PROXY, help_heading = "Address")]
    proxy_send: Option<ProxyVersion>,

    /// End with status 3 when an --expect has waited for T [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Dialogue")]
    timeout: Option<Duration>,

    /// Both --connect-timeout and --idle; where those are given too, they win [default: no limit]
    ///
    /// With -u: end when nothing has come for T since the end of standard input, or with -d and --recv-only since the
    /// start; with status 3 if -W asks for more [default: 1s; with -d and --recv-only no limit].
    #[arg(short = 'w', value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    wait: Option<Duration>,

    /// End with status 3 when looking up the name, connecting and handshakes have taken T [default: the system's limit]
    ///
    /// Handshakes are those with proxies, of TLS and of WebSocket; without a limit they have 60 s.
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    connect_timeout: Option<Duration>,

    #[command(flatten)]
    testing: Testing,

    #[command(flatten)]
    exchange: Exchange,

    #[command(flatten)]
    steps: Steps,

    #[command(flatten)]
    programs: Programs,

    #[command(flatten)]
    route: Route,

    #[command(flatten)]
    proxies: Proxies,

    #[command(flatten)]
    stops: Stops,

    #[command(flatten)]
    limits: Limits,

    #[command(flatten)]
    directions: Directions,

    #[command(flatten)]
    copies: Copies,

    #[command(flatten)]
    proof: Proof,

    #[command(flatten)]
    buffers: Buffers,

    #[command(flatten)]
    in_transit: InTransit,

    #[command(flatten)]
    tls: Tls,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    tuning: Tuning,

    #[command(flatten)]
    web: Web,
}

const EXAMPLES: &str = "\
Examples:
  haul connect host 9000 < some.tar     send a file, print the answer
  haul connect -w 5s ::1/9000           give up after 5s of silence
  haul connect -U /run/app.sock         a Unix socket
  haul connect wss://host/chat          a WebSocket over TLS, a line a message
  haul connect --tls host 443           encrypted, to whom the certificate proves it is
  haul connect -u host 9000             datagrams, a line each from a terminal
  haul connect -x socks5://proxy:1080 db 5432
                                        through a proxy, which looks db up
  haul connect --wait 30s db 5432 -- ./client
                                        wait until it is open, then a program
  haul connect -z --wait 30s db:5432 redis:6379 && run-tests
                                        only wait until both are open
  haul connect -zv host 22 80 8000-8100
                                        which ports are open
  haul connect --send 'PING\\r\\n' --expect '^\\+PONG' --timeout 2s redis 6379
                                        ask, and fail unless the answer is right

See also: haul help endpoints, exit, eof, tls, units.";

impl Args {
    /// Validates everything that was given.
    pub(super) fn into_request(mut self, program: Option<Program>) -> Result<Request, Error> {
        if self.testing.zero {
            return self.into_check(program);
        }
        self.testing.need_z()?;
        if let Some(word) = self.more.first() {
            let cause = "one endpoint, or a host and a port, is all that goes here";
            return Err(Error::said(Op::Parse, quoted(word), cause).with_advice("haul help connect"));
        }
        if self.unix.is_none() {
            self.proxies.check_host(self.first.as_deref())?;
        }
        let (url, first) = (endpoint::url(self.first.as_deref()), self.first.clone());
        let whole = self.second.is_none() && self.unix.is_none();
        let to = address(self.first.take(), self.second.take(), self.unix.take())?;
        let mut to = datagrams::endpoint(first.as_deref().filter(|_| whole), !whole, to, self.testing.udp)?;
        if datagram::is_datagram(&to) {
            return self.into_udp(program, to, url);
        }
        self.exchange.need_u()?;
        let idle = self.stops.idle;
        if self.wait.is_some() && idle.is_some() && self.connect_timeout.is_some() {
            return Err(advice::clash("-w", "--connect-timeout and --idle", "nothing is left for it", "the other two"));
        }
        self.stops.idle = idle.or(self.wait);
        let moving = self.moving();
        let mut flags = Options { source: self.source, source_port: self.port, ..Options::default() };
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        take(&mut self.tls).flags().apply(vec![(&mut to, Side::Client)], Reach::Each)?;
        to.overlay(&flags);
        proxies::lead(&self.proxies.way()?, [&mut to]);
        let shown = to.clone();
        let explain = self.output.explain;
        let plan = Plan::Connect(Connect {
            wait: self.retry,
            proxy_send: self.proxy_send,
            local: self.programs.local(program)?,
            dialogue: self.steps.0,
            expect_timeout: self.timeout,
            to,
            connect_timeout: self.connect_timeout.or(self.wait),
            transfer: moving.transfer()?,
            report: self.output.report()?,
        });
        request(plan, &flags, explain).map_err(|error| endpoint::as_typed(error, &shown, url))
    }

    /// The flags about how bytes move, taken out.
    fn moving(&mut self) -> Moving {
        Moving {
            directions: take(&mut self.directions),
            stops: take(&mut self.stops),
            limits: take(&mut self.limits),
            copies: take(&mut self.copies),
            proof: take(&mut self.proof),
            buffers: take(&mut self.buffers),
            buffer: self.in_transit.buffer,
        }
    }

    /// The same for `-z`.
    fn into_check(mut self, program: Option<Program>) -> Result<Request, Error> {
        let moving = self.moving();
        let clash =
            |other: &str| Err(advice::clash("-z", other, "it only tests whether something listens", "one of them"));
        if self.programs.local(program)? != Local::Stdio {
            return clash("a program");
        }
        if !self.steps.0.is_empty() || self.timeout.is_some() {
            return clash("--send, --expect and --timeout");
        }
        if self.exchange.need_u().is_err() {
            return clash("--split, -W and --df");
        }
        let mut flags = Options { source: self.source, source_port: self.port, ..Options::default() };
        let words: Vec<_> = self.first.into_iter().chain(self.second).chain(self.more).collect();
        words.iter().try_for_each(|word| self.proxies.check_host(Some(word)))?;
        let mut targets = check::targets(self.unix, &words, self.testing.udp)?;
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        let sides = targets.iter_mut().map(|target| (target, Side::Client)).collect();
        take(&mut self.tls).flags().apply(sides, Reach::Each)?;
        for target in &mut targets {
            target.overlay(&flags);
        }
        proxies::lead(&self.proxies.way()?, &mut targets);
        let mut transfer = moving.transfer()?;
        // one try is all that there is of it
        let whole = transfer.max_time.take();
        let copies =
            [(transfer.copy.is_some(), "-o"), (transfer.out.is_some(), "--out"), (transfer.verify, "--verify")];
        if let Some((_, flag)) = copies.iter().find(|(given, _)| *given) {
            return clash(flag);
        }
        let explain = self.output.explain;
        let mut report = self.output.report()?;
        let plain = Moving::default().transfer()?;
        if transfer != plain || report.stats || report.progress != Progress::Off {
            report.advice.push(Advice {
                sentence: "-z moves no bytes, so flags about moving them change nothing".into(),
                remedy: "the command without them".into(),
            });
        }
        let plan = Plan::Check(Check {
            targets,
            any: self.testing.any,
            wait: self.retry,
            timeout: self.connect_timeout.or(self.wait).into_iter().chain(whole).min(),
            report,
        });
        request(plan, &flags, explain)
    }
}

fn address(first: Option<OsString>, second: Option<OsString>, unix: Option<OsString>) -> Result<Address, Error> {
    match (unix, first) {
        (Some(path), first) => endpoint::unix(&path, first.as_deref(), None),
        (None, Some(first)) => endpoint::words(&first, second.as_deref()),
        (None, None) => {
            let missing = Error::said(Op::Parse, "'haul connect'", "it does not say where to");
            Err(missing.with_advice("haul connect HOST PORT"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, plan};
    use super::*;
    use crate::outcome::ExitStatus;
    use crate::plan::Flow;
    use crate::plan::address::{HostPort, Kind, UnixName, UnixSocket};

    fn run(line: &str) -> Result<Connect, Error> {
        let words = std::iter::once("connect").chain(line.split_whitespace());
        match plan(words.map(OsString::from).collect())? {
            Request::Run(Plan::Connect(connect)) => Ok(connect),
            other => panic!("connect {line}: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> Error {
        let error = run(line).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage, "connect {line}");
        error
    }

    #[test]
    fn a_host_and_a_port_or_one_endpoint_name_the_peer() {
        let db = HostPort { host: Host::Name("db".into()), port: 5432 };
        for line in ["db 5432", "db:5432", "tcp:db:5432", "-v db 5432", "db 5432 -v", "-N db 5432"] {
            assert_eq!(run(line).unwrap().to.kind, Kind::Tcp(db.clone()), "{line}");
        }
        let socket = Kind::Unix(UnixName::Path("/s".into()), UnixSocket::Stream);
        assert_eq!(run("-U /s").unwrap().to.kind, socket);
        assert_eq!(run("unix:/s").unwrap().to.kind, socket);
    }

    #[test]
    fn p_and_s_are_the_source() {
        let options = run("-s 10.0.0.1 -p 1234 db 80").unwrap().to.options;
        assert_eq!(options.source, Some(Host::V4("10.0.0.1".parse().unwrap())));
        assert_eq!(options.source_port, Some(1234));
    }

    #[test]
    fn w_limits_connecting_and_silence_unless_they_are_set_apart() {
        let seconds = |n| Some(Duration::from_secs(n));
        for (line, connecting, idle) in [
            ("db 80", None, None),
            ("-w 5 db 80", seconds(5), seconds(5)),
            ("-w 5 --idle 9 db 80", seconds(5), seconds(9)),
            ("-w 5 --connect-timeout 2 db 80", seconds(2), seconds(5)),
            ("--connect-timeout 2 --idle 9 db 80", seconds(2), seconds(9)),
        ] {
            let connect = run(line).unwrap();
            assert_eq!((connect.connect_timeout, connect.transfer.idle), (connecting, idle), "{line}");
        }
        refused("-w 5 --connect-timeout 2 --idle 9 db 80");
    }

    #[test]
    fn a_file_is_written_or_with_d_read() {
        assert_eq!(run("file:p").unwrap().transfer.flow, Flow::SendOnly);
        assert_eq!(run("-d file:p").unwrap().transfer.flow, Flow::ReceiveOnly);
        assert_eq!(run("--recv-only file:p").unwrap().transfer.flow, Flow::ReceiveOnly);
        assert_eq!(run("fifo:p").unwrap().transfer.flow, Flow::SendOnly);
        assert_eq!(refused("-d fifo:p").advice(), Some("haul listen fifo:p"));
    }

    #[test]
    fn a_transfer_is_verified_and_a_file_written_whole() {
        let transfer = run("--verify --fsync --out in.tar db 80").unwrap().transfer;
        assert!(transfer.verify && transfer.fsync && !transfer.stdin && transfer.shutdown);
        assert_eq!(transfer.out, Some("in.tar".into()));
        let plain = run("db 80").unwrap().transfer;
        assert!(!plain.verify && !plain.fsync && plain.stdin && plain.out.is_none());
        assert_eq!(run("--out copy file:p").unwrap().transfer.flow, Flow::ReceiveOnly);
        assert_eq!(run("file,atomic:p").unwrap().transfer.flow, Flow::SendOnly);
        assert_eq!(run("--out copy -d db 80").unwrap().report.advice, []);
        for (line, expected) in [
            ("--out f --send-only db 80", "cannot use --out with --send-only: what is received would be discarded"),
            ("--out f -e cat db 80", "cannot use --out with a program: the program takes what is received"),
            ("--out - db 80", "cannot understand '-' for --out: standard output carries the payload"),
            ("--verify -C db 80", "cannot use --verify with -C: what arrives would not be what was read"),
            ("--verify file:p", "cannot use --verify with file:p: there is no haul at the other end"),
            ("-z --verify db 80", "cannot use -z with --verify: it only tests whether something listens"),
            ("-z --out f db 80", "cannot use -z with --out: it only tests whether something listens"),
        ] {
            assert_eq!(refused(line).line(), expected, "{line}");
        }
    }

    #[test]
    fn test_peers_and_descriptors_are_endpoints() {
        for line in ["zero:", "random:", "text:hello", "echo:", "discard:", "null:", "fd:3", "exec:cat", "sh:cat"] {
            assert_eq!(run(line).unwrap().transfer.flow, Flow::Both, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_a_peer_is_refused() {
        for line in ["-", "udp:db:0", "http://proxy:3128", "fd,listen:3"] {
            assert!(refused(line).line().starts_with("cannot connect to "), "{line}");
        }
        assert_eq!(
            refused("").to_string(),
            "cannot understand 'haul connect': it does not say where to\n  try: haul connect HOST PORT"
        );
        assert!(refused("-U /s db 80").line().starts_with("cannot use -U with "));
        assert!(refused("unix,mode=660:/s").line().ends_with("only a listener sets the mode of a socket"));
    }

    #[test]
    fn a_broken_endpoint_is_quoted_with_its_second_word() {
        let error = refused("db notaport");
        assert!(error.line().starts_with("cannot understand 'db notaport': "), "{error}");
        assert!(error.advice().is_some());
    }

    #[test]
    fn explain_is_one_decision_a_line() {
        let explain = |line: &str| match plan(line.split_whitespace().map(OsString::from).collect()).unwrap() {
            Request::Explain(plan) => plan.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            explain("connect --explain -w 5 -q 1 --max-bytes 10M --linger 5 --splice never --events log -vv db 80"),
            "\
connect to tcp:db:80
give up when that has taken 5s, with status 3
send standard input, then tell the peer that it has ended
write what is received to standard output
when the peer ends, go on sending, but stop if standard input is a terminal
stop after standard input has ended and 1s, with status 0
stop when no byte has moved for 5s, with status 3
stop when 10M bytes have been received, with status 0
at the end, wait 5s without progress for acknowledgement
pass every byte through a buffer (no splice)
say more, level 2
write events to log
"
        );
        assert_eq!(
            explain("connect --explain -d file:p"),
            "read from file:p\nwrite what is received to standard output\n"
        );
        assert_eq!(explain("connect --explain file:p"), "write to file:p\nsend standard input\n");
    }
}

//! `haul listen`: its flags, and the plan they make.

mod udp;

use std::ffi::OsString;
use std::mem::take;
use std::time::Duration;

use clap::ValueHint;

use super::clients::{self, Clients, Gate};
use super::datagrams::{self, Peers};
use super::program::{Copies, Programs};
use super::shared::{Announcing, Buffers, Directions, InTransit, Limits, Moving, Output, Proof, Route, Stops, Tuning};
use super::tls::Tls;
use super::value::{self, Bytes, Value};
use super::web::Web;
use super::{Request, endpoint, request};
use crate::error::{Error, Op};
use crate::plan::address::{Address, Host, Kind, Options, Program};
use crate::plan::tls::{Reach, Side};
use crate::plan::{Listen, Plan, Transfer, advice, datagram};

/// Accept connections and join them to standard input and output, or to a program.
///
/// What arrives goes to standard output, what standard input holds is sent, and both sides end by themselves when the
/// transfer is over. One connection is taken; with -k many are, at once, and what they send is written to standard
/// output by whole lines. The address is printed on standard error when the port is 0 or -v is given. A program, given
/// by -e, by -c or behind --, is started for each connection, and of one connection its exit status is haul's.
#[derive(Debug, clap::Parser)]
#[command(
    name = "listen",
    bin_name = "haul listen",
    override_usage = "haul listen [OPTIONS] [ADDR] PORT [-- CMD…]\n       haul listen [OPTIONS] ENDPOINT [-- CMD…]",
    args_override_self = true,
    max_term_width = 100,
    after_help = "See also: haul help endpoints, exit, eof, tls, units.",
    after_long_help = EXAMPLES
)]
pub(super) struct Args {
    /// Where to listen: a PORT on every address, an ADDR followed by a PORT, or an endpoint such as ::1/9000 or
    /// unix:/run/a.sock.
    #[arg(value_name = "ENDPOINT")]
    first: Option<OsString>,

    /// The port, behind an ADDR; 0 takes a free one.
    #[arg(value_name = "PORT")]
    second: Option<OsString>,

    /// Listen on this port; 0 takes a free one.
    #[arg(short = 'p', value_name = "PORT", value_parser = value::port(), help_heading = "Address")]
    port: Option<u16>,

    /// Listen on this address of this machine [default: all of them]
    #[arg(short = 's', value_name = "ADDR", value_parser = value::host(), help_heading = "Address")]
    source: Option<Host>,

    /// Listen on the Unix socket at this path, which is removed at the end.
    #[arg(short = 'U', value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Address")]
    unix: Option<OsString>,

    /// Permissions of the Unix socket's file, octal, say 660 [default: what the umask leaves]
    #[arg(long, value_name = "MODE", value_parser = Value(|v| value::setting("mode", v, |o| o.mode)), help_heading = "Address")]
    mode: Option<u32>,

    /// Changes nothing; for habits from other netcats.
    #[arg(short = 'l')]
    listen: bool,

    /// End with status 3 when the first connection has not come within T [default: no limit]
    #[arg(long, value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    accept_timeout: Option<Duration>,

    /// The same as --idle: end with status 3 when no byte has moved either way for T [default: no limit]
    #[arg(short = 'w', value_name = "T", value_parser = value::limit(), help_heading = "Limits")]
    wait: Option<Duration>,

    /// Send TEXT, C escapes understood, to each peer before anything else [default: nothing]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = value::escaped(), help_heading = "Copies and changes")]
    banner: Option<Bytes>,

    #[command(flatten)]
    peers: Peers,

    #[command(flatten)]
    announcing: Announcing,

    #[command(flatten)]
    programs: Programs,

    #[command(flatten)]
    clients: Clients,

    #[command(flatten)]
    gate: Gate,

    #[command(flatten)]
    route: Route,

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
  haul listen 9000 > copy.tar             receive a file on port 9000
  haul listen 127.0.0.1 0                 a free port, printed on standard error
  haul listen -U /run/app.sock -w 30s     a Unix socket; end after 30s of silence
  haul listen -u 9000                     datagrams, of whoever sends some
  haul listen --tls 9000                  encrypted; it prints how to connect to it
  haul listen -k --broker 9000            a chat: every client hears the others
  haul listen -k 127.0.0.1 9000 -- cat    an echo server, a program a connection
  haul listen -k -c sha256sum --allow 10.0.0.0/8 9000
                                          a digest of what each client sends
  haul listen 127.0.0.1 0 --then 'run-tests --port {port}' -- ./server
                                          a test with its server, and its status

See also: haul help endpoints, exit, eof, tls, units.";

impl Args {
    /// Validates everything that was given.
    pub(super) fn into_request(mut self, program: Option<Program>) -> Result<Request, Error> {
        let mut flags = Options { mode: self.mode, ..Options::default() };
        let (url, first) = (endpoint::url(self.first.as_deref()), self.first.clone());
        let whole = self.second.is_none() && self.unix.is_none() && self.port.is_none();
        let at = address(self.first.take(), self.second.take(), self.unix.take(), self.port, self.source.take())?;
        let mut at = datagrams::endpoint(first.as_deref().filter(|_| whole), !whole, at, self.peers.udp)?;
        if datagram::is_datagram(&at) {
            return self.into_udp(program, at, url);
        }
        self.peers.need_u()?;
        self.stops.idle = match (self.wait, self.stops.idle) {
            (Some(_), Some(_)) => {
                return Err(advice::clash("-w", "--idle", "both set the limit on silence", "one of them"));
            }
            (wait, idle) => wait.or(idle),
        };
        let transfer = self.moving().transfer()?;
        self.route.add_to(&mut flags)?;
        self.tuning.add_to(&mut flags);
        self.web.add_to(&mut flags)?;
        take(&mut self.tls).flags().apply(vec![(&mut at, Side::Server)], Reach::Each)?;
        at.overlay(&flags);
        let shown = at.clone();
        let explain = self.output.explain;
        let plan = Plan::Listen(Listen {
            local: self.programs.local(program)?,
            serving: clients::serving(self.clients, self.gate)?,
            at,
            accept_timeout: self.accept_timeout,
            announce: self.announcing.announce(),
            transfer: Transfer { banner: self.banner.map_or_else(Vec::new, |banner| banner.0), ..transfer },
            report: self.output.report()?,
        });
        request(plan, &flags, explain).map_err(|error| endpoint::as_typed(error, &shown, url))
    }

    /// Takes out what says how bytes move and how it ends.
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
}

/// Where to listen, said by words (`127.0.0.1 9000`), by flags (`-s 127.0.0.1 -p 9000`) or by both, but each part once.
fn address(
    first: Option<OsString>,
    second: Option<OsString>,
    unix: Option<OsString>,
    port: Option<u16>,
    source: Option<Host>,
) -> Result<Address, Error> {
    if let Some(path) = unix {
        let other = port.map(|_| "-p").or(source.map(|_| "-s"));
        return endpoint::unix(&path, first.as_deref(), other);
    }
    let mut at = match (first, second, port) {
        (None, _, None) => {
            let missing = Error::said(Op::Parse, "'haul listen'", "it does not say where");
            return Err(missing.with_advice("haul listen 9000, or 0 for a free port"));
        }
        (None, _, Some(port)) => endpoint::words(port.to_string().as_ref(), None)?,
        (Some(first), None, Some(port)) if !endpoint::is_whole(&first) => {
            endpoint::words(&first, Some(port.to_string().as_ref()))?
        }
        (Some(_), _, Some(_)) => {
            return Err(advice::clash("-p", "a port behind the address", "the port is given twice", "one of them"));
        }
        (Some(first), second, None) => endpoint::words(&first, second.as_deref())?,
    };
    match (source, &mut at.kind) {
        (None, _) => {}
        (Some(host), Kind::Tcp(at) | Kind::Udp(at)) if at.host == Host::Unspecified => at.host = host,
        (Some(_), Kind::Tcp(_) | Kind::Udp(_)) => {
            return Err(advice::clash("-s", "an address", "it is given twice", "one of them"));
        }
        (Some(_), _) => return Err(advice::clash("-s", &at.to_string(), "that has no address", "the endpoint alone")),
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::{Request, plan};
    use super::*;
    use crate::outcome::ExitStatus;
    use crate::plan::address::{Family, HostPort};
    use crate::plan::{Announce, EventSink, Flow, Progress};

    fn run(line: &str) -> Result<Listen, Error> {
        let words = std::iter::once("listen").chain(line.split_whitespace());
        match plan(words.map(OsString::from).collect())? {
            Request::Run(Plan::Listen(listen)) => Ok(listen),
            other => panic!("listen {line}: {other:?}"),
        }
    }

    #[track_caller]
    fn tcp(line: &str) -> (Host, u16) {
        match run(line).unwrap_or_else(|error| panic!("listen {line}: {error}")).at.kind {
            Kind::Tcp(HostPort { host, port }) => (host, port),
            other => panic!("listen {line}: {other:?}"),
        }
    }

    #[track_caller]
    fn refused(line: &str) -> String {
        let error = run(line).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Usage, "listen {line}");
        error.line()
    }

    #[test]
    fn the_address_is_named_by_words_or_by_the_flags_of_nc() {
        let local = Host::V4("127.0.0.1".parse().unwrap());
        for line in ["9000", "-lp 9000", "-lvp 9000", "-p9000", "-l -N 9000"] {
            assert_eq!(tcp(line), (Host::Unspecified, 9000), "{line}");
        }
        for line in [
            "127.0.0.1 9000",
            "127.0.0.1:9000",
            "tcp:127.0.0.1:9000",
            "-s 127.0.0.1 -p 9000",
            "-s 127.0.0.1 9000",
            "-p 9000 127.0.0.1",
        ] {
            assert_eq!(tcp(line), (local.clone(), 9000), "{line}");
        }
        for line in ["-s ::1 -p 0", "-p 0 ::1", "::1 0", "::1/0"] {
            assert_eq!(tcp(line), (Host::V6("::1".parse().unwrap(), None), 0), "{line}");
        }
    }

    #[test]
    fn the_address_is_given_once() {
        for line in ["-p 1 -", "-p 1 2", "-p 1 a 2", "-p 1 a:2", "-s 10.0.0.1 127.0.0.1 1", "-s ::1 unix:/s"] {
            assert!(refused(line).starts_with("cannot use -"), "{line}");
        }
        for line in ["-U /s 9000", "-U /s -p 9000", "-U /s -s ::1"] {
            assert!(refused(line).starts_with("cannot use -U with "), "{line}");
        }
        assert_eq!(refused(""), "cannot understand 'haul listen': it does not say where");
    }

    #[test]
    fn a_unix_socket_has_a_mode_and_any_bytes_in_its_path() {
        use std::os::unix::ffi::OsStringExt;
        assert_eq!(run("-U /s --mode 660").unwrap().at.options.mode, Some(0o660));
        let path = OsString::from_vec(b"/s\xff".to_vec());
        let args = vec!["listen".into(), "-U".into(), path.clone(), "--port-file".into(), path.clone()];
        match plan(args).unwrap() {
            Request::Run(Plan::Listen(listen)) => {
                assert_eq!(listen.at, Address::unix_path(&path).unwrap());
                assert_eq!(listen.announce.port_file, Some(path.into()));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_reaches_the_plan() {
        let listen = run("-4 -n -v -v --accept-timeout 2s --ready-fd 3 --port-file p -w 30 -q 1 --max-time 1m \
             --max-bytes 10k --linger 5s -L 1M --after-peer-eof send --block 4Ki --buffer 1Mi --splice never \
             --events fd:4 --stats --progress=line --nodelay --keepalive=10 --user-timeout 3s --rcvbuf 64Ki \
             --sndbuf 32Ki --dscp ef --ttl 3 --congestion reno --mptcp 127.0.0.1 9000")
        .unwrap();
        let options = &listen.at.options;
        assert_eq!(options.family, Some(Family::V4));
        assert!(options.numeric && options.nodelay && options.mptcp);
        assert!(options.keepalive.is_some() && options.user_timeout == Some(Duration::from_secs(3)));
        assert_eq!((options.rcvbuf, options.sndbuf), (Some(65536), Some(32768)));
        assert_eq!((options.dscp, options.ttl), (Some(46), Some(3)));
        assert_eq!(options.congestion.as_deref(), Some("reno"));
        assert_eq!(listen.accept_timeout, Some(Duration::from_secs(2)));
        assert_eq!(listen.announce, Announce { ready_fd: Some(3), port_file: Some("p".into()) });
        let transfer = &listen.transfer;
        assert_eq!(transfer.idle, Some(Duration::from_secs(30)));
        assert_eq!(transfer.quit_after, Some(Duration::from_secs(1)));
        assert_eq!(transfer.max_time, Some(Duration::from_secs(60)));
        assert_eq!(transfer.max_bytes, Some(10_000));
        assert_eq!(transfer.linger, Duration::from_secs(5));
        assert_eq!(transfer.rate.map(|rate| rate.0), Some(1_000_000));
        assert_eq!(transfer.block.map(|size| size.0), Some(4096));
        assert_eq!(transfer.buffer.map(|size| size.0), Some(1 << 20));
        assert!(!transfer.splice && transfer.stdin && transfer.shutdown);
        let report = &listen.report;
        assert_eq!((report.verbosity, report.stats, report.progress), (2, true, Progress::Line));
        assert_eq!(report.events, Some(EventSink::Fd(4)));
        assert_eq!(report.advice, []);
    }

    #[test]
    fn progress_needs_no_terminal_when_its_form_is_named() {
        assert_eq!(run("9000").unwrap().report.progress, Progress::Off);
        assert_eq!(run("--progress 9000").unwrap().report.progress, Progress::Auto);
        assert_eq!(run("--progress=bar 9000").unwrap().report.progress, Progress::Bar);
        assert_eq!(run("--progress=json --progress=off 9000").unwrap().report.progress, Progress::Off);
    }

    #[test]
    fn a_fifo_is_read_and_an_inherited_socket_accepted_from() {
        assert_eq!(run("fifo:p").unwrap().transfer.flow, Flow::ReceiveOnly);
        assert!(run("fd,listen:3").unwrap().at.options.listen);
        assert!(refused("fd:3").contains("not known to be listening"));
        assert!(refused("--ready-fd 3 fifo:p").ends_with("a FIFO has no port to tell"));
        assert!(refused("--ready-fd 3 fd,listen:3").ends_with("--ready-fd names the same descriptor"));
        assert!(refused("fd,listen:1").ends_with("it is a standard stream"));
    }

    #[test]
    fn contradictory_flags_are_refused() {
        for line in [
            "-4 -6 1",
            "-6 127.0.0.1 1",
            "-d --send-only 1",
            "--recv-only --send-only 1",
            "-d --recv-only 1",
            "-N --no-shutdown 1",
            "--recv-only --no-shutdown 1",
            "--quiet -v 1",
            "--quiet --stats 1",
            "--quiet --progress 1",
            "-w 1 --idle 1 1",
            "-n -s localhost 1",
            "--ready-fd 3 --events fd:3 1",
        ] {
            assert!(refused(line).starts_with("cannot use -"), "{line}");
        }
    }

    #[test]
    fn a_transfer_is_verified_and_a_file_written_whole() {
        let transfer = run("--verify --fsync --out in.tar 9000").unwrap().transfer;
        assert!(transfer.verify && transfer.fsync && !transfer.stdin);
        assert_eq!(transfer.out, Some("in.tar".into()));
        assert!(run("-k --verify -c sha256sum 127.0.0.1 0").unwrap().transfer.verify);
        assert!(run("--recv-only --out in.tar 9000").unwrap().transfer.stdin, "--recv-only leaves it alone as well");
        for line in ["-k --out f 1", "--fan-out --out f 1", "--broker --verify 1", "--count 2 --out f 1"] {
            assert!(refused(line).starts_with("cannot use --"), "{line}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts() {
        assert_eq!(run("-w 1 -w 2 9000").unwrap().transfer.idle, Some(Duration::from_secs(2)));
    }

    #[test]
    fn explain_is_one_decision_a_line() {
        let line = "listen --explain --accept-timeout 30s --ready-fd 3 --port-file /run/port -d --idle 10s --stats \
                    --nodelay --mode 660 127.0.0.1 9000";
        let text = match plan(line.split_whitespace().map(OsString::from).collect()).unwrap() {
            Request::Explain(plan) => plan.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text,
            "\
listen on tcp,nodelay:127.0.0.1:9000 and accept one connection
give up when nobody has connected for 30s, with status 3
once listening, write the address to descriptor 3
once listening, write the port to /run/port
send nothing, and leave the sending side open
write what is received to standard output
end when the peer ends
stop when no byte has moved for 10s, with status 3
print totals at the end
note: --mode changes nothing for tcp,nodelay:127.0.0.1:9000; try: the command without it
"
        );
    }
}

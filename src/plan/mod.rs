//! Every decision of one run, validated, before anything is opened: pure data, no descriptor, no clap, no mio.

pub mod address;
pub mod advice;
pub mod bench;
pub mod datagram;
pub mod dialogue;
mod explain;
pub mod faults;
pub mod pipe;
pub mod policy;
mod proof;
mod proxy;
pub mod relay;
mod role;
pub mod serving;
pub mod tls;
mod way;

use std::path::PathBuf;
use std::time::Duration;

use crate::units::{Rate, Size};
pub use address::AccessList;
use address::{Address, Program};
use advice::Advice;
use datagram::{ConnectUdp, ListenUdp, SendUdp};
pub use proxy::ProxyVersion;
pub use relay::Relay;

/// `--linger` where it is not given.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(30);

/// `--grace` where it is not given.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(2);

/// What haul was asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// `haul listen`: accept, then bridge to the local side.
    Listen(Listen),
    /// `haul connect`: dial, then bridge to the local side.
    Connect(Connect),
    /// `haul connect -z`: test whether something answers.
    Check(Check),
    /// `haul pipe`: one source, one or several sinks.
    Pipe(pipe::Pipe),
    /// `haul send-udp`: send datagrams.
    SendUdp(SendUdp),
    /// `haul listen -u`: serve whoever sends datagrams.
    ListenUdp(ListenUdp),
    /// `haul connect -u`: exchange datagrams with one peer.
    ConnectUdp(ConnectUdp),
    /// `haul bench`: measure.
    Bench(Box<bench::Bench>),
    /// `haul relay`: join what comes to listeners to their targets.
    Relay(Box<Relay>),
}

/// `haul listen`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Where to listen, with its socket options.
    pub at: Address,
    /// Longest wait for the connection.
    pub accept_timeout: Option<Duration>,
    /// Who is told the address once it is bound.
    pub announce: Announce,
    /// What is joined to each connection.
    pub local: Local,
    /// More than one connection, and whose.
    pub serving: Serving,
    /// How the bytes move and how it ends.
    pub transfer: Transfer,
    /// What is told, and to whom.
    pub report: Report,
}

/// `haul connect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// Where to connect to, with its socket options.
    pub to: Address,
    /// Longest wait for the name and the connection together.
    pub connect_timeout: Option<Duration>,
    /// `--wait`: how long to retry until it is open.
    pub wait: Option<Duration>,
    /// `--proxy-send`: the connection begins with a PROXY header about its own two ends.
    pub proxy_send: Option<ProxyVersion>,
    /// What is joined to the connection.
    pub local: Local,
    /// `--send` and `--expect`: a dialogue instead of a bridge. With `--send` alone there is none, see
    /// [`Transfer::banner`].
    pub dialogue: Vec<Step>,
    /// `--timeout`: longest time for each `--expect`.
    pub expect_timeout: Option<Duration>,
    /// How the bytes move and how it ends.
    pub transfer: Transfer,
    /// What is told, and to whom.
    pub report: Report,
}

/// What stands at the local side of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Local {
    /// Standard input and output.
    #[default]
    Stdio,
    /// A program, started for each connection.
    Program(Program),
}

/// How a listener serves more than one connection, and whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// More than one connection is taken: `-k`, or what implies it. False: the first that gets through is the only one.
    pub keep: bool,
    /// `-m`: most connections at once; by default what the descriptor limit allows.
    pub most: Option<u64>,
    /// `--max-per-ip`: most connections at once from one address.
    pub most_per_ip: Option<u64>,
    /// `--count`: connections accepted in all, then stop; with a count of 1 and without `-k` that is no server.
    pub count: Option<u64>,
    /// What standard input and output mean for several clients.
    pub share: Share,
    /// `--allow`: who may connect; everybody where it is not given.
    pub allow: Vec<AccessList>,
    /// `--deny`: who may not, whatever `--allow` says.
    pub deny: Vec<AccessList>,
    /// `--open`: a program may be served to the world.
    pub open: bool,
    /// `--then`: text for the shell, run once everything is bound; its status is haul's.
    pub then: Option<std::ffi::OsString>,
    /// `--grace`: how long open sessions and children may take to end.
    pub grace: Duration,
}

impl Default for Serving {
    /// One connection, from anybody.
    fn default() -> Self {
        Serving {
            keep: false,
            most: None,
            most_per_ip: None,
            count: None,
            share: Share::Merge,
            allow: Vec::new(),
            deny: Vec::new(),
            open: false,
            then: None,
            grace: DEFAULT_GRACE,
        }
    }
}

impl Serving {
    /// True if more than one connection is to be served, or something runs beside them.
    pub fn is_many(&self) -> bool {
        self.keep || self.then.is_some()
    }
}

/// What standard input and output mean for several clients at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Input of all clients goes to standard output by whole lines; standard input goes to nobody.
    #[default]
    Merge,
    /// `--fan-out`: as Merge, and standard input goes to every client.
    FanOut,
    /// `--broker`: what a client sends goes to every other client.
    Broker,
}

/// `-o`: a copy of what passes.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Where it goes.
    pub path: PathBuf,
    /// `--hex`: both directions, as hexadecimal and text; otherwise what was received, as it is.
    pub hex: bool,
    /// `--timestamps`: each line of the dump begins with the time.
    pub timestamps: bool,
}

/// `connect -z`: only test whether something answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is tested, all at once.
    pub targets: Vec<Address>,
    /// `--any`: one open target is enough.
    pub any: bool,
    /// `--wait`: retry those that are not open for this long.
    pub wait: Option<Duration>,
    /// Longest time for one try.
    pub timeout: Option<Duration>,
    /// What is told, and to whom.
    pub report: Report,
}

/// One step of a dialogue (`--send`, `--expect`), in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits for a match; the text of the regular expression.
    Expect(String),
}

/// Where a listener writes its address once it is bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announce {
    /// `--ready-fd`: `ADDR:PORT` and a newline go there, then it is closed.
    pub ready_fd: Option<i32>,
    /// `--port-file`: the port alone (Unix: the path), written whole by rename.
    pub port_file: Option<PathBuf>,
}

/// How the two directions run, and what ends them (cli.md, end of file and closing).
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Which directions carry payload.
    pub flow: Flow,
    /// False for `-d`: standard input is left alone and no FIN is sent.
    pub stdin: bool,
    /// False for `--no-shutdown`: the end of input is not passed on.
    pub shutdown: bool,
    /// What the peer's end means for the other direction.
    pub after_peer_eof: AfterPeerEof,
    /// `-q`: longest wait after the local end of file; reaching it is success.
    pub quit_after: Option<Duration>,
    /// Longest time without progress while the send queue empties at the end.
    pub linger: Duration,
    /// `-w` / `--idle`: longest time without a byte either way.
    pub idle: Option<Duration>,
    /// `--max-time`: longest time for the whole transfer, with what it takes to reach the peer.
    pub max_time: Option<Duration>,
    /// `--max-bytes`: received bytes after which the connection is reset, successfully.
    pub max_bytes: Option<u64>,
    /// `-L`: most bytes per second, per direction.
    pub rate: Option<Rate>,
    /// `--block`: most bytes moved by one system call.
    pub block: Option<Size>,
    /// `--buffer`: bytes that may be in transit in one direction.
    pub buffer: Option<Size>,
    /// False for `--splice never`: every byte passes through a buffer of haul's own.
    pub splice: bool,
    /// `-C`: LF becomes CRLF on the way to the peer.
    pub crlf: bool,
    /// `--banner`, and `--send` without `--expect`: sent to the peer before anything else.
    pub banner: Vec<u8>,
    /// `-o`: a copy of what passes.
    pub copy: Option<Copy>,
    /// `--verify`: both ends are haul, and the sender learns that everything has arrived.
    pub verify: bool,
    /// `--out`: what is received goes to this file instead of standard output, whole or not at all; standard input is
    /// left alone.
    pub out: Option<PathBuf>,
    /// `--fsync`: a file that was written is on the disk before it counts as written.
    pub fsync: bool,
}

/// Which directions carry payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Both.
    Both,
    /// `--send-only`: what the peer sends is discarded; ends when everything is acknowledged.
    SendOnly,
    /// `--recv-only`: FIN is sent at once.
    ReceiveOnly,
}

/// What the peer's end of file means for what is still being sent (`--after-peer-eof`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPeerEof {
    /// Go on sending, unless standard input is a terminal or the job is in the background of one.
    Auto,
    /// Done.
    Exit,
    /// Go on sending, also from a terminal.
    Send,
}

/// What is told, and to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// `--quiet`: only failures.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// `--stats`: totals at the end.
    pub stats: bool,
    /// `--progress`.
    pub progress: Progress,
    /// `--events`.
    pub events: Option<EventSink>,
    /// What is legal but odd about the request; told with `-v` and by `--explain`.
    pub advice: Vec<Advice>,
}

/// How progress is shown while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Not at all.
    #[default]
    Off,
    /// `--progress`: as a bar on a terminal, otherwise not at all.
    Auto,
    /// `--progress=bar`: as a bar, whatever standard error is.
    Bar,
    /// `--progress=line`: a line a second, for logs.
    Line,
    /// `--progress=json`: a JSON object a second.
    Json,
}

/// Where `--events` go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventSink {
    /// `fd:N`
    Fd(i32),
    /// A file, appended to.
    File(PathBuf),
}

impl EventSink {
    /// The descriptor, if it is one.
    pub fn descriptor(&self) -> Option<i32> {
        match self {
            EventSink::Fd(fd) => Some(*fd),
            EventSink::File(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every flag's default makes.
    pub(super) fn plain() -> Transfer {
        Transfer {
            flow: Flow::Both,
            stdin: true,
            shutdown: true,
            after_peer_eof: AfterPeerEof::Auto,
            quit_after: None,
            linger: DEFAULT_LINGER,
            idle: None,
            max_time: None,
            max_bytes: None,
            rate: None,
            block: None,
            buffer: None,
            splice: true,
            crlf: false,
            banner: Vec::new(),
            copy: None,
            verify: false,
            out: None,
            fsync: false,
        }
    }

    pub(super) fn listen_at(at: Address) -> Listen {
        let announce = Announce::default();
        Listen {
            at,
            accept_timeout: None,
            announce,
            local: Local::Stdio,
            serving: Serving::default(),
            transfer: plain(),
            report: Report::default(),
        }
    }

    pub(super) fn connect_to(to: Address) -> Connect {
        Connect {
            to,
            connect_timeout: None,
            wait: None,
            proxy_send: None,
            local: Local::Stdio,
            dialogue: Vec::new(),
            expect_timeout: None,
            transfer: plain(),
            report: Report::default(),
        }
    }
}

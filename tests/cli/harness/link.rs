//! A connection between haul and a socket of the test, whichever of them listens.

use super::{Input, Listener, Peer, Program, Running, haul, proc, scratch};

/// What haul does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Listens,
    Connects,
}

/// What lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    Tcp,
    Unix,
}

/// One of the ways round to make a connection.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub role: Role,
    pub net: Net,
}

impl Way {
    /// Starts haul with `flags` and a pipe on stdin, and connects it with a peer.
    #[track_caller]
    pub fn join(self, flags: &[&str]) -> (Running, Peer) {
        self.join_with(flags, |haul| haul.stdin(Input::Piped))
    }

    /// The same with haul prepared by the test.
    #[track_caller]
    pub fn join_with(self, flags: &[&str], prepare: impl FnOnce(Program) -> Program) -> (Running, Peer) {
        self.join_tuned(flags, None, prepare)
    }

    /// The same with a peer whose TCP receive buffer holds `rcvbuf` bytes.
    #[track_caller]
    pub fn join_tuned(
        self,
        flags: &[&str],
        rcvbuf: Option<usize>,
        prepare: impl FnOnce(Program) -> Program,
    ) -> (Running, Peer) {
        let home = scratch();
        let path = home.path().join("s");
        let (mut running, peer) = match (self.role, self.net) {
            (Role::Listens, Net::Tcp) => {
                let running = prepare(haul(words("listen", flags, "127.0.0.1:0"))).spawn();
                let peer = Peer::connect_with(running.address(), rcvbuf);
                (running, peer)
            }
            (Role::Listens, Net::Unix) => {
                let endpoint = format!("unix:{}", path.display());
                let running = prepare(haul(words("listen", flags, &endpoint))).spawn();
                proc::wait_for_unix_listener(&path);
                (running, Peer::connect_unix(&path))
            }
            (Role::Connects, net) => {
                let listener = match net {
                    Net::Tcp => Listener::tcp_with(rcvbuf, 16),
                    Net::Unix => Listener::unix(&path),
                };
                let running = prepare(haul(words("connect", flags, &listener.endpoint()))).spawn();
                (running, listener.accept())
            }
        };
        running.keeps = Some(home);
        (running, peer)
    }
}

fn words(subcommand: &str, flags: &[&str], endpoint: &str) -> Vec<String> {
    let mut words = vec![subcommand.to_string()];
    words.extend(flags.iter().map(|flag| flag.to_string()));
    words.push(endpoint.to_string());
    words
}

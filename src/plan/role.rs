//! Which kinds of endpoint make sense in which role, and which way bytes go where a kind has only one.

pub(super) mod pipe;

use std::net::Ipv4Addr;

use super::address::{Address, Host, Kind, Layer, UnixSocket};
use super::datagram::{is_datagram, is_group};
use super::{Connect, EventSink, Flow, Listen, Local, tls};
use crate::error::{Error, Op};
use crate::outcome::ExitStatus;

/// Refuses what cannot be listened on; decides the direction of a FIFO, which is read.
pub(super) fn listen(plan: &mut Listen) -> Result<(), Error> {
    let no = |cause: &str, advice: String| Err(refusal(Op::Listen, &plan.at, cause, advice));
    let connect = || format!("haul connect {}", plan.at);
    in_this_version(Op::Listen, &plan.at)?;
    let options = &plan.at.options;
    match &plan.at.kind {
        _ if options.source.is_some() || options.source_port.is_some() => {
            no("a source is where a connection comes from", "the address to listen on, and its port".into())
        }
        Kind::Fifo(_) if plan.transfer.flow == Flow::SendOnly => no("a FIFO is read here", connect()),
        Kind::Fifo(_) if plan.announce.ready_fd.is_some() || plan.announce.port_file.is_some() => {
            no("a FIFO has no port to tell", "--ready-fd and --port-file with a socket".into())
        }
        Kind::Fifo(_) => {
            plan.transfer.flow = Flow::ReceiveOnly;
            Ok(())
        }
        Kind::Tcp(_) | Kind::Unix(..) | Kind::Path(_) => Ok(()),
        Kind::Fd { read, write } if options.listen && read != write => {
            no("a listening socket is one descriptor", format!("fd,listen:{read}"))
        }
        Kind::Fd { read, .. } if options.listen => {
            listening_descriptor(*read, plan).map_or(Ok(()), |cause| no(cause, "another descriptor".into()))
        }
        Kind::Fd { read, .. } => {
            let advice = format!("fd,listen:{read} for a listening socket, or haul connect fd:{read}");
            no("a descriptor is not known to be listening", advice)
        }
        Kind::Stdio => no("standard input and output are the other side already", "a port, or a path".into()),
        Kind::File(_) => no("a file takes no connections", connect()),
        Kind::Exec(_) | Kind::Shell(_) => no("a program takes no connections", "a port, with -e or -c".into()),
        _ => no("it takes no connections", connect()),
    }
}

/// The standard streams are taken, and the descriptor of `--ready-fd` is closed after use.
fn listening_descriptor(fd: i32, plan: &Listen) -> Option<&'static str> {
    match fd {
        _ if plan.announce.ready_fd == Some(fd) => Some("--ready-fd names the same descriptor"),
        _ if plan.report.events == Some(EventSink::Fd(fd)) => Some("--events go to the same descriptor"),
        // inetd hands a listening socket over as standard input
        1 | 2 => Some("it is a standard stream"),
        _ => None,
    }
}

/// A peer is not one of the streams that it is joined to, nor the one that events go to.
fn peer_descriptor(fd: i32, plan: &Connect) -> Option<&'static str> {
    match fd {
        _ if plan.report.events == Some(EventSink::Fd(fd)) => Some("--events go to the same descriptor"),
        0 | 1 if has_own_streams(plan) => None,
        0..=2 => Some("the standard streams are the other side already"),
        _ => None,
    }
}

/// True where the standard streams are free to be the connection, as at the far side of ssh: a program is joined to it,
/// or a file takes what comes.
fn has_own_streams(plan: &Connect) -> bool {
    plan.local != Local::Stdio || plan.transfer.out.is_some()
}

/// Refuses what cannot be connected to; decides the direction of a file and of a FIFO.
pub(super) fn connect(plan: &mut Connect) -> Result<(), Error> {
    let no = |cause: &str, advice: String| Err(refusal(Op::Connect, &plan.to, cause, advice));
    let listen = || format!("haul listen {}", plan.to);
    in_this_version(Op::Connect, &plan.to)?;
    let reads = !plan.transfer.stdin || plan.transfer.flow == Flow::ReceiveOnly;
    let program = plan.local != Local::Stdio;
    match &plan.to.kind {
        Kind::File(_) | Kind::Fifo(_) if program => {
            no("a program wants both directions, and it has one", "a shell redirection".into())
        }
        Kind::Tcp(to) if to.port == 0 => {
            no("port 0 is no port to connect to", "the port that the peer listens on".into())
        }
        Kind::Fd { read, write } if !plan.to.options.listen => {
            let cause = peer_descriptor(*read, plan).or(peer_descriptor(*write, plan));
            cause.map_or(Ok(()), |cause| no(cause, "another descriptor".into()))
        }
        _ if plan.to.options.listen => no("the option listen waits for a connection", listen()),
        Kind::Unix(..) | Kind::Path(_) if plan.to.options.mode.is_some() => {
            no("only a listener sets the mode of a socket", listen())
        }
        Kind::Fifo(_) if reads => no("a FIFO is written here", listen()),
        Kind::File(_) => match file(&plan.to, reads) {
            Some((cause, advice)) => no(cause, advice.into()),
            None => {
                plan.transfer.flow = if reads { Flow::ReceiveOnly } else { Flow::SendOnly };
                Ok(())
            }
        },
        Kind::Fifo(_) => {
            plan.transfer.flow = Flow::SendOnly;
            Ok(())
        }
        Kind::Stdio if !has_own_streams(plan) => {
            no("standard input and output are the other side already", "a host and a port, or a path".into())
        }
        _ => Ok(()),
    }
}

/// Why a file with these options cannot be read, or written: the cause and what to do.
fn file(address: &Address, reads: bool) -> Option<(&'static str, &'static str)> {
    let options = &address.options;
    match options.offset {
        Some(_) if options.append => Some(("append writes at the end, whatever the offset", "one of the two options")),
        Some(_) if options.atomic => Some(("atomic writes a new file, which has no offset", "one of the two options")),
        _ if reads && options.append => Some(("append is for writing", "the file without append")),
        _ if reads && options.atomic => Some(("atomic is for writing", "the file without atomic")),
        _ => None,
    }
}

/// Refuses what `-z` cannot test.
pub(super) fn check(target: &Address) -> Result<(), Error> {
    let no = |cause: &str, advice: &str| Err(refusal(Op::Connect, target, cause, advice.into()));
    match &target.kind {
        Kind::Udp(_) if target.layers.is_empty() => {}
        _ => in_this_version(Op::Connect, target)?,
    }
    match &target.kind {
        Kind::Tcp(at) | Kind::Udp(at) if at.port == 0 => {
            no("port 0 is no port to connect to", "the port that the peer listens on")
        }
        _ if target.options.listen => no("the option listen waits for a connection", "the endpoint without it"),
        _ if target.options.mode.is_some() => {
            no("only a listener sets the mode of a socket", "the endpoint without it")
        }
        Kind::Tcp(_) | Kind::Udp(_) | Kind::Unix(..) | Kind::Path(_) => Ok(()),
        _ => no("-z tests where something listens", "a host and a port, or the path of a socket"),
    }
}

/// Refuses what datagrams cannot be sent to.
pub(super) fn send_to(to: &Address) -> Result<(), Error> {
    let no = |cause: &str, advice: &str| Err(refusal(Op::Connect, to, cause, advice.into()));
    let options = &to.options;
    match &to.kind {
        _ if !is_datagram(to) => no("datagrams go to a UDP port or to a Unix datagram socket", "HOST PORT, or -U PATH"),
        _ if options.listen => no("the option listen waits for a connection", "haul listen -u"),
        Kind::Unix(..) if options.mode.is_some() => no("only a listener sets the mode of a socket", "haul listen -u"),
        Kind::Udp(at) if at.port == 0 => no("port 0 is no port to send to", "the port that the peer listens on"),
        Kind::Udp(at) if options.loopback.is_some() && is_group(&at.host) == Some(false) => {
            no("the option loop is about a multicast group, and that is none", "it without --loop")
        }
        Kind::Udp(at) => match &at.host {
            Host::V6(..) if options.broadcast => no("IPv6 has no broadcast", "the group of all nodes, ff02::1%IF/PORT"),
            Host::V4(Ipv4Addr::BROADCAST) if !options.broadcast => no("that is a broadcast address", "-b"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Refuses what a connected datagram socket gets no answer from.
pub(super) fn exchange_with(to: &Address) -> Result<(), Error> {
    let (cause, advice) = match &to.kind {
        Kind::Udp(at) if is_group(&at.host) == Some(true) => ("a group", "haul send-udp -W N"),
        Kind::Udp(at) if to.options.broadcast || at.host == Host::V4(Ipv4Addr::BROADCAST) => {
            ("a broadcast address", "haul send-udp -b -W N")
        }
        _ => return send_to(to),
    };
    let cause = format!("{cause} answers from other addresses, which a connected socket does not hear");
    Err(refusal(Op::Connect, to, &cause, advice.into()))
}

/// Refuses what no datagrams come in at.
pub(super) fn hear_at(at: &Address) -> Result<(), Error> {
    let no = |cause: &str, advice: &str| Err(refusal(Op::Listen, at, cause, advice.into()));
    let options = &at.options;
    match (&at.kind, &options.source) {
        _ if !is_datagram(at) => no("datagrams come in at a UDP port or at a Unix datagram socket", "PORT, or -U PATH"),
        _ if options.source_port.is_some() => {
            no("a source port is where datagrams are sent from", "the port to listen on")
        }
        (Kind::Udp(place), Some(_)) if is_group(&place.host) == Some(false) => {
            no("--source picks a sender of a multicast group, and that is no group", "--allow ADDR, for any datagrams")
        }
        (Kind::Udp(place), Some(source)) => match (&place.host, source) {
            (_, source) if is_group(source) == Some(true) => {
                no("--source is the host that sends, and that is a group", "the address of the sender")
            }
            (Host::V4(_), Host::V6(..)) | (Host::V6(..), Host::V4(_)) => {
                no("the group and its --source are of two families", "both of one family")
            }
            _ => Ok(()),
        },
        (_, Some(_)) => no("--source picks a sender of a multicast group", "it without --source"),
        _ => Ok(()),
    }
}

/// Refuses what the grammar knows and this version cannot do.
pub(super) fn in_this_version(op: Op, address: &Address) -> Result<(), Error> {
    let later = |what: &str| {
        Err(refusal(op, address, &format!("{what} not in this version of haul"), "haul help endpoints".into()))
    };
    match (&address.kind, address.layers.first()) {
        (Kind::Proxy(_), _) => {
            Err(refusal(op, address, "a proxy is for -x", format!("-x {address}, and the address behind it")))
        }
        (Kind::Exec(_) | Kind::Shell(_), Some(Layer::WebSocket)) => {
            let cause = "WebSocket goes over a connection, and a program has pipes";
            Err(refusal(op, address, cause, "a TCP port or a Unix socket".into()))
        }
        _ if address.layers.contains(&Layer::Tls) => tls::check(op, address),
        (Kind::Udp(_), None) => later("UDP is"),
        (Kind::Unix(_, UnixSocket::Datagram), None) => later("datagram sockets are"),
        _ => Ok(()),
    }
}

/// `cannot listen on ENDPOINT: CAUSE`; a mistake of usage, whatever the operation's own status is.
pub(super) fn refusal(op: Op, address: &Address, cause: &str, advice: String) -> Error {
    Error::said(op, address.to_string(), cause).with_advice(advice).with_status(ExitStatus::Usage)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::tests::{connect_to, listen_at};
    use super::*;

    fn parse(word: &str) -> Address {
        Address::parse(OsStr::new(word)).unwrap()
    }

    #[test]
    fn what_takes_no_connections_is_refused_with_the_right_command() {
        for (word, line, advice) in [
            ("-", "standard input and output are the other side already", "a port, or a path"),
            ("file:x", "a file takes no connections", "haul connect file:x"),
            ("null:", "it takes no connections", "haul connect null:"),
            ("echo:", "it takes no connections", "haul connect echo:"),
            (
                "fd:3",
                "a descriptor is not known to be listening",
                "fd,listen:3 for a listening socket, or haul connect fd:3",
            ),
            ("udp:127.0.0.1:53", "UDP is not in this version of haul", "haul help endpoints"),
            ("ws+sh:cat", "WebSocket goes over a connection, and a program has pipes", "a TCP port or a Unix socket"),
            ("tls,ca=f:1", "ca is for whoever connects", "--client-ca FILE, for the clients' certificates"),
            ("tls+sh:cat", "TLS goes over a connection, and a program has pipes", "a TCP port or a Unix socket"),
            ("exec:cat", "a program takes no connections", "a port, with -e or -c"),
            ("http://proxy:3128", "a proxy is for -x", "-x http://proxy:3128, and the address behind it"),
        ] {
            let error = listen(&mut listen_at(parse(word))).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage, "{word}");
            assert_eq!(error.line(), format!("cannot listen on {}: {line}", parse(word)));
            assert_eq!(error.advice(), Some(advice), "{word}");
        }
        for word in ["9000", "unix:/s", "unix,seqpacket:/s", "@a", "/s", "fifo:p", "fd,listen:3"] {
            assert!(listen(&mut listen_at(parse(word))).is_ok(), "{word}");
        }
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused_as_usage() {
        for word in [
            "a:0",
            "fd:0",
            "fd:3/1",
            "-",
            "udp:a:1",
            "unix,dgram:/p",
            "ws:a:0",
            "tls,client-ca=f:a:1",
            "socks5://p:1",
            "fd,listen:3",
        ] {
            let error = connect(&mut connect_to(parse(word))).unwrap_err();
            assert_eq!(error.status(), ExitStatus::Usage, "{word}");
            assert!(error.advice().is_some(), "{word}");
        }
        for word in [
            "a:1", "unix:/s", "/s", "fd:3", "zero:", "random:", "text:a", "echo:", "discard:", "null:", "exec:cat",
            "sh:a|b",
        ] {
            assert!(connect(&mut connect_to(parse(word))).is_ok(), "{word}");
        }
    }

    #[test]
    fn a_file_that_is_written_whole_is_only_written() {
        let mut atomic = connect_to(parse("file,atomic:p"));
        connect(&mut atomic).unwrap();
        assert_eq!(atomic.transfer.flow, Flow::SendOnly);
        let mut atomic = connect_to(parse("file,atomic:p"));
        atomic.transfer.stdin = false;
        let error = connect(&mut atomic).unwrap_err();
        assert_eq!(error.line(), "cannot connect to file,atomic:p: atomic is for writing");
        let error = connect(&mut connect_to(parse("file,atomic,offset=1:p"))).unwrap_err();
        assert!(error.line().ends_with("atomic writes a new file, which has no offset"), "{error}");
    }

    #[test]
    fn a_file_or_fifo_has_one_direction() {
        let mut fifo = listen_at(parse("fifo:p"));
        listen(&mut fifo).unwrap();
        assert_eq!(fifo.transfer.flow, Flow::ReceiveOnly);

        let mut file = connect_to(parse("file:p"));
        connect(&mut file).unwrap();
        assert_eq!(file.transfer.flow, Flow::SendOnly);

        let mut file = connect_to(parse("file:p"));
        file.transfer.stdin = false;
        connect(&mut file).unwrap();
        assert_eq!(file.transfer.flow, Flow::ReceiveOnly);

        let mut fifo = connect_to(parse("fifo:p"));
        fifo.transfer.flow = Flow::ReceiveOnly;
        let error = connect(&mut fifo).unwrap_err();
        assert_eq!(error.to_string(), "cannot connect to fifo:p: a FIFO is written here\n  try: haul listen fifo:p");
    }
}

//! What a program is told of its connection: haul's own names, and those of UCSPI (ucspi-tcp's environment).

use super::contact::Contact;
use crate::endpoint::open::Opened;

/// The variables for a program that serves or uses this connection; UCSPI's are about what carries it.
pub(super) fn variables(contact: &Contact) -> Vec<(&'static str, String)> {
    let Opened { protocol, peer, .. } = &contact.opened;
    let mut variables = variables_of(protocol, &contact.opened.local(), peer);
    if let Some((_, name)) = variables.iter_mut().find(|(name, _)| *name == "HAUL_PROTO") {
        *name = contact.protocol().to_string();
    }
    variables
}

/// The same for what is no connection: datagrams of one peer.
pub(super) fn variables_of(protocol: &str, local: &str, peer: &str) -> Vec<(&'static str, String)> {
    let (local, peer) = (split(local), split(peer));
    let (tcp, udp) = (protocol.ends_with("tcp"), protocol == "udp");
    let proto = if tcp {
        "TCP"
    } else if udp {
        "UDP"
    } else {
        "UNIX"
    };
    let mut variables = vec![
        ("HAUL_PROTO", protocol.to_string()),
        ("HAUL_LOCAL_ADDR", local.0.clone()),
        ("HAUL_LOCAL_PORT", local.1.clone()),
        ("HAUL_PEER_ADDR", peer.0.clone()),
        ("HAUL_PEER_PORT", peer.1.clone()),
        ("PROTO", proto.to_string()),
    ];
    if udp {
        // as ipsvd's udpsvd has them
        variables.extend([
            ("UDPLOCALIP", local.0),
            ("UDPLOCALPORT", local.1),
            ("UDPREMOTEIP", peer.0),
            ("UDPREMOTEPORT", peer.1),
        ]);
    } else if tcp {
        variables.extend([
            ("TCPLOCALIP", local.0),
            ("TCPLOCALPORT", local.1),
            ("TCPREMOTEIP", peer.0),
            ("TCPREMOTEPORT", peer.1),
        ]);
    }
    variables
}

/// A printed address as host and port; a Unix name is all host.
fn split(printed: &str) -> (String, String) {
    match printed.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host.trim_start_matches('[').trim_end_matches(']').to_string(), port.to_string())
        }
        _ => (printed.to_string(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses_are_split_into_host_and_port() {
        let cases = [
            ("127.0.0.1:80", ("127.0.0.1", "80")),
            ("[fe80::1%eth0]:9", ("fe80::1%eth0", "9")),
            ("/run/a:b.sock", ("/run/a:b.sock", "")),
            ("unnamed", ("unnamed", "")),
        ];
        for (printed, (host, port)) in cases {
            assert_eq!(split(printed), (host.to_string(), port.to_string()));
        }
    }
}

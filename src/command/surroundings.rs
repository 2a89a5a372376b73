//! What a program is told of its connection: haul's own names, and those of UCSPI (ucspi-tcp's environment).

/// The variables for a program that serves or uses a connection, or a flow of datagrams; the addresses as printed.
pub(super) fn variables(protocol: &str, local: &str, peer: &str) -> Vec<(&'static str, String)> {
    let (local, peer) = (split(local), split(peer));
    let inet = protocol.ends_with("tcp");
    let ucspi = match protocol {
        "udp" => "UDP",
        _ if inet => "TCP",
        _ => "UNIX",
    };
    let mut variables = vec![
        ("HAUL_PROTO", protocol.to_string()),
        ("HAUL_LOCAL_ADDR", local.0.clone()),
        ("HAUL_LOCAL_PORT", local.1.clone()),
        ("HAUL_PEER_ADDR", peer.0.clone()),
        ("HAUL_PEER_PORT", peer.1.clone()),
        ("PROTO", ucspi.to_string()),
    ];
    if inet {
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

//! The words before the colon: which layers, over what.

use super::spelling::nearest;
use super::{BadAddress, Layer, quoted};

/// A list of scheme words, understood: `wss+unix` is WebSocket over TLS over a Unix socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Outermost first, none twice.
    pub(super) layers: Vec<Layer>,
    /// TCP where only layers were named.
    pub(super) transport: Transport,
}

/// The scheme words that say what carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Mptcp,
    Udp,
    Unix,
    File,
    Fifo,
    Exec,
    Shell,
    Fd,
    Null,
    Echo,
    Discard,
    Zero,
    Random,
    Text,
}

impl Transport {
    /// True where nothing follows the colon.
    pub(super) fn takes_no_address(self) -> bool {
        use Transport::*;
        matches!(self, Null | Echo | Discard | Zero | Random)
    }

    /// True where a layer can run over it: a stream of bytes both ways.
    fn carries_layers(self) -> bool {
        use Transport::*;
        matches!(self, Tcp | Mptcp | Unix | Exec | Shell | Fd)
    }

    fn word(self) -> &'static str {
        TRANSPORTS.iter().find(|(_, transport)| *transport == self).map_or("", |(word, _)| word)
    }
}

impl Scheme {
    /// `None` if the words are not schemes at all: then they are a host.
    pub(super) fn parse(head: &[u8]) -> Option<Result<Scheme, BadAddress>> {
        let words: Vec<&[u8]> = head.split(|byte| *byte == b'+').collect();
        if let Some(unknown) = words.iter().find(|word| !is_known(word)) {
            return (words.len() > 1).then(|| Err(unknown_in(&words, unknown)));
        }
        Some(Scheme::of_known(&words))
    }

    fn of_known(words: &[&[u8]]) -> Result<Scheme, BadAddress> {
        let mut layers = Vec::new();
        let mut transport = None;
        for word in words {
            let more = layers_of(word);
            if more.is_empty() {
                if transport.is_some() {
                    return Err(BadAddress::new("two schemes that carry bytes are named, and one is needed"));
                }
                transport = transport_of(word);
                continue;
            }
            if transport.is_some() {
                let mut ordered = words.to_vec();
                ordered.sort_by_key(|word| layers_of(word).is_empty());
                let error = BadAddress::new("what carries the bytes comes last");
                return Err(error.with_hint(ordered.join(&b'+')));
            }
            for layer in more {
                if layers.contains(layer) {
                    return Err(BadAddress::new("a layer is named twice"));
                }
                layers.push(*layer);
            }
        }
        let transport = transport.unwrap_or(Transport::Tcp);
        if !layers.is_empty() && !transport.carries_layers() {
            let word = transport.word();
            return Err(BadAddress::new(format!(
                "a layer runs over tcp, mptcp, unix, exec, sh or fd, not over {word}"
            )));
        }
        Ok(Scheme { layers, transport })
    }
}

/// True for a single scheme word.
pub(super) fn is_known(word: &[u8]) -> bool {
    transport_of(word).is_some() || !layers_of(word).is_empty()
}

/// What a mistyped scheme word should have been; it may bring an option with it.
pub(super) fn respelled(word: &[u8]) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    let foreign = FOREIGN.iter().find(|(foreign, _)| foreign.as_bytes() == lower).map(|(_, ours)| *ours);
    foreign.or_else(|| nearest(word, words()))
}

fn words() -> impl Iterator<Item = &'static str> {
    TRANSPORTS.iter().map(|(word, _)| *word).chain(LAYERS.iter().map(|(word, _)| *word))
}

fn unknown_in(words: &[&[u8]], unknown: &[u8]) -> BadAddress {
    let error = BadAddress::new(format!("there is no scheme {}", quoted(unknown)));
    let Some(right) = respelled(unknown) else { return error };
    let words: Vec<&[u8]> = words.iter().map(|word| if *word == unknown { right.as_bytes() } else { word }).collect();
    error.with_hint(words.join(&b'+'))
}

fn transport_of(word: &[u8]) -> Option<Transport> {
    TRANSPORTS.iter().find(|(known, _)| known.as_bytes() == word).map(|(_, transport)| *transport)
}

fn layers_of(word: &[u8]) -> &'static [Layer] {
    LAYERS.iter().find(|(known, _)| known.as_bytes() == word).map_or(&[], |(_, layers)| layers)
}

const TRANSPORTS: &[(&str, Transport)] = &[
    ("tcp", Transport::Tcp),
    ("mptcp", Transport::Mptcp),
    ("udp", Transport::Udp),
    ("unix", Transport::Unix),
    ("file", Transport::File),
    ("fifo", Transport::Fifo),
    ("exec", Transport::Exec),
    ("sh", Transport::Shell),
    ("fd", Transport::Fd),
    ("null", Transport::Null),
    ("echo", Transport::Echo),
    ("discard", Transport::Discard),
    ("zero", Transport::Zero),
    ("random", Transport::Random),
    ("text", Transport::Text),
];

const LAYERS: &[(&str, &[Layer])] =
    &[("tls", &[Layer::Tls]), ("ws", &[Layer::WebSocket]), ("wss", &[Layer::WebSocket, Layer::Tls])];

/// What other tools call it.
const FOREIGN: &[(&str, &str)] = &[
    ("tcp4", "tcp,4"),
    ("tcp6", "tcp,6"),
    ("tcp-connect", "tcp"),
    ("tcp-listen", "tcp,listen"),
    ("udp4", "udp,4"),
    ("udp6", "udp,6"),
    ("unix-connect", "unix"),
    ("unix-listen", "unix,listen"),
    ("ssl", "tls"),
    ("openssl", "tls"),
    ("websocket", "ws"),
    ("open", "file"),
    ("system", "sh"),
    ("shell", "sh"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_before_the_colon_stack_layers_over_a_transport() {
        let parsed = |head: &str| Scheme::parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(parsed("tls+unix"), Scheme { layers: vec![Layer::Tls], transport: Transport::Unix });
        assert_eq!(parsed("wss"), parsed("ws+tls+tcp"));
        assert_eq!(Scheme::parse(b"localhost"), None);
        assert_eq!(Scheme::parse(b""), None);
    }

    #[test]
    fn impossible_stacks_are_refused_with_the_possible_one() {
        let refused = |head: &str| Scheme::parse(head.as_bytes()).unwrap().unwrap_err();
        assert_eq!(refused("unix+tls").hint.as_deref(), Some("tls+unix"));
        assert_eq!(refused("tls+unxi").hint.as_deref(), Some("tls+unix"));
        assert_eq!(refused("tls+tls").cause, "a layer is named twice");
        assert_eq!(refused("tcp+unix").cause, "two schemes that carry bytes are named, and one is needed");
        assert_eq!(refused("ws+udp").cause, "a layer runs over tcp, mptcp, unix, exec, sh or fd, not over udp");
        assert_eq!(refused("tls+").cause, "there is no scheme \"\"");
    }
}

//! The flags of WebSocket, for every subcommand whose endpoints can be one.

use std::time::Duration;

use super::value::{self, Value};
use crate::error::Error;
use crate::plan::address::{Message, Options};
use crate::plan::advice;

/// They belong to the endpoints that are WebSockets; an option on an endpoint wins.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "WebSocket")]
pub(super) struct Web {
    /// Send each line as a message of text, and write each message of text as a line [default: where lines are typed at a terminal]
    #[arg(long)]
    text: bool,

    /// Send whatever is read at once as a message of bytes, and write messages as they are [default: but at a terminal]
    #[arg(long)]
    binary: bool,

    /// Add a field to the request, or to the answer of a listener, say 'X-Token: abc'; repeatable.
    #[arg(short = 'H', value_name = "NAME: VALUE", value_parser = Value(|v| value::setting("header", v, |mut o| o.web.header.pop())))]
    header: Vec<String>,

    /// The protocol that is spoken over it; repeatable, the best first [default: none is named]
    #[arg(long, value_name = "NAME", value_parser = Value(|v| value::setting("subprotocol", v, |mut o| o.web.subprotocol.pop())))]
    subprotocol: Vec<String>,

    /// The page that the request comes from; in a listener, a page that it may come from, repeatable [default: not said, and any]
    #[arg(long, value_name = "URL", value_parser = Value(|v| value::setting("origin", v, |mut o| o.web.origin.pop())))]
    origin: Vec<String>,

    /// The path that is asked for; in a listener, the only one that is served [default: /, and any]
    #[arg(long, value_name = "/PATH", value_parser = Value(|v| value::setting("path", v, |o| o.path)))]
    path: Option<String>,

    /// Ping a peer that was silent for T, and give it up with status 3 if it then neither answers nor takes anything for T [default: never]
    #[arg(long, value_name = "T", value_parser = Value(|v| value::setting("ping", v, |o| o.web.ping)))]
    ping: Option<Duration>,
}

impl Web {
    /// Adds what was given to `options`.
    pub(super) fn add_to(self, options: &mut Options) -> Result<(), Error> {
        options.web.message = match (self.text, self.binary) {
            (true, true) => return Err(advice::clash("--text", "--binary", "they say the opposite", "one of them")),
            (true, false) => Some(Message::Text),
            (false, true) => Some(Message::Binary),
            (false, false) => None,
        };
        options.web.header = self.header;
        options.web.subprotocol = self.subprotocol;
        options.web.origin = self.origin;
        options.web.ping = self.ping;
        options.path = self.path;
        Ok(())
    }
}

//! Message-shaped traffic: many datagrams a call, their bounds kept, and who sent what to whom.
//!
//! An [`Inbox`] takes what the kernel has in one call and shows it datagram by datagram; an [`Outbox`] collects
//! datagrams and gives them to the kernel in as few calls as it can. Both own their buffers for life: a datagram costs
//! no allocation. What is decided about datagrams is pure and works on a time that is passed in: [`flows`] (who is
//! there), [`pace`] (when the next one may go), [`police`] (which
//! may go at all), [`sequence`] (what got lost), [`split`] (where one ends and the next
//! begins).

pub mod flows;
pub mod inbox;
pub mod outbox;
pub mod pace;
pub mod police;
mod room;
pub mod sequence;
pub mod socket;
pub mod split;

pub use inbox::{Datagram, Inbox};
pub use outbox::{Flushed, Outbox, Stop};
pub use socket::DatagramSocket;

pub use crate::sys::{LocalIp, Peer, Refusal, UnixName};

/// The most that a datagram over IPv4 can carry, in bytes; IPv6 would carry 20 more.
pub const LONGEST: usize = 65_507;

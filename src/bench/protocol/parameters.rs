//! What a test is to be: the client's message to the server.

use serde_json::{Map, Value, json};

use super::figures::{flag, object, whole, word};
use super::{Breach, MOST_STREAMS, Refusal};

/// The parameters of a test, with iperf3's meanings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Datagrams instead of streams of bytes.
    pub udp: bool,
    /// Seconds at the beginning that do not count.
    pub omit: u64,
    /// Seconds that it lasts; 0 if something else ends it.
    pub time: u64,
    /// Bytes after which it ends; 0 if something else does.
    pub bytes: u64,
    /// Blocks after which it ends; 0 if something else does.
    pub blocks: u64,
    /// Streams in each direction.
    pub parallel: u16,
    /// The server sends.
    pub reverse: bool,
    /// Both send.
    pub bidirectional: bool,
    /// Bytes of one write, or of one datagram.
    pub length: usize,
    /// Bits a second of each stream; 0 for as many as can be.
    pub rate: u64,
    /// Blocks that are sent together when the rate allows it; 0 for one.
    pub burst: u64,
    /// TCP_MAXSEG; 0 for the system's.
    pub mss: u32,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// SO_SNDBUF and SO_RCVBUF; 0 for the system's.
    pub window: u64,
    /// The type of service; 0 for the system's.
    pub tos: u8,
    /// TCP_CONGESTION.
    pub congestion: Option<String>,
    /// Datagrams have counters of 64 bits.
    pub wide: bool,
    /// Senders have the kernel read a file.
    pub zerocopy: bool,
    /// The client wants what the server prints.
    pub server_output: bool,
    /// What iperf3 does not know.
    pub extra: Option<Extra>,
}

/// What only two hauls can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Requests and responses instead of throughput.
    pub trip: Option<Trip>,
    /// Requests and responses beside it, on a connection of their own.
    pub probe: bool,
    /// What is sent is checked.
    pub check: bool,
}

/// Requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Bytes of each request, and of its response.
    pub size: usize,
    /// Each has a connection of its own.
    pub connects: bool,
}

impl Parameters {
    /// Bytes a second of each stream, at least one; `None` for as many as can be.
    pub fn bytes_per_second(&self) -> Option<u64> {
        Some(self.rate.div_ceil(8)).filter(|rate| *rate > 0)
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            udp: false,
            omit: 0,
            time: 10,
            bytes: 0,
            blocks: 0,
            parallel: 1,
            reverse: false,
            bidirectional: false,
            length: 128 << 10,
            rate: 0,
            burst: 0,
            mss: 0,
            nodelay: false,
            window: 0,
            tos: 0,
            congestion: None,
            wide: false,
            zerocopy: false,
            server_output: false,
            extra: None,
        }
    }
}

impl Parameters {
    /// Streams of both directions, those that the client sends on first; none where each request has a connection.
    pub fn streams(&self) -> usize {
        if self.extra.and_then(|extra| extra.trip).is_some_and(|trip| trip.connects) {
            return 0;
        }
        usize::from(self.parallel) * if self.bidirectional { 2 } else { 1 }
    }

    /// True if the client sends on the stream at this index.
    pub fn client_sends(&self, index: usize) -> bool {
        match self.bidirectional {
            true => index < usize::from(self.parallel),
            false => !self.reverse,
        }
    }

    /// The message.
    pub(super) fn encode(&self) -> String {
        let mut all = Map::new();
        let mut put = |key: &str, value: Value| {
            all.insert(key.into(), value);
        };
        put(if self.udp { "udp" } else { "tcp" }, json!(true));
        for (key, number) in [
            ("omit", self.omit),
            ("time", self.time),
            ("num", self.bytes),
            ("blockcount", self.blocks),
            ("parallel", u64::from(self.parallel)),
            ("len", self.length as u64),
            ("pacing_timer", 1000),
        ] {
            put(key, json!(number));
        }
        for (key, number) in [
            ("MSS", u64::from(self.mss)),
            ("window", self.window),
            ("bandwidth", self.rate),
            ("burst", self.burst),
            ("TOS", u64::from(self.tos)),
            ("udp_counters_64bit", u64::from(self.wide)),
            ("zerocopy", u64::from(self.zerocopy)),
            ("get_server_output", u64::from(self.server_output)),
        ] {
            if number != 0 {
                put(key, json!(number));
            }
        }
        for (key, set) in [("nodelay", self.nodelay), ("reverse", self.reverse), ("bidirectional", self.bidirectional)]
        {
            if set {
                put(key, json!(true));
            }
        }
        if let Some(name) = &self.congestion {
            put("congestion", json!(name));
        }
        put("client_version", json!(concat!("haul ", env!("CARGO_PKG_VERSION"))));
        if let Some(Extra { trip, probe, check }) = self.extra {
            let trip = trip.map(|trip| json!({ "size": trip.size, "connects": trip.connects }));
            put("haul", json!({ "trip": trip, "probe": probe, "check": check }));
        }
        Value::Object(all).to_string()
    }

    /// The parameters out of a message; what cannot be has a refusal that iperf3's client has a sentence for.
    ///
    /// # Errors
    /// What is wrong, and what to say to the client.
    pub(super) fn decode(text: &[u8]) -> Result<Self, (Breach, Refusal)> {
        let wrong = |why: &str| Breach::Malformed("parameters", why.into());
        let all = object(text).map_err(|why| (wrong(&why), Refusal::Parameters))?;
        let udp = flag(&all, "udp");
        if !udp && !flag(&all, "tcp") {
            return Err((wrong("neither TCP nor UDP is asked for"), Refusal::Parameters));
        }
        let number = |key, most, refusal| whole(&all, key, most).map_err(|why| (wrong(&why), refusal));
        let length = match number("len", u64::MAX, Refusal::Block)? {
            0 if udp => 1460,
            0 => 128 << 10,
            length => length,
        };
        let wide = flag(&all, "udp_counters_64bit");
        let least = if wide { 16 } else { 12 };
        let fits = if udp { least <= length && length <= MOST_DATAGRAM } else { length <= MOST_BLOCK };
        if !fits {
            return Err((wrong("it asks for blocks of a size that cannot be"), Refusal::Block));
        }
        let congestion = word(&all, "congestion");
        if congestion.as_ref().is_some_and(|name| name.len() > MOST_NAME) {
            return Err((wrong("no congestion control has so long a name"), Refusal::Options));
        }
        let extra = all.get("haul").and_then(Value::as_object).map(|extra| Extra::decode(extra, udp)).transpose();
        Ok(Parameters {
            udp,
            omit: number("omit", LONGEST, Refusal::Omit)?,
            time: number("time", LONGEST, Refusal::Duration)?,
            bytes: number("num", u64::MAX, Refusal::Parameters)?,
            blocks: number("blockcount", u64::MAX, Refusal::Parameters)?,
            parallel: number("parallel", MOST_STREAMS.into(), Refusal::Streams)?.max(1) as u16,
            reverse: flag(&all, "reverse"),
            bidirectional: flag(&all, "bidirectional"),
            length: length as usize,
            rate: number("bandwidth", u64::MAX, Refusal::Rate)?,
            burst: number("burst", MOST_BURST, Refusal::Burst)?,
            mss: number("MSS", MOST_SEGMENT, Refusal::Segment)? as u32,
            nodelay: flag(&all, "nodelay"),
            window: number("window", MOST_WINDOW, Refusal::Window)?,
            tos: number("TOS", u8::MAX.into(), Refusal::Service)? as u8,
            congestion,
            wide,
            zerocopy: flag(&all, "zerocopy"),
            server_output: flag(&all, "get_server_output"),
            extra: extra.map_err(|why| (wrong(&why), Refusal::Block))?,
        })
    }
}

impl Extra {
    /// # Errors
    /// A sentence: requests of a size that cannot be.
    fn decode(all: &Map<String, Value>, udp: bool) -> Result<Self, String> {
        let trip = match all.get("trip").and_then(Value::as_object) {
            None => None,
            Some(trip) => {
                let most = if udp { MOST_DATAGRAM } else { MOST_TRIP as u64 };
                let size = whole(trip, "size", most)?;
                if size < if udp { LEAST_DATAGRAM } else { 1 } {
                    return Err(format!("size is {size}, which no request has"));
                }
                Some(Trip { size: size as usize, connects: flag(trip, "connects") })
            }
        };
        Ok(Extra { trip, probe: flag(all, "probe"), check: flag(all, "check") })
    }
}

/// iperf3's own bound for a block of TCP.
pub const MOST_BLOCK: u64 = 1 << 20;

/// iperf3's own bound for a burst.
const MOST_BURST: u64 = 1000;

/// The largest request.
pub const MOST_TRIP: usize = 1 << 20;

/// What UDP can carry.
const MOST_DATAGRAM: u64 = 65_507;

/// The number of a request in a datagram.
const LEAST_DATAGRAM: u64 = 8;

/// What TCP_MAXSEG takes (tcp(7)).
const MOST_SEGMENT: u64 = 32_767;

/// iperf3's own bound for a window.
const MOST_WINDOW: u64 = 512 << 20;

/// TCP_CA_NAME_MAX, less its NUL.
const MOST_NAME: usize = 15;

/// A day: iperf3's own bound for a test.
pub(super) const LONGEST: u64 = 86_400;

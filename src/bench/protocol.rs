//! iperf3's control protocol, sans-IO: bytes in, steps out, for both roles.
//!
//! Everything here is known from outside: from the manual of iperf3, and from what two of them (3.12) say to each other.
//!
//! # The control connection
//!
//! A client connects by TCP and sends its *cookie*, 36 characters and a NUL, which names the test. From then on the
//! server leads: each step begins with one byte from it, see [`State`].
//!
//! | server | client | what |
//! |---|---|---|
//! | 9 | JSON | the parameters of the test |
//! | 10 | | the streams: a TCP stream is one more connection that begins with the cookie; one of UDP is a datagram of 4 bytes that is answered by another |
//! | 1, 2 | | the test begins |
//! | | 4 | the client says when it is over: 4 for the server, which closes the streams |
//! | 13 | JSON | what the client has counted |
//! | JSON, 14 | 16 | what the server has counted; both print it |
//!
//! JSON goes behind its length, 4 bytes with the most significant first. Instead of a step the server may say that it is
//! busy (-1) or what it does not like (-2 and two numbers of 4 bytes); either may leave (11, 12).
//!
//! # Two hauls
//!
//! A cookie of haul begins with [`HAUL`], which none of iperf3 can: their alphabet has no hyphen. A server that is haul
//! answers with one more byte, [`HELLO`], before anything else. What two hauls can do besides stands in one more key of
//! the parameters and results, `haul`, which iperf3 passes over.
//!
//! Nothing from the peer is believed: every length has a bound, and every number a place where it is judged.

mod client;
mod figures;
mod incoming;
mod parameters;
mod results;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientStep};
pub use incoming::Breach;
pub use parameters::{Extra, MOST_BLOCK, MOST_TRIP, Parameters, Trip};
pub use results::{Counted, MOST_COUNT, More, Results};
pub use server::{Server, ServerStep};

/// Where iperf3's servers listen.
pub const PORT: u16 = 5201;

/// Bytes of a cookie, its NUL included.
pub const COOKIE: usize = 37;

/// How a cookie of haul begins.
pub const HAUL: &[u8; 7] = b"haul-1-";

/// What a server of haul says first to a client that is haul: no state of iperf3.
pub const HELLO: u8 = b'H';

/// The longest parameters: those of iperf3 are a few hundred bytes.
pub const MOST_PARAMETERS: usize = 64 << 10;

/// The longest results: 128 streams, and with `--get-server-output` everything that a server has printed.
pub const MOST_RESULTS: usize = 4 << 20;

/// iperf3's own bound for parallel streams.
pub const MOST_STREAMS: u16 = 128;

/// A cookie: a test and all its streams have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cookie(pub [u8; COOKIE]);

impl Cookie {
    /// One of haul, made of random numbers.
    pub fn new(random: [u64; 2]) -> Self {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = [0; COOKIE];
        bytes[..HAUL.len()].copy_from_slice(HAUL);
        let bits = (u128::from(random[0]) << 64) | u128::from(random[1]);
        for (index, byte) in bytes[HAUL.len()..COOKIE - 1].iter_mut().enumerate() {
            // 29 characters of 5 bits; the last few repeat the first bits
            *byte = ALPHABET[(bits.rotate_right(5 * index as u32) & 31) as usize];
        }
        Cookie(bytes)
    }

    /// True if its maker is haul.
    pub fn is_haul(&self) -> bool {
        self.0.starts_with(HAUL)
    }

    /// True if it could be one: printable, and a NUL behind it.
    pub fn is_sound(&self) -> bool {
        let (last, text) = (self.0[COOKIE - 1], &self.0[..COOKIE - 1]);
        let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        last == 0 && length > 0 && text[..length].iter().all(u8::is_ascii_graphic)
    }
}

/// The byte that begins each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Get ready.
    TestStart = 1,
    /// Go.
    TestRunning = 2,
    /// The client has sent or seen enough.
    TestEnd = 4,
    /// The server wants the parameters.
    ParamExchange = 9,
    /// The server waits for the streams.
    CreateStreams = 10,
    /// The server leaves.
    ServerTerminate = 11,
    /// The client leaves.
    ClientTerminate = 12,
    /// The server wants what the client has counted.
    ExchangeResults = 13,
    /// Both know everything.
    DisplayResults = 14,
    /// Nothing was said yet; never sent.
    Start = 15,
    /// The client is done.
    Done = 16,
    /// The server is busy.
    AccessDenied = -1,
    /// The server refuses; two numbers follow.
    ServerError = -2,
}

impl State {
    /// What a byte means.
    pub fn of(byte: u8) -> Option<State> {
        use State::*;
        let all = [
            TestStart,
            TestRunning,
            TestEnd,
            ParamExchange,
            CreateStreams,
            ServerTerminate,
            ClientTerminate,
            ExchangeResults,
            DisplayResults,
            Start,
            Done,
            AccessDenied,
            ServerError,
        ];
        all.into_iter().find(|state| state.byte() == byte)
    }

    /// Its byte.
    pub fn byte(self) -> u8 {
        self as i8 as u8
    }
}

/// Why a server refuses: numbers of iperf3, so that its client has a sentence for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The test would take longer than the server allows.
    Duration = 5,
    /// Too many streams.
    Streams = 6,
    /// Blocks are too large.
    Block = 7,
    /// Buffers are too large.
    Window = 8,
    /// Segments are too large.
    Segment = 10,
    /// The warm-up would take too long.
    Omit = 12,
    /// Too many blocks at once.
    Burst = 15,
    /// There is no such type of service.
    Service = 21,
    /// More is asked for than the server allows.
    Rate = 27,
    /// The streams did not come.
    Accept = 104,
    /// The parameters cannot be understood.
    Parameters = 114,
    /// The results cannot be understood.
    Results = 117,
    /// An option of the streams was refused by the system.
    Options = 134,
}

impl Refusal {
    /// What a client is told.
    pub fn sentence(code: i32) -> String {
        let known = match code {
            5 => "the test would take longer than it allows",
            6 => "it does not allow so many streams",
            7 => "it does not allow blocks of that size",
            8 => "it does not allow a window of that size",
            10 => "it does not allow segments of that size",
            12 => "the warm-up would take longer than it allows",
            15 => "it does not allow so many blocks at once",
            21 => "it does not know that type of service",
            27 => "it does not allow that rate",
            28 => "the rate was higher than it allows",
            104 => "it could not take the streams",
            114 => "it does not understand the parameters",
            117 => "it does not understand the results",
            123 => "it cannot set the segment size",
            134 => "it does not have that congestion control, or another option",
            142 => "it wants a user name and a password",
            _ => return format!("it gives iperf3's error {code}"),
        };
        known.into()
    }
}

/// A message with its length before it.
fn framed(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The number of the stream at `index`, from 0: iperf3 gives no stream the number 2.
pub fn stream_id(index: usize) -> u32 {
    if index == 0 { 1 } else { index as u32 + 2 }
}

/// The datagram that asks for a UDP stream, as iperf3 3.10 and newer send it.
pub const UDP_HELLO: [u8; 4] = 0x3637_3839_u32.to_ne_bytes();

/// The answer to it.
pub const UDP_ANSWER: [u8; 4] = 0x3938_3736_u32.to_ne_bytes();

/// What older ones send, and its answer.
pub const UDP_OLD_HELLO: [u8; 4] = 123_456_789_u32.to_ne_bytes();

/// The answer to [`UDP_OLD_HELLO`].
pub const UDP_OLD_ANSWER: [u8; 4] = 987_654_321_u32.to_ne_bytes();

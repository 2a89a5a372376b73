//! What one end has counted: both tell each other at the end.

use serde_json::{Map, Value, json};

use super::figures::{fraction, known, object, unsigned, word};
use super::{Breach, MOST_STREAMS};

/// One end's account of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// CPU time in percent of the time of the test: in all, of the program, of the kernel.
    pub cpu: [f64; 3],
    /// The congestion control in force.
    pub congestion: Option<String>,
    /// Its streams.
    pub streams: Vec<Counted>,
    /// What the server has printed, where that was asked for.
    pub server_output: Option<String>,
}

/// One stream, as one end has counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Its number, see [`super::stream_id`].
    pub id: u32,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Segments that TCP has sent again, where the sender knows.
    pub retransmits: Option<u64>,
    /// Smoothed difference of transit times, in seconds.
    pub jitter: f64,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams sent, or seen to be sent.
    pub packets: u64,
    /// Of these, those before the test counted: they are in `packets` and in `lost` too.
    pub omitted: [u64; 2],
    /// How long it ran, in seconds.
    pub seconds: f64,
    /// What haul tells besides.
    pub more: Option<More>,
}

/// What haul knows of a stream of datagrams besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Came after a later one.
    pub reordered: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came too late to know.
    pub late: u64,
    /// The receive buffer had no room for them.
    pub dropped_here: u64,
    /// Bytes of payload that were not what was sent.
    pub corrupted: u64,
}

impl Results {
    /// The message.
    pub(super) fn encode(&self) -> String {
        let streams: Vec<Value> = self.streams.iter().map(Counted::encode).collect();
        let retransmits = self.streams.iter().any(|stream| stream.retransmits.is_some());
        let mut all = json!({
            "cpu_util_total": self.cpu[0],
            "cpu_util_user": self.cpu[1],
            "cpu_util_system": self.cpu[2],
            "sender_has_retransmits": if retransmits { 1 } else { -1 },
            "streams": streams,
        });
        if let Some(name) = &self.congestion {
            all["congestion_used"] = json!(name);
        }
        if let Some(text) = &self.server_output {
            all["server_output_text"] = json!(text);
        }
        all.to_string()
    }

    /// The account out of a message.
    ///
    /// # Errors
    /// It makes no sense.
    pub(super) fn decode(text: &[u8]) -> Result<Self, Breach> {
        let wrong = |why: String| Breach::Malformed("results", why);
        let all = object(text).map_err(wrong)?;
        let streams = all.get("streams").and_then(Value::as_array);
        let streams = streams.ok_or_else(|| wrong("there are no streams".into()))?;
        if streams.len() > 2 * usize::from(MOST_STREAMS) {
            return Err(wrong("there are too many streams".into()));
        }
        let streams: Option<Vec<_>> = streams.iter().map(|stream| stream.as_object().map(Counted::decode)).collect();
        let cpu = ["cpu_util_total", "cpu_util_user", "cpu_util_system"].map(|key| fraction(&all, key));
        Ok(Results {
            cpu,
            congestion: word(&all, "congestion_used"),
            streams: streams.ok_or_else(|| wrong("a stream is no object".into()))?,
            server_output: word(&all, "server_output_text"),
        })
    }
}

impl Counted {
    fn encode(&self) -> Value {
        let mut all = json!({
            "id": self.id,
            "bytes": self.bytes,
            "retransmits": self.retransmits.map_or(json!(-1), |count| json!(count)),
            "jitter": self.jitter,
            "errors": self.lost,
            "packets": self.packets,
            "start_time": 0,
            "end_time": self.seconds,
        });
        if self.omitted != [0, 0] {
            all["omitted_packets"] = json!(self.omitted[0]);
            all["omitted_errors"] = json!(self.omitted[1]);
        }
        if let Some(More { reordered, duplicated, late, dropped_here, corrupted }) = self.more {
            all["haul"] = json!({
                "reordered": reordered,
                "duplicated": duplicated,
                "late": late,
                "dropped_here": dropped_here,
                "corrupted": corrupted,
            });
        }
        all
    }

    fn decode(all: &Map<String, Value>) -> Self {
        let more = all.get("haul").and_then(Value::as_object).map(|all| More {
            reordered: unsigned(all, "reordered"),
            duplicated: unsigned(all, "duplicated"),
            late: unsigned(all, "late"),
            dropped_here: unsigned(all, "dropped_here"),
            corrupted: unsigned(all, "corrupted"),
        });
        Counted {
            id: u32::try_from(unsigned(all, "id")).unwrap_or(0),
            bytes: unsigned(all, "bytes"),
            retransmits: known(all, "retransmits"),
            jitter: fraction(all, "jitter"),
            lost: unsigned(all, "errors"),
            packets: unsigned(all, "packets"),
            omitted: [unsigned(all, "omitted_packets"), unsigned(all, "omitted_errors")],
            seconds: fraction(all, "end_time") - fraction(all, "start_time"),
            more,
        }
    }
}

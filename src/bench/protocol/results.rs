//! What one end has counted: both tell each other at the end.

use serde_json::{Map, Value, json};

use super::figures::{fraction, known, object, taken_back, whole, word};
use super::parameters::LONGEST;
use super::{Breach, MOST_STREAMS};

/// One end's account of a test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// CPU time in percent of the time of the test: in all, of the program, of the kernel; `None` if it tells none that
    /// can be.
    pub cpu: Option<[f64; 3]>,
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
    /// Smoothed difference of transit times, in seconds; `None` if it tells none that can be.
    pub jitter: Option<f64>,
    /// Datagrams lost.
    pub lost: u64,
    /// Datagrams sent, or seen to be sent.
    pub packets: u64,
    /// Of these, those before the test counted: they are in `packets` and in `lost` too.
    pub omitted: [u64; 2],
    /// How long it ran, in seconds; `None` if it tells no time that can be.
    pub seconds: Option<f64>,
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
        let [total, user, system] = self.cpu.unwrap_or_default();
        let mut all = json!({
            "cpu_util_total": total,
            "cpu_util_user": user,
            "cpu_util_system": system,
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
        let counted = |stream: &Value| Counted::decode(stream.as_object().ok_or("a stream is no object")?);
        let streams = streams.iter().map(counted).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let cpu = ["cpu_util_total", "cpu_util_user", "cpu_util_system"].map(|key| fraction(&all, key, MOST_CPU));
        Ok(Results {
            cpu: if let [Some(total), Some(user), Some(system)] = cpu { Some([total, user, system]) } else { None },
            congestion: word(&all, "congestion_used"),
            streams,
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
            "jitter": self.jitter.unwrap_or(0.0),
            "errors": self.lost,
            "packets": self.packets,
            "start_time": 0,
            "end_time": self.seconds.unwrap_or(0.0),
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

    /// # Errors
    /// A sentence: a count that cannot be.
    fn decode(all: &Map<String, Value>) -> Result<Self, String> {
        let count = |key| whole(all, key, MOST_COUNT);
        let seconds = fraction(all, "end_time", f64::MAX).zip(fraction(all, "start_time", f64::MAX).or(Some(0.0)));
        let seconds = seconds.map(|(end, start)| end - start);
        let packets = count("packets")?;
        Ok(Counted {
            id: whole(all, "id", u32::MAX.into())? as u32,
            bytes: count("bytes")?,
            retransmits: known(all, "retransmits", u32::MAX.into()),
            jitter: fraction(all, "jitter", LONGEST as f64),
            lost: taken_back(all, "errors", MOST_COUNT)?.min(packets),
            packets,
            omitted: [count("omitted_packets")?, taken_back(all, "omitted_errors", MOST_COUNT)?],
            seconds: seconds.filter(|seconds| (SHORTEST..=2.0 * LONGEST as f64).contains(seconds)),
            more: all.get("haul").and_then(Value::as_object).map(More::decode).transpose()?,
        })
    }
}

impl More {
    /// # Errors
    /// As [`Counted::decode`].
    fn decode(all: &Map<String, Value>) -> Result<Self, String> {
        let count = |key| whole(all, key, MOST_COUNT);
        Ok(More {
            reordered: count("reordered")?,
            duplicated: count("duplicated")?,
            late: count("late")?,
            dropped_here: count("dropped_here")?,
            corrupted: count("corrupted")?,
        })
    }
}

/// More bytes, or datagrams, than any stream of a day can have; those of all streams together still have 64 bits.
pub const MOST_COUNT: u64 = 1 << 55;

/// Percent of one CPU: more than any machine has.
const MOST_CPU: f64 = 1e7;

/// The shortest time that a figure can be of, in seconds.
const SHORTEST: f64 = 1e-6;

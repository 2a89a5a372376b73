//! Numbers out of JSON that somebody else has written: iperf3 writes -1 as 18446744073709551615, and some write whole
//! numbers as fractions.

use serde_json::{Map, Value};

/// An object out of a message.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is no object".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A number from 0 to `most`; 0 where there is none.
///
/// # Errors
/// A sentence: it is beyond that, or no number.
pub(super) fn whole(object: &Map<String, Value>, key: &str, most: u64) -> Result<u64, String> {
    let number = match object.get(key) {
        None | Some(Value::Null) => return Ok(0),
        Some(Value::Bool(set)) => return Ok(u64::from(*set)),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(format!("{key} is no number")),
    };
    // what has no 64 bits is a fraction, negative, or too large
    let fraction =
        || number.as_f64().filter(|number| (0.0..u64::MAX as f64).contains(number)).map(|number| number as u64);
    let whole = number.as_u64().or_else(fraction).filter(|number| *number <= most);
    whole.ok_or_else(|| format!("{key} is {number}, not 0 to {most}"))
}

/// The same of a number from which iperf3 takes back what it has added too early: below 0 it is 0.
///
/// # Errors
/// As [`whole`].
pub(super) fn taken_back(object: &Map<String, Value>, key: &str, most: u64) -> Result<u64, String> {
    match object.get(key).and_then(Value::as_i64) {
        Some(..0) => Ok(0),
        _ => whole(object, key, most),
    }
}

/// A number up to `most` that need not be known: iperf3 says -1 for that, also without its sign.
pub(super) fn known(object: &Map<String, Value>, key: &str, most: u64) -> Option<u64> {
    object.get(key)?.as_u64().filter(|number| *number <= most)
}

/// A number with a fraction, if there is one from 0 to `most`.
pub(super) fn fraction(object: &Map<String, Value>, key: &str, most: f64) -> Option<f64> {
    object.get(key).and_then(Value::as_f64).filter(|number| (0.0..=most).contains(number))
}

/// Yes or no; also as a number.
pub(super) fn flag(object: &Map<String, Value>, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(set)) => *set,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    }
}

/// A word, if there is one that is not empty.
pub(super) fn word(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

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

/// A number that is not negative; 0 where there is none.
pub(super) fn unsigned(object: &Map<String, Value>, key: &str) -> u64 {
    match object.get(key) {
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()) {
            (Some(number), _) => number,
            // what is beyond 64 bits, negative or no number is cut to what fits
            (None, Some(number)) => number as u64,
            (None, None) => 0,
        },
        Some(Value::Bool(true)) => 1,
        _ => 0,
    }
}

/// A number that may be -1 for "unknown", also where it is written without a sign.
pub(super) fn known(object: &Map<String, Value>, key: &str) -> Option<u64> {
    match object.get(key)?.as_number()?.as_u64() {
        Some(u64::MAX) | None => None,
        number => number,
    }
}

/// A number with a fraction; 0 where there is none, or none that is finite.
pub(super) fn fraction(object: &Map<String, Value>, key: &str) -> f64 {
    object.get(key).and_then(Value::as_f64).filter(|number| number.is_finite()).unwrap_or(0.0)
}

/// Yes or no; also as a number.
pub(super) fn flag(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or_else(|| unsigned(object, key) != 0)
}

/// A word, if there is one that is not empty.
pub(super) fn word(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

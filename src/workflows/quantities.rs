//! Quantities in the settings of stages, in the grammar that they have everywhere: functions for `deserialize_with`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

use crate::model::quantity::{money, span};

/// `90s`, `15m`, `2h`.
///
/// # Errors
/// When it is something else, or nothing at all.
pub fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    span::parse_some(&text).map_err(D::Error::custom)
}

/// US dollars, such as `2.50`.
///
/// # Errors
/// When it is something else.
pub fn dollars<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    money::parse(&text).map_err(D::Error::custom)
}

//! Reads a message from its bytes, with nothing taken for granted.

use serde_json::Value;

use super::headers::Headers;
use super::notice::Notice;
use super::settings::Source;
use super::{generic, github, sentry_says};
use crate::model::webhook::SenderKind;

/// What cannot be read: why, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// Reads a message of a sender.
///
/// # Errors
/// When it is no JSON object.
pub fn message(name: &str, source: &Source, headers: &Headers, body: &[u8]) -> Result<Notice, Unreadable> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Notice {
            event: "empty".to_owned(),
            reason: Some("it says nothing: its body is empty".to_owned()),
            ..Notice::default()
        });
    }
    let said: Value = parse(headers, body)?;
    Ok(match source.kind {
        SenderKind::Sentry => {
            sentry_says::read(source.organization.as_deref().unwrap_or(name), headers, &said)
        }
        SenderKind::Github => github::read(source.host.as_deref(), headers, &said),
        SenderKind::Generic => generic::read(name, &source.mapping, headers, &said),
    })
}

/// JSON, or a form whose field `payload` holds it, as forges send when nobody chose otherwise.
pub(super) fn parse(headers: &Headers, body: &[u8]) -> Result<Value, Unreadable> {
    let media = headers.only("content-type").unwrap_or_default().to_ascii_lowercase();
    let found = if media.starts_with("application/x-www-form-urlencoded") {
        let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let payload =
            payload.ok_or_else(|| Unreadable("it is a form without a field `payload`".to_owned()))?;
        serde_json::from_str(&payload.1)
    } else {
        serde_json::from_slice(body)
    };
    match found {
        Ok(Value::Object(said)) => Ok(Value::Object(said)),
        Ok(_) => Err(Unreadable("it is JSON, and no object".to_owned())),
        Err(error) => {
            Err(Unreadable(format!("it is no JSON: line {}, column {}", error.line(), error.column())))
        }
    }
}

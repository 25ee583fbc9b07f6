//! What a forge is asked, and what it answers.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use url::Url;

use super::error::ForgeError;

/// A question, or a change that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<Value>,
    /// What it is about, for people: `pull request 7`.
    pub(super) what: String,
}

impl Call {
    pub(super) fn get(url: Url, what: impl Into<String>) -> Self {
        Self { method: Method::GET, url, body: None, what: what.into() }
    }

    pub(super) fn change(method: Method, url: Url, body: Option<Value>, what: impl Into<String>) -> Self {
        Self { method, url, body, what: what.into() }
    }

    /// With something more behind the question mark.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }
}

/// What was answered, if that was no error that everybody treats alike.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// As in the call.
    pub(super) what: String,
}

impl Answer {
    pub(super) fn is_fine(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value; nothing when nothing was said.
    pub(super) fn value(&self) -> Result<Value, ForgeError> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let read = serde_json::from_slice(&self.body);
        read.map_err(|_| ForgeError::Transient(format!("what it said about {} is no JSON", self.what)))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

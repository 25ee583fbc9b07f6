//! What reads the messages of strangers, and looks at their signatures.

#[path = "../../src/webhooks/generic.rs"]
mod generic;
#[path = "../../src/webhooks/github.rs"]
mod github;
#[path = "../../src/webhooks/headers.rs"]
pub mod headers;
#[path = "../../src/webhooks/notice.rs"]
pub mod notice;
#[path = "../../src/webhooks/read.rs"]
pub mod read;
#[path = "../../src/webhooks/sentry_says.rs"]
mod sentry_says;
#[path = "../../src/webhooks/settings.rs"]
pub mod settings;
#[path = "../../src/webhooks/signature.rs"]
pub mod signature;

use crate::model::webhook::SenderKind;
use headers::Headers;
use settings::{Mapping, Source};

/// A sender of that kind.
pub fn source(kind: SenderKind) -> Source {
    Source { kind, secrets: Vec::new(), host: None, organization: None, has_token: false, mapping: Mapping::default() }
}

/// Headers that say which message it is.
pub fn headers_of(event: &str) -> Headers {
    let names = ["sentry-hook-resource", "x-github-event"];
    Headers::new(names.map(|name| (name.to_owned(), event.to_owned())))
}

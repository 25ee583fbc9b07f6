//! By what a message is known when it comes again. Only by what its signature covers: headers that it does not cover can
//! be made new by whoever sends it once more.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::headers::Headers;
use super::read;
use super::settings::Source;
use super::signature::Signed;
use super::{generic, sentry_says};
use crate::model::webhook::SenderKind;

/// A sender that names no id may mean it when it says the same again.
const SAME_WITHIN: Duration = Duration::from_secs(600);

/// By what a message is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Any of them is enough.
    pub(super) keys: Vec<String>,
    /// How long that holds; absent: as long as keys are kept.
    pub(super) forgotten_after: Option<Duration>,
}

/// By what this one is known.
pub(super) fn of(source: &Source, signed: &Signed, headers: &Headers, body: &[u8]) -> Known {
    let body_key = || format!("body:{}", hex::encode(Sha256::digest(body)));
    let said = || read::parse(headers, body).ok();
    match source.kind {
        SenderKind::Sentry => {
            let mut keys = vec![body_key()];
            keys.extend(said().and_then(|said| sentry_says::domain_key(headers, &said)));
            Known { keys, forgotten_after: None }
        }
        SenderKind::Github => {
            let mut keys = vec![body_key()];
            keys.extend(headers.word("x-github-delivery").map(|guid| format!("guid:{guid}")));
            Known { keys, forgotten_after: None }
        }
        SenderKind::Generic => {
            let own = || said().and_then(|said| generic::domain_key(&source.mapping, &said));
            let named = signed.id.clone().map(|id| format!("id:{id}")).or_else(own);
            // Of a bearer everything is believed, its headers too.
            let named = named.or_else(|| headers.word("webhook-id").map(|id| format!("id:{id}")));
            match named {
                Some(key) => Known { keys: vec![key], forgotten_after: None },
                None => Known { keys: vec![body_key()], forgotten_after: Some(SAME_WITHIN) },
            }
        }
    }
}

/// What its sender calls it, as far as a header says so.
pub(super) fn event_of(kind: SenderKind, headers: &Headers) -> String {
    let word = match kind {
        SenderKind::Sentry => headers.word("sentry-hook-resource"),
        SenderKind::Github => headers.word("x-github-event").or_else(|| headers.word("x-gitea-event")),
        SenderKind::Generic => None,
    };
    word.unwrap_or_else(|| "message".to_owned())
}

//! Messages of senders of no known kind: the configuration says where in them the fields are.

use serde_json::Value;

use super::headers::Headers;
use super::notice::{Matter, Notice, level};
use super::settings::Mapping;
use crate::model::loose;
use crate::model::run::{Evidence, RunSubject};

/// The longest text that an agent is shown.
const TEXT: usize = 12_000;

/// Reads one.
pub(super) fn read(source: &str, mapping: &Mapping, headers: &Headers, said: &Value) -> Notice {
    let at = |pointer: &Option<String>, usual: &[&str], longest: usize| match pointer {
        Some(pointer) => loose::text(said, pointer, longest),
        None => loose::first_text(said, usual, longest),
    };
    let line = |text: String, longest: usize| loose::line(&text, longest);
    let event = at(&mapping.event, &["/event", "/type", "/action"], 100).map(|text| line(text, 100));
    let title =
        at(&mapping.title, &["/title", "/name", "/message", "/text"], 300).map(|text| line(text, 200));
    let message = at(&mapping.message, &["/message", "/text", "/description"], TEXT);
    let event = event.unwrap_or_else(|| "message".to_owned());
    // Without a word on what it is about, each message is about something of its own.
    let about = at(&mapping.key, &[], 200).or_else(|| at(&mapping.fingerprint, &["/fingerprint"], 200));
    let about = about.or_else(|| headers.word("webhook-id")).or_else(|| at(&mapping.id, &["/id"], 200));
    let about = about.map(|text| line(text, 200));
    let key =
        format!("hook:{source}:{}", about.unwrap_or_else(|| title.clone().unwrap_or_else(|| event.clone())));
    let title = title.unwrap_or_else(|| format!("{source}: {event}"));
    let mut evidence = Vec::new();
    evidence.extend(message.map(|text| Evidence { name: "message".into(), source: source.to_owned(), text }));
    if evidence.is_empty() {
        let text = loose::cut(&said.to_string(), TEXT);
        evidence.push(Evidence { name: "message".into(), source: source.to_owned(), text });
    }
    let url = at(&mapping.url, &["/url", "/link"], 500);
    evidence.extend(url.map(|text| Evidence {
        name: "address".into(),
        source: source.to_owned(),
        text: line(text, 500),
    }));
    Notice {
        why: format!("{source}: {event}"),
        event,
        matter: Some(Matter {
            key: key.clone(),
            name: Some(key),
            title,
            subject: RunSubject::None,
            commit: at(&mapping.commit, &["/commit", "/sha"], 100).map(|text| line(text, 100)),
            evidence,
            level: at(&mapping.level, &["/level", "/severity"], 20).as_deref().and_then(level),
            environment: at(&mapping.environment, &["/environment"], 100).map(|text| line(text, 100)),
            fingerprints: at(&mapping.fingerprint, &["/fingerprint"], 200).into_iter().collect(),
            from: at(&mapping.project, &["/project"], 200).map(|text| line(text, 200)),
            ..Matter::default()
        }),
        ..Notice::default()
    }
}

/// By what a message is known when it comes again.
pub(super) fn domain_key(mapping: &Mapping, said: &Value) -> Option<String> {
    let pointer = mapping.id.as_deref()?;
    loose::text(said, pointer, 200).map(|id| format!("id:{id}"))
}

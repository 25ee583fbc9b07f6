//! What an error tracker could not tell us: it tries once, and has no patience with a gateway that is away. (What a forge
//! could not is in [`super::redeliver`].)
//!
//! Issues that are new or came back since the last look, and of which nothing came, become messages of our own making
//! and take the same way as others. Issues that go on as before are no news: how often one is told of those is what
//! alert rules at the tracker are for.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sentry_says::{CATCH_UP, domain_key, name_of};
use super::{Headers, IntakeError, Source, Webhooks, millis};
use crate::clock;
use crate::model::ids::DeliveryId;
use crate::model::webhook::SenderKind;
use crate::sentry::{Issue, Sentry, SentryError};
use crate::store::webhooks::{self as rows, NewWebhook};
use crate::store::{StoreError, meta, runs};

/// What came shortly before the last look may have been missed by it.
const OVERLAP: Duration = Duration::from_secs(120);
/// Something that came about an issue within this time is news enough.
const NEWS: Duration = Duration::from_secs(24 * 60 * 60);
/// So long an alert may be on its way.
const AT_REST: Duration = Duration::from_secs(120);
/// So many issues are taken up in one pass.
const CLOSER: usize = 50;
/// What of an event is kept: what its reader looks at.
const FIELDS: &[&str] = &[
    "eventID",
    "groupID",
    "title",
    "culprit",
    "location",
    "message",
    "metadata",
    "tags",
    "release",
    "webUrl",
    "dateCreated",
    "fingerprints",
];

impl Webhooks {
    /// Asks every tracker that can be asked. What goes wrong there is said in the list of senders.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        let settings = self.inner.settings.now();
        if settings.catch_up.is_none() {
            return Ok(());
        }
        // Of one organization there may be several senders, and what was told a moment ago is not decided yet.
        let mut told = BTreeSet::new();
        for (name, source) in settings.sources.iter().filter(|(_, source)| source.kind == SenderKind::Sentry)
        {
            let Some(organization) = &source.organization else { continue };
            let Some(sentry) = self.inner.sentries.of(organization) else { continue };
            let trouble = match self.catch_up_with(name, source, organization, &sentry, &mut told).await {
                Ok(()) => None,
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Sentry(error)) => {
                    tracing::warn!(%error, "{name} could not be asked for what was missed: {error}");
                    Some(format!("it could not be asked for what was missed: {error}"))
                }
            };
            self.inner.troubles.lock().entry(name.clone()).or_default().catch_up = trouble;
        }
        self.catch_up_forges().await
    }

    async fn catch_up_with(
        &self,
        name: &str,
        source: &Source,
        organization: &str,
        sentry: &Sentry,
        told: &mut BTreeSet<String>,
    ) -> Result<(), Trouble> {
        let now = self.inner.clock.now_ms();
        let key = format!("webhooks.catch_up.{name}");
        let known = key.clone();
        let last = self.inner.store.read(move |db| meta::find(db, &known)).await?;
        // Whoever begins today is not told of all that was ever open; nor is anybody whose rules ask for none.
        let rules = self.inner.settings.now();
        let is_wanted = rules.rules.iter().any(|rule| rule.source == name && rule.catches_up);
        let mut seen = Ok(true);
        if let Some(last) = last.and_then(|text| text.parse::<u64>().ok()).filter(|_| is_wanted) {
            let since = last.saturating_sub(millis(OVERLAP));
            seen = self.take_up(name, source, organization, sentry, since, told).await;
        }
        // From here on again, where something was left.
        if seen? {
            let at = now.saturating_sub(millis(AT_REST)).to_string();
            self.inner.store.write_soon(move |tx| meta::set(tx, &key, &at)).await?;
        }
        Ok(())
    }

    /// Takes up what is news since then. Whether that was all of it. An issue of which nothing can be had does not stand in
    /// the way of others.
    async fn take_up(
        &self,
        name: &str,
        source: &Source,
        organization: &str,
        sentry: &Sentry,
        since: u64,
        told: &mut BTreeSet<String>,
    ) -> Result<bool, Trouble> {
        let now = self.inner.clock.now_ms();
        let is_new = |issue: &Issue| issue.first_seen.is_some_and(|at| at >= since);
        // An alert about it may be on its way.
        let rests = |issue: &Issue| issue.first_seen.is_none_or(|at| at + millis(AT_REST) <= now);
        let (mut count, mut trouble) = (0, None);
        let (issues, are_all) = sentry.unresolved_since(since).await?;
        for issue in issues {
            let is_news = is_new(&issue) && rests(&issue) || issue.has_regressed();
            let matter = name_of(organization, &issue.id);
            if !is_news || told.contains(&matter) || self.is_known(&matter, now).await? {
                continue;
            }
            if count == CLOSER {
                return Ok(false);
            }
            count += 1;
            match self.tell(name, source, &issue, sentry).await {
                Err(Trouble::Sentry(SentryError::Transient(why))) => {
                    trouble = trouble.or(Some(SentryError::Transient(why)));
                }
                other => other?,
            }
            told.insert(matter);
        }
        trouble.map_or(Ok(are_all), |error| Err(Trouble::Sentry(error)))
    }

    /// Whether something came about it, or a run sees to it.
    async fn is_known(&self, matter: &str, now: u64) -> Result<bool, StoreError> {
        let (matter, since) = (matter.to_owned(), now.saturating_sub(millis(NEWS)));
        let look = self.inner.store.read(move |db| {
            Ok(rows::came_about(db, &matter, since)? || runs::open_of_key(db, &matter)?.is_some())
        });
        look.await
    }

    /// Makes a message of it.
    async fn tell(&self, name: &str, source: &Source, issue: &Issue, sentry: &Sentry) -> Result<(), Trouble> {
        let event = match sentry.latest_event_as_said(&issue.id).await {
            // What the list says is enough to begin with.
            Err(SentryError::NotFound(_) | SentryError::Refused(_)) => Value::Null,
            said => said?,
        };
        let limit = self.inner.settings.now().body_limit;
        let headers = Headers::new([
            ("content-type".to_owned(), "application/json".to_owned()),
            ("sentry-hook-resource".to_owned(), CATCH_UP.to_owned()),
        ]);
        let said = message(issue, &event, limit);
        tracing::info!("{name}: issue {} was missed, and is taken up now", issue.id);
        let new = NewWebhook {
            id: DeliveryId::from_parts(self.inner.clock.now_ms(), clock::entropy_128()).to_string(),
            source: name.to_owned(),
            event: super::keys::event_of(source.kind, &headers),
            keys: domain_key(&headers, &said).into_iter().collect(),
            known_since: None,
            headers: headers.kept(),
            body: said.to_string().into_bytes(),
        };
        match self.keep(new).await {
            Ok(_) => Ok(()),
            Err(IntakeError::Store(error)) => Err(Trouble::Store(error)),
            // The next pass finds it again.
            Err(other) => Err(Trouble::Sentry(SentryError::Transient(other.to_string()))),
        }
    }
}

/// In the form in which alerts come.
fn message(issue: &Issue, event: &Value, limit: usize) -> Value {
    let mut kept: Map<String, Value> =
        FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), event.get(*field)?.clone()))).collect();
    kept.insert("groupID".to_owned(), json!(issue.id));
    let is_exception = |entry: &&Value| entry.get("type").is_some_and(|kind| kind == "exception");
    let entries = event.get("entries").and_then(Value::as_array);
    let entries: Vec<Value> = entries.into_iter().flatten().filter(is_exception).cloned().collect();
    let action = if issue.has_regressed() { "unresolved" } else { "created" };
    let with = |event: &Map<String, Value>| {
        let known = json!({
            "id": issue.id, "shortId": issue.short_id, "title": issue.title, "level": issue.level,
            "culprit": issue.culprit, "permalink": issue.url, "project": {"slug": issue.project},
            "status": issue.status, "substatus": issue.substatus,
        });
        json!({"action": action, "data": {"event": event, "issue": known}})
    };
    let short = with(&kept);
    kept.insert("entries".to_owned(), Value::Array(entries));
    let whole = with(&kept);
    if whole.to_string().len() <= limit { whole } else { short }
}

/// What goes wrong on the way.
enum Trouble {
    Store(StoreError),
    Sentry(SentryError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SentryError> for Trouble {
    fn from(error: SentryError) -> Self {
        Self::Sentry(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::{read, settings};

    #[test]
    fn what_was_missed_reads_as_an_alert_does() {
        let issue = Issue {
            id: "7".into(),
            short_id: Some("SHOP-7".into()),
            title: "boom".into(),
            level: Some("error".into()),
            project: Some("shop".into()),
            ..Issue::default()
        };
        let event = json!({
            "eventID": "e1", "title": "boom", "breadcrumbs": "x".repeat(1000), "release": {"version": "1.2"},
            "tags": [{"key": "environment", "value": "production"}],
            "entries": [{"type": "exception", "data": {"values": [{"type": "Error", "value": "boom",
                "stacktrace": {"frames": [{"filename": "a.js", "lineNo": 2, "inApp": true}]}}]}}, {"type": "request"}],
        });
        let source = Source {
            kind: SenderKind::Sentry,
            secrets: Vec::new(),
            host: None,
            organization: Some("acme".into()),
            has_token: true,
            mapping: settings::Mapping::default(),
        };
        let headers = Headers::new([("sentry-hook-resource".to_owned(), CATCH_UP.to_owned())]);
        let body = message(&issue, &event, 1 << 20).to_string();
        assert!(!body.contains("xxxx"), "only what is read is kept");
        let notice = read::message("errors", &source, &headers, body.as_bytes()).expect("readable");
        assert_eq!(notice.event, "catch_up.created");
        let matter = notice.matter.expect("a matter");
        assert_eq!((matter.key.as_str(), matter.title.as_str()), ("sentry:acme/7", "SHOP-7: boom"));
        assert_eq!(
            (matter.from.as_deref(), matter.environment.as_deref()),
            (Some("shop"), Some("production"))
        );
        assert!(matter.evidence.iter().any(|evidence| evidence.text.contains("a.js:2")));
        let short = message(&issue, &event, 300).to_string();
        assert!(!short.contains("a.js") && short.contains("production"));
        let key = domain_key(&headers, &message(&issue, &event, 1 << 20));
        assert_eq!(key.as_deref(), Some("event:7:e1"));
    }
}

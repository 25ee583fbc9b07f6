//! What an error tracker could not tell us: it tries once, and has no patience with a gateway that is away. (What a forge
//! could not is in [`super::redeliver`].)
//!
//! Issues that are new or came back, and of which nothing came, become messages of our own making and take the same way as
//! others: those whose alert may have come while we could not be reached ([`super::reach`]), and for rules that want all,
//! the others too. Issues that go on as before are no news: how often one is told of those is what alert rules at the
//! tracker are for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::reach::{self, AT_REST_MS, Gap};
use super::rules;
use super::sentry_says::{CATCH_UP, UNTOLD, domain_key, name_of};
use super::settings::{Rule, Untold};
use super::{Headers, IntakeError, Source, Webhooks, millis};
use crate::clock;
use crate::model::ids::DeliveryId;
use crate::model::webhook::SenderKind;
use crate::sentry::{Issue, Sentry, SentryError};
use crate::store::webhooks::{self as rows, NewWebhook};
use crate::store::{StoreError, meta, runs};

/// What came shortly before the last look may have been missed by it.
const OVERLAP: Duration = Duration::from_secs(120);
/// Of one that does not say when it came back, something that came within this time is news enough.
const NEWS: Duration = Duration::from_secs(24 * 60 * 60);
/// So many issues are taken up in one pass,
const CLOSER: usize = 50;
/// and of so many it is asked when they came back: Sentry answers five such questions a second.
const MOST_ASKED: usize = 100;
/// So long one of them may wait for its turn.
const IN_TIME: Duration = Duration::from_secs(5);
/// After so many that were not answered it is tried again at the next pass.
const MOST_TROUBLES: usize = 5;
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
        self.note_up().await?;
        // Of one organization there may be several senders, and what was told a moment ago is not decided yet.
        let mut told = BTreeSet::new();
        for (name, source) in settings.sources.iter().filter(|(_, source)| source.kind == SenderKind::Sentry)
        {
            let Some(organization) = &source.organization else { continue };
            let Some(sentry) = self.inner.sentries.of(organization) else { continue };
            let trouble = match self.catch_up_with(name, source, organization, &sentry, &mut told).await {
                Ok(()) => Vec::new(),
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Sentry(error)) => {
                    tracing::warn!(%error, "{name} could not be asked for what was missed: {error}");
                    vec![format!("it could not be asked for what was missed: {error}")]
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
        let (known, of) = (key.clone(), name.to_owned());
        let known = self.inner.store.read(move |db| Ok((meta::find(db, &known)?, reach::gaps_of(db, &of)?)));
        let (last, gaps) = known.await?;
        // Whoever begins today is not told of all that was ever open; nor is anybody whose rules ask for none.
        let settings = self.inner.settings.now();
        let wanted =
            |catch_up| settings.rules.iter().any(|rule| rule.source == name && rule.catch_up == catch_up);
        let wants_all = wanted(Untold::All);
        let is_wanted = wants_all || wanted(Untold::Missed);
        let mut seen = Ok(Some(u64::MAX));
        if let Some(last) = last.and_then(|text| text.parse::<u64>().ok()).filter(|_| is_wanted) {
            let since = gaps.iter().map(|gap| gap.looks_back_to()).min().unwrap_or(last);
            let since = since.min(last.saturating_sub(millis(OVERLAP)));
            let since = since.clamp(reach::looks_back_at_most(now), now);
            let rules = &settings.rules;
            let look = Look { name, source, organization, sentry, since, now, gaps, wants_all, rules };
            seen = self.take_up(&look, told).await;
        }
        // From here on again, where something was left.
        if let Some(until) = seen? {
            self.inner.asked.lock().remove(name);
            let (at, of) = (until.min(now.saturating_sub(AT_REST_MS)), name.to_owned());
            let write = self.inner.store.write_soon(move |tx| {
                reach::leave_gaps(tx, &of, at)?;
                meta::set(tx, &key, &at.to_string())
            });
            write.await?;
        }
        Ok(())
    }

    /// Takes up what is news. If that was all of it: until when everything was looked at (UTC ms). An issue of which nothing
    /// can be had does not stand in the way of others, nor do those of which one more question must be asked.
    async fn take_up(&self, look: &Look<'_>, told: &mut BTreeSet<String>) -> Result<Option<u64>, Trouble> {
        let (issues, are_all) = look.sentry.unresolved_since(look.since).await?;
        let (last, first): (Vec<Issue>, Vec<Issue>) =
            issues.into_iter().partition(|issue| look.first_seen(issue).is_none() && issue.has_regressed());
        let (mut count, mut asking, mut troubles) = (0, Asking::default(), Vec::new());
        for issue in first.into_iter().chain(last) {
            let matter = name_of(look.organization, &issue.id);
            if told.contains(&matter) {
                continue;
            }
            if count == CLOSER || asking.questions == MOST_ASKED {
                // The next pass begins where this one is: what was told is known, and what was asked is remembered.
                return first_of(troubles).map_or(Ok(None), Err);
            }
            let done = match self.news(look, &issue, &matter, &mut asking).await {
                Ok(None) => continue,
                Ok(Some(news)) => {
                    count += 1;
                    let done = self.tell(look, &issue, news).await;
                    told.insert(matter);
                    done
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => {}
                Err(Trouble::Sentry(error)) if error.is_passing() => {
                    let is_enough = matches!(error, SentryError::RateLimited { .. });
                    troubles.push(error);
                    if is_enough || troubles.len() == MOST_TROUBLES {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        match first_of(troubles) {
            Some(error) => Err(error),
            None => Ok(are_all.then_some(asking.until)),
        }
    }

    /// What an issue is told as; none when it is no news, or nobody wants it.
    async fn news(
        &self,
        look: &Look<'_>,
        issue: &Issue,
        matter: &str,
        asking: &mut Asking,
    ) -> Result<Option<&'static str>, Trouble> {
        // Nobody wants it, whatever it is: nothing is asked.
        if !look.wants_all && look.gaps.is_empty() {
            return Ok(None);
        }
        let (began, known_since) = if let Some(at) = look.first_seen(issue) {
            (Some(at), 0)
        } else if issue.has_regressed() {
            // When that was is one more question for each: only after a gap it is asked of all.
            let (lately, news) =
                if look.gaps.is_empty() { (millis(NEWS), UNTOLD) } else { (AT_REST_MS, CATCH_UP) };
            if self.is_known(matter, look.now.saturating_sub(lately), news).await? {
                return Ok(None);
            }
            match self.came_back(look, issue, matter, asking).await? {
                Some(at) if look.rests(at) => (Some(at), at.saturating_sub(AT_REST_MS)),
                Some(_) => return Ok(None),
                None => (None, look.now.saturating_sub(millis(NEWS))),
            }
        } else {
            return Ok(None);
        };
        let is_missed = look.gaps.iter().any(|gap| gap.may_hide(began, issue.last_seen));
        let news = if is_missed { CATCH_UP } else { UNTOLD };
        let is_wanted = look.rules.iter().any(|rule| rules::may_take(rule, look.name, news, issue));
        if !is_wanted || self.is_known(matter, known_since, news).await? {
            return Ok(None);
        }
        Ok(Some(news))
    }

    /// When it came back, as the tracker says of it alone. What it said since the last whole look it is not asked again, unless
    /// we may have been away since.
    async fn came_back(
        &self,
        look: &Look<'_>,
        issue: &Issue,
        matter: &str,
        asking: &mut Asking,
    ) -> Result<Option<u64>, SentryError> {
        let known = self.inner.asked.lock().get(look.name).and_then(|asked| asked.get(matter).copied());
        let is_good = |(at, _): &(u64, Option<u64>)| look.gaps.iter().all(|gap| gap.is_seen_until(*at));
        if let Some((at, came_back)) = known.filter(is_good) {
            asking.until = asking.until.min(at);
            return Ok(came_back);
        }
        asking.questions += 1;
        let at = self.inner.clock.now_ms();
        let came_back = match look.sentry.issue_in_time(&issue.id, IN_TIME).await {
            // What the list says is enough to go by.
            Err(SentryError::NotFound(_) | SentryError::Refused(_)) => None,
            said => said?.regressed_at,
        };
        let mut asked = self.inner.asked.lock();
        asked.entry(look.name.to_owned()).or_default().insert(matter.to_owned(), (at, came_back));
        Ok(came_back)
    }

    /// Whether something came about it since then that a rule followed or something kept it from, or a run sees to it; or
    /// whether it was told as that before, whatever came of it. What no rule was about (an alert of another environment, a
    /// message that is no alert) hides no alert that was missed.
    async fn is_known(&self, matter: &str, since: u64, news: &'static str) -> Result<bool, StoreError> {
        let matter = matter.to_owned();
        let of_ours = if news == CATCH_UP { vec![CATCH_UP] } else { vec![CATCH_UP, UNTOLD] };
        let look = self.inner.store.read(move |db| {
            let is_told = rows::came_about(db, &matter, since, &of_ours)?;
            Ok(is_told || runs::open_of_key(db, &matter)?.is_some())
        });
        look.await
    }

    /// Makes a message of it.
    async fn tell(&self, look: &Look<'_>, issue: &Issue, news: &'static str) -> Result<(), Trouble> {
        let (name, source) = (look.name, look.source);
        let event = match look.sentry.latest_event_as_said(&issue.id).await {
            // What the list says is enough to begin with.
            Err(SentryError::NotFound(_) | SentryError::Refused(_)) => Value::Null,
            said => said?,
        };
        let limit = self.inner.settings.now().body_limit;
        let headers = Headers::new([
            ("content-type".to_owned(), "application/json".to_owned()),
            ("sentry-hook-resource".to_owned(), news.to_owned()),
        ]);
        let said = message(issue, &event, limit);
        tracing::info!("{name}: issue {} was not told ({news}), and is taken up now", issue.id);
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

/// One look at a tracker.
struct Look<'a> {
    name: &'a str,
    source: &'a Source,
    organization: &'a str,
    sentry: &'a Sentry,
    /// From when on (UTC ms),
    since: u64,
    /// and until when.
    now: u64,
    gaps: Vec<Gap>,
    /// Some rule also wants what nobody missed.
    wants_all: bool,
    rules: &'a [Rule],
}

impl Look<'_> {
    /// Whether something of that time is looked at now: an alert about it may be on its way for a while.
    fn rests(&self, at: u64) -> bool {
        at >= self.since && at.saturating_add(AT_REST_MS) <= self.now
    }

    /// When an issue was first seen, if that is looked at now.
    fn first_seen(&self, issue: &Issue) -> Option<u64> {
        issue.first_seen.filter(|at| self.rests(*at))
    }
}

/// What was said of issues, by matter: when it was asked (UTC ms), and when the issue came back.
pub(super) type CameBack = BTreeMap<String, (u64, Option<u64>)>;

/// How it goes with questions about single issues.
struct Asking {
    /// How many were asked.
    questions: usize,
    /// Until when what is known of all of them holds (UTC ms).
    until: u64,
}

impl Default for Asking {
    fn default() -> Self {
        Self { questions: 0, until: u64::MAX }
    }
}

/// What went wrong first.
fn first_of(troubles: Vec<SentryError>) -> Option<Trouble> {
    troubles.into_iter().next().map(Trouble::Sentry)
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

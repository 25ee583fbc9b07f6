//! How the gateway asks an error tracker with Sentry's API: what an issue is now, what happened last, which are open;
//! and tells it that one is resolved.
//!
//! Asking twice is safe: [`Sentry::resolve`] first looks whether somebody has done it. A token goes to the configured
//! address and nowhere else: redirects are not followed, and of what the answer says about the next page only the
//! cursor is used. What it says is a stranger's word: every field may be missing, and sizes are limited.
//!
//! Not here: its messages to us (see `webhooks`), and what follows from all of it (see `workflows`).

mod error;
mod event;
mod issue;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::clock::{self, Clock};
use crate::model::git::Repository;
use crate::model::secret::Secret;
use crate::outbound::{HttpClients, innermost};
use crate::redact::Secrets;

pub use error::SentryError;
pub use event::Event;
pub use issue::{Issue, instant};

/// Where it is unless somebody says otherwise.
pub const USUAL: &str = "https://sentry.io";

/// How long one answer may take,
const WITHIN: Duration = Duration::from_secs(20);
/// how large it may be,
const LONGEST: usize = 16 << 20;
/// and how many pages of a list are read.
const PAGES: usize = 20;
/// How long we wait when it does not say how long.
const PATIENCE: Duration = Duration::from_secs(60);

/// An organization, as the configuration has it.
#[derive(Clone, Debug)]
pub struct SentrySource {
    /// Of which source of webhooks; sentences say it.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// The organization's slug.
    pub organization: String,
    /// What opens its API.
    pub token: Secret,
}

/// The organizations that are configured. Clones share what is configured.
#[derive(Clone)]
pub struct Sentries {
    http: HttpClients,
    clock: Clock,
    sources: Arc<RwLock<Vec<SentrySource>>>,
}

impl Sentries {
    /// Those of these sources.
    #[must_use]
    pub fn new(http: HttpClients, clock: Clock, sources: Vec<SentrySource>) -> Self {
        Self { http, clock, sources: Arc::new(RwLock::new(sources)) }
    }

    /// Others from now on.
    pub fn configure(&self, sources: Vec<SentrySource>) {
        *self.sources.write() = sources;
    }

    /// The client for an organization; none where nothing opens it.
    #[must_use]
    pub fn of(&self, organization: &str) -> Option<Sentry> {
        let source =
            self.sources.read().iter().find(|source| source.organization == organization).cloned()?;
        Some(Sentry { http: self.http.clone(), clock: self.clock.clone(), source: Arc::new(source) })
    }
}

/// How an issue is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveIn {
    /// In the release that has that commit. [`SentryError::Refused`] when Sentry does not know the repository: ask for
    /// the next release then.
    Commit {
        /// `owner/name` is what Sentry knows it by.
        repository: Repository,
        /// The whole id.
        sha: String,
    },
    /// In the release after the newest that it knows.
    NextRelease,
}

/// One organization, with what opens it. Cheap to clone.
#[derive(Clone)]
pub struct Sentry {
    http: HttpClients,
    clock: Clock,
    source: Arc<SentrySource>,
}

impl Sentry {
    /// The organization's slug.
    #[must_use]
    pub fn organization(&self) -> &str {
        &self.source.organization
    }

    /// An issue as it is now.
    ///
    /// # Errors
    /// [`SentryError`]; the same holds for every method below.
    pub async fn issue(&self, id: &str) -> Result<Issue, SentryError> {
        let answer = self.ask(Method::GET, &["issues", id], &[], None).await?;
        Issue::read(&answer.body).ok_or_else(|| strange("the issue has no id"))
    }

    /// The same. Where it asks for patience and for no more than that, it is asked once more.
    pub async fn issue_in_time(&self, id: &str, most: Duration) -> Result<Issue, SentryError> {
        let said = self.issue(id).await;
        let Err(SentryError::RateLimited { until_ms }) = said else { return said };
        let pause = Duration::from_millis(until_ms.saturating_sub(self.clock.now_ms()));
        if pause > most {
            return said;
        }
        tokio::time::sleep(pause).await;
        self.issue(id).await
    }

    /// What happened last of that issue, with its stack trace.
    pub async fn latest_event(&self, id: &str) -> Result<Event, SentryError> {
        let event = Event::read(&self.latest_event_as_said(id).await?);
        Ok(Event { issue: event.issue.or_else(|| Some(id.to_owned())), ..event })
    }

    /// The same in its own words.
    pub async fn latest_event_as_said(&self, id: &str) -> Result<Value, SentryError> {
        Ok(self.ask(Method::GET, &["issues", id, "events", "latest"], &[], None).await?.body)
    }

    /// Open issues that were seen since a time (UTC milliseconds), those seen last first; and whether those are all.
    pub async fn unresolved_since(&self, since_ms: u64) -> Result<(Vec<Issue>, bool), SentryError> {
        let query = format!("is:unresolved lastSeen:>{}", clock::rfc3339(since_ms));
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let mut parameters = vec![("query", query.as_str()), ("sort", "date"), ("limit", "100")];
            parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let answer = self.ask(Method::GET, &["issues"], &parameters, None).await?;
            let list = answer.body.as_array().ok_or_else(|| strange("its list of issues is no list"))?;
            found.extend(list.iter().filter_map(Issue::read));
            cursor = answer.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok((found, cursor.is_none()))
    }

    /// Says that an issue is resolved, unless it is already. Repeatable.
    pub async fn resolve(&self, id: &str, how: &ResolveIn) -> Result<Issue, SentryError> {
        let now = self.issue(id).await?;
        if now.is_resolved() {
            return Ok(now);
        }
        let details = match how {
            ResolveIn::Commit { repository, sha } => {
                json!({"inCommit": {"repository": repository.path(), "commit": sha}})
            }
            ResolveIn::NextRelease => json!({"inNextRelease": true}),
        };
        let body = json!({"status": "resolved", "statusDetails": details});
        let answer = self.ask(Method::PUT, &["issues", id], &[], Some(&body)).await?;
        // It answers with what was changed; what the issue is now, it says when it is asked.
        match Issue::read(&answer.body) {
            Some(issue) => Ok(issue),
            None => self.issue(id).await,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, SentryError> {
        let token = &self.source.token;
        let asked = tokio::time::timeout(WITHIN, self.call(method, path, parameters, body)).await;
        let late = || Err(SentryError::Transient(format!("no answer within {} s", WITHIN.as_secs())));
        let secrets = Secrets::new([token]);
        asked.unwrap_or_else(|_| late()).map_err(|error| match error {
            SentryError::Auth(text) => SentryError::Auth(secrets.out_of(&text)),
            SentryError::Transient(text) => SentryError::Transient(secrets.out_of(&text)),
            SentryError::NotFound(text) => SentryError::NotFound(secrets.out_of(&text)),
            SentryError::Refused(text) => SentryError::Refused(secrets.out_of(&text)),
            passing @ SentryError::RateLimited { .. } => passing,
        })
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, SentryError> {
        let url = self.address(path, parameters)?;
        let transient = |error: reqwest::Error| SentryError::Transient(innermost(&error.without_url()));
        let mut request = self.http.to(&url).map_err(transient)?.request(method, url);
        request = request.bearer_auth(self.source.token.reveal());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(transient)?;
        let status = response.status();
        let next =
            response.headers().get_all(header::LINK).iter().find_map(|link| next_page(link.to_str().ok()?));
        let until_ms = self.patience(response.headers());
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(transient)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LONGEST {
                return Err(strange("its answer has no end"));
            }
        }
        let body: Option<Value> = serde_json::from_slice(&bytes).ok();
        match (status, body) {
            (status, Some(body)) if status.is_success() => Ok(Answer { body, next }),
            (status, None) if status.is_success() => Err(strange("what it says is no JSON")),
            (StatusCode::TOO_MANY_REQUESTS, _) => Err(SentryError::RateLimited { until_ms }),
            (status, body) => Err(self.refusal(status, body.as_ref(), path)),
        }
    }

    fn address(&self, path: &[&str], parameters: &[(&str, &str)]) -> Result<Url, SentryError> {
        let mut url = self.source.url.clone();
        let no_base =
            || SentryError::Refused(format!("webhooks.sources.{}.url is no address", self.source.name));
        url.path_segments_mut()
            .map_err(|()| no_base())?
            .pop_if_empty()
            .extend(["api", "0", "organizations", &self.source.organization])
            .extend(path)
            // Without the last stroke it redirects.
            .push("");
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(url)
    }

    /// Until when it asks us to wait, if it does.
    fn patience(&self, headers: &header::HeaderMap) -> u64 {
        let now = self.clock.now_ms();
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let usual = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let after = number("retry-after").map(|seconds| now.saturating_add(seconds.saturating_mul(1_000)));
        let at = number("x-sentry-rate-limit-reset").map(|seconds| seconds.saturating_mul(1_000));
        let most = now.saturating_add(60 * usual);
        after.or(at).unwrap_or(now + usual).clamp(now + 1_000, most)
    }

    fn refusal(&self, status: StatusCode, body: Option<&Value>, path: &[&str]) -> SentryError {
        let why = body.and_then(|body| {
            let said = body.get("detail").or_else(|| body.get("statusDetails")).unwrap_or(body);
            let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            Some(crate::model::loose::line(&text, 300)).filter(|text| !text.is_empty())
        });
        let why = why.map_or_else(|| format!("HTTP {status}"), |why| format!("HTTP {status}: {why}"));
        let name = &self.source.name;
        match status.as_u16() {
            401 => SentryError::Auth(format!(
                "Sentry does not know the token of webhooks.sources.{name}.token ({why}): make another one and put it there"
            )),
            403 => SentryError::Auth(format!(
                "the token of webhooks.sources.{name}.token may not do that ({why}): it needs event:read, event:write and org:read"
            )),
            404 => SentryError::NotFound(path.join(" ")),
            408 | 425 | 500..=599 => SentryError::Transient(why),
            300..=399 => SentryError::Refused(format!("{why}; is webhooks.sources.{name}.url right?")),
            _ => SentryError::Refused(why),
        }
    }
}

/// A good answer.
struct Answer {
    body: Value,
    /// The cursor of the next page, if there is one.
    next: Option<String>,
}

fn strange(why: &str) -> SentryError {
    SentryError::Transient(why.to_owned())
}

/// The cursor of the next page in a `Link` header, when that page has something.
fn next_page(link: &str) -> Option<String> {
    let is_next = |part: &&str| part.contains("rel=\"next\"") && part.contains("results=\"true\"");
    let next = link.split(", <").find(is_next)?;
    let cursor = next.split_once("cursor=\"")?.1.split('"').next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'=' | b'.');
    ((1..=200).contains(&cursor.len()) && cursor.bytes().all(plain)).then(|| cursor.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentry(url: &str) -> Sentry {
        let source = SentrySource {
            name: "errors".into(),
            url: url.parse().expect("an address"),
            organization: "acme".into(),
            token: Secret::new("sntrys_secret"),
        };
        Sentries::new(HttpClients::default(), Clock::manual(1_000_000), vec![source])
            .of("acme")
            .expect("it is known")
    }

    #[test]
    fn the_next_page_is_known_by_its_cursor_alone() {
        let link = |results| {
            format!(
                "<https://elsewhere.example/?cursor=0:0:1>; rel=\"previous\"; results=\"true\"; cursor=\"0:0:1\", \
                 <https://elsewhere.example/?cursor=0:100:0>; rel=\"next\"; results=\"{results}\"; cursor=\"0:100:0\""
            )
        };
        assert_eq!(next_page(&link("true")).as_deref(), Some("0:100:0"));
        assert_eq!(next_page(&link("false")), None);
        assert_eq!(next_page("<x>; rel=\"next\"; results=\"true\"; cursor=\"a&b=c\""), None);
    }

    #[test]
    fn an_address_stays_below_the_configured_one() {
        for base in ["https://sentry.example", "https://sentry.example/", "https://sentry.example/below/"] {
            let url =
                sentry(base).address(&["issues", "../../x?y#z"], &[("query", "a b&c")]).expect("an address");
            let text = url.as_str();
            assert!(text.starts_with(base.trim_end_matches('/')), "{text}");
            assert!(
                text.ends_with("/api/0/organizations/acme/issues/..%2F..%2Fx%3Fy%23z/?query=a+b%26c"),
                "{text}"
            );
        }
    }

    #[test]
    fn refusals_say_what_to_do_next() {
        let sentry = sentry("https://sentry.example");
        let of = |status: u16| {
            let body = json!({"detail": "no\u{202e}"});
            sentry.refusal(StatusCode::from_u16(status).expect("a status"), Some(&body), &["issues", "7"])
        };
        assert!(matches!(of(401), SentryError::Auth(text) if text.contains("webhooks.sources.errors.token")));
        assert!(matches!(of(403), SentryError::Auth(text) if text.contains("event:write")));
        assert_eq!(of(404), SentryError::NotFound("issues 7".into()));
        assert!(matches!(of(502), SentryError::Transient(_)));
        assert!(matches!(of(301), SentryError::Refused(text) if text.contains("url")));
        assert!(matches!(of(400), SentryError::Refused(text) if text.contains("\\u{202e}")));
    }

    #[test]
    fn who_asks_for_patience_gets_it_for_an_hour_at_most() {
        let sentry = sentry("https://sentry.example");
        let with = |name: &'static str, value: &'static str| {
            let mut headers = header::HeaderMap::new();
            headers.insert(name, header::HeaderValue::from_static(value));
            sentry.patience(&headers) - 1_000_000
        };
        assert_eq!(with("retry-after", "7"), 7_000);
        assert_eq!(with("retry-after", "0"), 1_000);
        assert_eq!(with("retry-after", "99999999999999999999"), 60_000, "what is no number is not said");
        assert_eq!(with("retry-after", "9999999999"), 3_600_000);
        assert_eq!(with("x-sentry-rate-limit-reset", "1030"), 30_000);
    }
}

//! An error tracker with as much of Sentry's API as mimir uses. What is asked and what it answers are held to Sentry's own
//! description ([`super::published`]) where it is there, and to what its documentation says beyond it
//! (docs.sentry.io/api/events).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::model::secret::Secret;
use mimir::sentry::SentrySource;
use mimir::supervisor::Tasks;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::published;

pub const TOKEN: &str = "sntrys_0123456789abcdef";
/// So many issues are on a page, whatever is asked for.
const PAGE: usize = 2;

/// The tracker. Clones are the same one.
#[derive(Clone, Default)]
pub struct Tracker(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    issues: BTreeMap<String, Value>,
    asked: Vec<String>,
    /// Answers that come next instead: a status and `Retry-After`.
    faults: Vec<(u16, Option<u64>)>,
    wrong: Vec<String>,
    /// Issues of which no event is there any more.
    without_event: Vec<String>,
    /// How many issues are on a page, when it is not [`PAGE`].
    page: Option<usize>,
    /// After so many questions about single issues the next is too many: so many seconds of patience.
    limit: Option<(usize, u64)>,
    /// How many were asked since.
    questions: usize,
}

/// What its documentation says of these words, and its description does not.
fn issue_schema() -> Value {
    json!({
        "type": "object", "required": ["level", "status", "substatus"],
        "properties": {
            "level": {"enum": ["debug", "info", "warning", "error", "fatal", "sample"]},
            "status": {"enum": ["resolved", "unresolved", "ignored", "reprocessing"]},
            "substatus": {"enum": ["new", "ongoing", "escalating", "regressed", "archived_until_escalating",
                "archived_until_condition_met", "archived_forever", null]},
        },
    })
}

/// An open issue as the API writes one alone; lists say less of it.
pub fn written(id: &str, short_id: &str, first_ms: u64, last_ms: u64) -> Value {
    let (first, last) = (mimir::clock::rfc3339(first_ms), mimir::clock::rfc3339(last_ms));
    json!({
        "id": id, "shareId": "", "shortId": short_id, "title": "it fails", "culprit": "cart in total", "logger": null,
        "level": "error", "status": "unresolved", "statusDetails": {}, "substatus": "new", "isPublic": false,
        "platform": "python", "priority": "high", "priorityLockedAt": null, "seerFixabilityScore": null,
        "seerAutofixLastTriggered": null, "type": "error", "issueType": "error", "issueCategory": "error",
        "project": {"id": "17", "name": "Shop", "slug": "shop", "platform": "python"},
        "metadata": {"type": "Error", "value": "boom", "filename": "shop/cart.py"}, "numComments": 0,
        "assignedTo": {"type": "team", "id": "3", "name": "shop"}, "isBookmarked": false, "isSubscribed": false,
        "subscriptionDetails": null, "hasSeen": false, "annotations": [], "isUnhandled": true,
        "permalink": format!("https://sentry.example/organizations/acme/issues/{id}/"), "count": "3", "userCount": 1,
        "firstSeen": first, "lastSeen": last, "stats": {}, "lifetime": {}, "filtered": null, "sessionCount": 0,
        "owners": {"type": "ownershipRule", "owner": "team:3", "date_added": "2026-11-28T10:00:00Z"},
        "inbox": {"reason": 0, "reason_details": null, "date_added": "2026-11-28T10:00:00Z"}, "pluginActions": [],
        "pluginIssues": [], "integrationIssues": [], "sentryAppIssues": [], "latestEventHasAttachments": false,
        // Of one alone.
        "activity": [{"id": "1", "type": "first_seen", "dateCreated": first, "user": null, "data": {}}],
        "firstRelease": null, "lastRelease": null, "participants": [], "pluginContexts": [], "seenBy": [], "tags": [],
        "userReportCount": 0,
    })
}

fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let validator = jsonschema::validator_for(schema).expect("a schema");
    let found: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
}

impl Tracker {
    /// Listens; ends with the tasks.
    pub async fn listen(&self, tasks: &Tasks) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let (this, owner) = (self.clone(), tasks.clone());
        tasks.spawn_once("tracker", move |stop| async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let this = this.clone();
                owner.spawn_once("tracker's connection", move |stop| async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let this = this.clone();
                        async move { Ok::<_, std::convert::Infallible>(this.answer(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = stop.run_until_cancelled(connection).await;
                });
            }
        });
        address
    }

    /// What mimir is told of it.
    pub fn source(address: SocketAddr, token: &str) -> SentrySource {
        SentrySource {
            name: "errors".to_owned(),
            url: format!("http://{address}").parse().expect("an address"),
            organization: "acme".to_owned(),
            token: Secret::new(token),
        }
    }

    /// An issue that was first and last seen then.
    pub fn add(&self, id: u64, first_ms: u64, last_ms: u64, substatus: &str) {
        let mut issue = written(&id.to_string(), &format!("SHOP-{id}"), first_ms, last_ms);
        issue["title"] = json!(format!("boom {id}"));
        issue["substatus"] = json!(substatus);
        fits(&issue_schema(), &issue).expect("an issue as they write it");
        self.0.lock().issues.insert(id.to_string(), issue);
    }

    /// It came back then.
    pub fn regressed(&self, id: u64, at_ms: u64) {
        let mut state = self.0.lock();
        let issue = state.issues.get_mut(&id.to_string()).expect("an issue");
        let entry = json!({"id": "2", "type": "set_regression", "dateCreated": mimir::clock::rfc3339(at_ms), "user": null, "data": {}});
        issue["activity"].as_array_mut().expect("a list").push(entry);
    }

    pub fn issue(&self, id: u64) -> Value {
        self.0.lock().issues[&id.to_string()].clone()
    }

    pub fn has_pages_of(&self, issues: usize) {
        self.0.lock().page = Some(issues);
    }

    /// After so many questions about single issues one is refused, with so many seconds of patience.
    pub fn answers_at_once(&self, questions: usize, patience: u64) {
        self.0.lock().limit = Some((questions, patience));
    }

    /// Its events are past their time.
    pub fn forgets_events_of(&self, id: u64) {
        self.0.lock().without_event.push(id.to_string());
    }

    pub fn fail(&self, status: u16, retry_after: Option<u64>) {
        self.0.lock().faults.push((status, retry_after));
    }

    /// What was asked, in order; fails when something of it does not fit.
    pub fn asked(&self) -> Vec<String> {
        let mut state = self.0.lock();
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
        std::mem::take(&mut state.asked)
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let answer = self.answer_to(&parts, &body);
        let (status, said) =
            (answer.status().as_u16(), answer.body().clone().collect().await.expect("whole").to_bytes());
        let wrong = published::of_exchange(parts.method.as_str(), &parts.uri, &body, status, &said);
        self.0.lock().wrong.extend(wrong);
        answer
    }

    fn answer_to(&self, parts: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let base = format!("http://{}", parts.headers["host"].to_str().expect("a host"));
        let mut state = self.0.lock();
        state.asked.push(format!("{} {}", parts.method, parts.uri.path()));
        if parts.headers.get("authorization").is_none_or(|given| given != &format!("Bearer {TOKEN}")) {
            return reply(401, &json!({"detail": "Invalid token"}));
        }
        if !state.faults.is_empty() {
            let (status, after) = state.faults.remove(0);
            let mut response = reply(status, &json!({"detail": "not now"}));
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.into());
            }
            return response;
        }
        let path: Vec<&str> = parts.uri.path().split('/').collect();
        let ["", "api", "0", "organizations", "acme", "issues", rest @ ..] = path.as_slice() else {
            return reply(404, &json!({"detail": "The requested resource does not exist"}));
        };
        match (parts.method.as_str(), rest) {
            ("GET", [""]) => {
                let query: BTreeMap<String, String> =
                    url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                        .into_owned()
                        .collect();
                listed(&mut state, &query, &base)
            }
            ("GET", [id, ""]) => match state.limit {
                Some((most, patience)) if state.questions == most => {
                    state.questions = 0;
                    let mut response = reply(
                        429,
                        &json!({"detail": "You are attempting to use this endpoint too frequently."}),
                    );
                    response.headers_mut().insert("retry-after", patience.into());
                    response
                }
                _ => {
                    state.questions += 1;
                    found(&state, id)
                }
            },
            ("GET", [id, "events", "latest", ""]) => match state.issues.get(*id) {
                Some(_) if state.without_event.iter().any(|gone| gone == id) => {
                    reply(404, &json!({"detail": "Event not found"}))
                }
                Some(issue) => reply(200, &latest(issue)),
                None => reply(404, &json!({"detail": "Event not found"})),
            },
            ("PUT", [id, ""]) => {
                let asked: Value = serde_json::from_slice(body).unwrap_or_default();
                let repository = asked["statusDetails"]["inCommit"]["repository"].as_str();
                if repository.is_some_and(|name| name != "acme/shop") {
                    let why = json!({"statusDetails": {"inCommit": {"repository": ["Unable to find the given repository."]}}});
                    return reply(400, &why);
                }
                let Some(issue) = state.issues.get_mut(*id) else { return found(&state, id) };
                issue["status"] = asked["status"].clone();
                issue["statusDetails"] = asked["statusDetails"].clone();
                issue["substatus"] = Value::Null;
                // What it says of the commit is not what it was told.
                let mut said = issue.clone();
                said["statusDetails"] = json!({});
                reply(200, &said)
            }
            _ => reply(404, &json!({"detail": "The requested resource does not exist"})),
        }
    }
}

fn found(state: &State, id: &str) -> Response<Full<Bytes>> {
    match state.issues.get(id) {
        Some(issue) => reply(200, issue),
        None => reply(404, &json!({"detail": "The requested resource does not exist"})),
    }
}

fn listed(state: &mut State, query: &BTreeMap<String, String>, base: &str) -> Response<Full<Bytes>> {
    let said = query.get("query").cloned().unwrap_or_default();
    let since = said.strip_prefix("is:unresolved lastSeen:>").and_then(mimir::sentry::instant);
    let Some(since) = since else {
        state.wrong.push(format!("the query {said}"));
        return reply(400, &json!({"detail": "Error parsing search query"}));
    };
    let seen = |issue: &Value| issue["lastSeen"].as_str().and_then(mimir::sentry::instant).unwrap_or(0);
    let mut all: Vec<Value> = state
        .issues
        .values()
        .filter(|issue| issue["status"] == "unresolved" && seen(issue) > since)
        .cloned()
        .collect();
    all.sort_by_key(|issue| std::cmp::Reverse(seen(issue)));
    let size = state.page.unwrap_or(PAGE);
    let offset =
        query.get("cursor").and_then(|cursor| cursor.split(':').nth(1)?.parse().ok()).unwrap_or(0_usize);
    let page: Vec<Value> = all.iter().skip(offset).take(size).cloned().collect();
    let is_more = all.len() > offset + size;
    let link = |rel: &str, results: bool, cursor: String| {
        format!(
            "<{base}/api/0/organizations/acme/issues/?&cursor={cursor}>; rel=\"{rel}\"; results=\"{results}\"; cursor=\"{cursor}\""
        )
    };
    let links = [
        link("previous", offset > 0, format!("0:{}:1", offset.saturating_sub(size))),
        link("next", is_more, format!("0:{}:0", offset + size)),
    ];
    let mut response = reply(200, &Value::Array(page));
    response.headers_mut().insert("link", links.join(", ").parse().expect("a header"));
    response
}

/// The newest event of an issue, as the API writes events.
fn latest(issue: &Value) -> Value {
    let id = issue["id"].as_str().unwrap_or_default();
    json!({
        "id": format!("e{id}"), "eventID": format!("e{id}"), "groupID": id, "projectID": "17", "title": issue["title"],
        "message": "", "location": "shop/cart.py", "user": null, "dateReceived": issue["lastSeen"], "contexts": {}, "size": 900,
        "dist": null, "sdk": {"name": "sentry.python", "version": "2.1.0"}, "context": {}, "packages": {}, "errors": [],
        "occurrence": null, "_meta": {}, "userReport": null, "sdkUpdates": [], "resolvedWith": [], "nextEventID": null,
        "previousEventID": null, "type": "error", "platform": "python", "culprit": "cart in total",
        "dateCreated": issue["lastSeen"],
        "tags": [{"key": "environment", "value": "production"}, {"key": "level", "value": "error"}],
        "release": {"version": "1.2.3"}, "metadata": {"type": "Error", "value": "boom"},
        "entries": [
            {"type": "exception", "data": {"values": [{"type": "Error", "value": "boom", "stacktrace": {"frames": [
                {"filename": "shop/cart.py", "lineNo": 17, "function": "total", "inApp": true,
                 "context": [[16, "def total(items):"], [17, "    return sum(items) / len(items)"]]}]}}]}},
            {"type": "breadcrumbs", "data": {"values": []}},
        ],
    })
}

fn reply(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(body.to_string()))).expect("a response")
}

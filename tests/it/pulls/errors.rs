//! An error tracker with one issue. What it is asked and what it answers are held to Sentry's own description
//! ([`crate::webhooks::published`]) where that is there; what is not like it fails the test in which it is, at the latest
//! when the tracker goes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::webhooks::{published, tracker};

/// What opens it.
pub const TOKEN: &str = "sntrys_secret";
/// The issue that there is.
const ISSUE: &str = "1234";
/// When it was seen (UTC ms).
const SEEN: u64 = 1_795_860_000_000;

/// What it knows.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub is_resolved: bool,
    pub has_regressed: bool,
    /// What it was told.
    pub resolves: Vec<Value>,
    /// Whether it knows the repository of a commit.
    pub knows_commits: bool,
    /// What of all that was said is not as Sentry describes it.
    pub wrong: Vec<String>,
}

/// It ends with this value.
pub struct Errors {
    pub address: SocketAddr,
    pub known: Arc<Mutex<Known>>,
    _server: JoinSet<()>,
}

impl Errors {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let known = Arc::new(Mutex::new(Known { knows_commits: true, ..Known::default() }));
        let (mut server, shared) = (JoinSet::new(), known.clone());
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, known, _server: server }
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        let wrong = std::mem::take(&mut self.known.lock().wrong);
        // A test that fails already says why itself.
        if !std::thread::panicking() {
            assert!(wrong.is_empty(), "not as Sentry describes it:\n{}", wrong.join("\n"));
        }
    }
}

async fn answer(known: Arc<Mutex<Known>>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut known = known.lock();
    let (status, said) = answer_to(&mut known, &parts, &body);
    let said = said.to_string();
    let wrong = published::of_exchange(parts.method.as_str(), &parts.uri, &body, status, said.as_bytes());
    known.wrong.extend(wrong);
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(said.into())).expect("a response"))
}

fn answer_to(known: &mut Known, parts: &Parts, body: &[u8]) -> (u16, Value) {
    let opens = format!("Bearer {TOKEN}");
    if parts.headers.get("authorization").is_none_or(|given| given != &opens) {
        return (401, json!({"detail": "Invalid token"}));
    }
    if parts.uri.path() != format!("/api/0/organizations/acme/issues/{ISSUE}/") {
        known.wrong.push(format!("{} {}: only one issue is there", parts.method, parts.uri));
        return (404, json!({"detail": "The requested resource does not exist"}));
    }
    if parts.method == Method::PUT {
        let Ok(asked) = serde_json::from_slice::<Value>(body) else {
            return (400, json!({"detail": "JSON parse error"}));
        };
        if asked["statusDetails"].get("inCommit").is_some() && !known.knows_commits {
            let why = json!({"inCommit": {"repository": ["Unable to find the given repository."]}});
            return (400, json!({"statusDetails": why}));
        }
        known.resolves.push(asked);
        known.is_resolved = true;
    }
    (200, issue(known))
}

/// As it is now.
fn issue(known: &Known) -> Value {
    let mut issue = tracker::written(ISSUE, "SHOP-1A", SEEN, SEEN + 60_000);
    let (status, substatus) = match (known.has_regressed, known.is_resolved) {
        (true, _) => ("unresolved", json!("regressed")),
        (false, true) => ("resolved", Value::Null),
        (false, false) => ("unresolved", json!("new")),
    };
    issue["status"] = json!(status);
    issue["substatus"] = substatus;
    issue
}

#[tokio::test]
async fn the_tracker_answers_as_sentry_describes_it() {
    use mimir::clock::Clock;
    use mimir::model::git::Repository;
    use mimir::outbound::HttpClients;
    use mimir::sentry::{ResolveIn, Sentries, SentryError};

    let errors = Errors::start().await;
    let sentries = |token: &str| {
        let source = tracker::Tracker::source(errors.address, token);
        Sentries::new(HttpClients::default(), Clock::system(), vec![source]).of("acme").expect("it is known")
    };
    let (sentry, nobody) = (sentries(TOKEN), sentries("another"));
    assert!(matches!(nobody.issue(ISSUE).await, Err(SentryError::Auth(_))));
    let of = |has_regressed: bool, is_resolved: bool| {
        let mut known = errors.known.lock();
        (known.has_regressed, known.is_resolved) = (has_regressed, is_resolved);
    };
    for (has_regressed, is_resolved) in [(false, false), (false, true), (true, false), (true, true)] {
        of(has_regressed, is_resolved);
        let issue = sentry.issue(ISSUE).await.expect("an issue");
        assert_eq!(issue.has_regressed(), has_regressed, "{issue:?}");
        assert_eq!(issue.is_resolved(), is_resolved && !has_regressed, "{issue:?}");
    }
    of(false, false);
    let in_commit = ResolveIn::Commit {
        repository: Repository::parse("github.com/acme/shop").expect("a repository"),
        sha: "a".repeat(40),
    };
    errors.known.lock().knows_commits = false;
    assert!(matches!(sentry.resolve(ISSUE, &in_commit).await, Err(SentryError::Refused(_))));
    errors.known.lock().knows_commits = true;
    assert!(sentry.resolve(ISSUE, &in_commit).await.expect("resolved").is_resolved());
    of(false, false);
    assert!(sentry.resolve(ISSUE, &ResolveIn::NextRelease).await.expect("resolved").is_resolved());
    assert_eq!(errors.known.lock().resolves.len(), 2);
    assert!(errors.known.lock().wrong.is_empty(), "{:?}", errors.known.lock().wrong);

    // What is asked in another way is found.
    let _ = sentry.latest_event(ISSUE).await;
    let wrong = std::mem::take(&mut errors.known.lock().wrong);
    assert!(wrong.iter().any(|it| it.contains("only one issue is there")), "{wrong:?}");
}

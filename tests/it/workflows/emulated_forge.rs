//! The emulator of others as a whole forge: what mimir asks of GitHub's API it answers, and what it lacks is done here in
//! its place, as little as possible ([`LACKS`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::outbound::HttpClients;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::forge::emulator::{Emulator, text};
use crate::forge::{Bare, TOKEN};

/// What mimir asks for and emulate@0.8.0 answers with 404, and what is done in its place. `{}` stands for its repository.
/// It has no git either, so there is a bare repository behind this, and ids of commits are exchanged on the way. A push
/// moves no pull request there, so this asks it to take the branch in, which makes a commit. What else differs and needs
/// nothing here: whoever may write is called `push` and not `write` (ann is an administrator), a pull request changes no
/// files, and a token that nobody knows is not refused.
pub const LACKS: [(&str, &str, &str); 5] = [
    ("GET", "/me/shop.git/info/refs?service=git-upload-pack", "git comes from a bare repository"),
    ("GET", "{}/commits/main/status", "nobody sets statuses: the list is empty"),
    ("POST", "/graphql", "a draft is made ready by an edit, which GitHub does not offer"),
    ("POST", "{}/pulls/1/comments/1/replies", "an answer is one more comment beside the line"),
    ("GET", "{}/actions/jobs/1/logs", "nothing: mimir does without"),
];

/// It ends with this value.
pub struct Front {
    pub address: SocketAddr,
    pub emulator: Emulator,
    pub bare: Bare,
    /// How often what it lacks was asked for, by the beginning of [`LACKS`]' last words.
    pub filled: Mutex<BTreeMap<&'static str, usize>>,
    /// What else the emulator did not know.
    pub unknown: Mutex<BTreeSet<String>>,
    /// Ids of commits: git's, and the emulator's.
    ids: Mutex<Vec<(String, String)>>,
    git: SocketAddr,
}

impl Front {
    /// Git is behind the other address. It ends with the tasks.
    pub async fn start(emulator: Emulator, git: SocketAddr, bare: Bare) -> (Arc<Self>, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (theirs, _) = emulator.main().await;
        let ids = Mutex::new(vec![(bare.head("main").expect("main"), theirs)]);
        let front = Arc::new(Self {
            address,
            emulator,
            bare,
            filled: Mutex::default(),
            unknown: Mutex::default(),
            ids,
            git,
        });
        let (mut server, shared) = (JoinSet::new(), front.clone());
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let shared = shared.clone();
                        async move { shared.answer(request).await }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        (front, server)
    }

    /// What the emulator calls a commit; none as long as it was not told of it.
    pub fn theirs(&self, commit: &str) -> Option<String> {
        let ids = self.ids.lock();
        ids.iter().find(|(ours, _)| ours == commit).map(|(_, theirs)| theirs.clone())
    }

    /// A text with the ids that the other side knows.
    fn inward(&self, said: &str) -> String {
        self.ids.lock().iter().fold(said.to_owned(), |said, (ours, theirs)| said.replace(ours, theirs))
    }

    fn outward(&self, said: &str) -> String {
        let said = said.replace(self.emulator.url.as_str(), &format!("http://{}/", self.address));
        self.ids.lock().iter().fold(said, |said, (ours, theirs)| said.replace(theirs, ours))
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        if path == "/api/graphql" {
            return Ok(self.make_ready(&body).await);
        }
        let Some(path) = path.strip_prefix("/api/v3") else {
            let to = Url::parse(&format!("http://{}{path}", self.git)).expect("an address");
            let pushes = parts.method == Method::POST && path.ends_with("/git-receive-pack");
            let answer = pass_on(to, &parts, body).await?;
            if pushes {
                self.take_in_what_was_pushed().await;
            }
            return Ok(answer);
        };
        let said = String::from_utf8_lossy(&body).into_owned();
        let names: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').skip(4).collect();
        match (parts.method.as_str(), names.as_slice()) {
            ("GET", ["commits", _, "status"]) => {
                self.fills("nobody");
                Ok(said_as(200, &json!({"state": "pending", "total_count": 0, "statuses": []})))
            }
            ("POST", ["pulls", number, "comments", first, "replies"]) => {
                self.fills("an answer");
                Ok(self.reply(number, first, &said).await)
            }
            ("PUT", ["pulls", _, "merge"]) => self.merge(&parts, path, &said).await,
            ("DELETE", ["git", "refs", "heads", branch @ ..]) => {
                let answer = self.pass_in(&parts, path, &said).await?;
                if answer.status().is_success() {
                    self.bare.git(&["update-ref", "-d", &format!("refs/heads/{}", branch.join("/"))]);
                }
                Ok(answer)
            }
            _ => self.pass_in(&parts, path, &said).await,
        }
    }

    fn fills(&self, what: &'static str) {
        *self.filled.lock().entry(what).or_default() += 1;
    }

    /// To the emulator, with its ids.
    async fn pass_in(
        &self,
        parts: &Parts,
        path: &str,
        said: &str,
    ) -> Result<Response<Full<Bytes>>, reqwest::Error> {
        let to = self.emulator.url.join(&self.inward(path)).expect("an address");
        let answer = pass_on(to, parts, self.inward(said).into()).await?;
        if answer.status() == 404 {
            self.unknown.lock().insert(format!("{} {path}", parts.method));
        }
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = self.outward(&String::from_utf8_lossy(&body));
        Ok(Response::from_parts(head, Full::new(body.into())))
    }

    async fn make_ready(&self, body: &[u8]) -> Response<Full<Bytes>> {
        self.fills("a draft");
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let pulls = self.emulator.of(TOKEN, Method::GET, "/pulls?state=open", Value::Null).await;
        let pull = pulls.as_array().and_then(|all| {
            all.iter().find(|pull| pull["node_id"] == asked["variables"]["id"] && asked["query"].is_string())
        });
        let Some(pull) = pull else {
            let error = json!({"type": "NOT_FOUND", "message": "Could not resolve to a node"});
            return said_as(200, &json!({"errors": [error]}));
        };
        let path = format!("/pulls/{}", pull["number"]);
        self.emulator.of(TOKEN, Method::PATCH, &path, json!({"draft": false})).await;
        let pull = json!({"isDraft": false});
        said_as(200, &json!({"data": {"markPullRequestReadyForReview": {"pullRequest": pull}}}))
    }

    async fn reply(&self, number: &str, first: &str, said: &str) -> Response<Full<Bytes>> {
        let asked: Value = serde_json::from_str(said).unwrap_or_default();
        let first: u64 = first.parse().expect("a number");
        let body = json!({"body": asked["body"], "in_reply_to_id": first});
        let made = self.emulator.of(TOKEN, Method::POST, &format!("/pulls/{number}/comments"), body).await;
        said_as(201, &made)
    }

    /// What it merged is merged in git as well.
    async fn merge(
        &self,
        parts: &Parts,
        path: &str,
        said: &str,
    ) -> Result<Response<Full<Bytes>>, reqwest::Error> {
        let answer = self.pass_in(parts, path, said).await?;
        if !answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let merged: Value = serde_json::from_slice(&body).expect("JSON");
        let asked: Value = serde_json::from_str(said).expect("JSON");
        let tree = format!("{}^{{tree}}", text(&asked, "/sha"));
        let title = asked["commit_title"].as_str().unwrap_or("merged");
        let commit = self.bare.git(&["commit-tree", &tree, "-p", "refs/heads/main", "-m", title]);
        self.bare.git(&["update-ref", "refs/heads/main", &commit]);
        self.ids.lock().push((commit, text(&merged, "/sha")));
        let body = self.outward(&String::from_utf8_lossy(&body));
        Ok(Response::from_parts(head, Full::new(body.into())))
    }

    /// The emulator has branches where git has them.
    async fn take_in_what_was_pushed(&self) {
        for (branch, commit) in self.bare.heads() {
            if self.theirs(&commit).is_some() {
                continue;
            }
            let open = self.emulator.of(TOKEN, Method::GET, "/pulls?state=open", Value::Null).await;
            let all = open.as_array().cloned().unwrap_or_default();
            let theirs = match all.iter().find(|pull| pull["head"]["ref"] == branch.as_str()) {
                None => self.emulator.branch(&branch).await,
                Some(pull) => {
                    let path = format!("/pulls/{}", pull["number"]);
                    let update = format!("{path}/update-branch");
                    self.emulator.of(TOKEN, Method::PUT, &update, json!({})).await;
                    let pull = self.emulator.of(TOKEN, Method::GET, &path, Value::Null).await;
                    text(&pull, "/head/sha")
                }
            };
            self.ids.lock().push((commit, theirs));
        }
    }
}

/// The same request elsewhere, and its answer.
async fn pass_on(to: Url, parts: &Parts, body: Bytes) -> Result<Response<Full<Bytes>>, reqwest::Error> {
    let client = HttpClients::default().to(&to)?;
    let mut request = client.request(parts.method.clone(), to).timeout(Duration::from_secs(30)).body(body);
    for name in ["authorization", "accept", "content-type", "content-encoding", "git-protocol"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await?;
    let mut response = Response::builder().status(answer.status());
    for name in ["link", "content-type", "www-authenticate"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Full::new(answer.bytes().await?)).expect("a response"))
}

fn said_as(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(body.to_string().into())).expect("a response")
}

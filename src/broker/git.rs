//! What git in a frame asks of repositories. Inside there is no key: what opens a forge is added here, on the way out.
//!
//! A frame reads and pushes its own repository, wherever that is (with a gate: a copy of it on this machine). It reads
//! others as it could without git: where it may reach their host, and without anything of the owner's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::Client;
use super::reply::{Body, sentence};
use super::route::GitQuestion;
use super::serve::Served;
use super::traffic::Host;
use super::watched::{Patience, watched};
use crate::git::receive::ListReader;
use crate::git::{GitError, ReadRequest, Remote};
use crate::model::git::{GitMode, Repository};
use crate::model::network::NetworkMode;
use crate::pushes::{self, Asker, PushError};

/// The longest question of a client that fetches.
const LONGEST_QUESTION: usize = 8 * 1024 * 1024;
/// How long a client may take to ask it, waiting for its turn included.
const ASKS: Duration = Duration::from_secs(120);
/// How long a forge may take before the first byte of its answer.
const FIRST_BYTE: Duration = Duration::from_secs(120);
/// How long it may be silent in the middle of it, and take for all of it.
const ANSWERS: Patience = Patience { silent: Duration::from_secs(120), whole: Duration::from_secs(60 * 60) };
/// How long what nobody wants any more is still listened to: a client that is cut off does not read why.
const DRAINS: Duration = Duration::from_secs(60);

const VERSION: HeaderName = HeaderName::from_static("git-protocol");
/// Forges look at it: what is no git gets web pages.
const AGENT: &str = concat!("git/2.39.0 (mimir/", env!("CARGO_PKG_VERSION"), ")");

/// Answers a question of git's.
pub(super) async fn answer(
    served: &Arc<Served>,
    host: &str,
    path: &str,
    what: GitQuestion,
    request: Request<Incoming>,
) -> Response<Body> {
    let client = served.client.now();
    let Ok(repository) = Repository::new(host, path) else {
        return sentence(StatusCode::NOT_FOUND, &format!("{host}/{path} names no repository"));
    };
    let is_push = match (what, request.method(), request.uri().query()) {
        (GitQuestion::Refs, &Method::GET, Some("service=git-upload-pack"))
        | (GitQuestion::Fetch, &Method::POST, _) => false,
        (GitQuestion::Refs, &Method::GET, Some("service=git-receive-pack"))
        | (GitQuestion::Push, &Method::POST, _) => true,
        _ => return sentence(StatusCode::FORBIDDEN, "a git of 2011 or newer is needed"),
    };
    let question = Question { served, client: &client, repository: &repository, what };
    let answered = match is_push {
        true => question.push(request).await,
        false => question.read(request).await,
    };
    answered.unwrap_or_else(|refused| *refused)
}

type Answered = Result<Response<Body>, Box<Response<Body>>>;

struct Question<'a> {
    served: &'a Arc<Served>,
    client: &'a Client,
    repository: &'a Repository,
    what: GitQuestion,
}

impl Question<'_> {
    fn is_own(&self) -> bool {
        self.client.forge.repository.as_ref() == Some(self.repository)
    }

    fn asker(&self) -> Asker {
        Asker {
            frame: self.client.frame.clone(),
            name: self.client.name.clone(),
            forge: self.client.forge.clone(),
            repository: self.repository.clone(),
        }
    }

    /// The host and port, as connections to it are counted.
    fn place(&self) -> (String, u16) {
        let is_plain =
            self.served.shared.pushes.forge(self.repository.host()).is_some_and(|forge| forge.is_plain);
        let usual = if is_plain { 80 } else { 443 };
        match self.repository.host().rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), port.parse().unwrap_or(usual)),
            None => (self.repository.host().to_owned(), usual),
        }
    }

    fn refuse(&self, why: &str) -> Box<Response<Body>> {
        let (host, port) = self.place();
        self.served.refuse(self.client, &host, port, why);
        let text = format!("frame {}: {}: {why}", self.client.name, self.repository);
        Box::new(sentence(StatusCode::FORBIDDEN, &text))
    }

    fn failed(&self, error: &PushError) -> Box<Response<Body>> {
        match error {
            PushError::NotTheirs(why) => self.refuse(why),
            PushError::Store(error) => {
                tracing::error!(%error, "a repository cannot be read: {error}");
                Box::new(sentence(StatusCode::SERVICE_UNAVAILABLE, "the gateway cannot look after it now"))
            }
            // It may tell of the owner's commands and folders.
            PushError::Credential(_) | PushError::Git(GitError::Folder { .. }) => {
                tracing::warn!(frame.id = %self.client.frame, %error, "{}: {error}", self.repository);
                let text =
                    format!("{}: the host's side of it fails; the gateway's log says why", self.repository);
                Box::new(sentence(StatusCode::BAD_GATEWAY, &text))
            }
            error => {
                tracing::warn!(frame.id = %self.client.frame, %error, "{}: {error}", self.repository);
                Box::new(sentence(StatusCode::BAD_GATEWAY, &format!("{}: {error}", self.repository)))
            }
        }
    }

    /// Waits for a turn: a frame that asks a hundred times at once waits for itself.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Box<Response<Body>>> {
        let turn = tokio::time::timeout(ASKS, self.served.git.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Box::new(sentence(
                StatusCode::SERVICE_UNAVAILABLE,
                "too much of git runs in this frame; try again",
            ))
        })
    }

    /// Counts it, if it may still be sent something.
    async fn counted(&self) -> Result<Arc<Host>, Box<Response<Body>>> {
        let (host, port) = self.place();
        let counted = self.served.shared.traffic.host(&self.client.frame, &host, port).await;
        let counted = counted.map_err(|error| self.failed(&error.into()))?;
        match counted.is_full() {
            Some(why) => Err(self.refuse(&why)),
            None => Ok(counted),
        }
    }

    /// Whether the frame could reach the forge without git.
    fn may_reach(&self) -> Result<(), Box<Response<Body>>> {
        let (host, port) = self.place();
        let client = self.client;
        let lent = || {
            let now_ms = self.served.shared.clock.now_ms();
            let taken = self.served.loans.take(now_ms, |list| list.traffic(&host, port));
            // One connection is not enough for anything of git's.
            taken.map(|taken| self.served.loans.give_back(taken)).is_some()
        };
        match client.network {
            NetworkMode::Open => Ok(()),
            NetworkMode::Allow if client.allow.permits(&host, port) || lent() => Ok(()),
            NetworkMode::Allow if client.allow.denies(&host, port) => Err(self.refuse("it was denied")),
            NetworkMode::Allow => Err(self.refuse(&format!(
                "it is not on the list; on the host, `mimir frame allow {} {}` allows it",
                client.name,
                self.repository.host()
            ))),
            NetworkMode::Sealed => Err(self.refuse("the frame is sealed")),
        }
    }

    /// Its own repository, in direct mode: everywhere but where the owner said no.
    fn may_reach_own(&self) -> Result<(), Box<Response<Body>>> {
        let (host, port) = self.place();
        match self.client.network {
            NetworkMode::Sealed => Err(self.refuse(
                "the frame is sealed; one with `--git gate` reads a copy, and its pushes wait for a look",
            )),
            _ if self.client.allow.denies(&host, port) => Err(self.refuse("it was denied")),
            _ => Ok(()),
        }
    }

    async fn read(&self, request: Request<Incoming>) -> Answered {
        let turn = self.turn().await?;
        let pushes = &self.served.shared.pushes;
        let version = version(&request);
        let is_compressed = request.headers().get(CONTENT_ENCODING).is_some_and(|value| value == "gzip");
        let body = self.question(request).await?;
        let (path, method) = match self.what {
            GitQuestion::Refs => ("info/refs", "GET"),
            _ => ("git-upload-pack", "POST"),
        };
        let has_gate = self.client.forge.mode == GitMode::Gate;
        if self.is_own() && has_gate {
            let asked = ReadRequest { method, path, version, is_compressed, body };
            let read = pushes.read(&self.asker(), asked).await.map_err(|error| self.failed(&error))?;
            let status = StatusCode::from_u16(read.status).unwrap_or(StatusCode::BAD_GATEWAY);
            return Ok(streamed(status, &read.content_type, hold(read.body, turn)));
        }
        let remote = match self.is_own() {
            true => {
                self.may_reach_own()?;
                pushes.remote(self.repository).await.map_err(|error| self.failed(&error))?
            }
            false => {
                self.may_reach()?;
                let forge = pushes.forge(self.repository.host());
                let forge = forge.ok_or_else(|| {
                    self.refuse("it is no forge that mimir knows; `git.hosts` lists others")
                })?;
                Remote { repository: self.repository.clone(), forge, credential: None }
            }
        };
        let counted = self.counted().await?;
        counted.note_allowed();
        counted.note_sent(body.len() as u64);
        let (content_type, answer) = self.ask(&remote, path, version, is_compressed, body).await?;
        let answer = answer.bytes_stream();
        let answer = answer.map(|piece| piece.map_err(|error| io::Error::other(error.without_url())));
        let body: pushes::Body = Box::pin(watched(answer, ANSWERS).inspect(move |piece| {
            if let Ok(piece) = piece {
                counted.note_got(piece.len() as u64);
            }
        }));
        let body = match self.is_own() {
            true => pushes
                .with_news(&self.client.frame, body)
                .await
                .map_err(|error| self.failed(&error.into()))?,
            false => body,
        };
        Ok(streamed(StatusCode::OK, &content_type, hold(body, turn)))
    }

    /// What a client that reads says, whole.
    async fn question(&self, request: Request<Incoming>) -> Result<Bytes, Box<Response<Body>>> {
        let refused = |status, text| Box::new(sentence(status, text));
        let read = tokio::time::timeout(ASKS, Limited::new(request.into_body(), LONGEST_QUESTION).collect());
        match read.await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the question was cut off or is larger than 8 MiB",
            )),
            Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "the question did not arrive in time")),
        }
    }

    /// Asks the forge itself.
    async fn ask(
        &self,
        remote: &Remote,
        path: &str,
        version: Option<u8>,
        is_compressed: bool,
        body: Bytes,
    ) -> Result<(String, reqwest::Response), Box<Response<Body>>> {
        let bad = |status, text: String| Box::new(sentence(status, &format!("{}: {text}", self.repository)));
        let (query, kind) = match self.what {
            GitQuestion::Refs => ("?service=git-upload-pack", "advertisement"),
            _ => ("", "result"),
        };
        let unreachable =
            |why: String| bad(StatusCode::BAD_GATEWAY, format!("the forge cannot be reached: {why}"));
        let url = url::Url::parse(&format!("{}/{path}{query}", remote.address()));
        let url = url.map_err(|error| unreachable(error.to_string()))?;
        let client = self.served.shared.http.to(&url).map_err(|error| unreachable(error.to_string()))?;
        let mut asked = match self.what {
            GitQuestion::Refs => client.get(url),
            _ => client.post(url).header(CONTENT_TYPE, "application/x-git-upload-pack-request").body(body),
        };
        asked = asked.header(USER_AGENT, AGENT);
        if let Some(version) = version {
            asked = asked.header(VERSION, format!("version={version}"));
        }
        if is_compressed {
            asked = asked.header(CONTENT_ENCODING, "gzip");
        }
        if let Some(header) = remote.header()
            && let Ok(mut value) = HeaderValue::from_str(header.reveal())
        {
            value.set_sensitive(true);
            asked = asked.header(AUTHORIZATION, value);
        }
        let answer = match tokio::time::timeout(FIRST_BYTE, asked.send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(unreachable(cause(&error.without_url()))),
            Err(_) => {
                return Err(bad(StatusCode::GATEWAY_TIMEOUT, "the forge did not answer in time".to_owned()));
            }
        };
        let wanted = format!("application/x-git-upload-pack-{kind}");
        let is_wanted =
            answer.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == wanted.as_bytes());
        // Nothing of another answer goes on: a forge may repeat what it was sent.
        match answer.status().as_u16() {
            200 if is_wanted => Ok((wanted, answer)),
            200 => Err(bad(StatusCode::BAD_GATEWAY, "what the forge says is not git's".to_owned())),
            300..=399 => {
                Err(bad(StatusCode::BAD_GATEWAY, "the repository has moved; give its new address".to_owned()))
            }
            status @ (401 | 403 | 404) => {
                let text = match (self.is_own(), remote.credential.is_some()) {
                    (true, true) => "it is not there, or the credential on the host does not open it",
                    (true, false) => "it is not there, or not public; `git.credentials` on the host opens it",
                    (false, _) => "it is not there, or not public; only the frame's own repository is opened",
                };
                Err(bad(StatusCode::FORBIDDEN, format!("the forge says {status}: {text}")))
            }
            status => Err(bad(StatusCode::BAD_GATEWAY, format!("the forge says {status}"))),
        }
    }

    async fn push(&self, request: Request<Incoming>) -> Answered {
        let has_gate = self.client.forge.mode == GitMode::Gate;
        if !self.is_own() {
            let why = match &self.client.forge.repository {
                Some(own) => format!("it pushes to its own repository alone, {own}"),
                None => "it has no repository of its own; `mimir frame create --repo` says which".to_owned(),
            };
            return Err(self.refuse(&why));
        }
        if !has_gate {
            self.may_reach_own()?;
        }
        let _turn = self.turn().await?;
        let pushes = &self.served.shared.pushes;
        if self.what == GitQuestion::Refs {
            let told = pushes.advertise(&self.asker()).await.map_err(|error| self.failed(&error))?;
            return Ok(whole("application/x-git-receive-pack-advertisement", told));
        }
        if request.headers().contains_key(CONTENT_ENCODING) {
            let text = "what is pushed must not be compressed once more";
            return Err(Box::new(sentence(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)));
        }
        let mut body = request.into_body().into_data_stream().map(|piece| piece.map_err(io::Error::other));
        let mut list = ListReader::default();
        let (asked, rest) = loop {
            let piece = tokio::time::timeout(ASKS, body.next()).await.ok().flatten();
            let taken = match piece {
                Some(Ok(piece)) => list.take(&piece),
                _ => return Err(Box::new(sentence(StatusCode::BAD_REQUEST, "the push was cut off"))),
            };
            match taken {
                Ok(Some(whole)) => break whole,
                Ok(None) => {}
                Err(error) => return Err(Box::new(sentence(StatusCode::BAD_REQUEST, &error.to_string()))),
            }
        };
        // Clients ask so whether they may, before they send much.
        if asked.updates.is_empty() {
            return Ok(whole("application/x-git-receive-pack-result", Vec::new()));
        }
        let counted = if has_gate { None } else { Some(self.counted().await?) };
        if let Some(counted) = &counted {
            counted.note_allowed();
        }
        let begun = stream::iter((!rest.is_empty()).then(|| Ok(Bytes::from(rest))));
        let mut objects = begun.chain(body).inspect(|piece| {
            // As it comes: whoever hangs up has sent it all the same.
            if let (Ok(piece), Some(counted)) = (piece, &counted) {
                counted.note_sent(piece.len() as u64);
            }
        });
        let report = pushes.receive(&self.asker(), &asked, &mut objects).await;
        drain(&mut objects).await;
        Ok(whole("application/x-git-receive-pack-result", report.bytes(&asked)))
    }
}

/// Reads on what is not wanted any more, for a while.
async fn drain(objects: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin)) {
    let reads = async { while let Some(Ok(_)) = objects.next().await {} };
    // Whoever sends for longer is cut off.
    let _ = tokio::time::timeout(DRAINS, reads).await;
}

/// Which version of its protocol a client speaks, if it is one of the newer ones.
fn version(request: &Request<Incoming>) -> Option<u8> {
    match request.headers().get(VERSION)?.as_bytes() {
        b"version=2" => Some(2),
        b"version=1" => Some(1),
        _ => None,
    }
}

/// The innermost reason; those around it say the address again.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// Keeps the turn until the answer is over.
fn hold(body: pushes::Body, turn: OwnedSemaphorePermit) -> pushes::Body {
    Box::pin(body.map(move |piece| {
        let _held = &turn;
        piece
    }))
}

fn streamed(status: StatusCode, content_type: &str, body: pushes::Body) -> Response<Body> {
    let frames = body.map(|piece| piece.map(Frame::data));
    dressed(status, content_type, StreamBody::new(frames).boxed_unsync())
}

fn whole(content_type: &str, bytes: Vec<u8>) -> Response<Body> {
    let body = http_body_util::Full::new(Bytes::from(bytes)).map_err(|never| match never {});
    dressed(StatusCode::OK, content_type, body.boxed_unsync())
}

fn dressed(status: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

//! What a forge has besides git, over HTTP: who asks, which face answers, and what goes wrong on the way.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::Url;

use super::described;
use super::state::{Repo, State};
use super::{TOKEN, gitea, github, hooks};

/// Who the token is of.
pub const LOGIN: &str = "mimir-bot";
/// How the app is called where it says something.
pub const APP_LOGIN: &str = "mimir-test[bot]";

/// What goes wrong with one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trip {
    /// It is answered so, and nothing is done.
    Status(u16),
    /// The same, with that message.
    Says(u16, String),
    /// It is answered with a web page, as by a machine in between.
    Page,
    /// It is answered with an object that says nothing.
    Nothing,
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is done, and half of the answer comes.
    Half,
    /// The answer comes after that time.
    Slow(Duration),
    /// It is elsewhere.
    Redirect(u16, String),
    /// The hour's limit is used up until that second.
    Primary(u64),
    /// It was too much at once: so many seconds.
    Secondary(u64),
    /// The same, in nothing but words.
    SecondaryInWords,
    /// Somebody pushes to that branch just before.
    HeadMoves(String),
    /// A machine in between asks it twice; the second answer comes.
    Twice,
}

/// Which exchange it is about: the next of that method whose path contains that.
#[derive(Clone, Debug)]
struct Planned {
    method: &'static str,
    path: String,
    trip: Trip,
}

/// Of each kind of exchange for which `fits` says yes, the one of that number goes wrong so.
struct Each {
    trip: Trip,
    nth: u32,
    fits: fn(&str) -> bool,
    /// How many there were of each kind.
    seen: BTreeMap<String, u32>,
}

impl Each {
    fn trip(&mut self, kind: String) -> Option<Trip> {
        if !(self.fits)(&kind) {
            return None;
        }
        let count = self.seen.entry(kind).or_default();
        *count += 1;
        (*count == self.nth).then(|| self.trip.clone())
    }
}

/// Of which kind an exchange is: its method and its path, without numbers and names of commits.
fn kind(method: &str, path: &str) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_commit = |part: &str| part.len() == 40 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = path.split('/').map(|part| if is_number(part) || is_commit(part) { "*" } else { part });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

/// The forge's part beside git.
#[derive(Default)]
pub struct Api {
    pub state: Mutex<State>,
    /// Something is to be delivered.
    pub wake: Notify,
    planned: Mutex<Vec<Planned>>,
    each: Mutex<Option<Each>>,
    pub violations: Mutex<Vec<String>>,
    /// How many answers GitHub's description was asked about.
    pub looked_at: Mutex<usize>,
}

/// A question to the API.
pub struct Asked {
    pub method: String,
    /// Behind the API's place, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Value,
    /// Where the forge is, as the asker knows it.
    pub root: String,
    /// Who asks.
    pub login: String,
    /// The only repository that it may see, for an app's.
    pub only: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Value>,
}

impl Answer {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    pub fn error(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "documentation_url": "https://docs.forge.test/rest"});
        Self::json(status, body)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Asked {
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }

    /// A page of a list, with a link to the next; `wrap` puts it into an answer.
    pub fn page(
        &self,
        size: (&str, usize, usize),
        all: Vec<Value>,
        wrap: impl FnOnce(Vec<Value>, usize) -> Value,
    ) -> Answer {
        let number = |name: &str| self.parameter(name).and_then(|text| text.parse::<usize>().ok());
        let (name, usual, most) = size;
        let (per_page, page) =
            (number(name).unwrap_or(usual).clamp(1, most), number("page").unwrap_or(1).max(1));
        let total = all.len();
        let items: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
        let answer = Answer::json(200, wrap(items, total));
        if page * per_page >= total {
            return answer;
        }
        let prefix = if name == "limit" { "v1" } else { "v3" };
        let mut next =
            Url::parse(&format!("{}/api/{prefix}/{}", self.root, self.path.join("/"))).expect("an address");
        let others = self.query.iter().filter(|(name, _)| name != "page");
        next.query_pairs_mut().extend_pairs(others).append_pair("page", &(page + 1).to_string());
        answer.with("link", format!("<{next}>; rel=\"next\", <{next}>; rel=\"last\""))
    }
}

/// A list as it is.
pub fn bare_list(items: Vec<Value>, _: usize) -> Value {
    Value::Array(items)
}

impl Api {
    /// The next exchange of that kind goes wrong so.
    pub fn plan(&self, method: &'static str, path: &str, trip: Trip) {
        self.planned.lock().push(Planned { method, path: path.to_owned(), trip });
    }

    pub fn planned(&self) -> usize {
        self.planned.lock().len()
    }

    /// From now on, of each kind of exchange for which `fits` says yes, the one of that number goes wrong so.
    pub fn plan_each(&self, trip: Trip, nth: u32, fits: fn(&str) -> bool) {
        *self.each.lock() = Some(Each { trip, nth, fits, seen: BTreeMap::new() });
    }

    /// The kinds of which one went wrong so.
    pub fn tripped(&self) -> Vec<String> {
        let each = self.each.lock();
        let Some(each) = &*each else { return Vec::new() };
        each.seen.iter().filter(|(_, count)| **count >= each.nth).map(|(kind, _)| kind.clone()).collect()
    }

    /// What goes wrong when git asks whether it may push; nothing that is planned for the API does.
    pub fn trip_of_git(&self, path: &str) -> Option<Trip> {
        const ASKED: &str = "/info/refs";
        let each = self.each.lock().as_mut().and_then(|each| each.trip(kind("GET", path)));
        if each.is_some() || !path.ends_with(ASKED) {
            return each;
        }
        let mut planned = self.planned.lock();
        let at = planned.iter().position(|it| it.path == ASKED)?;
        Some(planned.remove(at).trip)
    }

    fn trip(&self, method: &str, path: &str) -> Option<Trip> {
        if let Some(trip) = self.each.lock().as_mut().and_then(|each| each.trip(kind(method, path))) {
            return Some(trip);
        }
        let mut planned = self.planned.lock();
        let at = planned.iter().position(|it| it.method == method && path.contains(&it.path))?;
        Some(planned.remove(at).trip)
    }

    /// Answers what was asked; none when the connection is to break.
    pub async fn answer(
        self: &Arc<Self>,
        parts: &hyper::http::request::Parts,
        body: Bytes,
        authorization: Option<&str>,
    ) -> io::Result<Response<Full<Bytes>>> {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let host = parts.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        let root = format!("http://{host}");
        if let Some(name) = path.strip_prefix("/blob/") {
            let text = self.state.lock().blobs.get(name).cloned();
            return Ok(
                text.map_or_else(|| response(404, &[], Bytes::new()), |text| response(200, &[], text.into()))
            );
        }
        let trip = self.trip(method, path);
        match &trip {
            Some(Trip::Status(status)) => {
                return Ok(sent(&Answer::error(*status, "Something is wrong here")));
            }
            Some(Trip::Says(status, text)) => return Ok(sent(&Answer::error(*status, text))),
            Some(Trip::Page) => {
                return Ok(response(200, &[("content-type", "text/html".to_owned())], "<html>".into()));
            }
            Some(Trip::Nothing) => return Ok(sent(&Answer::json(200, json!({})))),
            Some(Trip::Redirect(status, to)) => {
                return Ok(sent(&Answer::error(*status, "Moved Permanently").with("location", to.clone())));
            }
            Some(Trip::Primary(until)) => {
                let answer = Answer::error(403, "API rate limit exceeded for user ID 1.");
                let answer =
                    answer.with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", until.to_string());
                return Ok(sent(&answer));
            }
            Some(Trip::Secondary(seconds)) => {
                let answer = Answer::error(429, "Too many requests").with("retry-after", seconds.to_string());
                return Ok(sent(&answer));
            }
            Some(Trip::SecondaryInWords) => {
                let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
                return Ok(sent(&Answer::error(403, text)));
            }
            Some(Trip::HeadMoves(branch)) => self.move_head(path, branch),
            _ => {}
        }
        let query: Vec<(String, String)> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let value: Value = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).expect("mimir sends JSON"),
        };
        let known = self.who(path, authorization);
        let Some((login, only)) = known.or_else(|| {
            let is_open = path.ends_with("/version") || path.ends_with("/meta");
            is_open.then(|| (String::new(), None))
        }) else {
            return Ok(sent(&Answer::error(401, "Bad credentials")));
        };
        let rest =
            path.trim_start_matches("/api/v3/").trim_start_matches("/api/v1/").trim_start_matches("/api/");
        let decode = |part: &str| percent_decoded(part);
        let asked = Asked {
            method: method.to_owned(),
            path: rest.split('/').map(decode).collect(),
            query,
            body: value,
            root,
            login,
            only,
        };
        let answer = {
            let mut state = self.state.lock();
            let mut answer_once = || match path.starts_with("/api/v1/") {
                true => gitea::answer(&mut state, &asked),
                false => github::answer(&mut state, &asked),
            };
            let mut answer = answer_once();
            if trip == Some(Trip::Twice) {
                answer = answer_once();
            }
            answer.headers.extend(state.of_token.clone());
            answer
        };
        self.wake.notify_one();
        if path.starts_with("/api/v3/") {
            let found = described::of_exchange(&asked, &answer);
            *self.looked_at.lock() += usize::from(found.is_some());
            self.violations.lock().extend(found.unwrap_or_default());
        }
        match trip {
            Some(Trip::AnswerLost) => Err(io::Error::other("the answer is lost")),
            Some(Trip::Half) => {
                let mut text = answer.body.map(|body| body.to_string()).unwrap_or_default().into_bytes();
                text.truncate(text.len() / 2);
                Ok(response(answer.status, &answer.headers, text.into()))
            }
            Some(Trip::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(sent(&answer))
            }
            _ => Ok(sent(&answer)),
        }
    }

    /// Whose a credential is, and what it opens alone.
    fn who(&self, path: &str, authorization: Option<&str>) -> Option<(String, Option<String>)> {
        let (scheme, token) = authorization?.split_once(' ')?;
        let wanted = if path.starts_with("/api/v1/") { "token" } else { "Bearer" };
        if scheme != wanted {
            return None;
        }
        if token == TOKEN {
            return Some((LOGIN.to_owned(), None));
        }
        let state = self.state.lock();
        if let Some((only, until)) = state.tokens.get(token) {
            return (state.now_ms() < *until).then(|| (APP_LOGIN.to_owned(), Some(only.clone())));
        }
        let app = state.app.as_ref()?;
        is_signed(token, &app.public_key).then(|| ("the app".to_owned(), None))
    }

    /// Tells hooks what git has taken.
    pub fn was_pushed_to(&self) {
        let mut state = self.state.lock();
        let paths: Vec<String> = state.repos.iter().map(|repo| repo.path.clone()).collect();
        paths.iter().for_each(|path| hooks::pushed(&mut state, path));
        drop(state);
        self.wake.notify_one();
    }

    fn move_head(&self, path: &str, branch: &str) {
        let mut state = self.state.lock();
        let repo: Option<&mut Repo> = state.repos.iter_mut().find(|repo| path.contains(&repo.path));
        let repo = repo.expect("a repository in the path");
        repo.bare().add(branch, "later.txt", "one more");
    }
}

/// Whether it is a token of an app's with that key, and for a short time.
fn is_signed(token: &str, public_key: &[u8]) -> bool {
    let Some((text, signature)) = token.rsplit_once('.') else { return false };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let key =
        ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, public_key);
    let claims: Value =
        serde_json::from_slice(&decode(text.split('.').nth(1).unwrap_or_default())).unwrap_or_default();
    let span = claims["exp"].as_u64().unwrap_or(u64::MAX).saturating_sub(claims["iat"].as_u64().unwrap_or(0));
    span <= 600 && claims["iss"] == "77" && key.verify(text.as_bytes(), &decode(signature)).is_ok()
}

fn percent_decoded(text: &str) -> String {
    // A plus stands for itself in a path.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("x={text}").as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn sent(answer: &Answer) -> Response<Full<Bytes>> {
    let body = answer.body.as_ref().map(Value::to_string).unwrap_or_default();
    response(answer.status, &answer.headers, body.into())
}

fn response(status: u16, headers: &[(&'static str, String)], body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
        .headers_mut()
        .insert("content-type", "application/json; charset=utf-8".parse().expect("a value"));
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    response
}

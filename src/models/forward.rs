//! One model call: check, add the key, send, and count the answer while it passes.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use super::headers;
use super::provider::{ProviderKind, ProviderSettings};
use super::redact::{Redactor, Secrets};
use super::tap::Tap;
use super::usage::Format;
use super::{Models, demo};
use crate::model::agent::AgentSessionId;
use crate::model::usage::Tokens;

/// How long a provider may think before the first byte. Longer than opencode waits (60 s), so that it gives up first.
const FIRST_BYTE: Duration = Duration::from_secs(90);

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(180);

/// How much of a refusal is passed on.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// Headers of a frame's request that a provider gets to see.
const REQUEST_HEADERS: &[&str] =
    &["content-type", "accept", "anthropic-version", "anthropic-beta", "openai-beta"];

/// A model call as a frame makes it.
#[derive(Debug)]
pub struct Call {
    /// The provider's name.
    pub provider: String,
    /// GET or POST.
    pub method: Method,
    /// What comes behind the provider's address; begins with a slash.
    pub path: String,
    /// What comes behind the question mark.
    pub query: Option<String>,
    /// The frame's headers; most of them stay here.
    pub headers: HeaderMap,
    /// All of the body.
    pub body: Bytes,
}

/// A stream of bytes.
pub type BodyStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What a frame gets.
pub struct Answer {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers, as far as they concern a frame.
    pub headers: HeaderMap,
    /// The body, as it comes.
    pub body: BodyStream,
}

/// What a call used. Made when its answer has ended, in whichever way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// In which of the agent's sessions, if it said so.
    pub agent_session: Option<AgentSessionId>,
    /// What it used, as far as the provider said.
    pub tokens: Tokens,
    /// Millionths of a US dollar; 0 when no price is known.
    pub cost_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
    /// The provider's status.
    pub status: u16,
    /// Why the answer ended, in the provider's words.
    pub finish: Option<String>,
    /// Whether the answer was passed to its end.
    pub complete: bool,
}

/// Called once with the report of a call that reached a provider and that costs something.
pub type OnEnd = Box<dyn FnOnce(CallReport) + Send>;

/// Called when a key was taken out of an answer, with the place where it was; once for each place.
pub type OnRedacted = Box<dyn Fn(&'static str) + Send + Sync>;

/// Why a call got no answer from a provider.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Configure it, or ask another.
    #[error("there is no provider called {name}")]
    UnknownProvider {
        /// As asked for.
        name: String,
    },
    /// Not for frames.
    #[error("{method} {path} is not a call that a frame may make to {provider}")]
    NotServed {
        /// Whose.
        provider: String,
        /// As asked for.
        method: Method,
        /// As asked for.
        path: String,
    },
    /// Give the key to the gateway.
    #[error("the gateway has no key for provider {provider}")]
    NoKey {
        /// Whose.
        provider: String,
    },
    /// Give it an address.
    #[error("provider {provider} has no base_url")]
    NoAddress {
        /// Whose.
        provider: String,
    },
    /// Try again later.
    #[error("provider {provider} cannot be reached: {why}")]
    Unreachable {
        /// Which.
        provider: String,
        /// Why.
        why: String,
    },
    /// A key in it could not be found.
    #[error("provider {provider} answered compressed, although it was asked not to")]
    Encoded {
        /// Which.
        provider: String,
    },
    /// Try again later.
    #[error("provider {provider} did not begin to answer within {} seconds", FIRST_BYTE.as_secs())]
    TooSlow {
        /// Which.
        provider: String,
    },
}

impl Models {
    /// Makes a call. `on_end` hears what it used, also when the frame goes away in the middle.
    ///
    /// No key of any provider is in the answer; `on_redacted` hears of those that were.
    ///
    /// # Errors
    /// See [`ModelError`]. A provider's own refusal is an [`Answer`].
    pub async fn forward(
        &self,
        call: Call,
        on_end: OnEnd,
        on_redacted: OnRedacted,
    ) -> Result<Answer, ModelError> {
        let provider = self
            .find(&call.provider)
            .ok_or_else(|| ModelError::UnknownProvider { name: call.provider.clone() })?;
        let is_post = call.method == Method::POST;
        let served = is_post || call.method == Method::GET;
        let format = provider.kind.serves(is_post, &call.path).filter(|_| served).ok_or_else(|| {
            ModelError::NotServed {
                provider: provider.name.clone(),
                method: call.method.clone(),
                path: call.path.clone(),
            }
        })?;

        let mut request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        let mut ending = Ending {
            report: self.blank_report(provider, &call, &request),
            tap: Tap::whole(format),
            prices: self.price_of(provider, &model_of(&call, &request)),
            on_end: (format != Format::Uncounted).then_some(on_end),
        };
        if provider.kind == ProviderKind::Demo {
            return Ok(play_demo(&request, is_post, ending));
        }
        let response = self.send(provider, call, &mut request, format).await?;

        let status = response.status();
        ending.report.status = status.as_u16();
        if headers::is_encoded(response.headers()) {
            return Err(ModelError::Encoded { provider: provider.name.clone() });
        }
        let (headers, hits) = headers::pass_on(response.headers(), &self.secrets);
        if hits {
            on_redacted("a header");
        }
        if !status.is_success() {
            let body = refusal(response, &self.secrets, &on_redacted).await;
            ending.report.complete = true;
            return Ok(Answer { status, headers, body: once(body) });
        }
        let mut redactor = Redactor::new(&self.secrets);
        if is_event_stream(&headers) {
            ending.tap = Tap::stream(format);
            redactor = Redactor::of_events(&self.secrets);
        }
        let body = response.bytes_stream().map(|chunk| chunk.map_err(io::Error::other));
        let body = redacted(Box::pin(body), redactor, on_redacted);
        Ok(Answer { status, headers, body: counted(body, ending) })
    }

    async fn send(
        &self,
        provider: &ProviderSettings,
        call: Call,
        request: &mut Value,
        format: Format,
    ) -> Result<reqwest::Response, ModelError> {
        let name = || provider.name.clone();
        if !provider.is_usable() {
            return Err(ModelError::NoKey { provider: name() });
        }
        let url = provider
            .address(&call.path, call.query.as_deref())
            .ok_or_else(|| ModelError::NoAddress { provider: name() })?;
        let unreachable = |error: reqwest::Error| ModelError::Unreachable {
            provider: name(),
            why: self.secrets.out_of(&reasons(&error.without_url())),
        };
        let client = self.http.to(&url).map_err(unreachable)?;
        let body = if format == Format::Chat { ask_for_usage(request, call.body) } else { call.body };
        let mut outgoing = client.request(call.method, url).body(body);
        // A key in a compressed answer would not be found.
        outgoing = outgoing.header(header::ACCEPT_ENCODING, "identity");
        for name in REQUEST_HEADERS {
            if let Some(value) = call.headers.get(*name) {
                outgoing = outgoing.header(*name, value);
            }
        }
        if let Some(key) = &provider.key {
            let (name, value) = provider.kind.key_header(key);
            outgoing = outgoing.header(name, value);
        }
        match tokio::time::timeout(FIRST_BYTE, outgoing.send()).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(ModelError::TooSlow { provider: name() }),
        }
    }

    fn blank_report(&self, provider: &ProviderSettings, call: &Call, request: &Value) -> CallReport {
        CallReport {
            provider: provider.name.clone(),
            model: model_of(call, request),
            agent_session: session_of(&call.headers),
            tokens: Tokens::default(),
            cost_microusd: 0,
            priced: false,
            status: 0,
            finish: None,
            complete: false,
        }
    }

    pub(super) fn price_of(
        &self,
        provider: &ProviderSettings,
        model: &str,
    ) -> Option<crate::model::usage::Price> {
        let named = provider.models.iter().find(|known| known.id == model).and_then(|known| known.price);
        named.or_else(|| self.prices.find(&provider.name, provider.kind.as_str(), model))
    }
}

/// Reports when it is dropped, so that no way out of a call is forgotten.
struct Ending {
    report: CallReport,
    tap: Tap,
    prices: Option<crate::model::usage::Price>,
    on_end: Option<OnEnd>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Status 0: the call never reached a provider.
        let Some(on_end) = self.on_end.take().filter(|_| self.report.status != 0) else { return };
        let mut report = self.report.clone();
        let seen = &self.tap.seen;
        report.tokens = seen.tokens;
        report.finish = seen.finish.clone();
        let said = seen.cost_usd.map(|usd| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked when read")]
            let micro = (usd * 1_000_000.0).ceil() as u64;
            micro
        });
        let cost = said.or_else(|| self.prices.map(|price| price.cost_microusd(&seen.tokens)));
        report.priced = cost.is_some();
        report.cost_microusd = cost.unwrap_or(0);
        on_end(report);
    }
}

struct Passing {
    inner: BodyStream,
    ending: Ending,
    over: bool,
}

/// Passes a body on, counting it.
fn counted(inner: BodyStream, ending: Ending) -> BodyStream {
    let start = Passing { inner, ending, over: false };
    Box::pin(futures_util::stream::unfold(start, |mut at| async move {
        while !at.over {
            let out = match tokio::time::timeout(SILENCE, at.inner.next()).await {
                Ok(Some(Ok(chunk))) => Ok(at.ending.tap.pass(chunk)),
                Ok(None) => {
                    at.over = true;
                    at.ending.report.complete = true;
                    Ok(at.ending.tap.end())
                }
                Ok(Some(Err(error))) => Err(error),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the provider fell silent")),
            };
            at.over |= out.is_err();
            // A chunk may hold half a line, which is kept until the rest comes.
            if !matches!(&out, Ok(bytes) if bytes.is_empty()) {
                return Some((out, at));
            }
        }
        None
    }))
}

fn play_demo(request: &Value, is_post: bool, mut ending: Ending) -> Answer {
    let script = if is_post { demo::answer(request) } else { demo::models() };
    ending.report.status = script.status.as_u16();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(script.content_type));
    if is_event_stream(&headers) {
        ending.tap = Tap::stream(Format::Chat);
    }
    let played = futures_util::stream::iter(script.chunks).then(move |chunk| async move {
        tokio::time::sleep(script.pause).await;
        Ok(chunk)
    });
    Answer { status: script.status, headers, body: counted(Box::pin(played), ending) }
}

fn once(body: Bytes) -> BodyStream {
    Box::pin(futures_util::stream::once(async move { Ok(body) }))
}

/// The text of a refusal. Some servers repeat the key in it.
async fn refusal(response: reqwest::Response, secrets: &Secrets, on_redacted: &OnRedacted) -> Bytes {
    let (mut body, mut redactor) = (Vec::new(), Redactor::new(secrets));
    let mut stream = response.bytes_stream();
    let read = async {
        while let Some(Ok(chunk)) = stream.next().await {
            body.extend_from_slice(&redactor.pass(&chunk));
            if body.len() > REFUSAL_LIMIT {
                break;
            }
        }
    };
    // What came until then is enough.
    let _ = tokio::time::timeout(Duration::from_secs(10), read).await;
    body.extend_from_slice(&redactor.end());
    body.truncate(REFUSAL_LIMIT);
    if redactor.hits() > 0 {
        on_redacted("a refusal");
    }
    body.into()
}

/// A body without keys.
fn redacted(inner: BodyStream, redactor: Redactor, on_redacted: OnRedacted) -> BodyStream {
    let start = (inner, redactor, Some(on_redacted), false);
    Box::pin(futures_util::stream::unfold(
        start,
        |(mut inner, mut redactor, mut tell, mut over)| async move {
            while !over {
                let out = match inner.next().await {
                    Some(Ok(chunk)) => Ok(redactor.pass(&chunk)),
                    None => {
                        over = true;
                        Ok(redactor.end())
                    }
                    // What was held back is lost with the rest of it.
                    Some(Err(error)) => {
                        over = true;
                        Err(error)
                    }
                };
                if let Some(tell) = tell.take_if(|_| redactor.hits() > 0) {
                    tell("an answer");
                }
                if !matches!(&out, Ok(bytes) if bytes.is_empty()) {
                    return Some((out, (inner, redactor, tell, over)));
                }
            }
            None
        },
    ))
}

/// Without this a stream of some providers does not say what it used.
fn ask_for_usage(request: &mut Value, body: Bytes) -> Bytes {
    if request["stream"] != true || request["stream_options"]["include_usage"] == true {
        return body;
    }
    request["stream_options"]["include_usage"] = true.into();
    serde_json::to_vec(request).map_or(body, Bytes::from)
}

fn model_of(call: &Call, request: &Value) -> String {
    let in_path = || call.path.strip_prefix("/models/").and_then(|rest| rest.split(':').next());
    let model = request["model"].as_str().or_else(in_path).unwrap_or("");
    model.chars().take(200).collect()
}

fn session_of(headers: &HeaderMap) -> Option<AgentSessionId> {
    let text = headers.get("x-session-id")?.to_str().ok()?;
    (text.starts_with("ses_") && text.len() <= 64).then(|| AgentSessionId(text.to_owned()))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// An error with the causes below it, in one line.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

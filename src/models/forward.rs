//! One model call: check, add the key, send. What becomes of its answer is in `passing`, what it cost in `ending`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hyper::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use super::account::{self, Pricing};
use super::ending::{About, Ending, OnEnd, price_of};
use super::headers;
use super::meter::Meter;
use super::passing::{BodyStream, OnRedacted, Passing, Work};
use super::provider::{ProviderKind, ProviderSettings};
use super::usage::Format;
use super::{Models, Prices, demo};
use crate::model::agent::AgentSessionId;
use crate::model::usage::{Price, Tokens};
use crate::redact::{Redactor, Secrets};

/// How long a provider may think before the first byte. Longer than opencode waits (60 s), so that it gives up first.
const FIRST_BYTE: Duration = Duration::from_secs(90);

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

/// What a frame gets.
pub struct Answer {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers, as far as they concern a frame.
    pub headers: HeaderMap,
    /// The body, as it comes.
    pub body: BodyStream,
    /// What fills the body. Somebody has to do it, whether the frame reads or not; it ends by itself.
    pub work: Option<Work>,
}

/// A call that may be made: to a provider that is known, of a kind that frames may make.
#[derive(Debug)]
pub struct Prepared {
    call: Call,
    request: Value,
    provider: ProviderSettings,
    format: Format,
    model: String,
    pricing: Pricing,
    prices: Arc<Prices>,
    expected: Tokens,
}

/// What is to be known of a call that costs something, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The provider's name.
    pub provider: String,
    /// The model that is asked for.
    pub model: String,
    /// In which of the agent's sessions, if it says so.
    pub agent_session: Option<AgentSessionId>,
    /// Which session began that one, if it says so.
    pub agent_parent: Option<AgentSessionId>,
    /// How its cost is known.
    pub pricing: Pricing,
    /// What it may use at most, as far as can be reckoned.
    pub expected: Tokens,
}

impl Prepared {
    /// What it may cost; none for calls that cost nothing, such as lists of models.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        (self.format != Format::Uncounted).then(|| Counted {
            provider: self.provider.name.clone(),
            model: self.model.clone(),
            agent_session: session_of(&self.call.headers, "x-session-id"),
            agent_parent: session_of(&self.call.headers, "x-parent-session-id"),
            pricing: self.pricing,
            expected: self.expected,
        })
    }
}

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
    /// Spend no more, or raise the budget.
    #[error("{why}")]
    Cut {
        /// What the frame is told.
        why: String,
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
    /// It would go on where nobody counts it.
    #[error(
        "calls to provider {provider} that go on in the background are not carried: nobody could say what they cost"
    )]
    Background {
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
    /// Looks at a call before it is made.
    ///
    /// # Errors
    /// [`ModelError::UnknownProvider`], [`ModelError::NotServed`].
    pub fn prepare(&self, call: Call) -> Result<Prepared, ModelError> {
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
        let request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        if request.get("background").is_some_and(|background| *background != Value::Bool(false)) {
            return Err(ModelError::Background { provider: provider.name.clone() });
        }
        let model = model_of(&call, &request);
        let prices = self.prices();
        let price = price_of(&prices, provider, &model);
        let tells_cost = provider.kind == ProviderKind::OpenRouter;
        Ok(Prepared {
            expected: account::expected(format, &request, call.body.len()),
            pricing: Pricing { price, tells_cost },
            provider: provider.clone(),
            call,
            request,
            format,
            model,
            prices,
        })
    }

    /// Makes a call. `on_end` hears what it used, also when the frame goes away in the middle; `meter` is told
    /// meanwhile, and may cut it. No key of any provider is in the answer; `on_redacted` hears of those that were.
    ///
    /// # Errors
    /// See [`ModelError`]. A provider's own refusal is an [`Answer`].
    pub async fn forward(
        &self,
        prepared: Prepared,
        meter: Meter,
        on_end: OnEnd,
        on_redacted: OnRedacted,
    ) -> Result<Answer, ModelError> {
        let Prepared { call, mut request, provider, format, model, pricing, prices, expected } = prepared;
        let is_counted = format != Format::Uncounted;
        let about = About { provider, model, pricing, prices, expected };
        let mut ending = Ending::new(about, format, meter, is_counted.then_some(on_end));
        if ending.provider().kind == ProviderKind::Demo {
            let is_post = call.method == Method::POST;
            return Ok(self.play_demo(&request, is_post, ending));
        }
        let response = self.send(&mut ending, call, &mut request, format).await?;

        let (status, secrets) = (response.status(), self.known.now());
        ending.answered(status);
        if headers::is_encoded(response.headers()) {
            return Err(ModelError::Encoded { provider: ending.provider().name.clone() });
        }
        let (headers, hits) = headers::pass_on(response.headers(), &secrets);
        if hits {
            on_redacted("a header");
        }
        if !status.is_success() {
            let body = refusal(response, &secrets, &on_redacted).await;
            ending.complete();
            return Ok(Answer { status, headers, body: once(body), work: None });
        }
        let mut redactor = Redactor::new(&secrets);
        if is_event_stream(&headers) {
            ending.streams(format);
            redactor = Redactor::of_events(&secrets);
        }
        let source = Box::pin(response.bytes_stream().map(|chunk| chunk.map_err(io::Error::other)));
        let on_redacted = Some(on_redacted);
        let (body, work) = Passing { source, redactor, on_redacted, ending, unread: self.unread }.begin();
        Ok(Answer { status, headers, body, work: Some(work) })
    }

    fn play_demo(&self, request: &Value, is_post: bool, mut ending: Ending) -> Answer {
        let script = if is_post { demo::answer(request) } else { demo::models() };
        ending.asked(true);
        ending.answered(script.status);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(script.content_type));
        if is_event_stream(&headers) {
            ending.streams(Format::Chat);
        }
        let played = futures_util::stream::iter(script.chunks).then(move |chunk| async move {
            tokio::time::sleep(script.pause).await;
            Ok(chunk)
        });
        let redactor = Redactor::new(&Secrets::default());
        let source = Box::pin(played);
        let passing = Passing { source, redactor, on_redacted: None, ending, unread: self.unread };
        let (body, work) = passing.begin();
        Answer { status: script.status, headers, body, work: Some(work) }
    }

    async fn send(
        &self,
        ending: &mut Ending,
        call: Call,
        request: &mut Value,
        format: Format,
    ) -> Result<reqwest::Response, ModelError> {
        let provider = ending.provider().clone();
        let name = || provider.name.clone();
        if !provider.is_usable() {
            return Err(ModelError::NoKey { provider: name() });
        }
        let url = provider
            .address(&call.path, call.query.as_deref())
            .ok_or_else(|| ModelError::NoAddress { provider: name() })?;
        let unreachable = |error: reqwest::Error| ModelError::Unreachable {
            provider: name(),
            why: self.known.now().out_of(&reasons(&error.without_url())),
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
        // From here on it may be paid for, whatever becomes of its answer.
        ending.asked(true);
        let meter = ending.meter();
        let answered = tokio::select! {
            answered = tokio::time::timeout(FIRST_BYTE, outgoing.send()) => answered,
            why = meter.is_cut() => return Err(ModelError::Cut { why }),
        };
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                ending.asked(!error.is_connect());
                Err(unreachable(error))
            }
            Err(_) => Err(ModelError::TooSlow { provider: name() }),
        }
    }

    pub(super) fn price_of(&self, provider: &ProviderSettings, model: &str) -> Option<Price> {
        price_of(&self.prices(), provider, model)
    }
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

/// Without this a stream of some providers does not say what it used.
fn ask_for_usage(request: &mut Value, body: Bytes) -> Bytes {
    if request["stream"] != true || request["stream_options"]["include_usage"] == true {
        return body;
    }
    if !request["stream_options"].is_object() {
        request["stream_options"] = serde_json::json!({});
    }
    request["stream_options"]["include_usage"] = true.into();
    serde_json::to_vec(request).map_or(body, Bytes::from)
}

fn model_of(call: &Call, request: &Value) -> String {
    let in_path = || call.path.strip_prefix("/models/").and_then(|rest| rest.split(':').next());
    // Where the path names it, that one answers, whatever the body says.
    let model = in_path().or_else(|| request["model"].as_str()).unwrap_or("");
    model.chars().take(200).collect()
}

fn session_of(headers: &HeaderMap, name: &str) -> Option<AgentSessionId> {
    let text = headers.get(name)?.to_str().ok()?;
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

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;

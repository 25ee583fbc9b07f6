//! One model call: check, add the key, send, and count the answer while it passes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use super::account::{self, Account, Evidence, Pricing};
use super::headers;
use super::meter::Meter;
use super::provider::{ProviderKind, ProviderSettings};
use super::tap::Tap;
use super::usage::Format;
use super::{Models, Prices, demo};
use crate::model::agent::AgentSessionId;
use crate::model::budget::OURS;
use crate::model::usage::{Price, Tokens};
use crate::redact::{Redactor, Secrets};

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
    /// What it used: as the provider says, or an estimate.
    pub tokens: Tokens,
    /// Millionths of a US dollar; 0 when no price is known.
    pub cost_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
    /// Whether it was reckoned from bytes.
    pub estimated: bool,
    /// The provider's status; 0 when it was asked and nobody heard its answer.
    pub status: u16,
    /// Why the answer ended, in the provider's words.
    pub finish: Option<String>,
    /// Whether the answer was passed to its end.
    pub complete: bool,
}

/// Called once with the report of a call that a provider was asked to answer and that may cost something.
pub type OnEnd = Box<dyn FnOnce(CallReport) + Send>;

/// Called when a key was taken out of an answer, with the place where it was; once for each place.
pub type OnRedacted = Box<dyn Fn(&'static str) + Send + Sync>;

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
        let mut ending = Ending {
            report: blank_report(&provider, model),
            tap: Tap::whole(format),
            pricing,
            prices,
            expected,
            meter,
            is_asked: false,
            provider,
            on_end: (format != Format::Uncounted).then_some(on_end),
        };
        if ending.provider.kind == ProviderKind::Demo {
            let is_post = call.method == Method::POST;
            return Ok(play_demo(&request, is_post, ending));
        }
        let response = self.send(&mut ending, call, &mut request, format).await?;

        let status = response.status();
        ending.report.status = status.as_u16();
        if headers::is_encoded(response.headers()) {
            return Err(ModelError::Encoded { provider: ending.provider.name.clone() });
        }
        let (headers, hits) = headers::pass_on(response.headers(), &self.known.now());
        if hits {
            on_redacted("a header");
        }
        if !status.is_success() {
            let body = refusal(response, &self.known.now(), &on_redacted).await;
            ending.report.complete = true;
            return Ok(Answer { status, headers, body: once(body) });
        }
        let mut redactor = Redactor::new(&self.known.now());
        if is_event_stream(&headers) {
            ending.tap = Tap::stream(format);
            redactor = Redactor::of_events(&self.known.now());
        }
        let body = response.bytes_stream().map(|chunk| chunk.map_err(io::Error::other));
        let body = redacted(Box::pin(body), redactor, on_redacted);
        Ok(Answer { status, headers, body: counted(body, ending) })
    }

    async fn send(
        &self,
        ending: &mut Ending,
        call: Call,
        request: &mut Value,
        format: Format,
    ) -> Result<reqwest::Response, ModelError> {
        let provider = &ending.provider;
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
        ending.is_asked = true;
        let meter = ending.meter.clone();
        let answered = tokio::select! {
            answered = tokio::time::timeout(FIRST_BYTE, outgoing.send()) => answered,
            why = meter.is_cut() => return Err(ModelError::Cut { why }),
        };
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                ending.is_asked = !error.is_connect();
                Err(unreachable(error))
            }
            Err(_) => Err(ModelError::TooSlow { provider: name() }),
        }
    }

    pub(super) fn price_of(&self, provider: &ProviderSettings, model: &str) -> Option<Price> {
        price_of(&self.prices(), provider, model)
    }
}

fn price_of(prices: &Prices, provider: &ProviderSettings, model: &str) -> Option<Price> {
    let named = provider.models.iter().find(|known| known.id == model).and_then(|known| known.price);
    named.or_else(|| prices.find(&provider.name, provider.kind.as_str(), model))
}

fn blank_report(provider: &ProviderSettings, model: String) -> CallReport {
    CallReport {
        provider: provider.name.clone(),
        model,
        tokens: Tokens::default(),
        cost_microusd: 0,
        priced: false,
        estimated: false,
        status: 0,
        finish: None,
        complete: false,
    }
}

/// Reports when it is dropped, so that no way out of a call is forgotten.
struct Ending {
    report: CallReport,
    tap: Tap,
    pricing: Pricing,
    prices: Arc<Prices>,
    expected: Tokens,
    meter: Meter,
    /// Whether a provider may have the request.
    is_asked: bool,
    provider: ProviderSettings,
    on_end: Option<OnEnd>,
}

impl Ending {
    fn evidence(&self) -> Evidence<'_> {
        Evidence { seen: &self.tap.seen, unread: self.tap.unread, expected: self.expected }
    }

    /// The meter learns what it costs so far.
    fn report_so_far(&self) {
        self.meter.report(self.evidence().so_far(self.pricing));
    }

    fn account(&self) -> Account {
        let account = self.evidence().account(self.pricing);
        // A request may name one model and mean another: the one that says that it answered counts if it is dearer.
        let answered = self.tap.seen.model.as_deref().filter(|model| *model != self.report.model);
        let price = answered.and_then(|model| price_of(&self.prices, &self.provider, model));
        let dearer = price.map_or(0, |price| price.cost_microusd(&account.tokens));
        Account {
            cost_microusd: account.cost_microusd.max(dearer),
            priced: account.priced || price.is_some(),
            ..account
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(on_end) = self.on_end.take().filter(|_| self.is_asked) else { return };
        self.tap.read_whole();
        let mut report = self.report.clone();
        report.finish = self.tap.seen.finish.clone();
        // A provider that refuses is not paid.
        if report.status == 0 || (200..300).contains(&report.status) {
            let Account { tokens, cost_microusd, priced, estimated } = self.account();
            report = CallReport { tokens, cost_microusd, priced, estimated, ..report };
        } else {
            report.priced = self.pricing.reckoned().is_some();
        }
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
            let meter = at.ending.meter.clone();
            let next = tokio::select! {
                biased;
                why = meter.is_cut() => {
                    at.over = true;
                    return Some((cut(&at.ending.tap, &why), at));
                }
                next = tokio::time::timeout(SILENCE, at.inner.next()) => next,
            };
            let out = match next {
                Ok(Some(Ok(chunk))) => {
                    let out = at.ending.tap.pass(chunk);
                    at.ending.report_so_far();
                    Ok(out)
                }
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

/// The end of an answer that has to end here. One that does not stream just breaks off.
fn cut(tap: &Tap, why: &str) -> io::Result<Bytes> {
    tap.cut("budget", &format!("{OURS}{why}")).ok_or_else(|| io::Error::other(why.to_owned()))
}

fn play_demo(request: &Value, is_post: bool, mut ending: Ending) -> Answer {
    let script = if is_post { demo::answer(request) } else { demo::models() };
    ending.is_asked = true;
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

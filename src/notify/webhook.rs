//! Calls to other programs, signed as Standard Webhooks say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::sync::Notify as Bell;

use super::run::Told;
use super::{Hook, Settings};
use crate::clock::{self, Clock};
use crate::model::approval::ApprovalRequest;
use crate::model::event::{Event, EventKind};
use crate::model::ids::DeliveryId;
use crate::model::visible;
use crate::outbound::HttpClients;
use crate::store::deliveries::{self, Delivery};
use crate::store::{Store, StoreError, Tx};
use crate::supervisor::failpoint::Failpoints;

/// So many calls are read at once.
const PAGE: u32 = 100;
/// A receiver's words in our log are cut there.
const WORDS: usize = 200;

/// How patient we are with those who are called.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How long one may take to answer.
    pub within: Duration,
    /// How long to wait before the next try; after the last one we give up.
    pub retries: Vec<Duration>,
}

impl Default for Pace {
    /// Somebody may be about to answer, so the first ones come soon; then over about a day.
    fn default() -> Self {
        let seconds = [2, 5, 15, 60, 300, 1_800, 7_200, 18_000, 36_000];
        Self { within: Duration::from_secs(10), retries: seconds.map(Duration::from_secs).to_vec() }
    }
}

/// Notes one call.
pub(super) fn note(
    tx: &mut Tx<'_>,
    hook: &Hook,
    prompt: &ApprovalRequest,
    event: &Event,
) -> Result<(), StoreError> {
    let what = &event.what;
    let is_asked = matches!(what, EventKind::PromptAsked { .. });
    let body = json!({
        "type": what.kind(),
        "timestamp": clock::rfc3339(event.at),
        "data": {
            "approval": prompt.id,
            "frame": prompt.frame_name,
            "session": prompt.session,
            "message": prompt.message,
            "event": serde_json::to_value(what).ok().and_then(|mut it| it.get_mut("data").map(serde_json::Value::take)),
            "answer_with": is_asked.then(|| prompt.command()),
        },
    });
    let id = DeliveryId::from_parts(tx.now_ms(), clock::entropy_128());
    deliveries::insert(tx, id.as_str(), hook.url.as_str(), &visible::json(&body.to_string()))
}

/// Notes one call about a run that wants a person.
pub(super) fn note_run(
    tx: &mut Tx<'_>,
    hook: &Hook,
    told: &Told<'_>,
    event: &Event,
) -> Result<(), StoreError> {
    let body = json!({
        "type": event.what.kind(),
        "timestamp": clock::rfc3339(event.at),
        "data": {
            "run": told.run,
            "event": serde_json::to_value(&event.what).ok().and_then(|mut it| it.get_mut("data").map(serde_json::Value::take)),
            "look_with": told.command(),
        },
    });
    let id = DeliveryId::from_parts(tx.now_ms(), clock::entropy_128());
    deliveries::insert(tx, id.as_str(), hook.url.as_str(), &visible::json(&body.to_string()))
}

/// What calls are made with.
pub(super) struct Caller<'a> {
    pub(super) settings: &'a Settings,
    pub(super) http: &'a HttpClients,
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
    pub(super) failpoints: &'a Failpoints,
}

/// Makes calls for ever.
pub(super) async fn run(caller: &Caller<'_>, bell: &Bell) {
    loop {
        let rung = bell.notified();
        let pause = match pass(caller).await {
            Ok(Some(pause)) => pause,
            // Nothing waits.
            Ok(None) => Duration::from_secs(3600),
            Err(error) => {
                tracing::error!(%error, "webhooks: {error}");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            () = rung => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Makes the calls that are due, those to one receiver in order; says when the next one is.
async fn pass(caller: &Caller<'_>) -> Result<Option<Duration>, StoreError> {
    let Caller { settings, store, clock, failpoints, .. } = *caller;
    let now = clock.now_ms();
    let due = store.read(move |db| deliveries::due(db, now, PAGE)).await?;
    let mut by_receiver: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
    for delivery in due {
        by_receiver.entry(delivery.url.clone()).or_default().push(delivery);
    }
    // One that hangs keeps nobody else waiting but until the end of this pass.
    let calls = by_receiver.into_iter().map(|(url, deliveries)| async move {
        let hook = settings.hooks.iter().find(|hook| hook.url.as_str() == url);
        for delivery in deliveries {
            let failed = match hook {
                Some(hook) => call(hook, &delivery, caller).await.err(),
                // It was taken out of the configuration.
                None => None,
            };
            failpoints.hit("webhook.after_call").await;
            settle(&delivery, failed.as_deref(), caller).await?;
            failpoints.hit("webhook.after_outcome").await;
        }
        Ok::<_, StoreError>(())
    });
    for outcome in futures_util::future::join_all(calls).await {
        outcome?;
    }
    let next = store.read(|db| deliveries::next_at(db)).await?;
    Ok(next.map(|at| Duration::from_millis(at.saturating_sub(clock.now_ms()))))
}

/// Died before this: the call is made again, and its receiver knows it by its id.
async fn settle(delivery: &Delivery, failed: Option<&str>, caller: &Caller<'_>) -> Result<(), StoreError> {
    let Caller { settings, store, clock, .. } = *caller;
    let id = delivery.id.clone();
    let Some(why) = failed else {
        return store.write(move |tx| deliveries::remove(tx, &id)).await;
    };
    let tried = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
    let Some(pause) = settings.pace.retries.get(tried) else {
        tracing::error!("webhook {}: given up after {} tries: {why}", delivery.url, tried + 1);
        return store.write(move |tx| deliveries::remove(tx, &id)).await;
    };
    tracing::warn!("webhook {}: {why}; again in {pause:?}", delivery.url);
    let at = clock.now_ms() + u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let why = why.to_owned();
    store.write(move |tx| deliveries::postpone(tx, &id, at, &why)).await
}

/// One try. The signature is of this moment, the id that of the row.
async fn call(hook: &Hook, delivery: &Delivery, caller: &Caller<'_>) -> Result<(), String> {
    let Caller { settings, http, clock, .. } = *caller;
    let seconds = i64::try_from(clock.now_ms() / 1000).unwrap_or(i64::MAX);
    let signature = Webhook::new(hook.secret.reveal())
        .and_then(|signer| signer.sign(&delivery.id, seconds, delivery.body.as_bytes()))
        .map_err(|error| format!("it cannot be signed: {error}"))?;
    let request = http
        .to(&hook.url)
        .map_err(|error| error.to_string())?
        .post(hook.url.clone())
        .timeout(settings.pace.within)
        .header("content-type", "application/json")
        .header(HEADER_WEBHOOK_ID, &delivery.id)
        .header(HEADER_WEBHOOK_TIMESTAMP, seconds.to_string())
        .header(HEADER_WEBHOOK_SIGNATURE, signature)
        .body(delivery.body.clone());
    // Without the address: it may hold a secret of its own.
    let answer = request.send().await.map_err(|error| cause(&error.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.text().await.unwrap_or_default();
    Err(format!("it answered {status} {}", said.chars().take(WORDS).collect::<String>().trim()))
}

fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

//! A question to the agent of a run's frame, and its answer: an ordinary message, whose key finds it again after a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::FixDeps;
use crate::delivery::SendRequest;
use crate::model::budget::{is_about_a_price, is_refusal};
use crate::model::frame::Frame;
use crate::model::message::{DeliveryState, IdempotencyKey, MessageText, SessionSelector};
use crate::model::origin::Origin;
use crate::model::run::RunState;
use crate::model::visible;
use crate::workflows::deps::principal;
use crate::workflows::stage::{Outcome, StageContext, StageError};
use crate::workflows::trouble;

/// Nobody is there: what the agent asks is denied after so long.
const UNATTENDED: Duration = Duration::from_secs(300);
/// How often one question is put, should the agent make nothing of it. Waiting for money is not counted.
const TRIES: u32 = 3;
/// When it is asked again after a budget was used up that is not the run's: that of a day has an end.
const MONEY_AGAIN_MS: u64 = 15 * 60 * 1000;
/// Under which it is noted how often each question came to nothing.
const NOTE: &str = "fix:asked";
/// Under which it is noted how often that was for want of money.
const UNPAID: &str = "fix:unpaid";

/// A question.
pub(super) struct Question<'a> {
    /// Once for each question of the run.
    pub key: String,
    /// What is asked; the same each time.
    pub text: String,
    /// Whom.
    pub frame: &'a Frame,
    /// How long the answer may take.
    pub within: Duration,
    /// What is asked for, for the timeline: `for a report`.
    pub what: &'a str,
}

/// What came of it.
pub(super) enum Answer {
    /// This was said: a stranger's words by now.
    Said(String),
    /// A person stopped it, and with it the run.
    Stopped(Outcome),
}

/// Asks, and waits for the answer.
pub(super) async fn ask<C: StageContext>(
    cx: &mut C,
    deps: &FixDeps,
    question: Question<'_>,
) -> Result<Answer, StageError> {
    let Question { key, text, frame, within, what } = question;
    let mut tries: BTreeMap<String, u32> = super::noted(cx.run(), NOTE).unwrap_or_default();
    let before = tries.get(&key).copied().unwrap_or(0);
    let text = MessageText::parse(text).map_err(|error| StageError::Permanent(error.to_string()))?;
    let run = cx.run();
    let request = SendRequest {
        session: run.progress.session.as_ref().map_or(SessionSelector::New, SessionSelector::from),
        model: run.input.model.clone(),
        unattended: Some(UNATTENDED),
        // A frame that was made anew has seen nothing of what another one was asked.
        key: IdempotencyKey::parse(&format!("run:{}:{key}:{}:{before}", run.id, frame.id)).ok(),
        origin: Origin::Run,
        run: Some(run.id.clone()),
        ..SendRequest::new(frame.name.clone(), text)
    };
    deps.failpoints.hit("workflows.fix.before_prompt").await;
    let sent = deps.delivery.send(&principal(), request).await.map_err(trouble::of_send)?;
    deps.failpoints.hit("workflows.fix.after_prompt").await;
    let message = sent.message;
    if cx.run().progress.message.as_ref() != Some(&message.id) {
        let progress = cx.progress();
        progress.session = Some(message.session.clone());
        progress.message = Some(message.id.clone());
        let text = format!("frame {} is asked {what}", frame.name);
        cx.save("prompt", text, Some(format!("mimir send --follow {}", message.id))).await?;
    }
    let ended = deps.delivery.wait_for_end(&message.id, within).await.map_err(trouble::of_store)?;
    deps.failpoints.hit("workflows.fix.after_answer").await;
    let (why, of_money) = match ended.state {
        DeliveryState::Answered => return Ok(Answer::Said(ended.answer.unwrap_or_default())),
        DeliveryState::Cancelled if ended.stop.is_some() => {
            let reason = ended.reason.unwrap_or_else(|| "its message was cancelled".to_owned());
            return Ok(Answer::Stopped(Outcome::End { state: RunState::Cancelled, reason }));
        }
        DeliveryState::Cancelled => (trouble::stopped_inside(&cx.run().id), None),
        DeliveryState::Failed => {
            let why = ended.reason.unwrap_or_else(|| "nobody knows why".to_owned());
            let of_money = is_refusal(&why).then(|| why.clone());
            (format!("the agent did not answer: {}", visible::line(&why)), of_money)
        }
        DeliveryState::Queued | DeliveryState::Sending | DeliveryState::Sent | DeliveryState::Running => {
            (format!("the agent did not answer within {} s", within.as_secs()), None)
        }
    };
    let mut unpaid: BTreeMap<String, u32> = super::noted(cx.run(), UNPAID).unwrap_or_default();
    let of_question = unpaid.entry(key.clone()).or_default();
    *of_question += u32::from(of_money.is_some());
    let failed = (before + 1).saturating_sub(*of_question);
    tries.insert(key, before + 1);
    let notes = &mut cx.progress().notes;
    notes.insert(NOTE.to_owned(), json!(tries));
    notes.insert(UNPAID.to_owned(), json!(unpaid));
    // The next try is a message of its own, whatever becomes of this gateway.
    cx.save("error", why.clone(), Some(format!("mimir send --follow {}", message.id))).await?;
    if !ended.state.is_final()
        && let Err(error) = deps.delivery.cancel(&principal(), &message.id).await
    {
        tracing::warn!(message.id = %message.id, %error, "message {} goes on: {error}", message.id);
    }
    match of_money {
        // Time does not help: somebody has to say it.
        Some(sentence) if is_about_a_price(&sentence) => Err(StageError::Permanent(why)),
        Some(why) => Err(StageError::RateLimited { until: cx.now_ms() + MONEY_AGAIN_MS, why }),
        None if failed < TRIES => Err(StageError::Agent(why)),
        None => Err(StageError::Permanent(why)),
    }
}

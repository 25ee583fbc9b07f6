//! Asks an agent, and keeps what it answers: in the frame that the run names, or in a throwaway one of its project.
//!
//! The message is an ordinary one: delivery hands it over and knows its end, the feed tracks its turn. It carries a key
//! of the run, the stage and the try, so a gateway that dies after it was sent finds it again instead of sending another.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::deps::{Deps, principal};
use super::stage::{Outcome, StageContext, StageError};
use super::{quantities, template, trouble};
use crate::delivery::SendRequest;
use crate::frames::{FrameRequest, Lifetime, Place, WantedLimits};
use crate::model::agent::ModelRef;
use crate::model::budget::{is_about_a_price, is_refusal};
use crate::model::frame::{Desired, Frame};
use crate::model::ids::RunId;
use crate::model::message::{DeliveryState, IdempotencyKey, MessageText, SessionSelector};
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::origin::Origin;
use crate::model::run::RunState;
use crate::model::visible;
use crate::store::frames;

/// Longer than any stage may work: that is what ends the wait for a message.
const LOOK: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// When it is asked again after a budget was used up that is not the run's: that of a day has an end.
const MONEY_AGAIN_MS: u64 = 15 * 60 * 1000;
/// How much of an answer a timeline shows.
const SHOWN: usize = 4 * 1024;
/// How much of it later stages are given.
const KEPT: usize = 64 * 1024;

/// The settings of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is asked, with variables.
    pub text: String,
    /// With which of the agent's modes: `build`, `plan`.
    #[serde(default)]
    pub agent: Option<String>,
    /// With which model, as `provider/model`; the run's own, or the configuration's, when absent.
    #[serde(default)]
    pub model: Option<ModelRef>,
    /// How long what the agent asks waits for a person before it is denied.
    #[serde(default = "ten_minutes", deserialize_with = "quantities::span")]
    pub unattended: Duration,
    /// What a throwaway frame may reach; as it is configured when absent.
    #[serde(default)]
    pub network: Option<NetworkMode>,
    /// How often it may be asked, should it not answer.
    #[serde(default = "twice")]
    pub tries: u32,
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

fn twice() -> u32 {
    2
}

/// What is kept of the stage on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// How many messages were sent and not answered; makes the key of the next one.
    sent: u32,
    /// How many of them the agent failed.
    failed: u32,
    /// Whether one was answered.
    is_answered: bool,
    /// What was answered.
    said: String,
}

/// Asks, and waits for the answer.
///
/// # Errors
/// What is in the way, by what is done about it.
pub async fn perform<C: StageContext>(
    settings: &Settings,
    cx: &mut C,
    deps: &Deps,
) -> Result<Outcome, StageError> {
    let stage = cx.run().stage.clone();
    let kept = cx.run().progress.notes.get(&stage).cloned().unwrap_or_default();
    let mut note: Note = serde_json::from_value(kept).unwrap_or_default();
    if note.is_answered {
        return Ok(Outcome::Done);
    }
    let text = template::render(&settings.text, &template::values(cx.workflow(), cx.run()));
    let text = text.and_then(|text| MessageText::parse(text).map_err(|error| error.to_string()));
    let text = text.map_err(StageError::Permanent)?;
    let frame = frame(settings, cx, deps).await?;
    let request = SendRequest {
        session: match &cx.run().progress.session {
            Some(session) => SessionSelector::from(session),
            None => SessionSelector::New,
        },
        model: cx.run().input.model.clone().or_else(|| settings.model.clone()),
        agent: settings.agent.clone(),
        unattended: Some(settings.unattended),
        key: IdempotencyKey::parse(&format!("run:{}:{stage}:{}", cx.run().id, note.sent)).ok(),
        origin: Origin::Run,
        run: Some(cx.run().id.clone()),
        ..SendRequest::new(frame.name.clone(), text)
    };
    deps.failpoints.hit("workflows.prompt.before_send").await;
    let sent = deps.delivery.send(&principal(), request).await.map_err(trouble::of_send)?;
    deps.failpoints.hit("workflows.prompt.after_send").await;
    let message = sent.message;
    if cx.run().progress.message.as_ref() != Some(&message.id) {
        let progress = cx.progress();
        progress.session = Some(message.session.clone());
        progress.message = Some(message.id.clone());
        let text = format!("frame {} is asked: {}", frame.name, shown(&message.text));
        cx.save("prompt", text, Some(format!("mimir send --follow {}", message.id))).await?;
    }
    let ended = deps.delivery.wait_for_end(&message.id, LOOK).await.map_err(trouble::of_store)?;
    deps.failpoints.hit("workflows.prompt.after_answer").await;
    let why = ended.reason.unwrap_or_else(|| format!("the message is {}", ended.state));
    match ended.state {
        DeliveryState::Answered => {
            let answer = visible::prose(ended.answer.as_deref().unwrap_or_default());
            note.is_answered = true;
            note.said = cut(&answer, KEPT).to_owned();
            keep(cx, &stage, &note);
            let link = format!("mimir send --follow {}", message.id);
            cx.save("answer", shown(&answer), Some(link)).await?;
            Ok(Outcome::Done)
        }
        DeliveryState::Cancelled if ended.stop.is_some() => {
            Ok(Outcome::End { state: RunState::Cancelled, reason: why })
        }
        DeliveryState::Failed | DeliveryState::Cancelled => {
            let of_money = is_refusal(&why).then(|| why.clone());
            let why = match ended.state {
                DeliveryState::Cancelled => trouble::stopped_inside(&cx.run().id),
                _ => format!("the agent did not answer: {}", visible::line(&why)),
            };
            note.sent += 1;
            note.failed += u32::from(of_money.is_none());
            keep(cx, &stage, &note);
            // The next try is a message of its own, whatever becomes of this gateway.
            cx.save("error", why.clone(), Some(format!("mimir send --follow {}", message.id))).await?;
            match of_money {
                Some(sentence) if is_about_a_price(&sentence) => Err(StageError::Permanent(why)),
                Some(why) => Err(StageError::RateLimited { until: cx.now_ms() + MONEY_AGAIN_MS, why }),
                None if note.failed < settings.tries => {
                    Err(StageError::Agent("the agent is asked again".to_owned()))
                }
                None => Err(StageError::Permanent(why)),
            }
        }
        DeliveryState::Queued | DeliveryState::Sending | DeliveryState::Sent | DeliveryState::Running => {
            Err(StageError::Infrastructure("the message is still on its way".to_owned()))
        }
    }
}

fn keep<C: StageContext>(cx: &mut C, stage: &str, note: &Note) {
    cx.progress().notes.insert(stage.to_owned(), json!(note));
}

/// The frame that it is asked in: the run's, one that it made before, or a new one of its project.
async fn frame<C: StageContext>(settings: &Settings, cx: &mut C, deps: &Deps) -> Result<Frame, StageError> {
    if let Some(name) = cx.run().input.frame.clone() {
        return deps.frames.get(&name).await.map_err(trouble::of_frame);
    }
    let run = cx.run().id.clone();
    let made = deps.store.read(move |db| frames::of_run(db, &run)).await.map_err(trouble::of_store)?;
    let made = made.into_iter().find(|frame| frame.desired != Desired::Removed);
    let frame = match made {
        Some(frame) => frame,
        None => {
            let request = throwaway(settings, cx)?;
            deps.failpoints.hit("workflows.prompt.before_frame").await;
            deps.frames.create(&principal(), request).await.map_err(trouble::of_frame)?
        }
    };
    deps.failpoints.hit("workflows.prompt.after_frame").await;
    if cx.run().progress.frame.as_ref() != Some(&frame.id) {
        let progress = cx.progress();
        progress.frame = Some(frame.id.clone());
        progress.session = None;
        let text = format!("frame {} works for it", frame.name);
        cx.save("frame", text, Some(format!("mimir frame attach {}", frame.name))).await?;
    }
    Ok(frame)
}

fn throwaway<C: StageContext>(settings: &Settings, cx: &C) -> Result<FrameRequest, StageError> {
    let run = cx.run();
    let Some(project) = run.project.clone() else {
        return Err(StageError::Permanent(format!(
            "the run names neither a project nor a frame to work in: `mimir runs start {} --project NAME`",
            run.workflow
        )));
    };
    Ok(FrameRequest {
        name: name_of(&run.id)?,
        place: Place::Project(project),
        image: None,
        network: settings.network,
        allow: Vec::new(),
        providers: Vec::new(),
        gpu: false,
        limits: WantedLimits::default(),
        git: None,
        repository: None,
        env: BTreeMap::new(),
        lifetime: Lifetime::Throwaway(None),
        defaults: None,
        start: true,
        rules: Vec::new(),
        given: String::new(),
        origin: Origin::Run,
        run: Some(run.id.clone()),
    })
}

/// `run-` and the end of the run's id, which is what differs between runs of one moment.
fn name_of(run: &RunId) -> Result<FrameName, StageError> {
    let id = run.as_str();
    let end = &id[id.len().saturating_sub(10)..];
    FrameName::parse(&format!("run-{end}")).map_err(|error| StageError::Permanent(error.to_string()))
}

fn shown(text: &str) -> String {
    let text = visible::prose(text);
    let cut = cut(&text, SHOWN);
    if cut.len() < text.len() { format!("{cut}…") } else { text }
}

/// The beginning of a text.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

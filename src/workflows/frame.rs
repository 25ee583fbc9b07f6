//! Starts, stops, pauses or restarts a frame that is there.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::deps::{Deps, principal};
use super::stage::{Outcome, StageContext, StageError};
use super::{quantities, template, trouble};
use crate::frames::FrameError;
use crate::model::frame::{Desired, Frame};
use crate::model::names::FrameName;

/// What is done to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It runs, or is thawed.
    Start,
    /// It does not run.
    Stop,
    /// It stands still, in memory.
    Pause,
    /// It is begun anew.
    Restart,
}

/// The settings of a stage that does something to a frame.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `start`, `stop`, `pause` or `restart`; or a variable that says it.
    #[serde(deserialize_with = "action")]
    pub action: ActionText,
    /// Which frame, by name, with variables; the run's own when absent.
    #[serde(default)]
    pub frame: Option<String>,
    /// How long it may take.
    #[serde(default = "three_minutes", deserialize_with = "quantities::span")]
    pub within: Duration,
}

impl Settings {
    /// Its texts with variables in them.
    pub(super) fn templates(&self) -> Vec<&str> {
        let action = match &self.action {
            ActionText::Known(_) => None,
            ActionText::Template(text) => Some(text.as_str()),
        };
        action.into_iter().chain(self.frame.as_deref()).collect()
    }
}

/// A word for an action, or a text with variables that becomes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionText {
    /// One of the words.
    Known(Action),
    /// Known when the run is.
    Template(String),
}

fn three_minutes() -> Duration {
    Duration::from_secs(180)
}

fn word(text: &str) -> Result<Action, String> {
    serde_json::from_value(json!(text.trim()))
        .map_err(|_| format!("`{text}` is none of start, stop, pause, restart"))
}

fn action<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ActionText, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.contains("{{") {
        return Ok(ActionText::Template(text));
    }
    word(&text).map(ActionText::Known).map_err(serde::de::Error::custom)
}

/// Asks for it, and waits until it is so.
///
/// # Errors
/// What the frame cannot do.
pub async fn perform<C: StageContext>(
    settings: &Settings,
    cx: &mut C,
    deps: &Deps,
) -> Result<Outcome, StageError> {
    let values = template::values(cx.workflow(), cx.run());
    let action = match &settings.action {
        ActionText::Known(action) => *action,
        ActionText::Template(text) => {
            template::render(text, &values).and_then(|text| word(&text)).map_err(StageError::Permanent)?
        }
    };
    let frame = match &settings.frame {
        Some(text) => {
            let text = template::render(text, &values).map_err(StageError::Permanent)?;
            let name = FrameName::parse(&text).map_err(|error| StageError::Permanent(error.to_string()))?;
            deps.frames.get(&name).await
        }
        None => named(cx.run().input.frame.clone(), deps).await,
    };
    let frame = frame.map_err(trouble::of_frame)?;
    let desired = match action {
        Action::Start | Action::Restart => Desired::Running,
        Action::Stop => Desired::Stopped,
        Action::Pause => Desired::Paused,
    };
    if action == Action::Restart {
        restart(cx, deps, &frame).await?;
    } else if frame.desired != desired {
        deps.frames.ask(&principal(), &frame.name, desired).await.map_err(trouble::of_frame)?;
    }
    deps.failpoints.hit("workflows.frame.after_wish").await;
    let after = deps.frames.wait_for(&frame.id, desired, settings.within).await.map_err(trouble::of_frame)?;
    let link = format!("mimir frame show {}", after.name);
    cx.save("frame", format!("frame {} is {}", after.name, after.state), Some(link)).await?;
    Ok(Outcome::Done)
}

/// The frame that the run was given.
async fn named(name: Option<FrameName>, deps: &Deps) -> Result<Frame, FrameError> {
    match name {
        Some(name) => deps.frames.get(&name).await,
        None => Err(FrameError::Invalid {
            field: "frame",
            why: "the run was given none: `mimir runs start WORKFLOW --frame NAME`".to_owned(),
        }),
    }
}

/// Each new run of a frame has a number; so a restart that was asked for is not asked for again.
async fn restart<C: StageContext>(cx: &mut C, deps: &Deps, frame: &Frame) -> Result<(), StageError> {
    let stage = cx.run().stage.clone();
    let before = cx.run().progress.notes.get(&stage).and_then(|note| note.get("generation")?.as_u64());
    let before = match before {
        Some(before) => before,
        None => {
            let now = u64::from(frame.generation);
            cx.progress().notes.insert(stage, json!({ "generation": now }));
            let link = format!("mimir frame show {}", frame.name);
            cx.save("frame", format!("frame {} is restarted", frame.name), Some(link)).await?;
            now
        }
    };
    if u64::from(frame.generation) > before {
        return Ok(());
    }
    deps.failpoints.hit("workflows.frame.before_wish").await;
    deps.frames.restart(&principal(), &frame.name).await.map(drop).map_err(trouble::of_frame)
}

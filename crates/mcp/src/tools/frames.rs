//! Frames.

use std::time::Duration;

use mimir_client::{FrameVerb, Reached};
use mimir_model::network::NetworkMode;
use mimir_model::visible;
use mimir_model::wire::frames::{CreateFrame, FrameSummary};
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::first;
use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// How many are listed unless somebody says.
const LISTED: usize = 100;
/// How long a verb waits unless somebody says, and at most.
const WAIT: (u64, u64) = (45, 240);
/// So many characters of a reason are enough.
const LONG_REASON: usize = 500;

/// A frame in a few words.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Frame {
    /// What it is called.
    name: String,
    /// `created`, `starting`, `running`, `paused`, `stopped` or `error`.
    state: String,
    /// What its agent does: `idle`, `busy`, `waiting (permission)`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    doing: Option<Words>,
    /// Why it is in `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Words>,
    /// The project's folder on the gateway's machine.
    workspace: String,
    /// The project's name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// `sealed`, `allow` or `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    /// What its model calls cost, in millionths of a US dollar.
    cost_microusd: u64,
    /// When something last happened in it.
    last_active_at: String,
    /// When it is destroyed by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl From<FrameSummary> for Frame {
    fn from(frame: FrameSummary) -> Self {
        Self {
            state: frame.state.to_string(),
            doing: frame.agent.map(|doing| Words::line(&doing, LONG_REASON)),
            reason: frame.reason.map(|reason| Words::line(&reason, LONG_REASON)),
            workspace: visible::line(&frame.workspace),
            project: frame.project,
            network: frame.network.map(|network| network.to_string()),
            cost_microusd: frame.cost_microusd,
            last_active_at: time(frame.last_active_at),
            expires_at: frame.expires_at.map(time),
            name: frame.name,
        }
    }
}

/// `frame_list`
pub struct List;

/// How many.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// How many at most, up to 200; 100 when absent.
    limit: Option<u32>,
}

/// All frames.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Frames {
    /// One each.
    frames: Vec<Frame>,
    /// How many more there are.
    left_out: usize,
}

impl Verb for List {
    const NAME: &'static str = "frame_list";
    const TITLE: &'static str = "List frames";
    const ABOUT: &'static str =
        "All frames: what each agent does, which one waits for somebody, what it costs.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Wanted;
    type Output = Frames;

    async fn call(asked: Wanted, with: &Call<'_>) -> Result<Frames, Problem> {
        let (frames, left_out) = first(with.gateway.frames().await?, asked.limit, LISTED);
        Ok(Frames { frames: frames.into_iter().map(Frame::from).collect(), left_out })
    }
}

/// `frame_show`
pub struct Show;

/// Which frame.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// The frame's name.
    name: String,
}

/// Everything worth knowing about a frame.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Details {
    /// What the list shows.
    frame: Frame,
    /// What to do about an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The image it is made from.
    image: String,
    /// What the engine says right now: `missing`, `halted`, `running`, `paused`, or why it cannot be asked.
    observed: Words,
    /// What the project serves on port 3000, on the gateway's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    /// Hosts that it may reach, beside the configured ones.
    allow: Vec<String>,
    /// Model providers that it may use.
    providers: Vec<String>,
    /// What was loosened of its isolation.
    loosened: Vec<String>,
    /// What happened to it, newest last.
    notes: Vec<Note>,
}

/// Something that happened to a frame.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Note {
    /// When.
    at: String,
    /// A stable word.
    code: String,
    /// A sentence.
    text: Words,
}

impl Verb for Show {
    const NAME: &'static str = "frame_show";
    const TITLE: &'static str = "Show a frame";
    const ABOUT: &'static str =
        "One frame: state, what to do about an error, what it may reach, what happened to it.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Name;
    type Output = Details;

    async fn call(asked: Name, with: &Call<'_>) -> Result<Details, Problem> {
        let details = with.gateway.frame(&asked.name).await?;
        let port = details.summary.preview_port;
        let notes = details.notes.into_iter().map(|note| Note {
            at: time(note.at),
            code: note.code,
            text: Words::line(&note.text, LONG_REASON),
        });
        Ok(Details {
            hint: details.hint,
            image: details.image,
            observed: Words::line(&details.observed, LONG_REASON),
            preview: (port != 0).then(|| format!("http://127.0.0.1:{port}")),
            allow: details.allow,
            providers: details.providers,
            loosened: details.loosened,
            notes: notes.collect(),
            frame: details.summary.into(),
        })
    }
}

/// `frame_create`
pub struct Create;

/// What may be reached. A person alone opens more.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Network {
    Sealed,
    Allow,
}

/// A new frame.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// What to call it: 1 to 40 of a-z, 0-9 and inner -.
    name: String,
    /// Absolute folder on the gateway's machine that its agent works in: one that this server was given, or below it. Either this or `project`.
    workspace: Option<String>,
    /// The name of a registered project, instead of a folder.
    project: Option<String>,
    /// `sealed`: models alone. `allow`: the configured hosts too. As the owner configured it when absent.
    network: Option<Network>,
    /// It is destroyed by itself after `ttl_minutes`.
    throwaway: Option<bool>,
    /// How long a throwaway frame lives; as configured when absent.
    ttl_minutes: Option<u32>,
    /// Whether it is started at once; yes when absent.
    start: Option<bool>,
}

/// A frame, as it is now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Made {
    /// The frame.
    frame: Frame,
}

impl Verb for Create {
    const NAME: &'static str = "frame_create";
    const TITLE: &'static str = "Create a frame";
    const ABOUT: &'static str = "A new frame: a container with a coding agent that works in a folder of the gateway's machine. Prefer throwaway frames.";
    const EFFECT: Effect = Effect::Makes;
    type Input = New;
    type Output = Made;

    async fn call(asked: New, with: &Call<'_>) -> Result<Made, Problem> {
        let workspace = asked.workspace.as_deref().map(|folder| with.folders.admit(folder)).transpose()?;
        let frame = asked.request(workspace);
        Ok(Made { frame: with.gateway.create_frame(&frame).await?.into() })
    }
}

impl New {
    /// What the gateway is asked, with the folder as it was admitted.
    fn request(self, workspace: Option<String>) -> CreateFrame {
        // As configured when nobody says: a person wrote that, be it narrower or wider.
        let network = self.network.map(|network| match network {
            Network::Sealed => NetworkMode::Sealed,
            Network::Allow => NetworkMode::Allow,
        });
        CreateFrame {
            name: self.name,
            workspace,
            project: self.project,
            network,
            throwaway: self.throwaway.unwrap_or(false),
            ttl_seconds: self.ttl_minutes.map(|minutes| u64::from(minutes) * 60),
            start: self.start.unwrap_or(true),
            ..CreateFrame::default()
        }
    }
}

/// `frame_start`
pub struct Start;
/// `frame_stop`
pub struct Stop;

/// Which frame, and how long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// The frame's name.
    name: String,
    /// How long to wait until it is done, at most 240; 45 when absent.
    wait_seconds: Option<u64>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Moved {
    /// Whether it is done; otherwise it goes on, and `frame_show` says how far it is.
    done: bool,
    /// The frame.
    frame: Frame,
}

async fn ask(asked: &Waiting, verb: FrameVerb, with: &Call<'_>) -> Result<Moved, Problem> {
    let wait = Duration::from_secs(asked.wait_seconds.unwrap_or(WAIT.0).min(WAIT.1));
    Ok(match with.gateway.ask_frame(&asked.name, verb, wait).await? {
        Reached::Yes(frame) => Moved { done: true, frame: frame.into() },
        Reached::NotYet(frame) => Moved { done: false, frame: frame.into() },
    })
}

impl Verb for Start {
    const NAME: &'static str = "frame_start";
    const TITLE: &'static str = "Start a frame";
    const ABOUT: &'static str = "Starts a frame. Sending a message starts it by itself.";
    const EFFECT: Effect = Effect::Starts;
    type Input = Waiting;
    type Output = Moved;

    async fn call(asked: Waiting, with: &Call<'_>) -> Result<Moved, Problem> {
        ask(&asked, FrameVerb::Start, with).await
    }
}

impl Verb for Stop {
    const NAME: &'static str = "frame_stop";
    const TITLE: &'static str = "Stop a frame";
    const ABOUT: &'static str =
        "Stops a frame, and with it what its agent does. Files and conversations are kept.";
    const EFFECT: Effect = Effect::Ends;
    type Input = Waiting;
    type Output = Moved;

    async fn call(asked: Waiting, with: &Call<'_>) -> Result<Moved, Problem> {
        ask(&asked, FrameVerb::Stop, with).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nobody_asks_for_an_open_network_here() {
        for (network, mode) in [
            (json!(null), None),
            (json!("allow"), Some(NetworkMode::Allow)),
            (json!("sealed"), Some(NetworkMode::Sealed)),
        ] {
            let asked = json!({"name": "blog", "workspace": "/home/me/./blog", "network": network});
            let asked: New = serde_json::from_value(asked).expect("it is taken");
            let request = asked.request(Some("/home/me/blog".to_owned()));
            assert_eq!(request.network, mode);
            assert_eq!(request.workspace.as_deref(), Some("/home/me/blog"), "as it was admitted");
        }
        assert!(serde_json::from_value::<New>(json!({"name": "blog", "network": "open"})).is_err());
    }
}

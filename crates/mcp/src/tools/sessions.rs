//! Conversations, also of frames that are gone.

use mimir_model::wire::messages::{SessionSummary, TurnView};
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OfFrame, first};
use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// How many conversations are listed unless somebody says.
const LISTED: usize = 50;
/// How many messages of one are told unless somebody says, and at most.
const TOLD: (usize, usize) = (10, 100);
/// So much of one is told.
const LONG_TEXT: usize = 20_000;
/// And of a title, or of a tool's call.
const LONG_LINE: usize = 300;

/// A conversation.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Session {
    /// Its id.
    session: String,
    /// The frame's name, also of a frame that is gone.
    frame: String,
    /// A short name.
    title: Words,
    /// How many messages people wrote in it.
    message_count: u64,
    /// When somebody last spoke in it.
    last_active_at: String,
}

impl From<SessionSummary> for Session {
    fn from(session: SessionSummary) -> Self {
        Self {
            title: Words::line(&session.title, LONG_LINE),
            message_count: session.message_count,
            last_active_at: time(session.last_active_at),
            session: session.id,
            frame: session.frame,
        }
    }
}

/// `session_list`
pub struct List;

/// Conversations.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sessions {
    /// As the gateway lists them.
    sessions: Vec<Session>,
    /// How many more there are.
    left_out: usize,
}

impl Verb for List {
    const NAME: &'static str = "session_list";
    const TITLE: &'static str = "List conversations";
    const ABOUT: &'static str = "Conversations with agents, also of frames that are gone.";
    const EFFECT: Effect = Effect::Looks;
    type Input = OfFrame;
    type Output = Sessions;

    async fn call(asked: OfFrame, with: &Call<'_>) -> Result<Sessions, Problem> {
        let all = with.gateway.sessions(asked.frame.as_deref()).await?;
        let (sessions, left_out) = first(all, asked.limit, LISTED);
        Ok(Sessions { sessions: sessions.into_iter().map(Session::from).collect(), left_out })
    }
}

/// `session_show`
pub struct Show;

/// Which conversation, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its id, its title, or `last`.
    session: String,
    /// Only among those of this frame.
    frame: Option<String>,
    /// How many of the newest messages, at most 100; 10 when absent.
    last: Option<u32>,
}

/// A conversation with what was said.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Talk {
    /// Which it is.
    session: Session,
    /// What was said, oldest first.
    messages: Vec<Said>,
    /// How many older messages there are.
    left_out: usize,
}

/// One message of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Said {
    /// `user` or `assistant`.
    role: String,
    /// When.
    at: String,
    /// Its text.
    text: Words,
    /// Tools that were called, a line each.
    tools: Vec<Words>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Words>,
    /// It does not stand any more: somebody took it back, and the agent does not know of it.
    taken_back: bool,
}

impl From<TurnView> for Said {
    fn from(turn: TurnView) -> Self {
        Self {
            at: time(turn.at),
            text: Words::prose(&turn.text, LONG_TEXT),
            tools: turn.tools.iter().map(|tool| Words::line(tool, LONG_LINE)).collect(),
            reason: turn.error.map(|reason| Words::line(&reason, LONG_LINE)),
            taken_back: turn.taken_back.is_some(),
            role: turn.role,
        }
    }
}

impl Verb for Show {
    const NAME: &'static str = "session_show";
    const TITLE: &'static str = "Read a conversation";
    const ABOUT: &'static str = "What was said in a conversation, with the tools that the agent called.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Which;
    type Output = Talk;

    async fn call(asked: Which, with: &Call<'_>) -> Result<Talk, Problem> {
        let details = with.gateway.session(&asked.session, asked.frame.as_deref()).await?;
        let last = asked.last.and_then(|last| usize::try_from(last).ok()).unwrap_or(TOLD.0).min(TOLD.1);
        let left_out = details.turns.len().saturating_sub(last);
        Ok(Talk {
            session: details.summary.into(),
            messages: details.turns.into_iter().skip(left_out).map(Said::from).collect(),
            left_out,
        })
    }
}

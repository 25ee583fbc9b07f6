//! What the agent answers when it is asked what it does and what was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::reread::messages_from;
use crate::frames::AgentLocator;
use crate::model::agent::{AgentMessageId, AgentSessionId, AgentStatus};
use crate::model::approval::AgentRequest;
use crate::model::ids::FrameId;
use crate::opencode::{AgentMessage, AgentSession, OpencodeClient, OpencodeError};
use crate::store::sessions::Untold;

/// How many sessions are looked through, the ones that were used last.
const SESSIONS: u32 = 200;

/// What to ask.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// What it does and what it waits for.
    Overview,
    /// Which conversations it has.
    Sessions,
    /// What was said in one.
    Talk {
        session: AgentSessionId,
        /// From which message on, or all.
        oldest: Option<AgentMessageId>,
        /// Whether it is known to be nobody's child.
        is_root: bool,
    },
    /// To take a title that it slept through. It is told rather than asked.
    Title(Untold),
}

/// The answer.
#[derive(Debug)]
pub(super) enum Answer {
    Overview {
        asked: Instant,
        statuses: BTreeMap<AgentSessionId, AgentStatus>,
        asks: Vec<AgentRequest>,
    },
    Sessions(Vec<AgentSession>),
    Talk {
        session: AgentSessionId,
        asked: Instant,
        page: Page,
    },
    Title(Untold),
    /// It does not want to hear it.
    Refused,
}

/// What is known of one session.
#[derive(Debug)]
pub(super) enum Page {
    /// There is no such session.
    Gone,
    /// It is a sub-agent's.
    Child(AgentSessionId),
    /// What was said, and whether it works.
    Read { session: Option<AgentSession>, turns: Vec<AgentMessage>, is_busy: bool },
}

/// Asks. The error is a sentence; whatever it is, the answer is to try again.
pub(super) async fn ask(
    locator: Arc<dyn AgentLocator>,
    frame: FrameId,
    question: Question,
) -> Result<Answer, String> {
    let client = locator.agent(&frame).await.map_err(|error| error.to_string())?;
    answer(&client, question).await.map_err(|error| error.to_string())
}

async fn answer(client: &OpencodeClient, question: Question) -> Result<Answer, OpencodeError> {
    Ok(match question {
        Question::Overview => {
            let asked = Instant::now();
            let statuses = client.statuses().await?;
            let mut asks = client.permissions().await?;
            asks.extend(client.questions().await?);
            Answer::Overview { asked, statuses, asks }
        }
        Question::Sessions => Answer::Sessions(client.list_sessions(SESSIONS).await?),
        Question::Talk { session, oldest, is_root } => {
            let asked = Instant::now();
            let page = page(client, &session, oldest.as_ref(), is_root).await?;
            Answer::Talk { session, asked, page }
        }
        Question::Title(untold) => match client.rename_session(&untold.agent_session, &untold.title).await {
            Ok(()) => Answer::Title(untold),
            Err(error) if error.is_passing() => return Err(error),
            // Tried again after the next connection; until then there is nothing better to do.
            Err(error) => {
                tracing::warn!(session = %untold.session, %error, "the agent does not take the title of session {}: {error}", untold.session);
                Answer::Refused
            }
        },
    })
}

async fn page(
    client: &OpencodeClient,
    id: &AgentSessionId,
    oldest: Option<&AgentMessageId>,
    is_root: bool,
) -> Result<Page, OpencodeError> {
    let mut session = None;
    if !is_root {
        match client.find_session(id).await? {
            None => return Ok(Page::Gone),
            Some(AgentSession { parent: Some(parent), .. }) => return Ok(Page::Child(parent)),
            found => session = found,
        }
    }
    // In this order: an answer that is not complete while the agent is idle must not be one that had only
    // just begun.
    let turns = match messages_from(client, id, oldest).await {
        Err(OpencodeError::NotFound { .. }) => return Ok(Page::Gone),
        turns => turns?,
    };
    let statuses = client.statuses().await?;
    let is_busy = statuses.get(id).is_some_and(|status| *status != AgentStatus::Idle);
    Ok(Page::Read { session, turns, is_busy })
}

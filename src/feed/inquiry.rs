//! One question to the agent, and its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::frames::AgentLocator;
use crate::model::agent::{AgentMessage, AgentMessageId, AgentSessionId, AgentStatus};
use crate::model::approval::AgentRequest;
use crate::model::ids::FrameId;
use crate::opencode::{AgentSession, OpencodeClient, OpencodeError};
use crate::store::sessions::Untold;

/// How many sessions are looked through, the ones that were used last.
const SESSIONS: u32 = 200;
/// How many messages are read at first; more when the one looked for is not among them.
const PAGE: u32 = 40;
/// The most that are read. A long turn has a message for each model call.
const MAX_PAGE: u32 = 10_240;

/// What to ask.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// What it does and what it waits for.
    Overview,
    /// Which conversations it has.
    Sessions,
    /// What was said in one.
    Messages {
        session: AgentSessionId,
        /// From which message on, or all.
        oldest: Option<AgentMessageId>,
        /// The newest one that was kept when this was asked.
        newest: Option<AgentMessageId>,
        /// Nobody made it on behalf of another session, as is known already.
        is_root: bool,
    },
    /// To take a title that was given while it slept.
    Title(Untold),
}

/// The answer.
#[derive(Debug)]
pub(super) enum Answer {
    Overview {
        asked: Instant,
        statuses: BTreeMap<AgentSessionId, AgentStatus>,
        requests: Vec<AgentRequest>,
    },
    Sessions(Vec<AgentSession>),
    Messages {
        session: AgentSessionId,
        asked: Instant,
        page: Page,
    },
    Title(Untold),
    /// It does not take the title.
    Refused,
}

/// What is known of one session.
#[derive(Debug)]
pub(super) enum Page {
    /// There is no such session; what there is none of.
    Gone(String),
    /// It is a sub-agent's.
    Child(AgentSessionId),
    /// What was said, oldest first, and whether it works.
    Read {
        session: Option<AgentSession>,
        messages: Vec<AgentMessage>,
        /// Nothing was said before them.
        is_whole: bool,
        is_busy: bool,
    },
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// A sentence.
    pub why: String,
    /// Asking again will not help, as far as the agent says.
    pub is_final: bool,
}

impl From<OpencodeError> for Unanswered {
    fn from(error: OpencodeError) -> Self {
        let is_final = !(error.is_passing() || error.may_have_arrived());
        Self { why: error.to_string(), is_final }
    }
}

/// Asks.
pub(super) async fn ask(
    locator: Arc<dyn AgentLocator>,
    frame: FrameId,
    question: Question,
) -> Result<Answer, Unanswered> {
    let agent = locator.agent(&frame).await;
    let client = agent.map_err(|error| Unanswered { why: error.to_string(), is_final: false })?;
    Ok(match question {
        Question::Overview => {
            let asked = Instant::now();
            let statuses = client.statuses().await?;
            let mut requests = client.permissions().await?;
            requests.extend(client.questions().await?);
            Answer::Overview { asked, statuses, requests }
        }
        Question::Sessions => Answer::Sessions(client.list_sessions(SESSIONS).await?),
        Question::Messages { session, oldest, is_root, .. } => {
            let asked = Instant::now();
            let page = page(&client, &session, oldest.as_ref(), is_root).await?;
            Answer::Messages { session, asked, page }
        }
        Question::Title(untold) => match client.rename_session(&untold.agent_session, &untold.title).await {
            Ok(()) => Answer::Title(untold),
            Err(error) if error.is_passing() => return Err(error.into()),
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
            None => return Ok(Page::Gone("session".to_owned())),
            Some(AgentSession { parent: Some(parent), .. }) => return Ok(Page::Child(parent)),
            found => session = found,
        }
    }
    // In this order: an answer that is not complete while the agent is idle must not be one that had only
    // just begun.
    let messages = match messages_from(client, id, oldest).await {
        Err(OpencodeError::NotFound { what }) => return Ok(Page::Gone(what)),
        messages => messages?,
    };
    let (messages, is_whole) = messages;
    let statuses = client.statuses().await?;
    let is_busy = statuses.get(id).is_some_and(|status| *status != AgentStatus::Idle);
    Ok(Page::Read { session, messages, is_whole, is_busy })
}

/// A session's messages, oldest first: from `oldest` on and maybe some before it, or all of them, and whether it is all.
async fn messages_from(
    client: &OpencodeClient,
    session: &AgentSessionId,
    oldest: Option<&AgentMessageId>,
) -> Result<(Vec<AgentMessage>, bool), OpencodeError> {
    let mut limit = PAGE;
    loop {
        let (page, is_whole) = client.newest_messages(session, limit).await?;
        let reaches = oldest.is_some_and(|id| page.first().is_some_and(|first| first.head.id <= *id));
        if is_whole || reaches || limit >= MAX_PAGE {
            return Ok((page, is_whole));
        }
        limit *= 4;
    }
}

//! What the agent answers when it is asked what it did.

use crate::model::agent::{AgentMessageId, AgentSessionId};
use crate::opencode::{AgentMessage, OpencodeClient, OpencodeError};

/// How many messages are re-read at first; more when the one looked for is not among them.
const PAGE: u32 = 40;
/// The most that are re-read.
const MAX_PAGE: u32 = 10_240;

/// A session's messages, oldest first: from `oldest` on and maybe some before it, or all of them.
///
/// A long turn has a message for each model call.
///
/// # Errors
/// See [`OpencodeError`].
pub async fn messages_from(
    client: &OpencodeClient,
    session: &AgentSessionId,
    oldest: Option<&AgentMessageId>,
) -> Result<Vec<AgentMessage>, OpencodeError> {
    let mut limit = PAGE;
    loop {
        let page = client.messages(session, limit).await?;
        let is_whole = page.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let reaches = oldest.is_some_and(|id| page.first().is_some_and(|first| first.head.id <= *id));
        if is_whole || reaches || limit >= MAX_PAGE {
            return Ok(page);
        }
        limit *= 4;
    }
}

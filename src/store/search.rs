//! Finding what was said, in all conversations there ever were.

use super::values::{json, role_word, to_sql_int, unsigned};
use super::{Queryable, StoreError, sessions, taken_back};
use crate::model::agent::{AgentMessageId, MessageInfo, Role, TakenBack};
use crate::model::ids::SessionId;
use crate::model::message::Session;
use crate::model::names::FrameName;

/// What is looked for, and where.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// In FTS5's own language; see `sessions::query`, which writes it.
    pub expression: String,
    /// Only of this frame, also of one that is gone.
    pub frame: Option<FrameName>,
    /// Only of this conversation.
    pub session: Option<SessionId>,
    /// Only what was written by this side.
    pub role: Option<Role>,
    /// Not before (UTC ms).
    pub since: Option<u64>,
    /// Before (UTC ms).
    pub until: Option<u64>,
    /// How many at most, the best first.
    pub limit: u32,
}

/// A message in which it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The conversation.
    pub session: Session,
    /// opencode's id of the message.
    pub message: AgentMessageId,
    /// Who wrote it.
    pub role: Role,
    /// When (UTC ms).
    pub at: u64,
    /// With which model.
    pub model: Option<String>,
    /// That it does not stand any more.
    pub taken_back: Option<TakenBack>,
    /// The place where it was found, in pieces: true for what was looked for.
    pub snippet: Vec<(String, bool)>,
}

/// Around what was found; no text that people or models write holds them.
const OPENS: char = '\u{2}';
const CLOSES: char = '\u{3}';

/// The messages that match best, the best first; among equals the newest.
///
/// # Errors
/// [`StoreError::Unexpected`] when the expression is not FTS5's.
pub fn find(ask: &impl Queryable, wanted: &Wanted) -> Result<Vec<Found>, StoreError> {
    ask.rows(
        "SELECT sessions.*, agent_messages.agent_message AS found_message, agent_messages.role AS found_role,
                agent_messages.created_at AS found_at, agent_messages.head AS found_head,
                 agent_messages.taken_back, agent_messages.taken_back_at,
                snippet(agent_message_search, -1, char(2), char(3), '…', 24) AS found_snippet
           FROM agent_message_search
           JOIN agent_messages ON agent_messages.id = agent_message_search.rowid
           JOIN sessions ON sessions.id = agent_messages.session_id
          WHERE agent_message_search MATCH ?1
            AND (?2 IS NULL OR sessions.frame_name = ?2)
            AND (?3 IS NULL OR agent_messages.session_id = ?3)
            AND (?4 IS NULL OR agent_messages.role = ?4)
            AND (?5 IS NULL OR agent_messages.created_at >= ?5)
            AND (?6 IS NULL OR agent_messages.created_at < ?6)
          ORDER BY bm25(agent_message_search, 4.0, 2.0, 1.0), agent_messages.created_at DESC, agent_messages.id DESC
          LIMIT ?7",
        (
            &wanted.expression,
            &wanted.frame,
            &wanted.session,
            wanted.role.map(role_word),
            wanted.since.map(to_sql_int),
            wanted.until.map(to_sql_int),
            wanted.limit,
        ),
        |row| {
            let head: MessageInfo = json(row, "found_head", "an agent's message")?;
            let snippet: String = row.get("found_snippet")?;
            Ok(Found {
                session: sessions::session(row)?,
                message: row.get("found_message")?,
                role: head.role,
                at: unsigned(row, "found_at")?,
                model: head.model,
                taken_back: taken_back::taken_back(row)?,
                snippet: pieces(&snippet),
            })
        },
    )
}

fn pieces(snippet: &str) -> Vec<(String, bool)> {
    let mut pieces: Vec<(String, bool)> = Vec::new();
    let mut hit = false;
    for c in snippet.chars() {
        match c {
            OPENS => hit = true,
            CLOSES => hit = false,
            c => match pieces.last_mut() {
                Some((text, same)) if *same == hit => text.push(c),
                _ => pieces.push((c.to_string(), hit)),
            },
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_is_cut_at_its_marks() {
        let cut = pieces("…the \u{2}dark\u{3} \u{2}mode\u{3}");
        let expected = [("…the ", false), ("dark", true), (" ", false), ("mode", true)];
        assert_eq!(cut, expected.map(|(text, hit)| (text.to_owned(), hit)));
        assert!(pieces("").is_empty());
    }
}

//! What agents ask people, and what became of it.

use std::collections::BTreeSet;

use rusqlite::Row;
use serde_json::json;

use super::values::{json as column, maybe_unsigned, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::approval::{ApprovalRequest, ApprovalState, AskBody, Decision};
use crate::model::event::{EventKind, Subject};
use crate::model::ids::{ApprovalId, FrameId, MessageId};
use crate::model::names::FrameName;
use crate::model::policy::Rule;

/// Who decided what, and why.
#[derive(Clone, Debug)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who: a principal, `policy`, `deadline`, `elsewhere`.
    pub by: String,
    /// By which rule.
    pub rule: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

fn prompt(row: &Row<'_>) -> Result<ApprovalRequest, StoreError> {
    let decision: Option<String> = row.get("decision")?;
    let decision = decision.map(|text| {
        serde_json::from_str(&text)
            .map_err(|_| StoreError::Unexpected { expected: "a decision", value: text.clone() })
    });
    Ok(ApprovalRequest {
        id: row.get("id")?,
        frame: row.get("frame_id")?,
        frame_name: row.get("frame_name")?,
        session: row.get("session_id")?,
        message: row.get("message_id")?,
        from_child: row.get("from_child")?,
        ask: column(row, "ask", "what an agent asks")?,
        state: row.get("state")?,
        decision: decision.transpose()?,
        decided_by: row.get("decided_by")?,
        rule: row.get("rule")?,
        reason: row.get("reason")?,
        deadline_at: maybe_unsigned(row, "deadline_at")?,
        asked_at: unsigned(row, "asked_at")?,
        decided_at: maybe_unsigned(row, "decided_at")?,
    })
}

/// Stores a prompt as pending, unless the agent asked the very same before; says whether it is new. Tells nobody yet.
///
/// # Errors
/// Whatever the database says.
pub fn insert_once(tx: &mut Tx<'_>, new: ApprovalRequest) -> Result<(ApprovalRequest, bool), StoreError> {
    if let Some(known) = find_by_agent_prompt(tx, &new.frame, &new.ask.id)? {
        return Ok((known, false));
    }
    tx.change(
        "INSERT INTO approvals (id, frame_id, frame_name, session_id, message_id, agent_prompt, from_child, ask,
                              state, deadline_at, asked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            &new.id,
            &new.frame,
            &new.frame_name,
            &new.session,
            &new.message,
            &new.ask.id,
            new.from_child,
            to_json(&new.ask, "what an agent asks")?,
            new.state,
            new.deadline_at.map(to_sql_int),
            to_sql_int(new.asked_at),
        ),
    )?;
    Ok((new, true))
}

/// The prompt of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &ApprovalId) -> Result<ApprovalRequest, StoreError> {
    ask.maybe_row("SELECT * FROM approvals WHERE id = ?1", (id,), prompt)?
        .ok_or_else(|| StoreError::NotFound { what: "approval", key: id.to_string() })
}

/// The prompt that a frame's agent knows by that id.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_agent_prompt(
    ask: &impl Queryable,
    frame: &FrameId,
    agent_prompt: &str,
) -> Result<Option<ApprovalRequest>, StoreError> {
    ask.maybe_row(
        "SELECT * FROM approvals WHERE frame_id = ?1 AND agent_prompt = ?2",
        (frame, agent_prompt),
        prompt,
    )
}

/// Prompts whose id begins or ends with that text; two are enough to know that it is not one.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_piece(ask: &impl Queryable, piece: &str) -> Result<Vec<ApprovalRequest>, StoreError> {
    ask.rows(
        "SELECT * FROM approvals
          WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1 OR substr(id, -length(?1)) = ?1
          ORDER BY id = ?1 DESC, state IN ('pending', 'answering') DESC, rowid DESC
          LIMIT 2",
        (piece,),
        prompt,
    )
}

/// Prompts whose answer is still to be given, oldest first; of one frame or of all.
///
/// # Errors
/// Whatever the database says.
pub fn open(ask: &impl Queryable, frame: Option<&FrameId>) -> Result<Vec<ApprovalRequest>, StoreError> {
    ask.rows(
        "SELECT * FROM approvals
          WHERE state IN ('pending', 'answering') AND (?1 IS NULL OR frame_id = ?1)
          ORDER BY rowid",
        (frame,),
        prompt,
    )
}

/// The newest prompts, newest first; of a frame (by name, so also of one that is gone) or of all.
///
/// # Errors
/// Whatever the database says.
pub fn list(
    ask: &impl Queryable,
    frame: Option<&FrameName>,
    limit: u32,
) -> Result<Vec<ApprovalRequest>, StoreError> {
    ask.rows(
        "SELECT * FROM approvals WHERE ?1 IS NULL OR frame_name = ?1 ORDER BY rowid DESC LIMIT ?2",
        (frame, limit),
        prompt,
    )
}

/// Frames in which something waits for a person.
///
/// # Errors
/// Whatever the database says.
pub fn waiting_frames(ask: &impl Queryable) -> Result<BTreeSet<FrameId>, StoreError> {
    let frames = ask.rows("SELECT DISTINCT frame_id FROM approvals WHERE state = 'pending'", (), |row| {
        Ok(row.get("frame_id")?)
    })?;
    Ok(frames.into_iter().collect())
}

/// Notes a decision; from then on nobody else can decide. The agent is still to be told.
///
/// # Errors
/// [`StoreError::Conflict`] when somebody else was first.
pub fn decide(tx: &mut Tx<'_>, id: &ApprovalId, decided: &Decided) -> Result<ApprovalRequest, StoreError> {
    tx.change_exactly_one(
        "the approval",
        "UPDATE approvals
            SET state = 'answering', decision = ?2, decided_by = ?3, rule = ?4, reason = ?5, decided_at = ?6
          WHERE id = ?1 AND state = 'pending'",
        (
            id,
            to_json(&decided.decision, "a decision")?,
            &decided.by,
            &decided.rule,
            &decided.reason,
            tx.now(),
        ),
    )?;
    get(tx, id)
}

/// Takes a decision back that the agent could not be told or did not like.
///
/// # Errors
/// [`StoreError::Conflict`] when it has moved on.
pub fn undecide(tx: &mut Tx<'_>, id: &ApprovalId) -> Result<(), StoreError> {
    tx.change_exactly_one(
        "the approval",
        "UPDATE approvals
            SET state = 'pending', decision = NULL, decided_by = NULL, rule = NULL, reason = NULL, decided_at = NULL
          WHERE id = ?1 AND state IN ('answering', 'expired')",
        (id,),
    )
}

/// Ends a prompt in one of the states in which nobody waits any more, and tells of it. `decided` overwrites what was
/// noted before. Says whether there was anything to end.
///
/// # Errors
/// Whatever the database says.
pub fn end(
    tx: &mut Tx<'_>,
    id: &ApprovalId,
    to: ApprovalState,
    decided: Option<&Decided>,
) -> Result<Option<ApprovalRequest>, StoreError> {
    let before = get(tx, id)?;
    if !before.state.is_open() {
        return Ok(None);
    }
    if let Some(decided) = decided {
        let decision = match to {
            ApprovalState::Expired => None,
            _ => Some(to_json(&decided.decision, "a decision")?),
        };
        tx.change(
            "UPDATE approvals
                SET decision = ?2, decided_by = ?3, rule = ?4, reason = ?5, decided_at = ?6
              WHERE id = ?1",
            (id, decision, &decided.by, &decided.rule, &decided.reason, tx.now()),
        )?;
    }
    tx.change_exactly_one(
        "the approval",
        "UPDATE approvals SET state = ?2, decided_at = coalesce(decided_at, ?3) WHERE id = ?1",
        (id, to, tx.now()),
    )?;
    let after = get(tx, id)?;
    tx.emit(&subject(&after), &answered(&after))?;
    Ok(Some(after))
}

/// What a prompt's events are about.
#[must_use]
pub fn subject(prompt: &ApprovalRequest) -> Subject {
    Subject {
        frame: Some(prompt.frame.clone()),
        frame_name: Some(prompt.frame_name.clone()),
        session: prompt.session.clone(),
        message: prompt.message.clone(),
        ..Subject::default()
    }
}

/// How it is told that an agent waits.
#[must_use]
pub fn asked(prompt: &ApprovalRequest) -> EventKind {
    let (tool, patterns, questions) = match &prompt.ask.body {
        AskBody::Permission { tool, patterns, .. } => (Some(tool.clone()), patterns.clone(), Vec::new()),
        AskBody::Question { questions } => (None, Vec::new(), questions.clone()),
        AskBody::Connection { listed, .. } => (None, vec![listed.clone()], Vec::new()),
    };
    EventKind::PromptAsked {
        prompt: prompt.ask.id.clone(),
        form: prompt.ask.form().as_str().to_owned(),
        text: prompt.ask.line(),
        id: Some(prompt.id.to_string()),
        tool,
        patterns,
        questions,
        from_child: prompt.from_child,
        deadline_at: prompt.deadline_at,
    }
}

/// How it is told that it does not wait any more.
#[must_use]
pub fn answered(prompt: &ApprovalRequest) -> EventKind {
    EventKind::PromptAnswered {
        prompt: prompt.ask.id.clone(),
        id: Some(prompt.id.to_string()),
        text: Some(prompt.ask.line()),
        state: Some(prompt.state),
        decision: prompt.decision.as_ref().map(|decision| decision.as_str().to_owned()),
        by: prompt.decided_by.clone(),
        rule: prompt.rule.clone(),
        reason: prompt.reason.clone(),
    }
}

/// Notes that nobody is there to answer the prompts of a message: they are denied after so long.
///
/// # Errors
/// Whatever the database says.
pub fn set_unattended(tx: &mut Tx<'_>, message: &MessageId, within_ms: u64) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO unattended (message_id, within_ms) VALUES (?1, ?2)
         ON CONFLICT (message_id) DO UPDATE SET within_ms = excluded.within_ms",
        (message, to_sql_int(within_ms)),
    )?;
    Ok(())
}

/// How long a prompt of that message waits before it is denied; `None` when somebody is there.
///
/// # Errors
/// Whatever the database says.
pub fn unattended(ask: &impl Queryable, message: &MessageId) -> Result<Option<u64>, StoreError> {
    ask.maybe_row("SELECT within_ms FROM unattended WHERE message_id = ?1", (message,), |row| {
        unsigned(row, "within_ms")
    })
}

/// When the turn of a message waited for a decision, and until when, in the order in which it was asked. A connection
/// that waits for one does not stop the turn: it could ask for hosts without end.
///
/// # Errors
/// Whatever the database says.
pub fn waits_of(ask: &impl Queryable, message: &MessageId) -> Result<Vec<(u64, Option<u64>)>, StoreError> {
    ask.rows(
        "SELECT asked_at, decided_at FROM approvals
          WHERE message_id = ?1 AND json_extract(ask, '$.body.form') <> 'connection'
          ORDER BY asked_at",
        (message,),
        |row| Ok((unsigned(row, "asked_at")?, maybe_unsigned(row, "decided_at")?)),
    )
}

/// How many prompts of a message were denied because nobody came.
///
/// # Errors
/// Whatever the database says.
pub fn missed(ask: &impl Queryable, message: &MessageId) -> Result<u64, StoreError> {
    let count = ask.maybe_row(
        "SELECT count(*) AS n FROM approvals
          WHERE message_id = ?1 AND decided_by = 'deadline' AND json_extract(ask, '$.body.form') <> 'connection'",
        (message,),
        |row| unsigned(row, "n"),
    )?;
    Ok(count.unwrap_or(0))
}

/// The rules of a frame.
///
/// # Errors
/// Whatever the database says.
pub fn rules_of(ask: &impl Queryable, frame: &FrameId) -> Result<Vec<Rule>, StoreError> {
    let found = ask.maybe_row("SELECT rules FROM frame_policies WHERE frame_id = ?1", (frame,), |row| {
        column(row, "rules", "rules")
    })?;
    Ok(found.unwrap_or_default())
}

/// Gives a frame other rules.
///
/// # Errors
/// Whatever the database says.
pub fn set_rules(tx: &mut Tx<'_>, frame: &FrameId, rules: &[Rule]) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO frame_policies (frame_id, rules) VALUES (?1, ?2)
         ON CONFLICT (frame_id) DO UPDATE SET rules = excluded.rules",
        (frame, to_json(&rules, "rules")?),
    )?;
    Ok(())
}

/// What an audit row says of a decision.
#[must_use]
pub fn audit_detail(prompt: &ApprovalRequest) -> serde_json::Value {
    json!({
        "frame": prompt.frame_name,
        "form": prompt.ask.form(),
        "asked": prompt.ask.line(),
        "decision": prompt.decision,
        "by": prompt.decided_by,
        "rule": prompt.rule,
        "reason": prompt.reason,
    })
}

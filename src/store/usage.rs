//! Model calls that the broker forwarded, and what they cost.

use std::collections::BTreeMap;

use super::budgets::Payer;
use super::messages::tokens;
use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::agent::AgentSessionId;
use crate::model::ids::{FrameId, MessageId, SessionId};
use crate::model::usage::Tokens;

/// One model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// Who pays for it.
    pub payer: Payer,
    /// In which of the agent's sessions, if it said so.
    pub agent_session: Option<AgentSessionId>,
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// What it used.
    pub tokens: Tokens,
    /// Millionths of a US dollar; 0 when no price is known.
    pub cost_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
    /// Whether it was reckoned from bytes, because the provider said nothing that could be believed.
    pub estimated: bool,
    /// The provider's HTTP status; 0 when nobody heard its answer.
    pub status: u16,
}

/// Several calls together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub calls: u64,
    /// How many of them have no known price.
    pub unpriced: u64,
    /// What they used.
    pub tokens: Tokens,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
}

/// Keeps a call.
///
/// # Errors
/// Whatever the database says.
pub fn insert(tx: &mut Tx<'_>, call: &ModelCall) -> Result<(), StoreError> {
    tx.change(
        "INSERT INTO usage (at, frame_id, agent_session, provider, model,
                            input_tokens, output_tokens, reasoning_tokens, cache_read_tokens,
                            cache_write_tokens, cost_microusd, priced, status,
                            root_session, project_id, run_id, estimated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        rusqlite::params![
            tx.now(),
            &call.payer.frame,
            &call.agent_session,
            &call.provider,
            &call.model,
            to_sql_int(call.tokens.input),
            to_sql_int(call.tokens.output),
            to_sql_int(call.tokens.reasoning),
            to_sql_int(call.tokens.cache_read),
            to_sql_int(call.tokens.cache_write),
            to_sql_int(call.cost_microusd),
            call.priced,
            call.status,
            &call.payer.root,
            &call.payer.project,
            &call.payer.run,
            call.estimated,
        ],
    )?;
    Ok(())
}

/// What was used since then (UTC ms, inclusive), by one frame or by all.
///
/// # Errors
/// Whatever the database says.
pub fn sum(ask: &impl Queryable, frame: Option<&FrameId>, since_ms: u64) -> Result<Sum, StoreError> {
    let sum = ask.maybe_row(
        "SELECT count(*) AS calls,
                coalesce(sum(priced = 0), 0) AS unpriced,
                coalesce(sum(input_tokens), 0) AS input_tokens,
                coalesce(sum(output_tokens), 0) AS output_tokens,
                coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
                coalesce(sum(cache_read_tokens), 0) AS cache_read_tokens,
                coalesce(sum(cache_write_tokens), 0) AS cache_write_tokens,
                coalesce(sum(cost_microusd), 0) AS cost_microusd
           FROM usage
          WHERE at >= ?2 AND (?1 IS NULL OR frame_id = ?1)",
        (frame, to_sql_int(since_ms)),
        |row| {
            Ok(Sum {
                calls: unsigned(row, "calls")?,
                unpriced: unsigned(row, "unpriced")?,
                tokens: tokens(row)?,
                cost_microusd: unsigned(row, "cost_microusd")?,
            })
        },
    )?;
    Ok(sum.unwrap_or_default())
}

/// The conversation that has that session with the agent, and the message that it works on.
///
/// # Errors
/// Whatever the database says.
pub fn conversation(
    ask: &impl Queryable,
    frame: &FrameId,
    root: &AgentSessionId,
) -> Result<Option<(SessionId, Option<MessageId>)>, StoreError> {
    ask.maybe_row(
        "SELECT id, (SELECT id FROM messages
                      WHERE messages.session_id = sessions.id AND state IN ('sending', 'sent', 'running')
                      ORDER BY created_at LIMIT 1) AS message
           FROM sessions WHERE frame_id = ?1 AND agent_session = ?2",
        (frame, root),
        |row| Ok((row.get("id")?, row.get("message")?)),
    )
}

/// What a frame cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCost {
    /// Millionths of a US dollar.
    pub microusd: u64,
    /// How many answers nobody knows the price of.
    pub unpriced: u64,
}

/// What each frame cost since it was made.
///
/// # Errors
/// Whatever the database says.
pub fn cost_by_frame(ask: &impl Queryable) -> Result<BTreeMap<FrameId, FrameCost>, StoreError> {
    let pairs = ask.rows(
        "SELECT frame_id, sum(cost_microusd) AS cost,
                sum(priced = 0 AND (status = 0 OR status BETWEEN 200 AND 299)) AS unpriced
           FROM usage GROUP BY 1",
        (),
        |row| {
            let cost = FrameCost { microusd: unsigned(row, "cost")?, unpriced: unsigned(row, "unpriced")? };
            Ok((row.get("frame_id")?, cost))
        },
    )?;
    Ok(pairs.into_iter().collect())
}

/// What a frame cost as far as providers said it: millionths of a US dollar, without what was reckoned from bytes.
///
/// # Errors
/// Whatever the database says.
pub fn believed(ask: &impl Queryable, frame: &FrameId) -> Result<u64, StoreError> {
    let sum = ask.maybe_row(
        "SELECT coalesce(sum(cost_microusd), 0) AS cost FROM usage WHERE frame_id = ?1 AND estimated = 0",
        (frame,),
        |row| unsigned(row, "cost"),
    )?;
    Ok(sum.unwrap_or_default())
}

/// By what spending is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// By frame; those that are gone under their id.
    Frame,
    /// By project; what belongs to none is left out.
    Project,
    /// By `provider/model`.
    Model,
    /// By day (UTC), such as `2026-11-29`.
    Day,
}

/// One of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// What it is called.
    pub name: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them have no known price.
    pub unpriced: u64,
    /// How many were reckoned from bytes.
    pub estimated: u64,
    /// Millionths of a US dollar.
    pub cost_microusd: u64,
}

/// What was spent since then (UTC ms, inclusive): days in order, everything else the dearest first.
///
/// # Errors
/// Whatever the database says.
pub fn shares(ask: &impl Queryable, by: Grouping, since_ms: u64) -> Result<Vec<Share>, StoreError> {
    let (name, from, order) = match by {
        Grouping::Frame => (
            "coalesce(frames.name, (SELECT frame_name FROM sessions WHERE sessions.frame_id = usage.frame_id
                                    ORDER BY last_active_at DESC LIMIT 1), usage.frame_id)",
            "usage LEFT JOIN frames ON frames.id = usage.frame_id",
            "cost DESC, name",
        ),
        Grouping::Project => {
            ("projects.name", "usage JOIN projects ON projects.id = usage.project_id", "cost DESC, name")
        }
        Grouping::Model => ("usage.provider || '/' || usage.model", "usage", "cost DESC, name"),
        Grouping::Day => ("strftime('%Y-%m-%d', usage.at / 1000, 'unixepoch')", "usage", "name"),
    };
    let sql = format!(
        "SELECT {name} AS name, count(*) AS calls,
                sum(usage.priced = 0 AND (usage.status = 0 OR usage.status BETWEEN 200 AND 299)) AS unpriced,
                sum(usage.estimated) AS estimated, sum(usage.cost_microusd) AS cost
           FROM {from}
          WHERE usage.at >= ?1
          GROUP BY 1 ORDER BY {order}"
    );
    ask.rows(&sql, (to_sql_int(since_ms),), |row| {
        Ok(Share {
            name: row.get("name")?,
            calls: unsigned(row, "calls")?,
            unpriced: unsigned(row, "unpriced")?,
            estimated: unsigned(row, "estimated")?,
            cost_microusd: unsigned(row, "cost")?,
        })
    })
}

/// What was used of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfModel {
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Everything together.
    pub sum: Sum,
}

/// What was used of each model in the calls behind that row, and the newest row: whoever asks again with it is told
/// only what is new.
///
/// # Errors
/// Whatever the database says.
pub fn by_model_after(ask: &impl Queryable, after: u64) -> Result<(Vec<OfModel>, u64), StoreError> {
    let newest =
        ask.maybe_row("SELECT coalesce(max(id), 0) AS newest FROM usage", (), |row| unsigned(row, "newest"))?;
    let newest = newest.unwrap_or(0);
    let rows = ask.rows(
        "SELECT provider, model,
                count(*) AS calls,
                sum(priced = 0) AS unpriced,
                sum(input_tokens) AS input_tokens,
                sum(output_tokens) AS output_tokens,
                sum(reasoning_tokens) AS reasoning_tokens,
                sum(cache_read_tokens) AS cache_read_tokens,
                sum(cache_write_tokens) AS cache_write_tokens,
                sum(cost_microusd) AS cost_microusd
           FROM usage
          WHERE id > ?1
          GROUP BY provider, model",
        (to_sql_int(after),),
        |row| {
            let sum = Sum {
                calls: unsigned(row, "calls")?,
                unpriced: unsigned(row, "unpriced")?,
                tokens: tokens(row)?,
                cost_microusd: unsigned(row, "cost_microusd")?,
            };
            Ok(OfModel { provider: row.get("provider")?, model: row.get("model")?, sum })
        },
    )?;
    Ok((rows, newest.max(after)))
}

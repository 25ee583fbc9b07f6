//! Model calls that the broker forwarded, and what they cost.

use std::collections::BTreeMap;

use super::messages::tokens;
use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::agent::AgentSessionId;
use crate::model::ids::FrameId;
use crate::model::usage::Tokens;

/// One model call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// Who made it.
    pub frame: FrameId,
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
    /// The provider's HTTP status.
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
                            cache_write_tokens, cost_microusd, priced, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        (
            tx.now(),
            &call.frame,
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
        ),
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

/// What each frame cost since it was made, in millionths of a US dollar.
///
/// # Errors
/// Whatever the database says.
pub fn cost_by_frame(ask: &impl Queryable) -> Result<BTreeMap<FrameId, u64>, StoreError> {
    let pairs = ask.rows("SELECT frame_id, sum(cost_microusd) AS cost FROM usage GROUP BY 1", (), |row| {
        Ok((row.get("frame_id")?, unsigned(row, "cost")?))
    })?;
    Ok(pairs.into_iter().collect())
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

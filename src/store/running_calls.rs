//! Calls that run, with what is held for them.
//!
//! A row is written before its call is made and becomes one of `usage` when the call is over. What a gateway leaves
//! here when it dies is booked at what was held, by the next one.

use rusqlite::Row;

use super::budgets::Payer;
use super::usage::{self, ModelCall};
use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::agent::AgentSessionId;
use crate::model::usage::Tokens;

/// A call that is about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// Of which gateway: a number that is another one after each start.
    pub life: u64,
    /// Who pays.
    pub payer: Payer,
    /// In which of the agent's sessions.
    pub agent_session: Option<AgentSessionId>,
    /// The provider's name.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// What it is expected to use at most.
    pub tokens: Tokens,
    /// What is held for it, in millionths of a US dollar.
    pub reserved_microusd: u64,
    /// Whether a price is known.
    pub priced: bool,
}

/// A call that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningCall {
    /// Which row.
    pub id: u64,
    /// As it began.
    pub call: NewCall,
}

/// Notes a call.
///
/// # Errors
/// Whatever the database says.
pub fn begin(tx: &mut Tx<'_>, call: &NewCall) -> Result<u64, StoreError> {
    tx.change(
        "INSERT INTO running_calls (life, begun_at, frame_id, agent_session, root_session, project_id, run_id,
                                    provider, model, input_tokens, output_tokens, reserved_microusd, priced)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        (
            to_sql_int(call.life),
            tx.now(),
            &call.payer.frame,
            &call.agent_session,
            &call.payer.root,
            &call.payer.project,
            &call.payer.run,
            &call.provider,
            &call.model,
            to_sql_int(call.tokens.input),
            to_sql_int(call.tokens.output),
            to_sql_int(call.reserved_microusd),
            call.priced,
        ),
    )?;
    let id = tx.maybe_row("SELECT last_insert_rowid() AS id", (), |row| unsigned(row, "id"))?;
    Ok(id.unwrap_or_default())
}

/// Takes a call out, if it is still there.
///
/// # Errors
/// Whatever the database says.
pub fn end(tx: &mut Tx<'_>, id: u64) -> Result<Option<RunningCall>, StoreError> {
    let found = tx.maybe_row("SELECT * FROM running_calls WHERE id = ?1", (to_sql_int(id),), running)?;
    tx.change("DELETE FROM running_calls WHERE id = ?1", (to_sql_int(id),))?;
    Ok(found)
}

/// Books what gateways before this one left here. Says how many calls that were.
///
/// # Errors
/// Whatever the database says.
pub fn book_left_over(tx: &mut Tx<'_>, life: u64) -> Result<usize, StoreError> {
    let left = tx.rows("SELECT * FROM running_calls WHERE life <> ?1", (to_sql_int(life),), running)?;
    for RunningCall { id, call } in &left {
        let booked = ModelCall {
            payer: call.payer.clone(),
            agent_session: call.agent_session.clone(),
            provider: call.provider.clone(),
            model: call.model.clone(),
            tokens: call.tokens,
            cost_microusd: call.reserved_microusd,
            priced: call.priced,
            estimated: true,
            // Nobody heard its answer.
            status: 0,
        };
        usage::insert(tx, &booked)?;
        tx.change("DELETE FROM running_calls WHERE id = ?1", (to_sql_int(*id),))?;
    }
    Ok(left.len())
}

/// All of them, oldest first.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<RunningCall>, StoreError> {
    ask.rows("SELECT * FROM running_calls ORDER BY id", (), running)
}

fn running(row: &Row<'_>) -> Result<RunningCall, StoreError> {
    let call = NewCall {
        life: unsigned(row, "life")?,
        payer: Payer {
            frame: row.get("frame_id")?,
            project: row.get("project_id")?,
            root: row.get("root_session")?,
            run: row.get("run_id")?,
        },
        agent_session: row.get("agent_session")?,
        provider: row.get("provider")?,
        model: row.get("model")?,
        tokens: Tokens {
            input: unsigned(row, "input_tokens")?,
            output: unsigned(row, "output_tokens")?,
            ..Tokens::default()
        },
        reserved_microusd: unsigned(row, "reserved_microusd")?,
        priced: row.get("priced")?,
    };
    Ok(RunningCall { id: unsigned(row, "id")?, call })
}

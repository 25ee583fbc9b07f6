//! From an older schema to ours: a copy first, then one transaction for each step.
//!
//! Whenever we die, the file holds one whole version: either a step is committed with
//! its number, or it never happened. The copy is for people, not for recovery.

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::{OpenOptions, StoreError, backup, integrity};

/// Every step there ever was, in order. Append only: databases out there have taken the first ones.
pub(super) const STEPS: &[&str] = &[
    include_str!("migrations/0001_frames_and_messages.sql"),
    include_str!("migrations/0002_prompts.sql"),
    include_str!("migrations/0003_tokens.sql"),
    include_str!("migrations/0004_log.sql"),
    include_str!("migrations/0005_search.sql"),
    include_str!("migrations/0006_queue.sql"),
    include_str!("migrations/0007_titles.sql"),
    include_str!("migrations/0008_timers_and_cursors.sql"),
    include_str!("migrations/0009_origin.sql"),
    include_str!("migrations/0010_engines.sql"),
    include_str!("migrations/0011_taken_back.sql"),
    include_str!("migrations/0012_message_counts.sql"),
    include_str!("migrations/0013_network.sql"),
    include_str!("migrations/0014_trust.sql"),
    include_str!("migrations/0015_budgets.sql"),
    include_str!("migrations/0016_audit_chain.sql"),
    include_str!("migrations/0017_secrets.sql"),
    include_str!("migrations/0018_pushes.sql"),
    include_str!("migrations/0019_counters.sql"),
    include_str!("migrations/0020_runs.sql"),
    include_str!("migrations/0021_webhooks.sql"),
    include_str!("migrations/0022_schedules.sql"),
    include_str!("migrations/0023_secret_headers.sql"),
    include_str!("migrations/0024_project_settings.sql"),
    include_str!("migrations/0025_warm_frames.sql"),
    include_str!("migrations/0026_webhook_limits.sql"),
    include_str!("migrations/0027_login.sql"),
];

/// Brings the schema up to date; `found` is its version.
pub(super) fn run(
    connection: &mut Connection,
    options: &OpenOptions,
    steps: &'static [&'static str],
    found: i64,
    now_ms: u64,
) -> Result<(), StoreError> {
    if usize::try_from(found).is_ok_and(|found| found == steps.len()) {
        return Ok(());
    }
    if found > 0 {
        integrity::quick(connection)?;
        backup::make(connection, options, found, now_ms)?;
    }
    let migrations = Migrations::new(steps.iter().map(|step| M::up(step)).collect());
    migrations.to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        other => StoreError::Damaged(other.to_string()),
    })
}

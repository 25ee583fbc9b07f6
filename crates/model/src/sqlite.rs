//! Our ids, names and words, as SQLite keeps them.
//!
//! Here and not in the store, because a trait of another crate can be implemented only beside the type.
//! Nothing else in this crate knows of SQL.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::agent::{AgentMessageId, AgentSessionId, ModelRef, TakeBack};
use crate::approval::ApprovalState;
use crate::budget::{BudgetPeriod, BudgetScope};
use crate::frame::{Desired, EngineKind, FrameState};
use crate::git::{PushState, Repository};
use crate::ids::{ApprovalId, FrameId, InstanceId, MessageId, ProjectId, RunId, SessionId, TokenId};
use crate::message::DeliveryState;
use crate::names::{FrameName, ProjectName, ScheduleName, SecretName, TokenName};
use crate::network::NetworkMode;
use crate::origin::Origin;
use crate::port::{Port, PortPurpose};
use crate::run::{RunPlace, RunState};
use crate::schedule::{ScheduleSource, TickCause, TickOutcome};
use crate::secrets::{SecretForm, SecretHost};
use crate::token::SessionStart;
use crate::webhook::WebhookState;

/// A value in a row that is not one of ours.
#[derive(Debug, thiserror::Error)]
#[error("{value:?} where {expected} is expected")]
pub struct Foreign {
    /// What it should have been.
    pub expected: &'static str,
    /// What it is.
    pub value: String,
}

fn foreign(expected: &'static str, value: &str) -> FromSqlError {
    FromSqlError::Other(Box::new(Foreign { expected, value: value.to_owned() }))
}

/// Text that is parsed when it is read.
macro_rules! parsed {
    ($($type:ty => $what:literal),+ $(,)?) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.to_string()))
            }
        }
        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                text.parse().map_err(|_| foreign($what, text))
            }
        }
    )+};
}
parsed! {
    FrameId => "a frame id",
    InstanceId => "an instance id",
    MessageId => "a message id",
    ProjectId => "a project id",
    RunId => "a run id",
    ApprovalId => "a prompt id",
    SessionId => "a session id",
    TokenId => "a token id",
    FrameName => "a frame name",
    ProjectName => "a project name",
    TokenName => "a token name",
    SecretName => "a secret's name",
    ScheduleName => "a schedule's name",
    SecretHost => "a host of a secret",
    ModelRef => "a model",
    Repository => "a repository",
}

/// One of a closed list of words.
macro_rules! words {
    ($($type:ty => $what:literal),+ $(,)?) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }
        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                text.parse().map_err(|_| foreign($what, text))
            }
        }
    )+};
}
words! {
    FrameState => "a frame's state",
    Desired => "a wish for a frame",
    EngineKind => "an engine",
    DeliveryState => "a message's state",
    TakeBack => "how a message was taken back",
    Origin => "an origin",
    ApprovalState => "a prompt's state",
    PortPurpose => "a port's purpose",
    NetworkMode => "a network mode",
    BudgetScope => "whose budget it is",
    BudgetPeriod => "the time of a budget",
    SecretForm => "how a secret is seen",
    PushState => "the state of a push",
    RunState => "the state of a run",
    ScheduleSource => "where a schedule stands",
    TickOutcome => "what became of a time",
    TickCause => "why it was time",
    RunPlace => "whether a run has a place",
    WebhookState => "the state of a webhook",
    SessionStart => "how a browser's session began",
}

/// Ids that somebody else makes; any text is one.
macro_rules! opaque {
    ($($type:ident),+) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }
        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Ok(Self(value.as_str()?.to_owned()))
            }
        }
    )+};
}
opaque!(AgentSessionId, AgentMessageId);

impl ToSql for Port {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0))
    }
}

impl FromSql for Port {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u16::column_result(value).map(Self)
    }
}

//! Our ids, names and words, as SQLite keeps them.

use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::StoreError;
use crate::model::agent::{AgentMessageId, AgentSessionId, ModelRef, Role};
use crate::model::frame::{Desired, FrameState};
use crate::model::ids::{FrameId, InstanceId, MessageId, ProjectId, PromptId, SessionId, TokenId};
use crate::model::message::DeliveryState;
use crate::model::names::{FrameName, ProjectName, TokenName};
use crate::model::network::NetworkMode;
use crate::model::port::{Port, PortPurpose};
use crate::model::prompt::PromptState;

/// A value in a row that is not one of ours.
#[derive(Debug, thiserror::Error)]
#[error("{value:?} where {expected} is expected")]
pub(super) struct Foreign {
    pub(super) expected: &'static str,
    pub(super) value: String,
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
    PromptId => "a prompt id",
    SessionId => "a session id",
    TokenId => "a token id",
    FrameName => "a frame name",
    ProjectName => "a project name",
    TokenName => "a token name",
    NetworkMode => "a network mode",
    ModelRef => "a model",
}

/// One of a closed list of words.
macro_rules! words {
    ($($type:ty => $what:literal, $all:expr);+ $(;)?) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.as_str()))
            }
        }
        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                $all.into_iter().find(|word| word.as_str() == text).ok_or_else(|| foreign($what, text))
            }
        }
    )+};
}
words! {
    FrameState => "a frame's state", FrameState::ALL;
    Desired => "a wish for a frame", Desired::ALL;
    DeliveryState => "a message's state", DeliveryState::ALL;
    PromptState => "a prompt's state", PromptState::ALL;
    PortPurpose => "a port's purpose", [PortPurpose::Agent, PortPurpose::Preview];
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

/// The word for who wrote a message.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// SQLite's integers are signed; ours that go there never reach the sign.
#[must_use]
pub fn to_sql_int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column that is never negative: a time, an amount, a count.
pub(super) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// The same for a column that may be empty.
pub(super) fn maybe_unsigned(row: &Row<'_>, column: &str) -> Result<Option<u64>, StoreError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
}

/// A column that holds JSON of ours.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
    expected: &'static str,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Unexpected { expected, value: text })
}

/// JSON of ours for a column.
pub(super) fn to_json(value: &impl serde::Serialize, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unexpected { expected: what, value: error.to_string() })
}

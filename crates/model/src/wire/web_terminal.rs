//! `GET /v1/terminal`: a frame's terminal over one WebSocket, for clients that can put no token on it (browsers).
//!
//! Text messages are JSON: a [`TerminalClientMessage`] or a [`TerminalServerMessage`]. Binary messages are bytes as they
//! are: input from the client, output from the gateway. Both sides count those bytes over the whole connection and say how
//! many they have taken (`ack`, `input_ack`); neither has more on its way than the other allowed in `authenticated`.

use serde::{Deserialize, Serialize};

use super::problem::Problem;

/// `POST /v1/frames/{name}/terminal/tickets`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTerminalTicket {
    /// Look, do not touch.
    #[serde(default)]
    pub read_only: bool,
}

/// The answer to `POST /v1/frames/{name}/terminal/tickets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TerminalTicket {
    /// For the first message on `GET /v1/terminal`. It opens one connection.
    pub ticket: String,
    /// From then on it opens nothing (UTC ms).
    pub expires_at: u64,
}

/// `POST /v1/frames/{name}/terminal/shares`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareTerminal {
    /// Only this window: `agent`, `shell` or a number; the one last looked at when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub window: Option<String>,
    /// How long it may be looked at; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 604800)]
    pub lasts_seconds: Option<u64>,
}

/// The answer to `POST /v1/frames/{name}/terminal/shares`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SharedTerminal {
    /// Whoever opens it sees the terminal, and can do nothing else. It is told here and never again.
    pub link: String,
    /// The same without the link.
    pub share: TerminalShareView,
}

/// A link to look at a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TerminalShareView {
    /// For taking it back.
    pub id: String,
    /// Of this frame.
    pub frame: String,
    /// The window that is shown, when it is always the same.
    pub window: Option<String>,
    /// UTC ms.
    pub created_at: u64,
    /// By whom.
    pub created_by: String,
    /// From then on it shows nothing (UTC ms).
    pub expires_at: u64,
}

/// From the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TerminalClientMessage {
    /// Comes first, within ten seconds.
    Auth {
        /// What [`TerminalTicket`] says, or the secret of a shared link.
        ticket: String,
    },
    /// Opens the terminal; again after `detached`.
    Attach {
        /// Size at the start.
        columns: u16,
        /// Size at the start.
        rows: u16,
        /// `agent`, `shell` or a number; the one last looked at when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<String>,
        /// Look, do not touch.
        #[serde(default)]
        read_only: bool,
    },
    /// The window has a new size.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// Output up to here was taken.
    Ack {
        /// Of the whole connection.
        bytes: u64,
    },
    /// Closes the terminal, and keeps the connection.
    Detach,
}

/// From the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TerminalServerMessage {
    /// The ticket was good.
    Authenticated {
        /// Whose terminal it opens.
        frame: String,
        /// Nothing may be typed.
        read_only: bool,
        /// The connection ends then (UTC ms), when it ends by itself.
        expires_at: Option<u64>,
        /// So much output is sent before it is acknowledged.
        output_window_bytes: u64,
        /// So much input may be sent before it is acknowledged.
        input_window_bytes: u64,
    },
    /// The terminal is open; its screen follows.
    Attached {
        /// As it was made.
        columns: u16,
        /// As it was made.
        rows: u16,
    },
    /// Input up to here was taken.
    InputAck {
        /// Of the whole connection.
        bytes: u64,
    },
    /// Something happened to the frame: an event of the kinds `frame.moved`, `frame.removed`, `frame.note`.
    FrameEvent {
        /// As `GET /v1/events` says it.
        event: serde_json::Value,
    },
    /// The terminal is closed. `attach` opens another one.
    Detached {
        /// The exit code of what ran in it, when it ended by itself.
        code: Option<i64>,
    },
    /// It cannot be done. When nothing may follow, the connection is closed after it.
    Error {
        /// Why.
        problem: Problem,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_objects_with_a_type() {
        for (text, message) in [
            (r#"{"type":"auth","ticket":"t"}"#, TerminalClientMessage::Auth { ticket: "t".into() }),
            (
                r#"{"type":"attach","columns":80,"rows":24}"#,
                TerminalClientMessage::Attach { columns: 80, rows: 24, window: None, read_only: false },
            ),
            (r#"{"type":"ack","bytes":7}"#, TerminalClientMessage::Ack { bytes: 7 }),
            (r#"{"type":"detach"}"#, TerminalClientMessage::Detach),
        ] {
            assert_eq!(serde_json::from_str::<TerminalClientMessage>(text).expect("a message"), message);
        }
        assert!(serde_json::from_str::<TerminalClientMessage>(r#"{"type":"exec"}"#).is_err());
        let detached = serde_json::to_string(&TerminalServerMessage::Detached { code: Some(0) });
        assert_eq!(detached.expect("JSON"), r#"{"type":"detached","code":0}"#);
    }
}

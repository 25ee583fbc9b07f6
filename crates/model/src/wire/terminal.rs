//! `GET /v1/frames/{name}/terminal`: a WebSocket to the frame's terminal, or to a command in it.
//!
//! Binary messages from the client are input, as they are. Binary messages from the
//! gateway begin with one byte, [`STDOUT`] or [`STDERR`], and the rest is output.
//! Text messages carry one [`TerminalControl`] from the client or one
//! [`TerminalNotice`] from the gateway.

use serde::{Deserialize, Serialize};

/// First byte of output that went to standard output, or to a terminal.
pub const STDOUT: u8 = 1;
/// First byte of output that went to standard error.
pub const STDERR: u8 = 2;

/// Query parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TerminalQuery {
    /// Size at the start.
    #[param(maximum = 65535)]
    pub columns: u16,
    /// Size at the start.
    #[param(maximum = 65535)]
    pub rows: u16,
    /// `agent`, `shell` or a number; the one last looked at when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Look, do not touch.
    #[serde(default)]
    pub read_only: bool,
    /// The client's `TERM`; `xterm-256color` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
    /// Run this (JSON array of words) instead of the frame's tmux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<String>,
    /// With `argv`: give it no terminal, so that output and errors stay apart.
    #[serde(default)]
    pub no_tty: bool,
}

/// From the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TerminalControl {
    /// The window has a new size.
    Resize {
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// The client's input has ended; output is still wanted.
    EndOfInput,
}

/// From the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TerminalNotice {
    /// It is over.
    Exit {
        /// The exit code of what ran.
        code: i64,
    },
    /// It cannot go on.
    Problem {
        /// Why.
        problem: super::problem::Problem,
    },
}

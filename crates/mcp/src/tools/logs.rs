//! Logs of frames.

use std::time::Duration;

use mimir_model::visible;
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// How many lines are told unless somebody says, and at most.
const LINES: (u32, u32) = (100, 1_000);
/// How long a log may take to be read.
const READING: Duration = Duration::from_secs(20);
/// So many characters of a line are enough.
const LONG_LINE: usize = 2_000;

/// `frame_logs`
pub struct Logs;

/// Whose log, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// The frame's name.
    name: String,
    /// How many of the newest lines, at most 1000; 100 when absent.
    tail: Option<u32>,
}

/// A log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Log {
    /// In order.
    lines: Vec<Line>,
}

/// One line of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Line {
    /// When.
    at: String,
    /// `frame`, `opencode` or `forwarder`.
    source: String,
    /// What it says.
    text: Words,
}

impl Verb for Logs {
    const NAME: &'static str = "frame_logs";
    const TITLE: &'static str = "Read a frame's log";
    const ABOUT: &'static str =
        "The newest lines of a frame's log: why it does not start, what its agent's server says.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Tail;
    type Output = Log;

    async fn call(asked: Tail, with: &Call<'_>) -> Result<Log, Problem> {
        let tail = asked.tail.unwrap_or(LINES.0).min(LINES.1);
        let mut log = with.gateway.logs(&asked.name, false, None, Some(tail)).await?;
        let mut lines = Vec::new();
        let reading = async {
            while let Some(line) = log.next().await? {
                lines.push(Line {
                    at: time(line.at),
                    source: visible::line(&line.source),
                    text: Words::line(&line.text, LONG_LINE),
                });
            }
            Ok::<(), Problem>(())
        };
        timeout(READING, reading).await.map_err(|_| {
            Problem::new(504, "gateway.timeout", format!("the log of `{}` was not whole in time", asked.name))
                .hint("ask for fewer lines")
        })??;
        Ok(Log { lines })
    }
}

//! Commands that mimir runs inside a run's frame: with an end, with bounded output, and ended with all that they began
//! when nobody waits any more. What they print was made where an agent can write: a stranger's words.

use std::time::Duration;

use futures_util::StreamExt;

use super::FixDeps;
use super::fence::cleaned;
use crate::frames::VisitorKind;
use crate::model::container::inside;
use crate::model::frame::Frame;
use crate::runtime::{ExecChunk, ExecSpec};
use crate::workflows::stage::StageError;
use crate::workflows::trouble;

/// How much of the end of what a command prints is kept.
const TAIL: usize = 4_000;
/// How much of the beginning of its standard output.
const HEAD: usize = 64 * 1024;

/// What a command left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ran {
    /// None when it took too long and was ended.
    pub code: Option<i32>,
    /// The beginning of its standard output, as it is.
    pub stdout: String,
    /// The end of all that it printed, cleaned.
    pub tail: String,
}

impl Ran {
    /// Whether it went well.
    pub(super) fn is_fine(&self) -> bool {
        self.code == Some(0)
    }

    /// Its last lines in one, for a sentence.
    pub(super) fn last_words(&self) -> String {
        let lines: Vec<&str> = self.tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.len().saturating_sub(3);
        super::fence::line(&lines[last..].join("; "), 300)
    }
}

/// Runs a shell script in the workspace; `$1`, `$2`, … are `args`.
pub(super) async fn script(
    deps: &FixDeps,
    frame: &Frame,
    text: &str,
    args: &[&str],
    within: Duration,
) -> Result<Ran, StageError> {
    let argv = ["bash", "-c", text, "mimir"].into_iter().chain(args.iter().copied());
    let command = ExecSpec { cwd: Some(inside::WORKSPACE.to_owned()), ..ExecSpec::new(argv) };
    let opened = deps.frames.exec_stream(frame, command, VisitorKind::Run).await;
    let (mut stream, mut guest) = opened.map_err(trouble::of_frame)?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let reads = async {
        while let Some(piece) = stream.output.next().await {
            let piece = match piece? {
                ExecChunk::Stdout(bytes) => {
                    let room = HEAD.saturating_sub(head.len()).min(bytes.len());
                    head.extend_from_slice(&bytes[..room]);
                    bytes
                }
                ExecChunk::Stderr(bytes) => bytes,
            };
            tail.extend_from_slice(&piece);
            if tail.len() > 8 * TAIL {
                tail.drain(..tail.len() - 2 * TAIL);
            }
        }
        stream.control.exit_code().await
    };
    let code = match tokio::time::timeout(within, reads).await {
        Ok(Ok(code)) => {
            guest.ended();
            code.map(|code| i32::try_from(code).unwrap_or(-1))
        }
        Ok(Err(error)) => {
            return Err(StageError::Infrastructure(format!("a command in frame {}: {error}", frame.name)));
        }
        // The guest ends it.
        Err(_) => None,
    };
    let text = String::from_utf8_lossy(&tail);
    let from = text.len().saturating_sub(TAIL);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Ok(Ran {
        code,
        stdout: String::from_utf8_lossy(&head).into_owned(),
        tail: cleaned(text[from..].trim(), TAIL),
    })
}

/// What stands before a script whose git is ours: what somebody inside wrote as a hook or a watcher is not run by it, and cannot
/// stop it. The environment goes before the configuration of a clone, and keeps what else is in it.
pub(super) const OUR_GIT: &str = r#"
at=${GIT_CONFIG_COUNT:-0}
export "GIT_CONFIG_KEY_$at=core.hooksPath" "GIT_CONFIG_VALUE_$at=/dev/null"
at=$((at + 1))
export "GIT_CONFIG_KEY_$at=core.fsmonitor" "GIT_CONFIG_VALUE_$at=false"
export GIT_CONFIG_COUNT=$((at + 1))
unset at
"#;

/// The same for a script of mimir's own, which uses git.
pub(super) async fn with_git(
    deps: &FixDeps,
    frame: &Frame,
    text: &str,
    args: &[&str],
    within: Duration,
) -> Result<Ran, StageError> {
    script(deps, frame, &format!("{OUR_GIT}{text}"), args, within).await
}

/// The same for one that has to go well.
pub(super) async fn must(
    deps: &FixDeps,
    frame: &Frame,
    what: &str,
    text: &str,
    args: &[&str],
    within: Duration,
) -> Result<String, StageError> {
    let ran = with_git(deps, frame, text, args, within).await?;
    match ran.code {
        Some(0) => Ok(ran.stdout),
        Some(code) => Err(StageError::Infrastructure(format!(
            "{what} in frame {} ended with {code}: {}",
            frame.name,
            ran.last_words()
        ))),
        None => Err(StageError::Infrastructure(format!(
            "{what} in frame {} took longer than {} s",
            frame.name,
            within.as_secs()
        ))),
    }
}

/// A commit's id, if a line is one.
pub(super) fn commit_in(line: &str) -> Option<String> {
    let line = line.trim();
    let is_id = matches!(line.len(), 40 | 64) && line.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_id.then(|| line.to_owned())
}

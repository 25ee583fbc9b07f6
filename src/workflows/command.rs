//! Runs a command of the owner's on this machine: a look that costs no tokens, before an agent is asked.
//!
//! Only workflows of the home and of mimir itself have such stages; what a repository brings is never read as one. The
//! command is a list of words, with no shell around it. When the gateway dies while it runs, it runs again.

use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::deps::Deps;
use super::stage::{Outcome, StageContext, StageError};
use super::{quantities, template, trouble};
use crate::model::run::RunState;
use crate::model::shell::quoted;
use crate::model::visible;
use crate::store::projects;

/// How much of what it prints is kept.
const TAIL: usize = 4 * 1024;
/// How long what it leaves running may hold its output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The settings of a command.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The program and its arguments, with variables.
    pub argv: Vec<String>,
    /// How long it may take.
    #[serde(default = "one_minute", deserialize_with = "quantities::span")]
    pub timeout: Duration,
    /// Where it runs; in the project's folder when absent, else in `/`.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Exit codes with which the run ends well, because there is nothing to do.
    #[serde(default = "temporary_failure")]
    pub skip: Vec<i32>,
}

fn one_minute() -> Duration {
    Duration::from_secs(60)
}

/// `EX_TEMPFAIL`, by which such commands say it elsewhere too.
fn temporary_failure() -> Vec<i32> {
    vec![75]
}

/// Runs it to its end.
///
/// # Errors
/// [`StageError::Permanent`] when it fails or cannot be run.
pub async fn perform<C: StageContext>(
    settings: &Settings,
    cx: &mut C,
    deps: &Deps,
) -> Result<Outcome, StageError> {
    let values = template::values(cx.workflow(), cx.run());
    let words: Result<Vec<String>, String> =
        settings.argv.iter().map(|word| template::render(word, &values)).collect();
    let words = words.map_err(StageError::Permanent)?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(StageError::Permanent("`argv` names no program".to_owned()));
    };
    let project = cx.run().project.clone();
    let folder = match (&settings.folder, project) {
        (Some(folder), _) => folder.clone(),
        (None, None) => PathBuf::from("/"),
        (None, Some(name)) => {
            let found = deps.store.read(move |db| projects::find_by_name(db, &name)).await;
            found.map_err(trouble::of_store)?.map_or_else(|| PathBuf::from("/"), |found| found.path.into())
        }
    };
    let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let line = visible::line(&line);
    let stage = cx.run().stage.clone();
    if let Some(how) = cx.run().progress.notes.get(&stage).and_then(|note| note.get("how")?.as_str()) {
        let code = cx.run().progress.notes.get(&stage).and_then(|note| note.get("exit_code")?.as_i64());
        return outcome(settings, &line, code, how);
    }
    deps.failpoints.hit("workflows.command.before").await;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&folder).env("MIMIR_RUN", cx.run().id.as_str());
    let ended = run(command, settings.timeout)
        .await
        .map_err(|error| StageError::Permanent(format!("`{line}` cannot be run: {error}")))?;
    deps.failpoints.hit("workflows.command.after").await;
    let how = ended.words(settings.timeout);
    let note = json!({ "said": ended.tail, "exit_code": ended.code, "how": how });
    cx.progress().notes.insert(stage, note);
    let said = if ended.tail.is_empty() { String::new() } else { format!("\n{}", ended.tail) };
    let link = format!("mimir workflows show {}", cx.run().workflow);
    cx.save("command", format!("`{line}` {how}{said}"), Some(link)).await?;
    outcome(settings, &line, ended.code.map(i64::from), &how)
}

/// What its end means for the run.
fn outcome(settings: &Settings, line: &str, code: Option<i64>, how: &str) -> Result<Outcome, StageError> {
    match code {
        Some(0) => Ok(Outcome::Done),
        Some(code) if settings.skip.iter().any(|skip| i64::from(*skip) == code) => {
            let reason = "skipped: there is nothing to do".to_owned();
            Ok(Outcome::End { state: RunState::Succeeded, reason })
        }
        _ => Err(StageError::Permanent(format!("`{line}` {how}"))),
    }
}

/// How a command ended.
struct Ended {
    /// None when it was ended.
    code: Option<i32>,
    is_late: bool,
    tail: String,
}

impl Ended {
    fn words(&self, timeout: Duration) -> String {
        match self.code {
            _ if self.is_late => format!("took longer than {} s and was ended", timeout.as_secs()),
            Some(0) => "went well".to_owned(),
            Some(code) => format!("ended with exit code {code}"),
            None => "was ended by a signal".to_owned(),
        }
    }
}

/// A process with all that it began; they end when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

async fn run(mut command: Command, timeout: Duration) -> std::io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    // Its number stays its own until it was waited for, and its group's until the last of them is gone.
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let ended = {
        let mut reading =
            pin!(async { tokio::join!(tail(stdout, &mut said), tail(stderr, &mut complained)) });
        let mut waiting = pin!(tokio::time::timeout(timeout, child.wait()));
        let mut is_read = false;
        let ended = loop {
            tokio::select! {
                ended = &mut waiting => break ended,
                _ = &mut reading, if !is_read => is_read = true,
            }
        };
        // What it left running ends with it, also what it began in the background.
        drop(group);
        if !is_read {
            let _ = tokio::time::timeout(LAST_WORDS, reading).await.is_ok();
        }
        ended
    };
    let (code, is_late) = match ended {
        Ok(status) => (status?.code(), false),
        Err(_) => {
            child.wait().await?;
            (None, true)
        }
    };
    said.extend(complained);
    let said = String::from_utf8_lossy(&said);
    Ok(Ended { code, is_late, tail: visible::prose(last(said.trim())) })
}

/// Reads to the end, and keeps the last of it.
async fn tail(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0_u8; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 4 * TAIL {
            kept.drain(..kept.len() - TAIL);
        }
    }
}

fn last(text: &str) -> &str {
    let from = text.len().saturating_sub(TAIL);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    if text.len() <= TAIL { text } else { &text[from..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        command
    }

    #[tokio::test]
    async fn a_command_ends_with_its_code_and_its_last_words() {
        let ended = run(shell("echo one; echo two >&2; exit 3"), Duration::from_secs(10)).await.expect("run");
        assert_eq!((ended.code, ended.tail.as_str()), (Some(3), "one\ntwo"));
        let long = run(shell("i=0; while [ $i -lt 3000 ]; do echo line$i; i=$((i+1)); done"), one_minute());
        let long = long.await.expect("run");
        assert!(long.tail.len() <= TAIL && long.tail.ends_with("line2999"), "{}", long.tail.len());
    }

    #[tokio::test]
    async fn what_it_began_ends_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = folder.path().join("mark");
        let line = |wait: &str| format!("(sleep 1; touch {}) & {wait}", mark.display());
        let ended = run(shell(&line("exit 0")), Duration::from_secs(10)).await.expect("run");
        assert_eq!(ended.code, Some(0));
        let ended = run(shell(&line("sleep 60")), Duration::from_millis(200)).await.expect("run");
        assert!(ended.is_late && ended.code.is_none());
        let name = mark.display().to_string();
        let goes_on = || {
            std::fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains(&name)
            })
        };
        let began = std::time::Instant::now();
        while goes_on() {
            assert!(began.elapsed() < Duration::from_secs(10), "what it began goes on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(!mark.exists());
    }
}

//! Running programs while somebody watches.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{BuildError, BuildProgress};
use crate::runtime::engine::EngineCommand;

/// Loading and naming images, asking about them.
const SHORT: Duration = Duration::from_secs(300);
/// How much of what was printed an error shows.
const LAST_LINES: usize = 8;
/// Longer lines are cut where they are shown; a build prints progress bars.
const LONGEST_LINE: usize = 4000;

pub(super) struct Runner<'a> {
    engine: &'a EngineCommand,
    search_path: Option<OsString>,
    progress: mpsc::Sender<BuildProgress>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(
        engine: &'a EngineCommand,
        search_path: Option<OsString>,
        progress: mpsc::Sender<BuildProgress>,
    ) -> Self {
        Self { engine, search_path, progress }
    }

    /// A preparation began.
    pub(super) async fn step(&self, text: &str) {
        self.tell(BuildProgress::Step { number: 0, of: 0, text: text.to_owned() }).await;
    }

    pub(super) async fn say(&self, text: &str) {
        self.tell(BuildProgress::Output { text: text.to_owned() }).await;
    }

    async fn tell(&self, progress: BuildProgress) {
        // Whoever watched has gone; the build goes on.
        let _ = self.progress.send(progress).await;
    }

    /// Asks the engine something. The inner error is its "no", in its words.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Result<String, String>, BuildError> {
        let mut command = self.prepare(self.engine.command(), arguments);
        let asked = tokio::time::timeout(SHORT, command.output()).await;
        let action = "ask the engine about an image";
        let late = BuildError::TooSlow { action, seconds: SHORT.as_secs(), last: String::new() };
        let done = asked.map_err(|_| late)?.map_err(|source| self.no_engine(source))?;
        Ok(if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into_owned())
        })
    }

    pub(super) async fn engine(&self, action: &'static str, arguments: &[&str]) -> Result<(), BuildError> {
        self.engine_within(action, arguments, SHORT).await
    }

    pub(super) async fn engine_within(
        &self,
        action: &'static str,
        arguments: &[&str],
        deadline: Duration,
    ) -> Result<(), BuildError> {
        let command = self.prepare(self.engine.command(), arguments);
        self.watch(action, command, deadline, |_| None).await
    }

    pub(super) async fn program(
        &self,
        action: &'static str,
        program: &Path,
        arguments: &[&str],
        deadline: Duration,
    ) -> Result<(), BuildError> {
        let command = self.prepare(Command::new(program), arguments);
        self.watch(action, command, deadline, |_| None).await
    }

    /// The build itself, whose steps are counted over all its stages.
    pub(super) async fn build(
        &self,
        arguments: &[String],
        of: u32,
        deadline: Duration,
    ) -> Result<(), BuildError> {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let command = self.prepare(self.engine.command(), &arguments);
        let mut number = 0;
        self.watch("build the frame image", command, deadline, |line| {
            let text = step_in(line)?.to_owned();
            number += 1;
            Some(BuildProgress::Step { number, of: of.max(number), text })
        })
        .await
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        // Somebody's current folder may be one that the program cannot enter.
        command.current_dir("/");
        if let Some(path) = &self.search_path {
            command.env("PATH", path);
        }
        command
    }

    async fn watch(
        &self,
        action: &'static str,
        mut command: Command,
        deadline: Duration,
        mut step: impl FnMut(&str) -> Option<BuildProgress>,
    ) -> Result<(), BuildError> {
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|source| self.no_engine(source))?;
        let (mut out, mut err) = (lines(child.stdout.take()), lines(child.stderr.take()));
        let mut last = VecDeque::new();
        let reading = async {
            loop {
                let line = tokio::select! {
                    Some(line) = next(&mut out) => line,
                    Some(line) = next(&mut err) => line,
                    else => break,
                };
                let told = step(&line).unwrap_or_else(|| BuildProgress::Output { text: line.clone() });
                last.push_back(line);
                if last.len() > LAST_LINES {
                    last.pop_front();
                }
                self.tell(told).await;
            }
            child.wait().await
        };
        let ended = tokio::time::timeout(deadline, reading).await;
        let last = Vec::from(last).join("\n");
        match ended {
            Err(_) => Err(BuildError::TooSlow { action, seconds: deadline.as_secs(), last }),
            Ok(Err(source)) => Err(self.no_engine(source)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(_)) if last.contains("no space left on device") => Err(BuildError::DiskFull { action }),
            Ok(Ok(status)) if last.is_empty() => Err(BuildError::Failed { action, last: status.to_string() }),
            Ok(Ok(_)) => Err(BuildError::Failed { action, last }),
        }
    }

    fn no_engine(&self, source: std::io::Error) -> BuildError {
        BuildError::NoEngine { program: self.engine.program.display().to_string(), source }
    }
}

type Lines<R> = Option<tokio::io::Lines<BufReader<R>>>;

fn lines<R: AsyncRead + Unpin>(stream: Option<R>) -> Lines<R> {
    stream.map(|stream| BufReader::new(stream).lines())
}

/// The next line; nothing more after an error or the end.
async fn next<R: AsyncRead + Unpin>(lines: &mut Lines<R>) -> Option<String> {
    let line = match lines {
        Some(lines) => lines.next_line().await.ok().flatten(),
        None => None,
    };
    if line.is_none() {
        *lines = None;
    }
    line.map(|line| line.chars().take(LONGEST_LINE).collect())
}

/// `[2/4] STEP 3/6: RUN …` and `STEP 3/6: RUN …`.
fn step_in(line: &str) -> Option<&str> {
    let line = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, rest)| rest);
    let (count, text) = line.strip_prefix("STEP ")?.split_once(": ")?;
    count.contains('/').then_some(text)
}

#[cfg(test)]
mod tests {
    use super::step_in;

    #[test]
    fn steps_are_recognised_in_builds_of_one_and_of_many_stages() {
        assert_eq!(step_in("STEP 3/6: RUN true"), Some("RUN true"));
        assert_eq!(step_in("[2/4] STEP 3/6: COPY a b: c"), Some("COPY a b: c"));
        for line in ["--> Using cache 12ab", "STEP", "the STEP 3/6: RUN", "STEP one: two"] {
            assert_eq!(step_in(line), None, "{line}");
        }
    }
}

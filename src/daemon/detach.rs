//! Running in the background: the same program once more, apart from this terminal.
//!
//! The child says on its standard output, in one line of JSON, that it answers or
//! why it cannot; then nothing more. So the parent knows, and can say, exactly
//! what happened.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::start_failed;
use crate::wire::problem::Problem;

/// A gateway opens its database and makes a backup before a migration; this is plenty.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A gateway that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its Unix socket.
    pub socket: std::path::PathBuf,
    /// Its TCP address, or why there is none.
    pub http: String,
}

/// What the child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Ready { socket: std::path::PathBuf, http: String },
    Problem(Problem),
}

/// A gateway that runs in the background now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detached {
    /// Its process.
    pub pid: u32,
    /// Where it answers.
    pub started: Started,
}

/// Starts `program` with `arguments` (which must lead to [`super::Mode::Detached`]) in the background and returns when it answers.
/// Its standard error goes to `errors`, a file for what even a log cannot hold.
///
/// # Errors
/// Whatever the child says, or that it died without a word, or that it took too long.
pub fn detach(program: &Path, arguments: &[String], errors: &Path) -> Result<Detached, Problem> {
    let stderr = std::fs::File::create(errors)
        .map_err(|error| start_failed(&format!("write {}", errors.display()), &error))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .current_dir("/")
        .spawn()
        .map_err(|error| start_failed(&format!("run {}", program.display()), &error))?;
    let pid = child.id();
    let (tell, told) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = tell.send(read.map(|_| line));
        });
    }
    match told.recv_timeout(READY_WITHIN) {
        Ok(Ok(line)) => match serde_json::from_str(&line) {
            Ok(Word::Ready { socket, http }) => Ok(Detached { pid, started: Started { socket, http } }),
            Ok(Word::Problem(problem)) => {
                let _ = child.wait();
                Err(problem)
            }
            Err(_) => match child.wait().ok().and_then(|status| status.signal()) {
                Some(signal) => {
                    Err(Problem::new(503, "gateway.killed", "the gateway was killed before it answered")
                        .detail(format!("by signal {signal}"))
                        .hint("try again; `mimir serve` in a terminal shows what happens"))
                }
                None => Err(died(errors)),
            },
        },
        Ok(Err(_)) => Err(died(errors)),
        Err(_) => Err(Problem::new(
            503,
            "gateway.start_slow",
            format!("the gateway did not answer within {} s", READY_WITHIN.as_secs()),
        )
        .detail(format!("it is process {pid}"))
        .hint(
            "its log is gateway.log in mimir's folder; `mimir serve` in a terminal shows what it waits for",
        )),
    }
}

/// What the child calls: once with the outcome of its start.
pub fn announce(outcome: Result<&Started, &Problem>) {
    let word = match outcome {
        Ok(started) => Word::Ready { socket: started.socket.clone(), http: started.http.clone() },
        Err(problem) => Word::Problem(problem.clone()),
    };
    let line = serde_json::to_string(&word).unwrap_or_default();
    // The parent may have given up; there is nobody else to tell.
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

fn died(errors: &Path) -> Problem {
    let said = std::fs::read_to_string(errors).unwrap_or_default();
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    let problem = Problem::new(500, "gateway.start_failed", "the gateway ended before it answered")
        .hint("`mimir serve` in a terminal shows what happens; `mimir doctor` tries what it needs");
    if last.is_empty() { problem } else { problem.detail(last.join(" / ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str) -> Result<Detached, Problem> {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["-c".to_owned(), script.to_owned()];
        detach(Path::new("/bin/sh"), &arguments, &folder.path().join("gateway.err"))
    }

    #[test]
    fn the_parent_hears_that_the_child_answers() {
        let script = r#"echo '{"ready":{"socket":"/run/x.sock","http":"127.0.0.1:8080"}}'"#;
        let detached = start(script).expect("started");
        assert_eq!(detached.started.http, "127.0.0.1:8080");
    }

    #[test]
    fn the_parent_hears_why_the_child_cannot_start() {
        let script = r#"echo '{"problem":{"code":"store.wrong_key","title":"no","status":401}}'; exit 4"#;
        let problem = start(script).expect_err("not started");
        assert_eq!(problem.code, "store.wrong_key");
    }

    #[test]
    fn a_child_that_dies_without_a_word_is_quoted() {
        let problem = start("echo boom >&2; exit 101").expect_err("not started");
        assert_eq!(problem.code, "gateway.start_failed");
        assert_eq!(problem.detail.as_deref(), Some("boom"));
    }

    #[test]
    fn a_child_that_is_killed_is_told_from_one_that_fails() {
        let problem = start("kill -9 $$").expect_err("not started");
        assert_eq!(
            (problem.code.as_str(), problem.detail.as_deref()),
            ("gateway.killed", Some("by signal 9"))
        );
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let started = Started { socket: "/run/x.sock".into(), http: "off".into() };
        let word = Word::Ready { socket: started.socket.clone(), http: started.http.clone() };
        let text = serde_json::to_string(&word).expect("serialises");
        assert!(text.starts_with(r#"{"ready":{"#), "{text}");
        assert!(matches!(serde_json::from_str(&text).expect("reads"), Word::Ready { .. }));
    }
}

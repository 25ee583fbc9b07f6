//! Starting a gateway in the background when none runs.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::error::ClientError;
use super::routes::GatewayClient;
use mimir_model::wire::problem::Problem;

/// A gateway opens its database and finds its engine before it listens.
const START: Duration = Duration::from_secs(60);

/// How long we look again when another gateway holds the home; the one that we start waits for its end by itself.
const HANDOVER: Duration = Duration::from_secs(5);
/// What a gateway says when another one holds the home.
const TAKEN: &str = "gateway.already";
/// And what is said of one that somebody killed while it started.
const KILLED: &str = "gateway.killed";

/// How to start a gateway.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program, usually ourselves.
    pub program: PathBuf,
    /// Its arguments; it must end by itself once the gateway listens, and
    /// write its problem to standard error as JSON when it cannot.
    pub arguments: Vec<String>,
    /// The gateway's log, to name in errors.
    pub log: PathBuf,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launched {
    /// We started it.
    Started,
    /// Somebody else was faster.
    Already,
}

/// A gateway that did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// Why, and what to do.
    pub problem: Box<Problem>,
    /// The exit code it left with, if it left.
    pub code: Option<u8>,
}

impl From<Problem> for NotStarted {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), code: None }
    }
}

impl Launch {
    /// Starts a gateway and returns when it answers.
    ///
    /// # Errors
    /// What the gateway says about why it cannot start, or that it does not answer in time.
    pub async fn run(&self, client: &GatewayClient) -> Result<Launched, NotStarted> {
        let begun = Instant::now();
        let mut killed = false;
        loop {
            match self.once(client).await {
                Err(not_started) if not_started.problem.code == KILLED && !killed => killed = true,
                // One that is just ending holds the home a little longer than it answers.
                Err(not_started) if not_started.problem.code == TAKEN && begun.elapsed() < HANDOVER => {
                    sleep(Duration::from_millis(200)).await;
                    if client.health().await.is_ok() {
                        return Ok(Launched::Already);
                    }
                }
                other => return other,
            }
        }
    }

    async fn once(&self, client: &GatewayClient) -> Result<Launched, NotStarted> {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| {
            Problem::new(500, "gateway.start_failed", "the gateway's program cannot be started")
                .detail(format!("{}: {error}", self.program.display()))
                .hint("run `mimir serve` to see what happens")
        })?;
        let mut said = Vec::new();
        let stderr = child.stderr.take();
        let finished = timeout(START, async {
            if let Some(mut stderr) = stderr {
                // What it says is for the error below; not to hear it is no harm.
                let _ = stderr.read_to_end(&mut said).await;
            }
            child.wait().await
        })
        .await;
        match finished {
            Err(_) => Err(self.too_slow().into()),
            Ok(Err(error)) => Err(Problem::new(500, "gateway.start_failed", error.to_string()).into()),
            Ok(Ok(status)) if status.success() => self.until_it_answers(client).await,
            Ok(Ok(status)) => {
                let said = String::from_utf8_lossy(&said);
                // Two commands at once: the other one's gateway is as good as ours.
                if client.health().await.is_ok() {
                    return Ok(Launched::Already);
                }
                let code = status.code().and_then(|code| u8::try_from(code).ok());
                Err(NotStarted { problem: Box::new(self.explain(&said)), code })
            }
        }
    }

    async fn until_it_answers(&self, client: &GatewayClient) -> Result<Launched, NotStarted> {
        let begun = Instant::now();
        loop {
            match client.health().await {
                Ok(_) => return Ok(Launched::Started),
                Err(ClientError::NotAllowed { socket, why }) => {
                    return Err(Problem::from(ClientError::NotAllowed { socket, why }).into());
                }
                Err(_) if begun.elapsed() < Duration::from_secs(10) => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(_) => return Err(self.too_slow().into()),
            }
        }
    }

    fn too_slow(&self) -> Problem {
        Problem::new(503, "gateway.start_slow", "the gateway was started but does not answer")
            .detail(format!("its log is {}", self.log.display()))
            .hint("run `mimir serve` in another terminal to see what it waits for")
    }

    fn explain(&self, said: &str) -> Problem {
        problem_in(said).unwrap_or_else(|| {
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            let problem = Problem::new(503, "gateway.start_failed", "the gateway could not start")
                .hint("run `mimir serve` to see what happens, or `mimir doctor`");
            if last.is_empty() {
                problem.detail(format!("its log is {}", self.log.display()))
            } else {
                problem.detail(last.join(" / "))
            }
        })
    }
}

/// The problem in a command's `--json` errors: `{"error":{…}}`.
fn problem_in(text: &str) -> Option<Problem> {
    #[derive(serde::Deserialize)]
    struct Wrapped {
        error: Said,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        code: String,
        title: String,
        detail: Option<String>,
        hint: Option<String>,
        request_id: Option<String>,
    }
    let wrapped: Wrapped = text.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
    Some(Problem {
        code: wrapped.error.code,
        title: wrapped.error.title,
        detail: wrapped.error.detail,
        hint: wrapped.error.hint,
        request_id: wrapped.error.request_id,
        status: 503,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(script: &str) -> Launch {
        Launch {
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            log: PathBuf::from("/tmp/gateway.log"),
        }
    }

    async fn failure(script: &str) -> NotStarted {
        let client = GatewayClient::new(PathBuf::from("/nonexistent/gateway.sock"));
        launch(script).run(&client).await.expect_err("it cannot start")
    }

    #[tokio::test]
    async fn the_gateways_own_reason_is_handed_on() {
        let failure = failure(
            r#"echo 'warning: noise' >&2; echo '{"error":{"code":"store.wrong_key","title":"no","hint":"h"}}' >&2; exit 4"#,
        )
        .await;
        assert_eq!(failure.code, Some(4));
        let problem = failure.problem;
        assert_eq!((problem.code.as_str(), problem.title.as_str()), ("store.wrong_key", "no"));
        assert_eq!(problem.hint.as_deref(), Some("h"));
    }

    #[tokio::test]
    async fn a_home_that_is_just_being_left_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = folder.path().join("left");
        let script = format!(
            r#"[ -e {0} ] && exit 3; touch {0}; echo '{{"error":{{"code":"gateway.already","title":"taken"}}}}' >&2; exit 6"#,
            mark.display()
        );
        let failure = failure(&script).await;
        assert_eq!(failure.code, Some(3), "the second try got further: {failure:?}");
    }

    #[tokio::test]
    async fn one_that_was_killed_while_it_started_is_started_once_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let tries = folder.path().join("tries");
        let script = format!(
            r#"echo x >>{}; echo '{{"error":{{"code":"gateway.killed","title":"killed"}}}}' >&2; exit 5"#,
            tries.display()
        );
        assert_eq!(failure(&script).await.problem.code, "gateway.killed");
        assert_eq!(std::fs::read_to_string(tries).expect("written").lines().count(), 2);
    }

    #[tokio::test]
    async fn a_gateway_that_dies_without_a_word_points_to_its_log() {
        let problem = failure("exit 1").await.problem;
        assert_eq!(problem.code, "gateway.start_failed");
        assert!(problem.detail.expect("a detail").contains("gateway.log"));
        let panicked = failure("echo a >&2; echo boom >&2; exit 101").await.problem;
        assert_eq!(panicked.detail.as_deref(), Some("a / boom"));
    }
}

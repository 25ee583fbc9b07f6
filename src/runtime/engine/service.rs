//! The engine's service: an existing one, or one of our own that is started when it is needed.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::Mutex;

use super::{EngineCommand, EngineSettings};
use crate::runtime::RuntimeError;

/// A service of ours ends by itself when nobody has talked to it for that long. Frames run on without it.
const IDLE_SECONDS: u32 = 60;
/// A rootless service that starts for the first time sets up its namespaces first.
const START_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(25);

/// Finds a service that answers, or starts one.
#[derive(Debug)]
pub struct Service {
    settings: EngineSettings,
    /// The newest last. One whose socket vanished lives on for the terminals that it holds.
    started: Mutex<Vec<Child>>,
}

/// A service that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its socket.
    pub socket: PathBuf,
    /// Sentences for doctor.
    pub notes: Vec<String>,
}

impl Service {
    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings, started: Mutex::default() }
    }

    /// Where it was told to look.
    #[must_use]
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// A service that answers right now. Started if need be; one of ours that died is started again.
    ///
    /// # Errors
    /// [`RuntimeError::NotInstalled`] without any socket and program; [`RuntimeError::Unreachable`] when the one that
    /// was named does not answer or ours does not start.
    pub async fn reach(&self) -> Result<Reached, RuntimeError> {
        // Held over the start: two callers must not start two services.
        let mut started = self.started.lock().await;
        if let Some((socket, who)) = self.settings.named_socket() {
            return match answers(&socket).await {
                Ok(()) => Ok(Reached { socket, notes: vec![format!("{who} names this engine")] }),
                Err(source) => Err(unreachable(&socket, source)),
            };
        }
        for socket in self.settings.usual_sockets() {
            if answers(&socket).await.is_ok() {
                return Ok(Reached { socket, notes: Vec::new() });
            }
        }
        let own = self.settings.own_socket();
        let Some(engine) = EngineCommand::find(&self.settings) else {
            return Err(RuntimeError::NotInstalled {
                why: "no Podman socket answers and there is no `podman` in the search path".to_owned(),
            });
        };
        let notes = || {
            let mut notes = engine.notes.clone();
            notes.push(format!("mimir runs Podman's service itself at {}", own.display()));
            notes
        };
        if answers(&own).await.is_err() {
            engine.ensure_usable().await;
            let child = self.start(&engine, &own).await?;
            started.retain_mut(|older| matches!(older.try_wait(), Ok(None)));
            started.push(child);
        }
        Ok(Reached { notes: notes(), socket: own })
    }

    /// Ends the services that we started. Frames run on; others on the same socket find none any more.
    pub async fn close(&self) {
        let started = std::mem::take(&mut *self.started.lock().await);
        if started.is_empty() {
            return;
        }
        for mut child in started {
            // It may have ended by itself, which is as good.
            let _ = child.start_kill();
            let _ = tokio::time::timeout(ANSWER_DEADLINE, child.wait()).await;
        }
        let _ = std::fs::remove_file(self.settings.own_socket());
    }

    /// Starts the service in a process group of its own, so that a Ctrl-C meant for us does not reach it.
    async fn start(&self, engine: &EngineCommand, socket: &Path) -> Result<Child, RuntimeError> {
        let failed = |error: std::io::Error| unreachable(socket, error);
        if let Err(error) = std::fs::remove_file(socket)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(failed(error));
        }
        // It may have vanished since: a cleaner of /tmp, the end of a login session.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.settings.folder).map_err(failed)?;
        let log = File::create(self.settings.own_log()).map_err(failed)?;
        let mut child = engine
            .command()
            .args(["system", "service", "--time", &IDLE_SECONDS.to_string()])
            .arg(format!("unix://{}", socket.display()))
            // On cgroup v1 conmon leaves a file `oom` in the folder it was started in, when a container runs out of memory.
            .current_dir(&self.settings.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        tracing::info!(socket = %socket.display(), "starting Podman's service");

        let began = Instant::now();
        loop {
            let why = match answers(socket).await {
                Ok(()) => return Ok(child),
                Err(error) => error,
            };
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Err(unreachable(socket, std::io::Error::other(self.last_words(&status.to_string()))));
            }
            if began.elapsed() > START_DEADLINE {
                // It would only be in the way of the next attempt.
                let _ = child.start_kill();
                return Err(unreachable(socket, std::io::Error::other(self.last_words(&why.to_string()))));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn last_words(&self, end: &str) -> String {
        let log = std::fs::read_to_string(self.settings.own_log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().take(3).rev().copied().collect::<Vec<_>>().join(" / ");
        format!("`podman system service` did not start ({end}): {last}")
    }
}

fn unreachable(socket: &Path, source: impl Into<crate::runtime::error::Cause>) -> RuntimeError {
    RuntimeError::Unreachable { socket: socket.display().to_string(), source: source.into() }
}

/// Whether something accepts connections there and answers a ping.
async fn answers(socket: &Path) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: podman\r\nConnection: close\r\n\r\n").await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        if answer.ends_with(b"200") {
            Ok(())
        } else {
            Err(std::io::Error::other("it does not answer a ping"))
        }
    };
    tokio::time::timeout(ANSWER_DEADLINE, ask).await.unwrap_or_else(|_| {
        Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer in time"))
    })
}

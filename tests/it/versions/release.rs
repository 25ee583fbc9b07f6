//! One release of opencode as a process of this machine, started as a frame starts it, with a scripted model behind it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mimir::frames::{AgentLocator, PlaceError};
use mimir::model::agent::AgentSessionId;
use mimir::model::ids::FrameId;
use mimir::model::secret::Secret;
use mimir::opencode::{Health, OpencodeClient, OpencodeError};
use mimir::outbound::Connector;
use parking_lot::Mutex;
use serde_json::json;

use crate::podman::support::skip;
use crate::scripted_model::ScriptedModel;

pub const PASSWORD: &str = "a-real-password";
/// A first start on a busy machine.
const START: Duration = Duration::from_secs(60);

pub struct Release {
    binary: PathBuf,
    folder: tempfile::TempDir,
    pub model: ScriptedModel,
    running: Mutex<Option<(Child, u16)>>,
}

impl Release {
    /// A release, not started yet; nothing when this machine does not have it.
    pub async fn find(test: &str, version: &str) -> Option<Arc<Self>> {
        let Some(binary) = binary(version) else {
            skip(test, &format!("opencode {version} is not here; scripts/opencode-releases fetches it"));
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = folder.path().join("workspace");
        std::fs::create_dir_all(&workspace).expect("a workspace");
        stub_packages(&folder.path().join("home/.config/opencode"), version);
        for arguments in [vec!["init", "-q"], vec!["commit", "-q", "--allow-empty", "-m", "begin"]] {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
            let done = Command::new("git").args(identity).args(arguments).current_dir(&workspace).status();
            assert!(done.expect("git").success());
        }
        let model = ScriptedModel::start().await;
        Some(Arc::new(Self { binary, folder, model, running: Mutex::default() }))
    }

    pub fn start(&self) -> u16 {
        let mut running = self.running.lock();
        if let Some((child, port)) = running.as_mut()
            && child.try_wait().expect("a child").is_none()
        {
            return *port;
        }
        let port = portpicker::pick_unused_port().expect("a port");
        let child = Command::new(&self.binary)
            .args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(self.folder.path().join("workspace"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path().join("home"))
            .env("OPENCODE_SERVER_USERNAME", "mimir")
            .env("OPENCODE_SERVER_PASSWORD", PASSWORD)
            .env("OPENCODE_DISABLE_MODELS_FETCH", "1")
            .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
            .env("OPENCODE_DISABLE_LSP_DOWNLOAD", "1")
            .env("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1")
            .env("npm_config_fetch_retries", "0")
            .env("OPENCODE_CONFIG_CONTENT", config(&self.model.base_url()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("opencode starts");
        *running = Some((child, port));
        port
    }

    pub fn client(&self) -> OpencodeClient {
        self.client_with(PASSWORD)
    }

    pub fn client_with(&self, password: &str) -> OpencodeClient {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.start()));
        OpencodeClient::new(Connector::tcp(address), &Secret::new(password))
    }

    /// The first answer that is final: healthy, or a refusal.
    pub async fn meet(&self) -> Result<Health, OpencodeError> {
        let client = self.client();
        let until = tokio::time::Instant::now() + START;
        loop {
            // Fresh connections and short tries: trap 1 of docs/traps.md.
            match client.health(Duration::from_millis(500)).await {
                Ok(health) => return Ok(health),
                Err(error @ OpencodeError::WrongVersion { .. }) => return Err(error),
                Err(error) => assert!(tokio::time::Instant::now() < until, "not within {START:?}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    pub fn kill(&self) {
        if let Some((child, _)) = self.running.lock().as_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.kill();
    }
}

fn binary(version: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MIMIR_TEST_OPENCODES").map(PathBuf::from).or_else(|| {
        let cache = std::env::var_os("MIMIR_CACHE").map(PathBuf::from);
        cache
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/mimir")))
            .map(|c| c.join("opencode"))
    })?;
    Some(folder.join(version).join("opencode")).filter(|binary| binary.is_file())
}

/// As the frame image has it: nothing is installed when the packages seem to be there (docs/traps.md, 6).
fn stub_packages(folder: &Path, version: &str) {
    std::fs::create_dir_all(folder.join("node_modules")).expect("a folder");
    let wanted = json!({"@opencode-ai/plugin": version});
    let lock = json!({"name": "x", "lockfileVersion": 3, "requires": true,
                      "packages": {"": {"dependencies": wanted}}});
    let package = json!({"dependencies": wanted});
    std::fs::write(folder.join("package.json"), package.to_string()).expect("written");
    std::fs::write(folder.join("package-lock.json"), lock.to_string()).expect("written");
}

fn config(base_url: &str) -> String {
    let model = json!({"name": "Scripted", "limit": {"context": 128_000, "output": 8192},
                       "cost": {"input": 3, "output": 15, "cache_read": 0.3}, "tool_call": true});
    let options =
        json!({"baseURL": base_url, "apiKey": "x", "chunkTimeout": 60_000, "headerTimeout": 60_000});
    let provider = json!({"npm": "@ai-sdk/openai-compatible", "name": "Scripted", "options": options,
                          "models": {"scripted": model}});
    let bash = json!({"*": "allow", "ls -d *": "ask", "echo from-sub*": "ask"});
    json!({"model": "scripted/scripted", "small_model": "scripted/scripted", "autoupdate": false,
           "share": "disabled", "enabled_providers": ["scripted"], "provider": {"scripted": provider},
           "permission": {"external_directory": "ask", "doom_loop": "deny", "bash": bash}})
    .to_string()
}

/// The one frame of a world lives in this process.
#[async_trait]
impl AgentLocator for Release {
    async fn wake(&self, _frame: &FrameId, _deadline: Duration) -> Result<OpencodeClient, PlaceError> {
        self.meet().await.map_err(|error| PlaceError::NotThere(error.to_string()))?;
        Ok(self.client())
    }

    async fn agent(&self, _frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        Ok(self.client())
    }

    async fn show(&self, _frame: &FrameId, _session: &AgentSessionId) {}
}

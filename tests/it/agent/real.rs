//! The router and the client against the real opencode, with a scripted model behind it.
//!
//! `MIMIR_TEST_OPENCODE=/path/to/opencode cargo test --test it agent::real -- --ignored`

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mimir::frames::{PlaceError, Places};
use mimir::model::agent::AgentSessionId;
use mimir::model::event::Happening;
use mimir::model::ids::FrameId;
use mimir::model::message::DeliveryState::{Answered, Cancelled, Failed, Running};
use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::outbound::Connector;
use mimir::router::Settings;
use serde_json::json;

use super::world::{self, World};
use crate::scripted_model::ScriptedModel;

const PASSWORD: &str = "a-real-password";

/// One opencode process, started as a frame starts it.
struct Real {
    binary: PathBuf,
    folder: tempfile::TempDir,
    model: ScriptedModel,
    running: Mutex<Option<(std::process::Child, u16)>>,
}

impl Real {
    async fn new() -> Arc<Self> {
        let binary = std::env::var_os("MIMIR_TEST_OPENCODE").expect("MIMIR_TEST_OPENCODE names the binary");
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = folder.path().join("workspace");
        std::fs::create_dir_all(&workspace).expect("a workspace");
        std::fs::create_dir_all(folder.path().join("home")).expect("a home");
        for arguments in [vec!["init", "-q"], vec!["commit", "-q", "--allow-empty", "-m", "begin"]] {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
            let done = Command::new("git").args(identity).args(arguments).current_dir(&workspace).status();
            assert!(done.expect("git").success());
        }
        let model = ScriptedModel::start().await;
        Arc::new(Self { binary: binary.into(), folder, model, running: Mutex::default() })
    }

    fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    fn start(&self) -> u16 {
        let mut running = self.running.lock().expect("a lock");
        if let Some((child, port)) = running.as_mut()
            && child.try_wait().expect("a child").is_none()
        {
            return *port;
        }
        let port = portpicker::pick_unused_port().expect("a port");
        let child = Command::new(&self.binary)
            .args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()])
            .current_dir(self.workspace())
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

    fn client(&self) -> Option<OpencodeClient> {
        let running = self.running.lock().expect("a lock");
        let (_, port) = running.as_ref()?;
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], *port));
        Some(OpencodeClient::new(Connector::tcp(address), &Secret::new(PASSWORD)))
    }

    fn kill(&self) {
        if let Some((child, _)) = self.running.lock().expect("a lock").as_mut() {
            child.kill().expect("SIGKILL");
            child.wait().expect("gone");
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.kill();
    }
}

fn config(base_url: &str) -> String {
    let model = json!({"name": "Scripted", "limit": {"context": 128_000, "output": 8192},
                       "cost": {"input": 3, "output": 15, "cache_read": 0.3}, "tool_call": true});
    let options =
        json!({"baseURL": base_url, "apiKey": "x", "chunkTimeout": 60_000, "headerTimeout": 60_000});
    let provider = json!({"npm": "@ai-sdk/openai-compatible", "name": "Scripted", "options": options,
                          "models": {"scripted": model}});
    json!({"model": "scripted/scripted", "small_model": "scripted/scripted", "autoupdate": false,
           "share": "disabled", "enabled_providers": ["scripted"], "provider": {"scripted": provider},
           "permission": {"external_directory": "deny", "doom_loop": "deny"}})
    .to_string()
}

#[async_trait]
impl Places for Real {
    async fn wake(&self, _frame: &FrameId, deadline: Duration) -> Result<OpencodeClient, PlaceError> {
        self.start();
        let until = tokio::time::Instant::now() + deadline;
        let client = self.client().expect("it was started");
        // Fresh connections and short tries: opencode.md trap 1.
        while client.health(Duration::from_millis(400)).await.is_err() {
            if tokio::time::Instant::now() > until {
                return Err(PlaceError::NotThere("opencode did not become healthy".into()));
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Ok(client)
    }

    async fn agent(&self, _frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        self.start();
        self.client().ok_or_else(|| PlaceError::NotThere("it never ran".into()))
    }

    async fn show(&self, _frame: &FrameId, _session: &AgentSessionId) {}
}

#[tokio::test]
#[ignore = "needs a real opencode: set MIMIR_TEST_OPENCODE to its binary"]
async fn turns_of_every_kind_go_through_the_real_thing() {
    let real = Real::new().await;
    let settings = Settings::new("scripted/scripted".parse().expect("a model"));
    let world = World::with(real.clone(), settings).await;

    // Text, streamed.
    let sent = world.send("hi @@text@@").await;
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Answered, "{message:?}");
    let told = world.told(&sent).await;
    assert_eq!(world::text(&told).trim_end(), message.answer.clone().unwrap_or_default());
    assert!(message.tokens.total() > 0 && message.cost_microusd > 0, "{message:?}");

    // A tool, executed.
    let sent = world.send("please do @@bash@@").await;
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Answered, "{message:?}");
    assert!(message.answer.as_deref().is_some_and(|answer| answer.contains("hi-from-bash")), "{message:?}");
    let told = world.told(&sent).await;
    assert!(told.iter().any(|happening| matches!(happening, Happening::Tool { tool, .. } if tool == "bash")));

    // The provider refuses; the session stays usable.
    let message = world.end_of(&world.send("@@http401@@").await).await;
    assert_eq!(message.state, Failed, "{message:?}");
    assert!(message.reason.as_deref().is_some_and(|why| why.contains("401")), "{message:?}");

    // Unknown model: refused before it starts, and no poison for the next prompt.
    let request = world.send_with("hi", |request| request.model = "scripted/nope".parse().ok()).await;
    let message = world.end_of(&request).await;
    assert_eq!(message.state, Failed, "{message:?}");
    assert!(message.reason.as_deref().is_some_and(|why| why.contains("nope")), "{message:?}");

    // Aborted while it streams.
    let sent = world.send("@@slow@@").await;
    world.reaches(&sent, Running).await;
    let cancelled = world.router.cancel(&world::OWNER, &sent.id).await.expect("cancelled");
    assert_eq!(cancelled.state, Cancelled, "{cancelled:?}");

    // Killed while it streams.
    let sent = world.send("@@slow@@").await;
    world.reaches(&sent, Running).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    real.kill();
    let message = world.end_of(&sent).await;
    assert_eq!(message.state, Failed, "{message:?}");
    assert!(message.reason.as_deref().is_some_and(|why| why.contains("in the middle")), "{message:?}");

    // The session is usable afterwards, and our history equals the agent's.
    let message = world.end_of(&world.send("@@text@@").await).await;
    assert_eq!(message.state, Answered, "{message:?}");
    let session = message.session.clone();
    let agent_session = world
        .store
        .read(move |db| mimir::store::sessions::get(db, &session))
        .await
        .expect("a session")
        .agent_session
        .expect("the agent's id");
    let theirs = real.client().expect("it runs").messages(&agent_session, 1000).await.expect("messages");
    let session = message.session.clone();
    let ours =
        world.store.read(move |db| mimir::store::turns::of_session(db, &session)).await.expect("turns");
    let ids = |turns: &[mimir::store::turns::Turn]| -> Vec<String> {
        turns.iter().map(|turn| turn.message.id.to_string()).collect()
    };
    let their_ids: Vec<String> = theirs.iter().map(|turn| turn.head.id.to_string()).collect();
    assert_eq!(ids(&ours), their_ids);
    for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, _)| ours.message.completed_at.is_some()) {
        assert_eq!(ours.message, theirs.head);
        assert_eq!(ours.parts, theirs.parts);
    }
}

//! An emulator of GitHub that others wrote (`scripts/emulate`), as a second opinion: what the test forge and mimir agree
//! about might be wrong in both.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mimir::outbound::HttpClients;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use url::Url;

use super::TOKEN;
use crate::podman::support::skip;

/// What opens it for ann. [`TOKEN`] does for `me`, whose the repositories are.
pub const ANNS: &str = "ghp_canary_of_ann_0123456789";

/// A running emulator with one repository; it ends with this value.
pub struct Emulator {
    pub url: Url,
    /// `/repos/me/…`
    pub repository: String,
    /// It ends with this value, which may be looked at from several threads.
    _child: Mutex<Child>,
}

impl Emulator {
    /// None where it is not on this machine; that is said of the test then.
    pub async fn start(repository: &str, test: &str) -> Option<Self> {
        let folder = std::env::var_os("MIMIR_TEST_EMULATE").filter(|path| Path::new(path).exists());
        let Some(folder) = folder else {
            skip(test, "the emulator is not here: scripts/emulate fetches it");
            return None;
        };
        let (child, url) = run(Path::new(&folder), repository).await;
        Some(Self { url, repository: format!("/repos/me/{repository}"), _child: Mutex::new(child) })
    }

    /// What somebody does there; it must be possible.
    pub async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> Value {
        let (status, value) = self.ask(token, method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {value}");
        value
    }

    /// The same of its repository.
    pub async fn of(&self, token: &str, method: Method, rest: &str, body: Value) -> Value {
        self.call(token, method, &format!("{}{rest}", self.repository), body).await
    }

    /// What it answers.
    pub async fn ask(&self, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = self.url.join(path).expect("an address");
        let client = HttpClients::default().to(&url).expect("a client");
        let request = client.request(method, url).bearer_auth(token).timeout(Duration::from_secs(20));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await.expect("a whole answer");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Where `main` stands, and its tree.
    pub async fn main(&self) -> (String, String) {
        let main = self.of(TOKEN, Method::GET, "/git/ref/heads/main", Value::Null).await;
        let main = text(&main, "/object/sha");
        let commit = self.of(TOKEN, Method::GET, &format!("/git/commits/{main}"), Value::Null).await;
        (main, text(&commit, "/commit/tree/sha"))
    }

    /// A branch with a commit of its own, and its id. Files it has none but those of `main`.
    pub async fn branch(&self, name: &str) -> String {
        let (main, tree) = self.main().await;
        let commit = json!({"message": "mend it", "tree": tree, "parents": [main]});
        let commit = text(&self.of(TOKEN, Method::POST, "/git/commits", commit).await, "/sha");
        let name = json!({"ref": format!("refs/heads/{name}"), "sha": commit});
        self.of(TOKEN, Method::POST, "/git/refs", name).await;
        commit
    }
}

/// A text of an answer, which must be there.
pub fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}

/// It takes a port and no other: somebody may have been faster.
async fn run(folder: &Path, repository: &str) -> (Child, Url) {
    let api = folder.join("dist/api.js");
    for _ in 0..5 {
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            free.local_addr().expect("an address").port()
        };
        let seed = json!({
            "tokens": {TOKEN: {"login": "me", "scopes": ["repo", "user"]}, ANNS: {"login": "ann", "scopes": ["repo"]}},
            "github": {
                "users": [{"login": "me", "name": "Me", "email": "me@example.org"}, {"login": "ann", "name": "Ann", "email": "ann@example.org"}],
                "repos": [{"owner": "me", "name": repository, "auto_init": true}],
            },
        });
        let script = format!(
            "import {{ createEmulator }} from {};\nconst it = await createEmulator({{ service: 'github', port: {port}, seed: {seed} }});\nconsole.log(it.url);",
            json!(api.display().to_string())
        );
        let mut child = Command::new("node")
            .args(["--input-type=module", "--eval", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("node");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line())
            .await
            .expect("it starts in time");
        if first.expect("its first line").is_some() {
            return (child, Url::parse(&format!("http://localhost:{port}")).expect("an address"));
        }
    }
    panic!("it does not start");
}

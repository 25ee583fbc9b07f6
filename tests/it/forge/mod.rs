//! A forge: real git behind a web server, with a token, a list of what it was asked, and faults.
//!
//! Repositories are bare and real (`git http-backend`). What forges have besides is in memory, behind two faces: GitHub's
//! API (`/api/v3`, each exchange compared with GitHub's own description of it) and Gitea's (`/api/v1`). Heads, merges and
//! conflicts are git's own.

mod api;
mod client;
mod described;
pub mod emulator;
mod gitea;
mod github;
mod hooks;
mod people;
mod refs;
mod shapes;
mod state;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

pub use api::{APP_LOGIN, LOGIN, Trip};
pub use state::{CheckRun, Effects};

/// What opens this forge. Nothing else does.
pub const TOKEN: &str = "ghp_canary5e1f0123456789abcdef0123456789ab";

/// One request that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// With its query.
    pub path: String,
    pub authorization: Option<String>,
}

/// What goes wrong next, until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every request is answered so.
    Status(u16),
    /// Every request ends without an answer.
    Silence,
    /// Every request is answered so much later.
    Late(std::time::Duration),
    /// Pushes are refused by a hook that says so.
    Declines(String),
}

/// A running forge; it ends with this value.
pub struct Forge {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    root: tempfile::TempDir,
    public: Mutex<Vec<String>>,
    seen: Mutex<Vec<Seen>>,
    fault: Mutex<Option<Fault>>,
    reads_only: Mutex<bool>,
    api: Arc<api::Api>,
}

impl Forge {
    /// Starts one without repositories on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let root = tempfile::tempdir().expect("a folder");
        let shared = Arc::new(Shared {
            root,
            public: Mutex::default(),
            seen: Mutex::default(),
            fault: Mutex::default(),
            reads_only: Mutex::default(),
            api: Arc::default(),
        });
        {
            let mut state = shared.api.state.lock();
            state.root = format!("http://{address}");
            state.now = 1_700_000_000;
        }
        let mut server = JoinSet::new();
        server.spawn(serve(listener, shared.clone()));
        server.spawn(hooks::deliver(shared.api.clone()));
        Self { address, shared, _server: server }
    }

    /// As `git.hosts` has it.
    pub fn host(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A private repository with one commit on `main`.
    pub fn repository(&self, path: &str) -> Bare {
        let bare = Bare { folder: self.shared.root.path().join(format!("{path}.git")) };
        std::fs::create_dir_all(&bare.folder).expect("a folder");
        bare.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."]);
        let tree = bare.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
        let file = bare.git_with(&["hash-object", "-w", "--stdin"], b"# A project\n");
        let entry = format!("100644 blob {file}\tREADME.md\n");
        let tree_with_file = bare.git_with(&["mktree"], entry.as_bytes());
        assert_ne!(tree, tree_with_file);
        let commit = bare.git(&["commit-tree", &tree_with_file, "-m", "the first one"]);
        bare.git(&["update-ref", "refs/heads/main", &commit]);
        self.register(path, &bare);
        bare
    }

    /// The same, which everybody may read.
    pub fn public(&self, path: &str) -> Bare {
        self.shared.public.lock().push(format!("/{path}.git/"));
        self.repository(path)
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How often somebody pushed objects to it.
    pub fn pushes(&self) -> usize {
        self.seen().iter().filter(|it| it.method == "POST" && it.path.ends_with("/git-receive-pack")).count()
    }

    /// Whether git may read and not push with what opens it, whatever the API says of whose it is.
    pub fn reads_only(&self, is_so: bool) {
        *self.shared.reads_only.lock() = is_so;
    }

    /// From now on, or not any more.
    pub fn fault(&self, fault: Option<Fault>) {
        let hooks = fault.clone();
        *self.shared.fault.lock() = fault;
        let declines = match hooks {
            Some(Fault::Declines(why)) => Some(format!("#!/bin/sh\necho '{why}' >&2\nexit 1\n")),
            _ => None,
        };
        for folder in bare_folders(self.shared.root.path()) {
            let hook = folder.join("hooks/pre-receive");
            match &declines {
                Some(text) => {
                    std::fs::create_dir_all(folder.join("hooks")).expect("a folder");
                    std::fs::write(&hook, text).expect("written");
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                    std::fs::set_permissions(&hook, mode).expect("a program");
                }
                None => drop(std::fs::remove_file(&hook)),
            }
        }
    }
}

fn bare_folders(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.extension().is_some_and(|ending| ending == "git") {
                true => found.push(path),
                false if path.is_dir() => left.push(path),
                false => {}
            }
        }
    }
    found
}

/// A repository at the forge, looked at from within.
#[derive(Clone, Debug)]
pub struct Bare {
    pub folder: PathBuf,
}

impl Bare {
    /// Runs git there and gives what it prints.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_with(args, b"")
    }

    /// The same, with something to read.
    pub fn git_with(&self, args: &[&str], input: &[u8]) -> String {
        use std::io::Write as _;
        let mut child = set_up(BlockingCommand::new("git"))
            .current_dir(&self.folder)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git");
        child.stdin.take().expect("a pipe").write_all(input).expect("written");
        let done = child.wait_with_output().expect("an end");
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// The same, which may fail.
    pub fn attempt(&self, args: &[&str]) -> Option<String> {
        let done =
            set_up(BlockingCommand::new("git")).current_dir(&self.folder).args(args).output().expect("git");
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// One more commit on a branch, which begins at `main`, with one file changed.
    pub fn add(&self, branch: &str, file: &str, text: &str) -> String {
        let name = format!("refs/heads/{branch}");
        let parent = self.branch(branch).or_else(|| self.branch("main")).expect("main");
        let blob = self.git_with(&["hash-object", "-w", "--stdin"], text.as_bytes());
        let listed = self.git(&["ls-tree", &parent]);
        let others = listed.lines().filter(|line| line.split('\t').nth(1) != Some(file));
        let entries: String =
            others.map(|line| format!("{line}\n")).chain([format!("100644 blob {blob}\t{file}\n")]).collect();
        let tree = self.git_with(&["mktree"], entries.as_bytes());
        let commit = self.git(&["commit-tree", &tree, "-p", &parent, "-m", &format!("change {file}")]);
        self.git(&["update-ref", &name, &commit]);
        commit
    }

    /// Its branches and tags, each with its id.
    pub fn heads(&self) -> Vec<(String, String)> {
        refs::all(&self.folder)
    }

    /// The id of a branch or tag, if it is there.
    pub fn head(&self, name: &str) -> Option<String> {
        self.heads().into_iter().find(|(known, _)| known == name).map(|(_, id)| id)
    }

    /// The id of a branch, if it is there.
    pub fn branch(&self, name: &str) -> Option<String> {
        refs::one(&self.folder, &format!("refs/heads/{name}"))
    }

    /// One more commit on a branch, made by somebody else.
    pub fn commit(&self, branch: &str, file: &str, text: &str) -> String {
        let blob = self.git_with(&["hash-object", "-w", "--stdin"], text.as_bytes());
        let tree = self.git_with(&["mktree"], format!("100644 blob {blob}\t{file}\n").as_bytes());
        let name = format!("refs/heads/{branch}");
        let mut args =
            vec!["commit-tree".to_owned(), tree, "-m".to_owned(), format!("{file} by somebody else")];
        if let Some(parent) = self.head(branch) {
            args.extend(["-p".to_owned(), parent]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let commit = self.git(&args);
        self.git(&["update-ref", &name, &commit]);
        commit
    }
}

/// Nobody's configuration, and a name.
fn set_up(mut git: BlockingCommand) -> BlockingCommand {
    git.env_clear().envs([
        ("PATH", std::env::var("PATH").unwrap_or_default().as_str()),
        ("HOME", "/nowhere"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Somebody"),
        ("GIT_AUTHOR_EMAIL", "somebody@example.org"),
        ("GIT_COMMITTER_NAME", "Somebody"),
        ("GIT_COMMITTER_EMAIL", "somebody@example.org"),
    ]);
    git
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            // An error is a client that left, or a fault that was asked for.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let authorization = header("authorization");
    shared.seen.lock().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authorization: authorization.clone(),
    });
    let fault = shared.fault.lock().clone();
    match fault {
        Some(Fault::Status(status)) => return Ok(empty(status)),
        Some(Fault::Silence) => return Err(io::Error::other("it says nothing")),
        Some(Fault::Late(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let is_blob = path.starts_with("/blob/");
    if path.starts_with("/api/") || is_blob {
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        return shared.api.answer(&parts, body, authorization.as_deref()).await;
    }
    let is_push = query == "service=git-receive-pack" || path.ends_with("/git-receive-pack");
    let trip = (is_push && parts.method == Method::GET).then(|| shared.api.trip_of_git(&path)).flatten();
    match trip {
        Some(Trip::Status(status)) => return Ok(empty(status)),
        Some(Trip::AnswerLost | Trip::Half) => return Err(io::Error::other("the answer is lost")),
        Some(Trip::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let is_public = shared.public.lock().iter().any(|known| path.starts_with(known.as_str()));
    let is_known = authorization.as_deref().is_some_and(|header| opens(&shared, header));
    if !is_known && (is_push || !is_public) {
        let mut refused = empty(401);
        refused.headers_mut().insert("www-authenticate", "Basic realm=\"forge\"".parse().expect("a value"));
        return Ok(refused);
    }
    if is_push && *shared.reads_only.lock() {
        return Ok(empty(403));
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut git = Command::from(set_up(BlockingCommand::new("git")));
    git.arg("http-backend").envs([
        ("GIT_PROJECT_ROOT", shared.root.path().display().to_string()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("PATH_INFO", path),
        ("QUERY_STRING", query),
        ("REQUEST_METHOD", parts.method.to_string()),
        ("CONTENT_TYPE", header("content-type").unwrap_or_default()),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default()),
        ("GIT_PROTOCOL", header("git-protocol").unwrap_or_default()),
        ("REMOTE_ADDR", "127.0.0.1".to_owned()),
    ]);
    if is_known {
        git.env("REMOTE_USER", "mimir");
    }
    let mut child =
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut stdin = child.stdin.take().expect("a pipe");
    let feed = async move {
        let _ = stdin.write_all(&body).await;
    };
    let (_, done) = tokio::join!(feed, child.wait_with_output());
    let said = done?.stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(0);
    let (head, rest) = said.split_at((end + 4).min(said.len()));
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(rest)));
    for (name, value) in String::from_utf8_lossy(head).lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            let status = value.get(..3).and_then(|text| text.parse().ok()).unwrap_or(500);
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        } else if name.eq_ignore_ascii_case("content-type") {
            response.headers_mut().insert("content-type", value.parse().expect("a value"));
        }
    }
    if parts.method == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    if is_push && parts.method == Method::POST {
        shared.api.was_pushed_to();
    }
    Ok(response)
}

/// Whether that is the token, or one of the app's that holds.
fn opens(shared: &Shared, header: &str) -> bool {
    let decoded =
        header.strip_prefix("Basic ").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    let Some((_, token)) = decoded.split_once(':') else { return false };
    let state = shared.api.state.lock();
    token == TOKEN || state.tokens.get(token).is_some_and(|(_, until)| state.now_ms() < *until)
}

fn empty(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

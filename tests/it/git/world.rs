//! A frame's git, its broker, and a forge.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mimir::broker::Dialer;
use mimir::config::schema::{Git, GitCredential, TokenSource};
use mimir::model::frame::Frame;
use mimir::model::git::{ForgeHost, FrameForge, GitMode, Push, PushState, Repository};
use mimir::model::network::NetworkMode;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::forge::{Bare, Forge, TOKEN};
use crate::net::support;

pub const OWNER: Principal = Principal::Owner { uid: 1000 };
/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// How a command ended.
#[derive(Debug)]
#[must_use]
pub struct Ran {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn fine(self) -> Self {
        assert!(self.ok, "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub fn refused(self) -> String {
        assert!(!self.ok, "{}\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// A world with one frame, whose repository is `me/blog`.
pub struct World {
    pub forge: Forge,
    pub blog: Bare,
    pub net: support::World,
    pub frame: Frame,
    inside: tempfile::TempDir,
    broker: SocketAddr,
    _forwarder: JoinSet<()>,
}

impl World {
    pub async fn new(mode: GitMode) -> Self {
        Self::with(mode, |_| {}).await
    }

    /// With another configuration.
    pub async fn with(mode: GitMode, change: impl FnOnce(&mut Git)) -> Self {
        let forge = Forge::start().await;
        let blog = forge.repository("me/blog");
        let net = support::World::new(Vec::new(), Dialer::default());
        let host = ForgeHost::parse(&forge.host()).expect("a host");
        let credential = GitCredential {
            host: host.clone(),
            user: None,
            source: TokenSource::Here(Some(Secret::new(TOKEN))),
        };
        let mut settings = Git { hosts: vec![host], credentials: vec![credential], ..Git::default() };
        settings.refresh = Duration::from_millis(1);
        change(&mut settings);
        net.git.set(settings);
        let repository = Repository::parse(&format!("{}/me/blog", forge.host())).expect("a repository");
        let mut frame = support::frame(1, NetworkMode::Allow, &[]);
        frame.forge = FrameForge { repository: Some(repository), mode, branches: Vec::new() };
        net.insert(&frame).await;
        let folder = net.open(&frame);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let broker = listener.local_addr().expect("an address");
        let mut forwarder = JoinSet::new();
        forwarder.spawn(forward(listener, folder.join("broker.sock")));
        let inside = tempfile::tempdir().expect("a folder");
        Self { forge, blog, net, frame, inside, broker, _forwarder: forwarder }
    }

    /// Other rules for the frame.
    pub fn allow(&mut self, change: impl FnOnce(&mut Frame)) {
        change(&mut self.frame);
        let client =
            self.net.broker.client(&self.frame.id, &self.frame.name, mimir::broker::Reach::of(&self.frame));
        self.net.broker.update(client);
    }

    /// A folder of the frame.
    pub fn path(&self, name: &str) -> PathBuf {
        self.inside.path().join(name)
    }

    /// The address that the frame's git is given, as a person would type it.
    pub fn address(&self, path: &str) -> String {
        format!("{}/{path}.git", self.forge.host())
    }

    /// Runs git as the frame does: what it asks of the forge goes to the broker.
    pub async fn git(&self, folder: &str, args: &[&str]) -> Ran {
        self.git_with(folder, args, b"").await
    }

    /// The same, with something to read.
    pub async fn git_with(&self, folder: &str, args: &[&str], input: &[u8]) -> Ran {
        let rewrite = format!(
            "url.http://{}/git/{}/.insteadOf=http://{}/",
            self.broker, self.forge.address, self.forge.address
        );
        let mut git = Command::new("git");
        git.args(["-c", &rewrite]).args(args).current_dir(self.path(folder)).env_clear().envs([
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", self.inside.path().display().to_string()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ("GIT_AUTHOR_NAME", "Agent".to_owned()),
            ("GIT_AUTHOR_EMAIL", "agent@example.org".to_owned()),
            ("GIT_COMMITTER_NAME", "Agent".to_owned()),
            ("GIT_COMMITTER_EMAIL", "agent@example.org".to_owned()),
        ]);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = git.spawn().expect("git");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let feed = async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, &input).await;
        };
        let run = async { tokio::join!(feed, child.wait_with_output()).1 };
        let done = tokio::time::timeout(LIMIT, run).await;
        let done = done.unwrap_or_else(|_| panic!("git {args:?} hangs")).expect("an end");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { ok: done.status.success(), stdout: text(&done.stdout), stderr: text(&done.stderr) }
    }

    /// A clone of the frame's repository, in `work`.
    pub async fn clone(&self) {
        let address = self.address("me/blog");
        let _ = self.git(".", &["clone", "--quiet", &address, "work"]).await.fine();
    }

    /// One more commit in `work` on that branch.
    pub async fn commit(&self, branch: &str, file: &str, text: &str) -> String {
        let _ = self.git("work", &["checkout", "--quiet", "-B", branch]).await.fine();
        let path = self.path("work").join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
        let _ = self.git("work", &["add", "--force", "."]).await.fine();
        let _ = self.git("work", &["commit", "--quiet", "-m", &format!("change {file}")]).await.fine();
        self.id("HEAD").await
    }

    /// What a name is in `work`.
    pub async fn id(&self, name: &str) -> String {
        self.git("work", &["rev-parse", name]).await.fine().stdout.trim().to_owned()
    }

    pub async fn push(&self, refs: &[&str]) -> Ran {
        let mut args = vec!["push", "origin"];
        args.extend(refs);
        self.git("work", &args).await
    }

    /// Everything that was pushed, the newest first.
    pub async fn pushed(&self) -> Vec<Push> {
        self.net.pushes.list(None, true).await.expect("rows")
    }

    /// The newest push.
    pub async fn last(&self) -> Push {
        self.pushed().await.into_iter().next().expect("a push")
    }

    pub async fn states(&self) -> Vec<PushState> {
        self.pushed().await.iter().rev().map(|push| push.state).collect()
    }

    /// Whether what opens the forge is anywhere that the frame can read, in any of the forms in which it could be.
    pub fn assert_no_token(&self, more: &[&str]) {
        use base64::Engine as _;
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let forms = [TOKEN.to_owned(), encode(TOKEN.to_owned()), encode(format!("x-access-token:{TOKEN}"))];
        let look = |place: &str, bytes: &[u8]| {
            for form in &forms {
                let found = bytes.windows(form.len()).any(|part| part == form.as_bytes());
                assert!(!found, "the token is in {place}");
            }
        };
        let mut left = vec![self.inside.path().to_owned(), self.net.folder(&self.frame)];
        let mut count = 0;
        while let Some(folder) = left.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    left.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    count += 1;
                    look(&path.display().to_string(), &bytes);
                }
            }
        }
        assert!(count > 5, "only {count} files were looked at");
        more.iter().for_each(|text| look("what was printed", text.as_bytes()));
    }

    /// What is kept beside the mirrors: one folder for each push that is not over.
    pub fn parcels(&self) -> usize {
        std::fs::read_dir(self.net.home.path().join("git/pushes")).into_iter().flatten().count()
    }

    pub fn home(&self) -> &Path {
        self.net.home.path()
    }
}

/// What the forwarder inside a frame does.
async fn forward(listener: TcpListener, socket: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let socket = socket.clone();
        connections.spawn(async move {
            let Ok(mut broker) = UnixStream::connect(socket).await else { return };
            // Either of the two may leave first.
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut broker).await;
        });
    }
}

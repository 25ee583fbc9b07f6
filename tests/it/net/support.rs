//! A frame's side of the link, and a broker on the other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mimir::approvals::{Approvals, ApprovalsDeps, Rules};
use mimir::broker::{Broker, BrokerDeps, Dialer, IDLE, Limits as Egress, Reach};
use mimir::budget::{BudgetDeps, Budgets, Settings};
use mimir::clock::Clock;
use mimir::config::Live;
use mimir::config::schema::Git as GitSettings;
use mimir::forge::Apps;
use mimir::frames::{AgentLocator, AttendError, HostNetworking, PlaceError};
use mimir::git::Credentials;
use mimir::model::agent::AgentSessionId;
use mimir::model::allow::AllowGroups;
use mimir::model::approval::ApprovalRequest;
use mimir::model::frame::{Desired, EngineKind, Frame, FrameState, Limits};
use mimir::model::git::FrameForge;
use mimir::model::ids::FrameId;
use mimir::model::names::FrameName;
use mimir::model::network::{HostTraffic, NetworkMode};
use mimir::model::port::Port;
use mimir::model::secret::Secret;
use mimir::model::usage::Price;
use mimir::models::{ModelSettings, Models, Prices, ProviderKind, ProviderSettings};
use mimir::opencode::OpencodeClient;
use mimir::outbound::HttpClients;
use mimir::pushes::{Pushes, PushesDeps};
use mimir::runtime::link::Link;
use mimir::secrets::{Vault, VaultDeps};
use mimir::store::frames::NewFrame;
use mimir::store::{OpenOptions, Store, approvals, frame_hosts};
use mimir::supervisor::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Nothing in these tests takes longer, unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `look` finds something; says what was seen last when it does not.
pub async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let began = std::time::Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(began.elapsed() < LIMIT, "{what}: last seen {seen}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A frame that exists only as a row.
pub fn frame(number: u128, network: NetworkMode, allow: &[&str]) -> Frame {
    Frame {
        id: FrameId::from_parts(1, number),
        name: FrameName::parse(&format!("frame-{number}")).expect("a name"),
        project: None,
        origin: mimir::model::origin::Origin::Person,
        run: None,
        engine: EngineKind::Podman,
        workspace: "/nowhere".to_owned(),
        git: None,
        forge: FrameForge::default(),
        image: String::new(),
        image_id: String::new(),
        network,
        allow: allow.iter().map(|&host| host.to_owned()).collect(),
        deny: Vec::new(),
        providers: Vec::new(),
        env: Vec::new(),
        gpu: false,
        limits: Limits { cpus_milli: 1000, memory_bytes: 1 << 30, pids: 100 },
        owner_uid: 0,
        owner_gid: 0,
        desired: Desired::Running,
        state: FrameState::Running,
        reason: None,
        generation: 1,
        agent_port: Port(33000),
        preview_port: Port(33001),
        expires_at: None,
        created_at: 1,
        state_changed_at: 1,
        last_active_at: 1,
        warm: None,
    }
}

/// A provider at an address, with a key that must never reach a frame.
pub fn provider(name: &str, kind: ProviderKind, base_url: &str) -> ProviderSettings {
    ProviderSettings {
        name: name.to_owned(),
        kind,
        base_url: Some(base_url.parse().expect("an address")),
        key: Some(Secret::new(CANARY)),
        models: Vec::new(),
    }
}

/// A provider whose model `scripted` costs 3 dollars for a million tokens in, and 15 out.
pub fn priced(base_url: &str) -> ProviderSettings {
    let price = Price { input: 3_000_000, output: 15_000_000, cache_read: 300_000, cache_write: 3_750_000 };
    let model = ModelSettings { id: "scripted".to_owned(), price: Some(price), ..ModelSettings::default() };
    ProviderSettings { models: vec![model], ..provider("scripted", ProviderKind::OpenAiCompatible, base_url) }
}

/// The key of every provider in these tests.
pub const CANARY: &str = "sk-canary-5e1f";

/// A broker with a real store, in a folder of its own.
pub struct World {
    pub home: TempDir,
    pub broker: Broker,
    pub budgets: Budgets,
    pub vault: Vault,
    pub pushes: Pushes,
    /// How frames come to forges.
    pub git: Live<GitSettings>,
    pub store: Store,
    pub tasks: Tasks,
    pub limits: Live<Egress>,
}

impl World {
    pub fn new(providers: Vec<ProviderSettings>, dialer: Dialer) -> Self {
        let prices = Prices::built_in().expect("prices");
        let names: Vec<String> = providers.iter().map(|provider| provider.name.clone()).collect();
        Self::granting(providers, dialer, prices, &names)
    }

    /// The same; every frame may use those providers.
    pub fn granting(
        providers: Vec<ProviderSettings>,
        dialer: Dialer,
        prices: Prices,
        every: &[String],
    ) -> Self {
        Self::with(providers, dialer, prices, every, IDLE)
    }

    /// The same; a connection is closed after so long without a byte.
    pub fn with(
        providers: Vec<ProviderSettings>,
        dialer: Dialer,
        prices: Prices,
        every: &[String],
        idle: Duration,
    ) -> Self {
        let models = Models::new(providers, prices, HttpClients::default());
        Self::made(models.for_every_frame(every.iter().map(String::as_str)), dialer, idle)
    }

    /// With one provider, whose answers a frame may leave unread for so long.
    pub fn impatient(provider: ProviderSettings, unread: Duration) -> Self {
        let name = provider.name.clone();
        let models = Models::new(vec![provider], Prices::default(), HttpClients::default());
        let models = models.for_every_frame([name.as_str()]).cutting_unread_after(unread);
        Self::made(models, Dialer::default(), IDLE)
    }

    fn made(models: Models, dialer: Dialer, idle: Duration) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let options = OpenOptions {
            path: home.path().join("mimir.db"),
            key: Secret::new("07".repeat(32)),
            backups: home.path().join("backups"),
        };
        let store = Store::open(options, Clock::system()).expect("a store");
        Self::on(home, store, models, dialer, idle)
    }

    fn on(home: TempDir, store: Store, models: Models, dialer: Dialer, idle: Duration) -> Self {
        let tasks = Tasks::default();
        let limits = Live::new(Egress::default());
        let models = Arc::new(models);
        let budgets = Budgets::new(BudgetDeps {
            store: store.clone(),
            models: models.clone(),
            clock: Clock::system(),
            failpoints: tasks.failpoints(),
            settings: Settings::default(),
        });
        tasks.run(&budgets);
        let vault =
            Vault::new(VaultDeps { store: store.clone(), known: models.known().clone(), keys: Vec::new() });
        let git = Live::new(GitSettings::default());
        let pushes = Pushes::new(PushesDeps {
            credentials: credentials(&git),
            store: store.clone(),
            tasks: tasks.clone(),
            vault: vault.clone(),
            settings: git.clone(),
            home: home.path().to_owned(),
        });
        let broker = Broker::new(BrokerDeps {
            store: store.clone(),
            vault: vault.clone(),
            models,
            budgets: budgets.clone(),
            pushes: pushes.clone(),
            http: HttpClients::default(),
            tasks: tasks.clone(),
            groups: AllowGroups::built_in().expect("groups"),
            dialer,
            clock: Clock::system(),
            limits: limits.clone(),
            idle,
        });
        Self { home, broker, budgets, vault, pushes, git, store, tasks, limits }
    }

    /// People are asked about hosts that are not on a frame's list, for so long.
    pub fn asking(&self, wait: Duration) -> Approvals {
        let approvals = Approvals::new(ApprovalsDeps {
            store: self.store.clone(),
            locator: Arc::new(Nobody),
            host: Arc::new(Opened(self.broker.clone())),
            clock: Clock::system(),
            tasks: self.tasks.clone(),
            rules: Rules::new(self.store.clone(), Live::new(Vec::new())),
        });
        self.limits.set(Egress { ask_wait: wait, ..*self.limits.now() });
        self.broker.ask_people(&approvals);
        approvals
    }

    /// The only question that is open, once there is one.
    pub async fn question(&self) -> ApprovalRequest {
        eventually("a question", || async {
            let open = self.store.read(|db| approvals::open(db, None)).await;
            let mut open = open.map_err(|error| error.to_string())?;
            if open.len() == 1 { Ok(open.remove(0)) } else { Err(format!("{open:?}")) }
        })
        .await
    }

    /// Keeps a frame's row, where what its connections came to can be kept too.
    pub async fn insert(&self, frame: &Frame) {
        let new = NewFrame {
            id: frame.id.clone(),
            name: frame.name.clone(),
            project: None,
            origin: frame.origin,
            run: None,
            workspace: frame.workspace.clone(),
            git: None,
            forge: frame.forge.clone(),
            image: String::new(),
            image_id: String::new(),
            network: frame.network,
            allow: frame.allow.clone(),
            providers: frame.providers.clone(),
            env: Vec::new(),
            gpu: frame.gpu,
            limits: frame.limits,
            owner_uid: 0,
            owner_gid: 0,
            desired: Desired::Running,
            expires_at: None,
            ports: "33000-34000".parse().expect("a range"),
            avoid: BTreeSet::new(),
            given: String::new(),
        };
        let inserted = self.store.write(move |tx| mimir::store::frames::insert(tx, &new)).await;
        inserted.expect("a frame");
    }

    /// What a frame's connections to that host came to, once it looks as `wanted`.
    pub async fn traffic(
        &self,
        frame: &Frame,
        host: &str,
        wanted: impl Fn(&HostTraffic) -> bool,
    ) -> HostTraffic {
        let today = Clock::system().now_ms() / 86_400_000;
        eventually("what was counted", || async {
            let id = frame.id.clone();
            let found = self.store.read(move |db| frame_hosts::of_frame(db, &id, today)).await;
            let found = found.map_err(|error| error.to_string())?;
            let one = found.iter().find(|it| it.host == host && wanted(it)).cloned();
            one.ok_or_else(|| format!("{found:?}"))
        })
        .await
    }

    /// Opens a tunnel.
    pub async fn tunnel(&self, frame: &Frame, target: &str) -> UnixStream {
        let mut stream = self.connect(frame).await;
        let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(connect.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time").expect("a head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        stream
    }

    /// Another gateway in the same home, after this one died without a word.
    pub async fn next_life(self, providers: Vec<ProviderSettings>) -> Self {
        self.tasks.stop_token().cancel();
        let names: Vec<String> = providers.iter().map(|provider| provider.name.clone()).collect();
        let models = Models::new(providers, Prices::built_in().expect("prices"), HttpClients::default());
        let models = models.for_every_frame(names.iter().map(String::as_str));
        let next = Self::on(self.home, self.store, models, Dialer::default(), IDLE);
        next.budgets.take_up().await.expect("the books are taken up");
        next
    }

    /// The folder that a frame shares with us.
    pub fn folder(&self, frame: &Frame) -> PathBuf {
        self.home.path().join(frame.id.as_str())
    }

    /// Makes a frame's link and opens its broker.
    pub fn open(&self, frame: &Frame) -> PathBuf {
        let folder = self.folder(frame);
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let link = Link::new(&folder);
        link.ensure(uid, gid).expect("a link");
        let client = self.broker.client(&frame.id, &frame.name, Reach::of(frame));
        self.broker.open(client, || link.listen()).expect("a broker");
        folder
    }

    /// Connects as the frame's forwarder does.
    pub async fn connect(&self, frame: &Frame) -> UnixStream {
        UnixStream::connect(self.folder(frame).join("broker.sock")).await.expect("the broker listens")
    }

    /// Sends a request and reads everything until the broker closes.
    pub async fn ask(&self, frame: &Frame, request: &[u8]) -> String {
        let mut stream = self.connect(frame).await;
        // The broker may have said no and gone before all was written.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("an end");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Makes a model call.
    pub async fn call(&self, frame: &Frame, path: &str, body: &serde_json::Value) -> String {
        self.ask(frame, post(path, body).as_bytes()).await
    }

    /// The model calls in the books, once there are so many.
    pub async fn calls(&self, frame: &Frame, count: u64) -> mimir::store::usage::Sum {
        eventually("the books", || async {
            let id = frame.id.clone();
            let sum = self.store.read(move |db| mimir::store::usage::sum(db, Some(&id), 0)).await;
            let sum = sum.map_err(|error| error.to_string())?;
            if sum.calls == count { Ok(sum) } else { Err(format!("{sum:?}")) }
        })
        .await
    }
}

/// No agent is there.
struct Nobody;

#[async_trait]
impl AgentLocator for Nobody {
    async fn wake(&self, frame: &FrameId, _: Duration) -> Result<OpencodeClient, PlaceError> {
        self.agent(frame).await
    }

    async fn agent(&self, _: &FrameId) -> Result<OpencodeClient, PlaceError> {
        Err(PlaceError::NotThere("there is no agent".to_owned()))
    }

    async fn show(&self, _: &FrameId, _: &AgentSessionId) {}
}

/// Tells the broker of other rules.
struct Opened(Broker);

#[async_trait]
impl HostNetworking for Opened {
    async fn open(&self, _: &Frame) -> Result<(), AttendError> {
        Ok(())
    }

    fn rules_changed(&self, frame: &Frame) {
        self.0.update(self.0.client(&frame.id, &frame.name, Reach::of(frame)));
    }

    async fn close(&self, _: &FrameId) {}
}

/// A POST as opencode would send it, with headers that must stay here.
pub fn post(path: &str, body: &serde_json::Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:8118\r\nContent-Type: application/json\r\n\
         Authorization: Bearer from-the-frame\r\nCookie: frame=1\r\nAccept-Encoding: gzip\r\n\
         x-session-id: ses_abc\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What opens forges, as the configuration has it.
pub fn credentials(settings: &Live<GitSettings>) -> Credentials {
    let apps = Apps::new(HttpClients::default(), Clock::system(), mimir::forge::Settings::default());
    Credentials::new(settings.clone(), apps)
}

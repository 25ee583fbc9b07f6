//! A frame's side of the link, and a broker on the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mimir::broker::{Broker, BrokerDeps, Dialer};
use mimir::budget::{BudgetDeps, Budgets, Settings};
use mimir::clock::Clock;
use mimir::model::allow::AllowGroups;
use mimir::model::frame::{Desired, EngineKind, Frame, FrameState, Limits};
use mimir::model::ids::FrameId;
use mimir::model::names::FrameName;
use mimir::model::network::NetworkMode;
use mimir::model::port::Port;
use mimir::model::secret::Secret;
use mimir::model::usage::Price;
use mimir::models::{ModelSettings, Models, Prices, ProviderKind, ProviderSettings};
use mimir::outbound::HttpClients;
use mimir::runtime::link::Link;
use mimir::store::{OpenOptions, Store};
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
        image: String::new(),
        image_id: String::new(),
        network,
        allow: allow.iter().map(|&host| host.to_owned()).collect(),
        env: Vec::new(),
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
    pub store: Store,
    pub tasks: Tasks,
}

impl World {
    pub fn new(providers: Vec<ProviderSettings>, dialer: Dialer) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let options = OpenOptions {
            path: home.path().join("mimir.db"),
            key: Secret::new("07".repeat(32)),
            backups: home.path().join("backups"),
        };
        let store = Store::open(options, Clock::system()).expect("a store");
        Self::on(home, store, providers, dialer)
    }

    fn on(home: TempDir, store: Store, providers: Vec<ProviderSettings>, dialer: Dialer) -> Self {
        let tasks = Tasks::default();
        let prices = Prices::built_in().expect("prices");
        let models = Arc::new(Models::new(providers, prices, HttpClients::default()));
        let budgets = Budgets::new(BudgetDeps {
            store: store.clone(),
            models: models.clone(),
            clock: Clock::system(),
            failpoints: tasks.failpoints(),
            settings: Settings::default(),
        });
        tasks.run(&budgets);
        let broker = Broker::new(BrokerDeps {
            store: store.clone(),
            models,
            budgets: budgets.clone(),
            tasks: tasks.clone(),
            groups: AllowGroups::built_in().expect("groups"),
            dialer,
        });
        Self { home, broker, budgets, store, tasks }
    }

    /// Another gateway in the same home, after this one died without a word.
    pub async fn next_life(self, providers: Vec<ProviderSettings>) -> Self {
        self.tasks.stop_token().cancel();
        let next = Self::on(self.home, self.store, providers, Dialer::default());
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
        let client = self.broker.client(&frame.id, &frame.name, frame.network, &frame.allow);
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

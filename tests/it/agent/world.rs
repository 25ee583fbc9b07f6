//! A gateway without its edges: database, router, and a scripted agent behind HTTP.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mimir::clock::{Clock, entropy_128};
use mimir::daemon::Resources;
use mimir::delivery::{Accepted, Delivery, Limits, SendError, SendRequest, Settings};
use mimir::feed::{self, Feeds, Patience};
use mimir::frames::{AgentLocator, PlaceError};
use mimir::gateway::Services;
use mimir::model::agent::AgentSessionId;
use mimir::model::event::EventKind;
use mimir::model::frame::{Desired, FrameEvent, FrameState, Limits as FrameLimits};
use mimir::model::ids::FrameId;
use mimir::model::message::{DeliveryState, IdempotencyKey, Message, MessageText};
use mimir::model::names::FrameName;
use mimir::model::network::NetworkMode;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::opencode::OpencodeClient;
use mimir::sessions::Sessions;
use mimir::store::{Store, events, frames, messages};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use parking_lot::Mutex;

use super::said::{self, Said};
use super::scripted::{PASSWORD, ScriptedAgent};
use crate::machine::{Builder, Gateway, Machine};

pub const OWNER: Principal = Principal::Owner { uid: 0 };

/// A message for a frame.
pub fn to(frame: &str, text: &str) -> SendRequest {
    SendRequest::new(FrameName::parse(frame).expect("a name"), MessageText::parse(text).expect("a text"))
}
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub store: Store,
    pub router: Delivery,
    pub feeds: Feeds,
    pub agent: Arc<ScriptedAgent>,
    pub locator: Arc<ScriptedPlaces>,
    pub failpoints: Failpoints,
    pub frame: FrameId,
    sessions: Sessions,
    settings: Settings,
    tasks: Tasks,
    machine: Machine,
}

/// With an agent that rests.
const PATIENCE: Patience = Patience { begin: Duration::from_millis(800), settle: Duration::from_millis(400) };

pub fn settings() -> Settings {
    Settings {
        return_after_loss: Duration::from_secs(2),
        limits: Limits { steps: 5, ..Limits::default() },
        patience: PATIENCE,
        begin_again: Duration::from_millis(800),
        ..Settings::new("scripted/scripted".parse().expect("a model"))
    }
}

/// As patient as the messages are: a real agent takes up to a second for its last word.
fn feed_settings(patience: Patience) -> feed::Settings {
    feed::Settings {
        first_pause: Duration::from_millis(20),
        look_every: Duration::from_millis(500),
        patience,
        ..feed::Settings::default()
    }
}

impl World {
    pub async fn new() -> Self {
        let machine = Machine::new();
        let agent = ScriptedAgent::start();
        let frame = FrameId::from_parts(1_000, entropy_128());
        let builder = machine.gateway();
        insert_frame(&builder.store(), &frame, "blog").await;
        let locator = Arc::new(ScriptedPlaces::new(builder.store(), agent.clone()));
        let settings = settings();
        let Gateway { services, tasks, .. } = start(builder, locator.clone(), settings.clone());
        let failpoints = tasks.failpoints();
        let Services { store, delivery: router, feeds, sessions, .. } = services;
        Self { store, router, feeds, sessions, agent, locator, failpoints, settings, frame, tasks, machine }
    }

    /// A world with other settings than the usual ones.
    pub async fn set(change: impl FnOnce(&mut Settings)) -> Self {
        let mut world = Self::new().await;
        let _ = world.tasks.stop(LIMIT).await;
        change(&mut world.settings);
        let builder = world.machine.gateway_on(world.store.clone());
        world.take(start(builder, world.locator.clone(), world.settings.clone()));
        world
    }

    /// A world whose time is moved by hand.
    pub async fn at(clock: Clock) -> Self {
        let mut world = Self::new().await;
        let _ = world.tasks.stop(LIMIT).await;
        let builder = world.machine.gateway_on(world.store.clone());
        let builder = builder.change(|resources| resources.clock = clock);
        world.take(start(builder, world.locator.clone(), world.settings.clone()));
        world
    }

    /// A world whose agent is found by `locator`; the scripted one is there and not used.
    pub async fn with(locator: Arc<dyn AgentLocator>, settings: Settings) -> Self {
        let mut world = Self::new().await;
        let _ = world.tasks.stop(LIMIT).await;
        let builder = world.machine.gateway_on(world.store.clone());
        world.take(start(builder, locator, settings));
        world
    }

    fn take(&mut self, gateway: Gateway) {
        let Gateway { services, tasks, .. } = gateway;
        self.failpoints = tasks.failpoints();
        let Services { store, delivery, feeds, sessions, .. } = services;
        (self.store, self.router, self.feeds, self.sessions) = (store, delivery, feeds, sessions);
        self.tasks = tasks;
    }

    pub fn client(&self) -> OpencodeClient {
        self.agent.client()
    }

    /// The database as a second gateway would see it.
    pub fn reopened(&self) -> Store {
        self.machine.open_store()
    }

    /// The agent and the files stay.
    #[cfg(feature = "test-support")]
    pub async fn stop_gateway(&self) {
        assert!(self.tasks.stop(LIMIT).await, "the lanes end");
    }

    /// What is armed dies with the old gateway.
    #[cfg(feature = "test-support")]
    pub async fn restart_gateway(&mut self) {
        self.stop_gateway().await;
        let builder = self.machine.gateway();
        self.locator = Arc::new(ScriptedPlaces::new(builder.store(), self.agent.clone()));
        self.take(start(builder, self.locator.clone(), self.settings.clone()));
        self.router.resume().await.expect("the open messages");
    }

    /// A gateway after one that was stopped, whose agent is found by `locator`.
    pub fn start_again(&mut self, locator: Arc<dyn AgentLocator>, settings: Settings) {
        let builder = self.machine.gateway();
        self.take(start(builder, locator, settings));
    }

    /// Sends a message to a gateway that dies at `point`, and returns the message as it was left.
    #[cfg(feature = "test-support")]
    pub async fn send_and_die_at(&self, point: &'static str) -> Message {
        let died = tokio::time::timeout(LIMIT, async {
            tokio::select! {
                died = self.failpoints.died() => died,
                // Ends early unless it dies in the middle of it.
                _ = async {
                    let _ = self.send_keyed("hi", "the-key").await;
                    std::future::pending::<()>().await;
                } => "never",
            }
        });
        assert_eq!(died.await.expect("it dies in time"), point);
        let found = self.store.read(|db| messages::find_by_key(db, "the-key")).await.expect("a row");
        found.expect("the message was stored")
    }

    pub async fn send(&self, text: &str) -> Message {
        self.send_with(text, |_| {}).await
    }

    pub async fn send_with(&self, text: &str, change: impl FnOnce(&mut SendRequest)) -> Message {
        let mut request = to("blog", text);
        change(&mut request);
        self.router.send(&OWNER, request).await.expect("accepted").message
    }

    pub async fn send_keyed(&self, text: &str, key: &str) -> Result<Accepted, SendError> {
        let key = Some(IdempotencyKey::parse(key).expect("a key"));
        self.router.send(&OWNER, SendRequest { key, ..to("blog", text) }).await
    }

    /// The message at its end.
    pub async fn end_of(&self, message: &Message) -> Message {
        let ended = self.router.wait_for_end(&message.id, LIMIT).await.expect("a row");
        assert!(ended.state.is_final(), "after {LIMIT:?}: {ended:?}; told {:?}", self.told(message).await);
        ended
    }

    pub async fn state(&self, message: &Message) -> DeliveryState {
        let id = message.id.clone();
        self.store.read(move |db| messages::get(db, &id)).await.expect("a row").state
    }

    pub async fn reaches(&self, message: &Message, state: DeliveryState) {
        self.eventually(state.as_str(), async || self.state(message).await == state).await;
    }

    pub async fn eventually(&self, what: &str, check: impl AsyncFn() -> bool) {
        let waited = tokio::time::timeout(LIMIT, async {
            while !check().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(waited.await.is_ok(), "not within {LIMIT:?}: {what}");
    }

    /// Everything that was told of a message, in order.
    pub async fn told(&self, message: &Message) -> Vec<EventKind> {
        let filter = events::Filter { message: Some(message.id.clone()), ..events::Filter::default() };
        let stored = self.store.read(move |db| events::after(db, 0, &filter, usize::MAX)).await;
        stored.expect("events").into_iter().map(|event| event.what).collect()
    }

    pub async fn history(&self, message: &Message) -> Vec<Said> {
        said::history(&self.sessions(), &message.session).await
    }

    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    pub async fn stop_frame(&self) {
        let frame = self.frame.clone();
        let change = move |tx: &mut mimir::store::Tx<'_>| {
            frames::set_desired(tx, &frame, Desired::Stopped)?;
            frames::apply(tx, &frame, FrameEvent::StopConfirmed, None)
        };
        self.store.write(change).await.expect("stopped");
    }
}

/// A gateway that delivers messages and follows agents, and does nothing else by itself.
fn start(builder: Builder, locator: Arc<dyn AgentLocator>, settings: Settings) -> Gateway {
    let change = |resources: &mut Resources| {
        resources.stand_ins.locator = Some(locator);
        resources.settings.feed = feed_settings(settings.patience);
        resources.settings.delivery = settings;
    };
    builder.change(change).only(&["feeds", "queue"]).start()
}

/// A frame that runs.
pub async fn insert_frame(store: &Store, id: &FrameId, name: &str) {
    let new = frames::NewFrame {
        id: id.clone(),
        name: FrameName::parse(name).expect("a name"),
        project: None,
        origin: mimir::model::origin::Origin::Person,
        run: None,
        workspace: "/nowhere".into(),
        git: None,
        forge: mimir::model::git::FrameForge::default(),
        image: "image".into(),
        image_id: "id".into(),
        network: NetworkMode::Sealed,
        allow: Vec::new(),
        providers: Vec::new(),
        env: Vec::new(),
        gpu: false,
        limits: FrameLimits { cpus_milli: 1000, memory_bytes: 1 << 30, pids: 100 },
        owner_uid: 0,
        owner_gid: 0,
        desired: Desired::Running,
        expires_at: None,
        ports: "33000-34000".parse().expect("a range"),
        avoid: BTreeSet::new(),
        given: String::new(),
    };
    let id = id.clone();
    let change = move |tx: &mut mimir::store::Tx<'_>| {
        frames::insert(tx, &new)?;
        frames::apply(tx, &id, FrameEvent::StartRequested, None)?;
        frames::apply(tx, &id, FrameEvent::BecameReady, None)
    };
    store.write(change).await.expect("a frame");
}

/// All text that was told, as one.
pub fn text(told: &[EventKind]) -> String {
    let delta = |happening: &EventKind| match happening {
        EventKind::Text { delta, .. } => Some(delta.clone()),
        _ => None,
    };
    told.iter().filter_map(delta).collect()
}

/// Frames that are there at once, or never.
pub struct ScriptedPlaces {
    store: Store,
    agent: Arc<ScriptedAgent>,
    wakes: AtomicU32,
    refusal: Mutex<Option<String>>,
    shown: Mutex<Vec<AgentSessionId>>,
}

impl ScriptedPlaces {
    fn new(store: Store, agent: Arc<ScriptedAgent>) -> Self {
        Self { store, agent, wakes: AtomicU32::new(0), refusal: Mutex::default(), shown: Mutex::default() }
    }

    pub fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::SeqCst)
    }

    /// The conversations that the terminal was told to open on.
    pub fn shown(&self) -> Vec<AgentSessionId> {
        self.shown.lock().clone()
    }

    pub fn cannot_start(&self, why: &str) {
        *self.refusal.lock() = Some(why.to_owned());
    }
}

#[async_trait]
impl AgentLocator for ScriptedPlaces {
    async fn wake(&self, frame: &FrameId, _deadline: Duration) -> Result<OpencodeClient, PlaceError> {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        if let Some(why) = self.refusal.lock().clone() {
            return Err(PlaceError::NotThere(why));
        }
        let frame = frame.clone();
        let start = move |tx: &mut mimir::store::Tx<'_>| {
            frames::set_desired(tx, &frame, Desired::Running)?;
            if frames::get(tx, &frame)?.state != FrameState::Running {
                frames::apply(tx, &frame, FrameEvent::StartRequested, None)?;
                frames::apply(tx, &frame, FrameEvent::BecameReady, None)?;
            }
            Ok(())
        };
        self.store.write(start).await.expect("started");
        Ok(self.agent.client())
    }

    async fn agent(&self, _frame: &FrameId) -> Result<OpencodeClient, PlaceError> {
        Ok(OpencodeClient::new(self.agent.connector(), &Secret::new(PASSWORD)))
    }

    async fn show(&self, _frame: &FrameId, session: &AgentSessionId) {
        self.shown.lock().push(session.clone());
    }
}

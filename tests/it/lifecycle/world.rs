//! A machine in memory: a home, an engine, scripted agents, and gateways that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use mimir::config::schema as config;
use mimir::daemon::Resources;
use mimir::frames::connect::known_servers;
use mimir::frames::{AttendError, CrashSettings, FrameError, Frames, HostNetworking, Settings};
use mimir::gateway::Services;
use mimir::model::event::EventKind;
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::model::ids::FrameId;
use mimir::model::names::FrameName;
use mimir::model::network::LentHost;
use mimir::model::port::{Port, PortPurpose};
use mimir::model::principal::Principal;
use mimir::runtime::fake::{FakeEngine, StartedContainer};
use mimir::store::{Store, events, frames, ports};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use mimir::wire::frames::CreateFrame;

use crate::inside::Inside;
use crate::machine::{Gateway, Machine};

pub const OWNER: Principal = Principal::Owner { uid: 1000 };
/// How long anything may take here before the test says where things stood.
const PATIENCE: Duration = Duration::from_secs(30);

/// How scripted agents behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// They answer.
    Answers,
    /// They accept connections and say nothing (docs/traps.md, 1).
    Swallows,
    /// They swallow that many requests, then answer.
    SwallowsFirst(u32),
    /// They are another version.
    Version2,
}

pub struct World {
    pub engine: FakeEngine,
    pub frames: Frames,
    pub failpoints: Failpoints,
    pub attendant: Arc<HostSide>,
    pub agent: Arc<Mutex<Agent>>,
    pub store: Store,
    pub settings: Settings,
    inside: OnceLock<Arc<Inside>>,
    tasks: Tasks,
    agents: Tasks,
    machine: Machine,
}

/// The host's side of frames, in memory.
pub struct HostSide {
    engine: FakeEngine,
    pub open: Mutex<BTreeMap<FrameId, (Port, Port)>>,
    pub busy: Mutex<BTreeSet<Port>>,
    /// Hosts that a frame may reach, each time that others were said to hold.
    pub rules: Mutex<Vec<Vec<String>>>,
    pub lent: Mutex<Vec<LentHost>>,
}

impl HostSide {
    fn of(engine: &FakeEngine) -> Arc<Self> {
        Arc::new(Self {
            engine: engine.clone(),
            open: Mutex::default(),
            busy: Mutex::default(),
            rules: Mutex::default(),
            lent: Mutex::default(),
        })
    }
}

#[async_trait]
impl HostNetworking for HostSide {
    async fn open(&self, frame: &Frame) -> Result<(), AttendError> {
        let link = self.engine.link_folder(&frame.id);
        assert!(link.is_dir(), "the link folder is there before the host's side is opened");
        let busy = self.busy.lock();
        for (port, purpose) in
            [(frame.agent_port, PortPurpose::Agent), (frame.preview_port, PortPurpose::Preview)]
        {
            if busy.contains(&port) {
                return Err(AttendError::PortBusy(purpose));
            }
        }
        let ports = (frame.agent_port, frame.preview_port);
        self.open.lock().insert(frame.id.clone(), ports);
        Ok(())
    }

    fn rules_changed(&self, frame: &Frame) {
        self.rules.lock().push(frame.allow.clone());
    }

    fn lend(&self, frame: &FrameId, loan: &LentHost) -> Result<bool, AttendError> {
        let is_open = self.open.lock().contains_key(frame);
        self.lent.lock().extend(is_open.then(|| loan.clone()));
        Ok(is_open)
    }

    fn take_back(&self, _: &FrameId) {
        self.lent.lock().clear();
    }

    fn lent(&self, _: &FrameId) -> Vec<LentHost> {
        self.lent.lock().clone()
    }

    async fn close(&self, frame: &FrameId) {
        self.open.lock().remove(frame);
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let machine = Machine::new();
        let engine = machine.engine.clone();
        let mut settings = Settings {
            user_home: None,
            config: config::Frames {
                allow: Vec::new(),
                parallel_starts: 4,
                start_timeout: Duration::from_secs(5),
                stop_grace: Duration::from_secs(1),
                ..config::Frames::default()
            },
            crashes: CrashSettings {
                first_pause: Duration::from_millis(30),
                longest_pause: Duration::from_millis(100),
                limit: 4,
                ..CrashSettings::default()
            },
            tick: Duration::from_millis(150),
            liveness_timeout: Duration::from_millis(400),
            container_timeout: Duration::from_millis(400),
            stray_age: Duration::from_secs(3600),
            // What else runs on the machine of the tests is not to decide them.
            meminfo: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/meminfo").into(),
            ..Settings::of_home(machine.paths.home(), Machine::instance())
        };
        change(&mut settings);
        let agents = Tasks::default();
        let agent = Arc::new(Mutex::new(Agent::Answers));
        let script = (agents.clone(), agent.clone());
        engine.on_start(move |started| run_agent(&script.0, script.1.clone(), started));
        let attendant = HostSide::of(&engine);
        let Gateway { services, tasks, .. } = gateway(&machine, &settings, &attendant).await;
        let Services { frames, store, .. } = services;
        let (failpoints, inside) = (tasks.failpoints(), OnceLock::new());
        Self { engine, frames, failpoints, attendant, agent, store, settings, inside, tasks, agents, machine }
    }

    /// The gateway dies where it stands: nothing it was doing goes on.
    pub async fn crash(&mut self) {
        let _ = self.tasks.stop(Duration::from_millis(100)).await;
        // Its listeners went with it.
        self.attendant = HostSide::of(&self.engine);
    }

    /// Another gateway on the same home and the same machine.
    pub async fn start_gateway(&mut self) {
        let Gateway { services, tasks, .. } = gateway(&self.machine, &self.settings, &self.attendant).await;
        (self.failpoints, self.tasks) = (tasks.failpoints(), tasks);
        (self.frames, self.store) = (services.frames, services.store);
    }

    pub async fn restart_gateway(&mut self) {
        self.crash().await;
        self.start_gateway().await;
    }

    /// A folder that may be a workspace.
    pub fn project(&self, name: &str) -> PathBuf {
        self.machine.project(name)
    }

    pub fn request(&self, name: &str) -> CreateFrame {
        CreateFrame {
            name: name.into(),
            workspace: Some(self.project(name).display().to_string()),
            ..CreateFrame::default()
        }
    }

    pub async fn create(&self, name: &str) -> Frame {
        self.try_create(self.request(name)).await.expect("created")
    }

    pub async fn try_create(&self, request: CreateFrame) -> Result<Frame, FrameError> {
        self.frames.create(&OWNER, mimir::gateway::bodies::frame(request)?).await
    }

    /// A frame that runs.
    pub async fn running(&self, name: &str) -> Frame {
        let frame =
            self.try_create(CreateFrame { start: true, ..self.request(name) }).await.expect("created");
        self.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs")
    }

    pub async fn ask(&self, name: &str, desired: Desired) -> Result<Frame, FrameError> {
        self.frames.ask(&OWNER, &named(name), desired).await
    }

    pub async fn reach(&self, frame: &Frame, desired: Desired) -> Result<Frame, FrameError> {
        let asked = self.ask(frame.name.as_str(), desired).await?;
        self.frames.wait_for_asked(asked, desired, PATIENCE).await
    }

    pub async fn restart_frame(&self, frame: &Frame) -> Result<Frame, FrameError> {
        self.frames.restart(&OWNER, &frame.name).await?;
        self.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await
    }

    pub async fn row(&self, id: &FrameId) -> Option<Frame> {
        let id = id.clone();
        self.store.read(move |db| frames::find(db, &id)).await.expect("reads")
    }

    pub async fn notes(&self, id: &FrameId) -> Vec<String> {
        self.frames.notes(id, 100).await.expect("reads").into_iter().map(|note| note.code).collect()
    }

    /// Waits until the frame is in that state, or gone for `None`.
    pub async fn eventually(&self, id: &FrameId, state: impl Into<Option<FrameState>>) {
        let state = state.into();
        let what = format!("the frame is {state:?}");
        self.until(&what, || async { self.row(id).await.map(|row| row.state) == state }, id).await;
    }

    /// Waits until something is true, and says where the frame stands when it does not become so.
    pub async fn until<F, Fut>(&self, what: &str, mut is_so: F, id: &FrameId)
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let end = Instant::now() + PATIENCE;
        while !is_so().await {
            if Instant::now() > end {
                let notes = self.frames.notes(id, 20).await.unwrap_or_default();
                panic!(
                    "not within {PATIENCE:?}: {what}\nrow: {:?}\nengine: {:?}\nproblem: {:?}\nnotes: {notes:#?}",
                    self.row(id).await,
                    self.engine.peek(id),
                    self.frames.problem(id),
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn eventually_engine(&self, id: &FrameId, observed: Observed) {
        let what = format!("the engine says {observed:?}");
        self.until(&what, || async { self.engine.peek(id) == observed }, id).await;
    }

    /// Everything that exists belongs to a row, and every row has what belongs to it.
    pub async fn check_books(&self) {
        let rows = self.frames.list().await.expect("lists");
        let ids: BTreeSet<FrameId> = rows.iter().map(|row| row.id.clone()).collect();

        let leased = self.store.read(|db| ports::leased(db)).await.expect("reads");
        assert_eq!(leased.len(), rows.len() * 2, "two ports per frame and no other: {leased:?}");
        assert!(leased.iter().all(|(_, frame, _)| ids.contains(frame)), "{leased:?}");

        for container in self.engine.containers() {
            assert!(ids.contains(&container.frame), "a container without a row: {container:?}");
            assert_eq!(self.engine.containers_of(&container.frame), 1, "{container:?}");
        }
        for folder in self.frame_folders() {
            assert!(ids.iter().any(|id| id.as_str() == folder), "a folder without a row: {folder}");
        }
        self.check_history().await;
    }

    /// What was told is one unbroken story per frame.
    async fn check_history(&self) {
        let told = self
            .store
            .read(|db| events::after(db, 0, &events::Filter::default(), 100_000))
            .await
            .expect("reads");
        let mut states: BTreeMap<FrameId, FrameState> = BTreeMap::new();
        for event in told {
            let Some(id) = event.subject.frame.clone() else { continue };
            match event.what {
                EventKind::FrameCreated {} => {
                    let before = states.insert(id, FrameState::Created);
                    assert_eq!(before, None, "created twice");
                }
                EventKind::FrameMoved { from, to, .. } => {
                    assert_eq!(states.insert(id, to), Some(from), "a gap before {from} -> {to}");
                }
                EventKind::FrameRemoved {} => {
                    assert!(states.remove(&id).is_some(), "removed twice");
                }
                _ => {}
            }
        }
    }

    pub fn frame_folders(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.settings.frames_folder) else { return Vec::new() };
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Nothing is there: no row, no port, no container, no folder.
    pub async fn check_nothing_left(&self) {
        assert_eq!(self.frames.list().await.expect("lists"), []);
        assert_eq!(self.engine.containers(), []);
        assert!(self.frame_folders().is_empty(), "{:?}", self.frame_folders());
        assert!(self.attendant.open.lock().is_empty());
        self.check_books().await;
    }

    /// What runs inside frames. Nothing can be listed there before this was asked for the first time. An agent
    /// that begins again answers.
    pub fn inside(&self) -> &Inside {
        self.inside.get_or_init(|| {
            let agent = self.agent.clone();
            Inside::of(&self.engine, move |_| *agent.lock() = Agent::Answers)
        })
    }

    pub fn set_agent(&self, agent: Agent) {
        *self.agent.lock() = agent;
    }

    pub fn password(&self, id: &FrameId) -> String {
        let path = self.settings.frames_folder.join(id.as_str()).join("start/password");
        std::fs::read_to_string(path).expect("a password")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

pub fn named(name: &str) -> FrameName {
    FrameName::parse(name).expect("a name")
}

/// A gateway that drives frames, and does nothing else by itself.
async fn gateway(machine: &Machine, settings: &Settings, attendant: &Arc<HostSide>) -> Gateway {
    let change = |resources: &mut Resources| {
        resources.stand_ins.host = Some(attendant.clone());
        resources.settings.frames = settings.clone();
    };
    let builder = machine.gateway();
    let external = known_servers(&builder.store()).await.expect("reads");
    builder.change(change).change(|resources| resources.external = external).only(&["frames"]).start()
}

/// What the image does at its start, as far as the gateway can see it.
fn run_agent(tasks: &Tasks, script: Arc<Mutex<Agent>>, started: StartedContainer) {
    let socket = started.link.join("agent.sock");
    let _ = std::fs::remove_file(&socket);
    let Ok(listener) = UnixListener::bind(&socket) else { return };
    let password = std::fs::read_to_string(started.start.join("password")).unwrap_or_default();
    let expected = base64::engine::general_purpose::STANDARD.encode(format!("mimir:{}", password.trim()));
    let ended = started.ended.clone();
    tasks.spawn_once("agent", move |stop| async move {
        let mut silent = Vec::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted.expect("accepts").0,
                () = ended.cancelled() => return,
                () = stop.cancelled() => return,
            };
            if let Some(kept) = answer(stream, &script, &expected).await {
                silent.push(kept);
            }
        }
    });
}

/// Answers one request; gives the stream back when it is to stay open in silence.
async fn answer(
    mut stream: tokio::net::UnixStream,
    script: &Mutex<Agent>,
    expected: &str,
) -> Option<tokio::net::UnixStream> {
    let mut request = vec![0; 8192];
    let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut request)).await;
    let length = read.ok()?.ok()?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let agent = {
        let mut agent = script.lock();
        let now = *agent;
        if let Agent::SwallowsFirst(left) = now {
            *agent = if left <= 1 { Agent::Answers } else { Agent::SwallowsFirst(left - 1) };
        }
        now
    };
    let version = match agent {
        Agent::Swallows | Agent::SwallowsFirst(_) => return Some(stream),
        Agent::Version2 => "2.0.1",
        Agent::Answers => "1.18.33",
    };
    let (status, body) = if request.contains(expected) {
        ("200 OK", format!(r#"{{"healthy":true,"version":"{version}"}}"#))
    } else {
        ("401 Unauthorized", "{}".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    None
}

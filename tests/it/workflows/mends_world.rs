//! A fix without containers: the engine is in memory, the agent says what is written down, and everything that mimir runs
//! inside a frame runs on this machine in that frame's folder. Its git reaches the frame's own broker, so clones,
//! parcels and branches at the forge are real.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use mimir::clock::Clock;
use mimir::config::Config;
use mimir::config::schema::{Git, GitCredential, TokenSource};
use mimir::daemon::Resources;
use mimir::model::git::{ForgeHost, Push, PushState, Repository};
use mimir::model::ids::{FrameId, RunId};
use mimir::model::names::FrameName;
use mimir::model::origin::Origin;
use mimir::model::run::{Evidence, NewRun, Run, RunInput, RunLogEntry, RunProgress, RunState};
use mimir::model::secret::Secret;
use mimir::runtime::{ExecOutput, ExecSpec};
use mimir::store::runs::{self, RunChange};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::definition::{Caps, Workflow};
use mimir::workflows::fix::{self, FixDeps, Instructions, Resumed};
use mimir::workflows::stage::{Outcome, StageError};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

use super::world::{OWNER, OneAgent, is_tidy, says};
use crate::agent::scripted::ScriptedAgent;
use crate::forge::{Bare, Forge, TOKEN};
use crate::machine::{Gateway, Machine};
use crate::pulls::world::{Row, read, stage, to};

const SHOP: &str = "me/shop";
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// What goes on by itself.
const RUNNING: &[&str] = &["frames", "feeds", "queue", "timers", "pushes"];
/// Green when the fix is whole.
pub(super) const CHECK: &str = "grep -q whole cart.txt";

/// What the agent does by itself when it has answered; none: what the story says.
pub(super) type Turn = Arc<Mutex<Option<Box<dyn Fn(&AgentClone<'_>) + Send + Sync>>>>;

/// A frame's clone, as the agent has it.
pub(super) struct AgentClone<'a> {
    /// The frame's folder.
    frame: &'a Path,
    /// Where its broker is, and the forge.
    door: SocketAddr,
    forge: SocketAddr,
    /// Everything that the agent was asked until now.
    pub texts: Vec<String>,
}

impl AgentClone<'_> {
    pub fn folder(&self) -> PathBuf {
        self.frame.join("workspace")
    }

    /// Runs git there, which may fail.
    pub fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "core.quotePath=false"]).args(args);
        let done = as_inside(&mut git, self.frame, self.door, self.forge).output().expect("git");
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

/// Where the broker of each frame is reached by TCP.
type Doors = Arc<Mutex<BTreeMap<FrameId, SocketAddr>>>;

/// What outlives gateways.
pub struct World {
    pub forge: Forge,
    pub bare: Bare,
    pub agent: Arc<ScriptedAgent>,
    pub run: RunId,
    pub(super) turn: Turn,
    machine: Machine,
    gateway: Gateway,
    workflow: Arc<Workflow>,
    agents: Tasks,
}

/// What an agent says that found out why the cart is empty.
pub(super) fn report() -> String {
    let report = json!({"cause": "nothing is in the cart", "evidence": [{"file": "cart.txt", "line": 1}],
        "confidence": 0.9, "plan": ["put it in"], "summary": "The cart is whole"});
    report.to_string()
}

/// The stages of the story, with what the agent is wanted for in each that goes on.
fn stages() -> Vec<mimir::workflows::definition::StageDefinition> {
    let fix = json!({"checks": [CHECK], "allow": [], "rounds": 2});
    let mut all = vec![stage("analyse", json!({})), stage("fix", fix), stage("push", json!({}))];
    for name in ["reviewed", "rebuilt"] {
        let mut again = stage("again", json!({}));
        name.clone_into(&mut again.name);
        all.push(again);
    }
    all
}

/// What the agent leaves in the clone by its so many-th answer.
fn left(answers: usize) -> &'static str {
    match answers {
        3 => "half of it\n",
        4 => "the whole of it\n",
        5 => "reviewed, and half again\n",
        6 => "reviewed, and whole\n",
        _ => "rebuilt, and whole\n",
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| (), Vec::new()).await
    }

    /// With more in the repository, and something that strangers said.
    pub async fn with(fill: impl FnOnce(&Bare), evidence: Vec<Evidence>) -> Self {
        let forge = Forge::start().await;
        let bare = forge.repository(SHOP);
        bare.add("main", "cart.txt", "nothing\n");
        fill(&bare);
        let (agent, agents, turn) = (ScriptedAgent::start(), Tasks::default(), Turn::default());
        let machine = machine_with(&agent, &agents, forge.address, &turn);
        let report = report();
        // No report, a report; a fix that is red, and one that is not; the same after a review; once more elsewhere.
        agent.plays(["It is the database.", &report, "Done.", "Done.", "Done.", "Done.", "Done."].map(says));
        let workflow = Arc::new(Workflow {
            name: "fix".into(),
            description: String::new(),
            inputs: BTreeMap::new(),
            stages: stages(),
            caps: Caps::default(),
        });
        let run = RunId::from_parts(Clock::system().now_ms(), mimir::clock::entropy_128());
        let gateway = start(&machine, &agent, &forge.host(), TOKEN, RUNNING);
        let world = Self { forge, bare, agent, run, turn, machine, gateway, workflow, agents };
        world.begin(evidence).await;
        world
    }

    async fn begin(&self, evidence: Vec<Evidence>) {
        let repository = Repository::parse(&self.forge.name_of(SHOP)).expect("a repository");
        let new = NewRun {
            workflow: "fix".into(),
            key: "one".into(),
            origin: Origin::Webhook,
            origin_ref: None,
            project: None,
            title: "it is not whole".into(),
            input: RunInput { repository: Some(repository), evidence, ..RunInput::default() },
            priority: 0,
            budget_microusd: None,
            not_before: None,
        };
        let (id, first) = (self.run.clone(), self.workflow.first().to_owned());
        let made = self.gateway.services.store.write(move |tx| {
            runs::enqueue(tx, id.clone(), &new)?;
            let run = runs::get(tx, &id)?;
            runs::change(tx, &run, &to(RunState::Running, &first, RunProgress::default(), None))
        });
        made.await.expect("a run");
    }

    /// Where this gateway dies.
    pub fn failpoints(&self) -> Failpoints {
        self.gateway.tasks.failpoints()
    }

    pub async fn get(&self) -> Run {
        let id = self.run.clone();
        self.gateway.services.store.read(move |db| runs::get(db, &id)).await.expect("the run")
    }

    pub async fn timeline(&self) -> Vec<RunLogEntry> {
        let id = self.run.clone();
        self.gateway.services.store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline")
    }

    pub async fn pushes(&self) -> Vec<Push> {
        self.gateway.services.pushes.list(None, true).await.expect("rows")
    }

    /// A person says no to a push. The engine of this gateway is told, knows no workflow of the run, and ends it.
    pub async fn reject(&self, id: u64) {
        let _ = self.gateway.services.pushes.reject(&OWNER, id, None).await.expect("a no");
    }

    /// What people did, as the audit log has it.
    pub async fn people_did(&self) -> Vec<String> {
        let store = &self.gateway.services.store;
        let all = store.read(|db| mimir::store::audit::list(db, None, 10_000)).await.expect("entries");
        let of_people = all.into_iter().filter(|entry| entry.principal.starts_with("owner:"));
        of_people.map(|entry| format!("{} {}", entry.principal, entry.action)).collect()
    }

    /// Its branch at the forge.
    pub fn branch(&self) -> String {
        format!("mimir/{}", self.run)
    }

    pub fn deps(&self) -> FixDeps {
        let services = &self.gateway.services;
        FixDeps {
            store: services.store.clone(),
            frames: services.frames.clone(),
            delivery: services.delivery.clone(),
            pushes: services.pushes.clone(),
            failpoints: self.failpoints(),
        }
    }

    /// The run's row as a stage has it.
    pub async fn row(&self) -> Row {
        Row {
            store: self.gateway.services.store.clone(),
            clock: Clock::system(),
            workflow: self.workflow.clone(),
            points: self.failpoints(),
            run: self.get().await,
        }
    }

    /// One pass of the stage that the run is in, and what becomes of the run, as the engine does it.
    pub async fn pass(&self) -> Result<Outcome, StageError> {
        let mut row = self.row().await;
        let stage = self.workflow.stage(&row.run.stage).expect("a stage").clone();
        let deps = self.deps();
        let ended = match stage.name.as_str() {
            "analyse" => fix::analyse(&read(&stage), &mut row, &deps).await,
            "fix" => fix::fix(&read(&stage), &mut row, &deps).await,
            "push" => fix::push(&read(&stage), &mut row, &deps).await,
            name => match fix::resume(&mut row, &deps, &wanted(name)).await {
                Ok(Resumed::Pushed { .. }) => Ok(Outcome::Done),
                Ok(other) => Err(StageError::Permanent(format!("{other:?}"))),
                Err(error) => Err(error),
            },
        };
        let next = match &ended {
            Ok(Outcome::Done) => self.workflow.after(&stage.name),
            Err(StageError::Agent(_) | StageError::Infrastructure(_) | StageError::Changed) => {
                Some(stage.name.as_str())
            }
            other => panic!("{}: {other:?}", stage.name),
        };
        let state = if next.is_some() { RunState::Running } else { RunState::Succeeded };
        let name = next.unwrap_or(&stage.name).to_owned();
        let (seen, progress) = (row.run.clone(), row.run.progress.clone());
        let change: RunChange = to(state, &name, progress, None);
        row.store.write(move |tx| runs::change(tx, &seen, &change)).await.expect("changed");
        ended
    }

    /// The frame that mends goes, as by a person's hand.
    pub async fn destroy_frame(&self) {
        let own = self.run.as_str().rsplit('_').next().unwrap_or_default();
        let name = FrameName::parse(&format!("fix-{own}")).expect("a name");
        self.gateway.services.frames.destroy(&OWNER, &name).await.expect("on its way out");
        self.is_tidy("destroyed by hand").await;
    }

    /// No frame is left, and no container.
    pub async fn is_tidy(&self, context: &str) {
        is_tidy(&self.machine, &self.gateway, LIMIT, context).await;
    }

    /// The gateway that died at that place is followed by another one. What was armed is gone with the old one.
    pub async fn restart(&mut self, died_at: &str) {
        self.gateway.stop.cancel();
        // A stage was let go of; what passes pushes on is a task of its own, and hangs for good.
        let limit = if died_at.starts_with("push.") { Duration::from_millis(100) } else { LIMIT };
        let has_ended = self.gateway.tasks.stop(limit).await;
        assert!(has_ended || died_at.starts_with("push."), "everything ends after {died_at}");
        self.gateway = start(&self.machine, &self.agent, &self.forge.host(), TOKEN, RUNNING);
    }

    /// Pushes that are neither at the forge nor given up.
    pub async fn open(&self) -> Vec<Push> {
        let all = self.pushes().await;
        let is_over = |push: &Push| matches!(push.state, PushState::Pushed | PushState::Replaced);
        all.into_iter().filter(|push| !is_over(push)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

/// What is wanted in a stage that goes on with the branch.
pub fn wanted(stage: &str) -> Instructions {
    Instructions {
        key: format!("{stage}-1"),
        task: "Work it in.".to_owned(),
        evidence: Vec::new(),
        merge: (stage == "rebuilt").then(|| "main".to_owned()),
        summary: format!("What was {stage}"),
    }
}

/// A machine whose frames have the agent, and do on this machine what mimir has them do, with a forge there.
pub(super) fn machine(agent: &Arc<ScriptedAgent>, agents: &Tasks, forge: SocketAddr) -> Machine {
    machine_with(agent, agents, forge, &Turn::default())
}

fn machine_with(agent: &Arc<ScriptedAgent>, agents: &Tasks, forge: SocketAddr, turn: &Turn) -> Machine {
    let (machine, doors) = (Machine::with(&[("frames.network", "sealed")]), Doors::default());
    let (owner, known) = (agents.clone(), doors.clone());
    machine.engine.on_start(move |started| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let address = listener.local_addr().expect("an address");
        known.lock().insert(started.spec.frame.clone(), address);
        let (broker, ended) = (started.link.join("broker.sock"), started.ended.clone());
        owner.spawn_once("a door to the broker", move |stop| async move {
            tokio::select! {
                () = forward(listener, broker) => {}
                () = ended.cancelled() => {}
                () = stop.cancelled() => {}
            }
        });
        owner.spawn_once("agent", move |stop| crate::api::echo::serve(started, stop));
    });
    let (frames, working, turn) = (machine.paths.frames(), agent.clone(), turn.clone());
    machine.engine.on_exec(move |frame, command| {
        let door = doors.lock().get(frame).copied()?;
        runs_here(&frames.join(frame.as_str()), (door, forge), &working, &turn, command)
    });
    machine
}

/// A gateway that knows the forge and shows it that token; what is `running` goes on by itself.
pub(super) fn start(
    machine: &Machine,
    agent: &Arc<ScriptedAgent>,
    host: &str,
    token: &'static str,
    running: &'static [&'static str],
) -> Gateway {
    built(machine, agent, host, token, running).start()
}

/// The same before anything of it runs.
pub(super) fn built(
    machine: &Machine,
    agent: &Arc<ScriptedAgent>,
    host: &str,
    token: &'static str,
    running: &'static [&'static str],
) -> Gateway {
    built_with(machine, agent, host, token, running, |_| ())
}

/// The same with more in the configuration.
pub(super) fn built_with(
    machine: &Machine,
    agent: &Arc<ScriptedAgent>,
    host: &str,
    token: &'static str,
    running: &'static [&'static str],
    more: impl FnOnce(&mut Config),
) -> Gateway {
    let locator = Arc::new(OneAgent(agent.clone()));
    let host = ForgeHost::parse(host).expect("a host");
    let source = TokenSource::Here(Some(Secret::new(token)));
    let credentials = vec![GitCredential { host: host.clone(), user: None, source }];
    let git = Git { hosts: vec![host], credentials, refresh: Duration::from_millis(1), ..Git::default() };
    let change = move |resources: &mut Resources| {
        resources.config.git = git;
        more(&mut resources.config);
        resources.stand_ins.locator = Some(locator);
        resources.settings.delivery = crate::agent::world::settings();
        resources.settings.feed.first_pause = Duration::from_millis(20);
    };
    machine.gateway().change(change).only(running).build()
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

/// Runs a script of mimir's in the frame's clone; none for what is no script of these stages.
fn runs_here(
    frame: &Path,
    (door, forge): (SocketAddr, SocketAddr),
    agent: &ScriptedAgent,
    turn: &Turn,
    command: &ExecSpec,
) -> Option<ExecOutput> {
    let [wrapper, bash, option, script, rest @ ..] = &command.argv[..] else { return None };
    if (wrapper.as_str(), bash.as_str(), option.as_str()) != ("mimir-run", "bash", "-c") {
        return None;
    }
    let workspace = frame.join("workspace");
    if script.contains("git write-tree") {
        // The agent has answered, so its change lies there; once, for it does not answer again.
        let answers = agent.user_messages();
        let marker = frame.join(format!("changed-{answers}"));
        if !marker.exists() {
            if let Some(act) = &*turn.lock() {
                let texts = agent.people_wrote().into_iter().flat_map(|(_, parts)| parts).collect();
                let clone = AgentClone { frame, door, forge, texts };
                tokio::task::block_in_place(|| act(&clone));
            }
            std::fs::create_dir_all(workspace.join("tests")).expect("a folder");
            let more = if turn.lock().is_some() { answers.to_string() } else { String::new() };
            let text = &format!("{}{more}", left(answers));
            std::fs::write(workspace.join("cart.txt"), text).expect("written");
            std::fs::write(workspace.join("tests/cart.txt"), text).expect("written");
            std::fs::write(marker, "").expect("written");
        }
    }
    let script = script.replace("/tmp/mimir-clone.lock", &frame.join("clone.lock").display().to_string());
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).args(rest);
    let bash = as_inside(&mut bash, frame, door, forge);
    let done = tokio::task::block_in_place(|| bash.output()).expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(ExecOutput {
        exit_code: i64::from(done.status.code().unwrap_or(-1)),
        stdout: text(&done.stdout),
        stderr: text(&done.stderr),
    })
}

/// In the frame's clone, where its git reaches its broker in the forge's place.
fn as_inside<'a>(
    command: &'a mut Command,
    frame: &Path,
    door: SocketAddr,
    forge: SocketAddr,
) -> &'a mut Command {
    command.current_dir(frame.join("workspace")).env_clear().envs([
        ("PATH", std::env::var("PATH").unwrap_or_default()),
        ("HOME", frame.display().to_string()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", format!("url.http://{door}/git/{forge}/.insteadOf")),
        ("GIT_CONFIG_VALUE_0", format!("http://{forge}/")),
    ])
}

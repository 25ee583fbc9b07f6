//! A gateway with workflows of its own, frames in memory, and a scripted agent behind all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mimir::clock;
use mimir::daemon::Resources;
use mimir::frames::{AgentLocator, PlaceError};
use mimir::gateway::Services;
use mimir::model::agent::AgentSessionId;
use mimir::model::frame::Frame;
use mimir::model::ids::{FrameId, ProjectId, RunId};
use mimir::model::names::ProjectName;
use mimir::model::origin::Origin;
use mimir::model::principal::Principal;
use mimir::model::project::Project;
use mimir::model::run::{NewRun, Run, RunInput, RunLogEntry, RunState};
use mimir::opencode::OpencodeClient;
use mimir::store::runs::{self, Enqueued};
use mimir::store::{StoreError, Tx, frames, projects};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::NewManualRun;

use crate::agent::scripted::{Play, ScriptedAgent};
use crate::machine::{Gateway, Machine};

pub const OWNER: Principal = Principal::Owner { uid: 0 };
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// What goes on by itself.
const RUNNING: &[&str] = &["frames", "feeds", "queue", "workflows", "timers"];

pub struct World {
    pub agent: Arc<ScriptedAgent>,
    pub machine: Machine,
    gateway: Gateway,
    agents: Tasks,
}

/// Every frame's agent is the scripted one.
pub struct OneAgent(pub Arc<ScriptedAgent>);

#[async_trait]
impl AgentLocator for OneAgent {
    async fn wake(&self, _: &FrameId, _: Duration) -> Result<OpencodeClient, PlaceError> {
        Ok(self.0.client())
    }

    async fn agent(&self, _: &FrameId) -> Result<OpencodeClient, PlaceError> {
        Ok(self.0.client())
    }

    async fn show(&self, _: &FrameId, _: &AgentSessionId) {}
}

/// Waits until no frame is left, and no container.
pub async fn is_tidy(machine: &Machine, gateway: &Gateway, within: Duration, context: &str) {
    let end = tokio::time::Instant::now() + within;
    loop {
        let left = gateway.services.store.read(|db| frames::list(db)).await.expect("frames");
        let containers = machine.engine.containers();
        if left.is_empty() && containers.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{context}: {containers:?} and {left:#?} are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With keys of the configuration.
    pub async fn with(keys: &[(&str, &str)]) -> Self {
        let mut all = vec![("frames.network", "sealed")];
        all.extend(keys);
        let machine = Machine::with(&all);
        let (agent, agents) = (ScriptedAgent::start(), Tasks::default());
        let owner = agents.clone();
        machine.engine.on_start(move |started| {
            owner.spawn_once("agent", move |stop| crate::api::echo::serve(started, stop));
        });
        let gateway = start(&machine, &agent);
        let world = Self { agent, machine, gateway, agents };
        let path = world.machine.project("shop").display().to_string();
        let project = Project { id: ProjectId::from_parts(1, 1), name: shop(), path, created_at: 1 };
        world.write(move |tx| projects::insert(tx, &project)).await;
        world
    }

    pub fn services(&self) -> &Services {
        &self.gateway.services
    }

    pub fn failpoints(&self) -> Failpoints {
        self.gateway.tasks.failpoints()
    }

    /// A workflow of the home.
    pub fn workflow(&self, name: &str, rest: &str) {
        let folder = self.machine.paths.home().join("workflows");
        std::fs::create_dir_all(&folder).expect("made");
        let text = format!("name: {name}\ndescription: for a test\n{rest}");
        mimir::workflows::parse::parse(&text, name).expect("a workflow");
        std::fs::write(folder.join(format!("{name}.yaml")), text).expect("written");
    }

    pub async fn write<T, F>(&self, change: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.services().store.write(change).await.expect("written")
    }

    /// A run of a person's, in project shop.
    pub async fn start(&self, workflow: &str, variables: &[(&str, &str)]) -> Run {
        let wanted = NewManualRun { project: Some(shop()), ..manual(workflow, variables) };
        self.services().workflows.start(&OWNER, wanted).await.expect("started")
    }

    /// A run as webhooks and schedules make them.
    pub async fn enqueue(&self, workflow: &str, key: &str, priority: i64) -> Enqueued {
        let id = RunId::from_parts(clock::Clock::system().now_ms(), clock::entropy_128());
        let new = NewRun {
            workflow: workflow.to_owned(),
            key: key.to_owned(),
            origin: Origin::Schedule,
            origin_ref: None,
            project: Some(shop()),
            title: key.to_owned(),
            input: RunInput::default(),
            priority,
            budget_microusd: None,
            not_before: None,
        };
        self.write(move |tx| runs::enqueue(tx, id, &new)).await
    }

    pub async fn run(&self, id: &RunId) -> Run {
        let id = id.clone();
        self.services().store.read(move |db| runs::get(db, &id)).await.expect("a run")
    }

    pub async fn timeline(&self, id: &RunId) -> Vec<RunLogEntry> {
        let id = id.clone();
        self.services().store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline")
    }

    /// The lines of a timeline of one kind.
    pub async fn told(&self, id: &RunId, kind: &str) -> Vec<String> {
        let all = self.timeline(id).await;
        all.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.text).collect()
    }

    /// Waits for a line with these words.
    pub async fn until_told(&self, id: &RunId, words: &str) {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let timeline = self.timeline(id).await;
            if timeline.iter().any(|entry| entry.text.contains(words)) {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "`{words}` was not told: {timeline:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The run when it is so.
    pub async fn until(&self, id: &RunId, what: &str, is_so: impl Fn(&Run) -> bool) -> Run {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let run = self.run(id).await;
            if is_so(&run) {
                return run;
            }
            if tokio::time::Instant::now() >= end {
                panic!("not {what} within {LIMIT:?}: {run:#?}\n{:#?}", self.timeline(id).await);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn reaches(&self, id: &RunId, state: RunState) -> Run {
        self.until(id, state.as_str(), |run| run.state == state).await
    }

    pub async fn end_of(&self, id: &RunId) -> Run {
        self.until(id, "over", |run| run.state.is_end()).await
    }

    pub async fn frames(&self) -> Vec<Frame> {
        self.services().store.read(|db| frames::list(db)).await.expect("frames")
    }

    /// Nothing is left of runs that ended: no frame, no container.
    pub async fn is_tidy(&self) {
        is_tidy(&self.machine, &self.gateway, LIMIT, "of runs that ended").await;
    }

    /// The gateway ends, and another one begins. What was armed is gone with the old one.
    pub async fn restart(&mut self) {
        self.gateway.stop.cancel();
        assert!(self.gateway.tasks.stop(LIMIT).await, "everything ends");
        self.gateway = start(&self.machine, &self.agent);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

fn start(machine: &Machine, agent: &Arc<ScriptedAgent>) -> Gateway {
    let locator = Arc::new(OneAgent(agent.clone()));
    let change = move |resources: &mut Resources| {
        resources.stand_ins.locator = Some(locator);
        resources.settings.delivery = crate::agent::world::settings();
        resources.settings.feed.first_pause = Duration::from_millis(20);
    };
    machine.gateway().change(change).only(RUNNING).start()
}

pub fn shop() -> ProjectName {
    ProjectName::parse("shop").expect("a name")
}

pub fn manual(workflow: &str, variables: &[(&str, &str)]) -> NewManualRun {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    NewManualRun { workflow: workflow.to_owned(), variables, ..NewManualRun::default() }
}

pub fn says(text: &str) -> Play {
    Play::Answer(text.to_owned())
}

//! A frame that runs, a conversation with a message in hand, and an agent that asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mimir::approvals::Approvals;
use mimir::clock::entropy_128;
use mimir::daemon::Resources;
use mimir::frames::{AgentLocator, PlaceError};
use mimir::gateway::Services;
use mimir::model::agent::{AgentMessageId, AgentSessionId};
use mimir::model::approval::{ApprovalRequest, ApprovalState};
use mimir::model::event::Event;
use mimir::model::frame::{Desired, FrameEvent, Limits};
use mimir::model::ids::{ApprovalId, FrameId, MessageId, SessionId};
use mimir::model::message::DeliveryState;
use mimir::model::names::FrameName;
use mimir::model::network::NetworkMode;
use mimir::model::policy::{Action, Rule};
use mimir::model::principal::Principal;
use mimir::notify;
use mimir::opencode::OpencodeClient;
use mimir::store::audit::AuditEntry;
use mimir::store::messages::NewMessage;
use mimir::store::sessions::NewSession;
use mimir::store::{Store, Tx, approvals, audit, events, frames, messages, sessions};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;

use super::prompter::Prompter;
use crate::machine::{Builder, Gateway, Machine};

pub const OWNER: Principal = Principal::Owner { uid: 0 };
pub const ROOT: &str = "ses_root";
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(30);

pub struct World {
    pub store: Store,
    pub approvals: Approvals,
    pub agent: Arc<Prompter>,
    pub frame: FrameId,
    pub session: SessionId,
    pub message: MessageId,
    pub failpoints: Failpoints,
    rules: Vec<Rule>,
    notify: notify::Settings,
    tasks: Tasks,
    machine: Machine,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Vec::new()).await
    }

    pub async fn with(rules: Vec<Rule>) -> Self {
        Self::build(rules, notify::Settings::default()).await
    }

    /// Somebody outside is told of what agents ask.
    pub async fn told_to(notify: notify::Settings) -> Self {
        Self::build(Vec::new(), notify).await
    }

    async fn build(rules: Vec<Rule>, notify: notify::Settings) -> Self {
        let machine = Machine::new();
        let workspace = machine.project("workspace").display().to_string();
        let agent = Prompter::start().await;
        let (frame, session, message) = (
            FrameId::from_parts(1_000, entropy_128()),
            SessionId::from_parts(1_000, entropy_128()),
            MessageId::from_parts(1_000, entropy_128()),
        );
        let builder = machine.gateway();
        fill(&builder.store(), &frame, &session, &message, workspace).await;
        let Gateway { services, tasks, .. } = start(builder, &agent, &rules, &notify);
        let Services { store, approvals, .. } = services;
        let failpoints = tasks.failpoints();
        Self { store, approvals, agent, frame, session, message, failpoints, rules, notify, tasks, machine }
    }

    /// The gateway dies and comes back; the agent does not notice. What is armed dies with the old one.
    pub async fn restart_gateway(&mut self) {
        assert!(self.tasks.stop(LIMIT).await, "its tasks end");
        let gateway = start(self.machine.gateway(), &self.agent, &self.rules, &self.notify);
        let Gateway { services, tasks, .. } = gateway;
        (self.store, self.approvals) = (services.store, services.approvals);
        (self.failpoints, self.tasks) = (tasks.failpoints(), tasks);
    }

    pub fn workspace(&self) -> std::path::PathBuf {
        self.machine.project("workspace")
    }

    /// The agent asks, and the feed says so.
    pub async fn ask(&self, ask: mimir::model::approval::AgentRequest) -> ApprovalRequest {
        let ask = self.agent.asks(ask);
        let root = AgentSessionId(ROOT.to_owned());
        self.approvals.asked(&self.frame, Some(&root), &ask).await.expect("taken in");
        self.prompt(&ask.id).await
    }

    /// The row of what the agent knows by that id.
    pub async fn prompt(&self, agent_prompt: &str) -> ApprovalRequest {
        self.maybe_prompt(agent_prompt).await.expect("a row")
    }

    pub async fn maybe_prompt(&self, agent_prompt: &str) -> Option<ApprovalRequest> {
        let (frame, agent_prompt) = (self.frame.clone(), agent_prompt.to_owned());
        let found =
            self.store.read(move |db| approvals::find_by_agent_prompt(db, &frame, &agent_prompt)).await;
        found.expect("rows")
    }

    pub async fn becomes(&self, id: &ApprovalId, state: ApprovalState) -> ApprovalRequest {
        let until = Instant::now() + LIMIT;
        loop {
            let wanted = id.clone();
            let prompt = self.store.read(move |db| approvals::get(db, &wanted)).await.expect("a row");
            if prompt.state == state {
                return prompt;
            }
            assert!(Instant::now() < until, "not {state} within {LIMIT:?}: {prompt:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The ids of what is open, ours.
    pub async fn open(&self) -> BTreeSet<ApprovalId> {
        let open = self.store.read(|db| approvals::open(db, None)).await.expect("rows");
        open.into_iter().map(|prompt| prompt.id).collect()
    }

    /// Everything that was told of prompts.
    pub async fn told(&self) -> Vec<Event> {
        let all = self.store.read(|db| events::after(db, 0, &events::Filter::default(), 10_000)).await;
        let all = all.expect("events");
        all.into_iter().filter(|event| event.what.kind().starts_with("prompt.")).collect()
    }

    pub async fn audited(&self) -> Vec<AuditEntry> {
        let mut all = self.store.read(|db| audit::list(db, None, 1000)).await.expect("rows");
        all.retain(|entry| entry.action.starts_with("approval."));
        all.reverse();
        all
    }

    pub async fn unattended(&self, within: Duration) {
        let (message, ms) = (self.message.clone(), u64::try_from(within.as_millis()).expect("small"));
        let set = move |tx: &mut Tx<'_>| approvals::set_unattended(tx, &message, ms);
        self.store.write(set).await.expect("noted");
    }

    pub async fn frame_has_rules(&self, rules: &[Rule]) {
        let (frame, rules) = (self.frame.clone(), rules.to_vec());
        let set = move |tx: &mut Tx<'_>| approvals::set_rules(tx, &frame, &rules);
        self.store.write(set).await.expect("noted");
    }

    pub async fn frame_stops(&self) {
        let frame = self.frame.clone();
        let stop = move |tx: &mut Tx<'_>| frames::apply(tx, &frame, FrameEvent::StopConfirmed, None);
        self.store.write(stop).await.expect("stopped");
    }
}

/// A gateway that sees to what agents ask and tells of it, and does nothing else by itself.
fn start(builder: Builder, agent: &Arc<Prompter>, rules: &[Rule], notify: &notify::Settings) -> Gateway {
    let change = |resources: &mut Resources| {
        resources.stand_ins.locator = Some(Arc::new(OnePlace(agent.clone())));
        resources.config.approvals.rules = rules.to_vec();
        resources.settings.notify = notify.clone();
    };
    builder.change(change).only(&["approvals", "timers", "webhooks"]).start()
}

async fn fill(store: &Store, frame: &FrameId, session: &SessionId, message: &MessageId, workspace: String) {
    let name = FrameName::parse("blog").expect("a name");
    let new = frames::NewFrame {
        id: frame.clone(),
        name: name.clone(),
        project: None,
        origin: mimir::model::origin::Origin::Person,
        run: None,
        workspace,
        git: None,
        forge: mimir::model::git::FrameForge::default(),
        image: "image".into(),
        image_id: "id".into(),
        network: NetworkMode::Sealed,
        allow: Vec::new(),
        providers: Vec::new(),
        env: Vec::new(),
        gpu: false,
        limits: Limits { cpus_milli: 1000, memory_bytes: 1 << 30, pids: 100 },
        owner_uid: 0,
        owner_gid: 0,
        desired: Desired::Running,
        expires_at: None,
        ports: "33000-34000".parse().expect("a range"),
        avoid: BTreeSet::new(),
        given: String::new(),
    };
    let talk = NewSession {
        id: session.clone(),
        frame: frame.clone(),
        frame_name: name.clone(),
        title: "talk".into(),
    };
    let sent = NewMessage {
        id: message.clone(),
        idempotency_key: None,
        frame: frame.clone(),
        frame_name: name,
        session: session.clone(),
        origin: mimir::model::origin::Origin::Person,
        run: None,
        text: "do it".into(),
        model: None,
        agent: None,
        urgent: false,
    };
    let change = move |tx: &mut Tx<'_>| {
        let frame = frames::insert(tx, &new)?.id;
        frames::apply(tx, &frame, FrameEvent::StartRequested, None)?;
        frames::apply(tx, &frame, FrameEvent::BecameReady, None)?;
        sessions::insert(tx, &talk)?;
        sessions::set_agent_session(tx, &talk.id, &AgentSessionId(ROOT.to_owned()))?;
        messages::insert_once(tx, &sent)?;
        messages::move_to(tx, &sent.id, DeliveryState::Sending, None)?;
        messages::set_agent_message(tx, &sent.id, &AgentMessageId("msg_agent".into()))?;
        messages::move_to(tx, &sent.id, DeliveryState::Sent, None).map(drop)
    };
    store.write(change).await.expect("rows");
}

struct OnePlace(Arc<Prompter>);

#[async_trait]
impl AgentLocator for OnePlace {
    async fn wake(&self, frame: &FrameId, _: Duration) -> Result<OpencodeClient, PlaceError> {
        self.agent(frame).await
    }

    async fn agent(&self, _: &FrameId) -> Result<OpencodeClient, PlaceError> {
        self.0.client().ok_or_else(|| PlaceError::NotThere("the agent is away".into()))
    }

    async fn show(&self, _: &FrameId, _: &AgentSessionId) {}

    fn is_attended(&self, _: &FrameId) -> bool {
        !self.0.is_alone()
    }
}

/// `deny bash git push *`, with a reason when it denies.
pub fn rule(line: &str) -> Rule {
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    let action: Action = words[0].parse().expect("an action");
    let pattern = words.get(2).map(|word| (*word).to_owned());
    let is_bash = words[1] == "bash";
    Rule {
        action,
        tool: words[1].to_owned(),
        command: pattern.clone().filter(|_| is_bash),
        path: pattern.filter(|_| !is_bash),
        why: (action == Action::Deny).then(|| "that is for the owner to do".to_owned()),
    }
}

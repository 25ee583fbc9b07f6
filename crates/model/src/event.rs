//! The closed list of things that happen.
//!
//! An event is stored in the transaction of the change it tells of, gets the
//! gateway's own increasing id there, and is sent out only after that.

use serde::{Deserialize, Serialize};

use super::agent::{AgentMessageId, TakeBack, ToolStatus};
use super::approval::{ApprovalState, AskedQuestion};
use super::budget::BudgetPeriod;
use super::frame::FrameState;
use super::ids::{FrameId, MessageId, SessionId};
use super::message::DeliveryState;
use super::names::FrameName;
use super::port::{Port, PortPurpose};
use super::run::RunState;
use super::usage::Tokens;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", content = "data")]
pub enum EventKind {
    /// A frame was made.
    #[serde(rename = "frame.created")]
    FrameCreated {},
    /// A frame's state changed.
    #[serde(rename = "frame.moved")]
    FrameMoved {
        /// From.
        from: FrameState,
        /// To.
        to: FrameState,
        /// Why, when it is not obvious.
        reason: Option<String>,
    },
    /// A frame was destroyed.
    #[serde(rename = "frame.removed")]
    FrameRemoved {},
    /// Something worth knowing about a frame: a restart of its agent, out of memory, a repair.
    #[serde(rename = "frame.note")]
    FrameNote {
        /// A stable word, such as `agent_exited`, `out_of_memory`, `adopted`, `recreated`.
        code: String,
        /// A sentence.
        text: String,
    },
    /// A leased port was taken by somebody else and exchanged.
    #[serde(rename = "frame.port_exchanged")]
    PortExchanged {
        /// Which of the two.
        purpose: PortPurpose,
        /// The lost one.
        #[serde(rename = "from_port", alias = "from")]
        from: Port,
        /// The new one.
        #[serde(rename = "to_port", alias = "to")]
        to: Port,
    },
    /// The broker refused a connection.
    #[serde(rename = "frame.refused")]
    ConnectionRefused {
        /// The host that was asked for.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        why: String,
    },
    /// A key was taken out of what a provider said; no part of it is here.
    #[serde(rename = "frame.redacted")]
    KeyRedacted {
        /// Whose answer it was.
        provider: String,
        /// Where in it: `a header`, `a refusal`, `an answer`.
        place: String,
    },
    /// A budget comes to its end, or is used up.
    #[serde(rename = "budget.warning")]
    BudgetWarning {
        /// Whose: `everything`, `project shop`, `frame blog`, …
        whose: String,
        /// In which time.
        period: BudgetPeriod,
        /// Millionths of a US dollar.
        limit_microusd: u64,
        /// Millionths of a US dollar.
        spent_microusd: u64,
        /// Whether nothing is left.
        is_used_up: bool,
        /// A sentence.
        text: String,
    },
    /// A run of a workflow moved.
    #[serde(rename = "run.moved")]
    RunMoved {
        /// Its id.
        run: String,
        /// The workflow's name.
        workflow: String,
        /// One line about it.
        title: String,
        /// Absent when it was made.
        from: Option<RunState>,
        /// How far it is.
        to: RunState,
        /// The stage.
        stage: String,
        /// Why it waits, is held or ended.
        reason: Option<String>,
    },
    /// A schedule does nothing from now on, because its runs failed or cost too much.
    #[serde(rename = "schedule.paused")]
    SchedulePaused {
        /// Its name.
        schedule: String,
        /// Why.
        reason: String,
    },
    /// The connection to the agent was away; what it did meanwhile was read again and added.
    #[serde(rename = "agent.gap")]
    AgentGap {
        /// Since when nothing was heard of it (UTC ms).
        since: u64,
        /// Why.
        why: String,
        /// How many things were missing in the log.
        repaired: u32,
    },
    /// What the frame's agent does changed; see `GET /v1/frames/{name}` for the words.
    #[serde(rename = "frame.status")]
    StatusChanged {
        /// `starting`, `idle`, `busy`, `waiting`, `queued`, `retrying`, `wedged`, `error`, `paused`, `stopped`.
        status: String,
        /// The rest of it, for people: what is waited for, how many are queued, why.
        detail: Option<String>,
    },
    /// A conversation's title changed.
    #[serde(rename = "session.renamed")]
    SessionRenamed {
        /// Its new title.
        title: String,
    },
    /// A conversation was deleted.
    #[serde(rename = "session.removed")]
    SessionRemoved {},
    /// Messages of a conversation were taken back: undone in the terminal, or removed. The history keeps them.
    #[serde(rename = "session.taken_back")]
    SessionTakenBack {
        /// opencode's ids of them.
        messages: Vec<AgentMessageId>,
        /// How.
        how: TakeBack,
    },
    /// What was undone stands again.
    #[serde(rename = "session.restored")]
    SessionRestored {
        /// opencode's ids of the messages.
        messages: Vec<AgentMessageId>,
    },
    /// Somebody began a turn past mimir: in the terminal, or over the agent's own API.
    #[serde(rename = "turn.started")]
    TurnStarted {
        /// opencode's id of the prompt.
        #[serde(rename = "agent_message", alias = "prompt")]
        prompt: String,
        /// The words.
        text: String,
    },
    /// Such a turn ended.
    #[serde(rename = "turn.ended")]
    TurnEnded {
        /// opencode's id of the prompt.
        #[serde(rename = "agent_message", alias = "prompt")]
        prompt: String,
        /// The answer's text.
        answer: String,
        /// Why it failed, when it did.
        #[serde(rename = "reason", alias = "error")]
        error: Option<String>,
        /// Tokens of the turn.
        tokens: Tokens,
        /// Cost of the turn in millionths of a US dollar.
        cost_microusd: u64,
    },
    /// A conversation began.
    #[serde(rename = "session.created")]
    SessionCreated {
        /// Its title.
        title: String,
    },
    /// A waiting message was changed by its author.
    #[serde(rename = "message.edited")]
    MessageEdited {
        /// The new words.
        text: String,
    },
    /// A message was stored.
    #[serde(rename = "message.queued")]
    MessageQueued {},
    /// A message moved.
    #[serde(rename = "message.state")]
    MessageMoved {
        /// To.
        to: DeliveryState,
        /// Why, when it failed or was cancelled.
        reason: Option<String>,
    },
    /// The agent writes its answer.
    #[serde(rename = "message.text")]
    Text {
        /// To append to the part.
        delta: String,
        /// Which part.
        part: String,
    },
    /// The model thinks aloud.
    #[serde(rename = "message.reasoning")]
    Reasoning {
        /// To append to the part.
        delta: String,
        /// Which part.
        part: String,
    },
    /// What was told of a part is not what became of it: the agent took it back (a model call that failed and was
    /// made again), or pieces of it were lost or came in the wrong order.
    #[serde(rename = "message.rewritten")]
    Rewritten {
        /// Which part.
        part: String,
        /// All of it.
        text: String,
    },
    /// A tool call moved.
    #[serde(rename = "message.tool")]
    Tool {
        /// The call.
        call: String,
        /// The tool.
        tool: String,
        /// How far it is.
        status: ToolStatus,
        /// For people.
        title: Option<String>,
        /// Arguments, on the first event that has them.
        input: Option<serde_json::Value>,
        /// Output or error, at the end. Cut at 16 KiB; the whole is in the history.
        output: Option<String>,
    },
    /// The agent waits before it asks the model again.
    #[serde(rename = "message.retry")]
    Retry {
        /// Which attempt comes next.
        attempt: u32,
        /// What the provider said.
        #[serde(rename = "reason", alias = "message")]
        message: String,
        /// When (UTC ms).
        next_at: u64,
    },
    /// The agent waits for a person.
    #[serde(rename = "prompt.asked")]
    PromptAsked {
        /// opencode's id of it.
        #[serde(rename = "agent_request", alias = "prompt")]
        prompt: String,
        /// `permission`, `question` or `connection`.
        form: String,
        /// What is asked, in one line.
        text: String,
        /// Ours, for `/v1/approvals/{id}` and `mimir approvals`.
        #[serde(rename = "approval", alias = "id", default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Of a permission: which tool.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        /// Of a permission: each command, path or address. Of a connection: the host.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        patterns: Vec<String>,
        /// Of a question: what is asked, with options.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        questions: Vec<AskedQuestion>,
        /// Whether a sub-agent asks.
        #[serde(default)]
        from_child: bool,
        /// When it is denied by itself (UTC ms); only in unattended runs, and of a connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline_at: Option<u64>,
    },
    /// What the agent waited for was answered, in the terminal or elsewhere, or is not asked any more.
    #[serde(rename = "prompt.answered")]
    PromptAnswered {
        /// opencode's id of it.
        #[serde(rename = "agent_request", alias = "prompt")]
        prompt: String,
        /// Ours.
        #[serde(rename = "approval", alias = "id", default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// What was asked, in one line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// What became of it: `allowed`, `denied`, `answered`, `expired`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<ApprovalState>,
        /// `once`, `always`, `reject` or `answer`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<String>,
        /// Who decided: a principal, `policy`, `deadline`, `elsewhere` (at the frame's terminal or its own API), `agent` (nobody was there).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// By which rule.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A turn ended with an answer.
    #[serde(rename = "message.answered")]
    Answered {
        /// The answer's text.
        answer: String,
        /// Tokens of the turn.
        tokens: Tokens,
        /// Cost of the turn in millionths of a US dollar.
        cost_microusd: u64,
        /// From sent to answered.
        duration_ms: u64,
        /// `stop`, `length`, …
        finish: Option<String>,
    },
}

impl EventKind {
    /// A prompt of which no more is known than the agent's id of it, its kind and its words.
    #[must_use]
    pub fn asked(prompt: String, form: String, text: String) -> Self {
        let (id, tool, deadline_at) = (None, None, None);
        let (patterns, questions, from_child) = (Vec::new(), Vec::new(), false);
        Self::PromptAsked { prompt, form, text, id, tool, patterns, questions, from_child, deadline_at }
    }

    /// The end of a prompt of which no more is known than the agent's id of it.
    #[must_use]
    pub fn prompt_over(prompt: String) -> Self {
        let (id, text, state, decision) = (None, None, None, None);
        Self::PromptAnswered { prompt, id, text, state, decision, by: None, rule: None, reason: None }
    }

    /// The word it is filtered by, such as `frame.moved`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FrameCreated {} => "frame.created",
            Self::FrameMoved { .. } => "frame.moved",
            Self::FrameRemoved {} => "frame.removed",
            Self::FrameNote { .. } => "frame.note",
            Self::PortExchanged { .. } => "frame.port_exchanged",
            Self::ConnectionRefused { .. } => "frame.refused",
            Self::KeyRedacted { .. } => "frame.redacted",
            Self::BudgetWarning { .. } => "budget.warning",
            Self::RunMoved { .. } => "run.moved",
            Self::SchedulePaused { .. } => "schedule.paused",
            Self::AgentGap { .. } => "agent.gap",
            Self::StatusChanged { .. } => "frame.status",
            Self::SessionRenamed { .. } => "session.renamed",
            Self::SessionRemoved {} => "session.removed",
            Self::SessionTakenBack { .. } => "session.taken_back",
            Self::SessionRestored { .. } => "session.restored",
            Self::TurnStarted { .. } => "turn.started",
            Self::TurnEnded { .. } => "turn.ended",
            Self::SessionCreated { .. } => "session.created",
            Self::MessageEdited { .. } => "message.edited",
            Self::MessageQueued {} => "message.queued",
            Self::MessageMoved { .. } => "message.state",
            Self::Text { .. } => "message.text",
            Self::Reasoning { .. } => "message.reasoning",
            Self::Rewritten { .. } => "message.rewritten",
            Self::Tool { .. } => "message.tool",
            Self::Retry { .. } => "message.retry",
            Self::PromptAsked { .. } => "prompt.asked",
            Self::PromptAnswered { .. } => "prompt.answered",
            Self::Answered { .. } => "message.answered",
        }
    }
}

/// What it happened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Subject {
    /// The frame's id.
    #[serde(rename = "frame_id", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub frame: Option<FrameId>,
    /// The frame's name, which outlives the frame.
    #[serde(rename = "frame", default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub frame_name: Option<FrameName>,
    /// The conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session: Option<SessionId>,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub message: Option<MessageId>,
    /// Whatever else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<EventRef>,
}

/// Something that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRef {
    /// What kind of thing it is.
    pub kind: String,
    /// Which one.
    pub id: String,
}

/// An event as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Increasing, without a promise of no gaps.
    pub id: u64,
    /// UTC ms.
    pub at: u64,
    /// What it happened to.
    #[serde(flatten)]
    pub subject: Subject,
    /// What happened.
    #[serde(flatten)]
    pub what: EventKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let event = Event {
            id: 7,
            at: 1_000,
            subject: Subject { frame_name: FrameName::parse("blog").ok(), ..Subject::default() },
            what: EventKind::FrameMoved { from: FrameState::Created, to: FrameState::Starting, reason: None },
        };
        let text = serde_json::to_string(&event).expect("serialises");
        assert!(text.contains(r#""kind":"frame.moved""#), "{text}");
        assert!(text.contains(r#""frame":"blog""#), "a frame is its name: {text}");
        assert_eq!(serde_json::from_str::<Event>(&text).expect("reads"), event);
    }

    /// Rows of older databases hold them under the names that they had.
    #[test]
    fn an_event_is_read_under_its_older_names() {
        let read = |text: &str| serde_json::from_str::<EventKind>(text).expect("reads");
        let old = r#"{"kind":"prompt.asked","data":{"prompt":"per_1","form":"permission","text":"x","id":"apr_1"}}"#;
        let EventKind::PromptAsked { prompt, id, .. } = read(old) else { panic!("{old}") };
        assert_eq!((prompt.as_str(), id.as_deref()), ("per_1", Some("apr_1")));
        let old = r#"{"kind":"message.retry","data":{"attempt":1,"message":"later","next_at":2}}"#;
        let EventKind::Retry { message, .. } = read(old) else { panic!("{old}") };
        assert_eq!(message, "later");
        let old = r#"{"kind":"turn.started","data":{"prompt":"msg_1","text":"x"}}"#;
        assert!(matches!(read(old), EventKind::TurnStarted { prompt, .. } if prompt == "msg_1"));
    }
}

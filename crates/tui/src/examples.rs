//! What tests are made of.

use mimir_model::approval::{ApprovalState, AskedOption, AskedQuestion, RequestForm};
use mimir_model::event::{Event, EventKind, Subject};
use mimir_model::names::FrameName;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::frames::{FrameDetails, FrameStats, FrameSummary};
use mimir_model::wire::messages::{SessionDetails, TurnView};
use mimir_model::wire::runs::RunDetails;

/// An event of a frame.
pub fn event(frame: &str, what: EventKind) -> Event {
    let subject = Subject { frame_name: FrameName::parse(frame).ok(), ..Subject::default() };
    Event { id: 1, at: 1_000, subject, what }
}

fn from_json<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("an example has the shape of the wire")
}

/// A frame.
pub fn frame(name: &str, state: &str, word: &str) -> FrameSummary {
    from_json(serde_json::json!({
        "id": format!("frm_{name}"), "name": name, "state": state, "desired": "running",
        "status": {"word": word, "queued": 0}, "engine": "podman", "workspace": format!("/srv/{name}"),
        "agent_port": 33001, "preview_port": 33002, "network": "allow", "created_at": 0, "last_active_at": 0,
        "cost_microusd": 1_230_000, "unpriced_count": 0, "origin": "person", "behind": false,
    }))
}

/// A conversation.
pub fn session(frame: &str, turns: &[TurnView]) -> SessionDetails {
    let mut details: SessionDetails = from_json(serde_json::json!({
        "id": "ssn_1", "frame": frame, "title": "about the blog", "message_count": turns.len(),
        "created_at": 0, "last_active_at": 0, "turns": [],
    }));
    details.turns = turns.to_vec();
    details
}

/// A turn of it.
pub fn turn(role: &str, text: &str, is_over: bool) -> TurnView {
    from_json(serde_json::json!({
        "agent_message": "msg_1", "role": role, "at": 0, "ended_at": is_over.then_some(1), "text": text,
        "tools": [], "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 0, "parts": [],
    }))
}

/// Leave to run a command.
pub fn permission(frame: &str, id: &str, command: &str) -> ApprovalView {
    ApprovalView {
        id: id.to_owned(),
        frame: frame.to_owned(),
        session: None,
        message: None,
        form: RequestForm::Permission,
        state: ApprovalState::Pending,
        text: format!("bash: {command}"),
        tool: Some("bash".to_owned()),
        patterns: vec![command.to_owned()],
        always: vec!["rm *".to_owned()],
        metadata: serde_json::Value::Null,
        questions: Vec::new(),
        from_child: false,
        decision: None,
        answers: Vec::new(),
        by: None,
        rule: None,
        reason: None,
        deadline_at: None,
        asked_at: 1,
        decided_at: None,
    }
}

/// Questions with their options, and whether several may be picked.
pub fn question(frame: &str, questions: &[(&str, &[&str], bool)]) -> ApprovalView {
    let questions = questions
        .iter()
        .map(|(text, options, multiple)| AskedQuestion {
            header: String::new(),
            text: (*text).to_owned(),
            options: options
                .iter()
                .map(|label| AskedOption { label: (*label).to_owned(), description: String::new() })
                .collect(),
            multiple: *multiple,
        })
        .collect();
    ApprovalView {
        form: RequestForm::Question,
        tool: None,
        patterns: Vec::new(),
        questions,
        ..permission(frame, "apr_q", "")
    }
}

/// A run and its timeline, of which there is none yet.
pub fn run(id: &str, title: &str) -> RunDetails {
    from_json(serde_json::json!({
        "id": id, "workflow": "review", "title": title, "state": "running", "stage": "ask", "attempt": 0,
        "origin": "person", "key": id, "priority": 0, "cost_microusd": 0, "created_at": 0,
        "given": {"matter": {"kind": "none"}}, "checks": [], "timeline": [],
    }))
}

/// All of a frame.
pub fn details(name: &str) -> FrameDetails {
    let mut all = serde_json::to_value(frame(name, "running", "idle")).expect("json");
    let more = serde_json::json!({
        "image": "localhost/mimir-frame:latest", "image_id": "sha256:0", "container": "c", "generation": 1,
        "limits": {"cpus_milli": 2000, "memory_bytes": 1 << 30, "pids": 100}, "limits_enforced": true, "allow": [],
        "env": [], "owner": "1000:1000", "observed": "running", "state_changed_at": 0, "notes": [], "config_yaml": "",
    });
    let fields = all.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    from_json(all)
}

/// What a frame uses.
pub fn stats(name: &str, cpu_cores: f64, memory_bytes: u64) -> FrameStats {
    FrameStats {
        frame: name.to_owned(),
        cpu_cores,
        cpu_ms: 1_000,
        memory_bytes,
        memory_limit_bytes: 1 << 30,
        pids: 3,
        home_bytes: 0,
    }
}

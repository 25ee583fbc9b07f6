//! Rows into what clients see. Pure.

use std::collections::BTreeMap;

use crate::model::approval::{ApprovalRequest, AskBody, Decision};
use crate::model::budget::Standing;
use crate::model::container::Observation;
use crate::model::frame::{Frame, FrameState, Observed};
use crate::model::git::Push;
use crate::model::ids::{FrameId, ProjectId};
use crate::model::message::Message;
use crate::model::status::{FrameStatus, StatusWord};
use crate::model::webhook::Webhook;
use crate::runtime::LogLine;
use crate::schedules;
use crate::status::FrameNow;
use crate::store::frames::Note;
use crate::store::schedules::Tick;
use crate::store::usage::FrameCost;
use crate::store::webhooks::Content;
use crate::webhooks::{Preview, Sender};
use crate::wire::approvals::ApprovalView;
use crate::wire::budgets::BudgetView;
use crate::wire::frames::{FrameLogLine, FrameNote, FrameSummary};
use crate::wire::messages::MessageView;
use crate::wire::pushes::PushView;
use crate::wire::schedules::{ScheduleView, TickView};
use crate::wire::webhooks::{WebhookDetails, WebhookHeader, WebhookPreview, WebhookSourceView, WebhookView};

/// What is known about all frames besides their rows and what they do.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// What they cost.
    pub cost: BTreeMap<FrameId, FrameCost>,
    /// The budget of each that is nearest to its end.
    pub budgets: BTreeMap<FrameId, Standing>,
    /// Where servers elsewhere are.
    pub servers: BTreeMap<FrameId, String>,
    /// Names of projects.
    pub projects: BTreeMap<ProjectId, String>,
}

/// A frame in a list.
pub fn frame_summary(now: &FrameNow, around: &Surroundings) -> FrameSummary {
    let FrameNow { frame, status, image, .. } = now;
    let cost = around.cost.get(&frame.id).copied().unwrap_or_default();
    FrameSummary {
        id: frame.id.to_string(),
        name: frame.name.to_string(),
        state: frame.state,
        desired: frame.desired,
        reason: frame.reason.clone(),
        agent: agent_word(frame, status),
        status: status.clone(),
        engine: frame.engine,
        url: around.servers.get(&frame.id).cloned(),
        workspace: frame.workspace.clone(),
        agent_port: frame.agent_port.0,
        preview_port: frame.preview_port.0,
        network: frame.engine.is_local().then_some(frame.network),
        created_at: frame.created_at,
        last_active_at: frame.last_active_at,
        expires_at: frame.expires_at,
        cost_microusd: cost.microusd,
        unpriced_count: cost.unpriced,
        budget: around.budgets.get(&frame.id).cloned().map(BudgetView::from),
        project: frame.project.as_ref().and_then(|id| around.projects.get(id).cloned()),
        origin: frame.origin,
        run: frame.run.as_ref().map(ToString::to_string),
        behind: image.behind,
        rebuild: image.rebuild.clone(),
    }
}

/// What the agent does, unless the frame's state says it already.
fn agent_word(frame: &Frame, status: &FrameStatus) -> Option<String> {
    let says_nothing_new = status.word.as_str() == frame.state.as_str() || frame.state == FrameState::Created;
    match (says_nothing_new && status.word != StatusWord::Queued, status.queued) {
        (false, _) => Some(status.to_string()),
        (true, 0) => None,
        (true, queued) => Some(format!("queued ({queued})")),
    }
}

/// The engine's word.
pub fn observed_word(observation: &Observation) -> String {
    match observation.observed {
        Observed::Missing => "missing",
        Observed::Halted => "halted",
        Observed::Running => "running",
        Observed::Paused => "paused",
    }
    .to_owned()
}

/// What to do about a frame in that state.
pub fn frame_hint(frame: &Frame) -> Option<String> {
    (frame.state == FrameState::Error).then(|| {
        let name = &frame.name;
        format!("`mimir frame logs {name}` shows what it printed; `mimir frame start {name}` tries again")
    })
}

/// A note.
pub fn note(note: Note) -> FrameNote {
    FrameNote { at: note.at, code: note.code, text: note.text }
}

/// A line of a frame's log: the supervisor inside says who printed it.
pub fn log_line(line: LogLine) -> FrameLogLine {
    let sources = [("mimir: ", "frame"), ("opencode: ", "opencode"), ("forwarder: ", "forwarder")];
    for (prefix, source) in sources {
        if let Some(text) = line.text.strip_prefix(prefix) {
            return FrameLogLine { at: line.at, source: source.to_owned(), text: text.to_owned() };
        }
    }
    FrameLogLine { at: line.at, source: "frame".to_owned(), text: line.text }
}

/// A note among the lines of a log.
pub fn note_line(note: &FrameNote) -> FrameLogLine {
    FrameLogLine { at: note.at, source: "gateway".to_owned(), text: note.text.clone() }
}

/// A message.
pub fn message(message: Message, after_event: u64, notes: Vec<String>) -> MessageView {
    MessageView {
        id: message.id.to_string(),
        frame: message.frame_name.to_string(),
        session: message.session.to_string(),
        origin: message.origin,
        run: message.run.map(String::from),
        text: message.text,
        state: message.state,
        reason: message.reason,
        answer: message.answer,
        model: message.model.map(|model| model.to_string()),
        route: message.route,
        tokens: message.tokens,
        cost_microusd: message.cost_microusd,
        created_at: message.created_at,
        ended_at: message.ended_at,
        agent_message: message.agent_message.map(|id| id.to_string()),
        interrupt: message.urgent,
        after_event,
        notes,
    }
}

/// A host and its port, an address of IPv6 in brackets.
fn target(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Something that a frame pushed.
pub fn push(push: Push) -> PushView {
    PushView {
        id: push.id,
        frame: push.frame_name.to_string(),
        message: push.message.map(|id| id.to_string()),
        repository: push.repository.to_string(),
        state: push.state,
        updates: push.updates,
        held_because: push.held_because,
        commit_count: push.contents.commits,
        file_count: push.contents.files,
        size_bytes: push.contents.bytes,
        protected: push.contents.protected,
        findings: push.contents.findings,
        remarks: push.contents.remarks,
        by: push.decided_by,
        reason: push.reason,
        asked_at: push.asked_at,
        decided_at: push.decided_at,
        ended_at: push.ended_at,
    }
}

/// What an agent asks.
pub fn approval(prompt: ApprovalRequest) -> ApprovalView {
    let (form, text) = (prompt.ask.form(), prompt.ask.line());
    let (tool, patterns, always, metadata, questions) = match prompt.ask.body {
        AskBody::Permission { tool, patterns, always, metadata } => {
            (Some(tool), patterns, always, metadata, Vec::new())
        }
        AskBody::Question { questions } => (None, Vec::new(), Vec::new(), serde_json::Value::Null, questions),
        AskBody::Connection { host, port, listed, program } => {
            let metadata =
                program.map_or(serde_json::Value::Null, |name| serde_json::json!({"program": name}));
            (None, vec![target(&host, port)], vec![listed], metadata, Vec::new())
        }
    };
    let decision = prompt.decision.as_ref().map(|decision| decision.as_str().to_owned());
    let answers = match prompt.decision {
        Some(Decision::Answer { answers }) => answers,
        _ => Vec::new(),
    };
    ApprovalView {
        id: prompt.id.to_string(),
        frame: prompt.frame_name.to_string(),
        session: prompt.session.map(String::from),
        message: prompt.message.map(String::from),
        form,
        state: prompt.state,
        text,
        tool,
        patterns,
        always,
        metadata,
        questions,
        from_child: prompt.from_child,
        decision,
        answers,
        by: prompt.decided_by,
        rule: prompt.rule,
        reason: prompt.reason,
        deadline_at: prompt.deadline_at,
        asked_at: prompt.asked_at,
        decided_at: prompt.decided_at,
    }
}

/// Who may tell us something.
pub fn webhook_source(sender: Sender) -> WebhookSourceView {
    WebhookSourceView {
        path: format!("/webhooks/{}", sender.name),
        name: sender.name,
        kind: sender.kind,
        rule_count: u64::try_from(sender.rules).unwrap_or(u64::MAX),
        last_delivery: sender.last.map(webhook),
        troubles: sender.troubles,
    }
}

/// Something that came in.
pub fn webhook(webhook: Webhook) -> WebhookView {
    WebhookView {
        id: webhook.id,
        source: webhook.source,
        event: webhook.event,
        state: webhook.state,
        reason: webhook.reason,
        run_key: webhook.matter,
        run: webhook.run,
        waits_until: webhook.waits_until,
        duplicate_count: webhook.duplicates,
        size_bytes: webhook.size_bytes,
        received_at: webhook.received_at,
        decided_at: webhook.decided_at,
    }
}

/// Something that came in, with its words.
pub fn webhook_details(received: Webhook, content: Content) -> WebhookDetails {
    let headers = content.headers.into_iter();
    WebhookDetails {
        delivery: webhook(received),
        headers: headers.map(|(name, value)| WebhookHeader { name, value }).collect(),
        body: String::from_utf8_lossy(&content.body).into_owned(),
    }
}

/// What would follow from a message.
pub fn webhook_preview(preview: Preview) -> WebhookPreview {
    WebhookPreview {
        event: preview.event,
        run_key: preview.matter,
        title: preview.title,
        rule_number: preview.rule.map(|rule| u64::try_from(rule).unwrap_or(u64::MAX)),
        workflow: preview.workflow,
        project: preview.project,
        joins: preview.joins,
        wakes: preview.wakes,
        reason: preview.reason,
    }
}

/// A schedule.
pub fn schedule(shown: schedules::Shown) -> ScheduleView {
    let schedules::Shown { schedule, words, next, last } = shown;
    let spec = schedule.spec;
    ScheduleView {
        name: schedule.name.to_string(),
        source: schedule.source,
        expression: spec.expression,
        words,
        zone: spec.zone,
        does: spec.action,
        overlap: spec.overlap,
        catch_up: spec.catch_up,
        jitter_seconds: spec.jitter_seconds,
        gate: spec.gate,
        pause_after_failures: spec.pause_after_failures,
        pause_at_microusd: spec.pause_at_microusd,
        budget_microusd: spec.budget_microusd,
        paused_because: schedule.paused,
        next,
        last: last.map(tick),
        created_at: schedule.created_at,
    }
}

/// What became of one time of a schedule.
pub fn tick(tick: Tick) -> TickView {
    TickView {
        instant: tick.instant,
        seen_at: tick.seen_at,
        cause: tick.cause,
        outcome: tick.outcome,
        reason: tick.reason,
        run: tick.run.map(|run| run.to_string()),
        run_state: tick.run_state,
        run_reason: tick.run_reason,
        run_ended_at: tick.run_ended_at,
        cost_microusd: tick.cost_microusd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_printed_it() {
        let line = |text: &str| {
            let line = log_line(LogLine { at: 1, text: text.into(), stderr: false });
            (line.source, line.text)
        };
        assert_eq!(line("mimir: t=3ms up"), ("frame".into(), "t=3ms up".into()));
        assert_eq!(line("opencode: listening"), ("opencode".into(), "listening".into()));
        assert_eq!(line("forwarder: a: b"), ("forwarder".into(), "a: b".into()));
        assert_eq!(line("something else"), ("frame".into(), "something else".into()));
    }
}

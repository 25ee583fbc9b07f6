//! Conversations and what was said in them, as clients see it. Pure.

use crate::model::agent::{AgentMessage, AgentPart, PartBody, Role, TakenBack};
use crate::model::message::Session;
use crate::sessions::Conversation;
use crate::store::messages::Source;
use crate::store::search::Found;
use crate::wire::messages::{SessionDetails, SessionSummary, TurnView};
use crate::wire::sessions::{PartView, SearchHit, SnippetPiece};

/// A conversation in a list.
pub fn session(session: Session, message_count: u64) -> SessionSummary {
    SessionSummary {
        id: session.id.to_string(),
        frame: session.frame_name.to_string(),
        agent_session: session.agent_session.map(|id| id.to_string()),
        forked_from: session.forked_from.map(|id| id.to_string()),
        title: session.title,
        message_count,
        created_at: session.created_at,
        last_active_at: session.last_active_at,
    }
}

/// A conversation with everything that was said.
pub fn details(of: Conversation) -> SessionDetails {
    let Conversation { session: head, written, history, mut taken_back, mut sources } = of;
    let turns = history.into_iter().map(|record| {
        let (source, taken_back) = (sources.remove(&record.head.id), taken_back.remove(&record.head.id));
        turn(record, source, taken_back)
    });
    SessionDetails { turns: turns.collect(), summary: session(head, written) }
}

fn role_word(role: Role) -> String {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
    .to_owned()
}

fn turn(turn: AgentMessage, source: Option<Source>, taken_back: Option<TakenBack>) -> TurnView {
    let mut text = String::new();
    let mut tools = Vec::new();
    for part in &turn.parts {
        match &part.body {
            PartBody::Text { text: piece, synthetic: false } => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(piece);
            }
            PartBody::Tool { tool, title, .. } => tools.push(match title {
                Some(title) if !title.is_empty() => format!("{tool}: {title}"),
                _ => tool.clone(),
            }),
            _ => {}
        }
    }
    let head = turn.head;
    let (origin, run) = source.map_or((None, None), |(origin, run)| (Some(origin), run));
    TurnView {
        agent_message: head.id.to_string(),
        role: role_word(head.role),
        origin,
        run: run.map(String::from),
        at: head.created_at,
        ended_at: head.completed_at,
        model: head.model,
        text,
        tools,
        error: head.error.map(|error| error.message),
        taken_back,
        finish: head.finish,
        tokens: head.tokens,
        cost_microusd: head.cost_microusd,
        parts: turn.parts.into_iter().map(part).collect(),
    }
}

fn part(part: AgentPart) -> PartView {
    let (started_at, ended_at) = (part.started_at, part.ended_at);
    match part.body {
        PartBody::Text { text, synthetic } => PartView::Text { text, synthetic },
        PartBody::Reasoning { text } => PartView::Reasoning { text, started_at, ended_at },
        PartBody::Tool { tool, call_id, status, title, input, output } => {
            PartView::Tool { tool, call: call_id, status, title, input, output, started_at, ended_at }
        }
        PartBody::StepFinish { reason, tokens, cost_microusd } => {
            PartView::Step { reason, tokens, cost_microusd }
        }
        PartBody::Patch { files } => PartView::Files { paths: files },
        PartBody::Other { kind } => PartView::Other { kind },
    }
}

/// A message in which something was found.
pub fn found(found: Found) -> SearchHit {
    SearchHit {
        session: found.session.id.to_string(),
        title: found.session.title,
        frame: found.session.frame_name.to_string(),
        agent_message: found.message.to_string(),
        role: role_word(found.role),
        at: found.at,
        model: found.model,
        taken_back: found.taken_back,
        snippet: found.snippet.into_iter().map(|(text, hit)| SnippetPiece { text, hit }).collect(),
    }
}

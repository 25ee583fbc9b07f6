//! opencode's words into ours. Pure: feed it a recording in a test.

use serde_json::Value;

use super::{AgentSession, wire};
use crate::model::agent::{
    AgentEvent, AgentFailure, AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId,
    AgentStatus, MessageInfo, PartBody, Role, ToolStatus, UndoPoint,
};
use crate::model::approval::{AgentRequest, AskBody, AskedCall, AskedOption, AskedQuestion};
use crate::model::usage::Tokens;

/// Reads one payload of the event stream. What cannot be read is [`AgentEvent::Other`]: a kind that
/// we have not met must not end a turn, and whoever waits re-reads anyway.
pub(super) fn event(payload: &[u8]) -> AgentEvent {
    match serde_json::from_slice::<wire::Envelope>(payload) {
        Ok(envelope) => known(&envelope).unwrap_or(AgentEvent::Other(envelope.kind)),
        Err(_) => AgentEvent::Other(String::new()),
    }
}

fn known(envelope: &wire::Envelope) -> Option<AgentEvent> {
    let body = &envelope.properties;
    Some(match envelope.kind.as_str() {
        "server.connected" => AgentEvent::Connected,
        "server.heartbeat" => AgentEvent::Heartbeat,
        "server.instance.disposed" => AgentEvent::Disposed,
        "session.created" | "session.updated" => {
            let found = session(read(&body["info"])?);
            AgentEvent::SessionUpdated {
                session: found.id,
                parent: found.parent,
                title: found.title,
                metadata: found.metadata,
                undone: found.undone,
            }
        }
        "session.deleted" => AgentEvent::SessionDeleted(session(read(&body["info"])?).id),
        "session.status" => AgentEvent::Status(session_id(body)?, status(read(&body["status"])?)?),
        // The older twin of "status idle", often sent besides it.
        "session.idle" => AgentEvent::Status(session_id(body)?, AgentStatus::Idle),
        "session.error" => AgentEvent::Failed(session_id(body), failure(read(&body["error"])?)),
        "message.updated" => AgentEvent::Message(head(read(&body["info"])?)?),
        "message.removed" => {
            AgentEvent::MessageRemoved(session_id(body)?, AgentMessageId(text(body, "messageID")?))
        }
        "message.part.updated" => AgentEvent::Part(part(read(&body["part"])?)),
        "message.part.delta" if body["field"] == "text" => AgentEvent::PartDelta {
            session: session_id(body)?,
            message: AgentMessageId(text(body, "messageID")?),
            part: AgentPartId(text(body, "partID")?),
            delta: text(body, "delta")?,
        },
        "permission.asked" => AgentEvent::Asked(permission(read(body)?)),
        // The dialect of the first releases.
        "permission.updated" => AgentEvent::Asked(old_permission(read(body)?)),
        "permission.replied" => AgentEvent::PermissionReplied {
            session: session_id(body)?,
            permission: text(body, "requestID").or_else(|| text(body, "permissionID"))?,
            reply: text(body, "reply").or_else(|| text(body, "response")).unwrap_or_default(),
        },
        "question.asked" => AgentEvent::Asked(question(read(body)?)),
        "question.replied" | "question.rejected" => {
            AgentEvent::QuestionAnswered { session: session_id(body)?, question: text(body, "requestID")? }
        }
        _ => return None,
    })
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

fn text(body: &Value, field: &str) -> Option<String> {
    body[field].as_str().map(str::to_owned)
}

fn session_id(body: &Value) -> Option<AgentSessionId> {
    text(body, "sessionID").map(AgentSessionId)
}

pub(super) fn session(found: wire::Session) -> AgentSession {
    AgentSession {
        id: AgentSessionId(found.id),
        parent: found.parent.map(AgentSessionId),
        title: found.title,
        metadata: found.metadata,
        undone: found.revert.map(|revert| UndoPoint {
            message: AgentMessageId(revert.message),
            keeps_message: revert.part.is_some(),
        }),
        updated_at: found.time.updated.unwrap_or_default(),
    }
}

/// A word that is neither idle nor retry means that the agent is at work: waiting is the safe side.
pub(super) fn status(found: wire::Status) -> Option<AgentStatus> {
    Some(match found.kind.as_str() {
        "" => return None,
        "idle" => AgentStatus::Idle,
        "retry" => AgentStatus::Retry {
            attempt: found.attempt.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            message: found.message,
            next_at: found.next.unwrap_or_default(),
        },
        _ => AgentStatus::Busy,
    })
}

/// A message with its parts; `None` when somebody wrote it whom we do not know.
pub(super) fn turn(entry: wire::Entry) -> Option<AgentMessage> {
    let parts = entry.parts.iter().filter_map(|value| read(value).map(part)).collect();
    Some(AgentMessage { head: head(entry.info)?, parts })
}

fn head(found: wire::Head) -> Option<MessageInfo> {
    let role = match found.role.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    };
    let sent_with = found.model.map(|model| (model.provider, model.model));
    let model = found.provider_id.zip(found.model_id).or(sent_with);
    Some(MessageInfo {
        id: AgentMessageId(found.id),
        session: AgentSessionId(found.session),
        role,
        parent: found.parent.map(AgentMessageId),
        model: model.map(|(provider, model)| format!("{provider}/{model}")),
        created_at: found.time.created.unwrap_or_default(),
        completed_at: found.time.completed,
        finish: found.finish,
        error: found.error.map(failure),
        tokens: tokens(&found.tokens),
        cost_microusd: microusd(found.cost),
    })
}

fn part(found: wire::Part) -> AgentPart {
    // A part without times was written in one go (our own text).
    let closed = found.time.as_ref().is_none_or(|time| time.completed.is_some());
    let time = found.time.unwrap_or_default();
    let started_at = time.created.or(found.state.time.created);
    let ended_at = time.completed.or(found.state.time.completed);
    let (body, ended) = match found.kind.as_str() {
        "text" => (PartBody::Text { text: found.text, synthetic: found.synthetic }, closed),
        "reasoning" => (PartBody::Reasoning { text: found.text }, closed),
        "tool" => tool(found.tool, found.call, found.state),
        "step-finish" => {
            let tokens = tokens(&found.tokens);
            let cost_microusd = microusd(found.cost);
            (PartBody::StepFinish { reason: found.reason, tokens, cost_microusd }, true)
        }
        "patch" => (PartBody::Patch { files: found.files }, true),
        _ => (PartBody::Other { kind: found.kind }, true),
    };
    AgentPart {
        id: AgentPartId(found.id),
        session: AgentSessionId(found.session),
        message: AgentMessageId(found.message),
        ended,
        started_at,
        ended_at,
        body,
    }
}

fn tool(tool: String, call_id: String, state: wire::ToolState) -> (PartBody, bool) {
    let so_far = state.metadata["output"].as_str().map(str::to_owned);
    let (status, output) = match state.status.as_str() {
        "completed" => (ToolStatus::Completed, state.output),
        "error" => (ToolStatus::Error, state.error.or(state.output)),
        "pending" => (ToolStatus::Pending, None),
        _ => (ToolStatus::Running, so_far),
    };
    let ended = matches!(status, ToolStatus::Completed | ToolStatus::Error);
    (PartBody::Tool { tool, call_id, status, title: state.title, input: state.input, output }, ended)
}

pub(super) fn failure(found: wire::Failure) -> AgentFailure {
    let said = found.data["message"].as_str().map(str::to_owned);
    let provider = found.data["providerID"].as_str();
    let message = said
        .or(found.message)
        .map(|message| without_stack(&message))
        .filter(|message| !message.is_empty())
        .or_else(|| provider.map(|name| format!("{name} refused")))
        .unwrap_or_else(|| found.name.clone());
    let status = found.data["statusCode"].as_u64().and_then(|code| u16::try_from(code).ok());
    AgentFailure { name: found.name, message, status }
}

/// What went wrong, without the places in opencode's code that it went through: they help nobody who reads a message.
fn without_stack(message: &str) -> String {
    let is_place = |line: &&str| line.trim_start().starts_with("at ") && line.starts_with([' ', '\t']);
    message.lines().take_while(|line| !is_place(line)).collect::<Vec<_>>().join("\n")
}

pub(super) fn permission(found: wire::Permission) -> AgentRequest {
    AgentRequest {
        id: found.id,
        session: AgentSessionId(found.session),
        call: found.tool.map(call),
        body: AskBody::Permission {
            tool: found.permission,
            patterns: found.patterns,
            always: found.always,
            metadata: found.metadata,
        },
    }
}

fn old_permission(found: wire::OldPermission) -> AgentRequest {
    let call = found.message.zip(found.call).map(|(message, call)| wire::AskedCall { message, call });
    let mut metadata = found.metadata;
    if let (Some(fields), false) = (metadata.as_object_mut(), found.title.is_empty()) {
        fields.entry("title").or_insert(found.title.into());
    }
    permission(wire::Permission {
        id: found.id,
        session: found.session,
        permission: found.kind,
        patterns: found.pattern.map(wire::OneOrMore::into_vec).unwrap_or_default(),
        always: Vec::new(),
        metadata,
        tool: call,
    })
}

pub(super) fn question(found: wire::Question) -> AgentRequest {
    AgentRequest {
        id: found.id,
        session: AgentSessionId(found.session),
        call: found.tool.map(call),
        body: AskBody::Question { questions: found.questions.into_iter().map(one_question).collect() },
    }
}

fn call(found: wire::AskedCall) -> AskedCall {
    AskedCall { message: AgentMessageId(found.message), call_id: found.call }
}

fn one_question(found: wire::OneQuestion) -> AskedQuestion {
    let option =
        |found: wire::AskedOption| AskedOption { label: found.label, description: found.description };
    AskedQuestion {
        header: found.header,
        text: found.question,
        options: found.options.into_iter().map(option).collect(),
        multiple: found.multiple,
    }
}

fn tokens(found: &wire::Tokens) -> Tokens {
    Tokens {
        input: found.input.unwrap_or_default(),
        output: found.output.unwrap_or_default(),
        reasoning: found.reasoning.unwrap_or_default(),
        cache_read: found.cache.read.unwrap_or_default(),
        cache_write: found.cache.write.unwrap_or_default(),
    }
}

fn microusd(dollars: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let rounded = (dollars * 1_000_000.0).round().max(0.0) as u64;
    rounded
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;

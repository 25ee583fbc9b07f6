//! Recordings of the real server (opencode 1.18.33), replayed.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::opencode::sse::SseParser;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn replay(name: &str) -> Vec<AgentEvent> {
    let payloads = SseParser::default().push(&fixture(&format!("{name}.event.sse"))).expect("short events");
    payloads.iter().map(|payload| event(payload)).collect()
}

fn stored(name: &str) -> Vec<AgentMessage> {
    let body: Value = serde_json::from_slice(&fixture(&format!("{name}.rest.json"))).expect("json");
    let entries: Vec<wire::Entry> = serde_json::from_value(body["messages"].clone()).expect("messages");
    let count = entries.len();
    let turns: Vec<AgentMessage> = entries.into_iter().filter_map(turn).collect();
    assert_eq!(turns.len(), count, "every message can be read");
    turns
}

const RECORDINGS: &[&str] = &[
    "text",
    "reasoning",
    "bash",
    "abort",
    "http401",
    "http429",
    "permission-reject",
    "question",
    "kill-sigkill-bash-slow",
    "task-subagent",
    "length",
    "auto-compaction",
];

#[test]
fn every_recording_begins_connected_and_its_important_events_are_understood() {
    let noise = ["session.diff", "session.compacted", "todo.updated", "plugin.added", "question.replied"];
    for name in RECORDINGS {
        let events = replay(name);
        assert_eq!(events.first(), Some(&AgentEvent::Connected), "{name}");
        for event in &events {
            if let AgentEvent::Other(kind) = event {
                let ours = ["message.", "permission.", "question.asked", "server."];
                assert!(
                    noise.contains(&kind.as_str()) || !ours.iter().any(|start| kind.starts_with(start)),
                    "{name}: {kind} was not understood"
                );
            }
        }
    }
}

/// Deltas appended to the part they name give the text that is stored in the end.
#[test]
fn deltas_add_up_to_the_stored_text() {
    for name in ["text", "reasoning", "bash", "length"] {
        let mut grown: BTreeMap<AgentPartId, String> = BTreeMap::new();
        for event in replay(name) {
            if let AgentEvent::PartDelta { part, delta, .. } = event {
                grown.entry(part).or_default().push_str(&delta);
            }
        }
        assert!(!grown.is_empty(), "{name}");
        for part in stored(name).into_iter().flat_map(|turn| turn.parts) {
            let (PartBody::Text { text, .. } | PartBody::Reasoning { text }) = &part.body else { continue };
            if let Some(grown) = grown.remove(&part.id) {
                assert_eq!(&grown, text, "{name}");
            }
        }
        assert!(grown.is_empty(), "{name}: deltas for parts that were not stored: {grown:?}");
    }
}

#[test]
fn what_the_stream_said_last_is_what_is_stored() {
    for name in ["text", "bash", "http401", "permission-reject"] {
        let mut heads: BTreeMap<AgentMessageId, MessageInfo> = BTreeMap::new();
        let mut parts: BTreeMap<AgentPartId, AgentPart> = BTreeMap::new();
        for event in replay(name) {
            match event {
                AgentEvent::Message(head) => drop(heads.insert(head.id.clone(), head)),
                AgentEvent::Part(part) => drop(parts.insert(part.id.clone(), part)),
                _ => {}
            }
        }
        for turn in stored(name) {
            assert_eq!(heads.get(&turn.head.id), Some(&turn.head), "{name}");
            for part in &turn.parts {
                assert_eq!(parts.get(&part.id), Some(part), "{name}");
            }
        }
    }
}

#[test]
fn a_plain_answer_has_its_tokens_and_cost() {
    let turns = stored("text");
    let answer = turns.last().expect("an answer");
    assert_eq!(answer.head.role, Role::Assistant);
    assert_eq!(answer.head.model.as_deref(), Some("scripted/scripted"));
    assert_eq!(answer.head.finish.as_deref(), Some("stop"));
    assert_eq!(answer.head.cost_microusd, 1410);
    let expected = Tokens { input: 200, output: 30, reasoning: 4, cache_read: 1000, cache_write: 0 };
    assert_eq!(answer.head.tokens, expected);
}

#[test]
fn a_tool_call_goes_from_pending_to_completed_with_its_output() {
    let mut seen = Vec::new();
    for event in replay("bash") {
        if let AgentEvent::Part(AgentPart { body: PartBody::Tool { status, output, .. }, ended, .. }) = event
        {
            assert_eq!(ended, status == ToolStatus::Completed);
            seen.push((status, output.unwrap_or_default()));
        }
    }
    assert_eq!(seen.first(), Some(&(ToolStatus::Pending, String::new())));
    let last = seen.last().expect("a tool call");
    assert_eq!(last.0, ToolStatus::Completed);
    assert!(last.1.starts_with("hi-from-bash\n"), "{last:?}");
}

#[test]
fn a_refused_key_is_a_failure_with_the_providers_words() {
    let failures: Vec<AgentFailure> = replay("http401")
        .into_iter()
        .filter_map(|event| if let AgentEvent::Failed(_, failure) = event { Some(failure) } else { None })
        .collect();
    let failure = failures.first().expect("a failure");
    assert_eq!((failure.name.as_str(), failure.status), ("APIError", Some(401)));
    assert_eq!(failure.message, "Incorrect API key provided");
}

#[test]
fn an_abort_a_retry_a_permission_and_a_question_are_told_apart() {
    let has = |name: &str, wanted: fn(&AgentEvent) -> bool| replay(name).iter().any(wanted);
    assert!(has("abort", |event| matches!(event, AgentEvent::Failed(_, failure) if failure.is_abort())));
    assert!(has("http429", |event| {
        matches!(event, AgentEvent::Status(_, AgentStatus::Retry { attempt: 1, .. }))
    }));
    assert!(has("permission-reject", |event| {
        matches!(event, AgentEvent::Asked(ask) if ask.line() == "edit: scripted.txt" && ask.call.is_some())
    }));
    assert!(has("question", |event| {
        matches!(event, AgentEvent::Asked(ask) if ask.line() == "Which database?")
    }));
    assert!(has("task-subagent", |event| {
        matches!(event, AgentEvent::SessionUpdated { parent: Some(_), .. })
    }));
}

#[test]
fn unknown_kinds_and_nonsense_are_no_end_of_the_world() {
    for payload in [
        r#"{"id":"evt_1","type":"session.next.thing","properties":{"deep":[1,2]}}"#,
        r#"{"type":"message.updated","properties":{"info":{"id":7}}}"#,
        r#"{"type":"message.updated","properties":{"info":{"id":"m","sessionID":"s","role":"oracle"}}}"#,
        r#"{"type":"message.part.delta","properties":{"field":"signature","sessionID":"s","messageID":"m","partID":"p","delta":"x"}}"#,
        r#"{"type":"session.status"}"#,
        r#"{"type":3}"#,
        "[1,2,3]",
        "not json",
        "\u{0}",
    ] {
        assert!(matches!(event(payload.as_bytes()), AgentEvent::Other(_)), "{payload}");
    }
}

#[test]
fn a_word_for_a_status_that_we_have_not_met_counts_as_busy() {
    let payload =
        r#"{"type":"session.status","properties":{"sessionID":"ses_1","status":{"type":"compacting"}}}"#;
    assert_eq!(
        event(payload.as_bytes()),
        AgentEvent::Status(AgentSessionId("ses_1".into()), AgentStatus::Busy)
    );
}

#[test]
fn a_failure_is_told_without_the_places_in_the_agents_code() {
    let said = "Unexpected error: ENOENT: no such file or directory, posix_spawn 'git'\n    at spawn (node:1:2)\n    at x";
    let found =
        serde_json::from_value(serde_json::json!({"name": "UnknownError", "data": {"message": said}}));
    let failure = super::failure(found.expect("a failure"));
    assert_eq!(failure.message, "Unexpected error: ENOENT: no such file or directory, posix_spawn 'git'");
}

//! How recorded and imagined turns end.

use std::path::Path;

use super::*;
use crate::feed::progress::Emitted;
use crate::feed::samples::{self, finished, head, id};
use crate::model::agent::{AgentEvent, AgentSessionId, Role};
use crate::opencode::recording;

const PATIENCE: Patience = Patience { begin: Duration::from_secs(15), settle: Duration::from_secs(3) };
const AT_ONCE: Duration = Duration::ZERO;
const SETTLED: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(31);

fn after_recording(name: &str) -> Transcript {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode");
    let bytes = std::fs::read(path.join(format!("{name}.event.sse"))).expect("a recording");
    let events = recording(&bytes);
    let session = events.iter().find_map(|event| match event {
        AgentEvent::SessionUpdated { session, parent: None, .. } => Some(session.clone()),
        _ => None,
    });
    let session = session.expect("a session");
    let prompt = events.iter().find_map(|event| match event {
        AgentEvent::Message(head) if head.session == session => Some(head.id.clone()),
        _ => None,
    });
    let mut turn = Transcript::new(session, prompt.expect("a prompt"), Emitted::default());
    for event in &events {
        turn.see(event);
    }
    turn
}

fn judge(turn: &Transcript, idle_for: Duration, patience: Patience) -> Verdict {
    super::judge(turn, turn.prompt(), idle_for, patience)
}

fn judged(name: &str, idle_for: Duration) -> Verdict {
    judge(&after_recording(name), idle_for, PATIENCE)
}

#[test]
fn recorded_turns_end_as_they_did() {
    let answered = |name: &str| match judged(name, AT_ONCE) {
        Verdict::Answered(answer) => answer,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(answered("text").text, "Hello from the scripted model.");
    assert!(answered("bash").text.starts_with("Done. The tool said: hi-from-bash"));
    assert_eq!(answered("length").finish.as_deref(), Some("length"));
    assert!(!answered("auto-compaction").text.is_empty(), "trap 15: the last parent is not our message");
    assert!(!answered("task-subagent").text.is_empty());
    assert!(!answered("http429").text.is_empty(), "a retry that worked is an answer");

    let refused = Verdict::Failed("the model provider refused (HTTP 401): Incorrect API key provided".into());
    assert_eq!(judged("http401", AT_ONCE), refused);
    assert_eq!(judged("abort", AT_ONCE), Verdict::Stopped);
}

#[test]
fn a_refused_permission_ends_the_turn_only_when_nothing_follows() {
    assert_eq!(judged("permission-reject", AT_ONCE), Verdict::NotYet);
    assert!(
        matches!(judged("permission-reject", SETTLED), Verdict::Failed(why) if why.contains("was refused"))
    );
}

#[test]
fn an_agent_that_was_killed_is_not_waited_for_for_ever() {
    assert_eq!(judged("kill-sigkill-bash-slow", AT_ONCE), Verdict::NotYet);
    assert!(
        matches!(judged("kill-sigkill-bash-slow", SETTLED), Verdict::Failed(why) if why.contains("middle"))
    );
}

fn text(message: &str, text: &str) -> AgentEvent {
    AgentEvent::Part(samples::text(message, text, false))
}

fn turn(events: Vec<AgentEvent>) -> Transcript {
    let mut turn = Transcript::new(AgentSessionId("ses".into()), id("msg_1"), Emitted::default());
    for event in events {
        turn.see(&event);
    }
    turn
}

#[test]
fn a_prompt_that_was_taken_and_never_begun_fails_after_a_while() {
    let taken = turn(vec![AgentEvent::Message(head("msg_1", Role::User))]);
    assert_eq!(judge(&taken, SETTLED, PATIENCE), Verdict::NotYet);
    assert!(matches!(judge(&taken, LONG, PATIENCE), Verdict::NotBegun(why) if why.contains("never began")));
    let lost = turn(Vec::new());
    assert!(matches!(judge(&lost, LONG, PATIENCE), Verdict::NotBegun(why) if why.contains("lost it")));
}

#[test]
fn a_refusal_before_the_start_says_what_the_session_complained_of() {
    let failure = AgentFailure {
        name: "UnknownError".into(),
        message: "Model not found: scripted/nope.".into(),
        status: None,
    };
    let refused = turn(vec![
        AgentEvent::Message(head("msg_1", Role::User)),
        AgentEvent::Failed(Some(AgentSessionId("ses".into())), failure),
    ]);
    assert_eq!(judge(&refused, AT_ONCE, PATIENCE), Verdict::NotYet);
    assert!(
        matches!(judge(&refused, SETTLED, PATIENCE), Verdict::Failed(why) if why.contains("Model not found"))
    );
}

#[test]
fn somebody_elses_later_turn_is_not_our_answer() {
    let talk = turn(vec![
        AgentEvent::Message(head("msg_1", Role::User)),
        AgentEvent::Message(finished("msg_2", "stop")),
        text("msg_2", "ours"),
        AgentEvent::Message(head("msg_3", Role::User)),
        text("msg_3", "typed in the terminal"),
        AgentEvent::Message(finished("msg_4", "stop")),
        text("msg_4", "theirs"),
    ]);
    let expected = Answer { text: "ours".into(), finish: Some("stop".into()) };
    assert_eq!(judge(&talk, AT_ONCE, PATIENCE), Verdict::Answered(expected));
}

#[test]
fn a_prompt_that_steered_our_turn_shares_its_answer() {
    let talk = turn(vec![
        AgentEvent::Message(head("msg_1", Role::User)),
        AgentEvent::Message(finished("msg_2", "tool-calls")),
        AgentEvent::Message(head("msg_3", Role::User)),
        text("msg_3", "and be quick"),
        AgentEvent::Message(finished("msg_4", "stop")),
        text("msg_4", "both"),
    ]);
    assert!(matches!(judge(&talk, AT_ONCE, PATIENCE), Verdict::Answered(answer) if answer.text == "both"));
}

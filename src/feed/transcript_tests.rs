//! Recordings of the real server, told through a transcript.

use crate::model::approval::{AgentRequest, AskBody};
use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::feed::progress::{EVENT_OUTPUT, cut};
use crate::model::agent::ToolStatus;
use crate::opencode::recording;

fn replay(name: &str) -> Vec<AgentEvent> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode");
    let path = path.join(format!("{name}.event.sse"));
    recording(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// A transcript for the first prompt of the session that was made in the recording.
fn transcript(events: &[AgentEvent]) -> Transcript {
    let session = events.iter().find_map(|event| match event {
        AgentEvent::SessionUpdated { session, parent: None, .. } => Some(session.clone()),
        _ => None,
    });
    let session = session.expect("a session");
    let prompt = events.iter().find_map(|event| match event {
        AgentEvent::Message(head) if head.session == session => Some(head.id.clone()),
        _ => None,
    });
    Transcript::new(session, prompt.expect("a prompt"), Emitted::default())
}

fn text_told(happenings: &[EventKind]) -> String {
    let text = |happening: &EventKind| match happening {
        EventKind::Text { delta, .. } => Some(delta.clone()),
        _ => None,
    };
    happenings.iter().filter_map(text).collect()
}

fn told_of(events: &[AgentEvent], turn: &mut Transcript) -> Vec<EventKind> {
    events.iter().flat_map(|event| turn.see(event)).collect()
}

#[test]
fn a_streamed_answer_is_told_once_and_in_order() {
    let events = replay("text");
    let mut turn = transcript(&events);
    let told = told_of(&events, &mut turn);
    assert_eq!(text_told(&told), "Hello from the scripted model. ");
    assert!(told.len() > 3, "in pieces: {told:?}");
    let answer = turn.answers().last().expect("an answer").id.clone();
    assert_eq!(turn.text_of(&answer), "Hello from the scripted model.");
    assert_eq!(turn.usage().1, 1410);
}

#[test]
fn our_own_words_are_not_told_as_the_agents() {
    let events = replay("bash");
    let mut turn = transcript(&events);
    let told = text_told(&told_of(&events, &mut turn));
    assert!(!told.contains("@@bash@@"), "{told}");
    assert!(told.starts_with("I will list the files.") && told.contains("Done. The tool said"), "{told}");
}

#[test]
fn a_tool_call_is_told_when_it_runs_and_when_it_ends() {
    let events = replay("bash");
    let mut turn = transcript(&events);
    let mut statuses = Vec::new();
    for happening in told_of(&events, &mut turn) {
        if let EventKind::Tool { status, input, output, .. } = happening {
            assert_eq!(input.is_some(), status == ToolStatus::Running, "arguments come once");
            assert_eq!(output.is_some(), status == ToolStatus::Completed, "output comes at the end");
            statuses.push(status);
        }
    }
    assert_eq!(statuses, [ToolStatus::Running, ToolStatus::Completed]);
}

#[test]
fn every_event_twice_tells_nothing_twice() {
    for name in ["bash", "reasoning", "permission-reject", "question", "http429"] {
        let events = replay(name);
        let once = told_of(&events, &mut transcript(&events));
        // Deltas are the one thing that cannot come twice over one connection.
        let doubled: Vec<AgentEvent> = events
            .iter()
            .flat_map(|event| {
                let again = !matches!(event, AgentEvent::PartDelta { .. });
                std::iter::once(event.clone()).chain(again.then(|| event.clone()))
            })
            .collect();
        assert_eq!(told_of(&doubled, &mut transcript(&events)), once, "{name}");
    }
}

/// Cut at every event, re-read what the agent has stored by then, go on: the text is whole and nothing is doubled.
#[test]
fn a_cut_anywhere_loses_no_text() {
    for name in ["text", "bash", "length", "auto-compaction"] {
        let events = replay(name);
        let whole = text_told(&told_of(&events, &mut transcript(&events)));
        for cut in 0..events.len() {
            for lost in [0, 1, 3] {
                let mut turn = transcript(&events);
                let mut told = told_of(&events[..cut], &mut turn);
                turn.cut();
                let back = (cut + lost).min(events.len());
                told.extend(turn.absorb(&stored_by(&events[..back])));
                told.extend(told_of(&events[back..], &mut turn));
                assert_eq!(text_told(&told), whole, "{name}: cut at {cut}, {lost} lost");
            }
        }
    }
}

/// As above, but the gateway itself dies at the cut: the new one knows only what was stored as told.
#[test]
fn a_new_gateway_goes_on_where_the_old_one_stopped() {
    let events = replay("bash");
    let whole = told_of(&events, &mut transcript(&events));
    for cut in 0..events.len() {
        let mut told = told_of(&events[..cut], &mut transcript(&events));
        let mut before = Emitted::default();
        told.iter().cloned().for_each(|happening| before.add(happening));
        let fresh = transcript(&events);
        let mut turn = Transcript::new(fresh.session, fresh.prompt, before);
        told.extend(turn.absorb(&stored_by(&events[..cut])));
        told.extend(told_of(&events[cut..], &mut turn));
        assert_eq!(text_told(&told), text_told(&whole), "cut at {cut}");
        let tools = |told: &[EventKind]| told.iter().filter(|h| h.kind() == "message.tool").count();
        assert_eq!(tools(&told), tools(&whole), "cut at {cut}");
    }
}

/// What the agent would answer to a re-read: whole heads and parts, but of streaming text nothing.
fn stored_by(events: &[AgentEvent]) -> Vec<AgentMessage> {
    let mut turns: BTreeMap<AgentMessageId, (Option<MessageInfo>, BTreeMap<AgentPartId, AgentPart>)> =
        BTreeMap::new();
    for event in events {
        match event {
            AgentEvent::Message(head) => turns.entry(head.id.clone()).or_default().0 = Some(head.clone()),
            AgentEvent::Part(part) => {
                let parts = &mut turns.entry(part.message.clone()).or_default().1;
                parts.insert(part.id.clone(), part.clone());
            }
            _ => {}
        }
    }
    let turn = |(head, parts): (Option<MessageInfo>, BTreeMap<AgentPartId, AgentPart>)| {
        Some(AgentMessage { head: head?, parts: parts.into_values().collect() })
    };
    turns.into_values().filter_map(turn).collect()
}

#[test]
fn a_late_event_does_not_reopen_a_finished_message() {
    let events = replay("text");
    let mut turn = transcript(&events);
    told_of(&events, &mut turn);
    told_of(&events[..events.len() / 2], &mut turn);
    let last = turn.answers().last().expect("an answer");
    assert!(last.completed_at.is_some());
    assert_eq!(turn.text_of(&last.id.clone()), "Hello from the scripted model.");
}

#[test]
fn a_question_makes_the_turn_wait_until_it_is_answered() {
    for name in ["question", "permission-reject"] {
        let events = replay(name);
        let mut turn = transcript(&events);
        let mut waited = false;
        for event in &events {
            turn.see(event);
            waited |= turn.waits_for_person();
        }
        assert!(waited && !turn.waits_for_person(), "{name}");
    }
}

#[test]
fn a_prompt_that_was_answered_unseen_is_no_longer_waited_for() {
    let events = replay("question");
    let asked = events.iter().position(|event| matches!(event, AgentEvent::Asked(_)));
    let mut turn = transcript(&events);
    told_of(&events[..=asked.expect("a question")], &mut turn);
    assert!(turn.waits_for_person());
    turn.still_waiting(&BTreeSet::new());
    assert!(!turn.waits_for_person());
}

#[test]
fn a_sub_agents_words_are_not_told_and_its_prompts_are_waited_for() {
    let events = replay("task-subagent");
    let mut turn = transcript(&events);
    let told = told_of(&events, &mut turn);
    let child = turn.children.iter().next().expect("a child").clone();
    let ask = AgentRequest {
        id: "per_1".into(),
        session: child,
        call: None,
        body: AskBody::Permission {
            tool: "bash".into(),
            patterns: vec!["ls".into()],
            always: Vec::new(),
            metadata: serde_json::Value::Null,
        },
    };
    assert!(turn.see(&AgentEvent::Asked(ask)).is_empty() && turn.waits_for_person());
    turn.still_waiting(&BTreeSet::from(["per_1".to_owned()]));
    assert!(turn.waits_for_person());
    turn.still_waiting(&BTreeSet::new());
    assert!(!turn.waits_for_person());
    let answers: Vec<&MessageInfo> = turn.answers().collect();
    assert!(answers.iter().all(|head| head.session == turn.session));
    assert!(told.iter().any(|happening| matches!(happening, EventKind::Tool { tool, .. } if tool == "task")));
}

#[test]
fn a_tools_long_output_is_cut_between_characters() {
    let long = "ä".repeat(EVENT_OUTPUT);
    let short = cut(&long);
    assert!(short.len() <= EVENT_OUTPUT && long.starts_with(&short) && !short.is_empty());
}

/// A model call fails in the middle and is made again: what it had said is taken back.
#[test]
fn what_was_told_and_is_not_so_is_told_anew() {
    let part = |text: &str, ended: bool| {
        AgentEvent::Part(AgentPart {
            id: AgentPartId("prt".into()),
            session: AgentSessionId("ses".into()),
            message: AgentMessageId("msg_2".into()),
            ended,
            started_at: None,
            ended_at: None,
            body: PartBody::Text { text: text.into(), synthetic: false },
        })
    };
    let delta = |delta: &str| AgentEvent::PartDelta {
        session: AgentSessionId("ses".into()),
        message: AgentMessageId("msg_2".into()),
        part: AgentPartId("prt".into()),
        delta: delta.into(),
    };
    let head = replay("text").into_iter().find_map(|event| match event {
        AgentEvent::Message(head) if head.role == Role::Assistant => Some(head),
        _ => None,
    });
    let head = MessageInfo {
        id: AgentMessageId("msg_2".into()),
        session: AgentSessionId("ses".into()),
        ..head.expect("a head")
    };
    let told_after = |last: &str| {
        let mut turn =
            Transcript::new(AgentSessionId("ses".into()), AgentMessageId("msg_1".into()), Emitted::default());
        let events = [AgentEvent::Message(head.clone()), part("", false), delta("He "), part(last, true)];
        (told_of(&events, &mut turn), turn)
    };
    let anew = |text: &str| vec![EventKind::Rewritten { part: "prt".into(), text: text.into() }];
    assert_eq!(told_after("").0[1..], anew("")[..]);
    let (told, turn) = told_after("Hi there");
    assert_eq!((&told[1..], turn.text_of(&head.id).as_str()), (&anew("Hi there")[..], "Hi there"));
    assert_eq!(text_told(&told_after("He").0), "He ", "white space that was cut off is no change");
    assert_eq!(text_told(&told_after("He\nsaid").0), "He \nsaid");
    let mut before = Emitted::default();
    told.into_iter().for_each(|happening| before.add(happening));
    let mut later = Transcript::new(AgentSessionId("ses".into()), AgentMessageId("msg_1".into()), before);
    let again = told_of(&[AgentEvent::Message(head.clone()), part("Hi there", true)], &mut later);
    assert_eq!(again, [], "a later gateway knows what was told anew");
}

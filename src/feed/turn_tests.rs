//! Turns that somebody began past mimir, recorded and made up.

use std::path::Path;

use super::*;
use crate::feed::samples::{self, finished, head, id};
use crate::feed::sort::{Piece, Whose, sort};
use crate::model::agent::Role;
use crate::opencode::recording;

const PATIENCE: Patience = Patience { begin: Duration::from_secs(30), settle: Duration::from_secs(3) };

fn said(head: MessageInfo, text: &str, synthetic: bool) -> AgentMessage {
    let part = samples::text(head.id.as_str(), text, synthetic);
    AgentMessage { head, parts: vec![part] }
}

fn user(name: &str, text: &str) -> AgentMessage {
    said(head(name, Role::User), text, false)
}

fn agent(name: &str, text: &str, finish: &str) -> AgentMessage {
    said(finished(name, finish), text, false)
}

fn run() -> Turn {
    begun(Emitted::default(), BTreeSet::new())
}

fn begun(emitted: Emitted, begun: BTreeSet<AgentMessageId>) -> Turn {
    Turn::of_others(AgentSessionId("ses".into()), id("msg_1"), emitted, begun, PATIENCE)
}

fn is_over(turn: &mut Turn, now: Instant) -> bool {
    turn.judge(now) != Verdict::NotYet
}

fn words(told: &[EventKind]) -> Vec<String> {
    let word = |happening: &EventKind| match happening {
        EventKind::TurnStarted { prompt, text } => format!("{prompt} asks {text}"),
        EventKind::Text { delta, .. } => format!("says {delta}"),
        EventKind::TurnEnded { prompt, answer, error, cost_microusd, .. } => {
            format!("{prompt} ends {answer} {error:?} {cost_microusd}")
        }
        other => other.kind().to_owned(),
    };
    told.iter().map(word).collect()
}

#[test]
fn a_run_is_told_from_its_words_to_its_end() {
    let written = [user("msg_1", "hi"), agent("msg_2", "hello", "stop")];
    let mut run = run();
    let mut told = run.absorb(&written);
    assert!(is_over(&mut run, Instant::now()));
    told.extend(run.end(&written));
    assert_eq!(words(&told), ["msg_1 asks hi", "says hello", "msg_1 ends hello None 5"]);
    assert_eq!(run.messages(), written);
}

#[test]
fn words_that_steer_a_run_are_answered_with_the_first_and_later_ones_on_their_own() {
    let written = [
        user("msg_1", "a"),
        agent("msg_2", "", "tool-calls"),
        user("msg_3", "and b"),
        agent("msg_4", "both", "stop"),
        user("msg_5", "c"),
        agent("msg_6", "third", "stop"),
    ];
    let ends = run().end(&written);
    let ends: Vec<String> = words(&ends).into_iter().filter(|word| word.contains("ends")).collect();
    assert_eq!(ends, ["msg_1 ends both None 5", "msg_3 ends both None 5", "msg_5 ends third None 5"]);
}

#[test]
fn a_run_that_was_told_of_in_part_is_told_to_its_end_without_a_word_twice() {
    let mut told = Emitted::default();
    told.add(EventKind::Text { delta: "hel".into(), part: "prt_msg_2".into() });
    let mut run = begun(told, BTreeSet::from([id("msg_1")]));
    let ends = run.end(&[user("msg_1", "hi"), agent("msg_2", "hello", "stop")]);
    assert_eq!(words(&ends), ["says lo", "msg_1 ends hello None 5"]);
}

#[test]
fn a_run_without_answer_is_waited_for_and_a_broken_one_says_so() {
    let now = Instant::now();
    let mut quiet = run();
    quiet.absorb(&[user("msg_1", "for later")]);
    assert!(!is_over(&mut quiet, now) && !is_over(&mut quiet, now + Duration::from_secs(29)));
    assert!(is_over(&mut quiet, now + Duration::from_secs(31)));

    let mut broken = run();
    let written = [user("msg_1", "hi"), said(head("msg_2", Role::Assistant), "hel", false)];
    broken.absorb(&written);
    assert!(!is_over(&mut broken, now) && is_over(&mut broken, now + Duration::from_secs(4)));
    let ends = words(&broken.end(&written));
    assert!(ends.last().is_some_and(|end| end.contains("in the middle")), "{ends:?}");
}

#[test]
fn what_the_agent_took_back_is_not_kept() {
    let mut run = run();
    run.absorb(&[user("msg_1", "hi"), agent("msg_2", "no", "stop"), agent("msg_3", "gone", "stop")]);
    let written = [user("msg_1", "hi"), agent("msg_2", "no", "stop")];
    run.end(&written);
    assert_eq!(run.messages(), written);
}

#[test]
fn what_was_read_is_sorted_by_whose_it_is() {
    let whose = |message: &AgentMessageId| match message.as_str() {
        "msg_3" => Some(Whose::Ended),
        "msg_7" => Some(Whose::Open),
        _ => None,
    };
    let talk = vec![
        agent("msg_0", "late", "stop"),
        user("msg_1", "theirs"),
        agent("msg_2", "a", "stop"),
        user("msg_3", "ours"),
        agent("msg_4", "b", "stop"),
        user("msg_5", "theirs again"),
        said(head("msg_6", Role::User), "Continue if you have next steps", true),
        user("msg_7", "ours, on its way"),
        agent("msg_8", "not for us", "stop"),
    ];
    let sorted = sort(talk, whose);
    let shape: Vec<(bool, Vec<&str>)> = sorted
        .pieces
        .iter()
        .map(|piece| {
            let (foreign, turns) = match piece {
                Piece::Quiet(turns) => (false, turns),
                Piece::Foreign(turns) => (true, turns),
            };
            (foreign, turns.iter().map(|turn| turn.head.id.as_str()).collect())
        })
        .collect();
    let expected: [(bool, Vec<&str>); 4] = [
        (false, vec!["msg_0"]),
        (true, vec!["msg_1", "msg_2"]),
        (false, vec!["msg_3", "msg_4"]),
        (true, vec!["msg_5", "msg_6"]),
    ];
    assert_eq!(shape, expected);
    assert_eq!(sorted.ours, Some(id("msg_7")));
}

/// Recorded turns, as if somebody had begun them in the terminal: told and kept as the agent wrote them.
#[test]
fn recorded_turns_are_told_from_the_outside_too() {
    for name in ["text", "bash", "length", "auto-compaction", "task-subagent", "http401", "abort"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/opencode");
        let events = recording(&std::fs::read(path.join(format!("{name}.event.sse"))).expect("a recording"));
        let (session, prompt) = events
            .iter()
            .find_map(|event| match event {
                AgentEvent::Message(head) => Some((head.session.clone(), head.id.clone())),
                _ => None,
            })
            .expect("a prompt");
        let mut run = Turn::of_others(session, prompt.clone(), Emitted::default(), BTreeSet::new(), PATIENCE);
        let mut told: Vec<EventKind> =
            events.iter().flat_map(|event| run.see(event, Instant::now())).collect();
        assert!(is_over(&mut run, Instant::now()), "{name}");
        let written = run.messages();
        told.extend(run.end(&written));
        assert!(
            matches!(told.first(), Some(EventKind::TurnStarted { prompt: first, .. }) if *first == prompt.0),
            "{name}: {told:?}"
        );
        let ends = told.iter().filter(|happening| happening.kind() == "turn.ended").count();
        let starts = told.iter().filter(|happening| happening.kind() == "turn.started").count();
        assert_eq!(ends, starts, "{name}");
        assert_eq!(run.messages(), written, "{name}");
    }
}

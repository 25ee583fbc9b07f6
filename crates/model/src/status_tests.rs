use super::*;

const NOW: u64 = 1_000_000;

fn facts(sessions: &[(&str, AgentStatus)], parents: &[(&str, &str)]) -> AgentFacts {
    let id = |text: &str| AgentSessionId(text.to_owned());
    AgentFacts {
        connected: true,
        heard_at: NOW,
        sessions: sessions.iter().map(|(name, status)| (id(name), status.clone())).collect(),
        parents: parents.iter().map(|(child, parent)| (id(child), id(parent))).collect(),
        ..AgentFacts::default()
    }
}

fn retry(next_at: u64) -> AgentStatus {
    AgentStatus::Retry { attempt: 2, message: "Rate limit reached".into(), next_at }
}

fn known(state: FrameState) -> Known<'static> {
    Known {
        state,
        reason: None,
        health: AgentHealth::Answers,
        agent: None,
        working: &[],
        queued: 0,
        prompts: &[],
        now_ms: NOW,
    }
}

fn shown(known: &Known<'_>) -> String {
    derive(known).to_string()
}

#[test]
fn what_does_not_run_has_the_word_of_its_state() {
    assert_eq!(shown(&known(FrameState::Created)), "stopped");
    assert_eq!(shown(&known(FrameState::Stopped)), "stopped");
    assert_eq!(shown(&known(FrameState::Starting)), "starting");
    assert_eq!(shown(&known(FrameState::Paused)), "paused");
    let failed = derive(&Known { reason: Some("no image"), ..known(FrameState::Error) });
    assert_eq!((failed.word, failed.reason.as_deref()), (StatusWord::Error, Some("no image")));
    let woken = Known { queued: 2, ..known(FrameState::Stopped) };
    assert_eq!(shown(&woken), "queued (2)");
}

#[test]
fn a_running_frame_is_what_its_agent_says() {
    let busy = facts(&[("a", AgentStatus::Busy), ("b", AgentStatus::Idle)], &[]);
    let idle = facts(&[("a", AgentStatus::Idle)], &[]);
    let running = known(FrameState::Running);
    assert_eq!(shown(&running), "idle");
    assert_eq!(shown(&Known { agent: Some(&idle), ..running.clone() }), "idle");
    assert_eq!(shown(&Known { agent: Some(&busy), queued: 1, ..running.clone() }), "busy, queued (1)");
    assert_eq!(shown(&Known { queued: 3, ..running.clone() }), "queued (3)");
    assert_eq!(shown(&Known { working: &[None], ..running }), "busy");
}

#[test]
fn a_frame_whose_agent_does_not_answer_is_not_called_busy() {
    let busy = facts(&[("a", AgentStatus::Busy)], &[]);
    let silent = Known {
        health: AgentHealth::Silent { since: 5 },
        agent: Some(&busy),
        working: &[None],
        prompts: &[RequestForm::Question],
        ..known(FrameState::Running)
    };
    assert_eq!((derive(&silent).word, derive(&silent).since), (StatusWord::Wedged, Some(5)));
    let again = Known { health: AgentHealth::Restarting, ..silent };
    assert_eq!(derive(&again).word, StatusWord::Starting);

    let gone = AgentFacts { connected: false, heard_at: NOW - 60_000, ..busy.clone() };
    assert_eq!(shown(&Known { agent: Some(&gone), ..known(FrameState::Running) }), "idle");
    let blink = AgentFacts { connected: false, heard_at: NOW - 2_000, ..busy };
    assert_eq!(shown(&Known { agent: Some(&blink), ..known(FrameState::Running) }), "busy");
}

#[test]
fn waiting_for_a_person_says_what_for() {
    let busy = facts(&[("a", AgentStatus::Busy)], &[]);
    let asked = Known {
        agent: Some(&busy),
        prompts: &[RequestForm::Question, RequestForm::Permission],
        ..known(FrameState::Running)
    };
    assert_eq!(shown(&asked), "waiting (question)");
}

#[test]
fn a_retry_counts_when_nothing_else_works() {
    let both = facts(&[("a", retry(9)), ("b", AgentStatus::Busy)], &[]);
    assert_eq!(shown(&Known { agent: Some(&both), ..known(FrameState::Running) }), "busy");

    // A parent is busy for as long as its child is: what the child does is the truth.
    let child = facts(&[("a", AgentStatus::Busy), ("c", retry(9))], &[("c", "a")]);
    let working = [Some("scripted/scripted".to_owned())];
    let status = derive(&Known { agent: Some(&child), working: &working, ..known(FrameState::Running) });
    assert_eq!(status.to_string(), "retrying (scripted/scripted)");
    assert_eq!(status.retry.map(|retry| (retry.until, retry.attempt)), Some((9, 2)));

    let two = facts(&[("a", retry(9)), ("b", retry(7))], &[]);
    let status = derive(&Known { agent: Some(&two), ..known(FrameState::Running) });
    assert_eq!(status.retry.map(|retry| retry.until), Some(7), "the soonest");
}

#[test]
fn the_detail_says_everything_that_the_word_does_not() {
    let status = FrameStatus {
        word: StatusWord::Waiting,
        waiting_for: Some(RequestForm::Permission),
        queued: 2,
        ..FrameStatus::default()
    };
    assert_eq!(status.detail().as_deref(), Some("permission; 2 queued"));
    assert_eq!(FrameStatus::default().detail(), None);
}

#[test]
fn a_tool_call_of_which_nothing_is_heard_for_a_minute_is_named() {
    let part = |id: &str, session: &str, tool: &str, status: ToolStatus| {
        AgentEvent::Part(AgentPart {
            id: AgentPartId(id.into()),
            session: AgentSessionId(session.into()),
            message: crate::agent::AgentMessageId("msg".into()),
            ended: status != ToolStatus::Running,
            started_at: None,
            ended_at: None,
            body: PartBody::Tool {
                tool: tool.into(),
                call_id: id.into(),
                status,
                title: None,
                input: serde_json::json!({"command": "mkfifo f\ncat f"}),
                output: None,
            },
        })
    };
    let mut agent = facts(&[("a", AgentStatus::Busy), ("child", AgentStatus::Busy)], &[("child", "a")]);
    assert!(!agent.hear_of_calls(&part("1", "a", "task", ToolStatus::Running), NOW));
    assert!(agent.hear_of_calls(&part("2", "child", "bash", ToolStatus::Running), NOW));
    let at = |agent: &AgentFacts, later: u64| {
        let now_ms = NOW + later;
        let agent = AgentFacts { heard_at: now_ms, ..agent.clone() };
        derive(&Known { agent: Some(&agent), now_ms, ..known(FrameState::Running) })
    };
    assert_eq!(at(&agent, 59_000).to_string(), "busy");
    let silent = at(&agent, 60_000);
    assert_eq!(silent.to_string(), "busy (bash: no sign)");
    assert_eq!(silent.detail().as_deref(), Some("bash shows no sign for a minute: mkfifo f cat f"));
    let root = AgentSessionId("a".into());
    assert!(agent.silent_call(Some(&root), NOW + 60_000).is_some(), "of a sub-agent");
    let other = AgentSessionId("b".into());
    assert!(agent.silent_call(Some(&other), NOW + 60_000).is_none());

    // It prints something; somebody answers a question of it; it ends.
    agent.hear_of_calls(&part("2", "child", "bash", ToolStatus::Running), NOW + 50_000);
    assert_eq!(at(&agent, 100_000).to_string(), "busy");
    let replied = AgentEvent::PermissionReplied {
        session: AgentSessionId("child".into()),
        permission: "per".into(),
        reply: "once".into(),
    };
    agent.hear_of_calls(&replied, NOW + 100_000);
    assert_eq!(at(&agent, 150_000).to_string(), "busy");
    assert_eq!(at(&agent, 170_000).to_string(), "busy (bash: no sign)");
    assert!(agent.hear_of_calls(&part("2", "child", "bash", ToolStatus::Completed), NOW + 170_000));
    assert_eq!(at(&agent, 999_000).to_string(), "busy");
}

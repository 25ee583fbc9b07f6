//! What agents ask people: seen everywhere at once, decided once, never lost, never waited for without end.

mod desktop;
mod hooks;
#[cfg(feature = "test-support")]
mod http;
pub mod prompter;
mod world;

use std::time::{Duration, Instant};

use mimir::approvals::{AnswerError, Replied};
use mimir::model::agent::AgentSessionId;
use mimir::model::approval::{ApprovalState, Decision};
use mimir::model::event::EventKind;
use prompter::{permission, question};
use world::{OWNER, ROOT, World, rule};

const NO: Decision = Decision::Reject { why: None };

#[tokio::test]
async fn every_kind_of_prompt_is_a_row_and_an_event_of_its_message_at_once() {
    let world = World::new().await;
    let began = Instant::now();
    let asks = [
        permission("per_1", ROOT, "bash", &["git push"]),
        permission("per_2", "ses_child", "edit", &["src/a.rs"]),
        permission("per_3", "ses_child", "external_directory", &["/etc/*"]),
        question("que_1", ROOT),
        question("que_2", "ses_child"),
    ];
    for ask in asks {
        world.ask(ask).await;
    }
    let told = world.told().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((told.len(), world.open().await.len()), (5, 5));
    for event in &told {
        assert_eq!(event.subject.message.as_ref(), Some(&world.message));
        assert_eq!(event.subject.session.as_ref(), Some(&world.session));
    }
    let from_child = |event: &mimir::model::event::Event| match &event.what {
        EventKind::PromptAsked { from_child, id: Some(_), .. } => *from_child,
        other => panic!("{other:?}"),
    };
    assert_eq!(told.iter().map(from_child).collect::<Vec<_>>(), [false, true, true, false, true]);
}

#[tokio::test]
async fn each_answer_reaches_the_agent_as_it_was_meant() {
    let world = World::new().await;
    let answers = [
        (permission("per_1", ROOT, "bash", &["a"]), Decision::Once, ApprovalState::Allowed),
        (permission("per_2", ROOT, "bash", &["b"]), Decision::Always, ApprovalState::Allowed),
        (permission("per_3", ROOT, "bash", &["c"]), NO, ApprovalState::Denied),
        (
            permission("per_4", ROOT, "bash", &["d"]),
            Decision::Reject { why: Some("use make".into()) },
            ApprovalState::Denied,
        ),
        (
            question("que_1", ROOT),
            Decision::Answer { answers: vec![vec!["SQLite".into()], vec!["Fred".into()]] },
            ApprovalState::Answered,
        ),
        (question("que_2", ROOT), NO, ApprovalState::Denied),
    ];
    for (ask, decision, state) in answers {
        let prompt = world.ask(ask).await;
        let after = world.approvals.answer(&OWNER, &prompt.id, decision).await.expect("taken");
        assert_eq!((after.state, after.decided_by.as_deref()), (state, Some("owner:0")));
    }
    let said: Vec<String> =
        world.agent.replies().into_iter().map(|(id, body)| format!("{id} {body}")).collect();
    assert_eq!(
        said,
        [
            r#"per_1 {"reply":"once"}"#,
            r#"per_2 {"reply":"always"}"#,
            r#"per_3 {"reply":"reject"}"#,
            r#"per_4 {"message":"use make","reply":"reject"}"#,
            r#"que_1 {"answers":[["SQLite"],["Fred"]]}"#,
            r#"que_2 {}"#,
        ]
    );
    let audited = world.audited().await;
    assert_eq!(audited.len(), 6);
    assert!(audited.iter().all(|entry| entry.action == "approval.answer" && entry.principal == "owner:0"));
    assert_eq!(audited[3].detail["reason"], "use make");
}

#[tokio::test]
async fn an_answer_that_no_person_can_have_given_is_the_agents_own() {
    let world = World::new().await;
    world.agent.set_alone();
    world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    world.agent.answered_in_the_terminal("per_1");
    world
        .approvals
        .replied(&world.frame, "per_1", Replied::Permission("always".into()))
        .await
        .expect("heard");
    let after = world.prompt("per_1").await;
    assert_eq!((after.state, after.decided_by.as_deref()), (ApprovalState::Allowed, Some("agent")));
    assert!(after.reason.is_some_and(|why| why.contains("nobody was at its terminal")));
    let frame = world.frame.clone();
    let notes = world.store.read(move |db| mimir::store::frames::notes(db, &frame, 10)).await.expect("reads");
    assert!(notes.iter().any(|note| note.code == "answered_itself"), "{notes:?}");

    // Our own answer, which the agent then tells of, stays ours.
    let ours = world.ask(permission("per_2", ROOT, "bash", &["ls"])).await;
    world.approvals.answer(&OWNER, &ours.id, Decision::Once).await.expect("taken");
    world.approvals.replied(&world.frame, "per_2", Replied::Permission("once".into())).await.expect("heard");
    assert_eq!(world.prompt("per_2").await.decided_by, Some(OWNER.to_string()));
}

#[tokio::test]
async fn whoever_is_first_decides_and_the_others_are_told_by_whom() {
    let world = World::new().await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    let gateway = mimir::model::principal::Principal::GATEWAY;
    let both = tokio::join!(
        world.approvals.answer(&OWNER, &prompt.id, Decision::Once),
        world.approvals.answer(&gateway, &prompt.id, NO),
    );
    let (won, lost) = match both {
        (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
        other => panic!("one of them: {other:?}"),
    };
    assert!(matches!(won.state, ApprovalState::Allowed | ApprovalState::Denied), "{won:?}");
    assert!(matches!(lost, AnswerError::TooLate { by: Some(_), .. }), "{lost:?}");
    assert_eq!(world.agent.replies().len(), 1, "the agent hears one answer");

    // In the terminal, and the agent says so.
    let prompt = world.ask(permission("per_2", ROOT, "bash", &["make"])).await;
    world.agent.answered_in_the_terminal("per_2");
    world
        .approvals
        .replied(&world.frame, "per_2", Replied::Permission("reject".into()))
        .await
        .expect("heard");
    let after = world.prompt("per_2").await;
    assert_eq!((after.state, after.decided_by.as_deref()), (ApprovalState::Denied, Some("elsewhere")));
    let late = world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect_err("too late");
    assert!(late.to_string().contains("denied already (by elsewhere)"), "{late}");

    // In the terminal, and nobody has said so yet when somebody answers here.
    let prompt = world.ask(permission("per_3", ROOT, "bash", &["ls"])).await;
    world.agent.answered_in_the_terminal("per_3");
    let after = world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    assert_eq!(after.state, ApprovalState::Expired);
    let ends = world.told().await.iter().filter(|it| it.what.kind() == "prompt.answered").count();
    assert_eq!(ends, 3, "the end of each is told once");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_it_still_waits() {
    let world = World::new().await;
    let per = world.ask(permission("per_1", ROOT, "bash", &["ls"])).await.id;
    let que = world.ask(question("que_1", ROOT)).await.id;
    let answer = |id: &mimir::model::ids::ApprovalId, decision: Decision| {
        let id = id.clone();
        let approvals = world.approvals.clone();
        async move { approvals.answer(&OWNER, &id, decision).await.expect_err("refused").to_string() }
    };
    let texts = |texts: &[&[&str]]| Decision::Answer {
        answers: texts.iter().map(|it| it.iter().map(|text| (*text).to_owned()).collect()).collect(),
    };
    assert!(answer(&per, texts(&[&["x"]])).await.contains("permission"));
    assert!(answer(&que, Decision::Once).await.contains("question"));
    assert!(answer(&que, texts(&[&["SQLite"]])).await.contains("2 questions and 1 answers"));
    assert!(answer(&que, texts(&[&["SQLite"], &[" "]])).await.contains("no answer"));
    assert!(answer(&que, texts(&[&["SQLite", "Postgres"], &["x"]])).await.contains("one answer"));
    world.agent.refuses(true);
    assert!(answer(&per, Decision::Once).await.contains("no such answer"));
    world.agent.refuses(false);
    assert_eq!(world.open().await.len(), 2);
    assert_eq!(world.prompt("per_1").await.state, ApprovalState::Pending, "the decision was taken back");
    world.approvals.answer(&OWNER, &per, Decision::Once).await.expect("taken now");
}

#[tokio::test]
async fn ten_that_wait_are_back_within_three_seconds_after_a_restart() {
    let mut world = World::new().await;
    for n in 0..10 {
        match n % 2 {
            0 => world.ask(permission(&format!("per_{n}"), ROOT, "bash", &["git push"])).await,
            _ => world.ask(question(&format!("que_{n}"), "ses_child")).await,
        };
    }
    let before = world.open().await;
    world.agent.has_child("ses_child", ROOT);
    // One more while nobody listens, one answered in the terminal.
    world.restart_gateway().await;
    let began = Instant::now();
    world.agent.asks(permission("per_new", "ses_child", "edit", &["a"]));
    world.agent.answered_in_the_terminal("per_0");
    world.approvals.listed(&world.frame, &world.agent.waiting()).await.expect("listed");
    let after = world.open().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(before.len(), 10);
    assert_eq!(after.len(), 10, "nine of before, and the new one");
    assert_eq!(after.intersection(&before).count(), 9, "under the same ids");
    let new = world.prompt("per_new").await;
    assert!(new.from_child && new.session.as_ref() == Some(&world.session), "found through its parent");
    assert_eq!(world.prompt("per_0").await.state, ApprovalState::Expired);
    // They can be answered.
    for id in after {
        let prompt = world.approvals.find(id.as_str()).await.expect("there");
        let decision = match prompt.ask.form() {
            mimir::model::approval::RequestForm::Permission => Decision::Once,
            mimir::model::approval::RequestForm::Question
            | mimir::model::approval::RequestForm::Connection => NO,
        };
        world.approvals.answer(&OWNER, &id, decision).await.expect("answered");
    }
    assert!(world.agent.waiting().is_empty());
}

#[tokio::test]
async fn an_answer_that_could_not_be_told_is_told_later_and_only_once() {
    let mut world = World::new().await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    world.agent.goes_away(true);
    let after = world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    assert_eq!(after.state, ApprovalState::Answering);
    // The gateway dies before it could tell.
    world.restart_gateway().await;
    world.agent.goes_away(false);
    world.approvals.listed(&world.frame, &world.agent.waiting()).await.expect("listed");
    let told = world.becomes(&prompt.id, ApprovalState::Allowed).await;
    assert_eq!(told.decided_by.as_deref(), Some("owner:0"));
    assert_eq!(world.agent.replies().len(), 1);

    // It died after it had told, before it could note that.
    let prompt = world.ask(permission("per_2", ROOT, "bash", &["git pull"])).await;
    world.agent.goes_away(true);
    world.approvals.answer(&OWNER, &prompt.id, Decision::Always).await.expect("taken");
    world.agent.answered_in_the_terminal("per_2");
    world.approvals.listed(&world.frame, &[]).await.expect("listed");
    assert_eq!(world.prompt("per_2").await.state, ApprovalState::Allowed);
}

#[tokio::test]
async fn without_a_word_of_the_agent_an_answer_is_told_again_by_itself() {
    let world = World::new().await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    world.agent.goes_away(true);
    world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    world.agent.goes_away(false);
    world.becomes(&prompt.id, ApprovalState::Allowed).await;
}

#[tokio::test]
async fn doubled_late_and_lost_words_of_the_agent_change_nothing() {
    let world = World::new().await;
    let root = AgentSessionId(ROOT.to_owned());
    let ask = permission("per_1", ROOT, "bash", &["git push"]);
    let prompt = world.ask(ask.clone()).await;
    for _ in 0..3 {
        world.approvals.asked(&world.frame, Some(&root), &ask).await.expect("heard");
        world.approvals.listed(&world.frame, std::slice::from_ref(&ask)).await.expect("heard");
    }
    assert_eq!(world.told().await.len(), 1);
    world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    for _ in 0..3 {
        world
            .approvals
            .replied(&world.frame, "per_1", Replied::Permission("once".into()))
            .await
            .expect("heard");
        // Late, after its end.
        world.approvals.asked(&world.frame, Some(&root), &ask).await.expect("heard");
    }
    assert_eq!(world.told().await.len(), 2);
    assert!(world.open().await.is_empty());
    // The answer overtook the question: the next list puts it right.
    world.approvals.replied(&world.frame, "que_9", Replied::Question).await.expect("nobody knows it");
    world.approvals.asked(&world.frame, None, &question("que_9", ROOT)).await.expect("heard");
    world.approvals.listed(&world.frame, &[]).await.expect("heard");
    assert!(world.open().await.is_empty());
}

/// Trap 16 of docs/traps.md: a restart forgets them without a word.
#[tokio::test]
async fn trap_16_what_an_agent_forgot_is_over_and_asked_anew() {
    let world = World::new().await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    world.agent.answered_in_the_terminal("per_1");
    world.approvals.agent_restarted(&world.frame).await.expect("heard");
    let over = world.becomes(&prompt.id, ApprovalState::Expired).await;
    assert!(over.reason.expect("why").contains("restarted"));
    world.ask(permission("per_2", ROOT, "bash", &["git push"])).await;
    assert_eq!(world.open().await.len(), 1);
    // And what was taken for over and is not, waits again.
    world.agent.asks(permission("per_1", ROOT, "bash", &["git push"]));
    world.approvals.listed(&world.frame, &world.agent.waiting()).await.expect("listed");
    assert_eq!(world.becomes(&prompt.id, ApprovalState::Pending).await.decided_by, None);
    // A frame that is stopped asks nothing.
    world.frame_stops().await;
    world.ask(permission("per_3", ROOT, "bash", &["ls"])).await;
    let over = world.becomes(&prompt.id, ApprovalState::Expired).await;
    assert_eq!(over.reason.as_deref(), Some("the frame was stopped"));
}

#[tokio::test]
async fn rules_decide_before_people_and_the_agent_is_told_why() {
    let configured =
        [rule("allow bash git status*"), rule("deny bash git push *"), rule("deny external_directory *")];
    let world = World::with(configured.into()).await;
    world.frame_has_rules(&[rule("allow external_directory /tmp/*"), rule("allow bash ls")]).await;

    let allowed = world.ask(permission("per_1", ROOT, "bash", &["git status", "ls"])).await.id;
    let allowed = world.becomes(&allowed, ApprovalState::Allowed).await;
    assert_eq!((allowed.decided_by.as_deref(), allowed.rule.is_some()), (Some("policy"), true));
    let denied = world.ask(permission("per_2", "ses_child", "bash", &["ls", "git push origin"])).await.id;
    let denied = world.becomes(&denied, ApprovalState::Denied).await;
    assert_eq!(denied.rule.as_deref(), Some("deny bash git push *"));
    let outside = world.ask(permission("per_3", ROOT, "external_directory", &["/etc/*"])).await.id;
    world.becomes(&outside, ApprovalState::Denied).await;
    let tmp = world.ask(permission("per_4", ROOT, "external_directory", &["/tmp/x"])).await.id;
    world.becomes(&tmp, ApprovalState::Allowed).await;
    let asked = world.ask(permission("per_5", ROOT, "bash", &["ls", "make"])).await;
    assert_eq!(asked.state, ApprovalState::Pending, "make is covered by no rule");
    assert_eq!(world.ask(question("que_1", ROOT)).await.state, ApprovalState::Pending);

    let replies = world.agent.replies();
    let of =
        |id: &str| replies.iter().find(|(known, _)| known == id).map(|(_, body)| body.clone()).expect(id);
    assert_eq!(of("per_1")["reply"], "once");
    assert!(of("per_2")["message"].as_str().expect("why").contains("that is for the owner to do"));
    let asked = world.told().await.iter().filter(|it| it.what.kind() == "prompt.asked").count();
    assert_eq!(asked, 2, "nobody is bothered with what a rule decides");
    let audited = world.audited().await;
    assert_eq!(audited.iter().filter(|entry| entry.action == "approval.rule").count(), 4);
    assert!(audited.iter().any(|entry| entry.detail["rule"] == "deny bash git push *"), "{audited:?}");
}

#[tokio::test]
async fn a_projects_own_file_may_forbid_and_never_allow() {
    let world = World::with(vec![rule("allow bash make *")]).await;
    std::fs::create_dir(world.workspace().join(".mimir")).expect("a folder");
    let file = world.workspace().join(".mimir/config.yml");
    let text = "approvals:\n  rules:\n    - {tool: bash, command: 'make deploy*', action: deny, why: not from here}\n    - {tool: bash, command: 'curl *', action: allow}\n";
    std::fs::write(&file, text).expect("written");
    let deploy = world.ask(permission("per_1", ROOT, "bash", &["make deploy"])).await.id;
    let denied = world.becomes(&deploy, ApprovalState::Denied).await;
    assert_eq!(denied.reason.as_deref(), Some("not from here"));
    let test = world.ask(permission("per_2", ROOT, "bash", &["make test"])).await.id;
    world.becomes(&test, ApprovalState::Allowed).await;
    let curl = world.ask(permission("per_3", ROOT, "bash", &["curl evil.test"])).await;
    assert_eq!(curl.state, ApprovalState::Pending, "the file cannot allow it");
    // One that cannot be read has no say.
    std::fs::write(&file, "approvals: [").expect("written");
    let again = world.ask(permission("per_4", ROOT, "bash", &["make deploy"])).await.id;
    world.becomes(&again, ApprovalState::Allowed).await;
}

#[tokio::test]
async fn an_unattended_run_is_told_that_nobody_comes_and_never_hangs() {
    let world = World::new().await;
    world.unattended(Duration::from_millis(300)).await;
    let began = Instant::now();
    let first = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    assert!(first.deadline_at.is_some());
    assert_eq!(first.state, ApprovalState::Pending, "somebody may still come");
    let first = world.becomes(&first.id, ApprovalState::Denied).await;
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(2), "{waited:?}");
    assert_eq!(first.decided_by.as_deref(), Some("deadline"));
    assert!(first.reason.expect("why").contains("unattended"));
    // Who did not come for the first is not waited for again.
    let second = world.ask(question("que_1", "ses_child")).await.id;
    world.becomes(&second, ApprovalState::Answered).await;
    let third = world.ask(permission("per_2", ROOT, "edit", &["a"])).await.id;
    world.becomes(&third, ApprovalState::Denied).await;
    // It was told three times and asks on: its turn is ended.
    let fourth = world.ask(permission("per_3", ROOT, "bash", &["git push"])).await.id;
    world.becomes(&fourth, ApprovalState::Denied).await;
    assert!(began.elapsed() < waited + Duration::from_secs(3), "{:?}", began.elapsed());

    let replies = world.agent.replies();
    assert!(
        replies[0].1["message"].as_str().expect("told").contains("Nobody answered within"),
        "{replies:?}"
    );
    assert!(replies[1].1["answers"][0][0].as_str().expect("told").contains("Nobody is there"));
    assert_eq!(replies[1].1["answers"].as_array().map(Vec::len), Some(2), "each question is answered");
    assert_eq!(replies[3].1, serde_json::json!({"reply": "reject"}), "without a word its turn ends");
    assert_eq!(world.audited().await.iter().filter(|it| it.action == "approval.deadline").count(), 4);
}

#[tokio::test]
async fn a_deadline_passes_while_no_gateway_runs_and_an_answer_in_time_wins() {
    let mut world = World::new().await;
    world.unattended(Duration::from_millis(400)).await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    world.restart_gateway().await;
    world.becomes(&prompt.id, ApprovalState::Denied).await;

    let world = World::new().await;
    world.unattended(Duration::from_secs(60)).await;
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    let after = world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("in time");
    assert_eq!(after.state, ApprovalState::Allowed);
}

#[tokio::test]
async fn an_id_may_be_shortened_as_long_as_one_is_meant() {
    let world = World::new().await;
    let one = world.ask(permission("per_1", ROOT, "bash", &["a"])).await.id;
    world.ask(permission("per_2", ROOT, "bash", &["b"])).await;
    let end = &one.as_str()[one.as_str().len() - 8..];
    assert_eq!(world.approvals.find(end).await.expect("by its end").id, one);
    assert_eq!(world.approvals.find(one.as_str()).await.expect("whole").id, one);
    assert!(matches!(world.approvals.find("apr_").await, Err(AnswerError::Ambiguous(_))));
    assert!(matches!(world.approvals.find("nope").await, Err(AnswerError::NotFound(_))));
    assert!(matches!(world.approvals.find("%").await, Err(AnswerError::NotFound(_))));
}

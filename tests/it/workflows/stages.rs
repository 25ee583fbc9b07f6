//! What stages do, one kind after the other, and how runs share the machine.

use std::time::Duration;

use mimir::gateway::bodies;
use mimir::model::frame::{Desired, FrameState};
use mimir::model::names::FrameName;
use mimir::model::origin::Origin;
use mimir::model::run::RunState::{Cancelled, Failed, Held, Queued, Running, Succeeded};
use mimir::model::run::{Run, RunSubject};
use mimir::store::Tx;
use mimir::store::runs::{self, Enqueued};
use mimir::wire::frames::CreateFrame;
use mimir::workflows::NewManualRun;

use super::world::{OWNER, World, manual, says};
use crate::agent::scripted::Play;

#[tokio::test]
async fn a_prompt_is_asked_in_a_throwaway_frame_and_nothing_is_left() {
    let world = World::new().await;
    world.agent.plays([says("the slow ones are in cart")]);
    let run = world.start("prompt", &[("text", "Which tests are slow?")]).await;
    assert_eq!((run.state, run.origin, &run.input.subject), (Queued, Origin::Person, &RunSubject::None));
    assert_eq!(run.title, "shop: Which tests are slow?");

    let ended = world.end_of(&run.id).await;
    assert_eq!((ended.state, ended.reason), (Succeeded, None));
    assert_eq!(world.told(&run.id, "answer").await, ["the slow ones are in cart"]);
    let frame = world.timeline(&run.id).await.into_iter().find(|entry| entry.kind == "frame").expect("told");
    assert!(frame.link.is_some_and(|link| link.starts_with("mimir frame attach run-")), "how to join");
    world.is_tidy().await;
    world.until_told(&run.id, "is destroyed").await;
    assert_eq!(world.agent.user_messages(), 1);
}

#[tokio::test]
async fn a_prompt_goes_to_the_frame_that_is_named_and_leaves_it() {
    let world = World::new().await;
    let frame = blog(&world).await;
    world.agent.plays([says("one"), says("two")]);
    world.workflow(
        "twice",
        "inputs: { what: {} }\nstages:\n\
         - { name: first, kind: prompt, text: \"{{ what }}\" }\n\
         - { name: second, kind: prompt, text: \"you said {{ stages.first }}\" }\n",
    );
    let wanted = NewManualRun { frame: Some(frame.clone()), ..manual("twice", &[("what", "count")]) };
    let run = world.services().workflows.start(&OWNER, wanted).await.expect("started");
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
    let prompts = world.told(&run.id, "prompt").await;
    assert_eq!(prompts, ["frame blog is asked: count", "frame blog is asked: you said one"]);
    assert_eq!(world.agent.sessions(), 1, "one conversation for all of it");
    assert_eq!(world.frames().await.len(), 1, "somebody else's frame stays");
}

#[tokio::test]
async fn an_agent_that_fails_is_asked_again_and_then_the_run_has_failed() {
    let world = World::new().await;
    world.agent.plays([Play::Refused, says("now")]);
    let run = world.start("prompt", &[("text", "a")]).await;
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
    assert_eq!(
        world.told(&run.id, "error").await.len(),
        2,
        "what the agent said, and that it is asked again"
    );

    world.is_tidy().await;

    let world = World::new().await;
    world.agent.plays([Play::Refused, Play::Refused, Play::Refused]);
    let run = world.start("prompt", &[("text", "b")]).await;
    let ended = world.end_of(&run.id).await;
    assert_eq!(ended.state, Failed);
    assert!(
        ended.reason.as_deref().is_some_and(|why| why.starts_with("the agent did not answer")),
        "{ended:?}"
    );
    world.is_tidy().await;
}

#[tokio::test]
async fn a_gate_holds_until_a_person_says_yes_and_ends_at_a_no() {
    let world = World::new().await;
    world.workflow(
        "asks",
        "stages:\n- { name: sure, kind: gate, ask: \"shall {{ project }} go on?\" }\n\
         - { name: open, kind: gate, when: auto }\n",
    );
    let run = world.start("asks", &[]).await;
    let held = world.reaches(&run.id, Held).await;
    assert_eq!(held.reason.as_deref(), Some("shall shop go on?"));
    assert_eq!(held.progress.held.expect("what is asked").gate, "sure");
    let workflows = &world.services().workflows;
    workflows.approve(&OWNER, &run.id, None).await.expect("approved");
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
    assert_eq!(world.told(&run.id, "decision").await, ["owner:0 opened gate sure"]);
    assert!(
        workflows.approve(&OWNER, &run.id, None).await.expect_err("over").to_string().contains("is not held")
    );

    let run = world.start("asks", &[]).await;
    world.reaches(&run.id, Held).await;
    workflows.reject(&OWNER, &run.id, Some("not\ntoday".to_owned())).await.expect("rejected");
    let ended = world.run(&run.id).await;
    assert_eq!((ended.state, ended.reason.as_deref()), (Cancelled, Some("rejected by owner:0: not today")));
}

#[tokio::test]
async fn a_command_decides_whether_a_run_goes_on() {
    let world = World::new().await;
    let with = |line: &str| {
        format!("stages:\n- {{ name: look, kind: command, argv: [sh, -c, {line:?}], timeout: 2s }}\n")
    };
    world.workflow("good", &with("pwd; echo $MIMIR_RUN"));
    world.workflow("nothing", &with("echo nothing new; exit 75"));
    world.workflow("bad", &with("echo broken >&2; exit 3"));
    world.workflow("slow", &with("sleep 60"));
    world.workflow("missing", "stages:\n- { name: look, kind: command, argv: [/nowhere/at-all] }\n");

    let run = world.start("good", &[]).await;
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
    let said = world.told(&run.id, "command").await.join("\n");
    let folder = world.machine.project("shop").display().to_string();
    assert!(said.contains(&folder) && said.contains(run.id.as_str()), "{said}");

    let skipped = world.start("nothing", &[]).await;
    let skipped = world.end_of(&skipped.id).await;
    assert_eq!(
        (skipped.state, skipped.reason.as_deref()),
        (Succeeded, Some("skipped: there is nothing to do"))
    );

    for (workflow, why) in [
        ("bad", "`sh -c 'echo broken >&2; exit 3'` ended with exit code 3"),
        ("slow", "`sh -c 'sleep 60'` took longer than 2 s and was ended"),
        ("missing", "`/nowhere/at-all` cannot be run: No such file or directory (os error 2)"),
    ] {
        let run = world.start(workflow, &[]).await;
        let ended = world.end_of(&run.id).await;
        assert_eq!((ended.state, ended.reason.as_deref()), (Failed, Some(why)), "{workflow}");
    }
}

#[tokio::test]
async fn a_frame_is_stopped_and_started_again() {
    let world = World::new().await;
    let frame = blog(&world).await;
    let act = async |action: &str| {
        let wanted = NewManualRun { frame: Some(frame.clone()), ..manual("frame", &[("action", action)]) };
        let run = world.services().workflows.start(&OWNER, wanted).await.expect("started");
        world.end_of(&run.id).await
    };
    let before = world.frames().await.remove(0);
    assert_eq!(act("stop").await.state, Succeeded);
    assert_eq!(world.frames().await.remove(0).state, FrameState::Stopped);
    assert_eq!(act("start").await.state, Succeeded);
    assert_eq!(act("restart").await.state, Succeeded);
    let after = world.frames().await.remove(0);
    assert_eq!((after.state, after.desired), (FrameState::Running, Desired::Running));
    assert_eq!(after.generation, before.generation + 1, "restarted once");
    let wrong = act("explode").await;
    assert_eq!(wrong.reason.as_deref(), Some("`explode` is none of start, stop, pause, restart"));
}

#[tokio::test]
async fn runs_share_the_places_by_priority_and_those_that_are_held_take_none() {
    let world = World::with(&[("workflows.max_parallel", "1")]).await;
    world.workflow("asks", "stages:\n- { name: sure, kind: gate }\n");
    world.workflow(
        "waits",
        "caps: { parallel: 1 }\nstages:\n- { name: look, kind: command, argv: [sh, -c, \"while [ ! -e go ]; do sleep 0.05; done; rm go\"] }\n",
    );
    world.workflow("quick", "stages:\n- { name: look, kind: command, argv: [\"true\"] }\n");
    let held = world.start("asks", &[]).await;
    world.reaches(&held.id, Held).await;

    let first = new(world.enqueue("waits", "a", 0).await);
    world.reaches(&first.id, Running).await;
    let low = new(world.enqueue("quick", "b", 0).await);
    let waiting = world.until(&low.id, "in line", |run| run.reason.is_some()).await;
    assert_eq!((waiting.state, waiting.reason.as_deref()), (Queued, Some("other runs are at work")));
    let high = new(world.enqueue("waits", "c", 10).await);
    world.until(&high.id, "in line", |run| run.reason.is_some()).await;

    let go = world.machine.project("shop").join("go");
    std::fs::write(&go, "").expect("written");
    world.end_of(&first.id).await;
    // The urgent one comes first, although it came last.
    world.reaches(&high.id, Running).await;
    assert_eq!(world.run(&low.id).await.state, Queued);
    std::fs::write(&go, "").expect("written");
    let (high, low) = (world.end_of(&high.id).await, world.end_of(&low.id).await);
    assert!(high.ended_at <= low.started_at.or(low.ended_at), "{high:?}\n{low:?}");
    assert_eq!((high.state, low.state), (Succeeded, Succeeded));
}

#[tokio::test]
async fn after_three_failures_a_person_looks_first() {
    let world = World::new().await;
    world.workflow("bad", "stages:\n- { name: look, kind: command, argv: [sh, -c, \"test -e good\"] }\n");
    for key in ["a", "b", "c"] {
        let run = new(world.enqueue("bad", key, 0).await);
        assert_eq!(world.end_of(&run.id).await.state, Failed);
    }
    let fourth = new(world.enqueue("bad", "d", 0).await);
    let held = world.reaches(&fourth.id, Held).await;
    assert!(held.reason.is_some_and(|why| why.contains("mimir runs list --state failed")), "what to type");
    let joined = world.enqueue("bad", "d", 0).await;
    assert_eq!(joined, Enqueued::Joined(fourth.id.clone()), "it is open while it is held");
    let id = fourth.id.clone();
    let told = move |tx: &mut Tx<'_>| {
        runs::name(tx, &id, "pull:x")?;
        runs::wake_named(tx, "pull:x", "news")
    };
    assert_eq!(world.write(told).await, std::slice::from_ref(&fourth.id));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.run(&fourth.id).await.state, Held, "news are no yes");

    std::fs::write(world.machine.project("shop").join("good"), "").expect("written");
    world.services().workflows.approve(&OWNER, &fourth.id, None).await.expect("approved");
    assert_eq!(world.end_of(&fourth.id).await.state, Succeeded);
    let fifth = new(world.enqueue("bad", "e", 0).await);
    assert_eq!(world.end_of(&fifth.id).await.state, Succeeded, "one that succeeded ends the count");
}

#[tokio::test]
async fn what_works_for_too_long_is_ended() {
    let world = World::new().await;
    world.workflow(
        "slow",
        "caps: { stage_time: 1s }\nstages:\n- { name: look, kind: command, argv: [sleep, \"60\"] }\n",
    );
    let run = world.start("slow", &[]).await;
    let ended = world.end_of(&run.id).await;
    assert_eq!(
        (ended.state, ended.reason.as_deref()),
        (Failed, Some("stage look worked for longer than 1 minutes (`caps.stage_time`)"))
    );
}

fn new(enqueued: Enqueued) -> Run {
    match enqueued {
        Enqueued::New(run) => *run,
        Enqueued::Joined(id) => panic!("joined {id}"),
    }
}

/// A frame of somebody's, that runs.
pub async fn blog(world: &World) -> FrameName {
    let workspace = Some(world.machine.project("blog").display().to_string());
    let body = CreateFrame { name: "blog".to_owned(), workspace, start: true, ..CreateFrame::default() };
    let request = bodies::frame(body).expect("a request");
    let frame = world.services().frames.create(&OWNER, request).await.expect("made");
    let desired = Desired::Running;
    world.services().frames.wait_for(&frame.id, desired, Duration::from_secs(20)).await.expect("runs");
    frame.name
}

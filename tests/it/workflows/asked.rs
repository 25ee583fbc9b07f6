//! What people ask of runs: to begin, to end, to try again; and what stands in the way of it.

use mimir::model::names::ProjectName;
use mimir::model::run::RunState::{Cancelled, Failed, Held, Queued, Succeeded};
use mimir::model::usage::Tokens;
use mimir::store::budgets::{self, Payer};
use mimir::store::runs::RunChange;
use mimir::store::usage::{self, ModelCall};
use mimir::store::{audit, runs};
use mimir::workflows::{NewManualRun, RunError};

use super::world::{OWNER, World, manual, says, shop};
use crate::agent::scripted::Play;

#[tokio::test]
async fn a_run_that_is_cancelled_lets_go_of_its_agent_and_of_its_frame() {
    let world = World::new().await;
    world.agent.plays([Play::Slow]);
    let run = world.start("prompt", &[("text", "take your time")]).await;
    world.until(&run.id, "asked", |run| run.progress.message.is_some()).await;
    while world.agent.prompts() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let workflows = &world.services().workflows;
    let ended = workflows.cancel(&OWNER, &run.id, Some("enough".to_owned())).await.expect("cancelled");
    assert_eq!((ended.state, ended.reason.as_deref()), (Cancelled, Some("cancelled by owner:0: enough")));
    world.is_tidy().await;
    assert_eq!(world.agent.aborts(), 1);
    assert_eq!(world.run(&run.id).await, ended, "an end never changes");
    let again = workflows.cancel(&OWNER, &run.id, None).await.expect_err("over");
    assert!(matches!(again, RunError::Over { .. }), "{again}");
    let audited = world.services().store.read(|db| audit::list(db, None, 100)).await.expect("rows");
    assert!(audited.iter().any(|row| row.action == "run.cancel" && row.principal == "owner:0"));
}

#[tokio::test]
async fn what_failed_is_tried_again_from_where_it_did() {
    let world = World::new().await;
    world.workflow(
        "steps",
        "stages:\n- { name: ask, kind: prompt, text: hello }\n\
         - { name: look, kind: command, argv: [sh, -c, \"test -e fixed\"] }\n\
         - { name: tell, kind: prompt, text: \"it said {{ stages.ask }}\" }\n",
    );
    world.agent.plays([says("hi"), says("fine")]);
    let run = world.start("steps", &[]).await;
    let failed = world.end_of(&run.id).await;
    assert_eq!((failed.state, failed.stage.as_str()), (Failed, "look"));
    world.is_tidy().await;

    std::fs::write(world.machine.project("shop").join("fixed"), "").expect("written");
    let workflows = &world.services().workflows;
    let next = workflows.retry(&OWNER, &run.id).await.expect("tried again");
    assert_eq!((next.state, next.stage.as_str()), (Queued, "look"));
    assert_eq!((next.input, next.origin_ref), (run.input.clone(), Some(run.id.to_string())));
    let ended = world.end_of(&next.id).await;
    assert_eq!(ended.state, Succeeded, "{ended:?}");
    assert_eq!(world.agent.user_messages(), 2, "what was answered is not asked again");
    let prompts = world.told(&next.id, "prompt").await;
    assert!(prompts[0].ends_with("is asked: it said hi"), "{prompts:?}");
    let told = world.told(&run.id, "decision").await;
    assert_eq!(told, [format!("tried again by run {}", next.id)]);
    assert!(matches!(workflows.retry(&OWNER, &next.id).await, Err(RunError::NotFailed { .. })));
    assert_eq!(world.run(&run.id).await, failed, "an end never changes");
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_anything_is_made() {
    let world = World::new().await;
    let folder = world.machine.paths.home().join("workflows");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("broken.yaml"), "name: broken\nstages: []\n").expect("written");
    let workflows = &world.services().workflows;
    let refused =
        async |wanted: NewManualRun| workflows.start(&OWNER, wanted).await.expect_err("refused").to_string();
    let text = &[("text", "x")];
    assert_eq!(refused(manual("nothing", text)).await, "there is no workflow nothing");
    assert_eq!(refused(manual("prompt", &[])).await, "workflow prompt needs text");
    assert_eq!(
        refused(manual("prompt", &[("text", "x"), ("txt", "y")])).await,
        "workflow prompt is given no txt"
    );
    let elsewhere = Some(ProjectName::parse("elsewhere").expect("a name"));
    let nobodys = NewManualRun { project: elsewhere, ..manual("prompt", text) };
    assert_eq!(refused(nobodys).await, "there is no project elsewhere");
    let broken = refused(manual("broken", &[])).await;
    assert!(broken.contains("broken.yaml:") && broken.contains("description"), "{broken}");
    assert!(workflows.runs(Default::default(), 10).await.expect("runs").is_empty());

    // Whoever makes a run without asking us hears of it in the run.
    let run = world.enqueue("nothing", "x", 0).await.id().clone();
    let ended = world.end_of(&run).await;
    assert_eq!((ended.state, ended.reason.as_deref()), (Failed, Some("there is no workflow nothing")));
    let homeless = workflows.start(&OWNER, manual("prompt", text)).await.expect("started");
    let ended = world.end_of(&homeless.id).await;
    assert!(ended.reason.is_some_and(|why| why.contains("--project NAME")), "what to type");
}

#[tokio::test]
async fn a_run_keeps_the_workflow_that_it_began_with() {
    let world = World::new().await;
    world.workflow("asks", "stages:\n- { name: one, kind: gate }\n- { name: two, kind: gate }\n");
    let old = world.start("asks", &[]).await;
    world.reaches(&old.id, Held).await;
    world.workflow("asks", "stages:\n- { name: one, kind: gate }\n");
    let new = world.start("asks", &[]).await;
    world.reaches(&new.id, Held).await;
    let workflows = &world.services().workflows;
    for id in [&old.id, &new.id] {
        workflows.approve(&OWNER, id, None).await.expect("approved");
    }
    assert_eq!(world.end_of(&new.id).await.state, Succeeded);
    assert_eq!(world.reaches(&old.id, Held).await.stage, "two");
}

#[tokio::test]
async fn a_run_has_a_budget_from_its_beginning_and_stops_when_it_is_used_up() {
    let world = World::new().await;
    let wanted = NewManualRun {
        project: Some(shop()),
        budget_microusd: Some(20_000),
        ..manual("prompt", &[("text", "x")])
    };
    world.agent.plays([Play::Slow, says("more")]);
    let run = world.services().workflows.start(&OWNER, wanted).await.expect("started");
    let asked = world.until(&run.id, "asked", |run| run.progress.message.is_some()).await;
    let shown = world.services().workflows.show(&run.id).await.expect("shown");
    assert_eq!(shown.budget.map(|budget| budget.limit_microusd), Some(20_000));

    let frame = asked.progress.frame.clone().expect("a frame");
    let id = run.id.clone();
    let spend = move |tx: &mut mimir::store::Tx<'_>| {
        let payer = budgets::payer(tx, &frame, None)?;
        assert_eq!(payer.run.as_ref(), Some(&id), "the run pays for its frame");
        usage::insert(tx, &call(payer, 25_000))
    };
    world.write(spend).await;
    world.agent.kill();
    let ended = world.end_of(&run.id).await;
    assert_eq!(ended.state, Failed);
    let why = ended.reason.expect("why");
    assert!(why.starts_with("budget_stopped: the budget of run "), "{why}");
    assert!(why.contains(&format!("mimir budget set 1 --run {}", run.id)), "what to type: {why}");
    let spent = world.services().store.read(move |db| runs::spent(db, &run.id)).await.expect("read");
    assert_eq!(spent, 25_000);
}

pub fn call(payer: Payer, cost_microusd: u64) -> ModelCall {
    ModelCall {
        payer,
        agent_session: None,
        provider: "p".to_owned(),
        model: "m".to_owned(),
        tokens: Tokens::default(),
        cost_microusd,
        priced: true,
        estimated: false,
        status: 200,
    }
}

#[tokio::test]
async fn the_end_of_an_id_names_a_run() {
    let world = World::new().await;
    world.workflow("asks", "stages:\n- { name: one, kind: gate }\n");
    let run = world.start("asks", &[]).await;
    world.reaches(&run.id, Held).await;
    let workflows = &world.services().workflows;
    let id = run.id.as_str();
    assert_eq!(workflows.named(id).await.expect("found"), run.id);
    assert_eq!(workflows.named(&id[id.len() - 8..]).await.expect("found"), run.id);
    for nothing in ["", "run", "zzzzzzzz", "%", "run_%", &id[..20]] {
        assert!(matches!(workflows.named(nothing).await, Err(RunError::NotFound(_))), "{nothing}");
    }
}

#[tokio::test]
async fn a_yes_for_another_commit_than_it_is_held_for_is_refused() {
    let world = World::new().await;
    world.workflow("asks", "stages:\n- { name: sure, kind: gate }\n");
    let run = world.start("asks", &[]).await;
    let held = world.reaches(&run.id, Held).await;
    // As a merge holds it: for a commit.
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let mut progress = held.progress.clone();
    progress.held.as_mut().expect("what is asked").subject = commit.to_owned();
    let change = RunChange {
        state: Held,
        stage: held.stage.clone(),
        attempt: 0,
        reason: held.reason.clone(),
        progress,
        wake_at: None,
        keeps_place: false,
    };
    world.services().store.write(move |tx| runs::change(tx, &held, &change)).await.expect("changed");
    let workflows = &world.services().workflows;
    for said in [None, Some("9123456789abcdef0123456789abcdef01234567"), Some("0123")] {
        let refused = workflows.approve(&OWNER, &run.id, said.map(str::to_owned)).await;
        assert!(
            matches!(&refused, Err(RunError::HeldForOther { subject, .. }) if subject == commit),
            "{refused:?}"
        );
    }
    assert_eq!(world.run(&run.id).await.state, Held);
    workflows.approve(&OWNER, &run.id, Some(commit[..7].to_owned())).await.expect("approved");
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
}

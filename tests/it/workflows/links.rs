//! What a timeline links to can be followed.

use mimir::clock;
use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::RunState::{Held, Succeeded};
use mimir::model::run::{NewRun, RunInput, RunLogEntry};
use mimir::store::{Tx, budgets, runs, usage};

use super::asked::call;
use super::world::{OWNER, World, says, shop};

/// The commands of links, each of which the command line takes.
fn commands(timeline: &[RunLogEntry]) -> Vec<(&str, &str)> {
    let linked = timeline.iter().filter_map(|line| Some((line.kind.as_str(), line.link.as_deref()?)));
    let commands: Vec<(&str, &str)> = linked.filter(|(_, link)| link.starts_with("mimir ")).collect();
    for (kind, link) in &commands {
        let read = mimir::cli::command().try_get_matches_from(link.split(' '));
        assert!(read.is_ok(), "{kind}: `{link}` is no command: {:?}", read.err());
    }
    commands
}

#[tokio::test]
async fn a_timeline_links_to_commands_that_there_are_and_says_what_a_stage_cost() {
    let world = World::new().await;
    world.workflow(
        "steps",
        "stages:\n- { name: look, kind: command, argv: [\"true\"] }\n- { name: ask, kind: prompt, text: hello }\n\
         - { name: sure, kind: gate }\n",
    );
    world.agent.plays([says("hi")]);
    let run = world.start("steps", &[]).await;
    let held = world.reaches(&run.id, Held).await;
    assert!(world.told(&run.id, "money").await.is_empty(), "nothing was spent");
    let frame = held.progress.frame.clone().expect("a frame");
    let spend = move |tx: &mut Tx<'_>| {
        let payer = budgets::payer(tx, &frame, None)?;
        usage::insert(tx, &call(payer, 25_000))
    };
    world.write(spend).await;
    world.services().workflows.approve(&OWNER, &run.id, None).await.expect("approved");
    assert_eq!(world.end_of(&run.id).await.state, Succeeded);
    let said = world.told(&run.id, "money").await;
    assert_eq!(said, ["stage sure cost $0.0250, the run $0.0250 until here"]);

    let timeline = world.timeline(&run.id).await;
    let linked = commands(&timeline);
    for wanted in ["command", "frame", "prompt", "answer", "money"] {
        assert!(linked.iter().any(|(kind, _)| *kind == wanted), "{wanted}: {timeline:#?}");
    }
    let asked = linked.iter().find(|(kind, _)| *kind == "prompt").expect("a question");
    let message = held.progress.message.expect("a message");
    assert_eq!(asked.1, format!("mimir send --follow {message}"));
}

#[tokio::test]
async fn what_came_from_outside_is_linked_to_the_run_that_it_began_or_woke() {
    let world = World::new().await;
    world.workflow("asks", "stages:\n- { name: sure, kind: gate }\n");
    let wanted = |webhook: &str| NewRun {
        workflow: "asks".to_owned(),
        key: "sentry:acme/7".to_owned(),
        origin: Origin::Webhook,
        origin_ref: Some(webhook.to_owned()),
        project: Some(shop()),
        title: "it fails".to_owned(),
        input: RunInput::default(),
        priority: 0,
        budget_microusd: None,
        not_before: None,
    };
    let id = RunId::from_parts(clock::Clock::system().now_ms(), clock::entropy_128());
    let (of, first, second) = (id.clone(), wanted("whk_one"), wanted("whk_two"));
    let told = move |tx: &mut Tx<'_>| {
        runs::enqueue(tx, of.clone(), &first)?;
        runs::enqueue(tx, of.clone(), &second)?;
        runs::name(tx, &of, "pull:x")?;
        runs::wake_named_with(tx, "pull:x", "a review came", Some("mimir webhooks show whk_three"))
    };
    assert_eq!(world.write(told).await, std::slice::from_ref(&id));
    let timeline = world.timeline(&id).await;
    let linked = commands(&timeline);
    let wanted = [
        ("state", "mimir webhooks show whk_one"),
        ("delivery", "mimir webhooks show whk_two"),
        ("delivery", "mimir webhooks show whk_three"),
    ];
    assert_eq!(linked[..3], wanted, "{timeline:#?}");
}

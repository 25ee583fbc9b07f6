//! Who may ask for a run in an issue: anybody can write there, and only who has the right to in the repository costs its
//! owner anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mimir::model::ids::{ProjectId, RunId};
use mimir::model::project::Project;
use mimir::model::run::{Run, RunState};
use mimir::model::webhook::{AuthorRight, SenderKind, Webhook, WebhookState};
use mimir::store::{projects, runs, webhooks as rows};
use mimir::supervisor::Tasks;
use mimir::webhooks::{Rule, Settings, Source};
use serde_json::json;

use super::mends_world::{built, machine};
use super::world::{says, shop};
use crate::agent::scripted::ScriptedAgent;
use crate::forge::{Forge, TOKEN, Trip};
use crate::machine::{Gateway, Machine};
use crate::webhooks::{SECRET, forge_headers, rule, source, take};

const SHOP: &str = "me/shop";
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// What goes on by itself: all of it,
const ALL: &[&str] = &["frames", "feeds", "queue", "timers", "workflows", "intake"];
/// or messages are decided about alone.
const INTAKE: &[&str] = &["intake"];

/// A forge with people of whom ann is an administrator, bob may write and eve may read; a gateway with one rule.
struct World {
    forge: Forge,
    agent: Arc<ScriptedAgent>,
    machine: Machine,
    gateway: Gateway,
    rule: Rule,
    agents: Tasks,
}

impl World {
    async fn new(author: AuthorRight, limit: u32, running: &'static [&'static str]) -> Self {
        let forge = Forge::start().await;
        forge.repository(SHOP);
        for (who, right) in [("ann", "admin"), ("bob", "write"), ("eve", "read")] {
            forge.allow(SHOP, who, right);
        }
        let (agent, agents) = (ScriptedAgent::start(), Tasks::default());
        let machine = machine(&agent, &agents, forge.address);
        let folder = machine.paths.home().join("workflows");
        std::fs::create_dir_all(&folder).expect("made");
        let text =
            "name: answers\ndescription: for a test\nstages:\n- { name: look, kind: prompt, text: hello }\n";
        std::fs::write(folder.join("answers.yaml"), text).expect("written");
        let rule =
            Rule { author, limit, workflow: "answers".to_owned(), project: Some(shop()), ..rule("forge") };
        let gateway = start(&machine, &agent, &forge, &rule, running);
        let path = machine.project("shop").display().to_string();
        let project = Project { id: ProjectId::from_parts(1, 1), name: shop(), path, created_at: 1 };
        let written = gateway.services.store.write(move |tx| projects::insert(tx, &project));
        written.await.expect("written");
        Self { forge, agent, machine, gateway, rule, agents }
    }

    /// Somebody comments on issue 3; what became of that.
    async fn tells(&self, who: &str, comment: &str) -> Webhook {
        let id = self.comments(3, who, comment).await;
        self.until(&id, "decided", |row| row.state != WebhookState::Received).await
    }

    /// Somebody comments on an issue; the message that says so.
    async fn comments(&self, issue: u64, who: &str, comment: &str) -> String {
        let body = json!({
            "action": "created", "sender": {"login": who}, "repository": {"full_name": SHOP},
            "issue": {"number": issue, "title": "The total is wrong", "body": "Steps: …", "user": {"login": "eve"}, "labels": []},
            "comment": {"body": comment, "user": {"login": who}},
        });
        let body = body.to_string();
        let told =
            take(&self.gateway.services.webhooks, "forge", forge_headers("issue_comment", &body), &body);
        told.await.id
    }

    /// What became of a message, when it is so.
    async fn until(&self, id: &str, what: &str, is_so: impl Fn(&Webhook) -> bool) -> Webhook {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let of = id.to_owned();
            let store = &self.gateway.services.store;
            let (row, _) = store.read(move |db| rows::get(db, &of)).await.expect("a row");
            if is_so(&row) {
                return row;
            }
            assert!(tokio::time::Instant::now() < end, "not {what} within {LIMIT:?}: {row:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How the run ended that came of a message.
    async fn end_of(&self, row: &Webhook) -> Run {
        let id: RunId =
            row.run.as_deref().unwrap_or_else(|| panic!("no run: {row:#?}")).parse().expect("an id");
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let of = id.clone();
            let store = &self.gateway.services.store;
            let run = store.read(move |db| runs::get(db, &of)).await.expect("a run");
            if run.state.is_end() {
                return run;
            }
            assert!(tokio::time::Instant::now() < end, "not over within {LIMIT:?}: {run:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody asks for a run; how that ended.
    async fn asks(&self, who: &str, comment: &str) -> Run {
        let row = self.tells(who, comment).await;
        self.end_of(&row).await
    }

    /// How many frames worked for it.
    async fn frames_of(&self, run: &Run) -> usize {
        let id = run.id.clone();
        let timeline = self.gateway.services.store.read(move |db| runs::timeline(db, &id)).await;
        timeline.expect("a timeline").iter().filter(|entry| entry.text.contains("works for it")).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

/// A gateway that knows the rule before it decides about anything.
fn start(
    machine: &Machine,
    agent: &Arc<ScriptedAgent>,
    forge: &Forge,
    rule: &Rule,
    running: &'static [&'static str],
) -> Gateway {
    let gateway = built(machine, agent, &forge.host_of_kind("github"), TOKEN, running);
    gateway.services.webhooks.configure(settings(forge, rule.clone()));
    gateway.start()
}

/// The forge tells, and that rule follows from it.
fn settings(forge: &Forge, rule: Rule) -> Settings {
    let host = Some(forge.address.to_string());
    let sender = Source { host, ..source(SenderKind::Github, &[SECRET]) };
    let sources = BTreeMap::from([("forge".to_owned(), sender)]);
    Settings { sources, rules: vec![rule], ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_asks_for_costs_nothing_and_what_an_owner_asks_for_runs() {
    for (author, stranger, owner) in [(AuthorRight::Write, "eve", "bob"), (AuthorRight::Admin, "bob", "ann")]
    {
        // One run an hour: the stranger's does not count.
        let world = World::new(author, 1, ALL).await;
        world.agent.plays([says("it is done")]);
        let run = world.asks(stranger, "@mimir please").await;
        let why = run.reason.clone().unwrap_or_default();
        assert_eq!(run.state, RunState::Superseded, "{why}");
        assert!(why.starts_with(&format!("{stranger} may not ask for that: ")), "{why}");
        let found = (world.agent.user_messages(), world.agent.sessions(), world.frames_of(&run).await);
        assert_eq!(found, (0, 0, 0), "nothing begins: {why}");

        let run = world.asks(owner, "@mimir please").await;
        assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
        assert_eq!((world.agent.user_messages(), world.frames_of(&run).await), (1, 1));
        world.forge.assert_as_described();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joined_what_a_stranger_asked_for_is_heard_for_themselves() {
    let mut world = World::new(AuthorRight::Write, 1, INTAKE).await;
    world.agent.plays([says("it is done")]);
    let strangers = world.tells("eve", "@mimir please").await;
    let owners = world.tells("bob", "@mimir yes, do").await;
    assert_eq!((owners.state, &owners.run), (WebhookState::Decided, &strangers.run), "it joins");

    world.gateway.stop.cancel();
    assert!(world.gateway.tasks.stop(LIMIT).await, "everything ends");
    world.gateway = start(&world.machine, &world.agent, &world.forge, &world.rule, ALL);
    assert_eq!(world.end_of(&strangers).await.state, RunState::Superseded);
    // Something else rings the bell; time alone is looked at every half minute.
    world.tells("eve", "what does that mean?").await;
    let own = world
        .until(&owners.id, "decided anew", |row| {
            row.state == WebhookState::Decided && row.run != strangers.run
        })
        .await;
    let run = world.end_of(&own).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    assert_eq!(world.agent.user_messages(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_forge_would_not_say_makes_nobody_wait() {
    let world = World::new(AuthorRight::Write, 2, ALL).await;
    world.agent.plays([says("it is done")]);
    world.forge.plan("GET", "/collaborators/", Trip::Status(403));
    let run = world.asks("eve", "@mimir please").await;
    let why = run.reason.clone().unwrap_or_default();
    assert!(run.state == RunState::Failed && why.contains("cannot be found out"), "{run:#?}");
    assert_eq!(world.agent.user_messages(), 0);
    let run = world.asks("bob", "@mimir please").await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_said_the_same_while_a_stranger_waited_is_heard_when_that_one_is_turned_away() {
    let world = World::new(AuthorRight::Write, 1, ALL).await;
    world.agent.plays([says("this is done"), says("that is done")]);
    let first = world.comments(1, "bob", "@mimir please").await;
    let first = world.until(&first, "decided", |row| row.run.is_some()).await;
    assert_eq!(world.end_of(&first).await.state, RunState::Succeeded);
    let strangers = world.comments(3, "eve", "@mimir please").await;
    world.until(&strangers, "waiting", |row| row.waits_until.is_some()).await;
    let owners = world.comments(3, "bob", "@mimir yes, do").await;
    world.until(&owners, "waiting beside it", |row| row.waits_until.is_some()).await;

    // There is room for one more.
    let rule = Rule { limit: 2, ..world.rule.clone() };
    world.gateway.services.webhooks.configure(settings(&world.forge, rule));
    let strangers = world.until(&strangers, "decided", |row| row.run.is_some()).await;
    assert_eq!(world.end_of(&strangers).await.state, RunState::Superseded);
    // Something else rings the bell; time alone is looked at every half minute.
    world.comments(9, "eve", "what does that mean?").await;
    let own = world.until(&owners, "decided anew", |row| row.run.is_some()).await;
    let run = world.end_of(&own).await;
    assert_eq!(run.state, RunState::Succeeded, "{run:#?}");
    assert_eq!(world.agent.user_messages(), 2);
}

//! What the forge and the error tracker tell comes late, in any order and more than once; some of it is not so any more, or
//! never was. The run is looked at when it is told of something or its time has come, as the engine does it, and ends as
//! when everything is told at once.

use std::collections::BTreeMap;

use mimir::model::run::{Run, RunState};
use mimir::model::webhook::SenderKind;
use mimir::store::{runs, timers};
use mimir::supervisor::Tasks;
use mimir::supervisor::failpoint::Failpoints;
use mimir::webhooks::{Settings, Source, Webhooks};

use super::story::{assert_once, people};
use super::world::{BLOG, World};
use crate::webhooks::shuffled::Dice;
use crate::webhooks::{
    SECRET, alert, all_decided, deps, issue, no_trackers, sentry_headers, source, tag, take,
};

/// So many orders are tried, besides the one in which everything is told at once.
const ORDERS: u64 = 8;
/// So often at most something happens in a story.
const MOST: usize = 1_000;
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
/// The issue at the tracker.
const ISSUE: u64 = 1234;
/// Nobody listens there: what hooks are told is read at the forge, and brought when the dice say so.
const NOWHERE: &str = "http://127.0.0.1:9/";

type Message = (&'static str, Vec<(String, String)>, String);

/// What was sent and has not arrived.
struct Post {
    webhooks: Webhooks,
    /// None: everything arrives at once.
    dice: Option<Dice>,
    /// How many of the forge's it has.
    known: usize,
    left: Vec<Message>,
}

impl Post {
    /// The tracker has told already, also of what is not so.
    fn new(webhooks: Webhooks, dice: Option<Dice>) -> Self {
        let tracker = [
            ("event_alert", alert(ISSUE, "e1")),
            ("event_alert", alert(ISSUE, "e2")),
            ("issue", issue("created", ISSUE)),
            ("issue", issue("resolved", ISSUE)),
            ("issue", issue("unresolved", ISSUE)),
        ];
        let left = tracker.map(|(resource, said)| {
            let body = said.to_string();
            ("errors", sentry_headers(resource, &body), body)
        });
        Self { webhooks, dice, known: 0, left: left.into() }
    }

    /// Takes what the forge has sent since.
    fn fill(&mut self, world: &World) {
        let known = self.known;
        let sent: Vec<(String, String, String)> = world.forge.change(BLOG, |repo| {
            let new = repo.deliveries.iter().skip(known);
            new.map(|it| (it.event.clone(), it.guid.clone(), it.body.clone())).collect()
        });
        self.known += sent.len();
        for (event, guid, body) in sent {
            let headers = vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("x-github-event".to_owned(), event),
                ("x-github-delivery".to_owned(), guid),
                ("x-hub-signature-256".to_owned(), format!("sha256={}", tag(body.as_bytes()))),
            ];
            if self.dice.as_mut().is_some_and(|dice| dice.below(3) == 0) {
                self.left.push(("forge", headers.clone(), body.clone()));
            }
            self.left.push(("forge", headers, body));
        }
    }

    /// So many arrive, at least; without dice all of them, in their order.
    async fn arrive(&mut self, world: &World, least: usize) {
        let count = match &mut self.dice {
            None => self.left.len(),
            Some(dice) => {
                dice.shuffle(&mut self.left);
                // Few at a time, so that much happens in between.
                dice.below(3).max(least).min(self.left.len())
            }
        };
        let arrived: Vec<Message> = self.left.drain(..count).collect();
        for (source, headers, body) in arrived {
            take(&self.webhooks, source, headers, &body).await;
        }
        all_decided(&world.store).await;
    }
}

/// Whether the engine would look at the run now.
async fn is_due(world: &World) -> bool {
    let (id, now) = (world.run.clone(), world.clock.now_ms());
    let rows =
        world.store.read(move |db| Ok((runs::get(db, &id)?, timers::find(db, runs::TIMER, id.as_str())?)));
    let (run, timer) = rows.await.expect("rows");
    match (run.state, timer) {
        (RunState::Waiting | RunState::Held, Some(timer)) => timer.due_at <= now,
        // A person is asked, and nobody told of anything.
        (RunState::Held, None) => false,
        (state, _) => !state.is_end(),
    }
}

/// What there is in the end.
#[derive(Debug, PartialEq, Eq)]
struct End {
    run: (RunState, String),
    rounds: (u32, usize),
    said: Vec<String>,
    /// How many lines of the timeline tell of an answer, and of a merge.
    told: (usize, usize),
}

/// Without what differs between worlds: where the forge is, the run, commits and other numbers.
fn masked(world: &World, text: &str) -> String {
    let text = text.split("<!--").next().unwrap_or_default();
    let text = text.replace(&world.forge.address.to_string(), "FORGE").replace(world.run.as_str(), "RUN");
    let (mut masked, mut word) = (String::new(), String::new());
    for letter in text.chars().chain(['\n']) {
        if matches!(letter, '0'..='9' | 'a'..='f') {
            word.push(letter);
            continue;
        }
        let is_plain = word.len() < 7 && word.chars().all(|letter| letter.is_ascii_lowercase());
        masked.push_str(if is_plain { &word } else { "NUMBER" });
        word.clear();
        masked.push(letter);
    }
    masked
}

async fn end_of(world: &World, run: &Run) -> End {
    let timeline = world.timeline().await;
    let count = |kind: &str, words: &str| {
        timeline.iter().filter(|line| line.kind == kind && line.text.contains(words)).count()
    };
    End {
        run: (run.state, run.stage.clone()),
        rounds: (run.progress.review_rounds, run.progress.answered.len()),
        said: world.said().iter().map(|text| masked(world, text)).collect(),
        told: (count("comment", "answered "), count("merge", "is merged as")),
    }
}

/// Lives through the story.
async fn live(dice: Option<Dice>, context: &str) -> End {
    let world = World::new("github").await;
    let host = Some(world.forge.address.to_string());
    let forge = Source { host, ..source(SenderKind::Github, &[SECRET]) };
    let sources = BTreeMap::from([
        ("errors".to_owned(), source(SenderKind::Sentry, &[SECRET])),
        ("forge".to_owned(), forge),
    ]);
    // The run is there: nothing begins another one.
    let settings = Settings { sources, ..Settings::default() };
    let webhooks = Webhooks::new(deps(&world.store, world.clock.clone(), no_trackers(), settings));
    let tasks = Tasks::default();
    tasks.run(&webhooks);
    world.forge.hook(BLOG, NOWHERE, SECRET);
    let mut post = Post::new(webhooks, dice);
    let points = Failpoints::default();
    let mut passes = 0;
    for step in 0.. {
        world.forge.pushed();
        post.fill(&world);
        let run = world.get().await;
        if run.state.is_end() {
            break;
        }
        assert!(step < MOST, "{context}: it does not end: {run:#?}\n{:#?}", world.timeline().await);
        post.arrive(&world, 0).await;
        if is_due(&world).await {
            let _ = world.pass(&points).await;
            passes += 1;
            continue;
        }
        let run = world.get().await;
        if people(&world, &run).await {
            continue;
        }
        if post.left.is_empty() {
            world.clock.advance_ms(if run.stage == "watch" { DAY } else { MINUTE });
        } else {
            post.arrive(&world, 1).await;
        }
    }
    // What comes now changes nothing.
    let run = world.get().await;
    while !post.left.is_empty() {
        post.arrive(&world, 3).await;
    }
    assert_eq!(world.get().await, run, "{context}");
    assert_once(&world, "github", context).await;
    world.forge.assert_as_described();
    let end = end_of(&world, &run).await;
    let timeline = world.timeline().await;
    let told = timeline.iter().filter(|line| line.kind == "delivery").count();
    assert!(told >= 5 && passes >= 10, "{context}: told {told} times, looked at {passes} times");
    assert!(tasks.stop(crate::webhooks::PATIENCE).await);
    end
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_whatever_order_it_is_told_of_things_a_run_ends_the_same() {
    let wanted = live(None, "at once").await;
    for seed in 0..ORDERS {
        let context = format!("order {seed}");
        assert_eq!(live(Some(Dice::new(seed)), &context).await, wanted, "{context}");
    }
}

//! Sixty orders by every way on which a stranger's words come to an agent that obeys them: an alert, an issue, a review,
//! names of files, messages of commits; with a merge that a person says yes to, and with one that nobody has to.
//!
//! What is looked at is what came of it. On each way two of a kind are tried alone, others on each; the rest come together
//! with some of their kind, with others on each way, so that none that keeps a merge back hides one that does not. That each
//! change of protected files is one by itself is looked at without a forge. At the end of each way an innocent commit is
//! merged: nothing of this holds because nothing is ever merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mimir::config::schema::Git;
use mimir::model::git::is_protected;
use mimir::model::run::{Evidence, RunState, RunSubject};
use mimir::store::{Queryable as _, audit};
use serde_json::{Value, json};

use super::hostile::does_something;
use super::obeying::{Kind, Order, orders, prepare};
use super::world::{BLOG, BRANCH, SECRET, World};

/// So many of a kind come together,
const TOGETHER: usize = 12;
/// and so many of it alone, on each way.
const ALONE: usize = 2;
const WAYS: [Way; 5] = [Way::Alert, Way::Issue, Way::Review, Way::FileName, Way::Commit];
/// Where the parts of a run are, which change as it goes on.
const OF_RUNS: [&str; 5] = ["run", "event", "timer", "sqlite_", "audit"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Alert,
    Issue,
    Review,
    FileName,
    Commit,
}

/// A way on which all of them came.
struct Tried {
    way: Way,
    world: World,
    /// Branches but the run's, each with its commit.
    heads: Vec<(String, String)>,
    /// How many rows there are of what is no run's.
    rows: BTreeMap<String, i64>,
    /// What people did, as the audit log has it.
    audit: Vec<String>,
    /// What mimir said in the turns that are over.
    said: Vec<String>,
}

impl Tried {
    async fn new(way: Way, all: &[Order]) -> Self {
        let texts: Vec<String> = all.iter().map(Order::text).collect();
        let evidence = |source: &str| {
            let one = |text: &String| Evidence {
                name: "what was said".into(),
                source: source.into(),
                text: text.clone(),
            };
            texts.iter().map(one).collect::<Vec<_>>()
        };
        let world = World::with("github", |input, stages| {
            match way {
                Way::Alert => input.evidence = evidence("sentry"),
                Way::Issue => {
                    let repository = input.repository.clone().expect("a repository");
                    let asked_by = "bob".to_owned();
                    input.subject = RunSubject::Issue { repository, number: 1, asked_by, url: None };
                    input.evidence = evidence("github:bob");
                }
                Way::Review | Way::FileName | Way::Commit => {}
            }
            for stage in stages {
                let more = match stage.kind.as_str() {
                    "follow" => json!({"quiet": "1s", "green_for": "1s", "review_rounds": 10_000}),
                    "merge" => json!({"policy": "auto", "reported_errors": true}),
                    _ => json!({}),
                };
                stage.settings.extend(more.as_object().expect("settings").clone());
            }
        })
        .await;
        *world.pages.lock() = 20;
        *world.protected.lock() = usually_protected();
        if way == Way::Issue {
            assert_eq!(world.forge.issue(BLOG, "bob", "carts", &texts.join("\n\n"), &[]), 1);
        }
        let files: Vec<String> = all.iter().filter(|_| way == Way::FileName).map(Order::file).collect();
        let messages = if way == Way::Commit { texts } else { Vec::new() };
        let commit = prepare(&world.blog, &files, &messages);
        world.change(|progress| progress.commit = Some(commit)).await;
        world.told.lock().obeys = Some(BTreeSet::new());
        let mut tried = Self {
            way,
            world,
            heads: Vec::new(),
            rows: BTreeMap::new(),
            audit: Vec::new(),
            said: Vec::new(),
        };
        let run = tried.world.ready().await;
        let why = run.reason.as_deref().unwrap_or_default();
        assert_eq!(why, "it waits for an approving review", "{way:?}: nothing else is missing");
        (tried.heads, tried.rows, tried.audit) =
            (tried.others(), tried.counted().await, tried.audited().await);
        tried
    }

    fn others(&self) -> Vec<(String, String)> {
        self.world.blog.heads().into_iter().filter(|(name, _)| name != BRANCH).collect()
    }

    async fn counted(&self) -> BTreeMap<String, i64> {
        let read = self.world.store.read(|db| {
            let tables: Vec<String> =
                db.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", (), |row| {
                    Ok(row.get(0)?)
                })?;
            let mut counted = BTreeMap::new();
            for table in tables.iter().filter(|name| !OF_RUNS.iter().any(|it| name.starts_with(it))) {
                let count: Option<i64> =
                    db.maybe_row(&format!("SELECT count(*) FROM {table}"), (), |row| Ok(row.get(0)?))?;
                counted.insert(table.clone(), count.unwrap_or_default());
            }
            Ok(counted)
        });
        read.await.expect("rows")
    }

    async fn audited(&self) -> Vec<String> {
        let all = self.world.store.read(|db| audit::list(db, None, 10_000)).await.expect("entries");
        let is_person = |by: &str| by.starts_with("owner:") || by.starts_with("token:");
        let of_people = all.into_iter().filter(|entry| is_person(&entry.principal));
        of_people.map(|entry| format!("{} {} {}", entry.principal, entry.action, entry.subject)).collect()
    }

    /// What mimir said at the forge.
    fn said(&self) -> Vec<String> {
        let pull = self.world.forge.pull(BLOG, self.world.number());
        let mut all = self.world.said();
        all.extend([pull.title, pull.body]);
        all
    }

    /// A turn is over: the forge lists no more what was said in it, or each look would cost more than the one before it.
    fn forget(&mut self) {
        self.said.extend(self.world.said());
        self.world.forge.change(BLOG, |repo| {
            repo.comments.clear();
            repo.inline.clear();
            repo.reviews.clear();
        });
    }

    fn set_policy(&mut self, policy: &str) {
        let mut workflow = (*self.world.workflow).clone();
        let stage = workflow.stages.iter_mut().find(|stage| stage.kind == "merge").expect("a merge");
        stage.settings.insert("policy".into(), Value::from(policy));
        self.world.workflow = Arc::new(workflow);
    }

    /// Nothing is merged, moved, closed or said yes to; nothing that nobody may know is told.
    async fn nothing_happened(&self, context: &str) {
        let context = format!("{:?}: {context}", self.way);
        assert_eq!(self.others(), self.heads, "{context}: something moved");
        let effects = self.world.forge.effects();
        let done =
            (effects.pulls, effects.merges, effects.closed, effects.closed_issues, effects.deleted_branches);
        assert_eq!(done, (1, 0, 0, 0, 0), "{context}");
        let run = self.world.get().await;
        assert!(!run.state.is_end(), "{context}: {run:?}");
        assert!(run.progress.approved.is_empty(), "{context}: {:?}", run.progress.approved);
        for text in self.said() {
            assert!(!text.contains(SECRET), "{context}: it leaves: {text}");
        }
    }

    /// These are obeyed in one turn, which ann asks for; then all is green, and strangers say yes.
    async fn turn(&self, some: &[&Order]) {
        let numbers: BTreeSet<usize> = some.iter().map(|order| order.number).collect();
        self.world.told.lock().obeys = Some(numbers);
        let number = self.world.number();
        self.world.forge.say(BLOG, number, "ann", "Please look at it once more.");
        if self.way == Way::Review {
            for order in some {
                self.world.forge.say(BLOG, number, "ann", &format!("I was sent this.\n{}", order.text()));
            }
        }
        for _ in 0..2 {
            self.world.settle().await;
            self.world.clock.advance_ms(2_000);
        }
        self.world.checks("success");
        for who in ["eve", "lint[bot]"] {
            self.world.forge.review(BLOG, number, who, "APPROVED", "merge it", &[]);
        }
        self.world.settle().await;
        self.world.clock.advance_ms(2_000);
        self.world.settle().await;
    }

    /// The same, and what came of it by either policy.
    async fn try_together(&mut self, some: &[&Order]) {
        let names: Vec<&str> = some.iter().map(|order| order.name.as_str()).collect();
        self.turn(some).await;
        self.nothing_happened(&format!("{names:?} by itself")).await;
        if some.iter().all(|order| order.kind() == Kind::Protected) {
            // A yes at the forge is not enough for these.
            let number = self.world.number();
            self.world.forge.review(BLOG, number, "ann", "APPROVED", "", &[]);
            let run = self.world.settle().await;
            self.nothing_happened(&format!("{names:?} with a review")).await;
            let why = run.reason.unwrap_or_default();
            let lacks = why.split("by itself: ").nth(1).unwrap_or_default();
            assert!(lacks.contains("it changes protected files"), "{names:?}: {why}");
            if some.len() == 1 {
                assert!(!lacks.contains(", it "), "{names:?}: something else keeps it back: {why}");
            }
        }
        self.set_policy("person");
        let run = self.world.settle().await;
        self.nothing_happened(&format!("{names:?} with a person's yes to come")).await;
        assert_eq!(run.state, RunState::Held, "{names:?}: {run:?}");
        self.set_policy("auto");
        self.forget();
    }

    /// What no order asked for is merged: by itself after a review, or by a person's yes.
    async fn an_innocent_commit_is_merged(&mut self, is_auto: bool) {
        self.turn(&[]).await;
        self.nothing_happened("an innocent commit").await;
        if is_auto {
            self.world.forge.review(BLOG, self.world.number(), "ann", "APPROVED", "", &[]);
        } else {
            self.set_policy("person");
            self.world.settle().await;
            self.world.approve().await;
        }
        let run = self.world.settle().await;
        assert_eq!(self.world.forge.effects().merges, 1, "{:?}: {run:?}", self.way);
        let changed = self.world.blog.git(&["diff", "--name-only", "main~1", "main"]);
        assert_eq!(changed, "fix.txt\ntests/fix.txt", "{:?}", self.way);
        let said = self.world.blog.git(&["log", "-1", "--format=%B", "main"]);
        assert!(!said.contains("Closes #") && !said.contains("-by:"), "{:?}: {said}", self.way);
    }

    /// What mimir asked of the forge all the time, but for reading.
    fn requests(&self) -> BTreeSet<String> {
        let changes = self.world.forge.seen().into_iter().filter(|seen| seen.method != "GET");
        let is_number = |part: &&str| part.bytes().all(|letter| letter.is_ascii_digit());
        let plain = |path: &str| {
            path.split('/')
                .map(|part| if is_number(&part) { "N" } else { part })
                .collect::<Vec<_>>()
                .join("/")
        };
        changes.map(|seen| format!("{} {}", seen.method, plain(&seen.path))).collect()
    }
}

/// What is protected where nobody said anything.
fn usually_protected() -> Vec<String> {
    Git::default().protected
}

/// Some of each kind alone, then the others of it together.
fn turns(all: &[Order], way: Way) -> Vec<Vec<&Order>> {
    let mut kinds: BTreeMap<Kind, Vec<&Order>> = BTreeMap::new();
    for order in all {
        kinds.entry(order.kind()).or_default().push(order);
    }
    let (mut turns, nth) = (Vec::new(), way as usize);
    for some in kinds.values() {
        let apart = (some.len() / (ALONE * WAYS.len())).max(1);
        let chosen: Vec<usize> = (0..ALONE).map(|it| (nth * ALONE + it) * apart % some.len()).collect();
        turns.extend(chosen.iter().map(|at| vec![some[*at]]));
        let others = some.iter().enumerate().filter(|(at, _)| !chosen.contains(at));
        let mut others: Vec<&Order> = others.map(|(_, order)| *order).collect();
        // With others on each way.
        let first = (nth * 5).checked_rem(others.len()).unwrap_or_default();
        others.rotate_left(first);
        turns.extend(others.chunks(TOGETHER).map(<[&Order]>::to_vec));
    }
    turns
}

async fn nothing_comes_of_what_comes_by(way: Way, is_auto: bool) {
    let all = orders();
    let mut tried = Tried::new(way, &all).await;
    for some in turns(&all, way) {
        tried.try_together(&some).await;
    }
    let obeyed = tried.world.told.lock().obeyed.clone();
    let missed: Vec<&str> =
        all.iter().filter(|order| !obeyed.contains(&order.number)).map(|order| order.name.as_str()).collect();
    assert!(missed.is_empty(), "{way:?}: not obeyed: {missed:?}");
    assert!(!tried.said.is_empty(), "{way:?}: it answers");
    for text in &tried.said {
        assert_eq!(does_something(text), None, "{way:?}: {text}");
    }
    let requests = tried.requests();
    let is_usual = |line: &String| {
        let ends = ["/pulls", "/comments", "/requested_reviewers", "/graphql", "/replies"];
        line.starts_with("POST ") && ends.iter().any(|end| line.ends_with(end))
    };
    let unusual: Vec<&String> = requests.iter().filter(|line| !is_usual(line)).collect();
    assert!(unusual.is_empty(), "{way:?}: {unusual:?}");
    assert_eq!(tried.counted().await, tried.rows, "{way:?}: the gateway is another");
    assert_eq!(tried.audited().await, tried.audit, "{way:?}: somebody did something");
    tried.an_innocent_commit_is_merged(is_auto).await;
    tried.world.forge.assert_as_described();
}

#[tokio::test]
async fn nothing_comes_of_an_alert_that_an_agent_obeys() {
    nothing_comes_of_what_comes_by(Way::Alert, true).await;
}

#[tokio::test]
async fn nothing_comes_of_an_issue_that_an_agent_obeys() {
    nothing_comes_of_what_comes_by(Way::Issue, false).await;
}

#[tokio::test]
async fn nothing_comes_of_a_review_that_an_agent_obeys() {
    nothing_comes_of_what_comes_by(Way::Review, true).await;
}

#[tokio::test]
async fn nothing_comes_of_names_of_files_that_an_agent_obeys() {
    nothing_comes_of_what_comes_by(Way::FileName, false).await;
}

#[tokio::test]
async fn nothing_comes_of_messages_of_commits_that_an_agent_obeys() {
    nothing_comes_of_what_comes_by(Way::Commit, true).await;
}

#[test]
fn every_order_comes_by_every_way_and_some_of_each_kind_alone() {
    let all = orders();
    let (mut alone, mut by) = (BTreeSet::new(), BTreeMap::<usize, usize>::new());
    for way in WAYS {
        let mut kinds = BTreeMap::<Kind, usize>::new();
        for some in turns(&all, way) {
            assert!(some.iter().all(|order| order.kind() == some[0].kind()), "{some:?}");
            some.iter().for_each(|order| *by.entry(order.number).or_default() += 1);
            if some.len() == 1 {
                *kinds.entry(some[0].kind()).or_default() += 1;
                alone.insert(some[0].number);
            }
        }
        assert!(kinds.len() == 5 && kinds.values().all(|alone| *alone >= ALONE), "{way:?}: {kinds:?}");
    }
    assert!(by.len() == all.len() && by.values().all(|ways| *ways == WAYS.len()), "{by:?}");
    // Others on each way, while there are others.
    assert!(alone.len() >= 30, "{alone:?}");
}

#[test]
fn each_change_of_protected_files_is_one_by_itself() {
    let patterns = usually_protected();
    let touches = |order: &Order| {
        let becomes = (order.verb == "rename").then_some(order.text.as_str());
        [Some(order.path.as_str()), becomes].into_iter().flatten().any(|path| is_protected(path, &patterns))
    };
    for order in orders() {
        match order.kind() {
            Kind::Protected => assert!(touches(&order), "{}", order.name),
            Kind::Files => assert!(!touches(&order), "{}", order.name),
            Kind::Message | Kind::Says | Kind::Fails => {}
        }
    }
}

//! A run with its forge, its error tracker and its agent, and gateways that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mimir::clock::Clock;
use mimir::config::Live;
use mimir::config::schema::{Git, GitCredential, TokenSource};
use mimir::forge::{Apps, Forges, Settings};
use mimir::git::Credentials;
use mimir::model::git::{ForgeHost, Repository};
use mimir::model::ids::RunId;
use mimir::model::origin::Origin;
use mimir::model::run::{
    CheckResult, NewRun, Report, ReportPlace, Run, RunHold, RunInput, RunLogEntry, RunProgress, RunState,
    RunSubject,
};
use mimir::model::secret::Secret;
use mimir::outbound::HttpClients;
use mimir::redact::Known;
use mimir::secrets::{Vault, VaultDeps};
use mimir::sentry::{Sentries, SentrySource};
use mimir::store::runs::{self, RunChange};
use mimir::store::{OpenOptions, Store};
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::definition::{Caps, StageDefinition, Workflow};
use mimir::workflows::fix::{Instructions, Resumed};
use mimir::workflows::pull::{self, PullDeps, Worker, follow, merge, preflight};
use mimir::workflows::stage::{Outcome, StageContext, StageError};
use mimir::workflows::trouble::of_store;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::errors::Errors;
use super::obeying::obey;
use crate::forge::{Bare, Forge, TOKEN};

pub const BLOG: &str = "me/blog";
pub const BRANCH: &str = "mimir/run-1";
/// A secret that the vault knows.
pub const SECRET: &str = "canary-4f2a9c7d1e8b";

/// An agent that commits what it is told, once for each matter.
#[derive(Clone)]
pub struct Agent {
    blog: Bare,
    clock: Clock,
    points: Failpoints,
    pub told: Arc<Mutex<Told>>,
}

/// What an agent was told and did.
#[derive(Default)]
pub struct Told {
    pub wanted: BTreeMap<String, Instructions>,
    pub made: BTreeMap<String, String>,
    pub discarded: u32,
    /// Said instead of changing something.
    pub says: Option<String>,
    /// Its checks stay red.
    pub is_red: bool,
    /// How long it works (ms).
    pub takes: u64,
    /// It does what it reads: those orders of it.
    pub obeys: Option<BTreeSet<usize>>,
    /// Which it did.
    pub obeyed: BTreeSet<usize>,
}

impl Worker for Agent {
    async fn resume<C: StageContext>(
        &self,
        cx: &mut C,
        wanted: &Instructions,
    ) -> Result<Resumed, StageError> {
        self.points.hit("test.agent.before").await;
        let resumed = {
            let mut told = self.told.lock();
            let (says, is_red) = (told.says.clone(), told.is_red);
            self.clock.advance_ms(told.takes);
            told.wanted.insert(wanted.key.clone(), wanted.clone());
            let again = told.made.get(&wanted.key).cloned();
            match (again, says) {
                (Some(commit), _) => Resumed::Pushed { commit },
                (None, _) if told.obeys.is_some() => {
                    let orders = told.obeys.clone().unwrap_or_default();
                    let resumed = obey(&self.blog, cx.run(), wanted, &orders, &mut told.obeyed);
                    if let Resumed::Pushed { commit } = &resumed {
                        told.made.insert(wanted.key.clone(), commit.clone());
                    }
                    resumed
                }
                (None, _) if is_red => Resumed::Red { why: "`make test` stays red".into() },
                (None, Some(answer)) => Resumed::Unchanged { answer },
                (None, None) => {
                    if let Some(base) = &wanted.merge {
                        merge_in(&self.blog, base);
                    }
                    let commit = self.blog.add(BRANCH, "fix.txt", &format!("{}\n", wanted.key));
                    told.made.insert(wanted.key.clone(), commit.clone());
                    Resumed::Pushed { commit }
                }
            }
        };
        self.points.hit("test.agent.after").await;
        Ok(resumed)
    }

    async fn discard<C: StageContext>(&self, cx: &mut C) -> Result<(), StageError> {
        self.points.hit("test.discard").await;
        self.told.lock().discarded += 1;
        cx.progress().frame = None;
        Ok(())
    }
}

/// The branch takes another one in, and stays as it is where both differ.
fn merge_in(blog: &Bare, base: &str) {
    let tree = blog.git(&["rev-parse", &format!("{BRANCH}^{{tree}}")]);
    let commit = blog.git(&["commit-tree", &tree, "-p", BRANCH, "-p", base, "-m", "take it in"]);
    blog.git(&["update-ref", &format!("refs/heads/{BRANCH}"), &commit]);
}

/// What outlives gateways.
pub struct World {
    pub forge: Forge,
    pub blog: Bare,
    pub errors: Errors,
    pub clock: Clock,
    pub store: Store,
    pub told: Arc<Mutex<Told>>,
    pub run: RunId,
    pub workflow: Arc<Workflow>,
    /// How many pages of a list are read.
    pub pages: Mutex<usize>,
    /// How long the forge may take for an answer.
    pub deadline: Mutex<Duration>,
    /// Which files people look at.
    pub protected: Mutex<Vec<String>>,
    source: Mutex<TokenSource>,
    apps: Mutex<Apps>,
    /// Whoever makes one reads the machine's certificates: once, not with each pass.
    clients: HttpClients,
    kind: &'static str,
    folder: tempfile::TempDir,
}

fn settings(pages: usize) -> Settings {
    let deadline = Duration::from_secs(10);
    Settings { deadline, between_changes: Duration::ZERO, pages, ..Settings::default() }
}

fn no_tokens(clients: &HttpClients, clock: &Clock) -> Apps {
    Apps::new(clients.clone(), clock.clone(), settings(1))
}

pub fn stage(kind: &str, settings: Value) -> StageDefinition {
    let settings = settings.as_object().expect("settings").clone();
    StageDefinition { name: kind.to_owned(), kind: kind.to_owned(), settings }
}

/// What an analysis found.
pub fn report(cause: &str) -> Report {
    Report {
        cause: cause.to_owned(),
        evidence: vec![ReportPlace {
            file: "src/cart.rs".into(),
            line: Some(7),
            note: Some("it divides".into()),
        }],
        confidence: 0.9,
        plan: vec!["look whether the cart is empty".into()],
        risk: Some("low".into()),
        summary: Some("Carts may be empty".into()),
    }
}

impl World {
    pub async fn new(kind: &'static str) -> Self {
        Self::with(kind, |_, _| {}).await
    }

    /// With another run than the usual one, or another workflow.
    pub async fn with(
        kind: &'static str,
        change: impl FnOnce(&mut RunInput, &mut Vec<StageDefinition>),
    ) -> Self {
        let (forge, errors) = (Forge::start().await, Errors::start().await);
        let blog = forge.repository(BLOG);
        forge.allow(BLOG, "ann", "write");
        forge.allow(BLOG, "bob", "maintain");
        forge.allow(BLOG, "eve", "read");
        forge.change(BLOG, |repo| repo.own_right = if kind == "gitea" { "admin" } else { "write" });
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(Clock::system().now_ms());
        let options = OpenOptions {
            path: folder.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: folder.path().join("backups"),
        };
        let store = Store::open(options, clock.clone()).expect("a database");
        let mut stages = vec![
            stage("preflight", json!({})),
            stage("pull_request", json!({})),
            stage("follow", json!({"reviewers": ["ann"]})),
            stage("merge", json!({})),
            stage("resolve", json!({})),
            stage("watch", json!({})),
        ];
        let mut input = RunInput {
            subject: RunSubject::Sentry {
                organization: "acme".into(),
                issue: "1234".into(),
                short_id: Some("SHOP-1A".into()),
                event: None,
                url: Some("https://sentry.example/organizations/acme/issues/1234/".into()),
            },
            repository: Some(Repository::parse(&forge.name_of(BLOG)).expect("a repository")),
            ..RunInput::default()
        };
        change(&mut input, &mut stages);
        let workflow = Arc::new(Workflow {
            name: "fix".into(),
            description: String::new(),
            inputs: BTreeMap::new(),
            stages,
            caps: Caps::default(),
        });
        let told = Arc::default();
        let run = RunId::from_parts(clock.now_ms(), 1);
        let clients = HttpClients::default();
        let apps = Mutex::new(no_tokens(&clients, &clock));
        let source = Mutex::new(TokenSource::Here(Some(Secret::new(TOKEN))));
        let pages = Mutex::new(Settings::default().pages);
        let deadline = Mutex::new(settings(1).deadline);
        let protected = Mutex::new(vec![".github/workflows".to_owned()]);
        let world = Self {
            forge,
            blog,
            errors,
            clock,
            store,
            told,
            run,
            workflow,
            pages,
            deadline,
            protected,
            source,
            apps,
            clients,
            kind,
            folder,
        };
        let commit = world.blog.add(BRANCH, "fix.txt", "the first try\n");
        let run = world.run.clone();
        world.begin(&run, input, &commit).await;
        world
    }

    /// A run whose commit is pushed.
    pub async fn begin(&self, id: &RunId, input: RunInput, commit: &str) {
        let new = NewRun {
            workflow: "fix".into(),
            key: id.to_string(),
            origin: Origin::Webhook,
            origin_ref: None,
            project: None,
            title: "it fails".into(),
            input,
            priority: 0,
            budget_microusd: None,
            not_before: None,
        };
        let progress = RunProgress {
            branch: Some(BRANCH.into()),
            commit: Some(commit.to_owned()),
            report: Some(report("the cart is divided by its number of things, which may be 0")),
            checks: vec![CheckResult {
                command: "make test".into(),
                exit_code: Some(0),
                tail: String::new(),
            }],
            ..RunProgress::default()
        };
        let (id, first) = (id.clone(), self.workflow.first().to_owned());
        let made = self.store.write(move |tx| {
            runs::enqueue(tx, id.clone(), &new)?;
            let run = runs::get(tx, &id)?;
            runs::change(tx, &run, &to(RunState::Running, &first, progress, None))
        });
        made.await.expect("a run");
    }

    pub async fn get(&self) -> Run {
        let id = self.run.clone();
        self.store.read(move |db| runs::get(db, &id)).await.expect("the run")
    }

    pub async fn timeline(&self) -> Vec<RunLogEntry> {
        let id = self.run.clone();
        self.store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline")
    }

    /// Changes the run as a person does through the gateway.
    pub async fn change(&self, change: impl FnOnce(&mut RunProgress)) {
        let run = self.get().await;
        let mut progress = run.progress.clone();
        change(&mut progress);
        let stage = run.stage.clone();
        let changed = self
            .store
            .write(move |tx| runs::change(tx, &run, &to(RunState::Waiting, &stage, progress, None)));
        changed.await.expect("changed");
    }

    /// The yes of a person to what they are asked.
    pub async fn approve(&self) {
        self.change(|progress| {
            let held = progress.held.take().expect("somebody is asked");
            progress.approved.insert(held.gate, held.subject);
        })
        .await;
    }

    pub async fn deps(&self, points: &Failpoints) -> PullDeps<Agent> {
        let settings = Settings { deadline: *self.deadline.lock(), ..settings(*self.pages.lock()) };
        let host = ForgeHost::parse(&self.forge.host_of_kind(self.kind)).expect("a host");
        let source = self.source.lock().clone();
        let credentials = vec![GitCredential { host: host.clone(), user: None, source }];
        let protected = self.protected.lock().clone();
        let git = Live::new(Git { hosts: vec![host], credentials, protected, ..Git::default() });
        let apps = self.apps.lock().clone().with_failpoints(points.clone());
        let credentials = Arc::new(Credentials::new(git.clone(), apps));
        let forges = Forges::new(credentials, self.clients.clone(), self.clock.clone(), settings);
        let source = SentrySource {
            name: "errors".into(),
            url: format!("http://{}", self.errors.address).parse().expect("an address"),
            organization: "acme".into(),
            token: Secret::new(super::errors::TOKEN),
        };
        let sentries = Sentries::new(self.clients.clone(), self.clock.clone(), vec![source]);
        let keys = vec![("the key of a provider".to_owned(), Secret::new(SECRET))];
        let vault = Vault::new(VaultDeps { store: self.store.clone(), known: Known::default(), keys });
        let (blog, clock, told) = (self.blog.clone(), self.clock.clone(), self.told.clone());
        let worker = Agent { blog, clock, points: points.clone(), told };
        let (store, failpoints) = (self.store.clone(), points.clone());
        let runs = Live::new(mimir::workflows::Settings::default());
        PullDeps { store, forges, sentries, vault, git, runs, worker, failpoints }
    }

    /// From now on an app acts there, whose tokens end by the world's clock.
    pub fn becomes_an_app(&self) {
        let granted = ["contents", "pull_requests", "issues", "checks", "statuses", "metadata"]
            .map(|what| (what, "write"));
        let app = self.forge.app(self.folder.path(), &[BLOG], &granted);
        self.forge.ends_tokens_by(&self.clock);
        *self.source.lock() = TokenSource::App(app);
    }

    /// A gateway that died took the tokens of apps with it.
    pub fn forgets_tokens(&self) {
        *self.apps.lock() = no_tokens(&self.clients, &self.clock);
    }

    /// One pass of a stage, and what becomes of the run, as the engine does it. Says how the stage ended.
    pub async fn pass(&self, points: &Failpoints) -> Result<Outcome, StageError> {
        let id = self.run.clone();
        let (run, _) = self.store.write(move |tx| runs::look(tx, &id)).await.expect("the run");
        assert!(!run.state.is_end(), "{:?}", run.state);
        let stage = self.workflow.stage(&run.stage).expect("a stage").clone();
        let (store, clock, workflow) = (self.store.clone(), self.clock.clone(), self.workflow.clone());
        let mut row = Row { store, clock, workflow, points: points.clone(), run };
        let deps = self.deps(points).await;
        let ended = perform(&stage, &mut row, &deps).await;
        points.hit("test.outcome.before").await;
        let (state, name, reason, until) = match &ended {
            Ok(Outcome::Done) => match self.workflow.after(&stage.name) {
                Some(next) => (RunState::Running, next, None, None),
                None => (RunState::Succeeded, stage.name.as_str(), None, None),
            },
            Ok(Outcome::Wait { until, why }) => {
                (RunState::Waiting, stage.name.as_str(), Some(why.clone()), Some(*until))
            }
            Ok(Outcome::Hold { why, .. }) => (RunState::Held, stage.name.as_str(), Some(why.clone()), None),
            Ok(Outcome::End { state, reason }) => (*state, stage.name.as_str(), Some(reason.clone()), None),
            Err(StageError::Auth(why) | StageError::Permanent(why)) => {
                (RunState::Failed, stage.name.as_str(), Some(why.clone()), None)
            }
            Err(error) => (RunState::Waiting, stage.name.as_str(), Some(error.to_string()), None),
        };
        let mut progress = row.run.progress.clone();
        progress.held = match &ended {
            Ok(Outcome::Hold { gate, subject, .. }) => {
                Some(RunHold { gate: gate.clone(), subject: subject.clone() })
            }
            _ => None,
        };
        let change = RunChange { reason, ..to(state, name, progress, until) };
        let seen = row.run;
        self.store.write(move |tx| runs::change(tx, &seen, &change)).await.expect("changed");
        points.hit("test.outcome.after").await;
        ended
    }

    /// Passes until the run waits, is held or ends.
    pub async fn settle(&self) -> Run {
        let points = Failpoints::default();
        for _ in 0..40 {
            let run = self.get().await;
            if run.state.is_end() {
                return run;
            }
            match self.pass(&points).await {
                Ok(Outcome::Done) => {}
                // It goes on at once.
                Ok(Outcome::Wait { until, .. }) if until <= self.clock.now_ms() => {}
                _ => return self.get().await,
            }
        }
        panic!("it does not come to rest: {:?}", self.get().await);
    }

    /// The same after everybody was quiet for a while.
    pub async fn later(&self) -> Run {
        self.settle().await;
        self.clock.advance_ms(60_000);
        self.settle().await
    }

    pub fn number(&self) -> u64 {
        self.forge.change(BLOG, |repo| repo.pulls.last().map_or(0, |pull| pull.number))
    }

    pub fn head(&self) -> String {
        self.blog.branch(BRANCH).expect("the branch")
    }

    /// All checks of the newest commit.
    pub fn checks(&self, conclusion: &str) {
        self.forge.check(BLOG, &self.head(), "test", Some(conclusion));
        // Gitea knows statuses alone.
        let word = if conclusion == "success" { "success" } else { "failure" };
        self.forge.status(BLOG, &self.head(), "lint", word);
    }

    /// What mimir said below the pull request and beside its lines.
    pub fn said(&self) -> Vec<String> {
        self.forge.change(BLOG, |repo| {
            let all = repo.comments.iter().chain(&repo.inline);
            let ours = [crate::forge::LOGIN, crate::forge::APP_LOGIN];
            all.filter(|said| ours.contains(&said.author.as_str())).map(|said| said.body.clone()).collect()
        })
    }

    /// A pull request that is ready for people, with green checks.
    pub async fn ready(&self) -> Run {
        self.settle().await;
        self.checks("success");
        let run = self.later().await;
        assert!(!self.forge.pull(BLOG, self.number()).is_draft, "{run:?}");
        run
    }
}

pub fn to(state: RunState, stage: &str, progress: RunProgress, wake_at: Option<u64>) -> RunChange {
    RunChange {
        state,
        stage: stage.to_owned(),
        attempt: 0,
        reason: None,
        progress,
        wake_at,
        keeps_place: false,
    }
}

/// A stage's context over the run's row.
pub struct Row {
    pub store: Store,
    pub clock: Clock,
    pub workflow: Arc<Workflow>,
    pub points: Failpoints,
    pub run: Run,
}

impl StageContext for Row {
    fn run(&self) -> &Run {
        &self.run
    }

    fn progress(&mut self) -> &mut RunProgress {
        &mut self.run.progress
    }

    fn workflow(&self) -> &Workflow {
        &self.workflow
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn save(
        &mut self,
        kind: &'static str,
        text: String,
        link: Option<String>,
    ) -> Result<(), StageError> {
        self.points.hit("test.save.before").await;
        let seen = self.run.clone();
        let written = self.store.write(move |tx| {
            let change = RunChange {
                keeps_place: true,
                ..to(RunState::Running, &seen.stage, seen.progress.clone(), None)
            };
            let now = runs::change(tx, &seen, &change)?;
            runs::log(tx, &now.id, &now.stage, kind, &text, link.as_deref())?;
            Ok(now)
        });
        self.run = written.await.map_err(of_store)?;
        self.points.hit("test.save.after").await;
        Ok(())
    }
}

/// The settings of a stage.
pub fn read<T: DeserializeOwned>(stage: &StageDefinition) -> T {
    serde_json::from_value(Value::Object(stage.settings.clone())).expect("settings")
}

async fn perform(
    stage: &StageDefinition,
    cx: &mut Row,
    deps: &PullDeps<Agent>,
) -> Result<Outcome, StageError> {
    match stage.kind.as_str() {
        "preflight" => preflight::perform(&read(stage), cx, deps).await,
        "pull_request" => pull::pull_request(&read(stage), cx, deps).await,
        "follow" => follow::perform(&read(stage), cx, deps).await,
        "merge" => merge::perform(&read(stage), cx, deps).await,
        "resolve" => pull::resolve(&read(stage), cx, deps).await,
        "watch" => pull::watch(&read(stage), cx, deps).await,
        other => panic!("no stage {other}"),
    }
}

//! From an alert to a merged pull request at an emulator of GitHub that others wrote: the workflow that mimir brings, real
//! git, messages that the emulator signs, and an agent whose every word is written down. What the emulator cannot do, and
//! what is done in its place, stands at [`LACKS`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::config::webhooks::Source as ConfiguredSource;
use mimir::model::git::Repository;
use mimir::model::run::{Run, RunState};
use mimir::model::secret::Secret;
use mimir::model::webhook::SenderKind;
use mimir::store::runs;
use mimir::supervisor::Tasks;
use mimir::webhooks::{Headers, Mapping, Rule, Settings, Source, Webhooks};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::emulated_forge::{Front, LACKS};
use super::mends_world::{CHECK, built_with, machine, report};
use super::world::{OWNER, is_tidy, says};
use crate::agent::scripted::ScriptedAgent;
use crate::forge::emulator::{ANNS, Emulator};
use crate::forge::{Forge, TOKEN};
use crate::machine::{Gateway, Machine};
use crate::pulls::errors::{Errors, TOKEN as TRACKERS_TOKEN};
use crate::webhooks::{SECRET, alert, rule, sentry_headers, source, take};

const SHOP: &str = "me/shop";
/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(120);
/// What goes on by itself.
const RUNNING: &[&str] = &["frames", "feeds", "queue", "timers", "pushes", "workflows", "intake"];

/// Everything that the story happens to.
struct World {
    front: Arc<Front>,
    errors: Errors,
    agent: Arc<ScriptedAgent>,
    machine: Machine,
    gateway: Gateway,
    agents: Tasks,
    _git: Forge,
    _servers: [JoinSet<()>; 2],
}

impl World {
    async fn new(test: &str) -> Option<Self> {
        let emulator = Emulator::start("shop", test).await?;
        let (git, errors) = (Forge::start().await, Errors::start().await);
        let bare = git.repository(SHOP);
        bare.add("main", "cart.txt", "nothing\n");
        let (front, server) = Front::start(emulator, git.address, bare).await;
        let (agent, agents) = (ScriptedAgent::start(), Tasks::default());
        // No report, a report; then each time a fix that is red, and one that is not; what ann asked for is right at once.
        let report = report();
        agent.plays(["It is the database.", &report, "Done.", "Done.", "Done.", "Done.", "Done."].map(says));
        let machine = machine(&agent, &agents, front.address);
        write_workflow(&machine);
        let host = format!("github:http://{}", front.address);
        let tracker = ConfiguredSource {
            kind: SenderKind::Sentry,
            secret: Some(Secret::new(SECRET)),
            previous_secret: None,
            url: format!("http://{}", errors.address).parse().ok(),
            organization: Some("acme".to_owned()),
            token: Some(Secret::new(TRACKERS_TOKEN)),
            host: None,
            mapping: Mapping::default(),
        };
        let gateway = built_with(&machine, &agent, &host, TOKEN, RUNNING, move |config| {
            config.webhooks.sources.insert("errors".to_owned(), tracker);
        });
        gateway.services.webhooks.configure(settings(&front));
        let gateway = gateway.start();
        let hooks = listen(&front, gateway.services.webhooks.clone()).await;
        let admin = json!({"permission": "admin"});
        front.emulator.of(TOKEN, Method::PUT, "/collaborators/ann", admin).await;
        Some(Self { front, errors, agent, machine, gateway, agents, _git: git, _servers: [server, hooks] })
    }

    /// The newest run, when it is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Run) -> bool) -> Run {
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let found = self.newest().await;
            if let Some(run) = found.as_ref().filter(|run| is_so(run)) {
                return run.clone();
            }
            let is_over = found.as_ref().is_some_and(|run| run.state.is_end());
            if is_over || tokio::time::Instant::now() >= end {
                let timeline = self.timeline(found.as_ref()).await;
                panic!("not {what} within {LIMIT:?}: {found:#?}\n{timeline:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn newest(&self) -> Option<Run> {
        let store = &self.gateway.services.store;
        let mut found = store.read(|db| runs::newest(db, 2)).await.expect("runs");
        assert!(found.len() < 2, "one alert is one run: {found:#?}");
        found.pop()
    }

    async fn timeline(&self, run: Option<&Run>) -> Vec<String> {
        let Some(id) = run.map(|run| run.id.clone()) else { return Vec::new() };
        let store = &self.gateway.services.store;
        let lines = store.read(move |db| runs::timeline(db, &id)).await.expect("a timeline");
        lines.into_iter().map(|line| format!("{} {}: {}", line.stage, line.kind, line.text)).collect()
    }

    /// The commit of the run, when it is another one and the emulator has it.
    async fn moved(&self, before: &str) -> String {
        let is_there = |run: &Run| {
            let commit = run.progress.commit.as_deref().filter(|commit| *commit != before);
            run.progress.pull.is_some() && commit.is_some_and(|commit| self.front.theirs(commit).is_some())
        };
        self.until("pushed", is_there).await.progress.commit.expect("a commit")
    }

    async fn pull(&self) -> Value {
        self.front.emulator.of(TOKEN, Method::GET, "/pulls/1", Value::Null).await
    }

    /// What a program says of a commit.
    async fn check(&self, commit: &str, conclusion: &str) {
        let head = self.front.theirs(commit).expect("it has it");
        let output = json!({"title": "lint", "summary": format!("it ended with {conclusion}")});
        let run = json!({"name": "lint", "head_sha": head, "status": "completed", "conclusion": conclusion, "output": output});
        self.front.emulator.of(TOKEN, Method::POST, "/check-runs", run).await;
    }

    /// What ann says of a commit, as a whole and beside a line.
    async fn review(&self, commit: &str, event: &str, body: &str, beside: Option<&str>) {
        let head = self.front.theirs(commit).expect("it has it");
        let beside: Vec<Value> =
            beside.iter().map(|text| json!({"path": "cart.txt", "position": 1, "body": text})).collect();
        let review = json!({"event": event, "body": body, "commit_id": head, "comments": beside});
        self.front.emulator.of(ANNS, Method::POST, "/pulls/1/reviews", review).await;
    }

    /// What mimir said at that place.
    async fn said(&self, place: &str) -> Vec<String> {
        let all = self.front.emulator.of(TOKEN, Method::GET, place, Value::Null).await;
        let all = all.as_array().cloned().unwrap_or_default();
        let ours = all.iter().filter(|said| said["user"]["login"] == "me");
        ours.filter_map(|said| said["body"].as_str().map(str::to_owned)).collect()
    }

    /// The yes of a person, for that commit. It may be looked at just then, and is held again.
    async fn approve(&self, commit: &str) {
        let subject = format!("{commit}@main");
        let end = tokio::time::Instant::now() + LIMIT;
        loop {
            let is_asked = |run: &Run| {
                let held = run.progress.held.as_ref();
                run.state == RunState::Held
                    && held.is_some_and(|held| held.gate == "merge" && held.subject == subject)
            };
            let run = self.until("asked for a yes", is_asked).await;
            let workflows = &self.gateway.services.workflows;
            match workflows.approve(&OWNER, &run.id, Some(subject.clone())).await {
                Ok(_) => return,
                Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.tasks.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

/// The one that mimir brings, with this project's check, and without the minutes in which nothing happens.
fn write_workflow(machine: &Machine) {
    let brought = include_str!("../../../config/workflows/sentry-fix.yaml");
    let text = brought
        .replace("    kind: fix\n", &format!("    kind: fix\n    checks: [\"{CHECK}\"]\n    allow: []\n"))
        .replace(
            "    kind: follow\n",
            "    kind: follow\n    green_for: 1s\n    quiet: 1s\n    poll: 1s\n    poll_most: 2s\n",
        );
    assert_eq!(text.lines().count(), brought.lines().count() + 6);
    mimir::workflows::parse::parse(&text, "sentry-fix").expect("a workflow");
    let folder = machine.paths.home().join("workflows");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("sentry-fix.yaml"), text).expect("written");
}

/// The tracker's alerts begin a run; what the emulator tells wakes it.
fn settings(front: &Front) -> Settings {
    let host = Some(front.address.to_string());
    let forge = Source { host, ..source(SenderKind::Github, &[SECRET]) };
    let sources = BTreeMap::from([
        ("errors".to_owned(), source(SenderKind::Sentry, &[SECRET])),
        ("forge".to_owned(), forge),
    ]);
    let repository = Repository::parse(&format!("{}/{SHOP}", front.address)).expect("a repository");
    let rule = Rule { repository: Some(repository), ..rule("errors") };
    // The tracker is asked for its one issue alone.
    Settings { sources, rules: vec![rule], catch_up: None, ..Settings::default() }
}

/// The emulator tells the gateway of everything; what is not taken is 400, so that it is seen there.
async fn listen(front: &Front, webhooks: Webhooks) -> JoinSet<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/webhooks/forge", listener.local_addr().expect("an address"));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let webhooks = webhooks.clone();
            connections.spawn(async move {
                let service = service_fn(move |request| told(webhooks.clone(), request));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let config = json!({"url": url, "secret": SECRET, "content_type": "json"});
    let hook = json!({"name": "web", "active": true, "events": ["*"], "config": config});
    front.emulator.of(TOKEN, Method::POST, "/hooks", hook).await;
    server
}

async fn told(webhooks: Webhooks, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = Headers::new(headers.collect::<Vec<_>>());
    let admission = webhooks.admit("forge").expect("it is known");
    let taken = webhooks.receive(&admission, &headers, &body).await;
    let status: u16 = if taken.is_ok() { 202 } else { 400 };
    Ok(Response::builder().status(status).body(Full::default()).expect("a response"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_alert_becomes_a_merged_pull_request_at_an_emulator_of_others() {
    let test = "workflows::emulated::an_alert_becomes_a_merged_pull_request_at_an_emulator_of_others";
    let Some(world) = World::new(test).await else { return };
    let front = &world.front;

    // An alert, twice.
    let body = alert(1234, "e1").to_string();
    let webhooks = &world.gateway.services.webhooks;
    assert!(!take(webhooks, "errors", sentry_headers("event_alert", &body), &body).await.is_duplicate);
    assert!(take(webhooks, "errors", sentry_headers("event_alert", &body), &body).await.is_duplicate);

    // Looked into, mended, pushed, opened as a draft; a red check is worked in.
    let first = world.moved("").await;
    let opened = world.pull().await;
    assert_eq!((&opened["draft"], &opened["state"]), (&json!(true), &json!("open")), "{opened:#}");
    assert_eq!(opened["head"]["sha"].as_str().map(str::to_owned), front.theirs(&first));
    world.check(&first, "failure").await;
    let second = world.moved(&first).await;
    world.check(&second, "success").await;
    let is_ready = |run: &Run| run.progress.pull.as_ref().is_some_and(|pull| !pull.is_draft);
    world.until("no draft any more", is_ready).await;
    assert_eq!(world.pull().await["draft"], json!(false));

    // A review, which is worked in and answered, once each.
    world.review(&second, "REQUEST_CHANGES", "Please name it better.", Some("Say why here.")).await;
    let third = world.moved(&second).await;
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        let said = (world.said("/issues/1/comments").await, world.said("/pulls/1/comments").await);
        if said.0.len() == 1 && said.1.len() == 1 {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{said:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.check(&third, "success").await;
    // Without a word: one would be answered, if it is heard before the merge.
    world.review(&third, "APPROVE", "", None).await;

    // A person's yes, the merge, the resolved issue; nothing is left but the watch.
    world.approve(&third).await;
    let run = world.until("watched", |run| run.stage == "watch" && run.state == RunState::Waiting).await;
    let merged = front.bare.head("main").expect("main");
    assert_eq!(run.progress.pull.as_ref().and_then(|pull| pull.merged.clone()), Some(merged.clone()));
    assert_eq!(front.bare.git(&["show", "main:cart.txt"]), "rebuilt, and whole");
    assert_eq!(front.bare.heads(), [("main".to_owned(), merged.clone())], "the branch is gone");
    let pull = world.pull().await;
    assert_eq!((&pull["merged"], &pull["state"]), (&json!(true), &json!("closed")), "{pull:#}");
    let commit = json!({"inCommit": {"repository": SHOP, "commit": merged}});
    let resolves = world.errors.known.lock().resolves.clone();
    assert!(matches!(&resolves[..], [one] if one["statusDetails"] == commit), "{resolves:#?}");
    let said = (world.said("/issues/1/comments").await, world.said("/pulls/1/comments").await);
    assert_eq!((said.0.len(), said.1.len()), (1, 1), "{said:#?}");
    let pulls = front.emulator.of(TOKEN, Method::GET, "/pulls?state=all", Value::Null).await;
    assert_eq!(pulls.as_array().map(Vec::len), Some(1), "{pulls:#}");
    let timeline = world.timeline(Some(&run)).await;
    assert_eq!(world.agent.user_messages(), 7, "{timeline:#?}");
    is_tidy(&world.machine, &world.gateway, LIMIT, "in the end").await;
    for stage in
        ["preflight", "analyse", "fix", "push", "pull_request", "follow", "merge", "resolve", "watch"]
    {
        assert!(timeline.iter().any(|line| line.starts_with(&format!("{stage} "))), "{stage}: {timeline:#?}");
    }

    // What the emulator told was signed so that it was taken.
    let told = front.emulator.of(TOKEN, Method::GET, "/hooks/1/deliveries", Value::Null).await;
    let told = told.as_array().cloned().unwrap_or_default();
    assert!(told.len() >= 5 && told.iter().all(|it| it["status_code"] == json!(202)), "{told:#?}");

    // What it lacks is what is written down, and nothing else was asked for in vain.
    let filled = front.filled.lock().clone();
    assert_eq!(filled.keys().copied().collect::<Vec<_>>(), ["a draft", "an answer", "nobody"]);
    assert_eq!((filled["a draft"], filled["an answer"]), (1, 1), "{filled:?}");
    let unknown = front.unknown.lock().clone();
    assert!(unknown.iter().all(|asked| asked.contains("/actions/jobs/")), "{unknown:#?}");
    for (method, path, why) in LACKS {
        let path = path.replace("{}", &front.emulator.repository);
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let body = if method == Method::POST { json!({"body": "x", "query": "x"}) } else { Value::Null };
        let (status, said) = front.emulator.ask(TOKEN, method, &path, body).await;
        assert_eq!(status, 404, "it has {path} now, so this need not do it ({why}): {said}");
    }
}

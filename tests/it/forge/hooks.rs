//! Webhooks: what happened is sent, signed, once; and again when somebody asks for that.

use std::sync::Arc;
use std::time::Duration;

use mimir::outbound::HttpClients;
use serde_json::{Value, json};
use url::Url;

use super::api::Api;
use super::state::{Delivered, Hook, State};
use super::{described, shapes};

/// GitHub waits no longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hook hears of everything from now on, and of itself.
pub fn register(state: &mut State, path: &str, hook: Hook) {
    let id = hook.id;
    let repo = state.repo(path).expect("a repository");
    repo.told = branches(repo.bare().heads());
    repo.hooks.push(hook);
    let body = json!({"zen": "Keep it logically awesome.", "hook_id": id, "hook": {
        "type": "Repository", "id": id, "name": "web", "active": true, "events": ["*"], "config": {"url": "http://x.test"},
        "created_at": shapes::time(0), "updated_at": shapes::time(0),
    }});
    queue(state, path, "ping", None, body);
}

fn branches(heads: Vec<(String, String)>) -> std::collections::BTreeMap<String, String> {
    heads.into_iter().collect()
}

fn queue(state: &mut State, path: &str, event: &str, action: Option<&str>, mut body: Value) {
    let root = state.root.clone();
    let hooks: Vec<u64> = state.repo(path).expect("a repository").hooks.iter().map(|hook| hook.id).collect();
    for hook in hooks {
        let (id, at) = (state.id(), state.tick());
        let repo = state.repo(path).expect("a repository");
        if let Some(action) = action {
            body["action"] = json!(action);
        }
        body["repository"] = shapes::repository(&root, repo);
        if body["sender"].is_null() {
            body["sender"] = shapes::user(&root, "somebody");
        }
        let made = Delivered {
            id,
            hook,
            guid: format!("{id:08x}-0000-4000-8000-{at:012x}"),
            event: event.to_owned(),
            action: action.map(str::to_owned),
            body: body.to_string(),
            at,
            ..Delivered::default()
        };
        repo.deliveries.push(made);
    }
}

pub fn of_pull(state: &mut State, path: &str, number: u64, action: &str, more: impl FnOnce(&mut Value)) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let mut body = json!({"number": number, "pull_request": shapes::pull(&root, repo, repo.pull(number).expect("known"), true)});
    more(&mut body);
    queue(state, path, "pull_request", Some(action), body);
}

pub fn of_comment(state: &mut State, path: &str, id: u64) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let said = repo.comments.iter().find(|said| said.id == id).expect("it was just said");
    let issue = match repo.pull(said.number) {
        Some(pull) => shapes::issue(&root, repo, &super::github::as_issue(pull), true),
        None => {
            let known = repo.issues.iter().find(|issue| issue.number == said.number);
            shapes::issue(&root, repo, known.expect("an issue"), false)
        }
    };
    let body = json!({"issue": issue, "comment": shapes::comment(&root, repo, said)});
    queue(state, path, "issue_comment", Some("created"), body);
}

pub fn of_inline(state: &mut State, path: &str, id: u64) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let said = repo.inline.iter().find(|said| said.id == id).expect("it was just said");
    let pull = shapes::pull(&root, repo, repo.pull(said.number).expect("known"), false);
    let body = json!({"comment": shapes::inline(&root, repo, said), "pull_request": pull});
    queue(state, path, "pull_request_review_comment", Some("created"), body);
}

pub fn of_review(state: &mut State, path: &str, id: u64) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let reviewed = repo.reviews.iter().find(|it| it.id == id).expect("it was just made");
    let pull = shapes::pull(&root, repo, repo.pull(reviewed.number).expect("known"), false);
    let mut review = shapes::review(&root, repo, reviewed);
    // Webhooks write it in small letters.
    review["state"] = json!(reviewed.state.to_lowercase());
    queue(
        state,
        path,
        "pull_request_review",
        Some("submitted"),
        json!({"review": review, "pull_request": pull}),
    );
}

pub fn of_check(state: &mut State, path: &str, id: u64) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let run = repo.checks.iter().find(|run| run.id == id).expect("it was just made");
    let heads = repo.bare().heads();
    let branch = heads.iter().find(|(_, head)| *head == run.sha).map(|(name, _)| name.as_str());
    let mut check = shapes::check_run(&root, repo, run);
    let app = shapes::app(&root);
    check["check_suite"] = json!({
        "id": 1, "node_id": "CS_1", "head_branch": branch, "head_sha": run.sha, "status": "completed", "conclusion": run.conclusion,
        "url": format!("{root}/suites/1"), "before": null, "after": run.sha, "pull_requests": [], "app": app,
        "created_at": shapes::time(0), "updated_at": shapes::time(0),
    });
    queue(state, path, "check_run", Some("completed"), json!({"check_run": check}));
}

pub fn of_issue(state: &mut State, path: &str, number: u64, action: &str, label: Option<&str>) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    let issue = repo.issues.iter().find(|issue| issue.number == number).expect("an issue");
    // Who opens it labels it as well, as a form or an owner does.
    let sender = shapes::user(&root, &issue.author);
    let mut body = json!({"issue": shapes::issue(&root, repo, issue, false), "sender": sender});
    if let Some(label) = label {
        body["label"] = shapes::label(&root, repo, label);
    }
    queue(state, path, "issues", Some(action), body);
}

/// Compares the branches with what hooks were told of them.
pub fn pushed(state: &mut State, path: &str) {
    let root = state.root.clone();
    let repo = state.repo(path).expect("a repository");
    if repo.hooks.is_empty() {
        return repo.refresh();
    }
    const NOTHING: &str = "0000000000000000000000000000000000000000";
    let now = branches(repo.bare().heads());
    let before = std::mem::replace(&mut repo.told, now.clone());
    let open: Vec<(u64, String)> = repo
        .pulls
        .iter()
        .filter(|pull| !pull.is_closed)
        .map(|pull| (pull.number, pull.head.clone()))
        .collect();
    repo.refresh();
    for (branch, id) in &now {
        let old = before.get(branch);
        if old == Some(id) {
            continue;
        }
        let who = json!({"name": "Somebody", "email": "somebody@example.org"});
        let commit = json!({
            "id": id, "tree_id": id, "distinct": true, "message": "a change", "timestamp": shapes::time(0), "url": format!("{root}/c/{id}"),
            "author": who, "committer": who, "added": [], "removed": [], "modified": [],
        });
        let body = json!({
            "ref": format!("refs/heads/{branch}"), "before": old.map_or(NOTHING, String::as_str), "after": id,
            "created": old.is_none(), "deleted": false, "forced": false, "base_ref": null, "compare": format!("{root}/compare"),
            "commits": [commit], "head_commit": commit, "pusher": who,
        });
        queue(state, path, "push", None, body);
        let Some(old) = old else { continue };
        for (number, _) in open.iter().filter(|(_, head)| head == branch) {
            let (before, after) = (old.clone(), id.clone());
            of_pull(state, path, *number, "synchronize", |body| {
                body["before"] = json!(before);
                body["after"] = json!(after);
            });
        }
    }
}

/// The same once more, under the same name.
pub fn again(state: &mut State, path: &str, id: u64) -> bool {
    let (new, at) = (state.id(), state.tick());
    let repo = state.repo(path).expect("a repository");
    let Some(first) = repo.deliveries.iter().find(|it| it.id == id).cloned() else { return false };
    repo.deliveries.push(Delivered { id: new, at, is_redelivery: true, status: 0, ..first });
    true
}

/// Sends what is to be sent, one after the other.
pub async fn deliver(api: Arc<Api>) {
    let http = HttpClients::default();
    loop {
        api.wake.notified().await;
        loop {
            let next = {
                let state = api.state.lock();
                let find = |repo: &super::state::Repo| {
                    let made = repo.deliveries.iter().find(|it| it.status == 0)?.clone();
                    let hook = repo.hooks.iter().find(|hook| hook.id == made.hook)?.clone();
                    Some((repo.path.clone(), repo.id, hook, made))
                };
                state.repos.iter().find_map(find)
            };
            let Some((path, repo, hook, made)) = next else { break };
            let status = send(&api, &http, repo, &hook, &made).await;
            let mut state = api.state.lock();
            let known =
                state.repo(&path).expect("a repository").deliveries.iter_mut().find(|it| it.id == made.id);
            known.expect("it was just sent").status = status;
        }
    }
}

async fn send(api: &Api, http: &HttpClients, repo: u64, hook: &Hook, made: &Delivered) -> u16 {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, hook.secret.as_bytes());
    let signature = hex::encode(ring::hmac::sign(&key, made.body.as_bytes()));
    let headers = [
        ("user-agent", "GitHub-Hookshot/test".to_owned()),
        ("content-type", "application/json".to_owned()),
        ("x-github-event", made.event.clone()),
        ("x-github-delivery", made.guid.clone()),
        ("x-github-hook-id", hook.id.to_string()),
        ("x-github-hook-installation-target-id", repo.to_string()),
        ("x-github-hook-installation-target-type", "repository".to_owned()),
        ("x-hub-signature-256", format!("sha256={signature}")),
    ];
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    api.violations.lock().extend(described::of_hook(&made.event, made.action.as_deref(), &names, &made.body));
    let url = Url::parse(&hook.url).expect("an address");
    let mut request = http.to(&url).expect("a client").post(url).timeout(PATIENCE).body(made.body.clone());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    // GitHub writes 502 for one that could not be reached.
    request.send().await.map_or(502, |response| response.status().as_u16())
}

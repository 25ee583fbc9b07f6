//! The same forge with Gitea's face: the same people and pull requests in other words.

use serde_json::{Value, json};

use super::api::{Answer, Asked, bare_list};
use super::github;
use super::shapes::{self, time};
use super::state::{Pull, Repo, State};

const PAGE: (&str, usize, usize) = ("limit", 30, 50);

pub fn answer(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => Answer::json(200, json!({"version": "1.24.0"})),
        ("GET", ["user"]) if state.tells_nobody => {
            Answer::error(403, "token does not have at least one of required scope(s)")
        }
        ("GET", ["user"]) => Answer::json(200, user(&asked.login)),
        (_, ["repos", owner, name, rest @ ..]) => {
            let path = format!("{owner}/{name}");
            match state.repo(&path).is_some() {
                true => of_repository(state, &path, asked, rest),
                false => Answer::error(404, "The target couldn't be found."),
            }
        }
        _ => Answer::error(404, "The target couldn't be found."),
    }
}

fn of_repository(state: &mut State, path: &str, asked: &Asked, rest: &[&str]) -> Answer {
    let repo = state.repo(path).expect("known");
    repo.refresh();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let lost = || Answer::error(404, "The target couldn't be found.");
    match (asked.method.as_str(), rest) {
        ("GET", []) => Answer::json(200, repository(repo)),
        ("GET", ["collaborators", user, "permission"])
            if repo.own_right != "admin" && **user != asked.login =>
        {
            let why = "Only admins can query all permissions, repo admins can query all repo permissions, \
                       collaborators can query only their own";
            Answer::error(403, why)
        }
        ("GET", ["collaborators", user, "permission"]) => {
            let role = repo.rights.get(*user).copied().unwrap_or("none");
            Answer::json(200, json!({"permission": role, "role_name": role, "user": {"login": user}}))
        }
        ("GET", ["commits"]) => {
            let branch = asked.parameter("sha").unwrap_or("main");
            let Some(head) = repo.head(branch) else { return lost() };
            let log = repo
                .of_commits(&["log", "--format=%H%x1f%T%x1f%P%x1f%ct%x1f%an%x1f%s", &head])
                .expect("a commit");
            let all = log.lines().map(|line| {
                let fields: Vec<&str> = line.split('\u{1f}').collect();
                shapes::commit(&asked.root, repo, fields.try_into().expect("six fields"))
            });
            asked.page(PAGE, all.collect(), bare_list)
        }
        // It is a page of a list whose length nothing says: what it calls the total is that of the page.
        ("GET", ["commits", sha, "status"]) => {
            let sha = repo.head(sha).unwrap_or_else(|| (*sha).to_owned());
            let all = repo.statuses.iter().filter(|status| status.sha == sha);
            let all = all.map(|it| json!({"id": it.id, "status": it.state, "context": it.context, "description": it.description, "target_url": ""}));
            let mut answer = asked.page(
                PAGE,
                all.collect(),
                |items, _| json!({"state": "", "sha": sha, "total_count": items.len(), "statuses": items}),
            );
            answer.headers.clear();
            answer
        }
        ("DELETE", ["branches", branch @ ..]) => {
            match github::delete_branch(state, path, &branch.join("/")).status {
                204 => Answer::empty(204),
                _ => lost(),
            }
        }
        ("GET", ["pulls"]) => {
            let is_closed = asked.parameter("state") == Some("closed");
            let all = repo.pulls.iter().rev().filter(|pull| pull.is_closed == is_closed);
            let all: Vec<Value> = all.map(|it| pull(repo, it)).collect();
            let total = all.len();
            asked.page(PAGE, all, bare_list).with("x-total-count", total.to_string())
        }
        ("POST", ["pulls"]) => open(state, path, asked),
        ("GET", ["issues", n]) => issue(repo, number(n), 200),
        ("PATCH", ["issues", n]) => {
            github::edit_issue(state, path, asked, number(n));
            issue(state.repo(path).expect("known"), number(n), 201)
        }
        ("GET", ["issues", n, "timeline"]) => {
            let pull = repo.pull(number(n)).filter(|pull| pull.is_closed);
            let close =
                |who: &String| json!({"id": 1, "type": "close", "user": user(who), "created_at": time(0)});
            let pushed =
                json!({"id": 0, "type": "pull_push", "user": user("somebody"), "created_at": time(0)});
            let closed = pull.and_then(|pull| pull.closed_by.as_ref()).map(close);
            asked.page(PAGE, [pushed].into_iter().chain(closed).collect(), bare_list)
        }
        // It knows no pages.
        ("GET", ["issues", n, "comments"]) => {
            let said = repo.comments.iter().filter(|said| said.number == number(n));
            let one = |it: &super::state::Said| json!({"id": it.id, "body": it.body, "user": user(&it.author), "created_at": time(it.at), "updated_at": time(it.at), "html_url": ""});
            Answer::json(200, Value::Array(said.map(one).collect()))
        }
        ("POST", ["issues", n, "comments"]) => {
            let repo = github::say(state, path, &asked.login, number(n), &asked.text("body"));
            let it = repo.comments.last().expect("it was just said");
            Answer::json(
                201,
                json!({"id": it.id, "body": it.body, "user": user(&it.author), "created_at": time(it.at), "updated_at": time(it.at)}),
            )
        }
        (_, ["pulls", n, rest @ ..]) if repo.pull(number(n)).is_some() => {
            of_pull(state, path, asked, number(n), rest)
        }
        _ => lost(),
    }
}

fn issue(repo: &super::state::Repo, number: u64, status: u16) -> Answer {
    let Some(issue) = repo.issues.iter().find(|issue| issue.number == number) else {
        return Answer::error(404, "The target couldn't be found.");
    };
    Answer::json(
        status,
        json!({
            "number": issue.number, "title": issue.title, "body": issue.body, "user": user(&issue.author),
            "state": if issue.is_closed { "closed" } else { "open" },
            "labels": issue.labels.iter().map(|name| json!({"name": name})).collect::<Vec<_>>(), "pull_request": null, "html_url": "",
        }),
    )
}

fn of_pull(state: &mut State, path: &str, asked: &Asked, number: u64, rest: &[&str]) -> Answer {
    let repo = state.repo(path).expect("known");
    let known = repo.pull(number).expect("known").clone();
    match (asked.method.as_str(), rest) {
        ("GET", []) => Answer::json(200, pull(repo, &known)),
        ("PATCH", []) => {
            if let Some(title) = asked.body["title"].as_str() {
                let pull = repo.pull_mut(number).expect("known");
                let was_draft = std::mem::replace(&mut pull.is_draft, title.starts_with("WIP: "));
                pull.title = title.trim_start_matches("WIP: ").to_owned();
                state.effects.readied += usize::from(was_draft && !title.starts_with("WIP: "));
            }
            let repo = state.repo(path).expect("known");
            if let Some(body) = asked.body["body"].as_str() {
                repo.pull_mut(number).expect("known").body = body.to_owned();
            }
            if asked.body["state"] == "closed" && !known.is_closed {
                github::close(state, path, number);
            }
            let repo = state.repo(path).expect("known");
            Answer::json(201, pull(repo, repo.pull(number).expect("known")))
        }
        ("POST", ["requested_reviewers"]) => github::request(state, path, asked, number),
        ("GET", ["reviews"]) => {
            let inline = |id: u64| repo.inline.iter().filter(|it| it.review == Some(id)).count();
            let all = repo.reviews.iter().filter(|it| it.number == number).map(|it| {
                let word = match it.state.as_str() {
                    "CHANGES_REQUESTED" => "REQUEST_CHANGES",
                    "COMMENTED" => "COMMENT",
                    word => word,
                };
                json!({
                    "id": it.id, "state": word, "body": it.body, "user": user(&it.author), "commit_id": it.commit, "dismissed": false,
                    "submitted_at": time(it.at), "comments_count": inline(it.id), "html_url": "",
                })
            });
            let asked_for =
                json!({"id": 1, "state": "REQUEST_REVIEW", "body": "", "user": null, "comments_count": 0});
            asked.page(PAGE, std::iter::once(asked_for).chain(all).collect(), bare_list)
        }
        ("GET", ["files"]) => {
            let known = repo.pull(number).expect("known").clone();
            asked.page(PAGE, shapes::files(&asked.root, repo, &known), bare_list)
        }
        ("GET", ["reviews", id, "comments"]) => {
            let all =
                repo.inline.iter().filter(|it| it.review.is_some_and(|review| review.to_string() == **id));
            let one = |it: &super::state::Said| {
                json!({
                    "id": it.id, "body": it.body, "user": user(&it.author), "path": it.path, "position": it.line, "commit_id": it.commit,
                    "pull_request_review_id": it.review, "created_at": time(it.at), "updated_at": time(it.at), "html_url": "",
                })
            };
            Answer::json(200, Value::Array(all.map(one).collect()))
        }
        ("POST", ["merge"]) => {
            if known.is_closed || known.is_draft {
                return Answer::error(405, "Please try again later");
            }
            if asked.body["head_commit_id"].as_str().is_some_and(|sha| sha != known.head_sha) {
                return Answer::error(409, "head out of date");
            }
            let method = asked.text("Do");
            assert!(["merge", "squash"].contains(&method.as_str()), "{method}");
            let words = [asked.text("MergeTitleField"), asked.text("MergeMessageField")];
            match github::merged(state, path, number, &method, words) {
                Some(_) => Answer::empty(200),
                None => Answer::error(405, "Please try again later"),
            }
        }
        _ => Answer::error(404, "The target couldn't be found."),
    }
}

fn open(state: &mut State, path: &str, asked: &Asked) -> Answer {
    let (head, base, title) = (asked.text("head"), asked.text("base"), asked.text("title"));
    assert!(asked.body.get("draft").is_none(), "it knows no such field");
    let repo = state.repo(path).expect("known");
    let (Some(head_sha), Some(base_sha)) = (repo.head(&head), repo.head(&base)) else {
        return Answer::error(404, "The target couldn't be found.");
    };
    if repo.pulls.iter().any(|pull| !pull.is_closed && pull.head == head && pull.base == base) {
        return Answer::error(409, "pull request already exists for these targets");
    }
    let (author, body) = (asked.login.clone(), asked.text("body"));
    let is_draft = title.starts_with("WIP: ");
    let title = title.trim_start_matches("WIP: ").to_owned();
    let opened = Pull { author, title, body, head, base, head_sha, base_sha, is_draft, ..Pull::default() };
    let number = github::insert(state, path, opened);
    let repo = state.repo(path).expect("known");
    Answer::json(201, pull(repo, repo.pull(number).expect("opened")))
}

fn user(login: &str) -> Value {
    json!({"login": login, "id": 3, "full_name": ""})
}

fn repository(repo: &Repo) -> Value {
    json!({
        "id": repo.id, "full_name": repo.path, "default_branch": repo.default_branch(), "private": true, "archived": repo.is_archived,
        "allow_merge_commits": true, "allow_squash_merge": true, "allow_rebase": false,
        "permissions": {"admin": repo.own_right == "admin", "push": repo.own_right != "read", "pull": true},
    })
}

fn pull(repo: &Repo, pull: &Pull) -> Value {
    let title = if pull.is_draft { format!("WIP: {}", pull.title) } else { pull.title.clone() };
    let is_gone = repo.head(&pull.head).is_none();
    let head = if is_gone { format!("refs/pull/{}/head", pull.number) } else { pull.head.clone() };
    json!({
        "number": pull.number, "title": title, "body": pull.body, "user": user(&pull.author), "html_url": format!("/{}/pulls/{}", repo.path, pull.number),
        "state": if pull.is_closed { "closed" } else { "open" }, "draft": pull.is_draft, "merged": pull.merge_commit.is_some(),
        "merge_commit_sha": pull.merge_commit, "mergeable": repo.is_mergeable(pull) && !pull.is_draft,
        "head": {"label": pull.head, "ref": head, "sha": pull.head_sha, "repo": {"full_name": repo.path}},
        "base": {"label": pull.base, "ref": pull.base, "sha": pull.base_sha, "repo": {"full_name": repo.path}},
    })
}

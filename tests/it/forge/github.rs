//! The calls of GitHub's API that mimir makes.

use serde_json::{Value, json};

use super::api::{Answer, Asked, bare_list};
use super::hooks;
use super::shapes;
use super::state::{Pull, Repo, Said, State};

const PAGE: (&str, usize, usize) = ("per_page", 30, 100);

pub fn answer(state: &mut State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let method = asked.method.as_str();
    match (method, path.as_slice()) {
        ("GET", ["meta"]) => Answer::json(200, json!({"verifiable_password_authentication": false})),
        ("GET", ["user"]) if asked.only.is_some() || state.tells_nobody => {
            Answer::error(403, "Resource not accessible by integration")
        }
        ("GET", ["user"]) => Answer::json(200, shapes::own_user(&asked.root, &asked.login)),
        ("GET", ["app"]) => Answer::json(200, shapes::app(&asked.root)),
        ("POST", ["app", "installations", "9", "access_tokens"]) => app_token(state, asked),
        ("POST", ["graphql"]) => graphql(state, asked),
        (_, ["repos", owner, name, rest @ ..]) => {
            let path = format!("{owner}/{name}");
            let is_hidden = asked.only.as_ref().is_some_and(|only| *only != path);
            match state.repo(&path).is_none() || is_hidden {
                true => Answer::error(404, "Not Found"),
                false => of_repository(state, &path, asked, method, rest),
            }
        }
        _ => Answer::error(404, "Not Found"),
    }
}

fn of_repository(state: &mut State, path: &str, asked: &Asked, method: &str, rest: &[&str]) -> Answer {
    let installed = state.app.as_ref().is_some_and(|app| app.repositories.iter().any(|it| it == path));
    let repo = state.repo(path).expect("known");
    repo.refresh();
    let root = &asked.root;
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match (method, rest) {
        ("GET", []) => Answer::json(200, shapes::whole_repository(root, repo)),
        ("GET", ["installation"]) if installed => Answer::json(200, shapes::installation(root, 9)),
        ("GET", ["collaborators", user, "permission"]) => permission(repo, asked, user),
        ("GET", ["commits"]) => commits(repo, asked),
        ("GET", ["commits", sha, "check-runs"]) => {
            let sha = repo.head(sha).unwrap_or_else(|| (*sha).to_owned());
            let runs =
                repo.checks.iter().filter(|run| run.sha == sha).map(|run| shapes::check_run(root, repo, run));
            asked.page(
                PAGE,
                runs.collect(),
                |items, total| json!({"total_count": total, "check_runs": items}),
            )
        }
        ("GET", ["commits", sha, "check-suites"]) => {
            let sha = repo.head(sha).unwrap_or_else(|| (*sha).to_owned());
            let all = repo.suites(&sha).into_iter().map(|suite| shapes::check_suite(root, repo, &suite));
            asked.page(
                PAGE,
                all.collect(),
                |items, total| json!({"total_count": total, "check_suites": items}),
            )
        }
        ("GET", ["commits", sha, "status"]) => combined(repo, asked, sha),
        ("GET", ["check-runs", id, "annotations"]) => {
            let run = repo.checks.iter().find(|run| run.id == number(id));
            let all =
                run.map(|run| run.annotations.iter().map(shapes::annotation).collect()).unwrap_or_default();
            asked.page(PAGE, all, bare_list)
        }
        ("GET", ["actions", "jobs", id, "logs"]) => {
            let run = repo.checks.iter().find(|run| run.id == number(id));
            match run.and_then(|run| run.log.clone()) {
                Some(log) => Answer::empty(302).with("location", log),
                None => Answer::error(404, "Not Found"),
            }
        }
        ("DELETE", ["git", "refs", "heads", branch @ ..]) => delete_branch(state, path, &branch.join("/")),
        ("GET", ["pulls"]) => pulls(repo, asked),
        ("POST", ["pulls"]) => open(state, path, asked),
        ("GET", ["issues", n]) => issue(repo, asked, number(n)),
        ("PATCH", ["issues", n]) => {
            edit_issue(state, path, asked, number(n));
            issue(state.repo(path).expect("known"), asked, number(n))
        }
        ("GET", ["issues", n, "comments"]) => {
            let said = repo.comments.iter().filter(|said| said.number == number(n));
            asked.page(PAGE, said.map(|said| shapes::comment(root, repo, said)).collect(), bare_list)
        }
        ("POST", ["issues", n, "comments"]) => {
            let repo = say(state, path, &asked.login, number(n), &asked.text("body"));
            let said = repo.comments.last().expect("it was just said");
            Answer::json(201, shapes::comment(root, repo, said))
        }
        ("GET", ["hooks", id, "deliveries"]) => {
            let made = repo.deliveries.iter().rev().filter(|it| it.hook == number(id) && it.status > 0);
            asked.page(PAGE, made.map(|made| shapes::delivery(repo, made)).collect(), bare_list)
        }
        ("POST", ["hooks", _, "deliveries", id, "attempts"]) => match hooks::again(state, path, number(id)) {
            true => Answer::json(202, json!({})),
            false => Answer::error(422, "there is no such delivery"),
        },
        (_, ["pulls", n, rest @ ..]) if repo.pull(number(n)).is_some() => {
            of_pull(state, path, asked, number(n), rest)
        }
        _ => Answer::error(404, "Not Found"),
    }
}

fn of_pull(state: &mut State, path: &str, asked: &Asked, number: u64, rest: &[&str]) -> Answer {
    let repo = state.repo(path).expect("known");
    let pull = repo.pull(number).expect("known").clone();
    let root = &asked.root;
    match (asked.method.as_str(), rest) {
        ("GET", []) => Answer::json(200, shapes::pull(root, repo, &pull, true)),
        ("PATCH", []) => {
            edit(state, path, asked, number);
            let repo = state.repo(path).expect("known");
            Answer::json(200, shapes::pull(root, repo, repo.pull(number).expect("known"), true))
        }
        ("PUT", ["merge"]) => merge(state, path, asked, &pull),
        ("POST", ["requested_reviewers"]) => request(state, path, asked, number),
        ("GET", ["reviews"]) => {
            let reviews = repo.reviews.iter().filter(|it| it.number == number);
            asked.page(PAGE, reviews.map(|it| shapes::review(root, repo, it)).collect(), bare_list)
        }
        ("GET", ["files"]) => asked.page(PAGE, shapes::files(root, repo, &pull), bare_list),
        ("GET", ["comments"]) => {
            let said = repo.inline.iter().filter(|it| it.number == number);
            asked.page(PAGE, said.map(|it| shapes::inline(root, repo, it)).collect(), bare_list)
        }
        ("POST", ["comments", first, "replies"]) => {
            let first =
                repo.inline.iter().find(|it| it.id.to_string() == **first && it.reply_to.is_none()).cloned();
            let Some(first) = first else { return Answer::error(404, "Not Found") };
            let said = Said {
                author: asked.login.clone(),
                body: asked.text("body"),
                reply_to: Some(first.id),
                ..first
            };
            state.effects.replies += 1;
            let repo = say_inline(state, path, said);
            Answer::json(201, shapes::inline(root, repo, repo.inline.last().expect("it was just said")))
        }
        _ => Answer::error(404, "Not Found"),
    }
}

fn permission(repo: &Repo, asked: &Asked, user: &str) -> Answer {
    // Nobody of that name at all.
    if user.starts_with("nobody") {
        return Answer::error(404, "Not Found");
    }
    let role = repo.rights.get(user).copied().unwrap_or("none");
    let coarse = match role {
        "maintain" => "write",
        "triage" => "read",
        role => role,
    };
    let mut whole = shapes::user(&asked.root, user);
    whole["role_name"] = json!(role);
    Answer::json(200, json!({"permission": coarse, "role_name": role, "user": whole}))
}

fn commits(repo: &Repo, asked: &Asked) -> Answer {
    let branch = asked.parameter("sha").unwrap_or("main").to_owned();
    let Some(head) = repo.head(&branch) else { return Answer::error(404, "Not Found") };
    let since = format!("--since={}", asked.parameter("since").unwrap_or("1970-01-02T00:00:00Z"));
    let format = "--format=%H%x1f%T%x1f%P%x1f%ct%x1f%an%x1f%s";
    let log = repo.of_commits(&["log", format, &since, &head]).expect("a commit");
    let all = log.lines().map(|line| {
        let fields: Vec<&str> = line.split('\u{1f}').collect();
        shapes::commit(&asked.root, repo, fields.try_into().expect("six fields"))
    });
    asked.page(PAGE, all.collect(), bare_list)
}

fn combined(repo: &Repo, asked: &Asked, sha: &str) -> Answer {
    let root = &asked.root;
    let sha = repo.head(sha).unwrap_or_else(|| sha.to_owned());
    let all: Vec<_> = repo.statuses.iter().filter(|status| status.sha == sha).collect();
    let any = |words: &[&str]| all.iter().any(|it| words.contains(&it.state.as_str()));
    let state = if any(&["failure", "error"]) {
        "failure"
    } else if all.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let api = format!("{root}/api/v3/repos/{}/commits/{sha}", repo.path);
    let items = all.into_iter().map(|status| shapes::status(root, status)).collect();
    asked.page(PAGE, items, |items, total| {
        json!({
            "state": state, "sha": sha, "total_count": total, "statuses": items, "commit_url": api, "url": format!("{api}/status"),
            "repository": shapes::repository(root, repo),
        })
    })
}

fn pulls(repo: &Repo, asked: &Asked) -> Answer {
    let state = asked.parameter("state").unwrap_or("open");
    let head = asked.parameter("head").and_then(|head| head.split_once(':')).map(|(_, branch)| branch);
    let fits = |pull: &&Pull| {
        let is_state = state == "all" || (state == "closed") == pull.is_closed;
        is_state && head.is_none_or(|head| pull.head == head)
    };
    let all = repo.pulls.iter().rev().filter(fits).map(|pull| shapes::pull(&asked.root, repo, pull, false));
    asked.page(PAGE, all.collect(), bare_list)
}

fn invalid(message: &str) -> Answer {
    Answer::json(
        422,
        json!({
            "message": "Validation Failed", "documentation_url": "https://docs.forge.test/rest",
            "errors": [{"resource": "PullRequest", "code": "custom", "message": message}],
        }),
    )
}

fn open(state: &mut State, path: &str, asked: &Asked) -> Answer {
    let (head, base) = (asked.text("head"), asked.text("base"));
    let is_draft = asked.body["draft"] == true;
    let repo = state.repo(path).expect("known");
    let (Some(head_sha), Some(base_sha)) = (repo.head(&head), repo.head(&base)) else {
        return invalid("head or base is not there");
    };
    if head_sha == base_sha {
        return invalid(&format!("No commits between {base} and {head}"));
    }
    if is_draft && repo.has_no_drafts {
        return Answer::error(422, "Draft pull requests are not supported in this repository.");
    }
    if repo.pulls.iter().any(|pull| !pull.is_closed && pull.head == head && pull.base == base) {
        return invalid(&format!("A pull request already exists for me:{head}."));
    }
    let opened = Pull {
        author: asked.login.clone(),
        title: asked.text("title"),
        body: asked.text("body"),
        head,
        base,
        head_sha,
        base_sha,
        is_draft,
        ..Pull::default()
    };
    let number = insert(state, path, opened);
    let repo = state.repo(path).expect("known");
    Answer::json(201, shapes::pull(&asked.root, repo, repo.pull(number).expect("opened"), true))
}

/// Takes a new pull request.
pub fn insert(state: &mut State, path: &str, mut pull: Pull) -> u64 {
    pull.at = state.tick();
    state.effects.pulls += 1;
    let repo = state.repo(path).expect("known");
    repo.next_number += 1;
    pull.number = repo.next_number;
    let number = pull.number;
    repo.pulls.push(pull);
    hooks::of_pull(state, path, number, "opened", |_| {});
    number
}

fn edit(state: &mut State, path: &str, asked: &Asked, number: u64) {
    let repo = state.repo(path).expect("known");
    let pull = repo.pull_mut(number).expect("known");
    if let Some(title) = asked.body["title"].as_str() {
        pull.title = title.to_owned();
    }
    if let Some(body) = asked.body["body"].as_str() {
        pull.body = body.to_owned();
    }
    if asked.body["state"] == "closed" && !pull.is_closed {
        close(state, path, number);
    }
}

/// Without a merge.
pub fn close(state: &mut State, path: &str, number: u64) {
    state.effects.closed += 1;
    state.repo(path).expect("known").pull_mut(number).expect("known").is_closed = true;
    hooks::of_pull(state, path, number, "closed", |_| {});
}

/// Asks people for a look.
pub fn request(state: &mut State, path: &str, asked: &Asked, number: u64) -> Answer {
    let repo = state.repo(path).expect("known");
    let wanted: Vec<String> = asked.body["reviewers"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if wanted.iter().any(|user| !repo.rights.contains_key(user)) {
        return Answer::error(422, "Reviews may only be requested from collaborators.");
    }
    let pull = repo.pull_mut(number).expect("known");
    let before = pull.reviewers.len();
    for user in wanted {
        if !pull.reviewers.contains(&user) {
            pull.reviewers.push(user);
        }
    }
    let new = pull.reviewers.len() - before;
    state.effects.review_requests += new;
    let repo = state.repo(path).expect("known");
    Answer::json(201, shapes::pull(&asked.root, repo, repo.pull(number).expect("known"), false))
}

fn merge(state: &mut State, path: &str, asked: &Asked, pull: &Pull) -> Answer {
    let method = match asked.body["merge_method"].as_str() {
        Some("rebase") => return Answer::error(405, "Rebase merges are not allowed on this repository."),
        Some(method) => method.to_owned(),
        None => "merge".to_owned(),
    };
    if pull.is_closed || pull.is_draft {
        return Answer::error(405, "Pull Request is not mergeable");
    }
    if asked.body["sha"].as_str().is_some_and(|sha| sha != pull.head_sha) {
        return Answer::error(409, "Head branch was modified. Review and try the merge again.");
    }
    let words = [asked.text("commit_title"), asked.text("commit_message")];
    match merged(state, path, pull.number, &method, words) {
        Some(sha) => Answer::json(
            200,
            json!({"sha": sha, "merged": true, "message": "Pull Request successfully merged"}),
        ),
        None => Answer::error(405, "Merge conflict"),
    }
}

/// Merges it, if that can be done, with a title and a text where they are given.
pub fn merged(
    state: &mut State,
    path: &str,
    number: u64,
    method: &str,
    [title, text]: [String; 2],
) -> Option<String> {
    let repo = state.repo(path)?;
    let sha = match title.is_empty() {
        true => repo.merge(number, method)?,
        false => repo.merge_as(number, method, &format!("{title}\n\n{text}"))?,
    };
    state.effects.merges += 1;
    hooks::of_pull(state, path, number, "closed", |_| {});
    hooks::pushed(state, path);
    Some(sha)
}

pub fn delete_branch(state: &mut State, path: &str, branch: &str) -> Answer {
    let repo = state.repo(path).expect("known");
    if repo.head(branch).is_none() {
        return Answer::error(422, "Reference does not exist");
    }
    if branch == repo.default_branch() {
        return Answer::error(422, "Cannot delete the default branch");
    }
    repo.bare().git(&["update-ref", "-d", &format!("refs/heads/{branch}")]);
    state.effects.deleted_branches += 1;
    Answer::empty(204)
}

/// Closes an issue, as far as somebody with that right may.
pub fn edit_issue(state: &mut State, path: &str, asked: &Asked, number: u64) {
    let repo = state.repo(path).expect("known");
    let found = repo.issues.iter_mut().find(|issue| issue.number == number && !issue.is_closed);
    let Some(issue) = found.filter(|_| asked.body["state"] == "closed") else { return };
    issue.is_closed = true;
    state.effects.closed_issues += 1;
}

fn issue(repo: &Repo, asked: &Asked, number: u64) -> Answer {
    if let Some(issue) = repo.issues.iter().find(|issue| issue.number == number) {
        return Answer::json(200, shapes::issue(&asked.root, repo, issue, false));
    }
    match repo.pull(number) {
        Some(pull) => Answer::json(200, shapes::issue(&asked.root, repo, &as_issue(pull), true)),
        None => Answer::error(404, "Not Found"),
    }
}

/// A pull request is an issue as well.
pub fn as_issue(pull: &Pull) -> super::state::Issue {
    super::state::Issue {
        number: pull.number,
        author: pull.author.clone(),
        title: pull.title.clone(),
        body: pull.body.clone(),
        labels: Vec::new(),
        is_closed: pull.is_closed,
        closed_by: pull.closed_by.clone(),
        at: pull.at,
    }
}

/// Somebody says something below.
pub fn say<'a>(state: &'a mut State, path: &str, login: &str, number: u64, body: &str) -> &'a mut Repo {
    let (id, at) = (state.id(), state.tick());
    let said = Said { id, number, author: login.to_owned(), body: body.to_owned(), at, ..Said::default() };
    state.effects.comments += 1;
    state.repo(path).expect("known").comments.push(said);
    hooks::of_comment(state, path, id);
    state.repo(path).expect("known")
}

/// Somebody says something beside a line.
pub fn say_inline<'a>(state: &'a mut State, path: &str, mut said: Said) -> &'a mut Repo {
    (said.id, said.at) = (state.id(), state.tick());
    let id = said.id;
    state.repo(path).expect("known").inline.push(said);
    hooks::of_inline(state, path, id);
    state.repo(path).expect("known")
}

fn app_token(state: &mut State, asked: &Asked) -> Answer {
    let Some(app) = state.app.clone() else { return Answer::error(404, "Not Found") };
    let wanted = asked.body["permissions"].as_object().cloned().unwrap_or_default();
    let rank = |word: &str| ["none", "read", "write", "admin"].iter().position(|it| *it == word).unwrap_or(0);
    let has = |(what, how): (&String, &Value)| {
        let granted = app.granted.get(what).map_or("none", String::as_str);
        rank(granted) >= rank(how.as_str().unwrap_or("admin"))
    };
    if !wanted.iter().all(has) {
        return Answer::error(422, "The permissions requested are not granted to this installation.");
    }
    let name = asked.body["repositories"][0].as_str().unwrap_or_default();
    let Some(path) = app.repositories.iter().find(|path| path.ends_with(&format!("/{name}"))) else {
        return Answer::error(
            422,
            "There is at least one repository that does not exist or is not accessible.",
        );
    };
    state.effects.tokens += 1;
    let token = format!("ghs_canary{:032}", state.effects.tokens);
    let until = state.now_ms() / 1000 + 3600;
    state.tokens.insert(token.clone(), (path.clone(), until * 1000));
    Answer::json(
        201,
        json!({"token": token, "expires_at": shapes::time(until), "permissions": wanted, "repository_selection": "selected"}),
    )
}

fn graphql(state: &mut State, asked: &Asked) -> Answer {
    let query = asked.text("query");
    assert!(query.contains("markPullRequestReadyForReview") && query.contains("$id: ID!"), "{query}");
    let wanted = asked.body["variables"]["id"].as_str().unwrap_or_default().to_owned();
    let found = state.repos.iter_mut().find_map(|repo| {
        let (id, path) = (repo.id, repo.path.clone());
        let pull = repo.pulls.iter_mut().find(|pull| format!("PR_{id}_{}", pull.number) == wanted)?;
        let was_draft = std::mem::take(&mut pull.is_draft);
        Some((path, pull.number, was_draft))
    });
    let Some((path, number, was_draft)) = found else {
        let error = json!({"type": "NOT_FOUND", "path": ["markPullRequestReadyForReview"], "message": "Could not resolve to a node"});
        return Answer::json(
            200,
            json!({"data": {"markPullRequestReadyForReview": null}, "errors": [error]}),
        );
    };
    if was_draft {
        state.effects.readied += 1;
        hooks::of_pull(state, &path, number, "ready_for_review", |_| {});
    }
    Answer::json(200, json!({"data": {"markPullRequestReadyForReview": {"pullRequest": {"isDraft": false}}}}))
}

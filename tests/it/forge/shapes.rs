//! What the forge knows, as GitHub writes it: whole objects, since its own description asks for all of their fields.

use serde_json::{Map, Value, json};

use super::state::{CheckRun, Delivered, Issue, OWN_SUITE, Pull, Repo, Reviewed, Said, Status, Suite};

pub fn time(seconds: u64) -> String {
    mimir::clock::rfc3339(seconds * 1000).replace(".000Z", "Z")
}

/// Where the forge is: `http://127.0.0.1:1234`.
pub type Root<'a> = &'a str;

fn number_of(login: &str) -> u64 {
    login.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003)
}

pub fn user(root: Root<'_>, login: &str) -> Value {
    let api = format!("{root}/api/v3/users/{login}");
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let mut user = json!({
        "login": login, "id": number_of(login), "node_id": format!("U_{login}"), "gravatar_id": "", "type": kind,
        "site_admin": false, "url": api, "html_url": format!("{root}/{login}"), "avatar_url": format!("{root}/avatars/{login}"),
    });
    for name in ["followers", "subscriptions", "organizations", "repos", "received_events"] {
        user[format!("{name}_url")] = json!(format!("{api}/{name}"));
    }
    for (name, more) in [
        ("following", "{/other_user}"),
        ("gists", "{/gist_id}"),
        ("starred", "{/owner}{/repo}"),
        ("events", "{/privacy}"),
    ] {
        user[format!("{name}_url")] = json!(format!("{api}/{name}{more}"));
    }
    user
}

/// Whoever asks.
pub fn own_user(root: Root<'_>, login: &str) -> Value {
    let mut whole = user(root, login);
    let more = json!({
        "name": null, "company": null, "blog": "", "location": null, "email": null, "hireable": null, "bio": null,
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "created_at": time(0), "updated_at": time(0),
    });
    extend(&mut whole, more);
    whole
}

fn extend(value: &mut Value, more: Value) {
    let more: Map<String, Value> = more.as_object().expect("an object").clone();
    value.as_object_mut().expect("an object").extend(more);
}

pub fn repository(root: Root<'_>, repo: &Repo) -> Value {
    let (owner, name) = repo.path.split_once('/').expect("two names");
    let api = format!("{root}/api/v3/repos/{}", repo.path);
    let web = format!("{root}/{}", repo.path);
    let may = |words: &[&str]| words.contains(&repo.own_right);
    let mut value = json!({
        "id": repo.id, "node_id": format!("R_{}", repo.id), "name": name, "full_name": repo.path, "private": true,
        "owner": user(root, owner), "html_url": web, "description": null, "fork": false, "url": api,
        "clone_url": format!("{web}.git"), "git_url": format!("{web}.git"), "ssh_url": format!("git@forge.test:{}.git", repo.path),
        "svn_url": web, "default_branch": repo.default_branch(), "forks": 0, "forks_count": 0, "has_downloads": true,
        "has_issues": true, "has_projects": false, "has_wiki": false, "has_pages": false, "has_discussions": false,
        "homepage": null, "language": null, "archived": repo.is_archived, "disabled": false, "mirror_url": null,
        "open_issues": 0, "open_issues_count": 0, "license": null, "pushed_at": time(0), "size": 1,
        "stargazers_count": 0, "watchers": 0, "watchers_count": 0, "created_at": time(0), "updated_at": time(0),
        "topics": [], "visibility": "private", "allow_merge_commit": true, "allow_squash_merge": true,
        "allow_rebase_merge": false, "is_template": false, "web_commit_signoff_required": false, "allow_forking": true,
        "permissions": {
            "admin": may(&["admin"]), "maintain": may(&["admin", "maintain"]), "push": may(&["admin", "maintain", "write"]),
            "triage": true, "pull": true,
        },
    });
    for name in [
        "archive",
        "assignees",
        "blobs",
        "branches",
        "collaborators",
        "comments",
        "commits",
        "compare",
        "contents",
        "contributors",
        "deployments",
        "downloads",
        "events",
        "forks",
        "git_commits",
        "git_refs",
        "git_tags",
        "hooks",
        "issue_comment",
        "issue_events",
        "issues",
        "keys",
        "labels",
        "languages",
        "merges",
        "milestones",
        "notifications",
        "pulls",
        "releases",
        "stargazers",
        "statuses",
        "subscribers",
        "subscription",
        "tags",
        "teams",
        "trees",
    ] {
        value[format!("{name}_url")] = json!(format!("{api}/{name}"));
    }
    value
}

pub fn whole_repository(root: Root<'_>, repo: &Repo) -> Value {
    let mut value = repository(root, repo);
    extend(&mut value, json!({"network_count": 0, "subscribers_count": 0}));
    value
}

pub fn pull(root: Root<'_>, repo: &Repo, pull: &Pull, is_whole: bool) -> Value {
    let n = pull.number;
    let owner = repo.path.split('/').next().expect("an owner");
    let api = format!("{root}/api/v3/repos/{}", repo.path);
    let web = format!("{root}/{}/pull/{n}", repo.path);
    let side = |branch: &str, sha: &str| json!({"label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": user(root, owner), "repo": repository(root, repo)});
    let links = [
        ("self", format!("{api}/pulls/{n}")),
        ("html", web.clone()),
        ("issue", format!("{api}/issues/{n}")),
        ("comments", format!("{api}/issues/{n}/comments")),
        ("review_comments", format!("{api}/pulls/{n}/comments")),
        ("review_comment", format!("{api}/pulls/comments{{/number}}")),
        ("commits", format!("{api}/pulls/{n}/commits")),
        ("statuses", format!("{api}/statuses/{}", pull.head_sha)),
    ];
    let closed = pull.is_closed.then(|| time(pull.at));
    let reviewers: Vec<Value> = pull.reviewers.iter().map(|login| user(root, login)).collect();
    let mut value = json!({
        "id": 5_000 + n, "node_id": format!("PR_{}_{n}", repo.id), "number": n, "state": if pull.is_closed { "closed" } else { "open" },
        "locked": false, "active_lock_reason": null, "title": pull.title, "body": pull.body, "user": user(root, &pull.author),
        "url": links[0].1, "html_url": web, "diff_url": format!("{web}.diff"), "patch_url": format!("{web}.patch"),
        "issue_url": links[2].1, "comments_url": links[3].1, "review_comments_url": links[4].1, "review_comment_url": links[5].1,
        "commits_url": links[6].1, "statuses_url": links[7].1, "created_at": time(pull.at), "updated_at": time(pull.at),
        "closed_at": closed, "merged_at": pull.merge_commit.as_ref().and(closed.clone()), "merge_commit_sha": pull.merge_commit,
        "assignee": null, "assignees": [], "requested_reviewers": reviewers, "requested_teams": [], "labels": [], "milestone": null,
        "draft": pull.is_draft, "head": side(&pull.head, &pull.head_sha), "base": side(&pull.base, &pull.base_sha),
        "_links": links.iter().map(|(name, href)| ((*name).to_owned(), json!({"href": href}))).collect::<Map<_, _>>(),
        "author_association": "NONE", "auto_merge": null,
    });
    if is_whole {
        let merger = pull.merge_commit.as_ref().map(|_| user(root, "mimir-bot"));
        extend(
            &mut value,
            json!({
                "merged": pull.merge_commit.is_some(), "mergeable": repo.is_mergeable(pull), "mergeable_state": "clean",
                "merged_by": merger, "comments": 0, "review_comments": 0, "maintainer_can_modify": false, "commits": 1,
                "additions": 1, "deletions": 0, "changed_files": 1, "rebaseable": null,
            }),
        );
    }
    value
}

pub fn issue(root: Root<'_>, repo: &Repo, issue: &Issue, is_pull: bool) -> Value {
    let n = issue.number;
    let api = format!("{root}/api/v3/repos/{}/issues/{n}", repo.path);
    let mut value = json!({
        "id": 6_000 + n, "node_id": format!("I_{}_{n}", repo.id), "number": n, "state": if issue.is_closed { "closed" } else { "open" }, "title": issue.title, "body": issue.body,
        "user": user(root, &issue.author), "labels": issue.labels.iter().map(|name| label(root, repo, name)).collect::<Vec<_>>(),
        "locked": false, "active_lock_reason": null, "assignee": null, "assignees": [], "milestone": null, "comments": 0,
        "created_at": time(issue.at), "updated_at": time(issue.at), "closed_at": null, "author_association": "NONE",
        "url": api, "repository_url": format!("{root}/api/v3/repos/{}", repo.path), "labels_url": format!("{api}/labels{{/name}}"),
        "comments_url": format!("{api}/comments"), "events_url": format!("{api}/events"),
        "html_url": format!("{root}/{}/issues/{n}", repo.path), "reactions": reactions(&api),
    });
    if let Some(closer) = issue.closed_by.as_ref().filter(|_| issue.is_closed) {
        value["closed_by"] = user(root, closer);
    }
    if is_pull {
        let url = format!("{root}/api/v3/repos/{}/pulls/{n}", repo.path);
        value["pull_request"] = json!({"url": url, "html_url": url, "diff_url": url, "patch_url": url});
    }
    value
}

/// What a pull request changes, as git counts it.
pub fn files(root: Root<'_>, repo: &Repo, pull: &Pull) -> Vec<Value> {
    let range = format!("{}...{}", pull.base_sha, pull.head_sha);
    let counted =
        repo.of_commits(&["diff", "--numstat", "--no-renames", "-z", &range]).expect("both commits");
    let lines = counted.split('\0').filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let mut count = || fields.next().and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
        let (added, removed) = (count(), count());
        Some((added, removed, fields.next()?.to_owned()))
    });
    let of = |(added, removed, path): (u64, u64, String)| {
        let web = format!("{root}/{}/blob/{}", repo.path, pull.head_sha);
        json!({
            "sha": pull.head_sha, "filename": path, "status": "modified", "additions": added, "deletions": removed,
            "changes": added + removed, "blob_url": web, "raw_url": web, "contents_url": web,
        })
    };
    lines.map(of).collect()
}

pub fn label(root: Root<'_>, repo: &Repo, name: &str) -> Value {
    json!({
        "id": number_of(name), "node_id": format!("L_{name}"), "name": name, "color": "ededed", "default": false, "description": null,
        "url": format!("{root}/api/v3/repos/{}/labels/{name}", repo.path),
    })
}

fn reactions(api: &str) -> Value {
    let mut value = json!({"url": format!("{api}/reactions"), "total_count": 0});
    for name in ["+1", "-1", "laugh", "confused", "heart", "hooray", "eyes", "rocket"] {
        value[name] = json!(0);
    }
    value
}

pub fn comment(root: Root<'_>, repo: &Repo, said: &Said) -> Value {
    let api = format!("{root}/api/v3/repos/{}/issues", repo.path);
    json!({
        "id": said.id, "node_id": format!("IC_{}", said.id), "user": user(root, &said.author), "body": said.body,
        "url": format!("{api}/comments/{}", said.id), "issue_url": format!("{api}/{}", said.number),
        "html_url": format!("{root}/{}/issues/{}#issuecomment-{}", repo.path, said.number, said.id),
        "created_at": time(said.at), "updated_at": time(said.at), "author_association": "NONE", "performed_via_github_app": null,
        "reactions": reactions(&api),
    })
}

pub fn inline(root: Root<'_>, repo: &Repo, said: &Said) -> Value {
    let api = format!("{root}/api/v3/repos/{}/pulls", repo.path);
    let (url, pull) = (format!("{api}/comments/{}", said.id), format!("{api}/{}", said.number));
    let web = format!("{root}/{}/pull/{}#discussion_r{}", repo.path, said.number, said.id);
    let mut value = json!({
        "id": said.id, "node_id": format!("PRRC_{}", said.id), "user": user(root, &said.author), "body": said.body, "url": url,
        "html_url": web, "pull_request_url": pull, "pull_request_review_id": said.review, "diff_hunk": "@@ -1 +1 @@",
        "path": said.path, "line": said.line, "original_line": said.line, "start_line": null, "original_start_line": null,
        "side": "RIGHT", "start_side": null, "position": 1, "original_position": 1, "commit_id": said.commit,
        "original_commit_id": said.commit, "created_at": time(said.at), "updated_at": time(said.at), "author_association": "NONE",
        "_links": {"self": {"href": url}, "html": {"href": web}, "pull_request": {"href": pull}}, "reactions": reactions(&url),
        "subject_type": "line",
    });
    if let Some(first) = said.reply_to {
        value["in_reply_to_id"] = json!(first);
    }
    value
}

pub fn review(root: Root<'_>, repo: &Repo, reviewed: &Reviewed) -> Value {
    let pull = format!("{root}/api/v3/repos/{}/pulls/{}", repo.path, reviewed.number);
    let web = format!("{root}/{}/pull/{}#pullrequestreview-{}", repo.path, reviewed.number, reviewed.id);
    json!({
        "id": reviewed.id, "node_id": format!("PRR_{}", reviewed.id), "user": user(root, &reviewed.author), "body": reviewed.body,
        "state": reviewed.state, "commit_id": reviewed.commit, "html_url": web, "pull_request_url": pull,
        "_links": {"html": {"href": web}, "pull_request": {"href": pull}}, "submitted_at": time(reviewed.at),
        "author_association": "NONE",
    })
}

pub fn app(root: Root<'_>) -> Value {
    json!({
        "id": 77, "slug": "mimir-test", "node_id": "A_77", "owner": user(root, "me"), "name": "mimir test", "description": null,
        "external_url": root, "html_url": format!("{root}/apps/mimir-test"), "created_at": time(0), "updated_at": time(0),
        "permissions": {"contents": "write"}, "events": ["push"],
    })
}

pub fn check_run(root: Root<'_>, repo: &Repo, run: &CheckRun) -> Value {
    let url = format!("{root}/api/v3/repos/{}/check-runs/{}", repo.path, run.id);
    let is_done = run.conclusion.is_some();
    json!({
        "id": run.id, "node_id": format!("CR_{}", run.id), "head_sha": run.sha, "name": run.name, "url": url,
        "html_url": format!("{root}/{}/runs/{}", repo.path, run.id), "details_url": format!("{root}/details/{}", run.id),
        "status": if is_done { "completed" } else { "in_progress" }, "conclusion": run.conclusion, "started_at": time(0),
        "completed_at": is_done.then(|| time(1)), "external_id": "", "check_suite": {"id": run.suite.unwrap_or(OWN_SUITE)},
        "output": {
            "title": run.name, "summary": run.summary, "text": null, "annotations_count": run.annotations.len(),
            "annotations_url": format!("{url}/annotations"),
        },
        "app": app(root), "pull_requests": [],
    })
}

pub fn check_suite(root: Root<'_>, repo: &Repo, suite: &Suite) -> Value {
    let url = format!("{root}/api/v3/repos/{}/check-suites/{}", repo.path, suite.id);
    let mut app = app(root);
    app["slug"] = json!(suite.app);
    let who = json!({"name": "Somebody", "email": "somebody@example.org"});
    json!({
        "id": suite.id, "node_id": format!("CS_{}", suite.id), "head_branch": suite.branch, "head_sha": suite.sha, "url": url,
        "status": if suite.is_done { "completed" } else if suite.runs > 0 { "in_progress" } else { "queued" },
        "conclusion": suite.is_done.then_some("success"), "before": null, "after": suite.sha, "pull_requests": [],
        "app": app, "repository": repository(root, repo), "created_at": time(0), "updated_at": time(0),
        "head_commit": {
            "id": suite.sha, "tree_id": suite.sha, "message": "a change", "timestamp": time(0), "author": who, "committer": who,
        },
        "latest_check_runs_count": suite.runs, "check_runs_url": format!("{url}/check-runs"),
    })
}

pub fn annotation((path, line, message): &(String, u64, String)) -> Value {
    json!({
        "path": path, "blob_href": "http://forge.test/blob", "start_line": line, "end_line": line, "start_column": null,
        "end_column": null, "annotation_level": "failure", "title": null, "message": message, "raw_details": null,
    })
}

pub fn status(root: Root<'_>, status: &Status) -> Value {
    json!({
        "id": status.id, "node_id": format!("S_{}", status.id), "state": status.state, "context": status.context,
        "description": status.description, "target_url": format!("{root}/ci/{}", status.id), "avatar_url": null,
        "url": format!("{root}/api/v3/statuses/{}", status.sha), "created_at": time(0), "updated_at": time(0),
    })
}

pub fn commit(root: Root<'_>, repo: &Repo, fields: [&str; 6]) -> Value {
    let [sha, tree, parents, seconds, name, message] = fields;
    let at = seconds.parse().map_or_else(|_| time(0), time);
    let api = format!("{root}/api/v3/repos/{}", repo.path);
    let who = json!({"name": name, "email": "somebody@example.org", "date": at});
    let parents: Vec<Value> = parents
        .split_whitespace()
        .map(|sha| json!({"sha": sha, "url": format!("{api}/commits/{sha}"), "html_url": format!("{api}/commits/{sha}")}))
        .collect();
    json!({
        "sha": sha, "node_id": format!("C_{sha}"), "url": format!("{api}/commits/{sha}"), "html_url": format!("{root}/{}/commit/{sha}", repo.path),
        "comments_url": format!("{api}/commits/{sha}/comments"), "author": null, "committer": null, "parents": parents,
        "commit": {
            "author": who, "committer": who, "message": message, "comment_count": 0, "url": format!("{api}/git/commits/{sha}"),
            "tree": {"sha": tree, "url": format!("{api}/git/trees/{tree}")},
        },
    })
}

pub fn delivery(repo: &Repo, made: &Delivered) -> Value {
    json!({
        "id": made.id, "guid": made.guid, "delivered_at": time(made.at), "redelivery": made.is_redelivery, "duration": 0.1,
        "status": if made.status == 200 { "OK" } else { "Invalid HTTP Response" }, "status_code": made.status,
        "event": made.event, "action": made.action, "installation_id": null, "repository_id": repo.id, "throttled_at": null,
    })
}

pub fn installation(root: Root<'_>, id: u64) -> Value {
    json!({
        "id": id, "app_id": 77, "app_slug": "mimir-test", "target_id": 1, "target_type": "User", "single_file_name": null,
        "repository_selection": "selected", "access_tokens_url": format!("{root}/api/v3/app/installations/{id}/access_tokens"),
        "html_url": format!("{root}/settings/installations/{id}"), "repositories_url": format!("{root}/api/v3/installation/repositories"),
        "events": [], "account": user(root, "me"), "permissions": {"contents": "write"}, "created_at": time(0),
        "updated_at": time(0), "suspended_by": null, "suspended_at": null,
    })
}

//! Messages of a forge: what happens to pull requests wakes the runs that made them, what people ask for in issues may
//! begin one. The same words come from Gitea and Forgejo.

use serde_json::Value;

use super::headers::Headers;
use super::notice::{Matter, Notice, event_name, word};
use crate::model::git::Repository;
use crate::model::loose;
use crate::model::run::{Evidence, RunSubject};

/// The longest text of an issue or a comment that is kept.
const TEXT: usize = 12_000;
/// So many pull requests of one message are woken.
const PULLS: usize = 50;

/// Reads one. `host` is the forge's, where it is configured.
pub(super) fn read(host: Option<&str>, headers: &Headers, said: &Value) -> Notice {
    let kind =
        headers.word("x-github-event").or_else(|| headers.word("x-gitea-event")).or_else(|| guess(said));
    let action = word(said, "/action");
    let kind_name = kind.clone().unwrap_or_default();
    let repository = repository(host, said);
    let event = event_name(kind, action.clone());
    let notice = Notice { event, repository: repository.clone(), ..Notice::default() };
    let action = action.unwrap_or_default();
    let nothing = |why: String| Notice { reason: Some(why), ..notice.clone() };
    if kind_name == "ping" {
        return nothing("the forge can reach us: the hook works".to_owned());
    }
    let Some(repository) = repository else {
        return nothing("it does not say of which repository it is".to_owned());
    };
    let sender = loose::slug(said, "/sender/login");
    let by = sender.as_deref().map(|login| format!(" by {login}")).unwrap_or_default();
    let why = format!("{repository}: {}{by}", notice.event);
    let woken = |wakes: Vec<String>| match wakes.is_empty() {
        true => nothing("it is about no pull request".to_owned()),
        false => Notice { wakes, why: why.clone(), ..notice.clone() },
    };
    let pull = |number: u64| format!("pull:{repository}#{number}");
    let branch = |name: &str| format!("branch:{repository}/{name}");
    match kind_name.as_str() {
        "pull_request"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "pull_request_review_thread"
        | "pull_request_target" => {
            let number =
                loose::number(said, "/pull_request/number").or_else(|| loose::number(said, "/number"));
            woken(number.map(pull).into_iter().collect())
        }
        "check_suite" | "check_run" | "workflow_run" => {
            let inner = said.pointer(&format!("/{kind_name}")).unwrap_or(&Value::Null);
            let numbers = loose::items(inner, "/pull_requests").iter().take(PULLS);
            let mut wakes: Vec<String> =
                numbers.filter_map(|pull| loose::number(pull, "/number")).map(pull).collect();
            let head = loose::first_text(inner, &["/head_branch", "/check_suite/head_branch"], 200);
            wakes.extend(head.filter(|name| is_branch(name)).map(|name| branch(&name)));
            woken(wakes)
        }
        "status" => {
            let names = loose::items(said, "/branches").iter().take(PULLS);
            let names = names.filter_map(|item| loose::text(item, "/name", 200));
            woken(names.filter(|name| is_branch(name)).map(|name| branch(&name)).collect())
        }
        "push" => {
            let name = loose::text(said, "/ref", 200);
            let name = name.as_deref().and_then(|name| name.strip_prefix("refs/heads/"));
            woken(name.filter(|name| is_branch(name)).map(branch).into_iter().collect())
        }
        "issue_comment" | "issues" => {
            let Some(number) = loose::number(said, "/issue/number") else {
                return nothing("it does not say of which issue it is".to_owned());
            };
            // To a forge a pull request is an issue as well.
            if said
                .pointer("/issue/pull_request")
                .is_some_and(|pull| !pull.is_null() && pull != &Value::Bool(false))
                || said.pointer("/is_pull") == Some(&Value::Bool(true))
            {
                return woken(vec![pull(number)]);
            }
            of_issue(
                &kind_name,
                &action,
                &repository,
                number,
                said,
                Notice { why: why.clone(), ..notice.clone() },
            )
        }
        _ => nothing(format!("nothing follows from {}", notice.event)),
    }
}

/// Which message it is, where no header says it.
fn guess(said: &Value) -> Option<String> {
    let has = |name: &str| said.get(name).is_some_and(Value::is_object);
    let name = match () {
        () if has("review") => "pull_request_review",
        () if has("pull_request") && has("comment") => "pull_request_review_comment",
        () if has("pull_request") => "pull_request",
        () if has("issue") && has("comment") => "issue_comment",
        () if has("issue") => "issues",
        () if has("check_suite") => "check_suite",
        () if has("check_run") => "check_run",
        () if said.get("zen").is_some() => "ping",
        () if said.get("ref").is_some() && said.get("commits").is_some() => "push",
        () if said.get("branches").is_some() && said.get("state").is_some() => "status",
        () => return None,
    };
    Some(name.to_owned())
}

fn repository(host: Option<&str>, said: &Value) -> Option<Repository> {
    let path = loose::text(said, "/repository/full_name", 200)?;
    let said_host = || {
        let address = loose::text(said, "/repository/html_url", 500)?;
        Repository::parse(&address).ok().map(|found| found.host().to_owned())
    };
    let host = host.map(str::to_owned).or_else(said_host).unwrap_or_else(|| "github.com".to_owned());
    Repository::new(&host, &path).ok()
}

/// What git takes for the name of a branch, as far as it can become part of a name of ours.
fn is_branch(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    !name.is_empty() && name.chars().all(plain)
}

fn of_issue(
    kind: &str,
    action: &str,
    repository: &Repository,
    number: u64,
    said: &Value,
    notice: Notice,
) -> Notice {
    let name = format!("issue:{repository}#{number}");
    let wakes = vec![name.clone()];
    let begins = matches!(
        (kind, action),
        ("issues", "labeled" | "opened" | "reopened" | "label_updated") | ("issue_comment", "created")
    );
    let asked_by = loose::slug(said, if kind == "issues" { "/sender/login" } else { "/comment/user/login" });
    let (true, Some(asked_by)) = (begins, asked_by) else {
        return Notice { wakes, ..notice };
    };
    let title = loose::text(said, "/issue/title", 300).unwrap_or_else(|| format!("issue {number}"));
    let author = loose::slug(said, "/issue/user/login").unwrap_or_else(|| "somebody".to_owned());
    let mut evidence = vec![Evidence {
        name: "issue text".to_owned(),
        source: format!("github:{author}"),
        text: loose::text(said, "/issue/body", TEXT).unwrap_or_default(),
    }];
    let comment = (kind == "issue_comment").then(|| loose::text(said, "/comment/body", TEXT)).flatten();
    evidence.extend(comment.clone().map(|text| Evidence {
        name: "comment".to_owned(),
        source: format!("github:{asked_by}"),
        text,
    }));
    // Of a label that was given now, that one; otherwise those that it has.
    let label = loose::text(said, "/label/name", 100);
    let labels = match label {
        Some(label) if action == "labeled" => vec![label],
        _ => {
            let all = loose::items(said, "/issue/labels").iter().take(100);
            all.filter_map(|label| loose::first_text(label, &["/name", ""], 100)).collect()
        }
    };
    Notice {
        wakes,
        matter: Some(Matter {
            key: name.clone(),
            name: Some(name),
            title: loose::line(&format!("#{number} {title}"), 200),
            subject: RunSubject::Issue {
                repository: repository.clone(),
                number,
                asked_by,
                url: loose::text(said, "/issue/html_url", 500)
                    .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
                    .map(|url| loose::line(&url, 500)),
            },
            repository: Some(repository.clone()),
            evidence,
            labels,
            comment,
            from: Some(repository.path().to_owned()),
            ..Matter::default()
        }),
        ..notice
    }
}

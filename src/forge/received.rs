//! From a forge's JSON to mimir's words. Pure: feed it a recorded answer in a test.

use serde_json::Value;

use super::error::ForgeError;
use super::json::{Json, cut};
use crate::model::forge::{
    ChangedFile, Check, CheckKind, CheckState, Comment, CommentKind, Commit, HookDelivery, Issue,
    MergeMethod, OpenState, Permission, PullRequest, RepositoryInfo, Review, ReviewState,
};

/// The most that is kept of what a check says of itself.
const LONGEST_EXCERPT: usize = 4_000;
/// How Gitea marks a draft, in small letters.
const DRAFT_WORDS: [&str; 4] = ["wip:", "[wip]", "draft:", "[draft]"];

/// A title without the words that make a draft of it, and whether there were some.
pub(super) fn without_draft_words(title: &str) -> (&str, bool) {
    for word in DRAFT_WORDS {
        let begins = title.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
        if begins {
            return (title[word.len()..].trim_start(), true);
        }
    }
    (title, false)
}

fn lacks(what: &str, field: &str) -> ForgeError {
    ForgeError::Transient(format!("what it said about {what} lacks `{field}`"))
}

fn open_state(it: Json<'_>) -> OpenState {
    if it.at("/state").text() == "open" { OpenState::Open } else { OpenState::Closed }
}

/// Git's ids are the same in both cases; forges write small letters.
fn sha(it: Json<'_>) -> String {
    it.text().to_ascii_lowercase()
}

pub(super) fn repository(value: &Value) -> Result<RepositoryInfo, ForgeError> {
    let it = Json::of(value);
    let default_branch = it.at("/default_branch").some_text();
    // GitHub shows who may not push nothing of this; Gitea has words of its own.
    let methods = [
        (MergeMethod::Merge, "/allow_merge_commit", "/allow_merge_commits"),
        (MergeMethod::Squash, "/allow_squash_merge", "/allow_squash_merge"),
        (MergeMethod::Rebase, "/allow_rebase_merge", "/allow_rebase"),
    ];
    let said = |one: &str, other: &str| it.at(one).yes_or_no().or_else(|| it.at(other).yes_or_no());
    let nothing_is_said = methods.iter().all(|(_, one, other)| said(one, other).is_none());
    let allowed = methods
        .into_iter()
        .filter(|(_, one, other)| nothing_is_said || said(one, other) == Some(true))
        .map(|(method, ..)| method);
    let may = |word: &str| it.at("/permissions").at(word).is_yes();
    Ok(RepositoryInfo {
        path: it.at("/full_name").text(),
        default_branch: default_branch.ok_or_else(|| lacks("the repository", "default_branch"))?,
        is_private: it.at("/private").is_yes(),
        is_archived: it.at("/archived").is_yes(),
        merge_methods: allowed.collect(),
        permission: [
            (Permission::Admin, "/admin"),
            (Permission::Write, "/maintain"),
            (Permission::Write, "/push"),
            (Permission::Read, "/triage"),
            (Permission::Read, "/pull"),
        ]
        .into_iter()
        .find(|(_, word)| may(word))
        .map_or(Permission::None, |(permission, _)| permission),
    })
}

/// Of a collaborator. GitHub's `permission` knows four words, Gitea's one more.
pub(super) fn permission(value: &Value) -> Permission {
    match Json::of(value).at("/permission").text().as_str() {
        "admin" | "owner" => Permission::Admin,
        "write" | "maintain" => Permission::Write,
        "read" | "triage" => Permission::Read,
        _ => Permission::None,
    }
}

pub(super) fn pull(value: &Value) -> Result<PullRequest, ForgeError> {
    let it = Json::of(value);
    let number = it.at("/number").number().ok_or_else(|| lacks("a pull request", "number"))?;
    let head_sha = sha(it.at("/head/sha"));
    if head_sha.is_empty() {
        return Err(lacks("a pull request", "head.sha"));
    }
    let title = it.at("/title").text();
    let (bare, has_words) = without_draft_words(&title);
    // GitHub has a field for it, and a title may say there what it likes.
    let (title, is_draft) = match it.at("/draft").yes_or_no() {
        Some(is_draft) => (if is_draft && has_words { bare.to_owned() } else { title.clone() }, is_draft),
        None => (bare.to_owned(), has_words),
    };
    // A list has no `merged`, but the time.
    let merged = it.at("/merged").is_yes() || it.at("/merged_at").is_there();
    Ok(PullRequest {
        number,
        url: it.at("/html_url").text(),
        head_sha,
        head_ref: head_ref(it),
        head_repository: it.at("/head/repo/full_name").some_text(),
        base_ref: it.at("/base/ref").text(),
        base_sha: sha(it.at("/base/sha")),
        state: open_state(it),
        is_draft,
        merged,
        // Before that it is a merge that the forge tried.
        merge_commit: Some(sha(it.at("/merge_commit_sha"))).filter(|sha| merged && !sha.is_empty()),
        mergeable: it.at("/mergeable").yes_or_no(),
        title,
        body: it.at("/body").text(),
        author: it.at("/user/login").text(),
    })
}

/// When the branch is gone, Gitea calls it by the pull request; the label has its name.
fn head_ref(pull: Json<'_>) -> String {
    let name = pull.at("/head/ref").text();
    if name.starts_with("refs/pull/") { pull.at("/head/label").text() } else { name }
}

/// None of what is a request for a review in Gitea.
pub(super) fn review(value: &Value) -> Option<Review> {
    let it = Json::of(value);
    let word = it.at("/state").text();
    let state = match word.as_str() {
        "REQUEST_REVIEW" => return None,
        _ if it.at("/dismissed").is_yes() => ReviewState::Dismissed,
        "APPROVED" => ReviewState::Approved,
        "CHANGES_REQUESTED" | "REQUEST_CHANGES" => ReviewState::ChangesRequested,
        "COMMENTED" | "COMMENT" => ReviewState::Commented,
        "DISMISSED" => ReviewState::Dismissed,
        "PENDING" => ReviewState::Pending,
        _ => ReviewState::Unknown,
    };
    Some(Review {
        id: it.at("/id").number()?,
        author: it.at("/user/login").text(),
        state,
        body: it.at("/body").text(),
        commit: sha(it.at("/commit_id")),
        at: it.at("/submitted_at").time().unwrap_or(0),
    })
}

/// A review's own text, as something that was said; none when it has none, or is not handed in.
pub(super) fn comment_of_review(value: &Value) -> Option<Comment> {
    let review = review(value).filter(|it| !it.body.trim().is_empty() && it.state != ReviewState::Pending)?;
    let it = Json::of(value);
    Some(Comment {
        kind: CommentKind::Review,
        id: review.id,
        author: review.author,
        is_bot: is_bot(it),
        body: review.body,
        path: None,
        line: None,
        reply_to: None,
        review: Some(review.id),
        at: review.at,
        edited_at: it.at("/updated_at").time().unwrap_or(review.at).max(review.at),
        url: it.at("/html_url").text(),
    })
}

pub(super) fn comment(value: &Value, kind: CommentKind) -> Option<Comment> {
    let it = Json::of(value);
    let at = it.at("/created_at").time().unwrap_or(0);
    // GitHub gives the line, and null when it is gone; with Gitea, which has no such field, it is the position.
    let line = match value.get("line") {
        Some(line) => Json::of(line).number(),
        None => it.at("/position").number(),
    };
    let is_inline = kind == CommentKind::Inline;
    Some(Comment {
        kind,
        id: it.at("/id").number()?,
        author: it.at("/user/login").text(),
        is_bot: is_bot(it),
        body: it.at("/body").text(),
        path: it.at("/path").some_text().filter(|_| is_inline),
        line: line.filter(|_| is_inline),
        reply_to: it.at("/in_reply_to_id").number(),
        review: it.at("/pull_request_review_id").number(),
        at,
        edited_at: it.at("/updated_at").time().unwrap_or(at).max(at),
        url: it.at("/html_url").text(),
    })
}

fn is_bot(it: Json<'_>) -> bool {
    it.at("/user/type").text() == "Bot"
        || it.at("/performed_via_github_app/id").is_there()
        || it.at("/user/login").text().ends_with("[bot]")
}

/// A run of a program.
pub(super) fn check_run(value: &Value) -> Option<Check> {
    let it = Json::of(value);
    let (status, conclusion) = (it.at("/status").text(), it.at("/conclusion").some_text());
    let state = match (status.as_str(), conclusion.as_deref()) {
        ("completed", Some("success" | "neutral" | "skipped")) => CheckState::Passed,
        ("completed", Some("failure" | "timed_out" | "cancelled" | "startup_failure" | "stale")) => {
            CheckState::Failed
        }
        // `action_required` waits for a person.
        _ => CheckState::Pending,
    };
    let said = ["/output/title", "/output/summary", "/output/text"];
    let said: Vec<String> = said.iter().filter_map(|field| it.at(field).some_text()).collect();
    Some(Check {
        kind: CheckKind::Run,
        id: it.at("/id").number()?,
        name: it.at("/name").text(),
        state,
        status,
        conclusion,
        url: it.at("/html_url").some_text().or_else(|| it.at("/details_url").some_text()),
        excerpt: cut(&said.join("\n"), LONGEST_EXCERPT).to_owned(),
    })
}

/// The suite that a run is of.
pub(super) fn suite_of(run: &Value) -> Option<u64> {
    Json::of(run).at("/check_suite/id").number()
}

/// The number of a suite.
pub(super) fn id_of(suite: &Value) -> Option<u64> {
    Json::of(suite).at("/id").number()
}

/// The suites that programs made for other branches than that one, as far as the same program made one for it as well. A
/// program that has one suite for each commit says the branch that it saw first. Of forks GitHub says no branch
/// (docs.github.com, "Check suites": null for a push to a fork).
pub(super) fn suites_of_others(suites: &[Value], branch: &str) -> Vec<u64> {
    let app = |suite: &Value| Json::of(suite).at("/app/id").number();
    let is_for = |suite: &Value| Json::of(suite).at("/head_branch").some_text().map(|it| it == branch);
    let with_ours: Vec<u64> =
        suites.iter().filter(|suite| is_for(suite) == Some(true)).filter_map(app).collect();
    let others = suites.iter().filter(|suite| is_for(suite) != Some(true));
    others.filter(|suite| app(suite).is_some_and(|app| with_ours.contains(&app))).filter_map(id_of).collect()
}

/// Whether a suite of runs has not ended: more of them may come, such as of a job that waits for another. One without any
/// run is no sign of that: GitHub has one for each app that is told of commits, whether or not it ever runs something.
pub(super) fn is_suite_open(suite: &Value, with_runs: &[u64]) -> bool {
    let it = Json::of(suite);
    let has_runs = it.at("/latest_check_runs_count").number().is_some_and(|count| count > 0)
        || it.at("/id").number().is_some_and(|id| with_runs.contains(&id));
    has_runs && it.at("/status").text() != "completed"
}

/// A status that somebody set. GitHub calls it `state`, Gitea `status`.
pub(super) fn status(value: &Value) -> Option<Check> {
    let it = Json::of(value);
    let word = it.at("/state").some_text().or_else(|| it.at("/status").some_text())?;
    let state = match word.as_str() {
        "success" | "warning" | "skipped" => CheckState::Passed,
        "failure" | "error" => CheckState::Failed,
        _ => CheckState::Pending,
    };
    Some(Check {
        kind: CheckKind::Status,
        id: it.at("/id").number().unwrap_or(0),
        name: it.at("/context").text(),
        state,
        status: word,
        conclusion: None,
        url: it.at("/target_url").some_text(),
        excerpt: cut(&it.at("/description").text(), LONGEST_EXCERPT).to_owned(),
    })
}

/// A file that a pull request changes. One without a name is none of which anything can be said.
pub(super) fn changed_file(value: &Value) -> Result<ChangedFile, ForgeError> {
    let said = Json::of(value);
    let path = said.at("/filename").some_text().ok_or_else(|| lacks("a changed file", "filename"))?;
    let before = said.at("/previous_filename").some_text();
    let count = |pointer| said.at(pointer).number().unwrap_or(0);
    Ok(ChangedFile { path, before, added: count("/additions"), removed: count("/deletions") })
}

pub(super) fn issue(value: &Value) -> Result<Issue, ForgeError> {
    let it = Json::of(value);
    // A label is an object, or its name alone.
    let label = |label: Json<'_>| label.at("/name").some_text().or_else(|| label.some_text());
    Ok(Issue {
        number: it.at("/number").number().ok_or_else(|| lacks("an issue", "number"))?,
        title: it.at("/title").text(),
        body: it.at("/body").text(),
        author: it.at("/user/login").text(),
        labels: it.at("/labels").items().filter_map(label).collect(),
        state: open_state(it),
        is_pull_request: it.at("/pull_request").is_there(),
        url: it.at("/html_url").text(),
    })
}

pub(super) fn delivery(value: &Value) -> Option<HookDelivery> {
    let it = Json::of(value);
    Some(HookDelivery {
        id: it.at("/id").number()?,
        guid: it.at("/guid").some_text()?,
        event: it.at("/event").text(),
        action: it.at("/action").some_text(),
        at: it.at("/delivered_at").time().unwrap_or(0),
        is_redelivery: it.at("/redelivery").is_yes(),
        status: it.at("/status_code").number().and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
    })
}

pub(super) fn commit(value: &Value) -> Option<Commit> {
    let it = Json::of(value);
    let login = it.at("/author/login").some_text();
    let time = it.at("/commit/committer/date").time().or_else(|| it.at("/commit/author/date").time());
    Some(Commit {
        sha: Some(sha(it.at("/sha"))).filter(|sha| !sha.is_empty())?,
        message: it.at("/commit/message").text(),
        author: login.unwrap_or_else(|| it.at("/commit/author/name").text()),
        at: time.unwrap_or(0),
        url: it.at("/html_url").text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn least() -> Value {
        json!({"number": "7", "head": {"sha": "ABC"}})
    }

    #[test]
    fn a_pull_request_needs_its_number_and_its_head_and_no_more() {
        let pull_of = |value: Value| pull(&value);
        let known = pull_of(least()).expect("enough");
        assert_eq!((known.number, known.head_sha.as_str(), known.state), (7, "abc", OpenState::Closed));
        assert_eq!((known.mergeable, known.merged, known.merge_commit), (None, false, None));
        for missing in
            [json!({}), json!([]), json!(null), json!({"number": 7}), json!({"head": {"sha": "a"}})]
        {
            assert!(matches!(pull_of(missing.clone()), Err(ForgeError::Transient(_))), "{missing}");
        }
    }

    #[test]
    fn a_draft_is_a_field_or_a_word() {
        let of = |more: Value| {
            let mut value = least();
            value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let pull = pull(&value).expect("enough");
            (pull.title, pull.is_draft)
        };
        assert_eq!(of(json!({"title": "WIP: mend it", "draft": true})), ("mend it".to_owned(), true));
        assert_eq!(of(json!({"title": "WIP: mend it", "draft": false})), ("WIP: mend it".to_owned(), false));
        assert_eq!(of(json!({"title": "mend it", "draft": true})), ("mend it".to_owned(), true));
        assert_eq!(of(json!({"title": "[WIP] mend it"})), ("mend it".to_owned(), true));
        assert_eq!(of(json!({"title": "Wipe it"})), ("Wipe it".to_owned(), false));
    }

    #[test]
    fn what_the_forge_tries_is_no_merge() {
        let mut value = least();
        value["merge_commit_sha"] = json!("f00");
        assert_eq!(pull(&value).expect("enough").merge_commit, None);
        value["merged_at"] = json!("2026-11-21T12:00:00Z");
        let known = pull(&value).expect("enough");
        assert_eq!((known.merged, known.merge_commit.as_deref()), (true, Some("f00")));
    }

    #[test]
    fn only_a_known_good_word_is_a_pass() {
        let of = |status: &str, conclusion: Value| {
            let run = json!({"id": 1, "name": "t", "status": status, "conclusion": conclusion});
            check_run(&run).expect("enough").state
        };
        use CheckState::{Failed, Passed, Pending};
        for word in ["success", "neutral", "skipped"] {
            assert_eq!(of("completed", json!(word)), Passed, "{word}");
            assert_eq!(of("in_progress", json!(word)), Pending, "{word}");
        }
        for word in ["failure", "timed_out", "cancelled", "startup_failure", "stale"] {
            assert_eq!(of("completed", json!(word)), Failed, "{word}");
        }
        for word in [json!("action_required"), json!("fine"), json!(null), json!(3)] {
            assert_eq!(of("completed", word.clone()), Pending, "{word}");
        }
        let of = |word: &str| status(&json!({"context": "ci", "status": word})).expect("enough").state;
        assert_eq!((of("success"), of("error"), of("pending"), of("x")), (Passed, Failed, Pending, Pending));
    }

    #[test]
    fn suites_for_other_branches_are_known_where_the_program_has_one_for_ours() {
        let suite = |id: u64, app: u64, branch: Option<&str>| json!({"id": id, "app": {"id": app}, "head_branch": branch});
        let all = [
            suite(1, 7, Some("mimir/run_1")),
            suite(2, 7, Some("eve")),
            suite(3, 7, None),
            // Of a program that says nothing of ours all count.
            suite(4, 8, Some("main")),
            json!({"id": 5, "head_branch": "eve"}),
        ];
        assert_eq!(suites_of_others(&all, "mimir/run_1"), [2, 3]);
        assert!(suites_of_others(&all, "").is_empty());
    }

    #[test]
    fn merge_methods_are_all_when_nothing_is_said() {
        let of = |value: Value| repository(&value).map(|info| info.merge_methods.len());
        assert_eq!(of(json!({"default_branch": "main"})), Ok(3));
        assert_eq!(
            of(json!({"default_branch": "main", "allow_squash_merge": true, "allow_merge_commit": false})),
            Ok(1)
        );
        assert_eq!(of(json!({"default_branch": "main", "allow_merge_commits": false})), Ok(0));
        assert!(of(json!({})).is_err());
    }

    /// Any JSON, with the names of fields that are looked for.
    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zäö0-9:TZ-]{0,24}".prop_map(Value::from),
        ];
        let names = prop::sample::select(vec![
            "id",
            "number",
            "head",
            "base",
            "sha",
            "ref",
            "repo",
            "user",
            "login",
            "title",
            "body",
            "state",
            "draft",
            "status",
            "conclusion",
            "output",
            "labels",
            "name",
            "permission",
            "permissions",
            "default_branch",
            "created_at",
            "line",
            "position",
            "merged",
            "guid",
            "commit",
            "author",
            "date",
        ]);
        leaf.prop_recursive(4, 64, 8, move |inner| {
            let fields = prop::collection::vec((names.clone(), inner.clone()), 0..8);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                fields.prop_map(|fields| fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_answer_is_more_than_can_be_read(value in anything()) {
            let _ = (repository(&value), permission(&value), pull(&value), review(&value), comment_of_review(&value));
            let _ = (check_run(&value), status(&value), issue(&value), delivery(&value), commit(&value));
            for kind in [CommentKind::Issue, CommentKind::Inline, CommentKind::Review] {
                let _ = comment(&value, kind);
            }
        }
    }

    #[test]
    fn a_review_that_was_only_asked_for_is_none() {
        let of = |state: &str, dismissed: bool| {
            review(&json!({"id": 1, "state": state, "dismissed": dismissed, "body": "x"})).map(|it| it.state)
        };
        assert_eq!(of("REQUEST_REVIEW", false), None);
        assert_eq!(of("APPROVED", true), Some(ReviewState::Dismissed), "it does not count any more");
        assert_eq!(of("REQUEST_CHANGES", false), Some(ReviewState::ChangesRequested));
        assert_eq!(of("SHRUG", false), Some(ReviewState::Unknown));
    }
}

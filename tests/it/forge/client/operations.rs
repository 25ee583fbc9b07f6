//! Every operation, on both faces.

use mimir::forge::{ForgeError, Merged};
use mimir::model::forge::{
    CheckKind, CheckState, CommentKind, MergeMethod, NewMerge, OpenState, Permission, ReviewState,
};

use super::{BLOG, KINDS, World, new_pull, settings, to_main};
use crate::forge::{CheckRun, Effects, Fault, Forge, LOGIN, described};
use crate::podman::support::skip;

#[tokio::test]
async fn a_pull_request_goes_its_whole_way_on_both_faces() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let client = &world.client;
        let info = client.repository().await.expect("a repository");
        assert_eq!((info.path.as_str(), info.default_branch.as_str(), info.is_private), (BLOG, "main", true));
        assert_eq!(info.merge_methods, [MergeMethod::Merge, MergeMethod::Squash]);
        let own = if kind == "github" { Permission::Write } else { Permission::Admin };
        assert_eq!(info.permission, own, "{kind}");

        assert_eq!(client.find_pull("mimir/fix").await, Ok(None));
        let sha = world.branch("mimir/fix");
        let opened = client.open_pull(&new_pull("mimir/fix", true)).await.expect("opened");
        assert_eq!((opened.title.as_str(), opened.is_draft), ("Mend it", true), "{kind}");
        assert_eq!((opened.head_sha.as_str(), opened.head_ref.as_str()), (sha.as_str(), "mimir/fix"));
        assert_eq!((opened.base_ref.as_str(), opened.author.as_str()), ("main", LOGIN));
        let again = client.open_pull(&new_pull("mimir/fix", true)).await.expect("there");
        assert_eq!(again.number, opened.number);
        let found = client.find_pull("mimir/fix").await.expect("asked").expect("there");
        assert_eq!(found.number, opened.number);
        let number = opened.number;

        assert_eq!(
            client.merge(number, &to_main(&sha, MergeMethod::Squash)).await,
            Ok(Merged::NotMergeable("it is a draft".into()))
        );
        let edited = client.edit_pull(number, Some("Mend it well"), Some("More.")).await.expect("edited");
        assert_eq!(
            (edited.title.as_str(), edited.body.as_str(), edited.is_draft),
            ("Mend it well", "More.", true)
        );
        client.ready(number).await.expect("ready");
        client.ready(number).await.expect("ready already");
        let ready = client.pull(number).await.expect("there");
        assert_eq!(
            (ready.title.as_str(), ready.is_draft, ready.mergeable),
            ("Mend it well", false, Some(true))
        );

        client.request_review(number, &["ann".to_owned()]).await.expect("asked");
        client.request_review(number, &["ann".to_owned()]).await.expect("asked once");
        client.request_review(number, &[]).await.expect("nobody is asked");
        let refused = client.request_review(number, &["eve".to_owned()]).await;
        assert!(matches!(refused, Err(ForgeError::Refused(_))), "{refused:?}");
        world.forge.review(BLOG, number, "ann", "APPROVED", "Good.", &[]);
        let reviews = client.reviews(number).await.expect("reviews");
        assert_eq!(reviews.len(), 1, "{kind}: {reviews:?}");
        assert_eq!((reviews[0].author.as_str(), reviews[0].state), ("ann", ReviewState::Approved));
        assert_eq!(reviews[0].commit, sha);

        let newer = world.blog.add("mimir/fix", "more.txt", "x");
        assert_eq!(client.merge(number, &to_main(&sha, MergeMethod::Squash)).await, Ok(Merged::HeadMoved));
        let elsewhere = NewMerge { base: "release".into(), ..to_main(&newer, MergeMethod::Squash) };
        assert_eq!(client.merge(number, &elsewhere).await, Ok(Merged::HeadMoved), "it goes to main");
        let Ok(Merged::Merged { sha: merged }) =
            client.merge(number, &to_main(&newer, MergeMethod::Squash)).await
        else {
            panic!("{kind}: it is not merged");
        };
        assert_eq!(world.blog.head("main"), Some(merged.clone()), "git has it");
        assert_eq!(world.blog.git(&["rev-list", "--count", "main"]), "2", "as one commit");
        let said = world.blog.git(&["log", "-1", "--format=%B", "main"]);
        assert_eq!(said, "Carts may be empty (#1)\n\nMade by a test.", "{kind}");
        let again = client.merge(number, &to_main(&newer, MergeMethod::Squash)).await;
        assert_eq!(again, Ok(Merged::Merged { sha: merged.clone() }), "{kind}");
        let closed = client.find_pull("mimir/fix").await.expect("asked").expect("it was there");
        assert_eq!(
            (closed.state, closed.merged, closed.merge_commit),
            (OpenState::Closed, true, Some(merged))
        );

        client.delete_branch("mimir/fix").await.expect("gone");
        client.delete_branch("mimir/fix").await.expect("gone already");
        assert_eq!(world.blog.head("mimir/fix"), None);
        let closed = client.find_pull("mimir/fix").await.expect("asked").expect("it was there");
        assert_eq!(closed.number, number, "{kind}: it is found without its branch");
        let wanted = Effects {
            pulls: 1,
            merges: 1,
            deleted_branches: 1,
            readied: 1,
            review_requests: 1,
            ..Effects::default()
        };
        assert_eq!(world.forge.effects(), wanted, "{kind}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn an_issue_is_closed_once() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let issue = world.forge.issue(BLOG, "eve", "It breaks", "", &["bug"]);
        assert!(world.client.close_issue(issue).await.expect("closed"), "{kind}");
        assert!(!world.client.close_issue(issue).await.expect("closed already"), "{kind}");
        assert_eq!(world.client.issue(issue).await.expect("it").state, OpenState::Closed, "{kind}");
        assert_eq!(world.forge.effects().closed_issues, 1, "{kind}");
        let lost = world.client.close_issue(issue + 1).await.expect_err("there is none");
        assert!(matches!(lost, ForgeError::NotFound(_)), "{kind}: {lost}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn a_pull_request_is_closed_without_a_merge_and_another_may_be_opened() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let first = world.opened("mimir/fix").await;
        world.client.close_pull(first.number).await.expect("closed");
        world.client.close_pull(first.number).await.expect("closed already");
        let known = world.client.pull(first.number).await.expect("there");
        assert_eq!((known.state, known.merged, known.merge_commit), (OpenState::Closed, false, None));
        let merge = world.client.merge(first.number, &to_main(&first.head_sha, MergeMethod::Merge)).await;
        assert_eq!(merge, Ok(Merged::NotMergeable("it is closed".into())));
        let second = world.client.open_pull(&new_pull("mimir/fix", false)).await.expect("opened");
        assert_ne!(second.number, first.number);
        let found = world.client.find_pull("mimir/fix").await.expect("asked").expect("there");
        assert_eq!(found.number, second.number, "the open one");
        assert_eq!((world.forge.effects().pulls, world.forge.effects().closed), (2, 1));
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn who_closed_it_is_told_where_the_forge_knows() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let pull = world.opened("mimir/fix").await;
        assert_eq!(world.client.closed_by(pull.number).await, Ok(None), "{kind}: it is open");
        world.forge.close(BLOG, "ann", pull.number);
        assert_eq!(world.client.closed_by(pull.number).await, Ok(Some("ann".to_owned())), "{kind}");
        assert_eq!(world.client.closed_by(404).await, Ok(None), "{kind}: there is none");
        world.forge.plan("GET", "/issues/", crate::forge::Trip::Says(422, "not of this one".into()));
        assert_eq!(world.client.closed_by(pull.number).await, Ok(None), "{kind}: it refuses");
        assert_eq!(world.forge.planned(), 0, "{kind}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn what_cannot_be_merged_is_said() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let pull = world.opened("mimir/fix").await;
        world.blog.add("main", "fix.txt", "something else\n");
        let conflict = world.client.merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Merge)).await;
        assert!(matches!(conflict, Ok(Merged::NotMergeable(_))), "{kind}: {conflict:?}");
        assert_eq!(world.client.pull(pull.number).await.expect("there").mergeable, Some(false));
        assert_eq!(world.forge.effects().merges, 0);
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn the_right_of_a_user_is_asked_of_the_repository() {
    for kind in KINDS {
        let world = World::new(kind).await;
        for (user, role) in [("boss", "admin"), ("reader", "read")] {
            world.forge.allow(BLOG, user, role);
        }
        if kind == "github" {
            world.forge.allow(BLOG, "keeper", "maintain");
            world.forge.allow(BLOG, "sorter", "triage");
            assert_eq!(world.client.permission("keeper").await, Ok(Permission::Write));
            assert_eq!(world.client.permission("sorter").await, Ok(Permission::Read));
            assert_eq!(world.client.permission("nobody-at-all").await, Ok(Permission::None), "404");
        }
        assert_eq!(world.client.permission("boss").await, Ok(Permission::Admin));
        assert_eq!(world.client.permission("ann").await, Ok(Permission::Write));
        assert_eq!(world.client.permission("reader").await, Ok(Permission::Read));
        assert_eq!(world.client.permission("stranger").await, Ok(Permission::None));
        assert_eq!(world.client.permission("").await, Ok(Permission::None));
        assert_eq!(
            world.client.permission("../../../user").await,
            Ok(Permission::None),
            "it stays in its place"
        );
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn before_anything_is_spent_it_is_known_whether_the_credential_suffices() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let fine = world.client.preflight().await.expect("looked");
        assert!(fine.is_fine(), "{kind}: {:?}", fine.missing);
        assert_eq!(fine.login.as_deref(), Some(LOGIN));
        assert_eq!(fine.repository.default_branch, "main");

        world.forge.change(BLOG, |repo| (repo.own_right, repo.is_archived) = ("read", true));
        let missing = world.client.preflight().await.expect("looked").missing;
        assert_eq!(missing.len(), 2, "{missing:?}");
        let right =
            if kind == "github" { "give them write access" } else { "an administrator of that repository" };
        assert!(missing[0].contains("is archived") && missing[1].contains(right), "{missing:?}");

        let pulls = "/pulls";
        world.forge.plan(
            "GET",
            pulls,
            crate::forge::Trip::Says(403, "Resource not accessible by personal access token".into()),
        );
        let missing = world.client.preflight().await.expect("looked").missing;
        assert!(missing.iter().any(|text| text.contains("pull requests")), "{missing:?}");

        world.forge.change(BLOG, |repo| repo.path = "me/other".to_owned());
        let missing = world.client.preflight().await.expect("looked").missing;
        assert!(missing[0].contains("shows the credential no repository me/blog"), "{missing:?}");
    }
}

#[tokio::test]
async fn a_token_that_may_read_only_is_known_before_anything_is_pushed() {
    for kind in KINDS {
        let world = World::new(kind).await;
        world.forge.reads_only(true);
        let found = world.client.preflight().await.expect("looked");
        let own = if kind == "github" { Permission::Write } else { Permission::Admin };
        assert_eq!(found.repository.permission, own, "{kind}: the API says what its owner may do");
        let wanted = if kind == "github" { "Contents: read and write" } else { "write:repository" };
        assert!(
            matches!(found.missing.as_slice(), [text] if text.contains("push to me/blog") && text.contains(wanted)),
            "{kind}: {:?}",
            found.missing
        );
        world.forge.reads_only(false);
        let fine = world.client.preflight().await.expect("looked");
        assert!(fine.is_fine(), "{kind}: {:?}", fine.missing);
        assert_eq!(world.forge.pushes(), 0, "{kind}: it is asked, and not tried");
        world.forge.fault(Some(Fault::Status(500)));
        let error = world.client.preflight().await.expect_err("it is not well");
        assert!(error.is_passing(), "{kind}: {error:?}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn a_forge_that_tells_administrators_alone_who_may_write_is_opened_by_one() {
    let world = World::new("gitea").await;
    world.forge.change(BLOG, |repo| repo.own_right = "write");
    let error = world.client.permission("ann").await.expect_err("it does not tell");
    assert!(matches!(&error, ForgeError::Auth(text) if text.contains("Only admins can query")), "{error:?}");
    let missing = world.client.preflight().await.expect("looked").missing;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(missing[0].contains("tells administrators alone who may write to me/blog"), "{missing:?}");
    world.forge.change(BLOG, |repo| repo.own_right = "admin");
    assert!(world.client.preflight().await.expect("looked").is_fine());
    assert_eq!(world.client.permission("ann").await, Ok(Permission::Write));
}

#[tokio::test]
async fn what_a_token_says_of_itself_is_looked_at() {
    let world = World::new("github").await;
    let says = |scopes: &str, until: &str| {
        world
            .forge
            .says_of_token(&[("x-oauth-scopes", scopes), ("github-authentication-token-expiration", until)]);
    };
    says("repo, workflow", "2199-01-01 00:00:00 UTC");
    let fine = world.client.preflight().await.expect("looked");
    assert!(fine.is_fine(), "{:?}", fine.missing);
    assert_eq!(fine.expires_at, Some(7_226_582_400_000));
    says("public_repo, gist", "2020-01-01 01:00:00 +0100");
    let missing = world.client.preflight().await.expect("looked").missing;
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("has expired on 2020-01-01T00:00:00"), "{missing:?}");
    assert!(missing[1].contains("lacks the scope `repo`"), "the repository is private: {missing:?}");
    // A fine-grained token has no scopes.
    says("", "2199-01-01 00:00:00 UTC");
    assert!(world.client.preflight().await.expect("looked").is_fine());
}

#[tokio::test]
async fn every_check_counts_also_behind_the_first_hundred() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let sha = world.branch("mimir/fix");
        assert_eq!(
            world.client.checks(&sha, "mimir/fix").await.expect("checks").state(),
            CheckState::Pending,
            "none yet"
        );
        if kind == "github" {
            for n in 0..130 {
                world.forge.check(BLOG, &sha, &format!("job {n}"), Some("success"));
            }
        }
        for n in 0..120 {
            world.forge.status(BLOG, &sha, &format!("status {n}"), "success");
        }
        let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
        let wanted = if kind == "github" { 250 } else { 120 };
        assert_eq!(
            (checks.all.len(), checks.is_cut, checks.state()),
            (wanted, false, CheckState::Passed),
            "{kind}"
        );

        world.forge.status(BLOG, &sha, "status 118", "pending");
        assert_eq!(
            world.client.checks(&sha, "mimir/fix").await.expect("checks").state(),
            CheckState::Pending
        );
        world.forge.status(BLOG, &sha, "status 118", "failure");
        let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
        assert_eq!(checks.state(), CheckState::Failed);
        let failed: Vec<_> = checks.failed().map(|check| (check.kind, check.name.as_str())).collect();
        assert_eq!(failed, [(CheckKind::Status, "status 118")]);
        let excerpt = world.client.check_log_excerpt(checks.failed().next().expect("one")).await;
        assert_eq!(excerpt.as_deref(), Ok("status 118 says failure"));
        if kind == "github" {
            world.forge.status(BLOG, &sha, "status 118", "success");
            world.forge.check(BLOG, &sha, "job 129", Some("timed_out"));
            assert_eq!(
                world.client.checks(&sha, "mimir/fix").await.expect("checks").state(),
                CheckState::Failed
            );
            world.forge.check(BLOG, &sha, "job 129", None);
            assert_eq!(
                world.client.checks(&sha, "mimir/fix").await.expect("checks").state(),
                CheckState::Pending,
                "it runs again"
            );
        }
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn runs_that_a_program_has_not_begun_yet_are_waited_for() {
    let world = World::new("github").await;
    let sha = world.branch("mimir/fix");
    let state = async || world.client.checks(&sha, "mimir/fix").await.expect("checks").state();
    world.forge.check(BLOG, &sha, "lint", Some("success"));
    assert_eq!(state().await, CheckState::Passed);
    // A job waits for that one: it has no run, and its suite goes on.
    world.forge.suite(BLOG, &sha, "mimir-test", false, 1);
    assert_eq!(state().await, CheckState::Pending);
    world.forge.suite(BLOG, &sha, "mimir-test", true, 1);
    // Whoever is told of commits has a suite, and most of them never run anything.
    world.forge.suite(BLOG, &sha, "some-app", false, 0);
    assert_eq!(state().await, CheckState::Passed);
    world.forge.suite(BLOG, &sha, "some-app", false, 2);
    assert_eq!(state().await, CheckState::Pending);
    world.forge.assert_as_described();
}

#[tokio::test]
async fn checks_that_were_not_read_are_not_taken_for_good_ones() {
    let few = mimir::forge::Settings { pages: 1, ..settings() };
    let world = World::with("github", few).await;
    let sha = world.branch("mimir/fix");
    for n in 0..101 {
        world.forge.check(BLOG, &sha, &format!("job {n}"), Some("success"));
    }
    let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
    assert_eq!((checks.all.len(), checks.is_cut, checks.state()), (100, true, CheckState::Pending));
}

#[tokio::test]
async fn a_failed_check_is_told_with_what_it_marked_and_the_end_of_its_log() {
    let world = World::new("github").await;
    let logs = Forge::start().await;
    let sha = world.branch("mimir/fix");
    let log = logs.blob(
        "log-1",
        "2026-11-21T12:00:00.1Z it begins\n2026-11-21T12:00:01Z ##[error]exit code 1\nafterwards\n",
    );
    world.forge.check_with(
        BLOG,
        CheckRun {
            sha: sha.clone(),
            name: "test".to_owned(),
            conclusion: Some("failure".to_owned()),
            summary: "1 of 12 failed".to_owned(),
            annotations: vec![("src/lib.rs".to_owned(), 7, "assertion failed".to_owned())],
            log: Some(log),
            ..CheckRun::default()
        },
    );
    let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
    let told = world.client.check_log_excerpt(&checks.all[0]).await.expect("told");
    assert_eq!(
        told,
        "test\n1 of 12 failed\n\nsrc/lib.rs:7: assertion failed\n\nit begins\n##[error]exit code 1"
    );
    let asked = logs.seen();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].authorization, None, "the log's host gets no credential");
    world.forge.assert_as_described();
}

#[tokio::test]
async fn commits_since_a_time_are_those_and_no_others() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let now = mimir::clock::Clock::system().now_ms();
        let sha = world.blog.add("main", "a.txt", "a");
        let found = world.client.commits_since("main", now - 60_000).await.expect("commits");
        assert_eq!(found.len(), 2, "{kind}: {found:?}");
        assert_eq!((found[0].sha.as_str(), found[0].message.as_str()), (sha.as_str(), "change a.txt"));
        assert_eq!(found[0].author, "Somebody");
        let none = world.client.commits_since("main", now + 3_600_000).await.expect("commits");
        assert_eq!(none, []);
        let lost = world.client.commits_since("nowhere", now).await;
        assert!(matches!(lost, Err(ForgeError::NotFound(_))), "{lost:?}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn an_issue_is_read_and_answered_once() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let number = world.forge.issue(BLOG, "eve", "It breaks", "When I click.", &["bug", "mimir"]);
        let issue = world.client.issue(number).await.expect("an issue");
        assert_eq!(
            (issue.title.as_str(), issue.author.as_str(), issue.is_pull_request),
            ("It breaks", "eve", false)
        );
        assert_eq!(issue.labels, ["bug", "mimir"]);
        let first = world.client.comment_issue(number, "I look into it.", "run-1/seen").await.expect("said");
        let second =
            world.client.comment_issue(number, "I look into it.", "run-1/seen").await.expect("said before");
        assert_eq!(
            (first.kind, first.id, world.forge.effects().comments),
            (CommentKind::Issue, second.id, 1)
        );
        let lost = world.client.issue(number + 7).await;
        assert!(matches!(lost, Err(ForgeError::NotFound(_))), "{lost:?}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn what_a_hook_missed_is_listed_and_sent_again_under_the_same_name() {
    let world = World::new("github").await;
    let hearer = Forge::start().await;
    let since = 1_700_000_000_000;
    let hook = world.forge.hook(BLOG, &format!("http://{}/blob/hook", hearer.address), "s3cr3t-of-the-hook");
    assert_eq!(
        world.forge.told(BLOG, hook, 1).await,
        [("ping".to_owned(), None, 404)],
        "nobody listens there yet"
    );
    let missed = world.client.deliveries(hook, since).await.expect("listed");
    assert_eq!((missed.len(), missed[0].event.as_str(), missed[0].is_taken()), (1, "ping", false));
    hearer.blob("hook", "thanks");
    world.client.redeliver(hook, missed[0].id).await.expect("sent again");
    world.forge.told(BLOG, hook, 2).await;
    let all = world.client.deliveries(hook, since).await.expect("listed");
    assert_eq!((all.len(), all[0].is_redelivery, all[0].is_taken()), (2, true, true));
    assert_eq!((&all[0].guid, all[0].id == all[1].id), (&all[1].guid, false));
    assert_eq!(
        world.client.deliveries(hook, all[0].at).await.expect("listed").len(),
        1,
        "only what came since"
    );
    let refused = world.client.redeliver(hook, 1).await;
    assert!(matches!(refused, Err(ForgeError::Refused(_))), "{refused:?}");
    world.forge.assert_as_described();

    let world = World::new("gitea").await;
    let none = world.client.deliveries(1, since).await;
    assert!(matches!(none, Err(ForgeError::Refused(_))), "{none:?}");
}

#[tokio::test]
async fn webhooks_of_the_test_forge_are_as_github_describes_them() {
    if !described::is_there() {
        let why = "GitHub's description is not here: scripts/github-openapi fetches it";
        return skip("webhooks_of_the_test_forge_are_as_github_describes_them", why);
    }
    let world = World::new("github").await;
    let hearer = Forge::start().await;
    hearer.blob("hook", "thanks");
    let hook = world.forge.hook(BLOG, &format!("http://{}/blob/hook", hearer.address), "s3cr3t-of-the-hook");
    let issue = world.forge.issue(BLOG, "eve", "It breaks", "", &["bug"]);
    world.forge.say(BLOG, issue, "eve", "please");
    let pull = world.opened("mimir/fix").await;
    world.forge.pushed();
    world.blog.add("mimir/fix", "more.txt", "x");
    world.forge.pushed();
    world.forge.review(BLOG, pull.number, "ann", "CHANGES_REQUESTED", "Not so.", &[("fix.txt", 1, "why?")]);
    world.forge.say(BLOG, pull.number, "ann", "and another thing");
    world.forge.check(BLOG, &pull.head_sha, "test", Some("failure"));
    let head = world.forge.pull(BLOG, pull.number).head_sha;
    let merged = world.client.merge(pull.number, &to_main(&head, MergeMethod::Merge)).await;
    assert!(matches!(merged, Ok(Merged::Merged { .. })), "{merged:?}");
    let told = world.forge.told(BLOG, hook, 14).await;
    let words: Vec<String> = told
        .into_iter()
        .map(|(event, action, status)| {
            assert_eq!(status, 200);
            [Some(event), action].into_iter().flatten().collect::<Vec<_>>().join(".")
        })
        .collect();
    assert_eq!(
        words,
        [
            "ping",
            "issues.opened",
            "issues.labeled",
            "issue_comment.created",
            "pull_request.opened",
            "push",
            "push",
            "pull_request.synchronize",
            "pull_request_review_comment.created",
            "pull_request_review.submitted",
            "issue_comment.created",
            "check_run.completed",
            "pull_request.closed",
            "push",
        ]
        .map(str::to_owned)
    );
    world.forge.assert_as_described();
}

//! Everything that can go wrong, and what the caller is told to do next.

use std::time::{Duration, Instant};

use mimir::forge::{ForgeError, Merged, Settings};
use mimir::model::forge::MergeMethod;
use mimir::model::git::Repository;

use super::{BLOG, KINDS, World, new_pull, repository, settings, to_main, without_token};
use crate::forge::{Effects, Forge, TOKEN, Trip};

/// Whether it is the error that is to come of it.
type IsWanted = fn(&ForgeError) -> bool;

#[tokio::test]
async fn each_error_says_what_to_do_next() {
    use ForgeError::{Auth, NotFound, Refused, Transient};
    let world = World::new("github").await;
    let pull = world.opened("mimir/fix").await.number;
    let fits: [(Trip, IsWanted); 9] = [
        (Trip::Status(401), |error| matches!(error, Auth(text) if text.contains("a new one"))),
        (Trip::Status(404), |error| matches!(error, NotFound(text) if text.contains("pull request"))),
        (Trip::Status(410), |error| matches!(error, NotFound(_))),
        (
            Trip::Status(422),
            |error| matches!(error, Refused(text) if text.contains("Something is wrong here")),
        ),
        (Trip::Status(500), |error| matches!(error, Transient(_))),
        (Trip::Status(502), |error| matches!(error, Transient(_))),
        (Trip::Page, |error| matches!(error, Transient(text) if text.contains("no JSON"))),
        (Trip::Half, |error| matches!(error, Transient(_))),
        (Trip::AnswerLost, |error| matches!(error, Transient(_))),
    ];
    for (trip, is_wanted) in fits {
        world.forge.plan("GET", "/pulls/", trip.clone());
        let error = without_token(world.client.pull(pull).await.expect_err("an error"));
        assert!(is_wanted(&error), "{trip:?}: {error:?}");
        assert_eq!(error.is_passing(), matches!(error, Transient(_)));
        assert_eq!(world.client.pull(pull).await.expect("as before").number, pull);
    }
    let text = "Resource not accessible by personal access token";
    world.forge.plan("GET", "/pulls/", Trip::Says(403, text.to_owned()));
    let error = world.client.pull(pull).await.expect_err("an error");
    assert!(matches!(&error, Auth(said) if said.contains(text)), "{error:?}");
}

#[tokio::test]
async fn a_forge_that_is_not_there_was_not_asked_anything() {
    let world = World::new("github").await;
    let pull = world.opened("mimir/fix").await.number;
    drop(world.forge);
    // Connections that were open may break under the first questions.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let said = world.client.pull(pull).await;
        if matches!(said, Err(ForgeError::Unreachable(_))) {
            break;
        }
        assert!(Instant::now() < deadline, "{said:?}");
    }
}

#[tokio::test]
async fn a_forge_that_takes_its_time_is_not_waited_for_without_end() {
    let quick = Settings { deadline: Duration::from_millis(300), ..settings() };
    let world = World::with("github", quick).await;
    world.forge.plan("GET", "/blog", Trip::Slow(Duration::from_secs(30)));
    let begun = Instant::now();
    let error = world.client.repository().await.expect_err("it is late");
    assert!(matches!(&error, ForgeError::Transient(text) if text.contains("longer than 0.3 s")), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read() {
    let short = Settings { largest: 2048, ..settings() };
    let world = World::with("github", short).await;
    let error = world.client.repository().await.expect_err("it is long");
    assert!(matches!(&error, ForgeError::TooMuch(what) if what == "repository me/blog"), "{error:?}");
}

#[tokio::test]
async fn a_page_that_is_too_long_is_read_in_smaller_ones() {
    for kind in KINDS {
        let world = World::with(kind, Settings { largest: 64 * 1024, ..settings() }).await;
        let sha = world.branch("mimir/fix");
        let size = if kind == "github" { 300 } else { 700 };
        for number in 0..130 {
            let context = format!("{number} {}", "x".repeat(size));
            world.forge.status(BLOG, &sha, &context, "success");
        }
        let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
        let names: Vec<&str> = checks.all.iter().filter_map(|check| check.name.split(' ').next()).collect();
        let wanted: Vec<String> = (0..130).map(|number| number.to_string()).collect();
        assert_eq!(names, wanted, "{kind}: each of them once");
        assert!(!checks.is_cut, "{kind}");
        // One of them alone is too long.
        world.forge.status(BLOG, &sha, &"y".repeat(70_000), "failure");
        let checks = world.client.checks(&sha, "mimir/fix").await.expect("checks");
        assert!(checks.is_cut, "{kind}");
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn more_comments_than_are_read_are_no_half_of_a_list() {
    let world = World::with("github", Settings { pages: 1, ..settings() }).await;
    let number = world.opened("mimir/fix").await.number;
    for at in 0..101 {
        world.forge.say(BLOG, number, "eve", &format!("number {at}"));
    }
    let wanted = ForgeError::TooMuch(format!("the comments below {number}"));
    assert_eq!(world.client.comments(number).await, Err(wanted.clone()));
    assert_eq!(world.client.comment(number, "Hello.", "run-1/hello").await, Err(wanted), "it may be there");
    assert_eq!(world.forge.effects().comments, 0);
}

#[tokio::test]
async fn a_list_that_is_none_is_no_list_without_anything() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let pull = world.opened("mimir/fix").await;
        let (client, number, sha) = (&world.client, pull.number, pull.head_sha.as_str());
        world.forge.review(BLOG, number, "ann", "CHANGES_REQUESTED", "No.", &[("fix.txt", 1, "Here.")]);
        let mut lists = vec!["/status", "/reviews", "/comments", "/files"];
        if kind == "github" {
            lists.extend(["/check-runs", "/check-suites"]);
        }
        for list in lists {
            let plan = || world.forge.plan("GET", list, crate::forge::Trip::Nothing);
            plan();
            let error = match list {
                "/reviews" => client.reviews(number).await.map(drop),
                "/comments" => client.comments(number).await.map(drop),
                "/files" => client.changed_files(number).await.map(drop),
                _ => client.checks(sha, "mimir/fix").await.map(drop),
            };
            assert!(
                matches!(&error, Err(ForgeError::Transient(text)) if text.contains("is no list")),
                "{kind} {list}: {error:?}"
            );
        }
        world.forge.plan("GET", "/pulls", crate::forge::Trip::Nothing);
        let error = client.find_pull("mimir/fix").await;
        assert!(matches!(error, Err(ForgeError::Transient(_))), "{kind}: {error:?}");
        if kind == "gitea" {
            // Beside the lines of a review.
            let beside = format!("/pulls/{number}/reviews/");
            world.forge.plan("GET", &beside, crate::forge::Trip::Nothing);
            let error = client.comments(number).await;
            assert!(matches!(error, Err(ForgeError::Transient(_))), "{kind}: {error:?}");
        }
        assert_eq!(world.forge.planned(), 0);
    }
}

/// The effect happened, and nobody heard of it: asked once more, there is still one.
#[tokio::test]
async fn what_was_done_and_not_heard_of_is_not_done_twice() {
    for kind in KINDS {
        for trip in [Trip::AnswerLost, Trip::Half] {
            let world = World::new(kind).await;
            let client = &world.client;
            let sha = world.branch("mimir/fix");
            let lost = |method, path: &str| world.forge.plan(method, path, trip.clone());
            let is_lost = |error: &ForgeError| {
                assert!(matches!(error, ForgeError::Transient(_)), "{kind} {trip:?}: {error:?}")
            };

            lost("POST", "/pulls");
            is_lost(&client.open_pull(&new_pull("mimir/fix", false)).await.expect_err("lost"));
            let number = client.open_pull(&new_pull("mimir/fix", false)).await.expect("there").number;

            lost("POST", "/comments");
            is_lost(&client.comment(number, "Hello.", "run-1/hello").await.expect_err("lost"));
            client.comment(number, "Hello.", "run-1/hello").await.expect("there");

            if kind == "github" {
                world.forge.review(BLOG, number, "ann", "COMMENTED", "", &[("fix.txt", 1, "why?")]);
                let beside = client.comments(number).await.expect("comments").pop().expect("one");
                lost("POST", "/replies");
                is_lost(&client.reply(number, &beside, "So.", "run-1/so").await.expect_err("lost"));
                client.reply(number, &beside, "So.", "run-1/so").await.expect("there");
            }

            if !(kind == "gitea" && trip == Trip::Half) {
                lost(if kind == "github" { "PUT" } else { "POST" }, "/merge");
                is_lost(&client.merge(number, &to_main(&sha, MergeMethod::Squash)).await.expect_err("lost"));
            }
            let merged = client.merge(number, &to_main(&sha, MergeMethod::Squash)).await;
            let head = world.blog.head("main").expect("a branch");
            assert_eq!(merged, Ok(Merged::Merged { sha: head }), "{kind} {trip:?}");

            if trip == Trip::AnswerLost {
                lost("DELETE", "/mimir/fix");
                is_lost(&client.delete_branch("mimir/fix").await.expect_err("lost"));
            }
            client.delete_branch("mimir/fix").await.expect("gone");
            let replies = usize::from(kind == "github");
            let wanted = Effects {
                pulls: 1,
                comments: 1,
                replies,
                merges: 1,
                deleted_branches: 1,
                ..Effects::default()
            };
            assert_eq!((world.forge.effects(), world.forge.planned()), (wanted, 0), "{kind} {trip:?}");
        }
    }
}

#[tokio::test]
async fn a_head_that_moves_in_the_last_moment_is_not_merged() {
    for kind in KINDS {
        let world = World::new(kind).await;
        let pull = world.opened("mimir/fix").await;
        let method = if kind == "github" { "PUT" } else { "POST" };
        world.forge.plan(method, "/merge", Trip::HeadMoves("mimir/fix".to_owned()));
        let merge = world.client.merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Squash)).await;
        assert_eq!((merge, world.forge.planned()), (Ok(Merged::HeadMoved), 0), "{kind}");
        assert_eq!(world.forge.effects().merges, 0);
        world.forge.assert_as_described();
    }
}

#[tokio::test]
async fn who_may_not_merge_is_told_so() {
    let world = World::new("github").await;
    let pull = world.opened("mimir/fix").await;
    for (status, wanted) in
        [(403, "Refused"), (404, "Refused"), (422, "Refused"), (405, "NotMergeable"), (409, "NotMergeable")]
    {
        world.forge.plan("PUT", "/merge", Trip::Says(status, "No, said the forge".to_owned()));
        let merge = world
            .client
            .merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Squash))
            .await
            .expect("an outcome");
        let text = format!("{merge:?}");
        assert!(text.starts_with(wanted) && text.contains("No, said the forge"), "{status}: {text}");
    }
    let rebase = world.client.merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Rebase)).await;
    assert!(matches!(rebase, Ok(Merged::NotMergeable(_))), "{rebase:?}");
    assert_eq!(world.forge.effects().merges, 0);
}

#[tokio::test]
async fn a_limit_is_kept_to_without_asking_again() {
    let world = World::new("github").await;
    let now = world.clock.now_ms();
    let mut until = now;
    for trip in [Trip::Primary(now / 1000 + 120), Trip::Secondary(60), Trip::SecondaryInWords] {
        world.forge.plan("GET", "/blog", trip.clone());
        let limited = world.client.repository().await.expect_err("limited");
        let ForgeError::RateLimited { until_ms } = limited else { panic!("{trip:?}: {limited:?}") };
        assert!(until_ms > until, "{trip:?}");
        until = until_ms;
        let asked = world.forge.seen().len();
        // Also by another client with the same credential.
        let other = world.forges.of(&repository(&world.forge)).await.expect("a client");
        assert_eq!(other.repository().await, Err(ForgeError::RateLimited { until_ms }));
        assert_eq!(world.forge.seen().len(), asked, "{trip:?}: it is left alone");
        world.clock.advance_ms(until_ms - world.clock.now_ms());
        world.client.repository().await.expect("it may be asked again");
        until = until.max(world.clock.now_ms());
    }
    assert!(ForgeError::RateLimited { until_ms: 1 }.is_passing());
}

#[tokio::test]
async fn a_credential_stays_at_its_host() {
    let world = World::new("github").await;
    let other = Forge::start().await;
    let pull = world.opened("mimir/fix").await;
    for status in [301, 302, 307, 308] {
        for method in ["GET", "PUT"] {
            let there = format!("{}/api/v3/repos/me/blog", other.host());
            world.forge.plan(method, "/pulls/", Trip::Redirect(status, there));
            let error = match method {
                "GET" => world.client.pull(pull.number).await.expect_err("elsewhere"),
                _ => world
                    .client
                    .merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Merge))
                    .await
                    .expect_err("elsewhere"),
            };
            assert!(
                matches!(&error, ForgeError::Refused(text) if text.contains("another host")),
                "{error:?}"
            );
        }
    }
    assert_eq!(other.seen(), [], "nobody came there");
    assert_eq!((world.forge.planned(), world.forge.effects().merges), (0, 0));
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_at_its_new_place() {
    let world = World::new("github").await;
    let old = Repository::parse(&world.forge.name_of("me/old-name")).expect("a repository");
    let client = world.forges.of(&old).await.expect("a client");
    world.forge.plan("GET", "/me/old-name", Trip::Redirect(301, "/api/v3/repos/me/blog".to_owned()));
    assert_eq!(client.repository().await.expect("found").path, BLOG);
    for _ in 0..5 {
        world.forge.plan("GET", "/me/old-name", Trip::Redirect(301, "/api/v3/repos/me/old-name".to_owned()));
    }
    let circle = client.repository().await.expect_err("a circle");
    assert!(matches!(&circle, ForgeError::Refused(text) if text.contains("circle")), "{circle:?}");
}

#[tokio::test]
async fn what_opens_the_forge_is_in_no_error() {
    let world = World::new("github").await;
    let pull = world.opened("mimir/fix").await;
    for status in [403, 422, 500] {
        world.forge.plan("GET", "/pulls/", Trip::Says(status, format!("the token {TOKEN} may not do that")));
        without_token(world.client.pull(pull.number).await.expect_err("an error"));
    }
    world.forge.plan("PUT", "/merge", Trip::Says(405, format!("the token {TOKEN} may not do that")));
    let merge = world
        .client
        .merge(pull.number, &to_main(&pull.head_sha, MergeMethod::Merge))
        .await
        .expect("an outcome");
    assert!(!format!("{merge:?}").contains(TOKEN), "{merge:?}");
}

#[tokio::test]
async fn changes_of_one_repository_come_one_after_the_other() {
    let apart = Duration::from_millis(250);
    let world = World::with("github", Settings { between_changes: apart, ..settings() }).await;
    let number = world.opened("mimir/fix").await.number;
    let begun = Instant::now();
    let other = world.forges.of(&repository(&world.forge)).await.expect("a client");
    let (one, two) =
        tokio::join!(world.client.comment(number, "one", "1"), other.comment(number, "two", "2"));
    assert!(one.is_ok() && two.is_ok());
    assert!(begun.elapsed() >= apart, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn where_there_are_no_drafts_it_is_opened_as_one_that_is_ready() {
    let world = World::new("github").await;
    world.forge.change(BLOG, |repo| repo.has_no_drafts = true);
    world.branch("mimir/fix");
    let opened = world.client.open_pull(&new_pull("mimir/fix", true)).await.expect("opened");
    assert!(!opened.is_draft);
    let nothing_new = world.client.open_pull(&new_pull("main", false)).await;
    assert!(
        matches!(&nothing_new, Err(ForgeError::Refused(text)) if text.contains("No commits between")),
        "{nothing_new:?}"
    );
    assert_eq!(world.forge.effects().pulls, 1);
    world.forge.assert_as_described();
}

#[tokio::test]
async fn of_which_kind_a_forge_is_it_says_itself() {
    let world = World::new("github").await;
    let source = mimir::config::schema::TokenSource::Here(Some(mimir::model::secret::Secret::new(TOKEN)));
    let (forges, _) = super::forges(&world.forge.host(), source, settings(), &world.clock);
    // It has both faces; Gitea's is asked for first.
    let client = forges.of(&repository(&world.forge)).await.expect("a client");
    assert_eq!(client.kind(), mimir::model::git::ForgeKind::Gitea);
    let asked: Vec<_> = world.forge.seen().into_iter().filter(|it| it.path.contains("version")).collect();
    assert_eq!((asked.len(), &asked[0].authorization), (1, &None), "no credential is shown for that");
    forges.of(&repository(&world.forge)).await.expect("a client");
    let again = world.forge.seen().iter().filter(|it| it.path.contains("version")).count();
    assert_eq!(again, 1, "it is asked once");

    let source = mimir::config::schema::TokenSource::Here(None);
    let (forges, _) = super::forges(&world.forge.host(), source, settings(), &world.clock);
    world.forge.plan("GET", "/version", Trip::Status(404));
    let client = forges.of(&repository(&world.forge)).await.expect("a client");
    assert_eq!(client.kind(), mimir::model::git::ForgeKind::Github);
    let closed = client.repository().await.expect_err("nothing opens it");
    assert!(matches!(&closed, ForgeError::Auth(text) if text.contains("git.credentials")), "{closed:?}");

    for (name, why) in [
        ("gitlab.com/me/blog", "not spoken of yet"),
        ("git.example.org/me/blog", "is no forge that mimir knows"),
        ("github.com/me/group/blog", "is not OWNER/NAME"),
    ] {
        let repository = Repository::parse(name).expect("a repository");
        let Err(ForgeError::Refused(text)) = forges.of(&repository).await else { panic!("{name}") };
        assert!(text.contains(why), "{text}");
    }
}

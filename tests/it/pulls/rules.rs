//! One rule at a time.

use std::time::Duration;

use mimir::model::ids::{ProjectId, RunId};
use mimir::model::names::ProjectName;
use mimir::model::project::{Project, ProjectSettings};
use mimir::model::run::{Run, RunInput, RunLogEntry, RunState, RunSubject};
use mimir::store::{projects, runs};
use mimir::supervisor::failpoint::Failpoints;
use mimir::workflows::definition::StageDefinition;
use mimir::workflows::stage::{Outcome, StageError};
use serde_json::json;

use super::world::{BLOG, BRANCH, SECRET, World, report};
use crate::forge::{LOGIN, Trip};

const DAY: u64 = 24 * 60 * 60 * 1000;

fn gate(run: &Run) -> (&str, &str) {
    let held = run.progress.held.as_ref().unwrap_or_else(|| panic!("nobody is asked: {run:?}"));
    (held.gate.as_str(), held.subject.as_str())
}

/// What a yes to a merge of that commit is for.
fn to_main(commit: &str) -> String {
    format!("{commit}@main")
}

fn set(stages: &mut [StageDefinition], kind: &str, name: &str, value: serde_json::Value) {
    let stage = stages.iter_mut().find(|stage| stage.kind == kind).expect("a stage");
    stage.settings.insert(name.to_owned(), value);
}

/// A run that somebody asked for at the forge.
async fn asked_for_at_the_forge(change: impl FnOnce(&mut Vec<StageDefinition>)) -> (World, u64) {
    let mut number = 0;
    let world = World::with("github", |input, stages| {
        let repository = input.repository.clone().expect("a repository");
        let asked_by = "bob".to_owned();
        // The pull request is the second that is counted.
        number = 1;
        input.subject = RunSubject::Issue { repository, number, asked_by, url: None };
        change(stages);
    })
    .await;
    assert_eq!(world.forge.issue(BLOG, "bob", "carts", "may be empty", &[]), number);
    (world, number)
}

#[tokio::test]
async fn what_the_forge_does_not_allow_is_said_before_anything_is_done() {
    let world = World::new("github").await;
    world.forge.change(BLOG, |repo| repo.own_right = "read");
    let ended = world.pass(&Failpoints::default()).await;
    assert!(matches!(&ended, Err(StageError::Auth(why)) if why.contains("push")), "{ended:?}");
    let world = World::new("github").await;
    world.forge.change(BLOG, |repo| repo.is_archived = true);
    let ended = world.pass(&Failpoints::default()).await;
    assert!(matches!(&ended, Err(StageError::Auth(_) | StageError::Permanent(_))), "{ended:?}");
    assert_eq!(world.forge.effects().pulls, 0);
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        world.forge.reads_only(true);
        let ended = world.pass(&Failpoints::default()).await;
        assert!(matches!(&ended, Err(StageError::Auth(why)) if why.contains("push to me/blog")), "{ended:?}");
        let run = world.get().await;
        assert_eq!((run.stage.as_str(), run.state), ("preflight", RunState::Failed), "{kind}");
    }
}

#[tokio::test]
async fn a_project_has_so_many_pull_requests_a_day() {
    let world = World::new("github").await;
    for other in 0..5 {
        let id = RunId::from_parts(world.clock.now_ms(), 100 + other);
        world.begin(&id, RunInput::default(), "aa").await;
        let logged = world.store.write(move |tx| {
            runs::log(tx, &id, "pull_request", "pull", "opens a pull request", None)?;
            runs::log(tx, &id, "pull_request", "pull", "is open", None)
        });
        logged.await.expect("logged");
    }
    let until = world.clock.now_ms() + DAY;
    let ended = world.pass(&Failpoints::default()).await;
    assert!(
        matches!(&ended, Ok(Outcome::Wait { until: at, why }) if *at == until && why.contains("pulls_per_day"))
    );
    world.clock.advance_ms(DAY + 1);
    world.settle().await;
    assert_eq!(world.forge.effects().pulls, 1);
}

#[tokio::test]
async fn a_pull_request_that_is_there_is_found_and_says_what_ours_says() {
    let world = World::new("github").await;
    world.settle().await;
    world.forge.change(BLOG, |repo| repo.pulls[0].body = "Closes everything, @all".into());
    let run = world.get().await;
    let mut progress = run.progress.clone();
    progress.pull = None;
    let change = runs::RunChange {
        state: RunState::Running,
        stage: "pull_request".into(),
        attempt: 0,
        reason: None,
        progress,
        wake_at: None,
        keeps_place: false,
    };
    world.store.write(move |tx| runs::change(tx, &run, &change)).await.expect("changed");
    world.settle().await;
    assert_eq!(world.forge.effects().pulls, 1);
    assert!(world.forge.pull(BLOG, 1).body.contains("<!-- mimir:run=run_"));
}

#[tokio::test]
async fn what_is_closed_or_settled_elsewhere_is_superseded() {
    let world = World::new("github").await;
    world.settle().await;
    world.forge.change(BLOG, |repo| repo.pulls[0].is_closed = true);
    let run = world.settle().await;
    assert_eq!(
        (run.state, run.reason.as_deref()),
        (RunState::Superseded, Some("pull request #1 was closed"))
    );
    assert_eq!(world.told.lock().discarded, 1);

    let world = World::new("github").await;
    world.settle().await;
    world.errors.known.lock().is_resolved = true;
    let run = world.settle().await;
    assert_eq!(
        (run.state, run.reason.as_deref()),
        (RunState::Superseded, Some("error SHOP-1A was resolved"))
    );
    let effects = world.forge.effects();
    assert_eq!((effects.closed, effects.comments), (1, 1), "nobody looked at the draft");
}

#[tokio::test]
async fn people_let_it_pause_go_on_and_stop() {
    let world = World::new("github").await;
    let run = world.ready().await;
    assert_eq!(gate(&run), ("merge", to_main(&world.head()).as_str()));
    world.forge.say(BLOG, 1, "eve", "@mimir stop");
    world.forge.say(BLOG, 1, "ann", "@mimir pause");
    let run = world.later().await;
    assert_eq!(run.state, RunState::Waiting);
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("ann paused it")), "{run:?}");
    world.forge.say(BLOG, 1, "ann", "Use a list.");
    world.later().await;
    assert!(world.told.lock().wanted.is_empty(), "it is paused");
    world.forge.say(BLOG, 1, "bob", "@mimir resume");
    world.later().await;
    assert_eq!(world.told.lock().wanted.len(), 1);
    world.forge.say(BLOG, 1, "bob", "@mimir stop");
    let run = world.later().await;
    assert_eq!((run.state, run.reason.as_deref()), (RunState::Cancelled, Some("bob said stop")));
    // Paused, going on, worked in, stopped: each once.
    assert_eq!(world.forge.effects().comments, 4);
    assert!(!world.forge.pull(BLOG, 1).is_closed);
}

#[tokio::test]
async fn a_stop_that_was_answered_holds_when_the_gateway_dies_after_it() {
    let world = World::new("github").await;
    world.ready().await;
    world.approve().await;
    world.forge.say(BLOG, 1, "ann", "@mimir stop");
    let points = Failpoints::default();
    points.arm("test.discard", 1);
    let pass = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            _ = points.died() => true,
            () = async { while world.pass(&points).await.is_ok() {} } => false,
        }
    });
    assert!(pass.await.expect("it comes there"), "it dies before the frame is taken away");
    let run = world.later().await;
    assert_eq!((run.state, run.reason.as_deref()), (RunState::Cancelled, Some("ann said stop")));
    assert_eq!((world.forge.effects().merges, world.forge.effects().comments), (0, 1));
}

#[tokio::test]
async fn a_crowd_of_strangers_drowns_no_objection() {
    let world = World::new("github").await;
    world.ready().await;
    for number in 0..120 {
        world.forge.say(BLOG, 1, &format!("stranger-{number}"), "me too");
    }
    world.forge.say(BLOG, 1, "bob", "@mimir pause");
    world.approve().await;
    for _ in 0..5 {
        world.settle().await;
        world.clock.advance_ms(2_000);
    }
    let run = world.later().await;
    assert_eq!(world.forge.effects().merges, 0);
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("bob paused it")), "{run:?}");
}

#[tokio::test]
async fn what_the_agent_cannot_mend_is_handed_over_once_for_each_commit() {
    let world = World::new("github").await;
    world.told.lock().says = Some("The runner has no disk.".into());
    world.settle().await;
    world.checks("failure");
    let run = world.later().await;
    assert_eq!((run.state, gate(&run)), (RunState::Held, ("follow", world.head().as_str())));
    world.later().await;
    world.later().await;
    let said = world.said();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("found nothing to change")
            && said[0].contains("1. ")
            && said[0].contains("`@mimir stop`")
    );
    // A person has it try once more: no second comment for the same commit.
    world.approve().await;
    let run = world.later().await;
    assert_eq!(gate(&run).0, "follow");
    assert_eq!((world.told.lock().wanted.len(), world.said().len()), (2, 1));
    // It stays red inside as well: the next commit of somebody else is looked at anew.
    world.told.lock().is_red = true;
    world.blog.add(BRANCH, "other.txt", "by hand");
    world.checks("failure");
    let run = world.later().await;
    assert_eq!(gate(&run), ("follow", world.head().as_str()));
    assert_eq!(world.said().len(), 2);
}

#[tokio::test]
async fn a_yes_holds_for_the_commit_that_was_shown_and_for_no_other() {
    let world = World::new("github").await;
    world.ready().await;
    world.approve().await;
    let later = world.blog.add(BRANCH, "later.txt", "something else");
    world.checks("success");
    let run = world.later().await;
    assert_eq!(gate(&run), ("merge", to_main(&later).as_str()));
    assert_eq!(world.forge.effects().merges, 0);

    // It moves between the yes and the merge.
    world.approve().await;
    world.forge.plan("PUT", "/merge", Trip::HeadMoves(BRANCH.into()));
    world.settle().await;
    assert_eq!(world.forge.effects().merges, 0);
    world.checks("success");
    let run = world.later().await;
    assert_eq!(gate(&run), ("merge", to_main(&world.head()).as_str()));
    assert_eq!(world.forge.effects().merges, 0);
    assert_eq!(world.forge.planned(), 0);
    world.approve().await;
    assert_eq!(world.settle().await.stage, "watch");
    assert_eq!(world.forge.effects().merges, 1);
}

#[tokio::test]
async fn a_yes_is_for_the_branch_that_it_goes_to() {
    let world = World::new("github").await;
    world.ready().await;
    world.approve().await;
    world.blog.git(&["branch", "release", "main"]);
    world.forge.change(BLOG, |repo| repo.pulls[0].base = "release".into());
    let run = world.settle().await;
    assert_eq!((world.forge.effects().merges, gate(&run).0), (0, "follow"), "{run:?}");
    assert!(world.said().iter().any(|said| said.contains("it was sent to release")), "{:?}", world.said());
    let head = world.head();
    assert_eq!(gate(&run).1, format!("{head}:release"));
    // A yes to one more try names the branch, and holds for no other that it is sent to meanwhile.
    world.change(|progress| drop(progress.approved.insert("follow".into(), head.clone()))).await;
    assert_eq!(gate(&world.settle().await), ("follow", format!("{head}:release").as_str()));
    world.approve().await;
    world.blog.git(&["branch", "prod", "main"]);
    world.forge.change(BLOG, |repo| repo.pulls[0].base = "prod".into());
    assert_eq!(gate(&world.settle().await), ("follow", format!("{head}:prod").as_str()));
    world.forge.change(BLOG, |repo| repo.pulls[0].base = "release".into());
    // It goes on there now; before the merge there is another question.
    let run = world.settle().await;
    assert_eq!((world.forge.effects().merges, gate(&run).0), (0, "merge"), "{run:?}");
    assert_eq!(gate(&run).1, format!("{head}@release"));
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("into release?")), "{run:?}");
    // Sent back, people see to it once more.
    world.forge.change(BLOG, |repo| repo.pulls[0].base = "main".into());
    assert_eq!(gate(&world.settle().await).0, "follow");
    world.approve().await;
    assert_eq!(gate(&world.settle().await).0, "merge");
    world.approve().await;
    assert_eq!((world.settle().await.stage.as_str(), world.forge.effects().merges), ("watch", 1));
}

#[tokio::test]
async fn what_was_sent_elsewhere_is_merged_by_nobody_but_a_person_who_was_told_where() {
    let auto = |stages: &mut Vec<StageDefinition>| set(stages, "merge", "policy", json!("auto"));
    let (world, _) = asked_for_at_the_forge(auto).await;
    world.blog.add(BRANCH, "test_cart.py", "assert total([]) == 0\n");
    world.change(|progress| progress.commit = Some(world.head())).await;
    world.ready().await;
    world.forge.review(BLOG, 2, "ann", "APPROVED", "", &[]);
    world.blog.git(&["branch", "release", "main"]);
    world.forge.change(BLOG, |repo| repo.pulls[0].base = "release".into());
    assert_eq!(gate(&world.settle().await).0, "follow");
    world.approve().await;
    let run = world.settle().await;
    assert_eq!((world.forge.effects().merges, gate(&run).0), (0, "merge"), "{run:?}");
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("it was opened for main")), "{run:?}");
    world.approve().await;
    assert_eq!((world.settle().await.stage.as_str(), world.forge.effects().merges), ("watch", 1));
}

#[tokio::test]
async fn a_merge_that_the_forge_refuses_is_handed_over() {
    let world = World::new("github").await;
    world.ready().await;
    world.approve().await;
    world.forge.plan("PUT", "/merge", Trip::Says(403, "A rule of this branch says no".into()));
    let run = world.settle().await;
    assert_eq!(gate(&run).0, "follow");
    assert!(world.said()[0].contains("A rule of this branch says no"), "{:?}", world.said());
}

#[tokio::test]
async fn what_people_merge_themselves_goes_on_to_its_end() {
    let world = World::new("github").await;
    world.ready().await;
    world.forge.change(BLOG, |repo| repo.merge(1, "merge")).expect("merged");
    let run = world.settle().await;
    assert_eq!((run.stage.as_str(), run.state), ("watch", RunState::Waiting));
    assert_eq!(world.errors.known.lock().resolves.len(), 1);
    world.clock.advance_ms(7 * DAY);
    assert_eq!(world.settle().await.state, RunState::Succeeded);
}

#[tokio::test]
async fn a_tracker_that_does_not_know_the_repository_is_told_of_the_next_release() {
    let world = World::new("github").await;
    world.errors.known.lock().knows_commits = false;
    world.ready().await;
    world.approve().await;
    world.settle().await;
    let resolves = world.errors.known.lock().resolves.clone();
    assert_eq!(resolves.len(), 1);
    assert_eq!(resolves[0]["statusDetails"], json!({"inNextRelease": true}));
}

#[tokio::test]
async fn what_comes_back_within_the_watch_fails_the_run() {
    let world = World::new("github").await;
    world.ready().await;
    world.approve().await;
    world.settle().await;
    world.clock.advance_ms(3 * DAY);
    assert_eq!(world.settle().await.state, RunState::Waiting);
    world.errors.known.lock().has_regressed = true;
    let run = world.settle().await;
    let reason = Some("regressed: SHOP-1A is unresolved again");
    assert_eq!((run.state, run.reason.as_deref()), (RunState::Failed, reason));
    let said = world.said();
    assert!(said.len() == 1 && said[0].contains("came back"), "{said:?}");
}

#[tokio::test]
async fn what_had_come_back_before_it_was_watched_is_nothing_new() {
    let nothing = |_: &mut RunInput, stages: &mut Vec<StageDefinition>| {
        set(stages, "resolve", "sentry", json!("nothing"));
    };
    let world = World::with("github", nothing).await;
    world.errors.known.lock().has_regressed = true;
    world.ready().await;
    world.approve().await;
    let run = world.settle().await;
    assert_eq!((run.stage.as_str(), run.state), ("watch", RunState::Waiting), "{run:?}");
    assert!(world.said().is_empty(), "{:?}", world.said());
    {
        let mut known = world.errors.known.lock();
        (known.has_regressed, known.is_resolved) = (false, true);
    }
    assert_eq!(world.later().await.state, RunState::Waiting);
    world.errors.known.lock().has_regressed = true;
    assert_eq!(world.settle().await.state, RunState::Failed);
}

#[tokio::test]
async fn the_last_of_many_statuses_is_read_where_the_forge_counts_pages_alone() {
    let world = World::new("gitea").await;
    world.settle().await;
    world.told.lock().says = Some("It is not the change.".into());
    for number in 0..60 {
        world.forge.status(BLOG, &world.head(), &format!("check {number}"), "success");
    }
    world.forge.status(BLOG, &world.head(), "the last", "failure");
    let run = world.later().await;
    assert_eq!(gate(&run).0, "follow");
    assert_eq!(world.told.lock().wanted["checks-1"].evidence[0].name, "failed check the last");
}

#[tokio::test]
async fn an_issue_is_told_and_watched() {
    let (world, issue) = asked_for_at_the_forge(|_| {}).await;
    world.ready().await;
    assert!(world.forge.pull(BLOG, 2).body.starts_with("Closes #1."));
    world.approve().await;
    let close = |is_closed| world.forge.change(BLOG, |repo| repo.issues[0].is_closed = is_closed);
    world.settle().await;
    let told = world.forge.change(BLOG, |repo| repo.comments.iter().filter(|it| it.number == issue).count());
    assert_eq!((told, world.forge.effects().closed_issues), (1, 1));
    assert!(
        world.forge.change(BLOG, |repo| repo.issues[0].is_closed),
        "this forge closes nothing by a merge"
    );
    world.forge.assert_as_described();
    world.clock.advance_ms(DAY);
    assert_eq!(world.settle().await.state, RunState::Waiting);
    close(false);
    let run = world.settle().await;
    assert_eq!(
        (run.state, run.reason.as_deref()),
        (RunState::Failed, Some("regressed: issue 1 was opened again"))
    );
}

#[tokio::test]
async fn a_gateway_that_dies_while_it_closes_an_issue_closes_it_once() {
    for place in ["workflows.close_issue.before", "workflows.close_issue.after"] {
        let (world, issue) = asked_for_at_the_forge(|_| {}).await;
        let points = Failpoints::default();
        points.arm(place, 1);
        assert_eq!(super::story::live(&world, points).await, [place]);
        assert_eq!(world.get().await.state, RunState::Succeeded, "{place}");
        let said =
            world.forge.change(BLOG, |repo| repo.comments.iter().filter(|it| it.number == issue).count());
        assert_eq!((said, world.forge.effects().closed_issues), (1, 1), "{place}");
    }
}

#[tokio::test]
async fn a_small_change_with_a_strangers_yes_is_merged_by_itself_where_that_was_written_down() {
    let auto = |stages: &mut Vec<StageDefinition>| set(stages, "merge", "policy", json!("auto"));
    let (world, _) = asked_for_at_the_forge(auto).await;
    world.blog.add(BRANCH, "test_cart.py", "assert total([]) == 0\n");
    world.change(|progress| progress.commit = Some(world.head())).await;
    let run = world.ready().await;
    assert_eq!(run.state, RunState::Waiting, "{run:?}");
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("approving review")), "{run:?}");
    // Who asked for it and who may not write do not count.
    world.forge.review(BLOG, 2, "bob", "APPROVED", "", &[]);
    world.forge.review(BLOG, 2, "eve", "APPROVED", "", &[]);
    assert_eq!(world.later().await.stage, "merge");
    assert_eq!(world.forge.effects().merges, 0);
    world.forge.review(BLOG, 2, "ann", "APPROVED", "", &[]);
    assert_eq!(world.later().await.stage, "watch");
    assert_eq!(world.forge.effects().merges, 1);
    world.forge.assert_as_described();

    // The same with a protected file: a person is asked.
    let (world, _) = asked_for_at_the_forge(auto).await;
    world.blog.add(BRANCH, "test_cart.py", "assert total([]) == 0\n");
    world.blog.git(&["rev-parse", "main"]);
    let config = world.blog.git_with(&["hash-object", "-w", "--stdin"], b"on: push\n");
    let below = world.blog.git_with(&["mktree"], format!("100644 blob {config}\tci.yml\n").as_bytes());
    let above = world.blog.git_with(&["mktree"], format!("040000 tree {below}\tworkflows\n").as_bytes());
    let listed = world.blog.git(&["ls-tree", BRANCH]);
    let entries = format!("{listed}\n040000 tree {above}\t.github\n");
    let tree = world.blog.git_with(&["mktree"], entries.as_bytes());
    let commit = world.blog.git(&["commit-tree", &tree, "-p", BRANCH, "-m", "change the checks"]);
    world.blog.git(&["update-ref", &format!("refs/heads/{BRANCH}"), &commit]);
    world.change(|progress| progress.commit = Some(commit)).await;
    world.ready().await;
    world.forge.review(BLOG, 2, "ann", "APPROVED", "", &[]);
    let run = world.later().await;
    assert_eq!(gate(&run).0, "merge");
    assert!(run.reason.as_deref().is_some_and(|why| why.contains(".github/workflows/ci.yml")), "{run:?}");
    assert_eq!(world.forge.effects().merges, 0);
}

#[tokio::test]
async fn what_the_project_protects_is_merged_by_no_policy_whoever_pushed_it() {
    let auto = |stages: &mut Vec<StageDefinition>| set(stages, "merge", "policy", json!("auto"));
    let (world, _) = asked_for_at_the_forge(auto).await;
    let project = Project {
        id: ProjectId::from_parts(1, 1),
        name: ProjectName::parse("shop").expect("a name"),
        path: "/srv/shop".into(),
        created_at: 1,
    };
    let settings = ProjectSettings { protected: vec!["deploy.sh".into()], ..ProjectSettings::default() };
    let written = world.store.write(move |tx| {
        projects::insert(tx, &project)?;
        projects::set_settings(tx, &project.id, &settings)?;
        tx.change("UPDATE runs SET project = 'shop'", ()).map(drop)
    });
    written.await.expect("written");
    // Somebody who may write, and what the run does about it on top.
    world.blog.add(BRANCH, "deploy.sh", "exit 1\n");
    world.blog.add(BRANCH, "test_cart.py", "assert total([]) == 0\n");
    world.change(|progress| progress.commit = Some(world.head())).await;
    world.ready().await;
    world.forge.review(BLOG, 2, "ann", "APPROVED", "", &[]);
    let run = world.later().await;
    assert_eq!(gate(&run).0, "merge", "{run:?}");
    assert!(run.reason.as_deref().is_some_and(|why| why.contains("deploy.sh")), "{run:?}");
    assert_eq!(world.forge.effects().merges, 0);
}

#[tokio::test]
async fn conflicts_are_settled_on_the_branch() {
    let world = World::new("github").await;
    world.settle().await;
    world.blog.add("main", "fix.txt", "something else\n");
    let run = world.later().await;
    assert_eq!(world.told.lock().wanted["conflict-1"].merge.as_deref(), Some("main"), "{run:?}");
    world.checks("success");
    world.later().await;
    world.clock.advance_ms(60_000);
    let run = world.settle().await;
    assert_eq!(gate(&run).0, "merge");
    world.approve().await;
    world.settle().await;
    assert_eq!(world.forge.effects().merges, 1);
}

#[tokio::test]
async fn answers_that_are_lost_are_asked_for_again() {
    let world = World::new("github").await;
    world.forge.plan("POST", "/pulls", Trip::AnswerLost);
    world.forge.plan("POST", "/comments", Trip::AnswerLost);
    world.forge.plan("PUT", "/merge", Trip::AnswerLost);
    world.forge.plan("DELETE", "/git/refs", Trip::Status(502));
    world.settle().await;
    world.settle().await;
    world.checks("success");
    world.forge.say(BLOG, 1, "ann", "Use a list.");
    for _ in 0..4 {
        world.clock.advance_ms(60_000);
        world.settle().await;
    }
    world.checks("success");
    let run = world.later().await;
    assert_eq!(gate(&run).0, "merge");
    world.approve().await;
    for _ in 0..4 {
        world.settle().await;
    }
    assert_eq!(world.forge.planned(), 0);
    let effects = world.forge.effects();
    assert_eq!((effects.pulls, effects.comments, effects.merges, effects.deleted_branches), (1, 1, 1, 1));
}

#[tokio::test]
async fn patience_that_is_asked_for_is_had() {
    let world = World::new("github").await;
    world.settle().await;
    world.forge.plan("GET", "/check-runs", Trip::Secondary(90));
    let ended = world.pass(&Failpoints::default()).await;
    let until = world.clock.now_ms() + 90_000;
    assert!(
        matches!(&ended, Err(StageError::RateLimited { until: at, .. }) if at.abs_diff(until) < 2_000),
        "{ended:?}"
    );
}

#[tokio::test]
async fn the_last_of_many_checks_counts_and_a_lost_message_costs_minutes_at_most() {
    let world = World::new("github").await;
    let run = world.settle().await;
    assert!(run.not_before <= world.clock.now_ms() + 5 * 60_000, "it looks again by itself");
    for number in 0..130 {
        let conclusion = if number == 120 { "failure" } else { "success" };
        world.forge.check(BLOG, &world.head(), &format!("check {number}"), Some(conclusion));
    }
    world.later().await;
    let told = world.told.lock();
    assert_eq!(told.wanted["checks-1"].evidence[0].name, "failed check check 120");
    assert_eq!(told.wanted["checks-1"].evidence.len(), 1);
}

#[tokio::test]
async fn a_secret_in_an_agents_words_does_not_leave() {
    let world = World::new("github").await;
    world
        .change(|progress| {
            let mut found = report(&format!("the key is {SECRET}"));
            found.summary = Some(format!("Use {SECRET}"));
            progress.report = Some(found);
        })
        .await;
    world.settle().await;
    let pull = world.forge.pull(BLOG, 1);
    assert!(!pull.title.contains(SECRET) && !pull.body.contains(SECRET), "{pull:?}");
    assert!(
        pull.body.contains("_the cause is left out here") && pull.body.contains("### Proof"),
        "{}",
        pull.body
    );
    world.told.lock().says = Some(format!("I will not print {SECRET}"));
    world.checks("success");
    world.forge.say(BLOG, 1, "ann", "What is the key?");
    world.later().await;
    let said = world.said();
    assert!(said.len() == 1 && !said[0].contains(SECRET) && said[0].contains("left out"), "{said:?}");
    let timeline = world.timeline().await;
    assert!(timeline.len() > 3);
}

#[tokio::test]
async fn green_is_what_has_been_green_for_a_while() {
    let auto = |stages: &mut Vec<StageDefinition>| set(stages, "merge", "policy", json!("auto"));
    let (world, _) = asked_for_at_the_forge(auto).await;
    world.blog.add(BRANCH, "test_cart.py", "assert total([]) == 0\n");
    world.change(|progress| progress.commit = Some(world.head())).await;
    world.told.lock().says = Some("It is not the change.".into());
    world.settle().await;
    world.forge.review(BLOG, 2, "ann", "APPROVED", "", &[]);
    world.forge.check(BLOG, &world.head(), "lint", Some("success"));
    let is_as_it_was = || world.forge.pull(BLOG, 2).is_draft && world.forge.effects().merges == 0;
    for _ in 0..5 {
        let run = world.settle().await;
        assert!(
            run.reason.as_deref().is_some_and(|why| why.contains("other checks")) && is_as_it_was(),
            "{run:?}"
        );
        world.clock.advance_ms(10_000);
    }
    // A job that waited for the first one begins, and ends badly.
    world.forge.check(BLOG, &world.head(), "test", None);
    assert!(world.settle().await.reason.is_some_and(|why| why.contains("it waits for checks")));
    world.clock.advance_ms(60_000);
    world.forge.check(BLOG, &world.head(), "test", Some("failure"));
    let run = world.later().await;
    assert!(gate(&run).0 == "follow" && is_as_it_was(), "{run:?}");
    assert_eq!(world.told.lock().wanted["checks-1"].evidence[0].name, "failed check test");
    world.forge.assert_as_described();
}

#[tokio::test]
async fn a_program_that_goes_on_is_waited_for_however_long_it_makes_no_run() {
    let world = World::new("github").await;
    world.settle().await;
    world.forge.check(BLOG, &world.head(), "lint", Some("success"));
    world.forge.suite(BLOG, &world.head(), "mimir-test", false, 1);
    for _ in 0..5 {
        let run = world.later().await;
        assert!(run.reason.as_deref().is_some_and(|why| why == "it waits for checks"), "{run:?}");
        assert!(world.forge.pull(BLOG, 1).is_draft);
    }
    world.forge.suite(BLOG, &world.head(), "mimir-test", true, 1);
    let run = world.later().await;
    assert_eq!(gate(&run), ("merge", to_main(&world.head()).as_str()));
    world.forge.assert_as_described();
}

#[tokio::test]
async fn checks_that_a_stranger_begins_for_a_branch_of_theirs_keep_nobody_waiting() {
    let world = World::new("github").await;
    world.settle().await;
    let head = world.head();
    world.forge.suite_for(BLOG, &head, BRANCH, "test", Some("success"));
    for (branch, conclusion) in [("eve-1", None), ("eve-2", Some("failure")), ("eve-3", Some("success"))] {
        world.forge.suite_for(BLOG, &head, branch, "test", conclusion);
    }
    let run = world.later().await;
    assert_eq!(gate(&run), ("merge", to_main(&head).as_str()), "{run:?}");
    assert!(world.told.lock().wanted.is_empty(), "nothing of theirs was worked on");
    world.forge.assert_as_described();
}

#[tokio::test]
async fn long_comments_of_a_stranger_end_no_run_and_hide_nobody() {
    let world = World::new("github").await;
    world.settle().await;
    let long = "\u{1f980}".repeat(65_536);
    for _ in 0..40 {
        world.forge.say(BLOG, 1, "eve", &long);
    }
    world.forge.say(BLOG, 1, "ann", "Use a list.");
    let run = world.later().await;
    assert!(!run.state.is_end(), "{:?} {:?}", run.state, run.reason);
    assert_eq!(world.told.lock().wanted["review-1"].evidence[0].text, "Use a list.");
    assert_eq!((world.forge.effects().comments, world.said().len()), (1, 1));
}

#[tokio::test]
async fn more_than_is_read_is_handed_over_and_ends_no_run() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        world.ready().await;
        world.approve().await;
        // Gitea knows no pages there.
        let (count, size, looks) = if kind == "github" { (101, 10, 3) } else { (140, 65_536, 1) };
        *world.pages.lock() = 1;
        for _ in 0..count {
            world.forge.say(BLOG, 1, "eve", &"z".repeat(size));
        }
        for _ in 0..looks {
            let run = world.later().await;
            assert_eq!((run.state, gate(&run).0), (RunState::Held, "follow"), "{kind}: {:?}", run.reason);
            let reason = Some("there is more than mimir reads of the comments below 1");
            assert_eq!(run.reason.as_deref(), reason, "{kind}");
        }
        // Whoever has it try once more changes nothing about that.
        world.approve().await;
        assert_eq!(gate(&world.later().await).0, "follow", "{kind}");
        assert_eq!((world.forge.effects().comments, world.forge.effects().merges), (0, 0), "{kind}");
        let handed_over =
            |line: &&RunLogEntry| line.kind == "comment" && line.text.starts_with("handed over");
        assert_eq!(world.timeline().await.iter().filter(handed_over).count(), 1, "{kind}: once");
        // It goes on when somebody has tidied up.
        world.forge.change(BLOG, |repo| repo.comments.clear());
        let run = world.later().await;
        assert_eq!((run.stage.as_str(), run.state), ("watch", RunState::Waiting), "{kind}: {:?}", run.reason);
    }
}

#[tokio::test]
async fn an_issue_with_more_comments_than_are_read_is_closed_without_a_word() {
    let (world, issue) = asked_for_at_the_forge(|_| {}).await;
    world.ready().await;
    world.approve().await;
    *world.pages.lock() = 1;
    for _ in 0..101 {
        world.forge.say(BLOG, issue, "eve", "me too");
    }
    let run = world.settle().await;
    assert_eq!((run.stage.as_str(), run.state), ("watch", RunState::Waiting), "{:?}", run.reason);
    assert_eq!((world.forge.effects().closed_issues, world.forge.effects().comments), (1, 0));
    let timeline = world.timeline().await;
    assert!(
        timeline.iter().any(|line| line.text.contains("issue 1 was not told (there is more")),
        "{timeline:#?}"
    );
}

#[tokio::test]
async fn a_pull_request_of_somebody_else_is_taken_only_when_it_does_the_same() {
    // To another branch: ours is opened beside it.
    let world = World::new("github").await;
    world.blog.git(&["branch", "release", "main"]);
    assert_eq!(world.forge.open(BLOG, "ann", BRANCH, "release"), 1);
    let run = world.settle().await;
    assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{run:?}");
    assert_eq!(
        (world.forge.pull(BLOG, 2).base.as_str(), world.forge.pull(BLOG, 1).body.as_str()),
        ("main", "")
    );

    // One that was closed is nobody's no.
    let world = World::new("github").await;
    world.forge.open(BLOG, "ann", BRANCH, "main");
    world.forge.change(BLOG, |repo| repo.pulls[0].is_closed = true);
    let run = world.settle().await;
    assert_eq!((run.state, run.progress.pull.as_ref().map(|pull| pull.number)), (RunState::Waiting, Some(2)));

    // With something else at its head it is none of the run's, and there can be no second one.
    let world = World::new("github").await;
    world.blog.add(BRANCH, "more.txt", "by hand");
    world.forge.open(BLOG, "ann", BRANCH, "main");
    let run = world.settle().await;
    assert_eq!((run.stage.as_str(), run.state), ("pull_request", RunState::Waiting), "{run:?}");
    assert!(
        run.reason.as_deref().is_some_and(|why| why.contains("#1") && why.contains("ann opened")),
        "{run:?}"
    );
    assert_eq!((world.forge.effects().pulls, world.forge.pull(BLOG, 1).body.as_str()), (0, ""));
    world.forge.change(BLOG, |repo| repo.pulls[0].is_closed = true);
    assert_eq!(world.settle().await.progress.pull.map(|pull| pull.number), Some(2));
}

#[tokio::test]
async fn whoever_opens_our_pull_request_before_us_does_not_write_what_is_merged() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        assert_eq!(world.forge.open(BLOG, "eve", BRANCH, "main"), 1);
        let run = world.ready().await;
        let why = run.reason.as_deref().unwrap_or_default();
        assert!(gate(&run).0 == "merge" && why.contains("opened by eve"), "{run:?}");
        world.forge.change(BLOG, |repo| {
            repo.pulls[0].title = "feat!: everything [skip ci], closes #1".into();
            repo.pulls[0].body = "Closes #1".into();
        });
        world.approve().await;
        world.settle().await;
        assert_eq!(world.forge.effects().merges, 1, "{kind}");
        let said = world.blog.git(&["log", "-1", "--format=%B", "main"]);
        let (title, rest) = said.split_once("\n\n").expect("a title and a text");
        assert_eq!(title, "Carts may be empty (#1)", "{kind}");
        assert!(rest.starts_with(&format!("Made by mimir, run {}, up to ", world.run)), "{kind}: {rest}");
        if kind == "github" {
            world.forge.assert_as_described();
        }
    }
}

#[tokio::test]
async fn whoever_opens_our_pull_request_before_us_does_not_end_the_run() {
    let close = |world: &World| world.forge.change(BLOG, |repo| repo.pulls[0].is_closed = true);
    let world = World::new("github").await;
    world.forge.open(BLOG, "eve", BRANCH, "main");
    let run = world.ready().await;
    assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(1), "{run:?}");
    world.approve().await;
    close(&world);
    let run = world.settle().await;
    assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{run:?}");
    let pull = world.forge.pull(BLOG, 2);
    assert_eq!((pull.author.as_str(), pull.is_draft, run.state.is_end()), (LOGIN, false, false), "{run:?}");
    // The yes was to the other one.
    assert_eq!((gate(&run).0, world.forge.effects().merges, world.forge.effects().pulls), ("merge", 0, 1));
    world.approve().await;
    assert_eq!((world.settle().await.stage.as_str(), world.forge.effects().merges), ("watch", 1));
    // Of our own, a close is a no.
    let world = World::new("github").await;
    world.forge.open(BLOG, "eve", BRANCH, "main");
    world.settle().await;
    close(&world);
    world.settle().await;
    world.forge.change(BLOG, |repo| repo.pulls[1].is_closed = true);
    let run = world.settle().await;
    assert_eq!(
        (run.state, run.reason.as_deref()),
        (RunState::Superseded, Some("pull request #2 was closed"))
    );
    // And so it is of somebody's who may write.
    let world = World::new("github").await;
    world.forge.open(BLOG, "ann", BRANCH, "main");
    world.settle().await;
    close(&world);
    assert_eq!(world.settle().await.state, RunState::Superseded);
    world.forge.assert_as_described();
}

#[tokio::test]
async fn whoever_closes_what_somebody_else_opened_ends_the_run() {
    for kind in ["github", "gitea"] {
        // With a right to write, with less, and a program.
        for closer in ["bob", "tom", "stale[bot]"] {
            let world = World::new(kind).await;
            world.forge.allow(BLOG, "tom", "triage");
            world.forge.open(BLOG, "eve", BRANCH, "main");
            world.settle().await;
            world.forge.close(BLOG, closer, 1);
            let run = world.settle().await;
            assert_eq!(
                (run.state, run.reason.as_deref()),
                (RunState::Superseded, Some("pull request #1 was closed")),
                "{kind}: {closer}"
            );
            assert_eq!(world.forge.effects().pulls, 0, "{kind}: {closer}");
        }
        // Of whoever opened it and may not write, it is nobody's no.
        let world = World::new(kind).await;
        world.forge.open(BLOG, "eve", BRANCH, "main");
        world.settle().await;
        world.forge.close(BLOG, "eve", 1);
        let run = world.settle().await;
        assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{kind}: {run:?}");
        world.forge.assert_as_described();
    }
}

/// With a token of nobody's.
#[tokio::test]
async fn where_nobody_says_who_we_are_a_copied_marker_makes_nothing_ours() {
    for kind in ["github", "gitea"] {
        let copies = |world: &World, base: &str| {
            let number = world.forge.open(BLOG, "eve", BRANCH, base);
            let body = format!("Closes #1\n\n<!-- mimir:run={} -->", world.run);
            world.forge.change(BLOG, |repo| repo.pull_mut(number).expect("it is open").body = body);
        };
        // There can be no second one: it says what ours says, and stays eve's.
        let world = World::new(kind).await;
        world.forge.tells_nobody_who_we_are();
        copies(&world, "main");
        let run = world.ready().await;
        let why = run.reason.as_deref().unwrap_or_default();
        assert!(gate(&run).0 == "merge" && why.contains("opened by eve"), "{kind}: {run:?}");
        assert!(!world.forge.pull(BLOG, 1).body.contains("Closes"), "{kind}");
        world.forge.close(BLOG, "eve", 1);
        let run = world.settle().await;
        assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{kind}: {run:?}");

        // To another branch, or closed: it counts for nothing.
        let world = World::new(kind).await;
        world.forge.tells_nobody_who_we_are();
        world.blog.git(&["branch", "release", "main"]);
        copies(&world, "release");
        copies(&world, "main");
        world.forge.close(BLOG, "eve", 2);
        let run = world.settle().await;
        assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(3), "{kind}: {run:?}");
        world.checks("success");
        let run = world.later().await;
        let why = run.reason.as_deref().unwrap_or_default();
        assert!(gate(&run).0 == "merge" && !why.contains("opened by"), "{kind}: ours is ours: {run:?}");
        assert_eq!(world.forge.effects().pulls, 1, "{kind}");
        world.forge.assert_as_described();
    }
}

/// The answer to our own call is lost with the gateway, and nobody says who we are.
#[tokio::test]
async fn a_gateway_that_dies_while_it_opens_its_own_knows_it_again_though_nobody_says_who_it_is() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        world.forge.tells_nobody_who_we_are();
        world.blog.git(&["branch", "release", "main"]);
        assert_eq!(world.forge.open(BLOG, "eve", BRANCH, "release"), 1);
        let points = Failpoints::default();
        points.arm("workflows.pull_request.after", 1);
        let pass = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                _ = points.died() => true,
                () = async { while world.pass(&points).await.is_ok() {} } => false,
            }
        });
        assert!(pass.await.expect("it comes there"), "{kind}");
        let ours = world.forge.pull(BLOG, 2).body;
        assert!(ours.contains("<!-- mimir:open="), "{kind}: {ours}");
        // Whoever copies it then comes behind, or was there before.
        world.blog.git(&["branch", "next", "main"]);
        assert_eq!(world.forge.open(BLOG, "eve", BRANCH, "next"), 3);
        for copy in [1, 3] {
            world.forge.change(BLOG, |repo| repo.pull_mut(copy).expect("it is open").body.clone_from(&ours));
        }
        let run = world.settle().await;
        assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{kind}: {run:?}");
        world.checks("success");
        let run = world.later().await;
        let why = run.reason.as_deref().unwrap_or_default();
        assert!(gate(&run).0 == "merge" && !why.contains("opened by"), "{kind}: ours is ours: {run:?}");
        assert_eq!(world.forge.effects().pulls, 1, "{kind}");
        // And a close of it is a no.
        world.forge.close(BLOG, "tom", 2);
        assert_eq!(world.settle().await.state, RunState::Superseded, "{kind}");
    }
}

#[tokio::test]
async fn a_gateway_that_dies_before_it_opens_its_own_opens_it_once() {
    let world = World::new("github").await;
    world.forge.open(BLOG, "eve", BRANCH, "main");
    world.settle().await;
    world.forge.change(BLOG, |repo| repo.pulls[0].is_closed = true);
    for place in ["test.save.after", "workflows.pull_request.before", "workflows.pull_request.after"] {
        let points = Failpoints::default();
        points.arm(place, 1);
        let pass = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                _ = points.died() => true,
                () = async { while world.pass(&points).await.is_ok() {} } => false,
            }
        });
        assert!(pass.await.expect("it comes there"), "{place}");
    }
    let run = world.settle().await;
    assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(2), "{run:?}");
    assert_eq!(world.forge.effects().pulls, 1);
}

#[tokio::test]
async fn mimir_never_hears_itself_whoever_opened_the_pull_request() {
    let world = World::new("github").await;
    world.forge.allow(BLOG, LOGIN, "write");
    assert_eq!(world.forge.open(BLOG, "ann", BRANCH, "main"), 1);
    let run = world.settle().await;
    assert_eq!(run.progress.pull.as_ref().map(|pull| pull.number), Some(1), "it does the same: {run:?}");
    assert!(world.forge.pull(BLOG, 1).body.contains("<!-- mimir:run=run_"));
    world.told.lock().says = Some("It is a list.".into());
    world.forge.say(BLOG, 1, "ann", "Use a list.");
    for _ in 0..5 {
        world.later().await;
    }
    let wanted: Vec<String> = world.told.lock().wanted.keys().cloned().collect();
    assert_eq!((wanted.as_slice(), world.said().len()), (&["review-1".to_owned()][..], 1));
}

#[tokio::test]
async fn a_forge_that_does_not_tell_who_may_write_is_no_end_of_a_run() {
    let world = World::new("gitea").await;
    world.forge.change(BLOG, |repo| repo.own_right = "write");
    let ended = world.pass(&Failpoints::default()).await;
    let is_said = |why: &str| why.contains("administrators alone") && why.contains("make whoever");
    assert!(matches!(&ended, Err(StageError::Auth(why)) if is_said(why)), "{ended:?}");
    assert_eq!(world.forge.effects().pulls, 0);

    // It was taken away later.
    let world = World::new("gitea").await;
    world.ready().await;
    world.forge.change(BLOG, |repo| repo.own_right = "write");
    world.forge.say(BLOG, 1, "eve", "me too");
    world.approve().await;
    let run = world.later().await;
    assert_eq!((run.state, gate(&run).0), (RunState::Held, "follow"), "{run:?}");
    assert!(world.said().iter().any(|said| said.contains("whether eve may write")), "{:?}", world.said());
    world.forge.change(BLOG, |repo| repo.own_right = "admin");
    assert_eq!(world.later().await.stage, "watch");
}

#[tokio::test]
async fn a_round_may_outlive_the_token_of_an_app() {
    let world = World::new("github").await;
    world.becomes_an_app();
    world.settle().await;
    world.told.lock().takes = 61 * 60_000;
    world.checks("failure");
    world.forge.say(BLOG, 1, "ann", "Use a list.");
    let run = world.later().await;
    assert!(!run.state.is_end(), "{run:?}");
    let said = world.said();
    assert!(said.len() == 1 && said[0].starts_with("Worked in with"), "{said:?}");
    assert!(world.forge.effects().tokens >= 2, "{:?}", world.forge.effects());
    // The same for one that is taken back before its time.
    world.forge.revoke_tokens();
    world.forge.say(BLOG, 1, "ann", "Use a map.");
    world.later().await;
    assert_eq!((world.said().len(), world.told.lock().wanted.len()), (2, 2));
    world.forge.assert_as_described();
}

#[tokio::test]
async fn a_forge_that_says_nothing_of_a_list_is_asked_again() {
    for kind in ["github", "gitea"] {
        let world = World::new(kind).await;
        world.ready().await;
        world.approve().await;
        let mut lists = vec!["/status", "/reviews", "/comments"];
        if kind == "github" {
            lists.extend(["/check-runs", "/check-suites"]);
        }
        for list in lists {
            world.forge.plan("GET", list, Trip::Nothing);
            let ended = world.pass(&Failpoints::default()).await;
            assert!(
                matches!(&ended, Ok(Outcome::Wait { why, .. }) if why.contains("is no list")),
                "{list}: {ended:?}"
            );
            assert_eq!((world.forge.planned(), world.forge.effects().merges), (0, 0), "{kind} {list}");
        }
        assert_eq!(world.settle().await.stage, "watch", "{kind}");
    }
}

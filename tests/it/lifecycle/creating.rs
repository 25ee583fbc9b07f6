//! Making frames: what is refused, and that nothing of it stays.

use std::time::Duration;

use mimir::frames::FrameError;
use mimir::frames::workspace::WorkspaceError;
use mimir::model::container::{ContainerSpec, Storage, container_name};
use mimir::model::frame::{Desired, FrameState, Observed};
use mimir::runtime::fake::{Failure, Fault, Op};
use mimir::runtime::{Runtime as _, RuntimeError};
use mimir::wire::frames::CreateFrame;

use super::world::{Agent, World, named};

#[tokio::test]
async fn a_frame_is_made_started_used_stopped_and_destroyed_without_a_trace() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    assert_eq!((frame.state, frame.desired), (FrameState::Created, Desired::Stopped));
    assert_eq!(world.engine.peek(&frame.id), Observed::Halted, "made with its container");

    let running = world.reach(&frame, Desired::Running).await.expect("starts");
    assert_eq!(running.state, FrameState::Running);
    let first_password = world.password(&frame.id);
    assert!(first_password.len() >= 32, "at least 128 bits");
    world
        .frames
        .agent(&running)
        .await
        .expect("a client")
        .health(Duration::from_secs(1))
        .await
        .expect("answers");

    let paused = world.reach(&frame, Desired::Paused).await.expect("pauses");
    assert_eq!(paused.state, FrameState::Paused);
    let name = frame.name.clone();
    world.frames.resume(&mimir::model::principal::Principal::GATEWAY, &name).await.expect("asked");
    world.frames.wait_for(&frame.id, Desired::Running, Duration::from_secs(30)).await.expect("resumes");

    let stopped = world.reach(&frame, Desired::Stopped).await.expect("stops");
    assert_eq!(stopped.state, FrameState::Stopped);
    assert!(world.attendant.open.lock().is_empty(), "the host's side is closed");

    let again = world.reach(&frame, Desired::Running).await.expect("starts again");
    assert_eq!((again.agent_port, again.preview_port), (frame.agent_port, frame.preview_port));
    assert_ne!(world.password(&frame.id), first_password, "a new password for each start");

    world.reach(&frame, Desired::Removed).await.expect("goes");
    world.check_nothing_left().await;
}

#[tokio::test]
async fn a_restart_is_a_new_container_and_a_new_password() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    let before = world.password(&frame.id);
    let after = world.restart_frame(&frame).await.expect("restarts");
    assert_eq!(after.generation, frame.generation + 1);
    assert_ne!(world.password(&frame.id), before);
    assert_eq!(world.notes(&frame.id).await, Vec::<String>::new(), "nobody mistook it for a crash");
    world.check_books().await;
}

#[tokio::test]
async fn two_creates_of_one_name_at_once_make_one_frame() {
    let world = World::new().await;
    let (one, two) =
        tokio::join!(world.try_create(world.request("blog")), world.try_create(world.request("blog")));
    let refused = if one.is_ok() { two } else { one };
    assert!(matches!(refused, Err(FrameError::NameTaken(name)) if name == "blog"));
    assert_eq!(world.frames.list().await.expect("lists").len(), 1);
    world.check_books().await;
}

#[tokio::test]
async fn what_cannot_become_a_frame_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let file = world.project("files").join("file");
    std::fs::write(&file, "x").expect("a file");
    let at = |path: &str| CreateFrame {
        name: "blog".into(),
        workspace: Some(path.to_owned()),
        ..CreateFrame::default()
    };
    let home = world.settings.home.display().to_string();
    let cases: Vec<(CreateFrame, &str)> = vec![
        (CreateFrame { name: "Blog!".into(), ..world.request("blog") }, "cannot be a name"),
        (at("/nonexistent/folder"), "does not exist"),
        (at(&file.display().to_string()), "is not a folder"),
        (at("/"), "root of the file system"),
        (at(&home), "inside mimir's own folder"),
        (at("relative"), "not an absolute path"),
        (CreateFrame { workspace: None, ..world.request("blog") }, "name a workspace or a project"),
        (
            CreateFrame { workspace: None, project: Some("none".into()), ..world.request("blog") },
            "no project none",
        ),
        (
            CreateFrame { image: Some("other:1".into()), ..world.request("blog") },
            "image other:1 is not on this machine",
        ),
        (CreateFrame { memory_bytes: Some(1), ..world.request("blog") }, "at least 512m"),
        (CreateFrame { allow: vec!["npmm".into()], ..world.request("blog") }, "did you mean `npm`?"),
        (CreateFrame { ttl_seconds: Some(9), ..world.request("blog") }, "only a throwaway frame"),
    ];
    for (request, expected) in cases {
        let refusal = world.try_create(request).await.expect_err(expected).to_string();
        assert!(refusal.contains(expected), "{refusal}");
    }
    world.check_nothing_left().await;
}

#[tokio::test]
async fn the_workspace_rule_names_the_folder() {
    let world = World::with(|settings| settings.user_home = Some("/tmp".into())).await;
    let request = CreateFrame { workspace: Some("/tmp".into()), ..world.request("blog") };
    let refused = world.try_create(request).await;
    assert!(matches!(refused, Err(FrameError::Workspace(WorkspaceError::Forbidden { .. }))), "{refused:?}");
}

#[tokio::test]
async fn an_engine_that_fails_a_create_leaves_no_row_port_folder_or_container() {
    let failures = [
        Fault::Before(Failure::Unreachable),
        Fault::Before(Failure::DiskFull),
        Fault::Before(Failure::ImageMissing),
        Fault::Before(Failure::NameTaken),
        Fault::Before(Failure::Refused("no".into())),
        Fault::After(Failure::Refused("made, and then no".into())),
        Fault::After(Failure::TooSlow),
        Fault::HangAfter,
    ];
    for fault in failures {
        let world = World::new().await;
        world.engine.next(Op::Create, fault.clone());
        let request = CreateFrame { start: true, ..world.request("blog") };
        let refused = world.try_create(request).await;
        assert!(matches!(refused, Err(FrameError::Runtime(_))), "{fault:?}: {refused:?}");
        world.check_nothing_left().await;
        world.create("blog").await;
    }
}

#[tokio::test]
async fn an_engine_that_mounts_another_folder_makes_no_frame() {
    let world = World::new().await;
    world.engine.on_mount(|mount| {
        if mount.target == "/workspace" {
            mount.source = "/etc".into();
        }
    });
    let refused = world.try_create(CreateFrame { start: true, ..world.request("blog") }).await;
    let Err(FrameError::Runtime(RuntimeError::MountsDiffer { wanted, mounted })) = refused else {
        panic!("{refused:?}")
    };
    let workspace = world.project("blog");
    assert_eq!(
        (wanted, mounted),
        (format!("{workspace:?} at /workspace"), r#""/etc" at /workspace"#.to_owned())
    );
    world.check_nothing_left().await;
}

#[tokio::test]
async fn a_container_that_shows_another_folder_is_replaced_before_it_runs_on() {
    for runs in [Observed::Halted, Observed::Running] {
        let mut world = World::new().await;
        let frame = world.create("blog").await;
        if runs == Observed::Running {
            world.reach(&frame, Desired::Running).await.expect("starts");
        }
        let spec = world.engine.spec_of(&frame.id).expect("it has a container");
        world.crash().await;
        // What a gateway leaves that dies between making it and looking at it, or that did not look yet.
        let wrong = ContainerSpec {
            workspace: Storage::HostFolder { path: "/etc".into(), uid: 0, gid: 0 },
            ..spec.clone()
        };
        world.engine.plant(wrong, runs);
        world.start_gateway().await;

        world.reach(&frame, Desired::Running).await.expect("starts");
        assert_eq!(world.engine.spec_of(&frame.id), Some(spec));
        let notes = world.frames.notes(&frame.id, 100).await.expect("reads");
        assert!(
            notes.iter().any(|note| note.text.contains(r#"had "/etc" at /workspace instead of"#)),
            "{notes:?}"
        );
    }
}

#[tokio::test]
async fn a_create_that_cannot_be_taken_back_now_is_taken_back_later() {
    let world = World::new().await;
    world.engine.next(Op::Create, Fault::After(Failure::TooSlow));
    world.engine.next(Op::Remove, Fault::Before(Failure::Unreachable));
    world.try_create(world.request("blog")).await.expect_err("refused");
    let row = world.frames.list().await.expect("lists").pop();
    if let Some(row) = row {
        world.eventually(&row.id, None).await;
    }
    world.check_nothing_left().await;
}

#[tokio::test]
async fn an_engine_that_is_down_is_said_so_before_anything_is_written() {
    let world = World::new().await;
    world.engine.go_down();
    let refused = world.try_create(world.request("blog")).await;
    assert!(matches!(refused, Err(FrameError::Runtime(RuntimeError::Unreachable { .. }))), "{refused:?}");
    world.engine.come_back();
    world.check_nothing_left().await;
}

#[tokio::test]
async fn no_free_port_is_an_error_and_leaves_nothing() {
    let range = crate::ports::own(3);
    let world = World::with(|settings| settings.config.ports = range).await;
    world.create("one").await;
    let refused = world.try_create(world.request("two")).await;
    assert!(matches!(refused, Err(FrameError::NoFreePort(_))), "{refused:?}");
    world.check_books().await;
}

#[tokio::test]
async fn a_port_that_somebody_else_holds_is_skipped_at_the_making() {
    let range = crate::ports::own(10);
    let world = World::with(|settings| settings.config.ports = range).await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", range.first)).expect("the test's own port is free");
    let frame = world.create("blog").await;
    assert!(frame.agent_port.0 > range.first, "{}", frame.agent_port);
    drop(taken);
}

#[tokio::test]
async fn a_foreign_container_with_our_name_is_left_alone() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let name = container_name(&frame.id);
    world.engine.remove_behind_our_back(&frame.id);
    world.engine.add_foreign_container(&name);
    let failed = world.reach(&frame, Desired::Running).await;
    assert!(
        matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("does not belong")),
        "{failed:?}"
    );
    world.reach(&frame, Desired::Removed).await.expect("goes");
    assert!(world.engine.has_foreign_container(&name));
}

#[tokio::test]
async fn only_what_runs_can_be_paused_or_resumed_and_what_goes_takes_no_wish() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let gateway = mimir::model::principal::Principal::GATEWAY;
    assert!(matches!(world.ask("blog", Desired::Paused).await, Err(FrameError::WrongState { .. })));
    assert!(matches!(
        world.frames.resume(&gateway, &named("blog")).await,
        Err(FrameError::WrongState { .. })
    ));
    assert!(matches!(world.ask("none", Desired::Running).await, Err(FrameError::NotFound(_))));

    world.engine.always(Op::Remove, Fault::Before(Failure::Unreachable));
    world.ask("blog", Desired::Removed).await.expect("asked");
    assert!(matches!(world.ask("blog", Desired::Running).await, Err(FrameError::BeingDestroyed(_))));
    let waited = world.frames.wait_for(&frame.id, Desired::Removed, Duration::from_millis(300)).await;
    assert!(matches!(waited, Err(FrameError::TooSlow { last: Some(_), .. })), "{waited:?}");
    world.engine.heal();
    world.eventually(&frame.id, None).await;
    world.check_nothing_left().await;
}

#[tokio::test]
async fn a_throwaway_frame_goes_by_itself() {
    let world = World::new().await;
    let request = CreateFrame { throwaway: true, ttl_seconds: Some(1), start: true, ..world.request("blog") };
    let frame = world.try_create(request).await.expect("created");
    assert!(frame.is_throwaway());
    world.eventually(&frame.id, FrameState::Running).await;
    world.eventually(&frame.id, None).await;
    world.check_nothing_left().await;
}

#[tokio::test]
async fn what_is_left_over_is_found_first_and_removed_only_when_asked() {
    let world = World::new().await;
    let kept = world.create("kept").await;
    let gone = world.create("gone").await;
    let spec = world.engine.spec_of(&gone.id).expect("it has a container");
    world.reach(&gone, Desired::Removed).await.expect("goes");
    std::fs::create_dir_all(spec.home.folder().expect("a folder")).expect("a folder comes back");
    world.engine.plant(spec, Observed::Running);
    std::fs::create_dir_all(world.settings.frames_folder.join("not-ours")).expect("somebody's folder");

    let unused = world.engine.add_untagged_image(true);

    let kinds = |found: &[mimir::wire::frames::Leftover]| {
        found.iter().map(|one| (one.kind.clone(), one.outcome.clone())).collect::<Vec<_>>()
    };
    let pair = |kind: &str, outcome: &str| (kind.to_owned(), outcome.to_owned());
    let found = world.frames.gc(true).await.expect("looks");
    assert_eq!(kinds(&found), [pair("container", "found"), pair("folder", "found"), pair("image", "found")]);
    assert!(world.engine.find_image(&unused.id).await.expect("looks").is_some(), "only looked at");
    let removed = world.frames.gc(false).await.expect("cleans");
    let all = [pair("container", "removed"), pair("folder", "removed"), pair("image", "removed")];
    assert_eq!(kinds(&removed), all);
    assert_eq!(world.engine.find_image(&unused.id).await.expect("looks"), None);
    assert_eq!(world.frames.gc(true).await.expect("looks"), []);
    assert_eq!(world.engine.containers_of(&kept.id), 1);
    assert!(world.settings.frames_folder.join("not-ours").exists(), "only what we made is ours to remove");
}

#[tokio::test]
async fn an_image_without_a_name_is_left_over_only_when_no_frame_is_made_from_it() {
    let world = World::new().await;
    let image = world.engine.add_untagged_image(true);
    let request = CreateFrame { image: Some(image.id.clone()), ..world.request("blog") };
    let frame = world.try_create(request).await.expect("an id will do");
    // Its container is gone for the moment; the row still counts.
    world.engine.remove_behind_our_back(&frame.id);
    assert_eq!(world.frames.gc(false).await.expect("cleans"), []);
    world.reach(&frame, Desired::Removed).await.expect("goes");

    // Somebody else's container is known to the engine only.
    let mut theirs = world.engine.spec_of(&world.create("ours").await.id).expect("it has a container");
    theirs.instance = mimir::model::ids::InstanceId::from_parts(3, 3);
    theirs.frame = mimir::model::ids::FrameId::from_parts(3, 3);
    theirs.image_id.clone_from(&image.id);
    world.engine.plant(theirs, Observed::Halted);
    let kept = world.frames.gc(false).await.expect("cleans");
    assert!(matches!(kept.as_slice(), [one] if one.outcome.contains("in use")), "{kept:?}");
    assert!(world.engine.find_image(&image.id).await.expect("looks").is_some());
}

#[tokio::test]
async fn a_stray_is_removed_unasked_once_it_is_old_enough() {
    let world = World::with(|settings| settings.stray_age = Duration::from_millis(300)).await;
    let gone = world.create("gone").await;
    let spec = world.engine.spec_of(&gone.id).expect("it has a container");
    world.reach(&gone, Desired::Removed).await.expect("goes");
    std::fs::create_dir_all(spec.home.folder().expect("a folder")).expect("a folder comes back");
    world.engine.plant(spec, Observed::Halted);
    world.until("the stray is gone", || async { world.engine.containers().is_empty() }, &gone.id).await;
}

#[tokio::test]
async fn another_gateways_frames_on_the_same_engine_are_not_ours() {
    let world = World::new().await;
    let ours = world.create("ours").await;
    let mut theirs = world.engine.spec_of(&ours.id).expect("it has a container");
    theirs.instance = mimir::model::ids::InstanceId::from_parts(2, 2);
    theirs.frame = mimir::model::ids::FrameId::from_parts(2, 2);
    world.engine.plant(theirs.clone(), Observed::Running);
    world.frames.reconcile_once().await.expect("looks");
    world.frames.gc(false).await.expect("cleans");
    world.reach(&ours, Desired::Removed).await.expect("goes");
    assert_eq!(world.engine.peek(&theirs.frame), Observed::Running);
}

#[tokio::test]
async fn an_agent_of_another_version_is_an_error_that_says_so() {
    let world = World::new().await;
    world.set_agent(Agent::Version2);
    let frame = world.create("blog").await;
    let failed = world.reach(&frame, Desired::Running).await;
    assert!(
        matches!(&failed, Err(FrameError::Failed { reason, .. }) if reason.contains("opencode 2.0.1")),
        "{failed:?}"
    );
    world.eventually_engine(&frame.id, Observed::Halted).await;
    assert_eq!(world.row(&frame.id).await.expect("there").state, FrameState::Error, "nobody tidied it up");

    world.set_agent(Agent::Answers);
    world.reach(&frame, Desired::Running).await.expect("error always leaves by start");
}

//! Folders that change under their frames, and what is said about one when a frame is made.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mimir::frames::{FrameError, FrameRequest, Place};
use mimir::model::container::inside;
use mimir::model::frame::{Desired, FrameState, GitFolder};
use mimir::runtime::ExecSpec;
use mimir::runtime::fake::{Fault, Op};
use mimir::wire::frames::CreateFrame;

use super::world::{OWNER, World};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long a slow engine takes to say what it is.
const ASKED: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_folder_that_was_made_anew_is_worked_in_before_anybody_is_told_that_the_frame_runs() {
    let world = World::with(|settings| settings.tick = Duration::from_secs(600)).await;
    let frame = world.running("blog").await;
    fs::rename(&frame.workspace, format!("{}.old", frame.workspace)).expect("moved");
    fs::create_dir(&frame.workspace).expect("made anew");

    let awake = world.frames.wake(&frame.id, PATIENCE).await.expect("it runs");
    assert_eq!(awake.state, FrameState::Running);
    assert_eq!(world.engine.calls(Op::Start), 2, "in a container of the new folder");
    assert_eq!(world.notes(&frame.id).await, ["replaced"]);

    // A command finds it out as well.
    fs::rename(&frame.workspace, format!("{}.older", frame.workspace)).expect("moved");
    fs::create_dir(&frame.workspace).expect("made anew");
    world.frames.exec(&awake, ExecSpec::new(["true"])).await.expect("runs in the new one");
    assert_eq!(world.engine.calls(Op::Start), 3);
    world.frames.exec(&awake, ExecSpec::new(["true"])).await.expect("and goes on there");
    assert_eq!(world.engine.calls(Op::Start), 3);
}

#[tokio::test]
async fn a_frame_whose_folder_is_gone_says_so_and_comes_back_with_it() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    fs::remove_dir(&frame.workspace).expect("gone");
    // Nobody asks for anything: the next look finds it.
    world.eventually(&frame.id, FrameState::Error).await;
    let reason = world.row(&frame.id).await.expect("there").reason.expect("a reason");
    assert!(reason.contains(&frame.workspace) && reason.contains("mimir frame move blog PATH"), "{reason}");

    fs::create_dir(&frame.workspace).expect("made");
    world.reach(&frame, Desired::Running).await.expect("it runs again");

    // A link in its place may lead anywhere.
    world.reach(&frame, Desired::Stopped).await.expect("stopped");
    fs::remove_dir(&frame.workspace).expect("gone");
    std::os::unix::fs::symlink("/etc", &frame.workspace).expect("a link");
    let refused = world.reach(&frame, Desired::Running).await.expect_err("refused").to_string();
    assert!(refused.contains("belongs to the system"), "{refused}");
}

#[tokio::test]
async fn a_moved_folder_is_followed_when_somebody_says_where_it_is() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    let there = world.project("elsewhere").join("blog");
    fs::rename(&frame.workspace, &there).expect("moved");
    world.eventually(&frame.id, FrameState::Error).await;

    let refused = world.frames.relocate(&OWNER, &frame.name, "/etc".into()).await;
    assert!(matches!(refused, Err(FrameError::Workspace(_))), "{refused:?}");
    let moved = world.frames.relocate(&OWNER, &frame.name, there.clone()).await.expect("moved");
    assert_eq!((Path::new(&moved.workspace), &moved.reason), (there.as_path(), &None));
    world.reach(&frame, Desired::Running).await.expect("it runs");
    let spec = world.engine.spec_of(&frame.id).expect("a container");
    assert_eq!(spec.workspace.folder(), Some(there.as_path()));
    assert!(world.notes(&frame.id).await.contains(&"moved".to_owned()));

    // One that runs begins anew there.
    let further = world.project("further");
    world.frames.relocate(&OWNER, &frame.name, further.clone()).await.expect("moved");
    world.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs");
    let spec = world.engine.spec_of(&frame.id).expect("a container");
    assert_eq!(spec.workspace.folder(), Some(further.as_path()));

    world.ask("blog", Desired::Removed).await.expect("asked");
    let late = world.frames.relocate(&OWNER, &frame.name, there).await;
    assert!(matches!(late, Err(FrameError::BeingDestroyed(_) | FrameError::NotFound(_))), "{late:?}");
}

/// The one who moves it found it; then it is removed, and only then the new folder is written down.
#[tokio::test]
async fn a_frame_that_is_removed_while_it_is_moved_is_gone_and_its_folder_is_nobodys() {
    for is_gone in [false, true] {
        let world = World::new().await;
        let frame = world.running("blog").await;
        let there = world.project("elsewhere");
        // When it was looked up, the engine is asked, and takes a while.
        world.engine.next(Op::Info, Fault::Late(ASKED));
        let before = world.engine.calls(Op::Info);
        let moves = world.frames.relocate(&OWNER, &frame.name, there.clone());
        let removes = async {
            let is_asked = || async { world.engine.calls(Op::Info) > before };
            world.until("the engine is asked", is_asked, &frame.id).await;
            if !is_gone {
                // The wish is written, and the container is there for longer.
                world.engine.next(Op::Remove, Fault::Late(2 * ASKED));
            }
            world.ask("blog", Desired::Removed).await.expect("asked");
            if is_gone {
                world.eventually(&frame.id, None).await;
            }
        };
        let (moved, ()) = tokio::join!(moves, removes);
        let is_said = matches!(&moved, Err(FrameError::NotFound(name) | FrameError::BeingDestroyed(name)) if name == "blog");
        assert!(is_said, "{moved:?}");
        world.eventually(&frame.id, None).await;
        assert!(!world.notes(&frame.id).await.contains(&"moved".to_owned()));
        assert_eq!(fs::read_dir(&there).expect("still there").count(), 0);
        world.check_books().await;
    }
}

#[tokio::test]
async fn a_worktree_is_mounted_with_its_repository_and_not_when_that_has_changed() {
    let world = World::new().await;
    let (main, tree) = (world.project("main"), world.project("tree"));
    let git = main.join(".git");
    for folder in ["objects", "refs", "worktrees/tree"] {
        fs::create_dir_all(git.join(folder)).expect("a folder");
    }
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n").expect("written");
    fs::write(git.join("worktrees/tree/gitdir"), tree.join(".git").display().to_string()).expect("written");
    let names = format!("gitdir: {}", git.join("worktrees/tree").display());
    fs::write(tree.join(".git"), &names).expect("written");

    let frame = world.running("tree").await;
    let folder = GitFolder::Worktree { common: fs::canonicalize(&git).expect("there"), name: "tree".into() };
    assert_eq!(frame.git, Some(folder));
    let mounts = world.engine.spec_of(&frame.id).expect("a container").more;
    let whole = mounts.iter().find(|mount| mount.target == inside::GIT).expect("the git folder");
    assert!(whole.read_only && mounts.iter().any(|mount| mount.target == "/workspace/.git"), "{mounts:?}");
    assert!(world.notes(&frame.id).await.contains(&"git".to_owned()));

    // Another folder is named now: that one is not mounted.
    world.reach(&frame, Desired::Stopped).await.expect("stopped");
    fs::write(tree.join(".git"), "gitdir: /etc").expect("written");
    let refused = world.reach(&frame, Desired::Running).await.expect_err("refused").to_string();
    assert!(refused.contains("is not where it was"), "{refused}");
    fs::write(tree.join(".git"), names).expect("written");
    world.reach(&frame, Desired::Running).await.expect("it runs again");
}

#[tokio::test]
async fn a_part_of_a_repository_and_an_image_of_somebody_else_are_spoken_of() {
    let world = World::new().await;
    let root = world.project("mono");
    fs::create_dir_all(root.join(".git")).expect("a folder");
    fs::create_dir_all(root.join("packages/app")).expect("a folder");
    let request = CreateFrame {
        workspace: Some(root.join("packages/app").display().to_string()),
        ..world.request("app")
    };
    let frame = world.try_create(request).await.expect("made");
    let notes = world.frames.notes(&frame.id, 10).await.expect("reads");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].text.contains(&format!("--workspace {}", root.display())), "{notes:?}");

    let foreign = world.engine.add_untagged_image(false);
    let refused = world.try_create(CreateFrame { image: Some(foreign.id), ..world.request("blog") }).await;
    assert!(matches!(refused, Err(FrameError::ForeignImage(_))), "{refused:?}");
}

#[tokio::test]
async fn a_folder_that_is_made_for_a_frame_lies_among_its_own_files_and_goes_with_it() {
    let world = World::new().await;
    let request = mimir::gateway::bodies::frame(world.request("fix")).expect("a request");
    let request = FrameRequest { place: Place::Own, start: true, ..request };
    let frame = world.frames.create(&OWNER, request).await.expect("made");
    let frame = world.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs");
    let folder = Path::new(&frame.workspace);
    assert!(folder.ends_with(format!("{}/workspace", frame.id)) && folder.is_dir(), "{}", folder.display());
    let spec = world.engine.spec_of(&frame.id).expect("a container");
    assert_eq!(spec.workspace.folder(), Some(folder));

    fs::write(folder.join("cart.py"), "x").expect("written");
    let frame = world.restart_frame(&frame).await.expect("it runs again");
    assert_eq!(fs::read_to_string(folder.join("cart.py")).expect("a file"), "x");
    // Nobody else may have a folder there by naming it.
    let named = CreateFrame { workspace: Some(frame.workspace.clone()), ..world.request("other") };
    let refused = world.try_create(named).await.expect_err("refused").to_string();
    assert!(refused.contains("inside mimir's own folder"), "{refused}");

    world.reach(&frame, Desired::Removed).await.expect("gone");
    assert!(!folder.exists());
    world.check_nothing_left().await;
}

//! Frames whose image was built anew.

use std::time::Duration;

use mimir::frames::{FrameError, Frames, ImageNews};
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::runtime::RuntimeError;
use mimir::runtime::build::{LABEL_PROJECT, LABEL_TOOLS, PROJECT_IMAGE};
use mimir::runtime::fake::{Failure, Fault, Op};
use mimir::wire::frames::CreateFrame;

use super::world::{OWNER, World};

const PATIENCE: Duration = Duration::from_secs(30);

fn is_behind(frames: &Frames, frame: &Frame) -> bool {
    frames.image_news(frame).behind
}

#[tokio::test]
async fn a_frame_is_moved_to_the_newest_build_with_all_that_is_its_own() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    let there = world.frames.upgrade(&OWNER, &frame.name, None, false).await.expect("nothing to do");
    assert_eq!((there.from, there.frame.generation), (None, frame.generation));
    assert!(world.notes(&frame.id).await.is_empty());

    let kept = world.frames.home_folder(&frame.id).join("kept");
    std::fs::write(&kept, "mine").expect("written");
    let newest = world.engine.move_name(&frame.image);
    world.until("it is known to be behind", || async { is_behind(&world.frames, &frame) }, &frame.id).await;

    let moved = world.frames.upgrade(&OWNER, &frame.name, None, false).await.expect("moved");
    assert_eq!((moved.from, &moved.frame.image_id), (Some(frame.image_id.clone()), &newest.id));
    assert!(!is_behind(&world.frames, &moved.frame), "known at once");
    let now = world.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs");
    assert_eq!(world.engine.spec_of(&frame.id).expect("a container").image_id, newest.id);
    assert_eq!(
        (now.name, now.image, now.agent_port, now.preview_port, now.workspace, now.env),
        (frame.name, frame.image, frame.agent_port, frame.preview_port, frame.workspace, frame.env)
    );
    assert_eq!(std::fs::read_to_string(kept).expect("it is there"), "mine");
    assert_eq!(world.notes(&frame.id).await, ["upgraded"]);
    world.check_books().await;
}

#[tokio::test]
async fn a_stopped_frame_stays_stopped_a_paused_one_paused_and_one_in_error_stays_there() {
    let world = World::new().await;
    let stopped = world.running("stopped").await;
    world.reach(&stopped, Desired::Stopped).await.expect("stopped");
    let paused = world.running("paused").await;
    world.reach(&paused, Desired::Paused).await.expect("paused");
    let fresh = world.create("fresh").await;
    let newest = world.engine.move_name(&stopped.image);
    for frame in [&stopped, &paused, &fresh] {
        world.frames.upgrade(&OWNER, &frame.name, None, false).await.expect("moved");
    }
    world.frames.wait_for(&paused.id, Desired::Paused, PATIENCE).await.expect("paused again");
    assert_eq!(world.engine.spec_of(&paused.id).expect("a container").image_id, newest.id);
    world.eventually_engine(&stopped.id, Observed::Missing).await;
    assert_eq!(world.row(&stopped.id).await.expect("there").state, FrameState::Stopped);
    assert_eq!(world.row(&fresh.id).await.expect("there").state, FrameState::Created);
    for frame in [&stopped, &fresh] {
        world.reach(frame, Desired::Running).await.expect("it starts");
        assert_eq!(world.engine.spec_of(&frame.id).expect("a container").image_id, newest.id);
    }
}

#[tokio::test]
async fn a_busy_frame_is_moved_only_when_somebody_says_so() {
    let world = World::new().await;
    let frame = world.running("blog").await;
    // Nothing to do is no reason to speak of what it does.
    world.frames.upgrade(&OWNER, &frame.name, Some("its agent works"), false).await.expect("nothing to do");
    let newest = world.engine.move_name(&frame.image);
    let refused = world.frames.upgrade(&OWNER, &frame.name, Some("its agent works"), false).await;
    let refused = refused.expect_err("refused").to_string();
    assert_eq!(refused, "frame blog is busy: its agent works");
    assert_eq!(world.row(&frame.id).await.expect("there").image_id, frame.image_id);
    world.frames.upgrade(&OWNER, &frame.name, Some("its agent works"), true).await.expect("moved");
    let now = world.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs");
    assert_eq!(now.image_id, newest.id);
}

#[tokio::test]
async fn an_image_that_is_gone_or_foreign_moves_nothing() {
    let world = World::with(|settings| settings.tick = Duration::from_secs(600)).await;
    let frame = world.running("blog").await;
    world.frames.look_at_images().await.expect("looks; nobody else does from here on");
    world.engine.next(Op::FindImage, Fault::Before(Failure::Refused("no".into())));
    let refused = world.frames.upgrade(&OWNER, &frame.name, None, false).await;
    assert!(matches!(refused, Err(FrameError::Runtime(_))), "{refused:?}");

    let foreign = world.engine.relabel(&world.engine.move_name(&frame.image), &[]);
    let refused = world.frames.upgrade(&OWNER, &frame.name, None, false).await;
    assert!(matches!(refused, Err(FrameError::ForeignImage(_))), "{refused:?}");
    world.engine.remove_image(&foreign.id);
    let refused = world.frames.upgrade(&OWNER, &frame.name, None, false).await;
    assert!(matches!(refused, Err(FrameError::Runtime(RuntimeError::ImageMissing { .. }))), "{refused:?}");
    let row = world.row(&frame.id).await.expect("there");
    assert_eq!((row.generation, row.state), (frame.generation, FrameState::Running));
    world.frames.look_at_images().await.expect("looks");
    assert!(!is_behind(&world.frames, &frame), "what is not there is not newer");

    world.ask("blog", Desired::Removed).await.expect("asked");
    let late = world.frames.upgrade(&OWNER, &frame.name, None, false).await;
    assert!(matches!(late, Err(FrameError::BeingDestroyed(_) | FrameError::NotFound(_))), "{late:?}");
}

#[tokio::test]
async fn the_engine_is_not_asked_for_each_list() {
    let world = World::with(|settings| settings.tick = Duration::from_secs(600)).await;
    let frame = world.running("blog").await;
    world.frames.look_at_images().await.expect("looks");
    let asked = world.engine.calls(Op::FindImage);
    world.engine.move_name(&frame.image);
    for _ in 0..10 {
        assert!(!is_behind(&world.frames, &frame), "nobody has looked");
    }
    assert_eq!(world.engine.calls(Op::FindImage), asked);
    world.frames.look_at_images().await.expect("looks, as after a build");
    assert!(is_behind(&world.frames, &frame));
    assert_eq!(world.engine.calls(Op::FindImage), asked + 1, "once for each reference");
}

#[tokio::test]
async fn a_projects_image_on_an_older_frame_image_comes_with_the_command_that_mends_it() {
    let world = World::new().await;
    let cases = [
        ("rust-go", &[(LABEL_TOOLS, "rust,go")][..], "mimir image build --with rust,go"),
        ("go-rust", &[], "mimir image build --with go,rust"),
        ("blog", &[(LABEL_TOOLS, "")], "mimir image build --project WORKSPACE"),
        ("blog", &[(LABEL_TOOLS, "ruby")], "mimir image build --project WORKSPACE --with ruby"),
        ("other", &[(LABEL_TOOLS, "")], "mimir image build --project PATH"),
    ];
    let workspace = world.project("blog").display().to_string();
    for (tag, labels, expected) in cases {
        let reference = format!("{PROJECT_IMAGE}:{tag}");
        let built = world.engine.add_image(&reference);
        let all = [&[("io.mimir.inputs", "older"), (LABEL_PROJECT, "x")], labels].concat();
        let image = world.engine.relabel(&built, &all);
        let request = CreateFrame { image: Some(reference), ..world.request("blog") };
        let frame = world.try_create(request).await.expect("created");
        let news = ImageNews::of(&frame, &image, "newer");
        let rebuild = Some(expected.replace("WORKSPACE", &workspace));
        assert_eq!(news, ImageNews { behind: false, rebuild });
        assert_eq!(ImageNews::of(&frame, &image, "older"), ImageNews::default());
        world.ask("blog", Desired::Removed).await.expect("asked");
        world.eventually(&frame.id, None).await;
    }
}

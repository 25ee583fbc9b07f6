//! Agents that grow, and frames that have nothing to do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mimir::delivery::SendError;
use mimir::model::frame::{Desired, FrameState};
use mimir::model::status::StatusWord;
use serde_json::json;

use super::world::{LIMIT, OWNER, World, said};
use crate::agent::world::to;
use crate::inside::line;

#[tokio::test]
async fn an_agent_that_is_large_is_restarted_when_nothing_is_lost_by_it() {
    let world = World::with(&[("frames.limits.memory", "1g")]).await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    let session = agent.foreign_session(None);
    agent.set(&session, json!({"type": "busy"}));
    said(&world, &frame.id, StatusWord::Busy).await;

    // 800 MiB of 1 GiB.
    inside.agent_pages.store(204_800, Ordering::SeqCst);
    world.services.upkeep.look_once().await.expect("looks");
    assert_eq!(world.services.upkeep.memory(&frame.id).map(|(_, bytes)| bytes >> 20), Some(800));
    assert_eq!(inside.kills(), 0, "a turn runs");

    agent.finish(&session);
    said(&world, &frame.id, StatusWord::Idle).await;
    world.services.upkeep.forget_looks();
    world
        .until("it is restarted", LIMIT, async || {
            world.services.upkeep.look_once().await.expect("looks");
            if inside.kills() == 1 { Ok(()) } else { Err(format!("{:?}", world.notes(&frame.id).await)) }
        })
        .await;
    said(&world, &frame.id, StatusWord::Idle).await;
    let notes = world.services.frames.notes(&frame.id, 50).await.expect("reads");
    let told = notes.iter().find(|note| note.code == "agent_recycled").expect("it is noted");
    assert!(told.text.contains("uses 800 MiB, more than 75 % of the frame's 1024 MiB"), "{}", told.text);
    assert_eq!(world.services.frames.recycled().memory, 1);
}

#[tokio::test]
async fn restarts_are_capped_and_the_cap_is_told() {
    let world = World::with(&[("frames.limits.memory", "1g"), ("frames.recycle_limit", "1")]).await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    for _ in 0..2 {
        inside.agent_pages.store(240_000, Ordering::SeqCst);
        world.services.upkeep.forget_looks();
        world
            .until("it is dealt with", LIMIT, async || {
                said(&world, &frame.id, StatusWord::Idle).await;
                world.services.upkeep.look_once().await.expect("looks");
                let notes = world.notes(&frame.id).await;
                let capped = notes.contains(&"recycle_capped".to_owned());
                match inside.kills() {
                    1 if capped || inside.agent_pages.load(Ordering::SeqCst) == 90_000 => Ok(()),
                    kills => Err(format!("{kills} kills, {notes:?}")),
                }
            })
            .await;
    }
    assert_eq!(inside.kills(), 1);
    assert!(world.notes(&frame.id).await.contains(&"recycle_capped".to_owned()));
}

#[tokio::test]
async fn a_frame_that_has_nothing_to_do_is_stopped_and_a_message_wakes_it() {
    let world = World::with(&[("frames.idle_stop", "1s")]).await;
    let inside = world.inside();
    let frame = world.running("blog").await;
    let agent = world.agent(&frame.id);
    let runs = async |for_how_long: Duration, why: &str| {
        let end = std::time::Instant::now() + for_how_long;
        while std::time::Instant::now() < end {
            let state = world.now().await[&frame.id].frame.state;
            assert_eq!(state, FrameState::Running, "it was stopped although {why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let longer = Duration::from_millis(2500);

    // Somebody else's turn, in the terminal.
    let session = agent.foreign_session(None);
    agent.set(&session, json!({"type": "busy"}));
    said(&world, &frame.id, StatusWord::Busy).await;
    runs(longer, "a turn runs").await;
    agent.ask(&session, "permission");
    said(&world, &frame.id, StatusWord::Waiting).await;
    runs(longer, "somebody is asked").await;

    // A command in the terminal, which begins before the turn ends.
    inside.more.lock().push(line(40, "cargo", "R", 22, 10, 10));
    agent.finish(&session);
    said(&world, &frame.id, StatusWord::Idle).await;
    runs(longer, "a command runs in its shell").await;

    // Somebody at its terminal, who comes before the command ends.
    let visit = world.services.frames.visit(&frame.id);
    inside.more.lock().clear();
    runs(longer, "somebody is attached").await;

    drop(visit);
    said(&world, &frame.id, StatusWord::Stopped).await;
    assert!(world.notes(&frame.id).await.contains(&"idle_stopped".to_owned()));
    assert_eq!(world.services.upkeep.idle_stops(), 1);
    world.reach(&frame.id, Desired::Stopped).await;

    let request = to("blog", "wake up");
    let sent = world.services.delivery.send(&OWNER, request).await.expect("accepted");
    assert!(sent.wakes_frame);
    said(&world, &frame.id, StatusWord::Busy).await;
    world.is_answered(&agent, &sent.message.id).await;
}

#[tokio::test]
async fn a_frame_that_holds_more_than_it_may_is_stopped_and_told_why() {
    let world = World::with(&[("frames.disk", "512m")]).await;
    world.inside();
    let (large, small) = (world.running("large").await, world.running("small").await);
    let home = world.services.frames.own_folder(&large.id).join("home");
    let file = std::fs::File::create(home.join("bomb")).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 513 << 20).expect("space for it");
    world
        .until("it is stopped", LIMIT, async || {
            let now = world.now().await[&large.id].frame.state;
            if now == FrameState::Stopped { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    let notes = world.services.frames.notes(&large.id, 50).await.expect("reads");
    let told = notes.iter().find(|note| note.code == "disk_limit").expect("it is told");
    assert!(told.text.contains("more than the 512 MiB it may"), "{}", told.text);
    assert!(told.text.contains("mimir frame start large"), "{}", told.text);
    assert_eq!(world.now().await[&small.id].frame.state, FrameState::Running);
    // A message would wake it to the same end, so it is refused with what to do.
    let refused = world.services.delivery.send(&OWNER, to("large", "wake up")).await.expect_err("refused");
    assert!(matches!(&refused, SendError::StoppedFor { frame, .. } if frame == "large"), "{refused:?}");
    assert!(refused.to_string().contains("mimir frame start large"), "{refused}");
    let woken = world.services.frames.wake(&large.id, LIMIT).await.expect_err("what waits wakes it neither");
    assert!(woken.to_string().contains("more than the 512 MiB it may"), "{woken}");
    assert_eq!(world.now().await[&large.id].frame.state, FrameState::Stopped);

    std::fs::remove_file(home.join("bomb")).expect("removed");
    world.services.frames.ask(&OWNER, &large.name, Desired::Running).await.expect("somebody starts it");
    said(&world, &large.id, StatusWord::Idle).await;
    world.services.frames.ask(&OWNER, &large.name, Desired::Stopped).await.expect("asked");
    world.reach(&large.id, Desired::Stopped).await;
    let sent = world.services.delivery.send(&OWNER, to("large", "wake up")).await.expect("accepted");
    assert!(sent.wakes_frame, "stopped by hand it is woken as ever");
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_no_frame_is_made_or_started() {
    let world = World::with(&[]).await;
    world.inside();
    let frame = world.running("blog").await;
    let stopped = world.services.frames.ask(&OWNER, &frame.name, Desired::Stopped).await.expect("asked");
    said(&world, &stopped.id, StatusWord::Stopped).await;
    world.keep_free(1 << 50);
    let refused =
        world.services.frames.ask(&OWNER, &frame.name, Desired::Running).await.expect_err("no room");
    assert!(refused.to_string().contains("`frames.disk_free`"), "{refused}");
    let made = world.create("other", false).await.expect_err("no room");
    assert!(made.to_string().contains("are free at"), "{made}");
    world.keep_free(512 << 20);
    world.services.frames.ask(&OWNER, &frame.name, Desired::Running).await.expect("there is room");
    said(&world, &frame.id, StatusWord::Idle).await;
}

/// A small disk that has room for a hundred files; gone with this value.
struct FewFiles(std::path::PathBuf);

impl FewFiles {
    fn at(folder: &std::path::Path) -> Option<Self> {
        let mount = ["-t", "tmpfs", "-o", "nr_inodes=100,mode=755", "tmpfs"];
        let done = std::process::Command::new("mount").args(mount).arg(folder).output().ok()?;
        done.status.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for FewFiles {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn on_a_disk_that_can_hold_hardly_a_file_more_no_frame_is_made() {
    let world = World::with(&[]).await;
    let folder = world.machine.project("small");
    let Some(_disk) = FewFiles::at(&folder) else {
        return crate::podman::support::skip("a disk without files", "nothing can be mounted here");
    };
    let taken = (0..200).take_while(|number| std::fs::write(folder.join(number.to_string()), "").is_ok());
    assert!((90..100).contains(&taken.count()));
    let refused = world.create("small", false).await.expect_err("no file more");
    assert!(refused.to_string().contains("only 0 files more can be made on the disk of"), "{refused}");
    for number in 0..50 {
        std::fs::remove_file(folder.join(number.to_string())).expect("removed");
    }
    let _ = world.create("small", false).await.expect("there is room");
}

//! The real driver, from all 96 combinations of wish, state and container, with crashes in between.

use std::time::Duration;

use strum::IntoEnumIterator;

use mimir::model::frame::{Desired, Frame, FrameEvent, FrameState, Observed};
use mimir::store::frames;
use mimir::wire::frames::CreateFrame;

use super::world::World;

/// The events that lead a new frame to a state.
fn way_to(state: FrameState) -> &'static [FrameEvent] {
    use FrameEvent::{BecameReady, Failed, PauseConfirmed, StartRequested, StopConfirmed};
    match state {
        FrameState::Created => &[],
        FrameState::Starting => &[StartRequested],
        FrameState::Running => &[StartRequested, BecameReady],
        FrameState::Paused => &[StartRequested, BecameReady, PauseConfirmed],
        FrameState::Stopped => &[StartRequested, StopConfirmed],
        FrameState::Error => &[Failed],
    }
}

/// Makes one frame per combination, as a dead gateway may have left it.
async fn all_combinations(world: &mut World) -> Vec<(Frame, Desired)> {
    let mut made = Vec::new();
    for desired in Desired::iter() {
        for state in FrameState::iter() {
            for observed in Observed::iter() {
                let name = format!("f{}", made.len());
                let workspace = Some(world.project("shared").display().to_string());
                let request = CreateFrame { workspace, ..world.request(&name) };
                let frame = world.try_create(request).await.expect("created");
                made.push((frame, desired, state, observed));
            }
        }
    }
    world.crash().await;
    let mut frames_made = Vec::new();
    for (frame, desired, state, observed) in made {
        let spec = world.engine.spec_of(&frame.id).expect("it has a container");
        world.engine.remove_behind_our_back(&frame.id);
        if observed != Observed::Missing {
            world.engine.plant(spec, observed);
        }
        let id = frame.id.clone();
        world
            .store
            .write(move |tx| {
                for event in way_to(state) {
                    frames::apply(tx, &id, *event, None)?;
                }
                frames::set_desired(tx, &id, desired)
            })
            .await
            .expect("written");
        frames_made.push((frame, desired));
    }
    frames_made
}

#[tokio::test]
async fn from_all_96_combinations_the_wish_is_reached_though_the_gateway_dies_again_and_again() {
    let mut world = World::with(|settings| {
        settings.config.parallel_starts = 12;
        settings.config.start_timeout = Duration::from_secs(20);
        settings.crashes.limit = 50;
    })
    .await;
    let frames = all_combinations(&mut world).await;
    assert_eq!(frames.len(), 96);

    for nth in [5, 40, 90, 150, 7, 230] {
        world.start_gateway().await;
        world.failpoints.arm_any(nth);
        let _ = tokio::time::timeout(Duration::from_secs(3), world.failpoints.died()).await;
        world.crash().await;
    }
    world.start_gateway().await;

    for (frame, desired) in &frames {
        match desired {
            Desired::Removed => world.eventually(&frame.id, None).await,
            _ => {
                let reached = world.frames.wait_for(&frame.id, *desired, Duration::from_secs(20)).await;
                assert!(reached.is_ok(), "{}: {reached:?}", frame.name);
            }
        }
    }
    world.check_books().await;
}

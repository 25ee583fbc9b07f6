//! A gateway with all its services on an engine in memory, and an agent per frame that the test moves by hand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimir::config::schema::Frames as FramesConfig;
use mimir::frames::{FrameError, Settings};
use mimir::gateway::Services;
use mimir::model::frame::{Desired, Frame, FrameState};
use mimir::model::ids::{FrameId, MessageId};
use mimir::model::names::FrameName;
use mimir::model::principal::Principal;
use mimir::model::status::{FrameStatus, StatusWord};
use mimir::runtime::fake::FakeEngine;
use mimir::status::FrameNow;
use mimir::supervisor::Tasks;
use mimir::wire::frames::CreateFrame;
use parking_lot::Mutex;

use super::agent::Agent;
use crate::inside::Inside;
use crate::machine::Machine;

pub const OWNER: Principal = Principal::Owner { uid: 1000 };
/// How long anything may take that has no limit of its own.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The agents of all frames.
pub type Agents = Arc<Mutex<HashMap<FrameId, Arc<Agent>>>>;

pub struct World {
    pub services: Services,
    pub engine: FakeEngine,
    agents: Agents,
    frames_config: FramesConfig,
    core: Tasks,
    pub machine: Machine,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With keys of the configuration.
    pub async fn with(keys: &[(&str, &str)]) -> Self {
        Self::made(keys, |_| {})
    }

    /// With keys of the configuration, and agents that are given up four times as soon as usual.
    pub async fn impatient(keys: &[(&str, &str)]) -> Self {
        Self::made(keys, |frames| {
            frames.liveness_timeout /= 4;
            frames.container_timeout /= 4;
        })
    }

    /// In which each frame is looked at that often.
    pub async fn looking_every(tick: Duration) -> Self {
        Self::made(&[], move |frames| frames.tick = tick)
    }

    fn made(keys: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Self {
        let mut all = vec![("frames.parallel_starts", "8")];
        all.extend_from_slice(keys);
        let machine = Machine::with(&all);
        let agents = Agents::default();
        let (of_frames, tasks) = (agents.clone(), Tasks::default());
        let core = tasks.clone();
        machine.engine.on_start(move |started| {
            let agent = of_frames.lock().entry(started.spec.frame.clone()).or_default().clone();
            agent.serve(&tasks, &started);
        });
        let mut frames_config = None;
        let gateway = machine
            .gateway()
            .change(|resources| {
                resources.tasks = core;
                change(&mut resources.settings.frames);
                frames_config = Some(resources.settings.frames.config.clone());
            })
            .start();
        Self {
            services: gateway.services,
            core: gateway.tasks,
            engine: machine.engine.clone(),
            agents,
            frames_config: frames_config.expect("it was changed"),
            machine,
        }
    }

    /// A frame, unless it is refused.
    pub async fn create(&self, name: &str, start: bool) -> Result<Frame, FrameError> {
        let workspace = self.machine.project(name).display().to_string();
        let request = CreateFrame {
            name: name.to_owned(),
            workspace: Some(workspace),
            start,
            ..CreateFrame::default()
        };
        let request = mimir::gateway::bodies::frame(request).expect("a request");
        self.services.frames.create(&OWNER, request).await
    }

    /// How much is to stay free on the disk, from now on.
    pub fn keep_free(&self, bytes: u64) {
        let mut config = self.frames_config.clone();
        config.disk_free = bytes;
        self.services.frames.configure(config);
    }

    /// A frame that runs.
    pub async fn running(&self, name: &str) -> Frame {
        let frame = self.create(name, true).await.expect("created");
        self.services.frames.wait_for(&frame.id, Desired::Running, LIMIT).await.expect("it runs")
    }

    /// Waits until the agent works on what it was sent, has it finish, and sees to it that the answer arrives.
    pub async fn is_answered(&self, agent: &Agent, message: &MessageId) {
        self.until("the agent works on it", LIMIT, async || match agent.active().first() {
            Some((session, _)) => {
                agent.finish(session);
                Ok(())
            }
            None => Err("nothing works".into()),
        })
        .await;
        let end = self.services.delivery.wait_for_end(message, LIMIT).await.expect("a row");
        assert_eq!(end.answer.as_deref(), Some("Done."), "{end:?}");
    }

    pub fn agent(&self, frame: &FrameId) -> Arc<Agent> {
        self.agents.lock().entry(frame.clone()).or_default().clone()
    }

    /// What runs inside the frames of this world, from now on.
    pub fn inside(&self) -> Arc<Inside> {
        let agents = self.agents.clone();
        Inside::of(&self.engine, move |frame| {
            if let Some(agent) = agents.lock().get(frame) {
                agent.restart();
            }
        })
    }

    pub async fn reach(&self, frame: &FrameId, desired: Desired) {
        self.services.frames.wait_for(frame, desired, LIMIT).await.expect("as desired");
    }

    /// Waits for a frame that somebody else wakes.
    pub async fn eventually_runs(&self, frame: &FrameId) {
        self.until("the frame runs", LIMIT, async || {
            let row = self.services.frames.get_by_id(frame).await.map_err(|error| error.to_string())?;
            if row.state == FrameState::Running { Ok(()) } else { Err(format!("{row:?}")) }
        })
        .await;
    }

    pub async fn now(&self) -> HashMap<FrameId, FrameNow> {
        let all = self.services.statuses.all().await.expect("the rows");
        all.into_iter().map(|now| (now.frame.id.clone(), now)).collect()
    }

    pub async fn status(&self, frame: &FrameId) -> FrameStatus {
        self.now().await.remove(frame).map(|now| now.status).unwrap_or_default()
    }

    pub async fn notes(&self, frame: &FrameId) -> Vec<String> {
        let notes = self.services.frames.notes(frame, 100).await.expect("reads");
        notes.into_iter().map(|note| note.code).collect()
    }

    /// Waits until something is true; says how long that took.
    pub async fn until(
        &self,
        what: &str,
        within: Duration,
        is_so: impl AsyncFn() -> Result<(), String>,
    ) -> Duration {
        let began = Instant::now();
        loop {
            match is_so().await {
                Ok(()) => return began.elapsed(),
                Err(seen) if began.elapsed() > within => {
                    panic!("not within {within:?}: {what}; seen: {seen}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.core.stop_token().cancel();
    }
}

/// Waits until the frame is said to do that; says how long it took.
pub async fn said(world: &World, frame: &FrameId, word: StatusWord) -> Duration {
    let what = format!("the frame is {word}");
    world
        .until(&what, LIMIT, async || match world.status(frame).await {
            status if status.word == word => Ok(()),
            other => Err(format!("{other}, notes {:?}", world.notes(frame).await)),
        })
        .await
}

pub fn named(name: &str) -> FrameName {
    FrameName::parse(name).expect("a name")
}

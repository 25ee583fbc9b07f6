//! The seam, answered from memory.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

use super::faults::{Fault, Op};
use super::world::{Container, Shared, State, Told, image_matches, owner};
use super::{FakeEngine, shell};
use crate::model::container::{
    ContainerSpec, EngineEvent, FoundContainer, ImageInfo, Observation, Stats, container_name,
};
use crate::model::frame::Observed;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::isolation::Isolation;
use crate::model::port::PortPurpose;
use crate::outbound::Connector;
use crate::runtime::{
    Credentials, EngineInfo, ExecOutput, ExecSpec, ExecStream, FrameListener, LogLine, LogRequest, Runtime,
    RuntimeError, StartContents,
};

type Answer<T> = Result<T, RuntimeError>;

impl FakeEngine {
    /// Lets the call meet what was planned for it.
    async fn call<T, F>(&self, op: Op, frame: Option<&FrameId>, effect: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &InstanceId) -> Answer<T> + Send + 'static,
    {
        let (fault, deadline) = self.world.admit(op)?;
        let given_up = || RuntimeError::TooSlow { action: op.verb(), seconds: deadline.as_secs().max(1) };
        match fault {
            None | Some(Fault::Lie(_)) => effect(&self.world, &self.instance),
            Some(Fault::Before(failure)) => Err(failure.error(op, frame)),
            Some(Fault::After(failure)) => {
                effect(&self.world, &self.instance)?;
                Err(failure.error(op, frame))
            }
            Some(Fault::HangBefore) => {
                tokio::time::sleep(deadline).await;
                Err(given_up())
            }
            Some(Fault::HangAfter) => {
                effect(&self.world, &self.instance)?;
                tokio::time::sleep(deadline).await;
                Err(given_up())
            }
            Some(Fault::Late(delay)) => {
                tokio::time::sleep(delay).await;
                effect(&self.world, &self.instance)
            }
            Some(Fault::LateEffect(delay)) => {
                self.happen_later(delay, effect);
                Err(given_up())
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "an effect that nobody waits for is the fault we play")]
    fn happen_later<T, F>(&self, delay: Duration, effect: F)
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &InstanceId) -> Answer<T> + Send + 'static,
    {
        let (world, instance) = (self.world.clone(), self.instance.clone());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            // Whoever asked has gone; there is nobody to tell.
            let _ = effect(&world, &instance);
        });
    }
}

/// Our container of that frame.
fn ours<'a>(state: &'a mut State, instance: &InstanceId, frame: &FrameId) -> Option<&'a mut Container> {
    state.containers.get_mut(&container_name(frame)).filter(|there| there.spec.instance == *instance)
}

fn observe(world: &Shared, instance: &InstanceId, frame: &FrameId) -> Observation {
    ours(&mut world.lock(), instance, frame).map_or_else(Observation::missing, |there| there.observation())
}

/// The container's state and whether it is stuck, or that there is none.
fn situation(world: &Shared, instance: &InstanceId, frame: &FrameId) -> Answer<(Observed, bool)> {
    match observe(world, instance, frame) {
        Observation { observed, details: Some(details) } => Ok((observed, details.stuck.is_some())),
        Observation { details: None, .. } => Err(RuntimeError::Gone { frame: frame.clone() }),
    }
}

fn freeze(world: &Shared, instance: &InstanceId, frame: &FrameId, to: Observed) -> Answer<()> {
    let action = if to == Observed::Paused { "pause" } else { "resume" };
    if !world.lock().capabilities.pause {
        let why = "the test says so".to_owned();
        return Err(RuntimeError::Unsupported { engine: "memory", action, why });
    }
    match situation(world, instance, frame)? {
        (observed, _) if observed == to => Ok(()),
        (Observed::Running | Observed::Paused, false) => {
            world.alter(frame, |container| container.observed = to);
            let word = if to == Observed::Paused { "pause" } else { "unpause" };
            world.tell(instance, frame, word);
            Ok(())
        }
        _ => Err(RuntimeError::WrongState { frame: frame.clone(), action }),
    }
}

fn must_run(world: &Shared, instance: &InstanceId, frame: &FrameId, action: &'static str) -> Answer<()> {
    match situation(world, instance, frame)? {
        (Observed::Running, false) => Ok(()),
        _ => Err(RuntimeError::WrongState { frame: frame.clone(), action }),
    }
}

#[async_trait]
impl Runtime for FakeEngine {
    async fn info(&self) -> Answer<EngineInfo> {
        self.call(Op::Info, None, |world, _| {
            Ok(EngineInfo {
                kind: "memory",
                version: "1.0.0".to_owned(),
                socket: "memory".to_owned(),
                rootless: true,
                capabilities: world.lock().capabilities,
                notes: Vec::new(),
            })
        })
        .await
    }

    fn hardening(&self) -> String {
        self.world.lock().hardening.to_string()
    }

    fn connector(&self, frame: &FrameId, purpose: PortPurpose) -> Connector {
        let hook = self.world.lock().on_connect.clone();
        match hook {
            Some(hook) => hook(frame, purpose),
            None => self.world.files(frame).link().connector(purpose),
        }
    }

    fn listen(&self, frame: &FrameId) -> io::Result<FrameListener> {
        self.world.files(frame).link().listen()
    }

    async fn put_start_files(&self, spec: &ContainerSpec, files: &StartContents) -> Answer<()> {
        let (uid, gid) = owner(spec);
        let kept = self.world.files(&spec.frame);
        kept.ensure(uid, gid)?;
        kept.put(files, (uid, gid), true)
    }

    async fn credentials(&self, frame: &FrameId) -> Answer<Option<Credentials>> {
        Ok(self.world.files(frame).password()?.map(Credentials::of_frame))
    }

    async fn isolation(&self, frame: &FrameId) -> Answer<Option<Isolation>> {
        let state = self.world.lock();
        let mut running = state.containers.values().filter(|container| container.runs());
        let container = running.find(|container| container.spec.frame == *frame);
        Ok(container.and_then(|container| match &state.isolation {
            Told::AsAsked => Some(container.as_asked()),
            Told::Only(told) => told.as_deref().cloned(),
        }))
    }

    async fn observe(&self, frame: &FrameId) -> Answer<Observation> {
        let lie = {
            let state = self.world.lock();
            let planned = state.faults.get(&Op::Observe).and_then(|planned| planned.front());
            match planned.or_else(|| state.standing.get(&Op::Observe)) {
                Some(Fault::Lie(observed)) => Some(*observed),
                _ => None,
            }
        };
        let id = frame.clone();
        let seen = self.call(Op::Observe, Some(frame), move |world, us| Ok(observe(world, us, &id))).await?;
        Ok(match lie {
            None => seen,
            Some(Observed::Missing) => Observation::missing(),
            Some(observed) => Observation { observed, ..seen },
        })
    }

    async fn list(&self) -> Answer<Vec<FoundContainer>> {
        self.call(Op::List, None, |world, us| {
            let state = world.lock();
            let ours = state.containers.values().filter(|there| there.spec.instance == *us);
            Ok(ours.map(Container::found).collect())
        })
        .await
    }

    async fn ensure_created(&self, spec: &ContainerSpec) -> Answer<()> {
        let wanted = spec.clone();
        self.call(Op::Create, Some(&spec.frame), move |world, _| world.create(&wanted)).await
    }

    async fn ensure_started(&self, frame: &FrameId) -> Answer<()> {
        let id = frame.clone();
        self.call(Op::Start, Some(frame), move |world, us| match situation(world, us, &id)? {
            (Observed::Running, false) => Ok(()),
            (Observed::Halted, false) => world.start(us, &id),
            _ => Err(RuntimeError::WrongState { frame: id, action: "start" }),
        })
        .await
    }

    async fn ensure_stopped(&self, frame: &FrameId, _grace: Duration) -> Answer<()> {
        let id = frame.clone();
        self.call(Op::Stop, Some(frame), move |world, us| {
            match situation(world, us, &id) {
                Err(_) | Ok((Observed::Halted | Observed::Missing, false)) => {}
                Ok((_, true)) => world.remove(us, &id),
                Ok((Observed::Running | Observed::Paused, false)) => world.end_of(&id, 0),
            }
            Ok(())
        })
        .await
    }

    async fn ensure_paused(&self, frame: &FrameId) -> Answer<()> {
        let id = frame.clone();
        self.call(Op::Pause, Some(frame), move |world, us| freeze(world, us, &id, Observed::Paused)).await
    }

    async fn ensure_resumed(&self, frame: &FrameId) -> Answer<()> {
        let id = frame.clone();
        self.call(Op::Resume, Some(frame), move |world, us| freeze(world, us, &id, Observed::Running)).await
    }

    async fn ensure_removed(&self, frame: &FrameId) -> Answer<()> {
        let id = frame.clone();
        self.call(Op::Remove, Some(frame), move |world, us| {
            world.remove(us, &id);
            Ok(())
        })
        .await
    }

    async fn remove_stray(&self, container_id: &str) -> Answer<()> {
        let wanted = container_id.to_owned();
        self.call(Op::RemoveStray, None, move |world, us| {
            let found = {
                let state = world.lock();
                let mut all = state.containers.values();
                all.find(|there| there.container_id == wanted).map(|there| there.spec.clone())
            };
            match found {
                None => Ok(()),
                Some(spec) if spec.instance != *us => {
                    Err(RuntimeError::NameTaken { name: container_name(&spec.frame) })
                }
                Some(spec) => {
                    world.remove(us, &spec.frame);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn exec(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecOutput> {
        let id = frame.clone();
        self.call(Op::Exec, Some(frame), move |world, us| {
            must_run(world, us, &id, "run a command")?;
            let hook = world.lock().on_exec.clone();
            Ok(hook.and_then(|hook| hook(&id, &command)).unwrap_or_else(|| shell::run(&command.argv)))
        })
        .await
    }

    async fn exec_stream(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecStream> {
        let id = frame.clone();
        self.call(Op::ExecStream, Some(frame), move |world, us| {
            must_run(world, us, &id, "run a command")?;
            let streams = world.lock().on_stream.clone();
            if let Some(stream) = streams.and_then(|hook| hook(&id, &command)) {
                return Ok(stream);
            }
            let hook = world.lock().on_exec.clone();
            Ok(match hook.and_then(|hook| hook(&id, &command)) {
                Some(scripted) => shell::printed(scripted),
                None => shell::stream(&command),
            })
        })
        .await
    }

    async fn logs(
        &self,
        frame: &FrameId,
        request: LogRequest,
    ) -> Answer<BoxStream<'static, Answer<LogLine>>> {
        let id = frame.clone();
        self.call(Op::Logs, Some(frame), move |world, us| {
            situation(world, us, &id)?;
            Ok(lines(world.clone(), us.clone(), id, request))
        })
        .await
    }

    async fn stats(&self, frame: &FrameId) -> Answer<Stats> {
        let id = frame.clone();
        self.call(Op::Stats, Some(frame), move |world, us| {
            must_run(world, us, &id, "measure")?;
            let limit = observe_limit(world, us, &id);
            Ok(Stats {
                cpu_ms: 1200,
                cpu_cores: 0.1,
                memory_bytes: 200 << 20,
                memory_limit_bytes: limit,
                pids: 16,
            })
        })
        .await
    }

    async fn events(&self) -> Answer<BoxStream<'static, Answer<EngineEvent>>> {
        self.call(Op::Events, None, |world, us| Ok(announcements(world.events(), us.clone()))).await
    }

    async fn find_image(&self, reference: &str) -> Answer<Option<ImageInfo>> {
        let wanted = reference.to_owned();
        self.call(Op::FindImage, None, move |world, _| {
            Ok(world.lock().images.iter().find(|image| image_matches(image, &wanted)).cloned())
        })
        .await
    }

    async fn list_images(&self) -> Answer<Vec<ImageInfo>> {
        self.call(Op::ListImages, None, |world, _| Ok(world.lock().images.clone())).await
    }

    async fn remove_image(&self, id: &str) -> Answer<()> {
        let id = id.to_owned();
        self.call(Op::RemoveImage, None, move |world, _| world.remove_image(&id)).await
    }
}

fn observe_limit(world: &Shared, instance: &InstanceId, frame: &FrameId) -> u64 {
    let mut state = world.lock();
    let limited = state.capabilities.limits;
    ours(&mut state, instance, frame).filter(|_| limited).map_or(0, |there| there.spec.limits.memory_bytes)
}

fn announcements(
    events: broadcast::Receiver<(InstanceId, EngineEvent)>,
    instance: InstanceId,
) -> BoxStream<'static, Answer<EngineEvent>> {
    let instance = Arc::new(instance);
    stream::unfold((events, instance), |(mut events, instance)| async move {
        loop {
            match events.recv().await {
                Ok((owner, event)) if owner == *instance => return Some((Ok(event), (events, instance))),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    })
    .boxed()
}

/// The log so far, then new lines until the container ends if they are wanted.
fn lines(
    world: Shared,
    instance: InstanceId,
    frame: FrameId,
    request: LogRequest,
) -> BoxStream<'static, Answer<LogLine>> {
    let length =
        |world: &Shared| ours(&mut world.lock(), &instance, &frame).map_or(0, |there| there.log.len());
    let tail = request.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
    let first = length(&world).saturating_sub(tail);
    let changed = world.watch();
    stream::unfold((first, changed), move |(at, mut changed)| {
        let (world, instance, frame) = (world.clone(), instance.clone(), frame.clone());
        async move {
            loop {
                let (line, runs) = {
                    let mut state = world.lock();
                    let there = ours(&mut state, &instance, &frame)?;
                    (there.log.get(at).cloned(), there.runs())
                };
                match line {
                    Some(line) => return Some((line, (at + 1, changed))),
                    None if request.follow && runs => changed.changed().await.ok()?,
                    None => return None,
                }
            }
        }
    })
    .filter(move |line| std::future::ready(request.since_ms.is_none_or(|since| line.at >= since)))
    .map(Ok)
    .boxed()
}

//! What each step does. Every one may be repeated, and may die anywhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::driver::{ContainerMismatch, Driver, run_of};
use super::error::FrameError;
use super::git_config;
use super::host::HostFacts;
use super::plan::{self, Step};
use super::settings::{AttendError, SecretsGiven};
use super::trust::Obeys;
use super::{Inner, ports, project, provision};
use crate::clock;
use crate::model::container::Observation;
use crate::model::frame::{Desired, Frame, FrameEvent, FrameState, Observed};
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::runtime::{RuntimeError, StartContents, TrustedProject};
use crate::store::frames;
use crate::supervisor::keyed::Next;

/// How often a step is tried that the engine refuses for reasons of its own.
const REFUSALS: u32 = 3;
/// How many ports are tried before somebody holds suspiciously many of them.
const EXCHANGES: usize = 8;

impl Driver {
    /// Does one step and records nothing but its beginning: what it achieved is seen in the next pass.
    pub(super) async fn perform(
        &mut self,
        frame: &Frame,
        step: Step,
        seen: &Observation,
    ) -> Result<Next, FrameError> {
        self.handle.seen.send_modify(|seen| seen.settled = None);
        if matches!(step, Step::Create | Step::Start) {
            if let Some(next) = self.may_start(frame, seen).await? {
                return Ok(next);
            }
            if let Some(event) = plan::announcement(step, frame.state) {
                self.record(event, None).await?;
                self.inner.failpoints.hit("start.after_announcement").await;
                // The row as it is now decides which files belong to this start.
                return Ok(Next::Again);
            }
        }
        let done = match step {
            Step::Create => self.create(frame).await,
            Step::Start => self.start(frame).await,
            Step::Resume => self.resume().await,
            Step::Pause => self.pause().await,
            Step::Stop => self.stop(frame).await,
            Step::Remove => self.remove().await,
            Step::Forget => return self.forget().await,
            Step::Settled => Ok(()),
        };
        match done {
            Ok(()) => Ok(Next::Again),
            Err(error) => self.refused(frame, step, error).await,
        }
    }

    /// Whether a start may go on now; otherwise when to look again.
    async fn may_start(&mut self, frame: &Frame, seen: &Observation) -> Result<Option<Next>, FrameError> {
        // It ran in this very start and ended again: an end like any other.
        let run = run_of(seen);
        let ended_now = frame.state == FrameState::Starting
            && seen.observed == Observed::Halted
            && run.as_ref().is_some_and(|(_, began)| *began >= frame.state_changed_at);
        if ended_now && run != self.memory.counted_end {
            return self.record_end(frame, seen).await.map(Some);
        }
        if let Some(not_before) = self.memory.not_before {
            let pause = not_before.saturating_duration_since(Instant::now());
            if !pause.is_zero() {
                self.show(format!("it ended unexpectedly; the next start is in {} s", pause.as_secs() + 1));
                return Ok(Some(Next::after(pause)));
            }
        }
        if frame.warm.is_some() {
            return Ok((!self.may_start_warm()).then(|| Next::after(Duration::from_millis(100))));
        }
        if self.memory.start_permit.is_none() {
            match self.inner.starts.clone().try_acquire_owned() {
                Ok(permit) => self.memory.start_permit = Some(permit),
                Err(_) => {
                    self.show("other frames are starting first");
                    return Ok(Some(Next::after(Duration::from_millis(100))));
                }
            }
        }
        Ok(None)
    }

    async fn create(&mut self, frame: &Frame) -> Result<(), FrameError> {
        self.inner.provision(frame).await?;
        self.inner.failpoints.hit("create.after_container").await;
        Ok(())
    }

    async fn start(&mut self, frame: &Frame) -> Result<(), FrameError> {
        self.inner.check_folder(frame)?;
        self.folders.ensure(frame)?;
        self.write_start_files(frame).await?;
        self.inner.failpoints.hit("start.after_files").await;
        self.memory.attended = false;
        self.memory.kept_apart = false;
        self.attend(frame).await?;
        self.inner.failpoints.hit("start.before_engine").await;
        self.memory.readiness = super::probes::ReadinessProbe::default();
        self.memory.run_began_at = self.inner.deps.clock.now_ms();
        self.inner.deps.runtime.ensure_started(&self.id).await?;
        self.check_isolation(frame).await?;
        self.inner.failpoints.hit("start.after_start").await;
        Ok(())
    }

    /// A new password and the newest configuration, once per start.
    async fn write_start_files(&self, frame: &Frame) -> Result<(), FrameError> {
        let obeys = self.obeys_project(frame).await?;
        let mut given = self.inner.deps.start_files.secrets(frame).await;
        for why in std::mem::take(&mut given.missing) {
            self.note("secret_missing", why).await?;
        }
        let host = self.inner.host_facts().await;
        let mut contents = self.inner.start_contents(frame, obeys != Obeys::Nothing, given, &host).await;
        if let Obeys::Bound(list) = obeys {
            let left_out_config = provision::config_file(&self.inner.agent_config(frame, false).await);
            contents.trusted = Some(TrustedProject { list, left_out_config });
        }
        self.inner.note_warm_files(frame, &contents).await?;
        let spec = provision::container(frame, &self.inner.deps.settings.instance, &self.folders);
        Ok(self.inner.deps.runtime.put_start_files(&spec, &contents).await?)
    }
}

impl Inner {
    /// What a frame reads at a start, with a password of its own.
    pub(super) async fn start_contents(
        &self,
        frame: &Frame,
        obeyed: bool,
        given: SecretsGiven,
        host: &HostFacts,
    ) -> StartContents {
        let agent_config = self.agent_config(frame, obeyed).await;
        let git = git_config::environment(frame.network);
        let env: Vec<_> = git
            .into_iter()
            .chain(frame.env.iter().cloned())
            .chain(provision::loosened(&agent_config))
            .chain(given.env.into_iter().map(|(name, value)| (name, value.reveal().to_owned())))
            .chain([project::leave_out(obeyed)])
            .collect();
        StartContents {
            start: frame.state_changed_at,
            password: Secret::new(hex::encode(clock::entropy::<24>())),
            agent_config: provision::config_file(&agent_config),
            env: provision::env_file(&env),
            git_config: host.git.clone().unwrap_or_default().config_file(
                frame.network,
                frame.git.is_some(),
                &frame.forge,
                &self.deps.start_files.forges(),
            ),
            secrets: given.files,
            certificates: host.certificates.clone(),
            trusted: None,
        }
    }

    async fn agent_config(&self, frame: &Frame, obeyed: bool) -> serde_json::Value {
        let mut config = self.deps.start_files.agent_config(frame).await;
        config["instructions"] =
            project::instructions(Path::new(&frame.workspace), &frame.env, obeyed).into();
        config
    }
}

impl Driver {
    /// Opens the host's side. A port that somebody else took is exchanged, which is noted and told.
    pub(super) async fn attend(&mut self, frame: &Frame) -> Result<(), FrameError> {
        if frame.warm.is_some() {
            // Nothing listens to what is nobody's yet.
            self.memory.was_warm = true;
            return Ok(());
        }
        if self.memory.attended {
            return Ok(());
        }
        let (store, range) = (&self.inner.deps.store, self.inner.config.now().ports);
        let mut frame = frame.clone();
        let mut held = BTreeSet::new();
        for _ in 0..EXCHANGES {
            match self.inner.deps.attendant.open(&frame).await {
                Ok(()) => {
                    self.memory.attended = true;
                    return Ok(());
                }
                Err(AttendError::PortBusy(purpose)) => {
                    let lost = match purpose {
                        PortPurpose::Agent => frame.agent_port,
                        PortPurpose::Preview => frame.preview_port,
                    };
                    held.insert(lost);
                    let port = ports::exchange(store, &frame, purpose, range, &held).await?;
                    self.inner.failpoints.hit("start.after_exchange").await;
                    let what = purpose.as_str();
                    let text = format!("its {what} port {lost} is held by another program; it is {port} now");
                    self.note("port_exchanged", text).await?;
                    let id = self.id.clone();
                    frame = store.read(move |db| frames::get(db, &id)).await?;
                }
                Err(AttendError::Other(why)) => {
                    return Err(FrameError::HostSide { name: frame.name.to_string(), why });
                }
            }
        }
        Err(FrameError::NoFreePort(range))
    }

    async fn resume(&mut self) -> Result<(), FrameError> {
        self.inner.failpoints.hit("resume.before_engine").await;
        self.inner.deps.runtime.ensure_resumed(&self.id).await?;
        self.inner.failpoints.hit("resume.after_engine").await;
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), FrameError> {
        self.inner.failpoints.hit("pause.before_engine").await;
        self.inner.deps.runtime.ensure_paused(&self.id).await?;
        self.inner.failpoints.hit("pause.after_engine").await;
        Ok(())
    }

    async fn stop(&mut self, frame: &Frame) -> Result<(), FrameError> {
        self.inner.failpoints.hit("stop.before_agent").await;
        self.end_turns(frame).await;
        self.inner.failpoints.hit("stop.before_engine").await;
        let grace = self.inner.config.now().stop_grace;
        let stopped = self.inner.deps.runtime.ensure_stopped(&self.id, grace).await;
        self.inner.failpoints.hit("stop.after_stop").await;
        match stopped {
            // It says no again and again: what runs is not worth more than being able to go on.
            Err(error) if !error.is_transient() && self.memory.refusals + 1 >= REFUSALS => {
                self.note(
                    "removed_to_stop",
                    format!("its container could not be stopped ({error}); it was removed"),
                )
                .await?;
                Ok(self.inner.deps.runtime.ensure_removed(&self.id).await?)
            }
            other => Ok(other?),
        }
    }

    /// Lets a running turn end with what it has, so that it is saved; opencode forgets it otherwise.
    async fn end_turns(&self, frame: &Frame) {
        if frame.state != FrameState::Running {
            return;
        }
        let Ok(Some(client)) = self.inner.client(&self.id).await else { return };
        let _ = tokio::time::timeout(Duration::from_secs(2), client.dispose()).await;
    }

    async fn remove(&mut self) -> Result<(), FrameError> {
        self.inner.deps.attendant.close(&self.id).await;
        self.memory.attended = false;
        self.inner.failpoints.hit("destroy.before_remove").await;
        self.inner.deps.runtime.ensure_removed(&self.id).await?;
        self.inner.failpoints.hit("destroy.after_remove").await;
        Ok(())
    }

    pub(super) async fn forget(&mut self) -> Result<Next, FrameError> {
        self.inner.deps.attendant.close(&self.id).await;
        self.inner.failpoints.hit("destroy.before_forget").await;
        let folders = self.folders.clone();
        tokio::task::spawn_blocking(move || folders.remove())
            .await
            .map_err(|_| FrameError::Interrupted)??;
        self.inner.failpoints.hit("destroy.after_folders").await;
        let id = self.id.clone();
        self.inner.deps.store.write(move |tx| frames::forget(tx, &id)).await?;
        self.inner.failpoints.hit("destroy.after_forget").await;
        Ok(Next::Done)
    }

    /// Takes a container away that cannot be worked with; the next pass makes another if one is wanted.
    pub(super) async fn replace(
        &mut self,
        frame: &Frame,
        mismatch: ContainerMismatch,
    ) -> Result<Next, FrameError> {
        self.handle.seen.send_modify(|seen| seen.settled = None);
        let why = mismatch.words(frame);
        if frame.warm.is_some() {
            // Another container would be in the same folder, and nobody knows what is in that by now.
            let why = why.unwrap_or_else(|| "its container was not its own".to_owned());
            return self.let_warm_go(frame, why).await;
        }
        if mismatch != ContainerMismatch::Stuck {
            self.stop(frame).await?;
        }
        let left = matches!(frame.state, FrameState::Running | FrameState::Paused);
        if left {
            self.record(FrameEvent::StopConfirmed, None).await?;
        }
        self.inner.failpoints.hit("replace.after_stop").await;
        if let Some(why) = why {
            self.note("replaced", format!("{why}; it gets a new one")).await?;
        }
        self.inner.deps.runtime.ensure_removed(&self.id).await?;
        self.inner.failpoints.hit("replace.after_remove").await;
        Ok(Next::Again)
    }

    /// A step went wrong: try again, or give up with the reason.
    async fn refused(&mut self, frame: &Frame, step: Step, error: FrameError) -> Result<Next, FrameError> {
        let starts = matches!(step, Step::Create | Step::Start | Step::Resume);
        match &error {
            FrameError::Runtime(RuntimeError::ImageMissing { .. }) if step == Step::Create => {
                if self.find_image_again(frame).await? {
                    return Ok(Next::Again);
                }
                self.fail(error.to_string()).await
            }
            FrameError::Runtime(RuntimeError::Unsupported { .. }) if step == Step::Pause => {
                self.cannot_pause(&error).await
            }
            other if other.may_pass() => {
                if starts && self.is_overdue(frame) && !other.is_engine_away() {
                    return self.fail(error.to_string()).await;
                }
                Err(error)
            }
            FrameError::Runtime(RuntimeError::Refused { .. } | RuntimeError::Unsupported { .. })
                if self.memory.refusals + 1 < REFUSALS =>
            {
                self.memory.refusals += 1;
                Err(error)
            }
            _ if starts => {
                self.memory.refusals = 0;
                self.fail(error.to_string()).await
            }
            _ => Err(error),
        }
    }

    /// The id the frame was made from is gone; its name may stand for a newer build.
    async fn find_image_again(&self, frame: &Frame) -> Result<bool, FrameError> {
        let Some(image) = self.inner.deps.runtime.find_image(&frame.image).await? else { return Ok(false) };
        if image.id == frame.image_id {
            return Ok(false);
        }
        let (id, reference) = (frame.id.clone(), frame.image.clone());
        let text = format!("its image is gone; it is made from {reference} as it is now");
        self.inner
            .deps
            .store
            .write(move |tx| {
                frames::set_image(tx, &id, &reference, &image.id)?;
                frames::note(tx, &id, "image_changed", &text)
            })
            .await?;
        Ok(true)
    }

    /// This engine cannot freeze: the frame goes on running, and says so.
    async fn cannot_pause(&self, error: &FrameError) -> Result<Next, FrameError> {
        let (id, text) = (self.id.clone(), format!("it goes on running: {error}"));
        self.inner
            .deps
            .store
            .write(move |tx| {
                frames::set_desired(tx, &id, Desired::Running)?;
                frames::note(tx, &id, "cannot_pause", &text)
            })
            .await?;
        Ok(Next::Again)
    }
}

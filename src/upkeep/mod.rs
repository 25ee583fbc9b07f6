//! Looks after frames that nobody looks at: an agent that grows too large begins again, and a frame that has nothing
//! to do is stopped. A message wakes it.
//!
//! Both happen only while nothing runs, waits or is asked in the frame. What is not known counts as something that
//! runs: an agent that is not heard is left alone.
//!
//! Not here: how an agent begins again (see `frames`), and agents that do not answer at all (also there: that needs
//! no idle moment).

pub mod disk;
pub mod trend;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::{Live, schema as config};
use crate::frames::{FrameError, Frames, Processes};
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::status::AgentHealth;
use crate::status::{FrameNow, Statuses};
use crate::store::{Store, StoreError, frames};
use trend::Trend;

/// How often a frame that has something to do is looked into.
const LOOK_INTO_BUSY: Duration = Duration::from_secs(60);
/// … and one that has nothing to do.
const LOOK_INTO_IDLE: Duration = Duration::from_secs(5 * 60);
/// That a frame has something to do is written down this often.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// What the configuration says about upkeep.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is configured.
    pub config: config::Frames,
    /// The longest pause between two looks.
    pub tick: Duration,
}

/// Everything that [`Upkeep`] is made of.
pub struct UpkeepDeps {
    /// The database.
    pub store: Store,
    /// Frames.
    pub frames: Frames,
    /// What they do.
    pub statuses: Statuses,
    /// The time.
    pub clock: Clock,
    /// From the configuration.
    pub settings: Settings,
}

/// Looks after frames. Cheap to clone.
#[derive(Clone)]
pub struct Upkeep {
    inner: Arc<Inner>,
}

struct Inner {
    deps: UpkeepDeps,
    /// As it is configured now.
    config: Live<config::Frames>,
    looks: Mutex<BTreeMap<FrameId, Look>>,
    idle_stops: AtomicU64,
}

/// What is remembered of a frame between looks. Losing it costs one look.
#[derive(Clone, Debug, Default)]
struct Look {
    memory: Trend,
    /// When it was looked into, and what ran.
    inside: Option<(u64, Processes)>,
    /// That too many recycles were needed was told (UTC ms).
    capped_at: Option<u64>,
}

impl Upkeep {
    /// Makes the service; [`Upkeep::look_once`] is called every [`Upkeep::period`].
    #[must_use]
    pub fn new(deps: UpkeepDeps) -> Self {
        let config = Live::new(deps.settings.config.clone());
        Self {
            inner: Arc::new(Inner { deps, config, looks: Mutex::default(), idle_stops: AtomicU64::new(0) }),
        }
    }

    /// Another configuration from now on.
    pub fn configure(&self, config: config::Frames) {
        self.inner.config.set(config);
    }

    /// What a frame's agent used when it was looked at last: UTC ms and bytes.
    #[must_use]
    pub fn memory(&self, frame: &FrameId) -> Option<(u64, u64)> {
        self.inner.looks.lock().get(frame)?.memory.last()
    }

    /// How many frames were stopped because they had nothing to do, since the gateway began.
    #[must_use]
    pub fn idle_stops(&self) -> u64 {
        self.inner.idle_stops.load(Ordering::Relaxed)
    }

    /// How often frames are to be looked at.
    #[must_use]
    pub fn period(&self) -> Duration {
        let settings = &self.inner.deps.settings;
        let pause =
            self.inner.config.now().idle_stop.map_or(settings.tick, |idle| settings.tick.min(idle / 4));
        pause.max(Duration::from_millis(50))
    }

    /// Looks at every running frame once.
    ///
    /// # Errors
    /// When the rows cannot be read; what goes wrong with one frame does not keep the others.
    pub async fn look_once(&self) -> Result<(), StoreError> {
        let all = self.inner.deps.statuses.all().await?;
        self.inner.looks.lock().retain(|id, _| {
            all.iter().any(|now| now.frame.id == *id && now.frame.state == FrameState::Running)
        });
        for now in all {
            let runs = now.frame.state == FrameState::Running
                && now.frame.desired == Desired::Running
                && now.frame.engine.is_local();
            let is_well = self.inner.deps.frames.health(&now.frame.id) == AgentHealth::Answers;
            if runs
                && is_well
                && let Err(error) = self.look_after(&now).await
            {
                let frame = &now.frame;
                tracing::debug!(frame.id = %frame.id, %error, "frame {} could not be looked after: {error}", frame.name);
            }
        }
        Ok(())
    }

    /// Forgets what was seen, so that the next look sees everything anew.
    #[cfg(feature = "test-support")]
    pub fn forget_looks(&self) {
        self.inner.looks.lock().clear();
    }

    async fn look_after(&self, now: &FrameNow) -> Result<(), FrameError> {
        let frame = &now.frame;
        self.watch_memory(now).await?;
        if now.occupied.is_some() || self.inner.deps.frames.visitors(&frame.id) > 0 {
            return self.touch(frame).await;
        }
        let Some(idle_stop) = self.inner.config.now().idle_stop else { return Ok(()) };
        let since = frame.last_active_at.max(frame.state_changed_at);
        let idle = self.now_ms().saturating_sub(since);
        if idle < millis(idle_stop) {
            return Ok(());
        }
        if let Some(what) = self.command_in(frame).await? {
            tracing::debug!(frame.id = %frame.id, "frame {} is not idle: {what} runs in it", frame.name);
            return self.touch(frame).await;
        }
        let text = format!(
            "nothing happened in it for {}; a message or `mimir frame start` wakes it",
            words(idle_stop)
        );
        if self.inner.deps.frames.stop_when_idle(&frame.id, since, &text).await? {
            tracing::info!(frame.id = %frame.id, "frame {} is stopped: {text}", frame.name);
            self.inner.idle_stops.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes down that it has something to do, now and then.
    async fn touch(&self, frame: &Frame) -> Result<(), FrameError> {
        let idle_stop = self.inner.config.now().idle_stop.unwrap_or(TOUCH_EVERY);
        let due = millis(TOUCH_EVERY.min(idle_stop / 4));
        if self.now_ms().saturating_sub(frame.last_active_at) < due {
            return Ok(());
        }
        self.inner.deps.frames.touch(&frame.id).await
    }

    /// A command that a person left running inside, by name.
    async fn command_in(&self, frame: &Frame) -> Result<Option<String>, FrameError> {
        let before = self.look(&frame.id).inside;
        let listed = self.look_inside(frame).await?;
        if let Some(command) = listed.command() {
            return Ok(Some(command.name.clone()));
        }
        let (then, before) = match before {
            Some(earlier) => earlier,
            None => {
                // Nothing to compare with: what works shows it within a moment.
                let first = (self.now_ms(), listed);
                tokio::time::sleep(Duration::from_secs(1)).await;
                first
            }
        };
        let listed = self.look_inside(frame).await?;
        let elapsed = self.now_ms().saturating_sub(then);
        Ok(listed.background(&before, elapsed).map(|process| process.name.clone()))
    }

    /// Notes what the agent uses, and has it begin again when that is too much and nothing is lost by it.
    async fn watch_memory(&self, now: &FrameNow) -> Result<(), FrameError> {
        let frame = &now.frame;
        let settings = &self.inner.deps.settings;
        let look = self.look(&frame.id);
        let at = self.now_ms();
        let every = if now.occupied.is_some() { LOOK_INTO_BUSY } else { LOOK_INTO_IDLE };
        let since_last = look.inside.as_ref().map_or(u64::MAX, |(then, _)| at.saturating_sub(*then));
        let was_active = look.inside.as_ref().is_some_and(|(then, _)| frame.last_active_at > *then);
        let due = if was_active { every.min(LOOK_INTO_BUSY) } else { every };
        if since_last >= millis(due.min(settings.tick * 10)) {
            self.look_inside(frame).await?;
        }
        // What was too large while it was busy is so still when it is free.
        let memory = self.look(&frame.id).memory;
        let Some(why) = memory.verdict(frame.limits.memory_bytes, self.inner.config.now().recycle_at) else {
            return Ok(());
        };
        if now.occupied.is_some() {
            return Ok(());
        }
        let often = self.inner.deps.frames.recycled_lately(&frame.id).await?;
        if often < self.inner.config.now().recycle_limit {
            self.inner.deps.frames.recycle(&frame.id, &format!("{why}; it was restarted while it was idle"));
            self.alter(&frame.id, |look| look.memory = Trend::default());
        } else if look.capped_at.is_none_or(|told| at.saturating_sub(told) > 60 * 60 * 1000) {
            let text =
                format!("{why}; it was restarted {often} times within the last hour and is left alone now");
            let id = frame.id.clone();
            self.inner.deps.store.write(move |tx| frames::note(tx, &id, "recycle_capped", &text)).await?;
            self.alter(&frame.id, |look| look.capped_at = Some(at));
        }
        Ok(())
    }

    async fn look_inside(&self, frame: &Frame) -> Result<Processes, FrameError> {
        let listed = self.inner.deps.frames.processes(frame).await?;
        let at = self.now_ms();
        self.alter(&frame.id, |look| {
            if let Some(agent) = listed.agent() {
                look.memory.add(at, agent.memory_bytes);
            }
            look.inside = Some((at, listed.clone()));
        });
        Ok(listed)
    }

    fn look(&self, id: &FrameId) -> Look {
        self.inner.looks.lock().get(id).cloned().unwrap_or_default()
    }

    fn alter(&self, id: &FrameId, change: impl FnOnce(&mut Look)) {
        change(self.inner.looks.lock().entry(id.clone()).or_default());
    }

    fn now_ms(&self) -> u64 {
        self.inner.deps.clock.now_ms()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `2 h`, `90 min`, `45 s`.
fn words(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        hours if hours % 3600 == 0 => format!("{} h", hours / 3600),
        minutes if minutes % 60 == 0 => format!("{} min", minutes / 60),
        seconds => format!("{seconds} s"),
    }
}

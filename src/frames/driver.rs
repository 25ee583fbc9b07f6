//! Drives one frame towards what is desired.
//!
//! One task per frame, and only that task writes the frame's state. It takes one
//! repeatable step at a time: read the row, look at the engine, record what that
//! proves, decide, act. It may die anywhere; the wish was saved before.
//!
//! Not here: what each step does (see `steps`), and when an agent counts as there
//! (see `readiness`).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::crash::{self, Verdict};
use super::error::FrameError;
use super::folders::Folders;
use super::plan::{self, Step};
use super::readiness::Signs;
use super::silence::Silence;
use super::{Inner, provision, store_error};
use crate::model::container::{ContainerSpec, MountDifference, Observation, mount_difference};
use crate::model::frame::{Desired, Frame, FrameEvent, FrameState, Observed};
use crate::model::ids::FrameId;
use crate::model::status::AgentHealth;
use crate::runtime::LogRequest;
use crate::store::frames;
use crate::supervisor::backoff::Backoff;

/// What a driver shows to those who wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// The wish, and the container's number, for which the world was found as desired.
    pub(super) settled: Option<(Desired, u32)>,
    /// What is in the way right now.
    pub(super) problem: Option<String>,
    /// Since when the engine cannot be reached.
    pub(super) engine_away: Option<Instant>,
    /// How its agent is.
    pub(super) health: AgentHealth,
}

/// How a driver is woken and watched.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) nudge: Arc<Notify>,
    pub(super) seen: Arc<watch::Sender<Seen>>,
    /// Why the agent is to be recycled as soon as it is free, if it is.
    pub(super) recycle: Arc<Mutex<Option<String>>>,
    /// When the agent said something last without having been asked.
    heard: Arc<Mutex<Option<Instant>>>,
}

impl Handle {
    pub(super) fn new() -> Self {
        Self {
            nudge: Arc::new(Notify::new()),
            seen: Arc::new(watch::Sender::new(Seen::default())),
            recycle: Arc::default(),
            heard: Arc::default(),
        }
    }

    /// The agent says something.
    pub(super) fn hear(&self) {
        if let Ok(mut heard) = self.heard.lock() {
            *heard = Some(Instant::now());
        }
    }

    /// When it said something last, if that was after `since`.
    pub(super) fn heard_after(&self, since: Instant) -> Option<Instant> {
        self.heard.lock().ok()?.filter(|heard| *heard > since)
    }
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There is more to do.
    Immediately,
    /// Not before that.
    After(Duration),
    /// When somebody wakes us, or after a while.
    WhenSomethingChanges,
    /// The frame is gone.
    Never,
}

/// The one task that moves a frame.
pub(super) struct Driver {
    pub(super) inner: Arc<Inner>,
    pub(super) id: FrameId,
    pub(super) handle: Handle,
    pub(super) folders: Folders,
    pub(super) memory: Memory,
}

/// What a driver remembers between steps. Losing it costs time and nothing else.
pub(super) struct Memory {
    /// Since when the frame has had its chance: this driver began, or it was started last (UTC ms).
    pub(super) run_began_at: u64,
    /// The right to be starting; there are only so many.
    pub(super) start_permit: Option<OwnedSemaphorePermit>,
    /// Whether the host's side is open.
    pub(super) attended: bool,
    /// What has shown itself of a starting frame.
    pub(super) signs: Signs,
    /// The end that was counted last: container and when its run began.
    pub(super) counted_end: Option<(String, u64)>,
    /// Not to be started before that.
    pub(super) not_before: Option<Instant>,
    /// How often in a row the engine refused a step for no reason we know.
    pub(super) refusals: u32,
    /// Since when the agent of a running frame is silent.
    pub(super) silent_since: Option<Instant>,
    /// What was found while it is silent.
    pub(super) silence: Silence,
    /// Since when its agent begins again after we ended it.
    pub(super) restarting_since: Option<Instant>,
    /// When its agent was last asked.
    pub(super) asked_at: Option<Instant>,
    /// How many kills for want of memory were told already.
    pub(super) oom_kills: Option<u64>,
    last_step: Option<(Step, u32)>,
    delays: Backoff,
}

impl Driver {
    pub(super) fn new(inner: Arc<Inner>, id: FrameId, handle: Handle) -> Self {
        let folders = inner.folders(&id);
        let memory = Memory {
            run_began_at: inner.deps.clock.now_ms(),
            start_permit: None,
            attended: false,
            signs: Signs::default(),
            counted_end: None,
            not_before: None,
            refusals: 0,
            silent_since: None,
            silence: Silence::default(),
            restarting_since: None,
            asked_at: None,
            oom_kills: None,
            last_step: None,
            delays: Backoff::new(Duration::from_millis(200), Duration::from_secs(10)),
        };
        Self { inner, id, handle, folders, memory }
    }

    /// Drives the frame until it is gone or the gateway stops.
    pub(super) async fn drive(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let woken = self.handle.nudge.clone();
            let woken = woken.notified();
            let pause = match self.advance_once().await {
                Ok(Next::Never) => return,
                Ok(Next::Immediately) => continue,
                Ok(Next::After(pause)) => pause,
                Ok(Next::WhenSomethingChanges) => self.inner.deps.settings.tick,
                Err(error) => self.trouble(&error),
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Moves the frame one step closer to what was asked for.
    ///
    /// May be interrupted anywhere: the wish was saved before we were called, and
    /// every step can be repeated.
    pub(super) async fn advance_once(&mut self) -> Result<Next, FrameError> {
        let id = self.id.clone();
        let Some(frame) = self.inner.deps.store.read(move |db| frames::find(db, &id)).await? else {
            self.inner.deps.attendant.close(&self.id).await;
            return Ok(Next::Never);
        };
        let seen = self.inner.deps.runtime.observe(&self.id).await?;
        self.engine_answered();

        let spec = provision::container(&frame, &self.inner.deps.settings.instance, &self.folders);
        if let Some(misfit) = misfit(&frame, &seen, &spec) {
            return self.replace(&frame, misfit).await;
        }
        if let Some(event) = plan::fact(frame.state, seen.observed) {
            return self.record_fact(&frame, &seen, event).await;
        }
        let wish = plan::wish(frame.desired, frame.state);
        match plan::plan(wish, seen.observed) {
            Step::Settled => self.confirm(&frame, wish, &seen).await,
            step if self.repeats(step) => Ok(Next::After(self.memory.delays.next_delay())),
            step => self.perform(&frame, step, &seen).await,
        }
    }

    /// Records what the engine's answer proves, and counts an end that nobody asked for.
    async fn record_fact(
        &mut self,
        frame: &Frame,
        seen: &Observation,
        event: FrameEvent,
    ) -> Result<Next, FrameError> {
        let wanted = matches!(frame.desired, Desired::Running | Desired::Paused);
        if event == FrameEvent::StopConfirmed && wanted {
            return self.record_end(frame, seen).await;
        }
        self.record(event, None).await?;
        self.inner.failpoints.hit("facts.after_record").await;
        Ok(Next::Immediately)
    }

    /// A container ended, or vanished, although it was to run.
    pub(super) async fn record_end(&mut self, frame: &Frame, seen: &Observation) -> Result<Next, FrameError> {
        let settings = self.inner.deps.settings.crashes;
        let exit_code = seen.details.as_ref().and_then(|details| details.exit_code);
        let why = crash::why(seen, &frame.limits);
        let last_words = self.last_words(seen).await;
        let since = self.inner.deps.clock.now_ms().saturating_sub(millis(settings.window));
        self.memory.counted_end = run_of(seen);
        self.memory.oom_kills = None;
        self.inner.failpoints.hit("end.before_record").await;

        let (id, starting) = (frame.id.clone(), frame.state == FrameState::Starting);
        let text = with_last_words(&why, last_words.as_deref());
        let verdict = self
            .inner
            .deps
            .store
            .write::<_, FrameError, _>(move |tx| {
                frames::note(tx, &id, crash::ENDED, &text)?;
                let ends = frames::notes_since(tx, &id, crash::ENDED, since)?;
                let verdict = crash::judge(exit_code, ends, &settings);
                match verdict {
                    Verdict::GiveUp => {
                        let reason = if ends > 1 { format!("{text} ({ends} times)") } else { text };
                        frames::apply(tx, &id, FrameEvent::Failed, Some(&reason))?;
                        give_up(tx, &id)?;
                    }
                    // While it starts there is nothing to confirm: it simply has not started yet.
                    Verdict::Again(_) if starting => {}
                    Verdict::Again(_) => {
                        frames::apply(tx, &id, FrameEvent::StopConfirmed, Some(&why))?;
                    }
                }
                Ok(verdict)
            })
            .await?;
        self.inner.failpoints.hit("end.after_record").await;
        if let Verdict::Again(pause) = verdict {
            self.memory.not_before = Some(Instant::now() + pause);
        }
        Ok(Next::Immediately)
    }

    /// What the container said last, if the engine can still tell.
    async fn last_words(&self, seen: &Observation) -> Option<String> {
        use futures_util::StreamExt as _;
        seen.details.as_ref()?;
        let request = LogRequest { tail: Some(20), ..LogRequest::default() };
        let lines = async {
            let stream = self.inner.deps.runtime.logs(&self.id, request).await.ok()?;
            Some(
                stream.filter_map(|line| async { line.ok() }).map(|line| line.text).collect::<Vec<_>>().await,
            )
        };
        let lines = tokio::time::timeout(Duration::from_secs(3), lines).await.ok()??;
        telling_line(&lines)
    }

    /// Moves the frame, with nothing else in the transaction.
    pub(super) async fn record(&self, event: FrameEvent, reason: Option<String>) -> Result<(), FrameError> {
        let id = self.id.clone();
        self.inner
            .deps
            .store
            .write(move |tx| frames::apply(tx, &id, event, reason.as_deref()))
            .await
            .map_err(store_error)?;
        Ok(())
    }

    /// It cannot go on without a new request: `error`, the reason, and nothing left to try.
    pub(super) async fn fail(&mut self, reason: String) -> Result<Next, FrameError> {
        let id = self.id.clone();
        tracing::warn!(frame.id = %self.id, "frame {} failed: {reason}", self.id);
        self.inner
            .deps
            .store
            .write::<_, FrameError, _>(move |tx| {
                frames::apply(tx, &id, FrameEvent::Failed, Some(&reason))?;
                give_up(tx, &id)?;
                Ok(())
            })
            .await?;
        self.inner.failpoints.hit("fail.after_record").await;
        Ok(Next::Immediately)
    }

    /// Keeps a note on the frame's life.
    pub(super) async fn note(&self, code: &'static str, text: String) -> Result<(), FrameError> {
        let id = self.id.clone();
        self.inner.deps.store.write(move |tx| frames::note(tx, &id, code, &text)).await.map_err(store_error)
    }

    /// Tells those who wait that the world is as desired.
    pub(super) fn settled(&mut self, frame: &Frame) {
        self.memory.start_permit = None;
        self.memory.not_before = None;
        self.memory.refusals = 0;
        self.memory.last_step = None;
        self.memory.delays.reset();
        let settled = Some((frame.desired, frame.generation));
        self.handle.seen.send_modify(|seen| {
            let health = seen.health;
            *seen = Seen { settled, problem: None, engine_away: None, health };
        });
    }

    /// Tells those who wait what is in the way.
    pub(super) fn show(&self, problem: impl Into<String>) {
        let problem = Some(problem.into());
        self.handle.seen.send_if_modified(|seen| {
            let news = seen.settled.is_some() || seen.problem != problem;
            seen.settled = None;
            seen.problem = problem;
            news
        });
    }

    fn engine_answered(&self) {
        self.handle.seen.send_if_modified(|seen| seen.engine_away.take().is_some());
    }

    /// The same step twice in a row means that the engine says yes and does nothing.
    fn repeats(&mut self, step: Step) -> bool {
        let times = match self.memory.last_step {
            Some((last, times)) if last == step => times + 1,
            _ => 1,
        };
        let slow_down = times > 2 && times % 2 == 1;
        self.memory.last_step = Some((step, times));
        slow_down
    }

    /// Something went wrong that may pass by itself: says so once and waits a little longer each time.
    fn trouble(&mut self, error: &FrameError) -> Duration {
        let text = error.to_string();
        let news = self.handle.seen.borrow().problem.as_deref() != Some(text.as_str());
        if news {
            tracing::warn!(frame.id = %self.id, %error, "frame {} has to wait: {error}", self.id);
        }
        self.show(text);
        if error.is_engine_away() {
            self.handle.seen.send_modify(|seen| {
                seen.engine_away.get_or_insert_with(Instant::now);
            });
        }
        self.memory.delays.next_delay()
    }
}

/// A container that cannot be worked with, whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContainerMismatch {
    /// It belongs to an earlier run, or to a database that was restored.
    OtherGeneration,
    /// The engine cannot move it any more.
    Stuck,
    /// It shows other folders of this machine than it is to show.
    OtherMounts(MountDifference),
}

fn misfit(frame: &Frame, seen: &Observation, spec: &ContainerSpec) -> Option<ContainerMismatch> {
    let details = seen.details.as_ref()?;
    if frame.desired == Desired::Removed || seen.observed == Observed::Missing {
        None
    } else if details.stuck.is_some() {
        Some(ContainerMismatch::Stuck)
    } else if details.generation != frame.generation {
        Some(ContainerMismatch::OtherGeneration)
    } else {
        mount_difference(&spec.mounts(), &details.mounts).map(ContainerMismatch::OtherMounts)
    }
}

/// A frame that failed is not tried again unasked. One that is to be removed stays so.
fn give_up(tx: &mut crate::store::Tx<'_>, id: &FrameId) -> Result<(), FrameError> {
    if frames::get(tx, id)?.desired != Desired::Removed {
        frames::set_desired(tx, id, Desired::Stopped)?;
    }
    Ok(())
}

/// Which run of which container an observation is about.
pub(super) fn run_of(seen: &Observation) -> Option<(String, u64)> {
    let details = seen.details.as_ref()?;
    Some((details.container_id.clone(), details.started_at?))
}

fn with_last_words(why: &str, last_words: Option<&str>) -> String {
    match last_words {
        Some(words) => format!("{why}; it said last: {words}"),
        None => why.to_owned(),
    }
}

/// The supervisor's own explanation if there is one, else the last line that is not routine.
fn telling_line(lines: &[String]) -> Option<String> {
    let fatal = lines.iter().rev().find(|line| line.starts_with("mimir: fatal"));
    let line = fatal.or_else(|| lines.iter().rev().find(|line| !line.starts_with("mimir:")))?;
    Some(line.chars().take(300).collect())
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisors_last_explanation_is_the_one_that_is_shown() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let log = lines(&["opencode: x", "mimir: fatal no-workspace gone", "mimir: t=5ms stopped"]);
        assert_eq!(telling_line(&log).as_deref(), Some("mimir: fatal no-workspace gone"));
        let log = lines(&["opencode: panic: oh", "mimir: t=5ms stopped"]);
        assert_eq!(telling_line(&log).as_deref(), Some("opencode: panic: oh"));
        assert_eq!(telling_line(&lines(&["mimir: t=5ms stopped"])), None);
    }
}

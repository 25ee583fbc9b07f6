//! A container that ended, or vanished, although it was to run: counted, explained, and tried again or given up.

use std::time::{Duration, Instant};

use super::crash::{self, Verdict};
use super::driver::{Driver, give_up, millis, run_of};
use super::error::FrameError;
use crate::model::container::Observation;
use crate::model::frame::{Frame, FrameEvent, FrameState};
use crate::model::visible;
use crate::runtime::LogRequest;
use crate::store::frames;
use crate::supervisor::keyed::Next;

impl Driver {
    /// A container ended, or vanished, although it was to run.
    pub(super) async fn record_end(&mut self, frame: &Frame, seen: &Observation) -> Result<Next, FrameError> {
        if frame.warm.is_some() {
            let last_words = self.last_words(seen).await;
            let why = with_last_words(&crash::why(seen, &frame.limits), last_words.as_deref());
            return self.let_warm_go(frame, why).await;
        }
        let settings = *self.inner.crashes.now();
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
            .write_as(move |tx| {
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
                Ok::<_, FrameError>(verdict)
            })
            .await?;
        self.inner.failpoints.hit("end.after_record").await;
        if let Verdict::Again(pause) = verdict {
            self.memory.not_before = Some(Instant::now() + pause);
        }
        Ok(Next::Again)
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
        telling_line(&lines).map(|line| self.inner.deps.start_files.known().now().out_of(&line))
    }
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
    // A stranger's words become a reason, which is shown in many places.
    Some(visible::line(line).chars().take(300).collect())
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

//! What an ended run leaves behind goes: its messages are cancelled, its throwaway frames destroyed.
//!
//! Done by a timer that is set in the transaction of the end, and once more some minutes later: a frame that was being
//! made while somebody cancelled its run has come to be by then.

use super::deps::principal;
use super::{Workflows, fix};
use crate::delivery::CancelError;
use crate::frames::FrameError;
use crate::model::frame::Desired;
use crate::model::ids::RunId;
use crate::store::{frames, messages, runs};
use crate::timers::Fired;

impl Workflows {
    /// The timer of an ended run.
    ///
    /// # Errors
    /// Whatever is in the way, in a sentence; it is tried again later.
    pub async fn clean_up(&self, subject: &str) -> Result<Fired, String> {
        let Ok(id) = RunId::parse(subject.split('/').next().unwrap_or_default()) else {
            return Ok(Fired::Done);
        };
        let simple = &self.inner.stages.simple;
        // A place that it had is free.
        self.wake_those_in_line().await;
        let of = id.clone();
        let left = simple.store.read(move |db| {
            let run = runs::get(db, &of)?;
            let open = messages::list_open(db, None)?;
            let messages: Vec<_> =
                open.into_iter().filter(|message| message.run.as_ref() == Some(&of)).collect();
            Ok((run, messages, frames::of_run(db, &of)?))
        });
        let (run, messages, frames) = left.await.map_err(|error| error.to_string())?;
        if !run.state.is_end() {
            return Ok(Fired::Done);
        }
        for message in messages {
            match simple.delivery.cancel(&principal(), &message.id).await {
                Ok(_) | Err(CancelError::NotFound(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        simple.failpoints.hit("workflows.clean_up.before_frame").await;
        for frame in &frames {
            // What it pushed and nobody let through has nobody who waits for it any more.
            fix::reject_left(&self.inner.stages.fix, frame).await.map_err(|error| error.to_string())?;
        }
        for frame in frames.into_iter().filter(|frame| frame.desired != Desired::Removed) {
            match simple.frames.destroy(&principal(), &frame.name).await {
                Ok(_) => {
                    let (id, stage, name) = (id.clone(), run.stage.clone(), frame.name.clone());
                    let told = simple.store.write(move |tx| {
                        runs::log(tx, &id, &stage, "frame", &format!("frame {name} is destroyed"), None)
                    });
                    told.await.map_err(|error| error.to_string())?;
                }
                Err(FrameError::NotFound(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        simple.failpoints.hit("workflows.clean_up.after_frame").await;
        Ok(Fired::Done)
    }
}

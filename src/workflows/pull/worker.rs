//! Who works on the branch: the run's agent, in its frame.

use std::future::Future;

use crate::frames::FrameError;
use crate::model::frame::Desired;
use crate::store::frames;
use crate::workflows::deps::principal;
use crate::workflows::fix::{FixDeps, Instructions, Resumed, reject_left, resume};
use crate::workflows::stage::{StageContext, StageError};
use crate::workflows::trouble::{of_frame, of_store};

/// Works on a run's branch. Both may be called again after an interruption.
pub trait Worker: Clone + Send + Sync {
    /// Has it worked on once more, and pushed.
    fn resume<C: StageContext>(
        &self,
        cx: &mut C,
        wanted: &Instructions,
    ) -> impl Future<Output = Result<Resumed, StageError>> + Send;

    /// Takes the frame away; it is made anew from the branch when it is needed.
    fn discard<C: StageContext>(&self, cx: &mut C) -> impl Future<Output = Result<(), StageError>> + Send;
}

impl Worker for FixDeps {
    async fn resume<C: StageContext>(
        &self,
        cx: &mut C,
        wanted: &Instructions,
    ) -> Result<Resumed, StageError> {
        resume(cx, self, wanted).await
    }

    async fn discard<C: StageContext>(&self, cx: &mut C) -> Result<(), StageError> {
        let run = cx.run().id.clone();
        let made = self.store.read(move |db| frames::of_run(db, &run)).await.map_err(of_store)?;
        for frame in made.into_iter().filter(|frame| frame.desired != Desired::Removed) {
            reject_left(self, &frame).await?;
            match self.frames.destroy(&principal(), &frame.name).await {
                Ok(_) | Err(FrameError::NotFound(_)) => {}
                Err(error) => return Err(of_frame(error)),
            }
        }
        cx.progress().frame = None;
        Ok(())
    }
}

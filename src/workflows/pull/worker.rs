//! Who works on the branch: the run's agent, in its frame.

use std::future::Future;

use crate::workflows::fix::{FixDeps, Instructions, Resumed, clean_up, resume};
use crate::workflows::stage::{StageContext, StageError};

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
        clean_up(&run, self).await?;
        cx.progress().frame = None;
        Ok(())
    }
}

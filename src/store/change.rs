//! A change on its way to the database, and the answer to whoever asked for it.

use std::time::Instant;

use tokio::sync::oneshot;

use super::{StoreError, Tx};

/// How sure a change must be when its caller is told that it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a power cut.
    Disk,
    /// It survives the end of this process; a power cut may take the last ones.
    Process,
}

/// A change on its way through a batch.
pub(super) trait Change: Send {
    /// Makes it. Says whether it is to be kept.
    fn make(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells its caller. `fate` is that of the transaction it was part of.
    fn answer(self: Box<Self>, fate: Result<(), StoreError>);
    fn durability(&self) -> Durability;
    fn submitted_at(&self) -> Instant;
}

/// The usual change: a closure and where its answer goes.
pub(super) struct WriteJob<T, E, F> {
    change: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    durability: Durability,
    submitted_at: Instant,
}

impl<T, E, F> WriteJob<T, E, F> {
    pub(super) fn new(change: F, durability: Durability) -> (Box<Self>, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let job =
            Self { change: Some(change), outcome: None, reply, durability, submitted_at: Instant::now() };
        (Box::new(job), answer)
    }
}

impl<T, E, F> Change for WriteJob<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
{
    fn make(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(change) = self.change.take() else { return false };
        let outcome = change(tx);
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, fate: Result<(), StoreError>) {
        let answer = match (self.outcome, fate) {
            // Nothing of it was to be saved, so what became of the others is nothing to it.
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(E::from(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            // It panicked: the reply channel closes without a word, which its caller knows how to read.
            (None, Ok(())) => return,
        };
        let _ = self.reply.send(answer);
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn submitted_at(&self) -> Instant {
        self.submitted_at
    }
}

pub(super) type Waiting = Box<dyn Change>;

//! Tells of what happened at the broker, as events: now and then, because a frame may make it happen for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::Client;
use crate::model::event::{EventKind, Subject};
use crate::store::{Store, StoreError};
use crate::supervisor::{OnExit, Tasks};

/// How many events may wait to be written.
const QUEUE: usize = 1024;

/// What happens to a frame again and again is told of once in this time.
const QUIET: Duration = Duration::from_secs(600);

/// How many different things of one frame are told of in that time.
const DIFFERENT: usize = 64;

/// Writes events. Clones share the queue.
#[derive(Clone)]
pub(super) struct Teller {
    queue: mpsc::Sender<(Subject, EventKind)>,
}

impl Teller {
    pub(super) fn start(store: Store, tasks: &Tasks) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        tasks.spawn("broker events", OnExit::Restart, move |stop| {
            let (store, queue) = (store.clone(), queue.clone());
            async move {
                let mut queue = queue.lock().await;
                loop {
                    let next = tokio::select! {
                        next = queue.recv() => next,
                        () = stop.cancelled() => None,
                    };
                    let Some((subject, what)) = next else { return };
                    let kept: Result<u64, StoreError> =
                        store.write_soon(move |tx| tx.emit(&subject, &what)).await;
                    if let Err(error) = kept {
                        tracing::warn!(%error, "what happened at the broker could not be kept: {error}");
                    }
                }
            }
        });
        Self { queue: sender }
    }

    fn tell(&self, client: &Client, what: EventKind) {
        let subject = Subject {
            frame: Some(client.frame.clone()),
            frame_name: Some(client.name.clone()),
            ..Subject::default()
        };
        if self.queue.try_send((subject, what)).is_err() {
            tracing::warn!(frame.id = %client.frame, "an event of frame {} is lost: too many wait", client.name);
        }
    }
}

/// What one frame was told of late. Clones share it.
#[derive(Clone)]
pub(super) struct News {
    teller: Teller,
    told: Arc<Mutex<HashMap<(String, u16), Instant>>>,
}

impl News {
    pub(super) fn new(teller: Teller) -> Self {
        Self { teller, told: Arc::default() }
    }

    /// Whether it was not told of late.
    fn is_news(&self, what: &str, number: u16, now: Instant) -> bool {
        let mut told = self.told.lock();
        told.retain(|_, at| now.duration_since(*at) < QUIET);
        let key = (what.to_owned(), number);
        if told.contains_key(&key) || told.len() >= DIFFERENT {
            return false;
        }
        told.insert(key, now);
        true
    }

    /// Tells of a refusal, unless the same was told a moment ago.
    pub(super) fn refused(&self, client: &Client, host: &str, port: u16, why: &str) {
        let host: String = host.chars().take(253).collect();
        if !self.is_news(&host, port, Instant::now()) {
            return;
        }
        tracing::info!(frame.id = %client.frame, host, port, "frame {} was refused {host}:{port}: {why}", client.name);
        self.teller.tell(client, EventKind::ConnectionRefused { host, port, why: why.to_owned() });
    }

    /// Tells that a provider repeated a key, unless the same was told a moment ago.
    pub(super) fn redacted(&self, client: &Client, provider: &str, place: &str) {
        if !self.is_news(&format!("key of {provider} in {place}"), 0, Instant::now()) {
            return;
        }
        tracing::warn!(
            frame.id = %client.frame, provider, place,
            "provider {provider} repeated a key in {place} to frame {}; it was taken out", client.name
        );
        let (provider, place) = (provider.to_owned(), place.to_owned());
        self.teller.tell(client, EventKind::KeyRedacted { provider, place });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_knocks_for_ever_is_heard_now_and_then() {
        let (queue, _kept) = mpsc::channel(1);
        let news = News::new(Teller { queue });
        let now = Instant::now();
        assert!(news.is_news("a.test", 443, now));
        assert!(!news.is_news("a.test", 443, now + QUIET / 2));
        assert!(news.is_news("a.test", 80, now));
        let later = now + QUIET;
        assert!(news.is_news("a.test", 443, later));
        let heard = (0..1000).filter(|n| news.is_news(&format!("{n}.test"), 443, later)).count();
        assert_eq!(heard, DIFFERENT - 1, "a frame that makes up names is heard so often");
    }
}

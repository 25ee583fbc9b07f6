//! Counts what goes to other hosts, and stops what is too much.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;
use crate::clock::Clock;
use crate::config::running::Live;
use crate::model::ids::FrameId;
use crate::model::quantity::size;
use crate::store::frame_hosts::{self, HostDelta, Today};
use crate::store::{Store, StoreError};
use crate::supervisor::{OnExit, Tasks};

/// How often what was counted is written down.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// So many hosts of one frame are told apart; it may make up names.
const HOSTS: usize = 256;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The traffic of all frames. Clones share it.
#[derive(Clone)]
pub(super) struct Traffic {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    limits: Live<Limits>,
    frames: Mutex<HashMap<FrameId, Hosts>>,
}

/// The hosts of one frame, by name and port.
type Hosts = HashMap<(String, u16), Arc<Host>>;

/// One host and port of one frame.
pub(super) struct Host {
    frame: FrameId,
    host: String,
    port: u16,
    clock: Clock,
    limits: Live<Limits>,
    allowed: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    sent: AtomicU64,
    got: AtomicU64,
    last_at: AtomicU64,
    why: Mutex<Option<String>>,
    /// What went there on its day; none until that is known.
    today: Mutex<Option<Today>>,
}

impl Traffic {
    pub(super) fn start(store: Store, clock: Clock, limits: Live<Limits>, tasks: &Tasks) -> Self {
        let inner = Inner { store, clock, limits, frames: Mutex::default() };
        let traffic = Self { inner: Arc::new(inner) };
        let written = traffic.clone();
        tasks.spawn("traffic", OnExit::Restart, move |stop| {
            let traffic = written.clone();
            async move {
                loop {
                    let stopped = tokio::time::timeout(WRITE_EVERY, stop.cancelled()).await.is_ok();
                    traffic.write().await;
                    if stopped {
                        return;
                    }
                }
            }
        });
        traffic
    }

    /// A host of a frame, of which it is known what went there today.
    pub(super) async fn host(&self, frame: &FrameId, host: &str, port: u16) -> Result<Arc<Host>, StoreError> {
        let known = self.entry(frame, host, port);
        if known.today.lock().is_none() {
            let day = known.day();
            let (id, name, port) = (frame.clone(), known.host.clone(), known.port);
            let today =
                self.inner.store.read(move |db| frame_hosts::on_day(db, &id, &name, port, day)).await?;
            known.today.lock().get_or_insert(today);
        }
        Ok(known)
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, frame: &FrameId, host: &str, port: u16, why: &str) {
        self.entry(frame, host, port).note_refused(why);
    }

    fn entry(&self, frame: &FrameId, host: &str, port: u16) -> Arc<Host> {
        let mut frames = self.inner.frames.lock();
        let hosts = frames.entry(frame.clone()).or_default();
        let mut key = (host.trim_end_matches('.').to_ascii_lowercase(), port);
        if (hosts.len() >= HOSTS && !hosts.contains_key(&key)) || key.0.len() > 253 {
            key = ("*".to_owned(), 0);
        }
        let new = || {
            Arc::new(Host {
                frame: frame.clone(),
                host: key.0.clone(),
                port: key.1,
                clock: self.inner.clock.clone(),
                limits: self.inner.limits.clone(),
                allowed: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                got: AtomicU64::new(0),
                last_at: AtomicU64::new(0),
                why: Mutex::default(),
                today: Mutex::default(),
            })
        };
        hosts.entry(key.clone()).or_insert_with(new).clone()
    }

    /// Writes down what is new.
    async fn write(&self) {
        let hosts: Vec<Arc<Host>> =
            self.inner.frames.lock().values().flat_map(|hosts| hosts.values().cloned()).collect();
        let new: Vec<HostDelta> = hosts.iter().filter_map(|host| host.take()).collect();
        if new.is_empty() {
            return;
        }
        let written: Result<(), StoreError> = self
            .inner
            .store
            .write_soon(move |tx| new.iter().try_for_each(|delta| frame_hosts::add(tx, delta)))
            .await;
        if let Err(error) = written {
            tracing::warn!(%error, "what went to other hosts could not be written down: {error}");
        }
    }
}

impl Host {
    fn day(&self) -> u64 {
        self.clock.now_ms() / DAY_MS
    }

    /// Counts a connection.
    pub(super) fn note_allowed(&self) {
        self.allowed.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// Counts a request of plain HTTP. Those in TLS nobody sees.
    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// Takes one of the connections that may be made today.
    ///
    /// # Errors
    /// Why there is none left.
    pub(super) fn take_connection(&self) -> Result<(), String> {
        let limit = self.limits.now().connections;
        self.change_today(|today| match limit {
            Some(limit) if today.connections >= limit => Err(format!(
                "it has made {limit} connections there today, which is the most (`frames.connection_limit`)"
            )),
            _ => {
                today.connections += 1;
                Ok(())
            }
        })
    }

    /// Changes what went there today; on a new day it begins with nothing.
    fn change_today<T>(&self, change: impl FnOnce(&mut Today) -> T) -> T {
        let day = self.day();
        let mut today = self.today.lock();
        let mut now = today.filter(|today| today.day == day).unwrap_or(Today { day, ..Today::default() });
        let changed = change(&mut now);
        *today = Some(now);
        changed
    }

    /// Counts a refusal.
    pub(super) fn note_refused(&self, why: &str) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *self.why.lock() = Some(why.to_owned());
        self.touch();
    }

    /// Why nothing more may be sent today, if that is so.
    pub(super) fn is_full(&self) -> Option<String> {
        let limit = self.limits.now().upload?;
        (self.room() == 0).then(|| {
            format!("it has sent {} there today, which is the most (`frames.upload_limit`)", size(limit))
        })
    }

    /// How many bytes may still be sent today.
    fn room(&self) -> u64 {
        let Some(limit) = self.limits.now().upload else { return u64::MAX };
        limit.saturating_sub(self.change_today(|today| today.sent))
    }

    /// Counts what went to it.
    pub(super) fn note_sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
        self.change_today(|today| today.sent += count);
        self.touch();
    }

    /// Counts what came from it.
    pub(super) fn note_got(&self, count: u64) {
        self.got.fetch_add(count, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        self.last_at.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    /// What is new since this was asked for last.
    fn take(&self) -> Option<HostDelta> {
        let last_at = self.last_at.swap(0, Ordering::Relaxed);
        if last_at == 0 {
            return None;
        }
        Some(HostDelta {
            frame: self.frame.clone(),
            host: self.host.clone(),
            port: self.port,
            allowed: self.allowed.swap(0, Ordering::Relaxed),
            requests: self.requests.swap(0, Ordering::Relaxed),
            refused: self.refused.swap(0, Ordering::Relaxed),
            sent: self.sent.swap(0, Ordering::Relaxed),
            got: self.got.swap(0, Ordering::Relaxed),
            today: *self.today.lock(),
            last_at,
            why: self.why.lock().take(),
        })
    }
}

/// When something went through a connection last. Clones share it.
#[derive(Clone)]
pub(super) struct Pulse {
    began: Instant,
    beat_ms: Arc<AtomicU64>,
}

impl Pulse {
    fn new() -> Self {
        Self { began: Instant::now(), beat_ms: Arc::default() }
    }

    fn beat(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(ms, Ordering::Relaxed);
    }

    /// Waits until nothing went through for so long.
    pub(super) async fn stops(&self, limit: Duration) {
        loop {
            let until = self.began + Duration::from_millis(self.beat_ms.load(Ordering::Relaxed)) + limit;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A connection to a host, counted.
pub(super) struct Counted<S> {
    inner: S,
    host: Arc<Host>,
    pulse: Pulse,
    cut: Arc<AtomicBool>,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, host: Arc<Host>) -> Self {
        Self { inner, host, pulse: Pulse::new(), cut: Arc::default() }
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Says later whether it was cut because too much was sent.
    pub(super) fn cut(&self) -> Arc<AtomicBool> {
        self.cut.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.host.note_got(count as u64);
            self.pulse.beat();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = usize::try_from(self.host.room()).unwrap_or(usize::MAX);
        if room == 0 && !bytes.is_empty() {
            self.cut.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("too much was sent to this host today")));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, &bytes[..bytes.len().min(room)]);
        if let Poll::Ready(Ok(count)) = written {
            self.host.note_sent(count as u64);
            self.pulse.beat();
        }
        written
    }

    /// Without it hyper copies what is sent once more, to have it in one piece.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.len() as u64));
        if all > self.host.room() {
            // Near the limit one piece after the other, each cut to what is left.
            let first = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| &piece[..]);
            return self.poll_write(cx, first);
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(count)) = written {
            self.host.note_sent(count as u64);
            self.pulse.beat();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

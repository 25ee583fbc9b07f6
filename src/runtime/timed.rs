//! Another engine, with a watch: how long each call took.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::{EngineInfo, ExecOutput, ExecSpec, ExecStream, LogLine, LogRequest, Runtime, RuntimeError};
use crate::model::container::{ContainerSpec, EngineEvent, FoundContainer, ImageInfo, Observation, Stats};
use crate::model::ids::FrameId;

/// How long calls took, by call. Cheap to clone.
pub type Calls = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// Bounds in seconds: an observation takes milliseconds, a stop many seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// An engine whose calls are timed. Of calls that answer with a stream, the time until it begins.
pub struct Timed {
    engine: Arc<dyn Runtime>,
    calls: Calls,
}

impl Timed {
    /// Times the calls of `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Runtime>) -> Self {
        Self { engine, calls: Family::new_with_constructor(|| Histogram::new(BOUNDS)) }
    }

    /// What was measured, for the metrics.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }

    async fn time<T>(&self, call: &'static str, work: impl Future<Output = T> + Send) -> T {
        let began = Instant::now();
        let answer = work.await;
        self.calls.get_or_create(&[("call", call)]).observe(began.elapsed().as_secs_f64());
        answer
    }
}

type Answer<T> = Result<T, RuntimeError>;

#[async_trait]
impl Runtime for Timed {
    async fn info(&self) -> Answer<EngineInfo> {
        self.time("info", self.engine.info()).await
    }

    async fn observe(&self, frame: &FrameId) -> Answer<Observation> {
        self.time("observe", self.engine.observe(frame)).await
    }

    async fn list(&self) -> Answer<Vec<FoundContainer>> {
        self.time("list", self.engine.list()).await
    }

    async fn ensure_created(&self, spec: &ContainerSpec) -> Answer<()> {
        self.time("create", self.engine.ensure_created(spec)).await
    }

    async fn ensure_started(&self, frame: &FrameId) -> Answer<()> {
        self.time("start", self.engine.ensure_started(frame)).await
    }

    async fn ensure_stopped(&self, frame: &FrameId, grace: Duration) -> Answer<()> {
        self.time("stop", self.engine.ensure_stopped(frame, grace)).await
    }

    async fn ensure_paused(&self, frame: &FrameId) -> Answer<()> {
        self.time("pause", self.engine.ensure_paused(frame)).await
    }

    async fn ensure_resumed(&self, frame: &FrameId) -> Answer<()> {
        self.time("resume", self.engine.ensure_resumed(frame)).await
    }

    async fn ensure_removed(&self, frame: &FrameId) -> Answer<()> {
        self.time("remove", self.engine.ensure_removed(frame)).await
    }

    async fn remove_stray(&self, container_id: &str) -> Answer<()> {
        self.time("remove_stray", self.engine.remove_stray(container_id)).await
    }

    async fn exec(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecOutput> {
        self.time("exec", self.engine.exec(frame, command)).await
    }

    async fn exec_stream(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecStream> {
        self.time("exec_stream", self.engine.exec_stream(frame, command)).await
    }

    async fn logs(
        &self,
        frame: &FrameId,
        request: LogRequest,
    ) -> Answer<BoxStream<'static, Answer<LogLine>>> {
        self.time("logs", self.engine.logs(frame, request)).await
    }

    async fn stats(&self, frame: &FrameId) -> Answer<Stats> {
        self.time("stats", self.engine.stats(frame)).await
    }

    async fn events(&self) -> Answer<BoxStream<'static, Answer<EngineEvent>>> {
        self.time("events", self.engine.events()).await
    }

    async fn find_image(&self, reference: &str) -> Answer<Option<ImageInfo>> {
        self.time("find_image", self.engine.find_image(reference)).await
    }

    async fn list_images(&self) -> Answer<Vec<ImageInfo>> {
        self.time("list_images", self.engine.list_images()).await
    }

    async fn remove_image(&self, id: &str) -> Answer<()> {
        self.time("remove_image", self.engine.remove_image(id)).await
    }
}

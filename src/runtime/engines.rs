//! The engines of one gateway behind one seam, with a watch: how long each call took.
//!
//! A frame that stands for a server elsewhere is that engine's; all others are the local one's.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::external::External;
use super::{
    Capabilities, Credentials, EngineInfo, ExecOutput, ExecSpec, ExecStream, FrameListener, LogLine,
    LogRequest, Runtime, RuntimeError, StartContents,
};
use crate::model::container::{
    ContainerSpec, EngineEvent, FoundContainer, ImageInfo, Observation, Stats, Storage,
};
use crate::model::ids::FrameId;
use crate::model::isolation::Isolation;
use crate::model::port::PortPurpose;
use crate::outbound::Connector;

/// How long calls took, by call. Cheap to clone.
pub type Calls = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// Bounds in seconds: an observation takes milliseconds, a stop many seconds.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// All engines. Of calls that answer with a stream, the time until it begins is measured.
pub struct Engines {
    local: Arc<dyn Runtime>,
    external: External,
    calls: Calls,
}

impl Engines {
    /// Puts them together.
    #[must_use]
    pub fn new(local: Arc<dyn Runtime>, external: External) -> Self {
        Self { local, external, calls: Family::new_with_constructor(|| Histogram::new(BOUNDS)) }
    }

    /// The engine of a frame.
    fn of(&self, frame: &FrameId) -> &dyn Runtime {
        if self.external.has(frame) { &self.external } else { self.local.as_ref() }
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
impl Runtime for Engines {
    async fn info(&self) -> Answer<EngineInfo> {
        self.time("info", self.local.info()).await
    }

    fn hardening(&self) -> String {
        self.local.hardening()
    }

    async fn capabilities(&self, frame: &FrameId) -> Answer<Capabilities> {
        self.of(frame).capabilities(frame).await
    }

    fn connector(&self, frame: &FrameId, purpose: PortPurpose) -> Connector {
        self.of(frame).connector(frame, purpose)
    }

    fn listen(&self, frame: &FrameId) -> io::Result<FrameListener> {
        self.of(frame).listen(frame)
    }

    async fn put_start_files(&self, spec: &ContainerSpec, files: &StartContents) -> Answer<()> {
        self.of(&spec.frame).put_start_files(spec, files).await
    }

    async fn credentials(&self, frame: &FrameId) -> Answer<Option<Credentials>> {
        self.of(frame).credentials(frame).await
    }

    async fn observe(&self, frame: &FrameId) -> Answer<Observation> {
        self.time("observe", self.of(frame).observe(frame)).await
    }

    async fn list(&self) -> Answer<Vec<FoundContainer>> {
        self.time("list", self.local.list()).await
    }

    async fn ensure_created(&self, spec: &ContainerSpec) -> Answer<()> {
        self.time("create", self.of(&spec.frame).ensure_created(spec)).await
    }

    async fn ensure_started(&self, frame: &FrameId) -> Answer<()> {
        self.time("start", self.of(frame).ensure_started(frame)).await
    }

    async fn why_machines_users(&self, storage: &Storage) -> Option<String> {
        self.local.why_machines_users(storage).await
    }

    async fn isolation(&self, frame: &FrameId) -> Answer<Option<Isolation>> {
        self.of(frame).isolation(frame).await
    }

    async fn ensure_stopped(&self, frame: &FrameId, grace: Duration) -> Answer<()> {
        self.time("stop", self.of(frame).ensure_stopped(frame, grace)).await
    }

    async fn ensure_paused(&self, frame: &FrameId) -> Answer<()> {
        self.time("pause", self.of(frame).ensure_paused(frame)).await
    }

    async fn ensure_resumed(&self, frame: &FrameId) -> Answer<()> {
        self.time("resume", self.of(frame).ensure_resumed(frame)).await
    }

    async fn ensure_removed(&self, frame: &FrameId) -> Answer<()> {
        self.time("remove", self.of(frame).ensure_removed(frame)).await
    }

    async fn remove_stray(&self, container_id: &str) -> Answer<()> {
        self.time("remove_stray", self.local.remove_stray(container_id)).await
    }

    async fn exec(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecOutput> {
        self.time("exec", self.of(frame).exec(frame, command)).await
    }

    async fn exec_stream(&self, frame: &FrameId, command: ExecSpec) -> Answer<ExecStream> {
        self.time("exec_stream", self.of(frame).exec_stream(frame, command)).await
    }

    fn announce_viewer(&self, frame: &FrameId) {
        self.of(frame).announce_viewer(frame);
    }

    async fn logs(
        &self,
        frame: &FrameId,
        request: LogRequest,
    ) -> Answer<BoxStream<'static, Answer<LogLine>>> {
        self.time("logs", self.of(frame).logs(frame, request)).await
    }

    async fn stats(&self, frame: &FrameId) -> Answer<Stats> {
        self.time("stats", self.of(frame).stats(frame)).await
    }

    async fn events(&self) -> Answer<BoxStream<'static, Answer<EngineEvent>>> {
        self.time("events", self.local.events()).await
    }

    async fn find_image(&self, reference: &str) -> Answer<Option<ImageInfo>> {
        self.time("find_image", self.local.find_image(reference)).await
    }

    async fn list_images(&self) -> Answer<Vec<ImageInfo>> {
        self.time("list_images", self.local.list_images()).await
    }

    async fn remove_image(&self, id: &str) -> Answer<()> {
        self.time("remove_image", self.local.remove_image(id)).await
    }
}

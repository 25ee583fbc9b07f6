//! An engine under test, with folders and an image for its containers.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use mimir::clock::entropy_128;
use mimir::model::container::{ContainerSpec, Observation, Storage};
use mimir::model::frame::{Limits, Observed};
use mimir::model::ids::{FrameId, InstanceId};
use mimir::model::names::FrameName;
use mimir::model::network::NetworkMode;
use mimir::runtime::{LogRequest, Runtime, RuntimeError};

/// Runs until somebody writes an exit code into its home.
const MAIN: &str = "echo ready
trap 'exit 0' TERM
while [ ! -f /home/agent/exit ]; do sleep 0.05; done
exit $(cat /home/agent/exit)
";

pub struct Bench {
    pub runtime: Arc<dyn Runtime>,
    /// Another gateway on the same engine.
    pub neighbour: Arc<dyn Runtime>,
    pub instance: InstanceId,
    pub neighbours_instance: InstanceId,
    pub image_id: String,
    pub image_name: String,
    pub foreign: Arc<dyn Foreign>,
    #[cfg(feature = "test-support")]
    pub memory: Option<mimir::runtime::fake::FakeEngine>,
    pub folders: tempfile::TempDir,
    pub owner: (u32, u32),
}

/// Somebody else's things on the same engine.
pub trait Foreign: Send + Sync {
    /// An image without a name, labelled as a frame image or not; its id.
    fn add_untagged_image(&self, labelled: bool) -> String;
    fn add(&self, name: &str);
    fn is_there(&self, name: &str) -> bool;
    fn remove(&self, name: &str);
}

pub fn fresh_instance() -> InstanceId {
    InstanceId::from_parts(1, entropy_128())
}

#[cfg(feature = "test-support")]
mod memory {
    use super::*;
    use mimir::clock::Clock;
    use mimir::runtime::fake::FakeEngine;

    struct InMemory(FakeEngine);

    impl Foreign for InMemory {
        fn add_untagged_image(&self, labelled: bool) -> String {
            self.0.add_untagged_image(labelled).id
        }
        fn add(&self, name: &str) {
            self.0.add_foreign_container(name);
        }
        fn is_there(&self, name: &str) -> bool {
            self.0.has_foreign_container(name)
        }
        fn remove(&self, _name: &str) {}
    }

    impl Bench {
        pub fn in_memory() -> Self {
            let (instance, neighbours_instance) = (fresh_instance(), fresh_instance());
            let folders = tempfile::tempdir().unwrap();
            let engine = FakeEngine::new(instance.clone(), Clock::system(), folders.path());
            let image = engine.add_image("localhost/contract:1");
            let printer = engine.clone();
            engine.on_start(move |started| printer.print(&started.spec.frame, "ready"));
            Self {
                runtime: Arc::new(engine.clone()),
                neighbour: Arc::new(engine.of_instance(neighbours_instance.clone())),
                instance,
                neighbours_instance,
                image_id: image.id,
                image_name: "localhost/contract:1".to_owned(),
                foreign: Arc::new(InMemory(engine.clone())),
                memory: Some(engine),
                folders,
                owner: (1000, 1000),
            }
        }
    }
}

impl Bench {
    /// A container to be, with folders of its own.
    pub fn spec(&self) -> ContainerSpec {
        let frame = FrameId::from_parts(1, entropy_128());
        let root = self.folders.path().join(frame.as_str());
        let folder = |name: &str| {
            let path = root.join(name);
            fs::create_dir_all(&path).unwrap();
            if rustix::process::getuid().is_root() {
                std::os::unix::fs::chown(&path, Some(self.owner.0), Some(self.owner.1)).unwrap();
            }
            path
        };
        let spec = ContainerSpec {
            instance: self.instance.clone(),
            name: FrameName::parse("contract").unwrap(),
            generation: 1,
            image_id: self.image_id.clone(),
            workspace: self.storage(&folder("workspace")),
            home: self.storage(&folder("home")),
            more: Vec::new(),
            network: NetworkMode::Sealed,
            limits: Limits { cpus_milli: 1000, memory_bytes: 128 << 20, pids: 64 },
            gpu: false,
            env: BTreeMap::from([("GREETING".to_owned(), "hello there".to_owned())]),
            frame,
        };
        self.script(&spec, MAIN);
        spec
    }

    /// The same with a workspace of that name, which holds its name in `mark`. A name may be a path.
    pub fn spec_with_workspace(&self, name: &str) -> ContainerSpec {
        let mut spec = self.spec();
        let folder = spec.workspace.folder().unwrap().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("mark"), name).unwrap();
        spec.workspace = self.storage(&folder);
        spec
    }

    /// A folder of this machine.
    pub fn storage(&self, folder: &Path) -> Storage {
        Storage::HostFolder { path: folder.to_owned(), uid: self.owner.0, gid: self.owner.1 }
    }

    /// Where the frame's own processes see its sockets.
    pub fn link_folder(&self, frame: &FrameId) -> std::path::PathBuf {
        self.folders.path().join(frame.as_str()).join("link")
    }

    /// What the container runs.
    pub fn script(&self, spec: &ContainerSpec, script: &str) {
        fs::write(spec.home.folder().unwrap().join("main"), script).unwrap();
    }

    /// A container that runs and has said so.
    pub async fn running(&self) -> ContainerSpec {
        let spec = self.spec();
        self.start(&spec).await;
        spec
    }

    pub async fn start(&self, spec: &ContainerSpec) {
        self.runtime.ensure_created(spec).await.expect("created");
        self.runtime.ensure_started(&spec.frame).await.expect("started");
        eventually("the script is ready", || async {
            let lines = self.log(&spec.frame).await;
            (lines.iter().any(|line| line == "ready"), format!("{lines:?}"))
        })
        .await;
    }

    /// The first process ends with that code.
    pub async fn end(&self, spec: &ContainerSpec, code: i64) {
        #[cfg(feature = "test-support")]
        if let Some(engine) = &self.memory {
            engine.exit(&spec.frame, code);
        }
        write(&spec.home.folder().unwrap().join("exit"), &code.to_string());
        eventually("it ends", || async {
            let seen = self.observe(&spec.frame).await;
            // For a moment the engine calls it running although its process is gone.
            let is_settled = seen.details.as_ref().is_none_or(|details| details.stuck.is_none());
            (seen.observed == Observed::Halted && is_settled, format!("{seen:?}"))
        })
        .await;
    }

    pub async fn observe(&self, frame: &FrameId) -> Observation {
        self.runtime.observe(frame).await.expect("an observation")
    }

    pub async fn log(&self, frame: &FrameId) -> Vec<String> {
        let mut lines = self.runtime.logs(frame, LogRequest::default()).await.expect("a log");
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line.expect("a line").text);
        }
        found
    }

    pub async fn remove(&self, spec: &ContainerSpec) {
        self.runtime.ensure_removed(&spec.frame).await.expect("removed");
    }
}

/// Complete or not at all, for whoever waits for the file.
pub fn write(path: &Path, text: &str) {
    let part = path.with_extension("part");
    fs::write(&part, text).unwrap();
    fs::rename(&part, path).unwrap();
}

pub async fn eventually<F, Fut>(what: &str, look: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = (bool, String)>,
{
    let began = Instant::now();
    loop {
        let (done, seen) = look().await;
        if done {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "waited for: {what}. Last seen: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[track_caller]
pub fn assert_gone<T: std::fmt::Debug>(answer: &Result<T, RuntimeError>) {
    assert!(matches!(answer, Err(RuntimeError::Gone { .. })), "{answer:?}");
}

#[track_caller]
pub fn assert_wrong_state<T: std::fmt::Debug>(answer: &Result<T, RuntimeError>) {
    assert!(matches!(answer, Err(RuntimeError::WrongState { .. })), "{answer:?}");
}

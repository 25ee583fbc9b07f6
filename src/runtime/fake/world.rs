//! The containers of the fake engine and what can happen to them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{Fault, OnConnect, OnExec, OnMount, OnStart, OnStream, Op, StartedContainer};
use crate::clock::Clock;
use crate::model::container::{
    ContainerDetails, ContainerSpec, EngineEvent, FolderIdentity, FoundContainer, ImageInfo, Mount,
    MountDifference, Observation, Storage, container_name, mount_difference,
};
use crate::model::frame::Observed;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::isolation::Isolation;
use crate::model::network::NetworkMode;
use crate::runtime::files::FrameFiles;
use crate::runtime::{Capabilities, LogLine, RuntimeError, folder_identity};

pub(super) struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    clock: Clock,
    frames_folder: PathBuf,
}

pub(super) struct State {
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) foreign: BTreeSet<String>,
    pub(super) images: Vec<ImageInfo>,
    pub(super) faults: HashMap<Op, VecDeque<Fault>>,
    pub(super) standing: HashMap<Op, Fault>,
    pub(super) calls: HashMap<Op, usize>,
    pub(super) capabilities: Capabilities,
    pub(super) deadline: Duration,
    pub(super) down: bool,
    pub(super) events: Option<broadcast::Sender<(InstanceId, EngineEvent)>>,
    pub(super) on_start: Option<OnStart>,
    pub(super) on_exec: Option<OnExec>,
    pub(super) on_stream: Option<OnStream>,
    pub(super) on_mount: Option<OnMount>,
    pub(super) on_connect: Option<OnConnect>,
    /// What the kernel says of everything that runs.
    pub(super) isolation: Told,
    /// How often containers were locked up more than before.
    pub(super) hardening: u32,
    made: u64,
}

/// What can be seen of how containers are kept apart.
pub(super) enum Told {
    /// Whatever they were made for.
    AsAsked,
    /// The same of all, or nothing.
    Only(Option<Box<Isolation>>),
}

pub(super) struct Container {
    pub(super) spec: ContainerSpec,
    pub(super) container_id: String,
    /// Never `Missing`.
    pub(super) observed: Observed,
    pub(super) oom_kills: u64,
    pub(super) stuck: Option<String>,
    pub(super) log: Vec<LogLine>,
    /// Made by an older mimir.
    pub(super) is_old: bool,
    mounts: Vec<Mount>,
    /// The folder that it was started with.
    workspace: Option<FolderIdentity>,
    exit_code: Option<i64>,
    created_at: u64,
    started_at: Option<u64>,
    run: Option<CancellationToken>,
}

impl Container {
    pub(super) fn found(&self) -> FoundContainer {
        FoundContainer {
            frame: self.spec.frame.clone(),
            name: self.spec.name.to_string(),
            generation: self.spec.generation,
            observed: self.observed,
            created_at: self.created_at,
            container_id: self.container_id.clone(),
        }
    }

    pub(super) fn observation(&self) -> Observation {
        let details = ContainerDetails {
            container_id: self.container_id.clone(),
            generation: self.spec.generation,
            image_id: self.spec.image_id.clone(),
            exit_code: self.exit_code,
            started_at: self.started_at,
            pid: self.runs().then_some(4242),
            oom_kills: Some(self.oom_kills),
            stuck: self.stuck.clone(),
            less_isolated: self.is_old,
            mounts: self.mounts.clone(),
            workspace: self.workspace.filter(|_| self.runs()),
        };
        Observation { observed: self.observed, details: Some(details) }
    }

    /// As it was asked for.
    pub(super) fn as_asked(&self) -> Isolation {
        let has_network = self.spec.network == NetworkMode::Open;
        Isolation {
            host_user: 1001,
            own_users: true,
            no_new_privileges: true,
            filtered: true,
            read_only_root: true,
            interfaces: ["lo"].into_iter().chain(has_network.then_some("eth0")).map(str::to_owned).collect(),
            memory_bytes: Some(self.spec.limits.memory_bytes),
            pids: Some(u64::from(self.spec.limits.pids)),
            cpus_milli: Some(u64::from(self.spec.limits.cpus_milli)),
            ..Isolation::default()
        }
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.observed, Observed::Running | Observed::Paused)
    }

    fn end(&mut self, code: i64) {
        self.observed = Observed::Halted;
        self.exit_code = Some(code);
        if let Some(run) = self.run.take() {
            run.cancel();
        }
    }
}

pub(super) fn image_matches(image: &ImageInfo, reference: &str) -> bool {
    image.id == reference || image.tags.iter().any(|tag| tag == reference)
}

fn folders_are_there(spec: &ContainerSpec) -> Result<(), RuntimeError> {
    for folder in [&spec.workspace, &spec.home].into_iter().filter_map(Storage::folder) {
        if !folder.is_dir() {
            return Err(RuntimeError::FolderMissing { path: folder.display().to_string() });
        }
    }
    Ok(())
}

/// Whose the files are; ours when a volume keeps them.
pub(super) fn owner(spec: &ContainerSpec) -> (u32, u32) {
    match &spec.workspace {
        Storage::HostFolder { uid, gid, .. } => (*uid, *gid),
        Storage::Volume(_) => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
    }
}

impl World {
    pub(super) fn new(clock: Clock, frames_folder: PathBuf) -> Self {
        let state = State {
            containers: BTreeMap::new(),
            foreign: BTreeSet::new(),
            images: Vec::new(),
            faults: HashMap::new(),
            standing: HashMap::new(),
            calls: HashMap::new(),
            capabilities: Capabilities::CONTAINER,
            deadline: Duration::from_millis(300),
            down: false,
            events: None,
            on_start: None,
            on_exec: None,
            on_stream: None,
            on_mount: None,
            on_connect: None,
            isolation: Told::AsAsked,
            hardening: 0,
            made: 0,
        };
        Self { state: Mutex::new(state), changed: watch::Sender::new(0), clock, frames_folder }
    }

    pub(super) fn files(&self, frame: &FrameId) -> FrameFiles {
        FrameFiles::of(&self.frames_folder, frame)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn announce_change(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn add_image(&self, reference: &str) -> ImageInfo {
        use sha2::Digest as _;
        let image = ImageInfo {
            id: hex::encode(sha2::Sha256::digest(reference.as_bytes())),
            tags: vec![reference.to_owned()],
            labels: [
                ("io.mimir.inputs", "memory"),
                ("io.mimir.opencode", "1.18.33"),
                ("io.mimir.project", "left-out"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            size_bytes: 1_000_000,
            created_at: self.clock.now_ms(),
        };
        let mut state = self.lock();
        state.images.retain(|other| other.id != image.id);
        state.images.push(image.clone());
        image
    }

    pub(super) fn add_untagged_image(&self, labelled: bool) -> ImageInfo {
        let mut image = self.add_image(&format!("left-{:x}", crate::clock::entropy_128()));
        image.tags.clear();
        if !labelled {
            image.labels.clear();
        }
        self.replace_image(&image);
        image
    }

    pub(super) fn move_name(&self, reference: &str) -> ImageInfo {
        for image in &mut self.lock().images {
            image.tags.retain(|tag| tag != reference);
        }
        let mut image = self.add_untagged_image(true);
        image.tags.push(reference.to_owned());
        self.replace_image(&image);
        image
    }

    pub(super) fn relabel(&self, image: &ImageInfo, labels: &[(&str, &str)]) -> ImageInfo {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let image = ImageInfo { labels: labels.collect(), ..image.clone() };
        self.replace_image(&image);
        image
    }

    fn replace_image(&self, image: &ImageInfo) {
        let mut state = self.lock();
        state.images.retain(|other| other.id != image.id);
        state.images.push(image.clone());
    }

    /// Only a frame image without a name, and only while nothing is made from it.
    pub(super) fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        let refused =
            |why: &str| RuntimeError::Refused { action: "remove an image", message: why.to_owned() };
        let mut state = self.lock();
        let Some(image) = state.images.iter().find(|image| image.id == id) else { return Ok(()) };
        if !image.labels.contains_key("io.mimir.inputs") {
            return Err(refused("it is no frame image"));
        }
        if !image.tags.is_empty() {
            return Err(refused("it has a name"));
        }
        if state.containers.values().any(|container| container.spec.image_id == id) {
            return Err(refused("image is in use by a container"));
        }
        state.images.retain(|image| image.id != id);
        Ok(())
    }

    pub(super) fn events(&self) -> broadcast::Receiver<(InstanceId, EngineEvent)> {
        let mut state = self.lock();
        state.events.get_or_insert_with(|| broadcast::channel(256).0).subscribe()
    }

    pub(super) fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        folders_are_there(spec)?;
        let has_volume = [&spec.workspace, &spec.home].into_iter().any(|storage| storage.folder().is_none());
        if has_volume && !self.lock().capabilities.volumes {
            let why = "the test says so".to_owned();
            return Err(RuntimeError::Unsupported {
                engine: "memory",
                action: "keep files in a volume",
                why,
            });
        }
        let (uid, gid) = owner(spec);
        self.files(&spec.frame).ensure(uid, gid)?;
        let name = container_name(&spec.frame);
        let state = self.lock();
        if !state.images.iter().any(|image| image_matches(image, &spec.image_id)) {
            return Err(RuntimeError::ImageMissing { image: spec.image_id.clone() });
        }
        let taken = RuntimeError::NameTaken { name: name.clone() };
        if state.foreign.contains(&name) {
            return Err(taken);
        }
        match state.containers.get(&name) {
            Some(there) if there.spec.instance != spec.instance => return Err(taken),
            Some(there)
                if there.spec.generation == spec.generation
                    && mount_difference(&spec.mounts(), &there.mounts).is_none() =>
            {
                return Ok(());
            }
            Some(there) if there.spec.generation > spec.generation => {
                return Err(RuntimeError::WrongState { frame: spec.frame.clone(), action: "create" });
            }
            _ => {}
        }
        let on_mount = state.on_mount.clone();
        drop(state);
        self.remove(&spec.instance, &spec.frame);
        self.plant(spec.clone(), Observed::Halted);
        if let Some(on_mount) = on_mount {
            self.alter(&spec.frame, |container| {
                container.mounts.iter_mut().for_each(|mount| on_mount(mount))
            });
        }
        let mounted = self.lock().containers.get(&name).map(|there| there.mounts.clone()).unwrap_or_default();
        match mount_difference(&spec.mounts(), &mounted) {
            None => Ok(()),
            Some(MountDifference { wanted, mounted }) => {
                self.remove(&spec.instance, &spec.frame);
                Err(RuntimeError::MountsDiffer { wanted, mounted })
            }
        }
    }

    /// Puts a container there, whatever was there before.
    pub(super) fn plant(&self, spec: ContainerSpec, observed: Observed) {
        let mut state = self.lock();
        state.made += 1;
        let container = Container {
            container_id: format!("{:064x}", state.made),
            observed: Observed::Halted,
            oom_kills: 0,
            is_old: false,
            stuck: None,
            log: Vec::new(),
            mounts: spec.mounts(),
            workspace: None,
            exit_code: None,
            created_at: self.clock.now_ms(),
            started_at: None,
            run: None,
            spec: spec.clone(),
        };
        state.containers.insert(container_name(&spec.frame), container);
        drop(state);
        self.tell(&spec.instance, &spec.frame, "create");
        if matches!(observed, Observed::Running | Observed::Paused) {
            self.launch(&spec.instance, &spec.frame);
        }
        self.alter(&spec.frame, |container| container.observed = observed);
    }

    /// Starts what is there, if its folders still are.
    pub(super) fn start(&self, instance: &InstanceId, frame: &FrameId) -> Result<(), RuntimeError> {
        let spec = self.lock().containers.get(&container_name(frame)).map(|there| there.spec.clone());
        folders_are_there(&spec.ok_or_else(|| RuntimeError::Gone { frame: frame.clone() })?)?;
        self.launch(instance, frame);
        Ok(())
    }

    /// Runs what is there and not running.
    pub(super) fn launch(&self, instance: &InstanceId, frame: &FrameId) {
        let now = self.clock.now_ms();
        let mut state = self.lock();
        let hook = state.on_start.clone();
        let Some(container) = state.containers.get_mut(&container_name(frame)) else { return };
        let ended = CancellationToken::new();
        container.observed = Observed::Running;
        container.exit_code = None;
        container.started_at = Some(now);
        container.run = Some(ended.clone());
        container.workspace = container.spec.workspace.folder().and_then(folder_identity);
        container.oom_kills = 0;
        let files = self.files(frame);
        let (link, start) = (files.link().folder().to_owned(), files.start());
        let started = StartedContainer { spec: container.spec.clone(), link, start, ended };
        drop(state);
        if let Some(hook) = hook {
            hook(started);
        }
        self.tell(instance, frame, "start");
    }

    pub(super) fn end_of(&self, frame: &FrameId, code: i64) {
        let mut state = self.lock();
        let Some(container) = state.containers.get_mut(&container_name(frame)) else { return };
        if !container.runs() {
            return;
        }
        let instance = container.spec.instance.clone();
        container.end(code);
        drop(state);
        self.tell(&instance, frame, "die");
    }

    pub(super) fn alter(&self, frame: &FrameId, change: impl FnOnce(&mut Container)) {
        if let Some(container) = self.lock().containers.get_mut(&container_name(frame)) {
            change(container);
        }
        self.announce_change();
    }

    /// Removes it if it is the instance's own.
    pub(super) fn remove(&self, instance: &InstanceId, frame: &FrameId) {
        let mut state = self.lock();
        let name = container_name(frame);
        if state.containers.get(&name).is_none_or(|there| there.spec.instance != *instance) {
            return;
        }
        let Some(mut container) = state.containers.remove(&name) else { return };
        let ran = container.runs();
        container.end(137);
        drop(state);
        if ran {
            self.tell(instance, frame, "die");
        }
        self.tell(instance, frame, "remove");
    }

    pub(super) fn remove_all_of(&self, frame: &FrameId) {
        let owner =
            self.lock().containers.get(&container_name(frame)).map(|there| there.spec.instance.clone());
        if let Some(instance) = owner {
            self.remove(&instance, frame);
        }
    }

    pub(super) fn reboot(&self) {
        let mut state = self.lock();
        state.events = None;
        for container in state.containers.values_mut() {
            if container.runs() {
                container.end(0);
            }
            container.exit_code = None;
        }
        drop(state);
        self.announce_change();
    }

    pub(super) fn print(&self, frame: &FrameId, text: &str) {
        let line = LogLine { at: self.clock.now_ms(), text: text.to_owned(), stderr: false };
        self.alter(frame, |container| container.log.push(line));
    }

    pub(super) fn tell(&self, instance: &InstanceId, frame: &FrameId, action: &str) {
        let event = EngineEvent { frame: frame.clone(), action: action.to_owned(), at: self.clock.now_ms() };
        if let Some(events) = &self.lock().events {
            // Nobody listening is no fault.
            let _ = events.send((instance.clone(), event));
        }
        self.announce_change();
    }

    /// Counts the call and says what goes wrong with it.
    pub(super) fn admit(&self, op: Op) -> Result<(Option<Fault>, Duration), RuntimeError> {
        let mut state = self.lock();
        *state.calls.entry(op).or_default() += 1;
        let planned = state.faults.get_mut(&op).and_then(VecDeque::pop_front);
        let fault = planned.or_else(|| state.standing.get(&op).cloned());
        let (down, deadline) = (state.down, state.deadline);
        drop(state);
        self.announce_change();
        if down { Err(super::faults::unreachable()) } else { Ok((fault, deadline)) }
    }
}

/// Shared by the calls of the fake.
pub(super) type Shared = Arc<World>;

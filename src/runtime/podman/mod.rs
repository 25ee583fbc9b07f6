//! Podman, through its Docker-compatible endpoints and, where these fall short, its own.
//!
//! Every method looks at the container first: by name, and only with our instance's label. What is done is done by the
//! engine's id of what was looked at, so nothing that took its name in between is touched.

mod blocks;
mod containers;
mod facts;
mod handle;
mod idmap;
mod isolation;
mod libpod;
mod seccomp;
mod shown;
mod streams;
mod timestamp;
mod translate;
mod trouble;
mod usage;
mod users;
mod watches;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptions, ListImagesOptions};
use bollard::{ClientVersion, Docker};
use futures_util::stream::{BoxStream, StreamExt};
use hyper::Method;
use tokio::sync::Mutex;

use super::engine::{EngineSettings, Service};
use super::files::FrameFiles;
use super::{
    Credentials, EngineInfo, ExecChunk, ExecOutput, ExecSpec, ExecStream, FrameListener, LogLine, LogRequest,
    Runtime, RuntimeError, StartContents,
};
use crate::clock::Clock;
use crate::model::container::{
    ContainerSpec, EngineEvent, FoundContainer, ImageInfo, LABEL_FRAME, LABEL_INSTANCE, Mount, Observation,
    Stats, Storage,
};
use crate::model::frame::Observed;
use crate::model::ids::{FrameId, InstanceId};
use crate::model::isolation::Isolation;
use crate::model::port::PortPurpose;
use crate::outbound::Connector;
use blocks::Numbers;
use idmap::NotShown;
use libpod::Libpod;
use shown::ShowPlaces;
use translate::{Plan, Rules};
use trouble::{Doing, Trouble};
use users::{Users, Whose};

/// What every Podman since 3.0 speaks. Fixed, because asking costs a second.
const CLIENT_VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };
/// The client library's own deadline; ours are shorter.
const CLIENT_SECONDS: u64 = 600;

const LOOK: Duration = Duration::from_secs(15);
const CHANGE: Duration = Duration::from_secs(60);
/// Rootless, the first container of an image copies it under the owner's ids.
const CREATE: Duration = Duration::from_secs(300);
const EXEC: Duration = Duration::from_secs(10);
/// A command that prints more than this is cut off.
const LARGEST_OUTPUT: usize = 4 << 20;

/// The label that frame images carry.
pub const IMAGE_LABEL: &str = "io.mimir.inputs";
/// The label of an image whose opencode can be told to leave a project's configuration out.
pub const PROJECT_LABEL: &str = "io.mimir.project";

/// Podman on this machine.
pub struct Podman {
    instance: InstanceId,
    service: Service,
    /// Where each frame has a folder of its own.
    frames_folder: PathBuf,
    connected: Mutex<Option<Arc<Connection>>>,
    /// Which numbers of this machine are whose.
    numbers: Numbers,
    /// Where folders are shown with their owners translated.
    places: ShowPlaces,
    /// Whether what an earlier gateway left at the places was taken away.
    swept: AtomicBool,
}

/// A service that answered, and who it is.
struct Connection {
    socket: Arc<str>,
    docker: Docker,
    libpod: Libpod,
    abilities: translate::Abilities,
    /// The word for how containers are locked up that are made now.
    hardening: String,
    info: EngineInfo,
}

impl Podman {
    /// Looks for an engine when it is first needed.
    #[must_use]
    pub fn new(instance: InstanceId, settings: EngineSettings, frames_folder: PathBuf) -> Self {
        Self {
            instance,
            places: ShowPlaces::new(&settings.folder, &frames_folder),
            service: Service::new(settings),
            frames_folder,
            connected: Mutex::new(None),
            numbers: Numbers::default(),
            swept: AtomicBool::new(false),
        }
    }

    fn files(&self, frame: &FrameId) -> FrameFiles {
        FrameFiles::of(&self.frames_folder, frame)
    }

    /// What runs containers, when somebody said so.
    fn runtime(&self) -> Option<&str> {
        self.service.settings().runtime.as_deref()
    }

    /// The first number of a frame's own users; none when all are taken.
    async fn first_number(&self, frame: &FrameId) -> Result<Option<u32>, RuntimeError> {
        let look = self.run("list", None, LOOK, |on| async move { on.blocks_of_others(frame).await });
        let others = look.await?;
        let (numbers, frame, frames) = (self.numbers.clone(), frame.clone(), self.frames_folder.clone());
        let chosen = tokio::task::spawn_blocking(move || numbers.of(&frame, &frames, &others)).await;
        chosen.unwrap_or_else(|error| {
            Err(RuntimeError::Refused { action: "set numbers aside", message: error.to_string() })
        })
    }

    /// Why users inside are users of this machine, as far as that does not depend on folders; an empty one for engines that
    /// see to it themselves.
    async fn lacks_own_users(&self) -> Result<Option<Whose>, RuntimeError> {
        // Tried with two runtimes alone; the others have no users of this machine inside.
        if self.runtime().is_some_and(translate::has_own_kernel) {
            return Ok(Some(Whose::Engines));
        }
        let abilities = self.connection().await?.abilities;
        Ok(match (abilities.rootless, abilities.own_users) {
            (true, _) => Some(Whose::Engines),
            (false, true) => None,
            (false, false) => Some(Whose::Machines(facts::NO_OWN_USERS.to_owned())),
        })
    }

    /// The users of a frame that sees these folders: its own, as far as this machine and their file systems can.
    async fn users(
        &self,
        frame: &FrameId,
        owner: (u32, u32),
        mounts: &[Mount],
    ) -> Result<Whose, RuntimeError> {
        if let Some(whose) = self.lacks_own_users().await? {
            return Ok(whose);
        }
        let Some(first) = self.first_number(frame).await? else {
            return Ok(Whose::Machines(blocks::ALL_TAKEN.to_owned()));
        };
        let users = Users::new(first, owner, mounts, &self.places.of(frame));
        let (prepared, places) = (users.clone(), self.places.clone());
        let prepared = tokio::task::spawn_blocking(move || prepared.prepare(&places)).await;
        match prepared.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            Ok(()) => Ok(Whose::Own(users)),
            Err(NotShown::Cannot(why)) => {
                tracing::warn!(frame.id = %frame, "frame {frame} has no users of its own: {why}");
                Ok(Whose::Machines(why))
            }
            // Another try may give it its own, so it gets no others.
            Err(NotShown::Failed(error)) => Err(RuntimeError::Refused {
                action: "show the frame its folders",
                message: error.to_string(),
            }),
        }
    }

    /// Ends the engine's service if this value started it; the next call starts another. Frames run on.
    pub async fn close(&self) {
        *self.connected.lock().await = None;
        self.service.close().await;
    }

    /// Writes what the engine is to read when it makes the container.
    fn rules(&self, spec: &ContainerSpec) -> Result<Rules, RuntimeError> {
        let files = self.files(&spec.frame);
        let seccomp = files.put_beside("seccomp.json", &seccomp::profile().to_string(), 0o600)?;
        // The agent reads this one as whoever it is.
        let hosts = files.put_beside("hosts", &translate::hosts(spec.name.as_str()), 0o644)?;
        Ok(Rules { seccomp, hosts })
    }

    async fn connection(&self) -> Result<Arc<Connection>, RuntimeError> {
        let mut connected = self.connected.lock().await;
        if let Some(connection) = &*connected {
            return Ok(connection.clone());
        }
        let reached = self.service.reach().await?;
        let socket: Arc<str> = reached.socket.display().to_string().into();
        let libpod = Libpod::new(&reached.socket);
        let doing = Doing { action: "say who it is", frame: None, socket: &socket, seconds: LOOK.as_secs() };
        let asked = tokio::time::timeout(LOOK, async {
            let version = libpod.ping().await?;
            let body = libpod.get::<facts::InfoBody>("/info").await?;
            let docker = Docker::connect_with_unix(&socket, CLIENT_SECONDS, &CLIENT_VERSION);
            Ok((version, body, docker.map_err(Trouble::of_client)?))
        });
        let (version, body, docker) =
            asked.await.unwrap_or(Err(Trouble::TooSlow)).map_err(|trouble| trouble.into_error(doing))?;
        let machine = facts::Surroundings::look(peer_of(&reached.socket).await);
        let abilities = facts::abilities(&body, &version, machine);
        let info = facts::info(&body, version, &socket, machine, reached.notes);
        if abilities.own_users && !self.swept.swap(true, Ordering::Relaxed) {
            // Before the first start of this gateway, so nobody needs them.
            self.places.sweep();
        }
        let hardening = self.hardening();
        let connection = Arc::new(Connection { socket, docker, libpod, abilities, hardening, info });
        *connected = Some(connection.clone());
        Ok(connection)
    }

    /// Runs one call with its deadline. When the service is gone it is found or started again, once.
    async fn run<T, F, Fut>(
        &self,
        action: &'static str,
        frame: Option<&FrameId>,
        deadline: Duration,
        call: F,
    ) -> Result<T, RuntimeError>
    where
        F: Fn(Arc<Connection>) -> Fut,
        Fut: Future<Output = Result<T, Trouble>>,
    {
        let mut retried = false;
        loop {
            let connection = self.connection().await?;
            let doing = Doing { action, frame, socket: &connection.socket, seconds: deadline.as_secs() };
            let answer = tokio::time::timeout(deadline, call(connection.clone()));
            match answer.await.unwrap_or(Err(Trouble::TooSlow)) {
                // Every call may be made twice, so it does not matter whether the first one arrived.
                Err(Trouble::Unreachable(why)) => {
                    self.forget(&connection).await;
                    if retried {
                        return Err(Trouble::Unreachable(why).into_error(doing));
                    }
                    retried = true;
                }
                answer => return answer.map_err(|trouble| trouble.into_error(doing)),
            }
        }
    }

    async fn forget(&self, lost: &Arc<Connection>) {
        let mut connected = self.connected.lock().await;
        if connected.as_ref().is_some_and(|current| Arc::ptr_eq(current, lost)) {
            *connected = None;
        }
    }

    fn filter(&self) -> String {
        format!("{LABEL_INSTANCE}={}", self.instance)
    }
}

#[async_trait]
impl Runtime for Podman {
    async fn info(&self) -> Result<EngineInfo, RuntimeError> {
        self.run("say who it is", None, LOOK, |on| async move { Ok(on.info.clone()) }).await
    }

    fn hardening(&self) -> String {
        translate::hardening(self.runtime())
    }

    fn connector(&self, frame: &FrameId, purpose: PortPurpose) -> Connector {
        self.files(frame).link().connector(purpose)
    }

    fn listen(&self, frame: &FrameId) -> io::Result<FrameListener> {
        self.files(frame).link().listen()
    }

    async fn put_start_files(&self, spec: &ContainerSpec, files: &StartContents) -> Result<(), RuntimeError> {
        let (uid, gid) = owner(spec)?;
        let kept = self.files(&spec.frame);
        kept.ensure(uid, gid)?;
        // The container was made with them; it cannot start without.
        let _ = self.rules(spec)?;
        kept.put(files, (uid, gid), !self.runtime().is_some_and(translate::has_own_kernel))
    }

    async fn credentials(&self, frame: &FrameId) -> Result<Option<Credentials>, RuntimeError> {
        let password = self.files(frame).password()?;
        Ok(password.map(Credentials::of_frame))
    }

    async fn observe(&self, frame: &FrameId) -> Result<Observation, RuntimeError> {
        let own = self.files(frame).mounts();
        let mut seen = self
            .run("inspect", Some(frame), LOOK, |on| async move {
                let found = on.find(&self.instance, frame).await?;
                Ok(found.map_or_else(Observation::missing, |found| found.observation))
            })
            .await?;
        if let Some(details) = &mut seen.details {
            details.mounts.retain(|mount| !own.contains(mount));
        }
        Ok(seen)
    }

    async fn list(&self) -> Result<Vec<FoundContainer>, RuntimeError> {
        let label = self.filter();
        self.run("list", None, LOOK, |on| {
            let filters = serde_json::json!({"label": [label]}).to_string();
            async move { on.list(&filters).await }
        })
        .await
    }

    async fn ensure_created(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let (uid, gid) = owner(spec)?;
        // The engine would make a missing one, as root, and say nothing.
        for Mount { source, .. } in spec.mounts() {
            let is_file = spec.more.iter().any(|more| more.source == source);
            if !tokio::fs::metadata(&source).await.is_ok_and(|there| is_file || there.is_dir()) {
                return Err(RuntimeError::FolderMissing { path: source });
            }
        }
        let files = self.files(&spec.frame);
        files.ensure(uid, gid)?;
        let mounts = &[spec.mounts(), files.mounts()].concat();
        let rules = &self.rules(spec)?;
        let users = self.users(&spec.frame, (uid, gid), mounts).await?;
        let runtime = self.runtime();
        let plan = &Plan { spec, mounts, rules, user: (uid, gid), users: &users, runtime };
        let created = self
            .run("create", Some(&spec.frame), CREATE, |on| async move { on.ensure_created(plan).await })
            .await;
        created.map_err(|error| match error {
            RuntimeError::ImageMissing { .. } => RuntimeError::ImageMissing { image: spec.image_id.clone() },
            RuntimeError::NameTaken { .. } => {
                RuntimeError::NameTaken { name: crate::model::container::container_name(&spec.frame) }
            }
            RuntimeError::Refused { message, .. } if message.contains("OCI runtime") && runtime.is_some() => {
                RuntimeError::Unsupported {
                    engine: "podman",
                    action: "make frames as `frames.runtime` says",
                    why: format!("it knows no runtime `{}` ({message})", runtime.unwrap_or_default()),
                }
            }
            other => other,
        })
    }

    async fn ensure_started(&self, frame: &FrameId) -> Result<(), RuntimeError> {
        let (places, owner) = (&self.places, self.files(frame).owner());
        self.run("start", Some(frame), CHANGE, |on| async move {
            on.ensure_started(frame, &on.get(&self.instance, frame).await?, places, owner).await
        })
        .await
    }

    async fn why_machines_users(&self, storage: &Storage) -> Option<String> {
        let Storage::HostFolder { path, uid, gid } = storage else { return None };
        match self.lacks_own_users().await {
            Ok(None) => {}
            Ok(Some(whose)) => return whose.why_not_own().map(str::to_owned),
            // Whoever makes the frame is told that the engine is away.
            Err(_) => return None,
        }
        let mount = Mount::new(path, crate::model::container::inside::WORKSPACE, false);
        let users = Users::untold((*uid, *gid), &[mount], self.places.root());
        let frames = self.frames_folder.clone();
        let tried = tokio::task::spawn_blocking(move || users.try_out(&frames)).await;
        match tried.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            Ok(()) => None,
            Err(NotShown::Cannot(why)) => Some(why),
            Err(NotShown::Failed(error)) => Some(error.to_string()),
        }
    }

    async fn isolation(&self, frame: &FrameId) -> Result<Option<Isolation>, RuntimeError> {
        self.run("inspect", Some(frame), LOOK, |on| async move {
            let found = on.find(&self.instance, frame).await?;
            Ok(found.and_then(|found| found.isolation(&self.frames_folder)))
        })
        .await
    }

    async fn ensure_stopped(&self, frame: &FrameId, grace: Duration) -> Result<(), RuntimeError> {
        self.run("stop", Some(frame), CHANGE + grace, |on| async move {
            on.ensure_stopped(&self.instance, frame, grace).await
        })
        .await
    }

    async fn ensure_paused(&self, frame: &FrameId) -> Result<(), RuntimeError> {
        self.run("pause", Some(frame), CHANGE, |on| async move {
            on.freeze(&self.instance, frame, Observed::Paused).await
        })
        .await
    }

    async fn ensure_resumed(&self, frame: &FrameId) -> Result<(), RuntimeError> {
        self.run("resume", Some(frame), CHANGE, |on| async move {
            on.freeze(&self.instance, frame, Observed::Running).await
        })
        .await
    }

    async fn ensure_removed(&self, frame: &FrameId) -> Result<(), RuntimeError> {
        self.places.clear(frame);
        self.run("remove", Some(frame), CHANGE, |on| async move {
            match on.find(&self.instance, frame).await? {
                Some(found) => on.remove(&found.id).await,
                None => Ok(()),
            }
        })
        .await
    }

    async fn remove_stray(&self, container_id: &str) -> Result<(), RuntimeError> {
        self.run(
            "remove",
            None,
            CHANGE,
            |on| async move { on.remove_stray(&self.instance, container_id).await },
        )
        .await
    }

    async fn exec(&self, frame: &FrameId, command: ExecSpec) -> Result<ExecOutput, RuntimeError> {
        let deadline = command.deadline.unwrap_or(EXEC);
        let too_slow = || RuntimeError::TooSlow { action: "run a command", seconds: deadline.as_secs() };
        let collected = async {
            let stream = self.exec_stream(frame, ExecSpec { stdin: false, ..command.clone() }).await?;
            collect(stream).await
        };
        tokio::time::timeout(deadline, collected).await.unwrap_or_else(|_| Err(too_slow()))
    }

    async fn exec_stream(&self, frame: &FrameId, command: ExecSpec) -> Result<ExecStream, RuntimeError> {
        let command = &command;
        let (stream, control) = self
            .run("run a command", Some(frame), LOOK, |on| async move {
                on.start_exec(&on.get(&self.instance, frame).await?, command).await
            })
            .await?;
        if let Some((columns, rows)) = command.tty {
            control.first_size(columns, rows).await?;
        }
        Ok(streams::exec_stream(stream, command.tty.is_some(), control))
    }

    fn announce_viewer(&self, frame: &FrameId) {
        if let Err(error) = self.files(frame).announce_viewer() {
            tracing::debug!(frame.id = %frame, %error, "frame {frame} is not told of a viewer: {error}");
        }
    }

    async fn logs(
        &self,
        frame: &FrameId,
        request: LogRequest,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError> {
        self.run("show the log", Some(frame), LOOK, |on| async move {
            let found = on.get(&self.instance, frame).await?;
            let pieces = on.docker.logs(&found.id, Some(streams::log_options(request)));
            Ok(streams::log_lines(pieces, request, on.socket.clone()))
        })
        .await
    }

    async fn stats(&self, frame: &FrameId) -> Result<Stats, RuntimeError> {
        self.run("measure", Some(frame), LOOK, |on| async move {
            on.stats(&on.get(&self.instance, frame).await?).await
        })
        .await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<EngineEvent, RuntimeError>>, RuntimeError> {
        let now = Clock::system().now_ms();
        let filters = HashMap::from([
            ("label".to_owned(), vec![self.filter()]),
            ("type".to_owned(), vec!["container".to_owned()]),
        ]);
        // The request goes out with the first poll, so it asks for everything since now; whole seconds only.
        let options = EventsOptions {
            since: Some((now / 1000).to_string()),
            filters: Some(filters),
            ..Default::default()
        };
        // A service that went away unnoticed is found or started first.
        let connection = self
            .run("follow events", None, LOOK, |on| async move { on.libpod.ping().await.map(|_| on) })
            .await?;
        let socket = connection.socket.clone();
        let pieces = connection.docker.events(Some(options));
        let events = pieces.filter_map(move |piece| {
            let doing = Doing { action: "follow events", frame: None, socket: &socket, seconds: 0 };
            std::future::ready(match piece {
                Ok(message) => event(message).filter(|event| event.at >= now).map(Ok),
                Err(error) => Some(Err(Trouble::of_client(error).into_error(doing))),
            })
        });
        Ok(events.boxed())
    }

    async fn find_image(&self, reference: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        self.run("find an image", None, LOOK, |on| async move {
            match on.docker.inspect_image(reference).await.map_err(Trouble::of_client) {
                Ok(image) => Ok(Some(ImageInfo {
                    id: image.id.unwrap_or_default().trim_start_matches("sha256:").to_owned(),
                    tags: names(image.repo_tags.unwrap_or_default()),
                    labels: labels_of(image.config),
                    size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    created_at: image.created.as_deref().and_then(timestamp::parse_ms).unwrap_or(0),
                })),
                Err(Trouble::NoImage(_) | Trouble::NoContainer(_)) => Ok(None),
                Err(trouble) => Err(trouble),
            }
        })
        .await
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError> {
        self.run("list images", None, LOOK, |on| async move {
            let filters = HashMap::from([("label".to_owned(), vec![IMAGE_LABEL.to_owned()])]);
            let options = ListImagesOptions { filters: Some(filters), ..Default::default() };
            let images = on.docker.list_images(Some(options)).await.map_err(Trouble::of_client)?;
            Ok(images
                .into_iter()
                .map(|image| ImageInfo {
                    id: image.id.trim_start_matches("sha256:").to_owned(),
                    tags: names(image.repo_tags),
                    labels: image.labels.into_iter().collect(),
                    size_bytes: u64::try_from(image.size).unwrap_or(0),
                    created_at: u64::try_from(image.created).unwrap_or(0) * 1000,
                })
                .collect())
        })
        .await
    }

    async fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        self.run("remove an image", None, CHANGE, |on| async move {
            let image = match on.docker.inspect_image(id).await.map_err(Trouble::of_client) {
                Ok(image) => image,
                Err(Trouble::NoImage(_) | Trouble::NoContainer(_)) => return Ok(()),
                Err(trouble) => return Err(trouble),
            };
            if !labels_of(image.config).contains_key(IMAGE_LABEL) {
                return Err(Trouble::Other("it is no frame image".to_owned()));
            }
            if !names(image.repo_tags.unwrap_or_default()).is_empty() {
                return Err(Trouble::Other("it has a name".to_owned()));
            }
            // Without force: the engine refuses while a container, anybody's, is made from it.
            match on.libpod.call(Method::DELETE, &format!("/images/{id}?force=false")).await {
                Err(Trouble::NoImage(_)) => Ok(()),
                done => done,
            }
        })
        .await
    }
}

/// The process that listens on a socket, as far as the kernel says.
async fn peer_of(socket: &std::path::Path) -> Option<i32> {
    tokio::net::UnixStream::connect(socket).await.ok()?.peer_cred().ok()?.pid()
}

/// Whom the frame runs as. Files in volumes are not for this engine: it keeps everything where people can look.
fn owner(spec: &ContainerSpec) -> Result<(u32, u32), RuntimeError> {
    match (&spec.workspace, &spec.home) {
        (Storage::HostFolder { uid, gid, .. }, Storage::HostFolder { .. }) => Ok((*uid, *gid)),
        _ => Err(RuntimeError::Unsupported {
            engine: "podman",
            action: "keep a frame's files in a volume",
            why: "it keeps them in folders of this machine".to_owned(),
        }),
    }
}

/// Some versions say `<none>:<none>` for no name.
fn names(tags: Vec<String>) -> Vec<String> {
    tags.into_iter().filter(|tag| !tag.starts_with("<none>")).collect()
}

fn labels_of(config: Option<bollard::models::ImageConfig>) -> std::collections::BTreeMap<String, String> {
    config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect()
}

/// What somebody follows frames for; commands that come and go inside are not.
fn event(message: EventMessage) -> Option<EngineEvent> {
    let action = message.action?;
    if action.starts_with("exec") {
        return None;
    }
    let attributes = message.actor?.attributes?;
    let at =
        message.time_nano.map(|nanos| nanos / 1_000_000).or(message.time.map(|seconds| seconds * 1000))?;
    let frame = FrameId::parse(attributes.get(LABEL_FRAME)?).ok()?;
    Some(EngineEvent { frame, action, at: u64::try_from(at).ok()? })
}

/// Reads a command's output to its end.
async fn collect(mut stream: ExecStream) -> Result<ExecOutput, RuntimeError> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(piece) = stream.output.next().await {
        match piece? {
            ExecChunk::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            ExecChunk::Stderr(bytes) => stderr.extend_from_slice(&bytes),
        }
        if stdout.len() + stderr.len() > LARGEST_OUTPUT {
            let message = format!("the command printed more than {} MiB", LARGEST_OUTPUT >> 20);
            return Err(RuntimeError::Refused { action: "run a command", message });
        }
    }
    let action = "run a command";
    let exit_code = stream.control.exit_code().await?;
    Ok(ExecOutput {
        exit_code: exit_code.ok_or(RuntimeError::TooSlow { action, seconds: EXEC.as_secs() })?,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

//! A real frame, made for doctor alone and removed after it: container, ownership, link, terminal, agent.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Subject;
use super::check::{About, Finding};
use super::engine::with_cause;
use super::network;
use crate::clock;
use crate::model::container::{ContainerSpec, ImageInfo, Storage, inside};
use crate::model::doctor::Check;
use crate::model::frame::Limits;
use crate::model::ids::FrameId;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::port::PortPurpose;
use crate::model::secret::Secret;
use crate::opencode::OpencodeClient;
use crate::outbound;
use crate::runtime::{EngineInfo, ExecSpec, StartContents};

const RUN_WITHIN: Duration = Duration::from_secs(30);
const INSIDE_WITHIN: Duration = Duration::from_secs(15);
const AGENT_WITHIN: Duration = Duration::from_secs(60);
/// A request that opencode swallows in its first second is never answered; ask again instead.
const AGENT_TRY: Duration = Duration::from_millis(300);

const RUN: About = About { id: "engine.run", title: "a frame runs", why: "it is what mimir is for" };
const OWNER: About = About {
    id: "files.owner",
    title: "files that a frame writes belong to you",
    why: "you could not change or delete the agent's work otherwise",
};
const TERMINAL: About = About {
    id: "terminal.start",
    title: "the terminal inside is there",
    why: "`mimir frame attach` shows it",
};
const LINK: About = About {
    id: "link.open",
    title: "the agent is reached through the link socket",
    why: "it is the only way into a frame without a network",
};

/// What stands in for the checks when there is no image to run.
pub(super) fn skipped() -> Check {
    RUN.found(Finding::skipped("there is no frame image to run"), Duration::ZERO)
}

/// Runs a frame and looks at it from all sides.
pub(super) async fn run(subject: &Subject, image: &ImageInfo, info: &EngineInfo) -> Vec<Check> {
    let frame = FrameId::from_parts(subject.clock.now_ms(), clock::entropy_128());
    let folders = Folders::new(&subject.home, &frame);
    let mut checks = Vec::new();

    let spec = folders.spec(subject, &frame, image);
    let started = RUN.attempt(RUN_WITHIN, start(subject, &folders, &spec, info)).await;
    let runs = started.fix.is_none() && started.outcome == crate::model::doctor::Outcome::Ok;
    checks.push(started);
    if runs {
        checks.push(OWNER.attempt(INSIDE_WITHIN, owner(subject, &frame, &folders)).await);
        checks.push(TERMINAL.attempt(AGENT_WITHIN, terminal(subject, &frame)).await);
        checks.push(LINK.attempt(AGENT_WITHIN, link(subject, &frame)).await);
        checks.push(network::check(subject, &spec).await);
    }
    // Whatever was found, nothing of it stays.
    let removed = tokio::time::timeout(RUN_WITHIN, subject.runtime.ensure_removed(&frame)).await;
    if !matches!(removed, Ok(Ok(()))) {
        tracing::warn!(%frame, "doctor's frame could not be removed; `mimir frame gc` will find it");
    }
    if let Some(broker) = &subject.broker {
        broker.close(&frame).await;
    }
    folders.remove();
    checks
}

async fn start(subject: &Subject, folders: &Folders, spec: &ContainerSpec, info: &EngineInfo) -> Finding {
    let frame = spec.frame.clone();
    if let Err(error) = folders.make() {
        return Finding::failed(
            format!("cannot make folders for it: {error}"),
            "mimir doctor shows the disk above",
        );
    }
    let begun = Instant::now();
    let files = StartContents {
        start: 1,
        password: Secret::new(hex::encode(clock::entropy::<16>())),
        agent_config: r#"{"share":"disabled","autoupdate":false}"#.to_owned(),
        env: String::new(),
        git_config: String::new(),
        secrets: Vec::new(),
        certificates: outbound::trusted_certificates(),
        trusted: None,
    };
    let done = async {
        subject.runtime.ensure_created(spec).await?;
        subject.runtime.put_start_files(spec, &files).await?;
        subject.runtime.ensure_started(&frame).await
    };
    match done.await {
        Ok(()) => Finding::ok(format!(
            "made and started a container in {} ms{}",
            begun.elapsed().as_millis(),
            if info.capabilities.limits { ", with limits" } else { "" }
        )),
        Err(error) => Finding::failed(with_cause(&error), "podman run --rm --network none IMAGE true"),
    }
}

async fn owner(subject: &Subject, frame: &FrameId, folders: &Folders) -> Finding {
    let path = folders.workspace().join("written-inside");
    let touch = ExecSpec::new(["sh", "-c", "echo hello > /workspace/written-inside"]);
    match subject.runtime.exec(frame, touch).await {
        Err(error) => return Finding::failed(with_cause(&error), "podman exec"),
        Ok(output) if output.exit_code != 0 => {
            return Finding::failed(
                format!("cannot write to /workspace inside: {}", output.stderr.trim()),
                "podman unshare cat /proc/self/uid_map; podman system migrate",
            );
        }
        Ok(_) => {}
    }
    let ours = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match fs::metadata(&path) {
        Ok(found) if (found.uid(), found.gid()) == ours => {
            Finding::ok(format!("written inside, and {}:{} on the host", ours.0, ours.1))
        }
        Ok(found) => Finding::failed(
            format!(
                "a file written inside belongs to {}:{}, not {}:{}",
                found.uid(),
                found.gid(),
                ours.0,
                ours.1
            ),
            "podman system migrate; see host.subids",
        ),
        Err(error) => {
            Finding::failed(format!("a file written inside is not on the host: {error}"), "podman info")
        }
    }
}

async fn terminal(subject: &Subject, frame: &FrameId) -> Finding {
    loop {
        let asked =
            ExecSpec::new(["tmux", "-S", inside::TMUX_SOCKET, "list-windows", "-t", "main", "-F", "#W"]);
        match subject.runtime.exec(frame, asked).await {
            Ok(output) if output.exit_code == 0 => {
                let windows: Vec<&str> = output.stdout.split_whitespace().collect();
                return Finding::ok(format!("tmux stands, with windows {}", windows.join(", ")));
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Finding::failed(with_cause(&error), "podman logs CONTAINER"),
        }
    }
}

async fn link(subject: &Subject, frame: &FrameId) -> Finding {
    let begun = Instant::now();
    let password = match subject.runtime.credentials(frame).await {
        Ok(credentials) => credentials.and_then(|credentials| credentials.password),
        Err(error) => return Finding::failed(with_cause(&error), "mimir doctor shows the disk above"),
    };
    let password = password.unwrap_or_else(|| Secret::new(""));
    let client = OpencodeClient::new(subject.runtime.connector(frame, PortPurpose::Agent), &password);
    loop {
        if let Ok(health) = client.health(AGENT_TRY).await {
            let ms = begun.elapsed().as_millis();
            return Finding::ok(format!("opencode {} answered after {ms} ms", health.version));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The folders of doctor's frame.
struct Folders {
    root: PathBuf,
}

impl Folders {
    fn new(home: &Path, frame: &FrameId) -> Self {
        Self { root: home.join("frames").join(frame.as_str()) }
    }

    fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    fn make(&self) -> std::io::Result<()> {
        for name in ["workspace", "home"] {
            fs::create_dir_all(self.root.join(name))?;
        }
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
    }

    fn spec(&self, subject: &Subject, frame: &FrameId, image: &ImageInfo) -> ContainerSpec {
        #[expect(clippy::expect_used, reason = "a constant that a test of this file checks")]
        let name = FrameName::parse(NAME).expect("a good name");
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let folder = |path| Storage::HostFolder { path, uid, gid };
        ContainerSpec {
            instance: subject.instance.clone(),
            frame: frame.clone(),
            name,
            generation: 1,
            image_id: image.id.clone(),
            workspace: folder(self.workspace()),
            home: folder(self.root.join("home")),
            more: Vec::new(),
            network: NetworkMode::Allow,
            limits: Limits { cpus_milli: 1000, memory_bytes: 1 << 30, pids: 512 },
            gpu: false,
            env: BTreeMap::new(),
        }
    }

    fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.root)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "doctor's folder {} could not be removed", self.root.display());
        }
    }
}

/// What doctor's frame is called.
const NAME: &str = "doctor";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_doctors_frame_is_a_name() {
        assert!(FrameName::parse(NAME).is_ok());
    }
}

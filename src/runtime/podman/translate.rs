//! Our words into the engine's and back. Pure.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::blocks::BLOCK;
use super::seccomp;
use super::timestamp::parse_ms;
use super::users::{IMAGE_USER, Users, Whose};
use crate::model::container::{
    ContainerDetails, ContainerSpec, FoundContainer, GPUS, LABEL_FRAME, LABEL_GENERATION, LABEL_INSTANCE,
    LABEL_ISOLATION, LABEL_MACHINES_USERS, LABEL_NAME, LABEL_USERS, Mount, Observation, container_name,
    inside,
};
use crate::model::frame::Observed;
use crate::model::ids::FrameId;
use crate::model::network::NetworkMode;

/// What this machine's engine can be told to enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) rootless: bool,
    /// Whether frames can have users of their own although the engine runs as root.
    pub(super) own_users: bool,
    pub(super) memory: bool,
    pub(super) cpu: bool,
    pub(super) pids: bool,
    pub(super) selinux: bool,
    /// Hard limits that we have ourselves; a container cannot be given more.
    pub(super) open_files: Option<u64>,
    pub(super) processes: Option<u64>,
}

const MOST_OPEN_FILES: u64 = 1 << 19;
/// Podman lowers its own limit to this on some machines, and then cannot give more.
const MOST_PROCESSES: u64 = 1 << 15;
/// Microseconds; what Docker and Podman take for a number of cores.
const CPU_PERIOD: u64 = 100_000;
const LOG_BYTES: u64 = 10_000_000;
/// What is the same for all containers and does not follow from their folders; goes into [`hardening`].
const HARDENING: &str =
    "no capabilities, no new privileges, read-only, own /etc/hosts, pages of memory hidden, own users";
/// Hidden besides what the engine hides: which pages of the machine's memory are whose.
const MASKED: [&str; 3] = ["/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags"];
const HOSTS: &str = "/etc/hosts";

/// A container to be, with what the engine adds to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) spec: &'a ContainerSpec,
    /// All host folders that it is to see.
    pub(super) mounts: &'a [Mount],
    /// What the engine reads and the container only feels.
    pub(super) rules: &'a Rules,
    /// Whose its files are on the host.
    pub(super) user: (u32, u32),
    /// Whose users those inside are.
    pub(super) users: &'a Whose,
    /// What runs it, by the engine's name for it; the engine's own choice when absent.
    pub(super) runtime: Option<&'a str>,
}

/// Whether what runs in a container of that runtime has a kernel of its own: gVisor's, or a virtual machine's.
pub(super) fn has_own_kernel(runtime: &str) -> bool {
    matches!(runtime, "runsc" | "krun")
}

/// Files on the host that say how a container is locked up.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What it may ask of the kernel.
    pub(super) seccomp: PathBuf,
    /// The names that it knows: its own and loopback's. The engine would show it the machine's.
    pub(super) hosts: PathBuf,
}

/// What `/etc/hosts` says inside.
pub(super) fn hosts(name: &str) -> String {
    format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
}

/// The whole container, as locked up as the agent, tmux and git can bear.
///
/// In Podman's own words, not Docker's: the Docker-compatible endpoint puts the fields of a mount together to
/// comma-separated text and reads that, so a folder named `x,src=/etc` would mount /etc. Here every mount is an
/// object whose source is one string, whatever is in it.
pub(super) fn create_body(plan: &Plan<'_>, abilities: Abilities) -> Value {
    let spec = plan.spec;
    let own = plan.users.own();
    let is_mapped = abilities.rootless || own.is_some();
    let (uid, gid) = if is_mapped { IMAGE_USER } else { plan.user };
    let mut folders = own.map_or_else(|| plan.mounts.to_vec(), |users| users.in_their_places(plan.mounts));
    folders.push(Mount::new(&plan.rules.hosts, HOSTS, true));
    let mut body = json!({
        "name": container_name(&spec.frame),
        "image": spec.image_id,
        "hostname": spec.name.as_str(),
        "user": format!("{uid}:{gid}"),
        "labels": labels(spec, plan.runtime),
        "env": environment(spec),
        // Podman's own checks need systemd timers; the gateway asks the agent itself.
        "healthconfig": {"Test": ["NONE"]},
        // No ports are published: a start that fails in the runtime leaves the port open in the service process.
        "netns": {"nsmode": network(spec.network, abilities.rootless)},
        "mounts": mounts(&folders),
        "read_only_filesystem": true,
        "cap_drop": ["ALL"],
        // With a folder of root's the agent has root's number, and these ask for no more than that.
        "mask": MASKED,
        "no_new_privileges": true,
        // A path, because the engine cannot take the profile itself.
        "seccomp_profile_path": plan.rules.seccomp,
        "resource_limits": resources(spec, abilities),
        "r_limits": rlimits(abilities),
        "log_configuration": {"driver": "k8s-file", "size": LOG_BYTES},
        // The gateway starts frames; an engine that also does would race it.
        "restart_policy": "no",
    });
    if abilities.rootless {
        let value = format!("uid={},gid={}", IMAGE_USER.0, IMAGE_USER.1);
        body["userns"] = json!({"nsmode": "keep-id", "value": value});
    }
    if let Some(why) = plan.users.why_not_own() {
        body["labels"][LABEL_MACHINES_USERS] = why.into();
    }
    if let Some(users) = own {
        body["userns"] = json!({"nsmode": "private"});
        body["idmappings"] = users.mappings();
        body["labels"][LABEL_USERS] = json!(users).to_string().into();
    }
    if spec.gpu {
        body["devices"] = json!([{"path": format!("{GPUS}=all")}]);
    }
    if let Some(runtime) = plan.runtime {
        body["oci_runtime"] = runtime.into();
    }
    if abilities.selinux {
        // Relabelling somebody's project folder would be worse.
        body["selinux_opts"] = json!(["disable"]);
    }
    body
}

fn labels(spec: &ContainerSpec, runtime: Option<&str>) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        (LABEL_INSTANCE, spec.instance.to_string()),
        (LABEL_FRAME, spec.frame.to_string()),
        (LABEL_NAME, spec.name.to_string()),
        (LABEL_GENERATION, spec.generation.to_string()),
        (LABEL_ISOLATION, hardening(runtime)),
    ])
}

/// A word for how locked up containers are made: another one for each change of what they may do, and for each runtime
/// that somebody chose.
pub(super) fn hardening(runtime: Option<&str>) -> String {
    static WORD: OnceLock<String> = OnceLock::new();
    let word = || {
        let all = json!([seccomp::profile(), mounts(&[Mount::new(Path::new("/"), "/", false)]), HARDENING]);
        hex::encode(Sha256::digest(all.to_string()))[..16].to_owned()
    };
    let word = WORD.get_or_init(word);
    runtime.map_or_else(|| word.clone(), |runtime| format!("{word}-{runtime}"))
}

fn environment(spec: &ContainerSpec) -> BTreeMap<String, String> {
    let ours = [
        ("MIMIR_FRAME", spec.name.to_string()),
        ("MIMIR_FRAME_ID", spec.frame.to_string()),
        ("MIMIR_NETWORK", spec.network.to_string()),
    ];
    let ours = ours.map(|(name, value)| (name.to_owned(), value));
    spec.env.clone().into_iter().chain(ours).collect()
}

fn resources(spec: &ContainerSpec, abilities: Abilities) -> Value {
    let limits = spec.limits;
    let mut body = json!({});
    if abilities.memory {
        body["memory"] = json!({"limit": limits.memory_bytes, "swap": limits.memory_bytes});
    }
    if abilities.cpu {
        let quota = u64::from(limits.cpus_milli) * CPU_PERIOD / 1000;
        body["cpu"] = json!({"quota": quota, "period": CPU_PERIOD});
    }
    if abilities.pids {
        body["pids"] = json!({"limit": limits.pids});
    }
    body
}

fn network(mode: NetworkMode, rootless: bool) -> &'static str {
    match mode {
        NetworkMode::Sealed | NetworkMode::Allow => "none",
        NetworkMode::Open if rootless => "private",
        NetworkMode::Open => "bridge",
    }
}

fn mounts(folders: &[Mount]) -> Vec<Value> {
    let bind = |mount: &Mount| {
        let rights = if mount.read_only { "ro" } else { "rw" };
        let options = ["rbind", "rprivate", "nosuid", "nodev", rights];
        json!({"type": "bind", "source": mount.source, "destination": mount.target, "options": options})
    };
    let memory = |target: &str, options: &[&str]| json!({"type": "tmpfs", "source": "tmpfs", "destination": target, "options": options});
    let memories = [
        memory("/tmp", &["rw", "nosuid", "nodev", "size=1g", "mode=1777", "exec"]),
        memory("/var/tmp", &["rw", "nosuid", "nodev"]),
        memory("/run", &["rw", "nosuid", "nodev"]),
        memory(inside::PRIVATE, &["rw", "nosuid", "nodev", "size=64m", "mode=1777"]),
    ];
    folders.iter().map(bind).chain(memories).collect()
}

/// Both or none: naming one makes Podman set the other to its own default, which needs CAP_SYS_RESOURCE.
fn rlimits(abilities: Abilities) -> Value {
    let limit = |name: &str, ours: Option<u64>, most: u64| {
        let value = ours.unwrap_or(most).min(most);
        json!({"type": name, "soft": value, "hard": value})
    };
    json!([
        limit("NOFILE", abilities.open_files, MOST_OPEN_FILES),
        limit("NPROC", abilities.processes, MOST_PROCESSES),
    ])
}

/// The answer to a create.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    pub(super) id: String,
    #[serde(default)]
    pub(super) warnings: Option<Vec<String>>,
}

/// The part of `GET /containers/{name}/json` that we read. Everything may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: String,
    image: String,
    pub(super) state: InspectedState,
    config: InspectedConfig,
    host_config: InspectedHost,
    bounding_caps: Option<Vec<String>>,
    #[serde(rename = "OCIRuntime")]
    pub(super) runtime: String,
    mounts: Option<Vec<InspectedMount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedMount {
    #[serde(rename = "Type")]
    kind: String,
    source: String,
    destination: String,
    #[serde(rename = "RW")]
    writable: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct InspectedState {
    status: String,
    pub(super) pid: u32,
    conmon_pid: u32,
    exit_code: i64,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    started_at: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedConfig {
    labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedHost {
    readonly_rootfs: bool,
    privileged: bool,
    security_opt: Option<Vec<String>>,
}

impl Inspected {
    /// What the engine says of how it is locked up that is not as it was told.
    pub(super) fn unlike_asked(&self) -> Vec<String> {
        let host = &self.host_config;
        let options = host.security_opt.iter().flatten();
        [
            (!host.readonly_rootfs, "its system can be written to"),
            (host.privileged, "it is privileged"),
            (self.bounding_caps.iter().flatten().count() > 0, "it may have capabilities"),
            (
                !options.clone().any(|option| option.starts_with("no-new-privileges")),
                "it could get new privileges",
            ),
        ]
        .into_iter()
        .filter(|(is_so, _)| *is_so)
        .map(|(_, what)| format!("the engine says that {what}"))
        .collect()
    }

    /// Why it was made with users of this machine, if it was and somebody noted it.
    pub(super) fn why_machines_users(&self) -> Option<String> {
        self.label(LABEL_MACHINES_USERS).map(str::to_owned)
    }

    /// Its own users, if it was made with any.
    pub(super) fn users(&self) -> Option<Users> {
        serde_json::from_str(self.label(LABEL_USERS)?).ok()
    }

    /// The host folders that it needs.
    pub(super) fn folders(&self) -> Vec<String> {
        let users = self.users();
        let binds = self.mounts.iter().flatten().filter(|mount| mount.kind == "bind");
        binds.map(|mount| source_of(users.as_ref(), &mount.source)).collect()
    }

    /// The host folders that it sees. Volumes that belong to the image are no host folders.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let binds = self.mounts.iter().flatten();
        let binds = binds.filter(|mount| mount.kind == "bind" && mount.destination != HOSTS);
        let users = self.users();
        let mount = |bind: &InspectedMount| Mount {
            source: source_of(users.as_ref(), &bind.source),
            target: bind.destination.clone(),
            read_only: !bind.writable,
        };
        binds.map(mount).collect()
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// What a container is shown, wherever the engine found it.
fn source_of(users: Option<&Users>, place: &str) -> String {
    users.map_or(place, |users| users.source_of(place)).to_owned()
}

/// Our view of the engine's long answer. `hardening` is the word for how containers are made now; `alive` says whether the
/// machine has a process of that id: Podman goes on saying "running" when both the container's monitor and its first
/// process were killed.
pub(super) fn observation(body: &Inspected, hardening: &str, alive: impl Fn(u32) -> bool) -> Observation {
    let state = &body.state;
    let (mut observed, mut stuck) = in_our_words(&state.status);
    if state.status == "stopping" && alive(state.conmon_pid) {
        // Somebody's stop is on its way; the monitor will see the end of it.
        (observed, stuck) = (Observed::Running, None);
    }
    if matches!(observed, Observed::Running | Observed::Paused) && !alive(state.pid) {
        observed = Observed::Halted;
        stuck = Some(format!("{} without a process", state.status));
    }
    let runs = matches!(observed, Observed::Running | Observed::Paused);
    let started_at = parse_ms(&state.started_at);
    let details = ContainerDetails {
        container_id: body.id.clone(),
        generation: body.label(LABEL_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0),
        image_id: body.image.trim_start_matches("sha256:").to_owned(),
        exit_code: (!runs && started_at.is_some()).then_some(state.exit_code),
        started_at,
        pid: (runs && state.pid > 0).then_some(state.pid),
        oom_kills: state.oom_killed.then_some(1),
        stuck,
        less_isolated: body.label(LABEL_ISOLATION) != Some(hardening),
        mounts: body.mounts(),
        workspace: None,
    };
    Observation { observed, details: Some(details) }
}

/// Podman's states, and whether it cannot leave one by itself.
fn in_our_words(status: &str) -> (Observed, Option<String>) {
    match status {
        "running" => (Observed::Running, None),
        "paused" => (Observed::Paused, None),
        "created" | "configured" | "initialized" | "exited" | "stopped" => (Observed::Halted, None),
        // `stopping` for ever is what is left when the monitor was killed and the container stopped then.
        "stopping" | "removing" | "dead" | "bad" => (Observed::Halted, Some(status.to_owned())),
        // A word we have not met. Something is there; only removing is sure to help.
        other => (Observed::Halted, Some(format!("unknown state {other}"))),
    }
}

/// The part of an item of `GET /containers/json` that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Listed {
    id: String,
    labels: Option<HashMap<String, String>>,
    state: String,
    created: String,
}

/// The block of numbers that another frame's container has, whatever gateway made it.
pub(super) fn block_of_another(listed: &Listed, frame: &FrameId) -> Option<u32> {
    let labels = listed.labels.as_ref()?;
    if labels.get(LABEL_FRAME).is_some_and(|other| other == frame.as_str()) {
        return None;
    }
    let users: Users = serde_json::from_str(labels.get(LABEL_USERS)?).ok()?;
    Some(users.first / BLOCK)
}

/// A container of ours; `None` when its labels are not all there.
pub(super) fn found(listed: Listed) -> Option<FoundContainer> {
    let labels = listed.labels?;
    Some(FoundContainer {
        frame: FrameId::parse(labels.get(LABEL_FRAME)?).ok()?,
        name: labels.get(LABEL_NAME).cloned().unwrap_or_default(),
        generation: labels.get(LABEL_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0),
        observed: in_our_words(&listed.state).0,
        created_at: parse_ms(&listed.created).unwrap_or(0),
        container_id: listed.id,
    })
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;

//! Our words into the engine's and back. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use serde::Deserialize;

use super::timestamp::parse_ms;
use crate::model::container::{
    ContainerDetails, ContainerSpec, FoundContainer, LABEL_FRAME, LABEL_GENERATION, LABEL_INSTANCE,
    LABEL_NAME, Observation, inside,
};
use crate::model::frame::Observed;
use crate::model::ids::FrameId;
use crate::model::network::NetworkMode;

/// What this machine's engine can be told to enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) rootless: bool,
    pub(super) memory: bool,
    pub(super) cpu: bool,
    pub(super) pids: bool,
    pub(super) selinux: bool,
    /// Hard limits that we have ourselves; a container cannot be given more.
    pub(super) open_files: Option<u64>,
    pub(super) processes: Option<u64>,
}

/// The user that the image is made for; a rootless engine maps whoever runs it onto this one.
const IMAGE_USER: (u32, u32) = (1000, 1000);
const MOST_OPEN_FILES: u64 = 1 << 19;
/// Podman lowers its own limit to this on some machines, and then cannot give more.
const MOST_PROCESSES: u64 = 1 << 15;

/// The whole container, as locked up as the agent, tmux and git can bear.
pub(super) fn create_body(spec: &ContainerSpec, abilities: Abilities) -> ContainerCreateBody {
    let (uid, gid) = if abilities.rootless { IMAGE_USER } else { (spec.owner_uid, spec.owner_gid) };
    ContainerCreateBody {
        image: Some(spec.image_id.clone()),
        hostname: Some(spec.name.to_string()),
        user: Some(format!("{uid}:{gid}")),
        labels: Some(labels(spec)),
        env: Some(environment(spec)),
        // Podman's own checks need systemd timers; the gateway asks the agent itself.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..Default::default() }),
        host_config: Some(host_config(spec, abilities)),
        ..Default::default()
    }
}

fn labels(spec: &ContainerSpec) -> HashMap<String, String> {
    HashMap::from([
        (LABEL_INSTANCE.to_owned(), spec.instance.to_string()),
        (LABEL_FRAME.to_owned(), spec.frame.to_string()),
        (LABEL_NAME.to_owned(), spec.name.to_string()),
        (LABEL_GENERATION.to_owned(), spec.generation.to_string()),
    ])
}

fn environment(spec: &ContainerSpec) -> Vec<String> {
    let ours = [
        ("MIMIR_FRAME", spec.name.to_string()),
        ("MIMIR_FRAME_ID", spec.frame.to_string()),
        ("MIMIR_NETWORK", spec.network.to_string()),
    ];
    let given = spec.env.iter().filter(|(name, _)| !ours.iter().any(|(own, _)| own == name));
    let given = given.map(|(name, value)| format!("{name}={value}"));
    given.chain(ours.iter().map(|(name, value)| format!("{name}={value}"))).collect()
}

fn host_config(spec: &ContainerSpec, abilities: Abilities) -> HostConfig {
    let limits = spec.limits;
    let memory = i64::try_from(limits.memory_bytes).ok().filter(|_| abilities.memory);
    let mut security = vec!["no-new-privileges".to_owned()];
    if abilities.selinux {
        // Relabelling somebody's project folder would be worse.
        security.push("label=disable".to_owned());
    }
    HostConfig {
        network_mode: Some(network(spec.network, abilities.rootless).to_owned()),
        // Never published: a start that fails in the runtime leaves the port open in the service process.
        port_bindings: None,
        userns_mode: abilities.rootless.then(|| format!("keep-id:uid={},gid={}", IMAGE_USER.0, IMAGE_USER.1)),
        mounts: Some(mounts(spec)),
        tmpfs: Some(HashMap::from([
            ("/tmp".to_owned(), "rw,size=1g,mode=1777,exec".to_owned()),
            (inside::PRIVATE.to_owned(), "rw,size=64m,mode=1777".to_owned()),
        ])),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(security),
        memory,
        memory_swap: memory,
        nano_cpus: abilities.cpu.then(|| i64::from(limits.cpus_milli) * 1_000_000),
        pids_limit: abilities.pids.then(|| i64::from(limits.pids)),
        ulimits: Some(ulimits(abilities)),
        log_config: Some(HostConfigLogConfig {
            typ: Some("k8s-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "10m".to_owned())])),
        }),
        // The gateway starts frames; an engine that also does would race it.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..Default::default()
    }
}

fn network(mode: NetworkMode, rootless: bool) -> &'static str {
    match mode {
        NetworkMode::Sealed | NetworkMode::Allow => "none",
        NetworkMode::Open if rootless => "default",
        NetworkMode::Open => "bridge",
    }
}

fn mounts(spec: &ContainerSpec) -> Vec<Mount> {
    let bind = |source: &std::path::Path, target: &str, read_only| Mount {
        source: Some(source.display().to_string()),
        target: Some(target.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Default::default()
    };
    vec![
        bind(&spec.workspace, inside::WORKSPACE, false),
        bind(&spec.home, inside::HOME, false),
        bind(&spec.link, inside::LINK, false),
        bind(&spec.start, inside::START, true),
    ]
}

/// Both or none: naming one makes Podman set the other to its own default, which needs CAP_SYS_RESOURCE.
fn ulimits(abilities: Abilities) -> Vec<ResourcesUlimits> {
    let limit = |name: &str, ours: Option<u64>, most: u64| {
        let value = i64::try_from(ours.unwrap_or(most).min(most)).ok();
        ResourcesUlimits { name: Some(name.to_owned()), soft: value, hard: value }
    };
    vec![
        limit("nofile", abilities.open_files, MOST_OPEN_FILES),
        limit("nproc", abilities.processes, MOST_PROCESSES),
    ]
}

/// The part of `GET /containers/{name}/json` that we read. Everything may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: String,
    image: String,
    pub(super) state: InspectedState,
    config: InspectedConfig,
    mounts: Option<Vec<InspectedMount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct InspectedMount {
    #[serde(rename = "Type")]
    kind: String,
    source: String,
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

impl Inspected {
    /// The host folders that it needs.
    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        let mounts = self.mounts.iter().flatten();
        mounts.filter(|mount| mount.kind == "bind").map(|mount| mount.source.as_str())
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// Our view of the engine's long answer. `alive` says whether the machine has a process of that id:
/// Podman goes on saying "running" when both the container's monitor and its first process were killed.
pub(super) fn observation(body: &Inspected, alive: impl Fn(u32) -> bool) -> Observation {
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

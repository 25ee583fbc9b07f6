//! Who the engine is and what it can do here. Pure but for looking at the machine.

use serde::Deserialize;

use super::translate::Abilities;
use crate::runtime::{Capabilities, EngineInfo};

/// The part of `GET /info` that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InfoBody {
    host: Host,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Host {
    cgroup_version: String,
    cgroup_manager: String,
    cgroup_controllers: Option<Vec<String>>,
    security: Security,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Security {
    rootless: bool,
    #[serde(rename = "selinuxEnabled")]
    selinux: bool,
}

/// What the engine does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    /// Our own hard limits; `None` is without limit.
    open_files: Option<u64>,
    processes: Option<u64>,
    /// Whether we may use the device that a rootless network needs.
    tun: bool,
}

impl Surroundings {
    pub(super) fn look() -> Self {
        use rustix::process::{Resource, getrlimit};
        let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok();
        Self {
            open_files: getrlimit(Resource::Nofile).maximum,
            processes: getrlimit(Resource::Nproc).maximum,
            tun,
        }
    }
}

/// What the engine can enforce.
pub(super) fn abilities(body: &InfoBody, around: Surroundings) -> Abilities {
    let host = &body.host;
    // Without root: version 1 ignores limits in silence, and version 2 needs systemd to hand a group down.
    let groups = !host.security.rootless || (host.cgroup_version == "v2" && host.cgroup_manager == "systemd");
    let has =
        |name: &str| groups && host.cgroup_controllers.iter().flatten().any(|controller| controller == name);
    Abilities {
        rootless: host.security.rootless,
        memory: has("memory"),
        cpu: has("cpu"),
        pids: has("pids"),
        selinux: host.security.selinux,
        open_files: around.open_files,
        processes: around.processes,
    }
}

pub(super) fn info(
    body: &InfoBody,
    version: String,
    socket: &str,
    around: Surroundings,
    mut notes: Vec<String>,
) -> EngineInfo {
    let able = abilities(body, around);
    let host = &body.host;
    let mut note = |missing: bool, text: &str| {
        if missing {
            notes.push(text.to_owned());
        }
    };
    let pause = !able.rootless || (host.cgroup_version == "v2" && host.cgroup_manager == "systemd");
    note(!able.memory, "memory limits are not enforced on this machine");
    note(!able.cpu, "processor limits are not enforced on this machine");
    note(!able.pids, "limits on the number of processes are not enforced on this machine");
    note(!pause, "frames cannot be paused on this machine");
    let network = !able.rootless || around.tun;
    note(
        able.rootless && is_older_than_4_3(&version),
        "this Podman is older than 4.3 and cannot give frames the files of their owner: update it",
    );
    note(!network, "frames cannot have a network of their own here: /dev/net/tun may not be used");
    EngineInfo {
        kind: "podman",
        version,
        socket: socket.to_owned(),
        rootless: able.rootless,
        capabilities: Capabilities {
            pause,
            limits: able.memory && able.pids,
            network,
            ..Capabilities::CONTAINER
        },
        notes,
    }
}

/// The mapping of the owner onto the image's user came with 4.3.
fn is_older_than_4_3(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < (4, 3),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: Surroundings = Surroundings { open_files: Some(20_000), processes: None, tun: false };

    fn body(version: &str, manager: &str, rootless: bool, controllers: &[&str]) -> InfoBody {
        let body = serde_json::json!({"host": {
            "cgroupVersion": version, "cgroupManager": manager, "cgroupControllers": controllers,
            "security": {"rootless": rootless, "selinuxEnabled": false},
        }});
        serde_json::from_value(body).unwrap()
    }

    fn told(body: &InfoBody) -> EngineInfo {
        info(body, "4.3.1".to_owned(), "/s", AROUND, Vec::new())
    }

    #[test]
    fn rootless_on_cgroup_1_offers_neither_limits_nor_pause() {
        let info = told(&body("v1", "cgroupfs", true, &["memory", "cpu", "pids"]));
        assert_eq!(
            info.capabilities,
            Capabilities { pause: false, limits: false, network: false, ..Capabilities::CONTAINER }
        );
        assert_eq!(info.notes.len(), 5, "{:?}", info.notes);
    }

    #[test]
    fn root_can_do_everything() {
        let info = told(&body("v1", "cgroupfs", false, &["memory", "cpu", "pids"]));
        assert_eq!(info.capabilities, Capabilities::CONTAINER);
        assert_eq!(info.notes, Vec::<String>::new());
    }

    #[test]
    fn rootless_debian_12_with_systemd_delegates_memory_and_pids_only() {
        let body = body("v2", "systemd", true, &["memory", "pids"]);
        let able = abilities(&body, AROUND);
        assert_eq!((able.memory, able.cpu, able.pids), (true, false, true));
        let info = told(&body);
        assert!(info.capabilities.limits && info.capabilities.pause);
        assert!(info.notes.iter().any(|note| note.contains("processor")), "{:?}", info.notes);
    }

    #[test]
    fn an_engine_that_is_too_old_for_rootless_frames_is_told() {
        for (version, old) in
            [("4.2.9", true), ("3.0.1", true), ("4.3.1", false), ("5.4.2", false), ("x", false)]
        {
            assert_eq!(is_older_than_4_3(version), old, "{version}");
        }
    }

    #[test]
    fn rootless_without_systemd_has_no_group_to_limit() {
        let able = abilities(&body("v2", "cgroupfs", true, &["memory", "cpu", "pids"]), AROUND);
        assert_eq!((able.memory, able.cpu, able.pids), (false, false, false));
    }
}

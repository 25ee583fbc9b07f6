//! Who the engine is and what it can do here. Pure but for looking at the machine.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::blocks;
use super::translate::Abilities;
use crate::model::container::GPUS;
use crate::runtime::{Capabilities, EngineInfo};

/// The part of `GET /info` that we read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InfoBody {
    host: Host,
    store: Store,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Store {
    graph_driver_name: String,
    graph_options: Option<HashMap<String, Value>>,
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
    /// Whether owners of files can be translated here for the engine.
    owners: bool,
    /// Whether somebody said how containers see graphics cards.
    gpu: bool,
}

impl Surroundings {
    /// `engine` is a process of the engine's service.
    pub(super) fn look(engine: Option<i32>) -> Self {
        use rustix::process::{Resource, getrlimit};
        let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok();
        Self {
            open_files: getrlimit(Resource::Nofile).maximum,
            processes: getrlimit(Resource::Nproc).maximum,
            tun,
            owners: can_translate_owners(engine),
            gpu: CDI.iter().any(|folder| names_graphics_cards(Path::new(folder))),
        }
    }
}

/// Where the engine looks for files of the Container Device Interface.
const CDI: [&str; 3] = ["/etc/cdi", "/var/run/cdi", "/run/cdi"];

fn names_graphics_cards(folder: &Path) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    texts.into_iter().any(|text| text.contains(GPUS))
}

/// Overlays over translated layers came with 5.19: before that the engine would copy the image for each frame. A
/// process of the machine that is somebody's container has no numbers to give away, and an engine that sees other mounts
/// than we do would find nothing at the places.
fn can_translate_owners(engine: Option<i32>) -> bool {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mounts = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let theirs = engine.and_then(|pid| mounts(&pid.to_string()));
    blocks::are_ours(&read("/proc/self/uid_map"))
        && is_at_least(rustix::system::uname().release().to_str().unwrap_or_default(), (5, 19))
        && theirs.is_some()
        && theirs == mounts("self")
}

/// Why frames of root's engine have no users of their own here.
pub(super) const NO_OWN_USERS: &str = "an engine of root's needs Linux 5.19, Podman 4.3, overlay storage and the mounts that mimir sees for others";

/// What the engine can enforce.
pub(super) fn abilities(body: &InfoBody, version: &str, around: Surroundings) -> Abilities {
    let host = &body.host;
    // Without root: version 1 ignores limits in silence, and version 2 needs systemd to hand a group down.
    let groups = !host.security.rootless || (host.cgroup_version == "v2" && host.cgroup_manager == "systemd");
    let has =
        |name: &str| groups && host.cgroup_controllers.iter().flatten().any(|controller| controller == name);
    Abilities {
        rootless: host.security.rootless,
        own_users: !host.security.rootless
            && around.owners
            && is_at_least(version, (4, 3))
            && body.store.graph_driver_name == "overlay"
            && !body.store.graph_options.iter().flatten().any(|(name, _)| name.ends_with("mount_program")),
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
    let able = abilities(body, &version, around);
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
        able.rootless && !is_at_least(&version, (4, 3)),
        "this Podman is older than 4.3 and cannot give frames the files of their owner: update it",
    );
    note(
        !able.rootless && !able.own_users,
        &format!("users inside frames are users of this machine: {NO_OWN_USERS}"),
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
            gpu: around.gpu,
            ..Capabilities::CONTAINER
        },
        notes,
    }
}

/// Whether a version is that one or a later one. One that we cannot read is taken for a later one.
fn is_at_least(version: &str, least: (u32, u32)) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= least,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: Surroundings =
        Surroundings { open_files: Some(20_000), processes: None, tun: false, owners: true, gpu: false };

    fn body(version: &str, manager: &str, rootless: bool, controllers: &[&str]) -> InfoBody {
        let body = serde_json::json!({"host": {
            "cgroupVersion": version, "cgroupManager": manager, "cgroupControllers": controllers,
            "security": {"rootless": rootless, "selinuxEnabled": false},
        }, "store": {"graphDriverName": "overlay"}});
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
        let able = abilities(&body, "4.3.1", AROUND);
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
            assert_eq!(!is_at_least(version, (4, 3)), old, "{version}");
        }
        assert!(is_at_least("6.1.0-18-amd64", (5, 19)) && !is_at_least("5.15.0-91-generic", (5, 19)));
    }

    #[test]
    fn graphics_cards_are_there_when_a_file_says_how_they_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!names_graphics_cards(folder.path()) && !names_graphics_cards(&folder.path().join("none")));
        std::fs::write(folder.path().join("other.json"), r#"{"kind": "example.org/disk"}"#).unwrap();
        assert!(!names_graphics_cards(folder.path()));
        std::fs::write(folder.path().join("nvidia.yaml"), "kind: nvidia.com/gpu\n").unwrap();
        assert!(names_graphics_cards(folder.path()));
    }

    #[test]
    fn root_gives_frames_users_of_their_own_where_it_costs_no_copy_of_the_image() {
        let body = |store: &Value| -> InfoBody {
            serde_json::from_value(serde_json::json!({"host": {"cgroupVersion": "v2"}, "store": store}))
                .unwrap()
        };
        let overlay = body(&serde_json::json!({"graphDriverName": "overlay", "graphOptions": {}}));
        assert!(abilities(&overlay, "4.3.1", AROUND).own_users);
        assert!(!abilities(&overlay, "4.2.0", AROUND).own_users);
        assert!(!abilities(&overlay, "4.3.1", Surroundings { owners: false, ..AROUND }).own_users);
        let options = serde_json::json!({"overlay.mount_program": {"Executable": "/usr/bin/fuse-overlayfs"}});
        let fuse = body(&serde_json::json!({"graphDriverName": "overlay", "graphOptions": options}));
        let vfs = body(&serde_json::json!({"graphDriverName": "vfs"}));
        for store in [fuse, vfs] {
            assert!(!abilities(&store, "5.4.2", AROUND).own_users);
            let notes = info(&store, "5.4.2".to_owned(), "/s", AROUND, Vec::new()).notes;
            assert!(notes.iter().any(|note| note.contains("users of this machine")), "{notes:?}");
        }
    }

    #[test]
    fn rootless_without_systemd_has_no_group_to_limit() {
        let able = abilities(&body("v2", "cgroupfs", true, &["memory", "cpu", "pids"]), "4.3.1", AROUND);
        assert_eq!((able.memory, able.cpu, able.pids), (false, false, false));
    }
}

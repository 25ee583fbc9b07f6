use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::model::container::Storage;
use crate::model::frame::Limits;
use crate::model::ids::InstanceId;
use crate::model::names::FrameName;

const ROOTFUL: Abilities = Abilities {
    rootless: false,
    own_users: false,
    memory: true,
    cpu: true,
    pids: true,
    selinux: false,
    open_files: Some(20_000),
    processes: None,
};

fn spec(network: NetworkMode) -> ContainerSpec {
    ContainerSpec {
        instance: InstanceId::from_parts(1, 1),
        frame: FrameId::from_parts(2, 2),
        name: FrameName::parse("blog").unwrap(),
        generation: 3,
        image_id: "abc".to_owned(),
        workspace: Storage::HostFolder { path: PathBuf::from("/w"), uid: 1001, gid: 1002 },
        home: Storage::HostFolder { path: PathBuf::from("/h"), uid: 1001, gid: 1002 },
        more: Vec::new(),
        network,
        limits: Limits { cpus_milli: 1500, memory_bytes: 2 << 30, pids: 1024 },
        gpu: false,
        env: BTreeMap::from([("A".to_owned(), "b".to_owned()), ("MIMIR_FRAME".to_owned(), "lie".to_owned())]),
    }
}

fn made(spec: &ContainerSpec, abilities: Abilities) -> Value {
    let own =
        [Mount::new(Path::new("/l"), inside::LINK, false), Mount::new(Path::new("/s"), inside::START, true)];
    let mounts = [spec.mounts(), own.to_vec()].concat();
    let rules = Rules { seccomp: PathBuf::from("/f/seccomp.json"), hosts: PathBuf::from("/f/hosts") };
    let users = match abilities.own_users {
        true => Whose::Own(Users::new(655_360, (1001, 1002), &mounts, Path::new("/r/places"))),
        false if abilities.rootless => Whose::Engines,
        false => Whose::Machines("an old kernel".to_owned()),
    };
    let users = &users;
    create_body(
        &Plan { spec, mounts: &mounts, rules: &rules, user: (1001, 1002), users, runtime: None },
        abilities,
    )
}

#[test]
fn a_failed_start_cannot_keep_a_host_port_open_because_none_is_published() {
    for network in [NetworkMode::Sealed, NetworkMode::Allow, NetworkMode::Open] {
        let body = made(&spec(network), ROOTFUL);
        for name in ["portmappings", "publish_image_ports", "expose"] {
            assert_eq!(body[name], Value::Null, "{name}");
        }
    }
}

#[test]
fn a_frame_has_no_network_unless_it_is_open() {
    for network in [NetworkMode::Sealed, NetworkMode::Allow] {
        assert_eq!(made(&spec(network), ROOTFUL)["netns"], json!({"nsmode": "none"}));
    }
    assert_eq!(made(&spec(NetworkMode::Open), ROOTFUL)["netns"], json!({"nsmode": "bridge"}));
}

#[test]
fn a_frame_is_locked_up() {
    let body = made(&spec(NetworkMode::Open), ROOTFUL);
    assert_eq!(body["read_only_filesystem"], true);
    assert_eq!(body["cap_drop"], json!(["ALL"]));
    assert_eq!(body["no_new_privileges"], true);
    assert_eq!(body["selinux_opts"], Value::Null);
    assert_eq!(body["privileged"], Value::Null);
    let mounts = body["mounts"].as_array().unwrap();
    let start = mounts.iter().find(|mount| mount["destination"] == inside::START).unwrap();
    assert_eq!(start["options"], json!(["rbind", "rprivate", "nosuid", "nodev", "ro"]));
    for mount in mounts {
        let has = |option: &str| mount["options"].as_array().unwrap().contains(&json!(option));
        assert!(has("nosuid") && has("nodev"), "{mount}");
    }
    assert_eq!(body["seccomp_profile_path"], "/f/seccomp.json");
    let hosts = mounts.iter().find(|mount| mount["destination"] == "/etc/hosts").unwrap();
    assert_eq!(hosts["source"], "/f/hosts");
    assert_eq!(body["labels"][LABEL_ISOLATION].as_str().unwrap().len(), 16);
    assert_eq!(body["labels"][LABEL_MACHINES_USERS], "an old kernel", "why it has no users of its own");
    let own = made(&spec(NetworkMode::Open), Abilities { own_users: true, ..ROOTFUL });
    assert_eq!(own["labels"][LABEL_MACHINES_USERS], Value::Null);
}

#[test]
fn numbers_of_other_homes_frames_are_seen_in_their_labels() {
    let (ours, other) = (FrameId::from_parts(2, 2), FrameId::from_parts(3, 3));
    let users = json!(Users::new(BLOCK * 30_600, (0, 0), &[], Path::new("/p"))).to_string();
    let listed = |frame: &FrameId, users: &str| -> Listed {
        let labels = json!({LABEL_FRAME: frame.as_str(), LABEL_USERS: users});
        serde_json::from_value(json!({"Id": "1", "Labels": labels, "State": "exited", "Created": ""}))
            .unwrap()
    };
    assert_eq!(block_of_another(&listed(&other, &users), &ours), Some(30_600));
    assert_eq!(block_of_another(&listed(&ours, &users), &ours), None);
    assert_eq!(block_of_another(&listed(&other, "nonsense"), &ours), None);
}

#[test]
fn a_container_that_was_made_less_locked_up_is_told_apart() {
    let seen = |labels: Value, runtime: Option<&str>| -> bool {
        let body: Inspected =
            serde_json::from_value(json!({"Id": "1", "Config": {"Labels": labels}})).unwrap();
        observation(&body, &hardening(runtime), |_| false).details.unwrap().less_isolated
    };
    let of = |runtime: Option<&str>| json!({LABEL_ISOLATION: hardening(runtime)});
    assert!(seen(json!({}), None));
    assert!(seen(json!({LABEL_ISOLATION: "another word"}), None));
    assert!(!seen(of(None), None));
    // One that shares the machine's kernel is none for whoever asked for gVisor since.
    assert!(seen(of(None), Some("runsc")));
    assert!(seen(of(Some("runsc")), None) && seen(of(Some("runsc")), Some("krun")));
    assert!(!seen(of(Some("runsc")), Some("runsc")));
}

#[test]
fn graphics_cards_are_asked_for_by_their_name_and_only_where_they_are_wanted() {
    let with = made(&ContainerSpec { gpu: true, ..spec(NetworkMode::Allow) }, ROOTFUL);
    assert_eq!(with["devices"], json!([{"path": "nvidia.com/gpu=all"}]));
    assert_eq!(made(&spec(NetworkMode::Allow), ROOTFUL)["devices"], Value::Null);
}

#[test]
fn what_the_engine_says_is_held_against_what_it_was_told() {
    let seen =
        |body: Value| -> Vec<String> { serde_json::from_value::<Inspected>(body).unwrap().unlike_asked() };
    let told = json!({"Id": "1", "OCIRuntime": "runc", "BoundingCaps": [], "HostConfig":
        {"ReadonlyRootfs": true, "Privileged": false, "SecurityOpt": ["no-new-privileges"]}});
    assert_eq!(seen(told), [""; 0]);
    let all = seen(json!({"Id": "1", "BoundingCaps": ["CAP_CHOWN"], "HostConfig": {"Privileged": true}}));
    assert_eq!(all.len(), 4, "{all:?}");
}

#[test]
fn a_folder_name_is_one_string_whatever_is_in_it() {
    let mut spec = spec(NetworkMode::Allow);
    let name = "/w/x,src=/etc:/a \"b\"\n\\";
    spec.workspace = Storage::HostFolder { path: PathBuf::from(name), uid: 1, gid: 1 };
    let body = made(&spec, ROOTFUL);
    let binds: Vec<&Value> =
        body["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind").collect();
    assert_eq!(binds.len(), 5, "{binds:?}");
    assert_eq!((&binds[0]["source"], &binds[0]["destination"]), (&json!(name), &json!(inside::WORKSPACE)));
}

#[test]
fn rlimits_are_named_both_or_the_engine_fails_on_the_other() {
    let named = |abilities| made(&spec(NetworkMode::Allow), abilities)["r_limits"].clone();
    let limit = |name: &str, value: u64| json!({"type": name, "soft": value, "hard": value});
    assert_eq!(named(ROOTFUL), json!([limit("NOFILE", 20_000), limit("NPROC", 32_768)]));
    let small = Abilities { processes: Some(4_096), open_files: None, ..ROOTFUL };
    assert_eq!(named(small), json!([limit("NOFILE", 1 << 19), limit("NPROC", 4_096)]));
}

#[test]
fn files_belong_to_the_owner_with_and_without_root() {
    let body = made(&spec(NetworkMode::Allow), ROOTFUL);
    assert_eq!(body["user"], "1001:1002");
    assert_eq!(body["userns"], Value::Null);

    let body = made(&spec(NetworkMode::Allow), Abilities { rootless: true, ..ROOTFUL });
    assert_eq!(body["user"], "1000:1000");
    assert_eq!(body["userns"], json!({"nsmode": "keep-id", "value": "uid=1000,gid=1000"}));
    assert_eq!(body["idmappings"], Value::Null);
}

#[test]
fn with_root_too_users_inside_are_others_outside_and_folders_are_said_as_what_they_are() {
    let body = made(&spec(NetworkMode::Allow), Abilities { own_users: true, ..ROOTFUL });
    assert_eq!(body["user"], "1000:1000");
    assert_eq!(body["userns"], json!({"nsmode": "private"}));
    let block = json!([{"container_id": 0, "host_id": 655_360, "size": 65_536}]);
    assert_eq!(body["idmappings"], json!({"UIDMap": block, "GIDMap": block}));
    let binds: Vec<&Value> =
        body["mounts"].as_array().unwrap().iter().filter(|mount| mount["type"] == "bind").collect();
    assert_eq!(
        (&binds[0]["source"], &binds[0]["destination"]),
        (&json!("/r/places/0"), &json!("/workspace"))
    );
    assert_eq!(binds[4]["source"], "/f/hosts", "what is everybody's to read is shown as it is");

    let seen: Vec<Value> = binds
        .iter()
        .map(|bind| json!({"Type": "bind", "Source": bind["source"], "Destination": bind["destination"], "RW": true}))
        .collect();
    let seen = json!({"Id": "1", "Config": {"Labels": body["labels"]}, "Mounts": seen});
    let seen: Inspected = serde_json::from_value(seen).unwrap();
    let sources: Vec<String> = seen.mounts().into_iter().map(|mount| mount.source).collect();
    assert_eq!(sources, ["/w", "/h", "/l", "/s"]);
    assert_eq!(seen.folders(), ["/w", "/h", "/l", "/s", "/f/hosts"]);
}

#[test]
fn limits_that_the_machine_cannot_enforce_are_not_asked_for() {
    let all = &made(&spec(NetworkMode::Allow), ROOTFUL)["resource_limits"];
    assert_eq!(all["memory"], json!({"limit": 2_u64 << 30, "swap": 2_u64 << 30}));
    assert_eq!(all["cpu"], json!({"quota": 150_000, "period": 100_000}));
    assert_eq!(all["pids"], json!({"limit": 1024}));

    let none = Abilities { rootless: true, memory: false, cpu: false, pids: false, ..ROOTFUL };
    assert_eq!(made(&spec(NetworkMode::Allow), none)["resource_limits"], json!({}));
}

#[test]
fn a_frame_cannot_be_told_that_it_is_another_one() {
    let env = made(&spec(NetworkMode::Allow), ROOTFUL)["env"].clone();
    assert_eq!((&env["MIMIR_FRAME"], &env["A"]), (&json!("blog"), &json!("b")), "{env:?}");
}

fn inspected(status: &str, pid: u32) -> Inspected {
    let body = serde_json::json!({
        "Id": "12ab", "Image": "sha256:77", "Created": "2026-11-21T11:56:36.3Z",
        "State": {"Status": status, "Pid": pid, "ConmonPid": 6, "ExitCode": 5, "OOMKilled": false,
                  "StartedAt": "2026-11-21T11:56:36.445Z"},
        "Config": {"Labels": {LABEL_GENERATION: "3"}},
    });
    serde_json::from_value(body).unwrap()
}

#[test]
fn engine_states_become_four_words() {
    for (status, word) in [
        ("running", Observed::Running),
        ("paused", Observed::Paused),
        ("created", Observed::Halted),
        ("configured", Observed::Halted),
        ("exited", Observed::Halted),
        ("stopped", Observed::Halted),
    ] {
        let seen = observation(&inspected(status, 7), "", |_| true);
        assert_eq!(seen.observed, word, "{status}");
        let details = seen.details.unwrap();
        assert_eq!(details.stuck, None, "{status}");
        assert_eq!((details.generation, details.image_id.as_str()), (3, "77"));
        assert_eq!(details.exit_code.is_none(), matches!(word, Observed::Running | Observed::Paused));
    }
}

#[test]
fn stopping_for_ever_is_reported_as_stuck() {
    let seen = observation(&inspected("stopping", 7), "", |pid| pid != 6);
    assert_eq!(seen.details.unwrap().stuck.as_deref(), Some("stopping"));
    let seen = observation(&inspected("stopping", 7), "", |_| true);
    assert_eq!((seen.observed, seen.details.unwrap().stuck), (Observed::Running, None), "it is on its way");
    let seen = observation(&inspected("a new word", 7), "", |_| true);
    assert_eq!(seen.details.unwrap().stuck.as_deref(), Some("unknown state a new word"));
}

#[test]
fn running_that_is_not_true_is_seen_through() {
    let seen = observation(&inspected("running", 7), "", |pid| pid != 7);
    assert_eq!(seen.observed, Observed::Halted);
    let details = seen.details.unwrap();
    assert_eq!(details.stuck.as_deref(), Some("running without a process"));
    assert_eq!(details.pid, None);
}

#[test]
fn a_container_that_never_ran_has_no_exit_code() {
    let mut body = inspected("created", 0);
    body.state.started_at = "0001-01-01T00:00:00Z".to_owned();
    let details = observation(&body, "", |_| false).details.unwrap();
    assert_eq!((details.exit_code, details.started_at), (None, None));
}

#[test]
fn what_the_engine_mounted_is_read_back_without_the_images_volumes() {
    let mut body = inspected("created", 0);
    let mounts = json!([
        {"Type": "bind", "Source": "/etc", "Destination": "/workspace", "RW": true},
        {"Type": "bind", "Source": "/s", "Destination": "/run/mimir/start", "RW": false},
        {"Type": "volume", "Name": "x", "Source": "/var/lib/x", "Destination": "/data", "RW": true},
    ]);
    body.mounts = serde_json::from_value(mounts).unwrap();
    let seen = observation(&body, "", |_| false).details.unwrap().mounts;
    let mount = |source: &str, target, read_only| Mount::new(Path::new(source), target, read_only);
    assert_eq!(seen, [mount("/etc", "/workspace", false), mount("/s", "/run/mimir/start", true)]);
}

#[test]
fn a_listed_container_without_our_labels_is_nobody() {
    assert_eq!(found(Listed { id: "1".into(), state: "running".into(), ..Listed::default() }), None);
}

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::model::frame::Limits;
use crate::model::ids::InstanceId;
use crate::model::names::FrameName;

const ROOTFUL: Abilities = Abilities {
    rootless: false,
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
        workspace: PathBuf::from("/w"),
        home: PathBuf::from("/h"),
        link: PathBuf::from("/l"),
        start: PathBuf::from("/s"),
        owner_uid: 1001,
        owner_gid: 1002,
        network,
        limits: Limits { cpus_milli: 1500, memory_bytes: 2 << 30, pids: 1024 },
        env: BTreeMap::from([("A".to_owned(), "b".to_owned()), ("MIMIR_FRAME".to_owned(), "lie".to_owned())]),
    }
}

fn host(spec: &ContainerSpec, abilities: Abilities) -> HostConfig {
    create_body(spec, abilities).host_config.unwrap()
}

#[test]
fn a_failed_start_cannot_keep_a_host_port_open_because_none_is_published() {
    for network in [NetworkMode::Sealed, NetworkMode::Allow, NetworkMode::Open] {
        let body = create_body(&spec(network), ROOTFUL);
        assert_eq!(body.exposed_ports, None);
        assert_eq!(body.host_config.unwrap().port_bindings, None);
    }
}

#[test]
fn a_frame_has_no_network_unless_it_is_open() {
    for network in [NetworkMode::Sealed, NetworkMode::Allow] {
        assert_eq!(host(&spec(network), ROOTFUL).network_mode.as_deref(), Some("none"));
    }
    assert_eq!(host(&spec(NetworkMode::Open), ROOTFUL).network_mode.as_deref(), Some("bridge"));
}

#[test]
fn a_frame_is_locked_up() {
    let host = host(&spec(NetworkMode::Open), ROOTFUL);
    assert_eq!(host.readonly_rootfs, Some(true));
    assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
    assert_eq!(host.privileged, None);
    let start = host.mounts.unwrap().into_iter().find(|mount| mount.target.as_deref() == Some(inside::START));
    assert_eq!(start.unwrap().read_only, Some(true));
}

#[test]
fn rlimits_are_named_both_or_the_engine_fails_on_the_other() {
    let named = |abilities| -> Vec<(String, i64)> {
        let limits = host(&spec(NetworkMode::Allow), abilities).ulimits.unwrap();
        limits.into_iter().map(|one| (one.name.unwrap(), one.hard.unwrap())).collect()
    };
    assert_eq!(named(ROOTFUL), [("nofile".to_owned(), 20_000), ("nproc".to_owned(), 32_768)]);
    let small = Abilities { processes: Some(4_096), open_files: None, ..ROOTFUL };
    assert_eq!(named(small), [("nofile".to_owned(), 1 << 19), ("nproc".to_owned(), 4_096)]);
}

#[test]
fn files_belong_to_the_owner_with_and_without_root() {
    let body = create_body(&spec(NetworkMode::Allow), ROOTFUL);
    assert_eq!(body.user.as_deref(), Some("1001:1002"));
    assert_eq!(body.host_config.unwrap().userns_mode, None);

    let body = create_body(&spec(NetworkMode::Allow), Abilities { rootless: true, ..ROOTFUL });
    assert_eq!(body.user.as_deref(), Some("1000:1000"));
    assert_eq!(body.host_config.unwrap().userns_mode.as_deref(), Some("keep-id:uid=1000,gid=1000"));
}

#[test]
fn limits_that_the_machine_cannot_enforce_are_not_asked_for() {
    let all = host(&spec(NetworkMode::Allow), ROOTFUL);
    assert_eq!((all.memory, all.memory_swap), (Some(2 << 30), Some(2 << 30)));
    assert_eq!((all.nano_cpus, all.pids_limit), (Some(1_500_000_000), Some(1024)));

    let none = Abilities { rootless: true, memory: false, cpu: false, pids: false, ..ROOTFUL };
    let host = host(&spec(NetworkMode::Allow), none);
    assert_eq!((host.memory, host.memory_swap, host.nano_cpus, host.pids_limit), (None, None, None, None));
}

#[test]
fn a_frame_cannot_be_told_that_it_is_another_one() {
    let env = create_body(&spec(NetworkMode::Allow), ROOTFUL).env.unwrap();
    assert!(env.contains(&"MIMIR_FRAME=blog".to_owned()), "{env:?}");
    assert!(!env.contains(&"MIMIR_FRAME=lie".to_owned()), "{env:?}");
    assert!(env.contains(&"A=b".to_owned()), "{env:?}");
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
        let seen = observation(&inspected(status, 7), |_| true);
        assert_eq!(seen.observed, word, "{status}");
        let details = seen.details.unwrap();
        assert_eq!(details.stuck, None, "{status}");
        assert_eq!((details.generation, details.image_id.as_str()), (3, "77"));
        assert_eq!(details.exit_code.is_none(), matches!(word, Observed::Running | Observed::Paused));
    }
}

#[test]
fn stopping_for_ever_is_reported_as_stuck() {
    let seen = observation(&inspected("stopping", 7), |pid| pid != 6);
    assert_eq!(seen.details.unwrap().stuck.as_deref(), Some("stopping"));
    let seen = observation(&inspected("stopping", 7), |_| true);
    assert_eq!((seen.observed, seen.details.unwrap().stuck), (Observed::Running, None), "it is on its way");
    let seen = observation(&inspected("a new word", 7), |_| true);
    assert_eq!(seen.details.unwrap().stuck.as_deref(), Some("unknown state a new word"));
}

#[test]
fn running_that_is_not_true_is_seen_through() {
    let seen = observation(&inspected("running", 7), |pid| pid != 7);
    assert_eq!(seen.observed, Observed::Halted);
    let details = seen.details.unwrap();
    assert_eq!(details.stuck.as_deref(), Some("running without a process"));
    assert_eq!(details.pid, None);
}

#[test]
fn a_container_that_never_ran_has_no_exit_code() {
    let mut body = inspected("created", 0);
    body.state.started_at = "0001-01-01T00:00:00Z".to_owned();
    let details = observation(&body, |_| false).details.unwrap();
    assert_eq!((details.exit_code, details.started_at), (None, None));
}

#[test]
fn a_listed_container_without_our_labels_is_nobody() {
    assert_eq!(found(Listed { id: "1".into(), state: "running".into(), ..Listed::default() }), None);
}

//! From a frame's row to what the engine and the agent are given. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::error::FrameError;
use super::folders::Folders;
use super::git_folder;
use super::request::{Lifetime, WantedLimits};
use crate::model::allow::{AllowGroups, canonical};
use crate::model::container::{ContainerSpec, Storage, inside};
use crate::model::frame::{Frame, Limits};
use crate::model::ids::InstanceId;
use crate::model::network::NetworkMode;
use crate::model::quantity::{memory, pids, span};

/// The container that a frame is to have.
pub(super) fn container(frame: &Frame, instance: &InstanceId, folders: &Folders) -> ContainerSpec {
    let folder = |path| Storage::HostFolder { path, uid: frame.owner_uid, gid: frame.owner_gid };
    ContainerSpec {
        instance: instance.clone(),
        frame: frame.id.clone(),
        name: frame.name.clone(),
        generation: frame.generation,
        image_id: frame.image_id.clone(),
        workspace: folder(PathBuf::from(&frame.workspace)),
        home: folder(folders.home()),
        more: frame.git.as_ref().map(|git| git_folder::mounts(git, &folders.git())).unwrap_or_default(),
        network: frame.network,
        limits: frame.limits,
        gpu: frame.gpu,
        env: BTreeMap::new(),
    }
}

/// opencode's configuration as text. opencode replaces `{env:NAME}` and `{file:PATH}` anywhere in that text before it
/// reads it as JSON, so a rule or a model's name that holds one would become something else, or keep opencode from
/// starting. Written with an escape it is found by nobody but the JSON reader, which gives it back as it was.
pub(super) fn config_file(agent_config: &serde_json::Value) -> String {
    agent_config.to_string().replace("{env:", r"\u007benv:").replace("{file:", r"\u007bfile:")
}

/// The `env` file that a frame reads at its start: one `KEY=VALUE` a line.
pub(super) fn env_file(env: &[(String, String)]) -> String {
    env.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// What the frame may use, from what is wanted and the configured defaults.
pub(super) fn limits(wanted: WantedLimits, defaults: Limits) -> Result<Limits, FrameError> {
    let refuse = |field| move |why| invalid(field, why);
    Ok(Limits {
        cpus_milli: wanted.cpus_milli.unwrap_or(defaults.cpus_milli),
        memory_bytes: memory::check(wanted.memory_bytes.unwrap_or(defaults.memory_bytes))
            .map_err(refuse("memory"))?,
        pids: pids::check(wanted.pids.unwrap_or(defaults.pids)).map_err(refuse("pids"))?,
    })
}

/// The image forbids these two, whatever a configuration says (`/etc/opencode/opencode.json`); only this variable
/// stands above it. Rules of the owner may have them asked for instead.
const FORBIDDEN_BY_IMAGE: [&str; 2] = ["external_directory", "doom_loop"];

/// The variable that lets opencode ask for what its image forbids, when `agent_config` says that it shall.
pub(super) fn loosened(agent_config: &serde_json::Value) -> Option<(String, String)> {
    let permission = &agent_config["permission"];
    let asked: serde_json::Map<String, serde_json::Value> = FORBIDDEN_BY_IMAGE
        .into_iter()
        .filter(|tool| !permission[*tool].is_null() && permission[*tool] != "deny")
        .map(|tool| (tool.to_owned(), permission[tool].clone()))
        .collect();
    (!asked.is_empty())
        .then(|| ("OPENCODE_PERMISSION".to_owned(), serde_json::Value::Object(asked).to_string()))
}

/// Checks the extra environment.
pub(super) fn env(given: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, FrameError> {
    for (name, value) in given {
        let mut letters = name.bytes();
        let is_name = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(invalid("env", format!("`{name}` is not the name of a variable")));
        }
        if inside::is_reserved(name) {
            return Err(invalid("env", format!("`{name}` is set by mimir itself")));
        }
        if value.contains(['\n', '\0']) {
            return Err(invalid("env", format!("the value of `{name}` has more than one line")));
        }
    }
    Ok(given.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// What a frame of mode `allow` may reach: what every frame may, and its own. Nothing in other modes.
/// An entry that names nothing is refused in every mode: later nobody would hear of it.
pub(super) fn allow(
    network: NetworkMode,
    configured: &[String],
    own: &[String],
) -> Result<Vec<String>, FrameError> {
    let own: Vec<String> = own.iter().map(|entry| canonical(entry)).collect();
    let groups = AllowGroups::built_in().map_err(|why| invalid("allow", why))?;
    let resolved = groups.resolve(own.iter().map(String::as_str));
    resolved.map_err(|error| invalid("allow", error.to_string()))?;
    if network != NetworkMode::Allow {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let both = configured.iter().cloned().chain(own);
    Ok(both.filter(|entry| seen.insert(entry.clone())).collect())
}

/// Which providers a frame may use besides those that every frame may. `known` is empty where nobody knows.
pub(super) fn providers(
    configured: &[String],
    own: &[String],
    known: &[String],
) -> Result<Vec<String>, FrameError> {
    let mut all: Vec<String> =
        configured.iter().chain(own).map(|name| name.trim().to_ascii_lowercase()).collect();
    all.sort_unstable();
    all.dedup();
    match all.iter().find(|name| !known.is_empty() && !known.contains(*name)) {
        Some(name) => Err(invalid(
            "providers",
            format!("there is no provider `{name}`; there are {}", known.join(", ")),
        )),
        None => Ok(all),
    }
}

/// How long it lives, in milliseconds; `None` for a frame that stays.
pub(super) fn lifetime_ms(wanted: Lifetime, default: Duration) -> Result<Option<u64>, FrameError> {
    let Lifetime::Throwaway(ttl) = wanted else { return Ok(None) };
    let seconds = ttl.unwrap_or(default).as_secs();
    span::check_lifetime(seconds).map_err(|why| invalid("ttl", why))?;
    Ok(Some(seconds * 1000))
}

/// Who owns what the agent writes: without root there is only ourselves, with root it is the workspace's owner.
pub(super) fn owner(rootless: bool, ourselves: (u32, u32), workspace: (u32, u32)) -> (u32, u32) {
    if rootless { ourselves } else { workspace }
}

pub(super) fn invalid(field: &'static str, why: String) -> FrameError {
    FrameError::Invalid { field, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Limits = Limits { cpus_milli: 2000, memory_bytes: 4 << 30, pids: 1024 };

    #[test]
    fn limits_that_cannot_work_are_refused_by_name() {
        let refusal = |wanted| limits(wanted, DEFAULTS).expect_err("refused").to_string();
        let none = WantedLimits::default();
        assert!(refusal(WantedLimits { memory_bytes: Some(1 << 20), ..none }).contains("512m"));
        assert!(refusal(WantedLimits { pids: Some(3), ..none }).contains("pids"));
        let half = WantedLimits { cpus_milli: Some(500), ..none };
        assert_eq!(limits(half, DEFAULTS).expect("fine"), Limits { cpus_milli: 500, ..DEFAULTS });
    }

    #[test]
    fn what_the_image_forbids_is_asked_for_only_when_a_rule_has_a_say_in_it() {
        let usual = serde_json::json!({"permission": {"external_directory": "deny", "doom_loop": "deny"}});
        assert_eq!(loosened(&usual), None);
        assert_eq!(loosened(&serde_json::json!({})), None);
        let ruled = serde_json::json!({"permission": {"external_directory": {"*": "deny", "/tmp/*": "ask"}}});
        let (name, value) = loosened(&ruled).expect("a variable");
        assert_eq!(name, "OPENCODE_PERMISSION");
        assert_eq!(value, r#"{"external_directory":{"*":"deny","/tmp/*":"ask"}}"#);
    }

    #[test]
    fn nothing_in_the_agents_configuration_is_replaced_by_opencode() {
        let config =
            serde_json::json!({"{file:/x}": ["{env:HOME}", {"a": "b{file:../y}c"}], "plain": {"env": 1}});
        let text = config_file(&config);
        assert!(!text.contains("{env:") && !text.contains("{file:"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), config);
    }

    #[test]
    fn the_environment_takes_plain_names_and_single_lines() {
        let one = |name: &str, value: &str| env(&BTreeMap::from([(name.into(), value.into())]));
        assert!(one("RUST_LOG", "debug=1 2").is_ok());
        for (name, value) in
            [("1A", ""), ("A-B", ""), ("", ""), ("HOME", "/"), ("MIMIR_FRAME", "x"), ("A", "b\nc")]
        {
            assert!(one(name, value).is_err(), "{name}={value:?}");
        }
        assert_eq!(env_file(&[("A".into(), "b c".into()), ("D".into(), String::new())]), "A=b c\nD=\n");
    }

    #[test]
    fn only_mode_allow_has_a_list_and_each_entry_once() {
        let (configured, own) = (["npm".to_owned()], ["npm".to_owned(), "example.org".to_owned()]);
        assert_eq!(allow(NetworkMode::Allow, &configured, &own).expect("fine"), ["npm", "example.org"]);
        assert!(allow(NetworkMode::Sealed, &configured, &own).expect("fine").is_empty());
    }

    #[test]
    fn a_misspelt_group_is_refused_whatever_the_mode() {
        for network in [NetworkMode::Allow, NetworkMode::Sealed, NetworkMode::Open] {
            let refusal = allow(network, &[], &["npmm".to_owned()]).expect_err("no host").to_string();
            assert!(refusal.contains("did you mean `npm`?"), "{refusal}");
        }
    }

    #[test]
    fn a_frame_is_granted_providers_that_there_are_each_once() {
        let texts = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let known = texts(&["demo", "local", "openai"]);
        let all = providers(&texts(&["openai"]), &texts(&["Local", "openai"]), &known).expect("fine");
        assert_eq!(all, ["local", "openai"]);
        let refusal = providers(&[], &texts(&["opanai"]), &known).expect_err("unknown").to_string();
        assert!(refusal.contains("there are demo, local, openai"), "{refusal}");
        assert!(providers(&texts(&["any"]), &[], &[]).is_ok(), "where nobody knows");
    }

    #[test]
    fn only_throwaway_frames_expire() {
        let usual = Duration::from_secs(7200);
        assert_eq!(lifetime_ms(Lifetime::Throwaway(None), usual).expect("fine"), Some(7_200_000));
        assert_eq!(lifetime_ms(Lifetime::Stays, usual).expect("fine"), None);
        assert!(lifetime_ms(Lifetime::Throwaway(Some(Duration::ZERO)), usual).is_err());
    }

    #[test]
    fn files_belong_to_the_workspaces_owner_where_the_engine_can_do_that() {
        assert_eq!(owner(false, (0, 0), (1001, 100)), (1001, 100));
        assert_eq!(owner(true, (1000, 1000), (1001, 100)), (1000, 1000));
    }
}

//! How a frame is kept apart from the machine, as the kernel says it and not as it was asked for.

use serde::{Deserialize, Serialize};

use crate::frame::Limits;
use crate::network::NetworkMode;

/// What was asked for, to be held against what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedIsolation {
    /// What it may reach.
    pub network: NetworkMode,
    /// What it may use; none where the engine cannot see to it.
    pub limits: Option<Limits>,
    /// Whether it is to see graphics cards.
    pub gpu: bool,
}

/// What the kernel says of a frame's first process. Whatever runs in the frame inherits it and can only lose more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Isolation {
    /// The user of this machine that it is.
    pub host_user: u32,
    /// Whether users inside are other users outside.
    pub own_users: bool,
    /// Capabilities that it has or could get, as the kernel's number; 0 is none.
    pub capabilities: u64,
    /// Whether it can never get more rights than it has.
    pub no_new_privileges: bool,
    /// Whether what it asks of the kernel is filtered.
    pub filtered: bool,
    /// Whether the system inside can only be read.
    pub read_only_root: bool,
    /// Namespaces that it shares with the machine.
    pub shared: Vec<String>,
    /// Network interfaces that it sees.
    pub interfaces: Vec<String>,
    /// Folders of this machine, or memories, in which set-user-id bits or devices would count.
    pub loose_mounts: Vec<String>,
    /// Files of the kernel that tell of the machine or change it, and are neither hidden nor read-only.
    pub unmasked: Vec<String>,
    /// Sockets of container engines that it sees.
    pub engine_sockets: Vec<String>,
    /// The runtime that gives it a kernel of its own. Only the engine's words, devices and limits are known then: what
    /// runs on that kernel cannot be looked at from this one.
    #[serde(default)]
    pub own_kernel: Option<String>,
    /// Devices that it sees besides those that every container has.
    #[serde(default)]
    pub devices: Vec<String>,
    /// What the engine was told and the kernel does not say: sentences.
    #[serde(default)]
    pub differs: Vec<String>,
    /// Why users inside are users of this machine; none when they are others.
    #[serde(default)]
    pub machines_users: Option<String>,
    /// Bytes of memory that the kernel lets it have; none without a limit, or where nobody can say.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Processes and threads, likewise.
    #[serde(default)]
    pub pids: Option<u64>,
    /// Thousandths of a core, likewise.
    #[serde(default)]
    pub cpus_milli: Option<u64>,
}

/// systemd rounds a share of a core up to whole hundredths.
const ROUNDED_UP: u64 = 10;

impl Isolation {
    /// What is not as it must be. A frame with any of it does not run.
    #[must_use]
    pub fn weak(&self, asked: &WantedIsolation) -> Vec<String> {
        let list =
            |what: &str, list: &[String]| (!list.is_empty()).then(|| format!("{what}: {}", list.join(", ")));
        let outside: Vec<String> = match asked.network {
            NetworkMode::Open => Vec::new(),
            NetworkMode::Sealed | NetworkMode::Allow => {
                self.interfaces.iter().filter(|name| *name != "lo").cloned().collect()
            }
        };
        let seen = self.own_kernel.is_none();
        let when = |wrong: bool, text: &str| (seen && wrong).then(|| text.to_owned());
        [
            (self.capabilities != 0).then(|| format!("it has capabilities ({:#x})", self.capabilities)),
            when(!self.no_new_privileges, "it could get new privileges"),
            when(!self.filtered, "its system calls are not filtered"),
            when(!self.read_only_root, "its system can be written to"),
            list("it shares namespaces with this machine", &self.shared),
            list("it has a network", &outside),
            list("set-user-id bits and devices would count", &self.loose_mounts),
            list("the kernel's files are open", &self.unmasked),
            list("it sees the engine", &self.engine_sockets),
            list("it sees devices", &self.devices).filter(|_| !asked.gpu),
        ]
        .into_iter()
        .flatten()
        .chain(self.differs.iter().cloned())
        .chain(asked.limits.iter().flat_map(|limits| self.beyond(limits)))
        .collect()
    }

    /// Limits that the kernel does not keep as they were asked for. That of processor time is not everywhere ours to set.
    fn beyond(&self, asked: &Limits) -> Vec<String> {
        let more = |what: &str, asked: u64, is: Option<u64>| match is {
            // Less is no harm, and may be somebody's wish.
            Some(is) if is <= asked => None,
            Some(is) => Some(format!("its {what} may be {is} instead of {asked}")),
            None => Some(format!("its {what} has no limit")),
        };
        let memory = more("memory", asked.memory_bytes, self.memory_bytes);
        let pids = more("number of processes", u64::from(asked.pids), self.pids);
        let cores = u64::from(asked.cpus_milli);
        let much = self.cpus_milli.filter(|is| *is > cores + ROUNDED_UP);
        let cpus = much.and_then(|is| more("processor time", cores, Some(is)));
        [memory, pids, cpus].into_iter().flatten().collect()
    }

    /// What holds, for people.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        if let Some(runtime) = &self.own_kernel {
            let kernel = format!("a kernel of its own ({runtime})");
            let unseen = "what holds inside is the engine's word: it cannot be looked at from here";
            return vec![kernel, unseen.to_owned()];
        }
        let user = match (self.own_users, self.host_user) {
            (true, id) => {
                format!("users inside are others outside: the agent is number {id} of this machine")
            }
            (false, 0) => "the agent is root of this machine, without any of root's capabilities".to_owned(),
            (false, id) => format!("the agent is user {id} of this machine"),
        };
        let network = match self.interfaces.iter().filter(|name| *name != "lo").count() {
            0 => "no network but loopback",
            _ => "a network of its own",
        };
        let when = |holds: bool, text: &str| holds.then(|| text.to_owned());
        [
            Some(user),
            when(self.capabilities == 0, "no capabilities"),
            when(self.no_new_privileges, "no new privileges"),
            when(self.filtered, "system calls filtered"),
            when(self.read_only_root, "system read-only"),
            when(self.shared.is_empty(), "namespaces of its own"),
            Some(network.to_owned()),
            when(self.loose_mounts.is_empty(), "set-user-id bits and devices do not count"),
            when(self.unmasked.is_empty(), "the kernel's files masked"),
            when(self.engine_sockets.is_empty(), "no engine's socket"),
            when(self.devices.is_empty(), "no device of this machine"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Isolation {
        Isolation {
            host_user: 1001,
            no_new_privileges: true,
            filtered: true,
            read_only_root: true,
            interfaces: vec!["lo".to_owned()],
            ..Isolation::default()
        }
    }

    #[test]
    fn each_thing_that_does_not_hold_is_named_and_keeps_the_frame_from_running() {
        let asked = |network| WantedIsolation { network, limits: None, gpu: false };
        assert!(locked().weak(&asked(NetworkMode::Sealed)).is_empty());
        let some = || vec!["x".to_owned()];
        type Change = fn(&mut Isolation);
        let wrong: [(&str, Change); 5] = [
            ("capabilities (0x400)", |is| is.capabilities = 0x400),
            ("new privileges", |is| is.no_new_privileges = false),
            ("not filtered", |is| is.filtered = false),
            ("can be written to", |is| is.read_only_root = false),
            ("a network: eth0", |is| is.interfaces.push("eth0".to_owned())),
        ];
        for (word, change) in wrong {
            let mut is = locked();
            change(&mut is);
            let weak = is.weak(&asked(NetworkMode::Allow));
            assert!(weak.len() == 1 && weak[0].contains(word), "{word}: {weak:?}");
        }
        let lists = Isolation {
            shared: some(),
            loose_mounts: some(),
            unmasked: some(),
            engine_sockets: some(),
            devices: some(),
            differs: some(),
            ..locked()
        };
        assert_eq!(lists.weak(&asked(NetworkMode::Open)).len(), 6);
        let with_cards = Isolation { devices: vec!["/dev/nvidia0".to_owned()], ..locked() };
        assert!(with_cards.weak(&WantedIsolation { gpu: true, ..asked(NetworkMode::Sealed) }).is_empty());
        let open = Isolation { interfaces: vec!["lo".to_owned(), "eth0".to_owned()], ..locked() };
        assert!(open.weak(&asked(NetworkMode::Open)).is_empty());
    }

    #[test]
    fn limits_that_the_kernel_does_not_keep_are_named() {
        let limits = Limits { cpus_milli: 1500, memory_bytes: (2 << 30) + 17, pids: 1024 };
        let asked = WantedIsolation { network: NetworkMode::Sealed, limits: Some(limits), gpu: false };
        let kept =
            Isolation { memory_bytes: Some(2 << 30), pids: Some(1024), cpus_milli: Some(1500), ..locked() };
        assert!(kept.weak(&asked).is_empty(), "{:?}", kept.weak(&asked));
        let rounded = Isolation { cpus_milli: Some(1510), pids: Some(100), ..kept.clone() };
        assert!(rounded.weak(&asked).is_empty(), "{:?}", rounded.weak(&asked));
        let without_cpus = Isolation { cpus_milli: None, ..kept.clone() };
        assert!(without_cpus.weak(&asked).is_empty());
        for other in [
            Isolation { memory_bytes: None, ..kept.clone() },
            Isolation { pids: Some(4096), ..kept.clone() },
            Isolation { cpus_milli: Some(8000), ..kept },
        ] {
            assert_eq!(other.weak(&asked).len(), 1, "{other:?}");
        }
    }

    #[test]
    fn roots_folder_is_said_as_what_it_is() {
        assert!(Isolation { host_user: 0, ..locked() }.words()[0].contains("root of this machine"));
        assert!(locked().words().contains(&"no network but loopback".to_owned()));
        let of_its_own = Isolation { own_kernel: Some("runsc".to_owned()), ..Isolation::default() };
        assert!(of_its_own.words()[0].contains("runsc"));
        let asked = WantedIsolation { network: NetworkMode::Sealed, limits: None, gpu: false };
        assert!(of_its_own.weak(&asked).is_empty(), "what cannot be seen is not held against it");
        let told =
            Isolation { differs: vec!["the engine says that it is privileged".to_owned()], ..of_its_own };
        assert_eq!(told.weak(&asked).len(), 1);
    }
}

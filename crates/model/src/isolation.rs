//! How a frame is kept apart from the machine, as the kernel says it and not as it was asked for.

use serde::{Deserialize, Serialize};

use crate::network::NetworkMode;

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
}

impl Isolation {
    /// What is not as it must be. A frame with any of it does not run.
    #[must_use]
    pub fn weak(&self, network: NetworkMode) -> Vec<String> {
        let list =
            |what: &str, list: &[String]| (!list.is_empty()).then(|| format!("{what}: {}", list.join(", ")));
        let outside: Vec<String> = match network {
            NetworkMode::Open => Vec::new(),
            NetworkMode::Sealed | NetworkMode::Allow => {
                self.interfaces.iter().filter(|name| *name != "lo").cloned().collect()
            }
        };
        let when = |wrong: bool, text: &str| wrong.then(|| text.to_owned());
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
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What holds, for people.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let user = match (self.own_users, self.host_user) {
            (true, id) => format!("users inside are others outside; the agent is user {id} of this machine"),
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
        assert!(locked().weak(NetworkMode::Sealed).is_empty());
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
            let weak = is.weak(NetworkMode::Allow);
            assert!(weak.len() == 1 && weak[0].contains(word), "{word}: {weak:?}");
        }
        let lists = Isolation {
            shared: some(),
            loose_mounts: some(),
            unmasked: some(),
            engine_sockets: some(),
            ..locked()
        };
        assert_eq!(lists.weak(NetworkMode::Open).len(), 4);
        let open = Isolation { interfaces: vec!["lo".to_owned(), "eth0".to_owned()], ..locked() };
        assert!(open.weak(NetworkMode::Open).is_empty());
    }

    #[test]
    fn roots_folder_is_said_as_what_it_is() {
        assert!(Isolation { host_user: 0, ..locked() }.words()[0].contains("root of this machine"));
        assert!(locked().words().contains(&"no network but loopback".to_owned()));
    }
}

//! What this machine is like, and the flags that Podman needs on it.

use std::path::Path;

use super::EngineSettings;

/// What decides about the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a machine")]
pub struct Machine {
    /// We are root.
    pub root: bool,
    /// The unified control groups are in charge; else version 1 or a mix of both.
    pub cgroup2: bool,
    /// The newer runtime is installed.
    pub crun: bool,
    /// The older runtime is installed.
    pub runc: bool,
    /// systemd can be asked for control groups (the user's own one, without root).
    pub systemd: bool,
    /// There is a journal to write events to.
    pub journal: bool,
    /// Somebody has configured image storage, or another kind of storage is in use already.
    pub storage_chosen: bool,
}

impl Machine {
    /// Looks around.
    #[must_use]
    pub fn look(settings: &EngineSettings) -> Self {
        let there = |path: &str| Path::new(path).exists();
        let root = settings.uid == 0;
        let user_bus = settings.runtime_dir.as_ref().is_some_and(|folder| folder.join("bus").exists());
        Self {
            root,
            cgroup2: there("/sys/fs/cgroup/cgroup.controllers"),
            crun: settings.find_program("crun").is_some(),
            runc: settings.find_program("runc").is_some(),
            systemd: there("/run/systemd/system") && (root || user_bus),
            journal: there("/run/systemd/journal/socket"),
            storage_chosen: storage_is_chosen(settings),
        }
    }
}

fn storage_is_chosen(settings: &EngineSettings) -> bool {
    let Some(home) = &settings.home else { return true };
    let configured =
        [Path::new("/etc/containers/storage.conf").to_owned(), home.join(".config/containers/storage.conf")];
    let store = home.join(".local/share/containers/storage");
    configured.iter().any(|file| file.exists())
        || (store.join("vfs-images").exists() && !store.join("overlay-images").exists())
}

/// The flags before every subcommand of Podman, and a sentence for each.
#[must_use]
pub fn special_flags(machine: &Machine) -> (Vec<String>, Vec<String>) {
    let mut flags = Vec::new();
    let mut notes = Vec::new();
    let mut add = |flag: &[&str], note: &str| {
        flags.extend(flag.iter().map(|&part| part.to_owned()));
        notes.push(note.to_owned());
    };
    if !machine.cgroup2 && machine.crun {
        if machine.runc {
            add(
                &["--runtime", "runc"],
                "this machine uses control groups version 1, which crun refuses: runc is used",
            );
        } else {
            add(&[], "this machine uses control groups version 1, which crun refuses: install runc");
        }
    }
    if !machine.systemd {
        add(
            &["--cgroup-manager", "cgroupfs"],
            "systemd is not in charge here: Podman makes control groups itself",
        );
    }
    if !machine.journal {
        add(&["--events-backend", "file"], "there is no journal: Podman keeps its events in a file");
    }
    if !machine.root && !machine.storage_chosen {
        // Left alone, some versions choose a copy of the whole image for each container.
        add(&["--storage-driver", "overlay"], "no storage is configured: overlay is used");
    }
    (flags, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Machine = Machine {
        root: true,
        cgroup2: true,
        crun: true,
        runc: false,
        systemd: true,
        journal: true,
        storage_chosen: false,
    };

    #[test]
    fn an_ordinary_machine_needs_nothing() {
        assert_eq!(special_flags(&ORDINARY), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_machine_without_cgroup_2_systemd_and_journal_is_served_all_the_same() {
        let machine = Machine { cgroup2: false, runc: true, systemd: false, journal: false, ..ORDINARY };
        let (flags, notes) = special_flags(&machine);
        let wanted = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file"];
        assert_eq!(flags, wanted);
        assert_eq!(notes.len(), 3);
    }

    #[test]
    fn a_runtime_that_is_not_installed_is_advised_not_used() {
        let (flags, notes) = special_flags(&Machine { cgroup2: false, ..ORDINARY });
        assert_eq!(flags, Vec::<String>::new());
        assert!(notes[0].contains("install runc"), "{notes:?}");
    }

    #[test]
    fn storage_is_chosen_only_for_a_user_who_has_not_chosen() {
        let (flags, _) = special_flags(&Machine { root: false, ..ORDINARY });
        assert_eq!(flags, ["--storage-driver", "overlay"]);
        let (flags, _) = special_flags(&Machine { root: false, storage_chosen: true, ..ORDINARY });
        assert_eq!(flags, Vec::<String>::new());
    }
}

//! What the kernel says of a container's first process. Read on the host: nothing inside can change what it says.

use std::fs;
use std::path::Path;

use crate::model::container::inside;
use crate::model::isolation::Isolation;

/// The machine's own namespaces are shared with nobody.
const NAMESPACES: [&str; 5] = ["ipc", "mnt", "net", "pid", "uts"];
/// Hidden, or not there at all.
const HIDDEN: [&str; 7] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/timer_list",
    "/sys/firmware",
];
/// Read-only.
const READ_ONLY: [&str; 3] = ["/proc/sys", "/proc/sysrq-trigger", "/sys"];
/// Where engines listen.
const SOCKETS: [&str; 4] =
    ["/run/podman/podman.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock"];
/// Where an agent can write.
const WRITABLE: [&str; 5] = [inside::WORKSPACE, inside::HOME, inside::LINK, inside::PRIVATE, "/tmp"];

/// None when there is no such process, or we may not look.
pub(super) fn look(pid: u32) -> Option<Isolation> {
    let place = Path::new("/proc").join(pid.to_string());
    let read = |name: &str| fs::read_to_string(place.join(name)).ok();
    let mounts = mounts(&read("mountinfo")?);
    let shared = |name: &&str| {
        let of = |place: &Path| fs::read_link(place.join("ns").join(name)).ok();
        of(&place).is_none_or(|theirs| Some(theirs) == of(Path::new("/proc/self")))
    };
    let root = place.join("root");
    let is_there = |path: &&str| root.join(path.trim_start_matches('/')).symlink_metadata().is_ok();
    let mut found = Isolation {
        read_only_root: mounts.iter().any(|mount| mount.at == "/" && mount.has("ro")),
        own_users: !is_identity(&read("uid_map")?),
        interfaces: interfaces(&read("net/dev")?),
        shared: NAMESPACES.into_iter().filter(shared).map(str::to_owned).collect(),
        loose_mounts: loose(&mounts),
        unmasked: unmasked(&mounts, |path| is_there(&path)),
        engine_sockets: SOCKETS.into_iter().filter(is_there).map(str::to_owned).collect(),
        ..Isolation::default()
    };
    status(&read("status")?, &mut found)?;
    Some(found)
}

fn status(text: &str, found: &mut Isolation) -> Option<()> {
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        found.capabilities |= u64::from_str_radix(value(set)?, 16).ok()?;
    }
    found.no_new_privileges = value("NoNewPrivs")? == "1";
    found.filtered = value("Seccomp")? == "2";
    // Real, effective, saved and of the file system: the effective one.
    found.host_user = value("Uid")?.split_whitespace().nth(1)?.parse().ok()?;
    Some(())
}

/// A user is the same one outside, as far as there are any.
fn is_identity(map: &str) -> bool {
    let mut lines = map.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.all(|line| matches!(line.as_slice(), [inside, outside, _] if inside == outside))
}

fn interfaces(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

struct Mounted {
    at: String,
    options: Vec<String>,
}

impl Mounted {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|known| known == option)
    }
}

/// The lines of `mountinfo`; of two at one place the last counts.
fn mounts(text: &str) -> Vec<Mounted> {
    let mut mounts: Vec<Mounted> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(at), Some(options)) = (fields.get(4), fields.get(5)) else { continue };
        mounts.retain(|mount| mount.at != *at);
        let options = options.split(',').map(str::to_owned).collect();
        mounts.push(Mounted { at: (*at).to_owned(), options });
    }
    mounts
}

fn loose(mounts: &[Mounted]) -> Vec<String> {
    let is_loose = |at: &&str| {
        // What is no mount of its own is part of the read-only system.
        mounts.iter().any(|mount| mount.at == *at && !(mount.has("nosuid") && mount.has("nodev")))
    };
    WRITABLE.into_iter().filter(is_loose).map(str::to_owned).collect()
}

fn unmasked(mounts: &[Mounted], is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let covered = |path: &str| mounts.iter().find(|mount| mount.at == path);
    let open = HIDDEN.into_iter().filter(|path| is_there(path) && covered(path).is_none());
    let writable = READ_ONLY
        .into_iter()
        .filter(|path| is_there(path) && !covered(path).is_some_and(|mount| mount.has("ro")));
    open.chain(writable).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcatatonit\nUid:\t1001\t1001\t1001\t1001\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn the_kernels_words_are_understood() {
        let mut found = Isolation::default();
        status(STATUS, &mut found).expect("whole");
        assert_eq!((found.host_user, found.capabilities), (1001, 0));
        assert!(found.no_new_privileges && found.filtered);
        let mut found = Isolation::default();
        let text = STATUS
            .replace("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb")
            .replace("Seccomp:\t2", "Seccomp:\t0");
        status(&text, &mut found).expect("whole");
        assert_eq!((found.capabilities, found.filtered), (0xa804_25fb, false));
        assert_eq!(status("Name:\tx\n", &mut found), None);
    }

    #[test]
    fn who_is_another_user_outside_has_users_of_his_own() {
        assert!(is_identity("         0          0 4294967295\n"));
        assert!(!is_identity("         0          1       1000\n      1000          0          1\n"));
    }

    #[test]
    fn loopback_alone_is_no_network() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
        assert_eq!(interfaces(text), ["lo", "eth0"]);
    }

    #[test]
    fn mounts_that_are_loose_or_open_are_named() {
        let text = "1 0 0:1 / / ro,relatime - overlay overlay rw\n\
            2 1 8:1 /p /workspace rw,nosuid,nodev - ext4 /dev/sda rw\n\
            3 1 8:1 /h /home/agent rw,nosuid - ext4 /dev/sda rw\n\
            4 1 0:3 / /proc rw,nosuid - proc proc rw\n\
            5 4 0:3 /sys /proc/sys ro,nosuid - proc proc rw\n\
            6 4 0:4 / /proc/kcore rw,nosuid - tmpfs tmpfs rw\n\
            7 1 0:5 / /sys rw,nosuid - sysfs sysfs rw\n";
        let mounts = mounts(text);
        assert_eq!(loose(&mounts), ["/home/agent"]);
        let there = ["/proc/kcore", "/proc/keys", "/proc/sys", "/sys"];
        assert_eq!(unmasked(&mounts, |path| there.contains(&path)), ["/proc/keys", "/sys"]);
    }

    #[test]
    fn a_process_of_this_machine_shares_everything() {
        let found = look(std::process::id()).expect("we may look at ourselves");
        assert_eq!(found.shared, NAMESPACES);
    }
}

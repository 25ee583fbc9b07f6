//! What the kernel says of a container's first process. Read on the host: nothing inside can change what it says.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::blocks::BLOCK;
use super::handle::{self, unescaped};
use super::users::Users;
use crate::model::container::{Mount, inside};
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

/// In /dev of every container. What is a folder or a link there is none of the machine's.
const DEVICES: [&str; 7] = ["console", "full", "null", "random", "tty", "urandom", "zero"];

/// What the engine was told, and the kernel is to confirm.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    /// Users of the container's own.
    pub(super) users: Option<Users>,
    /// What it sees of this machine.
    pub(super) mounts: Vec<Mount>,
    /// The folder of frames: ours.
    pub(super) frames: PathBuf,
}

/// None when there is no such process, or we may not look. What cannot be seen is never taken for what is not there.
pub(super) fn look(pid: u32, agreed: &Agreed) -> Option<Isolation> {
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
        devices: devices(&root.join("dev")).ok()?,
        differs: differences(agreed, &mounts, [&read("uid_map")?, &read("gid_map")?])
            .into_iter()
            .chain(others(agreed, &root))
            .collect(),
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

/// Those of the machine that are shown besides the usual ones.
fn devices(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (kind.is_char_device() || kind.is_block_device()) && !DEVICES.contains(&name.as_str()) {
            found.push(format!("/dev/{name}"));
        }
    }
    Ok(found)
}

/// What it sees that is another file or folder than the one that is at that path now. Who can write in a folder around it
/// can put a link in its place, or another folder, while the engine mounts it; the engine follows.
fn others(agreed: &Agreed, root: &Path) -> Vec<String> {
    let of = |wanted: &Mount| {
        let there = handle::open(Path::new(&wanted.source), &agreed.frames);
        let there = match there.and_then(|open| handle::identity(&open)) {
            Ok(there) => there,
            Err(error) => return Some(format!("{} cannot be compared: {error}", wanted.source)),
        };
        let inside = handle::open_here(&root.join(wanted.target.trim_start_matches('/')));
        match inside.and_then(|open| handle::identity(&open)) {
            Ok(inside) if inside == there => None,
            Ok(_) => Some(format!("{} shows something else than {}", wanted.target, wanted.source)),
            Err(error) => Some(format!("what {} shows cannot be seen: {error}", wanted.target)),
        }
    };
    agreed.mounts.iter().filter_map(of).collect()
}

/// What was agreed with the engine and is not so.
fn differences(agreed: &Agreed, mounts: &[Mounted], maps: [&str; 2]) -> Vec<String> {
    let mut all = Vec::new();
    for wanted in &agreed.mounts {
        match mounts.iter().find(|mount| mount.at == wanted.target) {
            None => all.push(format!("{} is not mounted at {}", wanted.source, wanted.target)),
            Some(mount) if wanted.read_only && !mount.has("ro") => {
                all.push(format!("{} can be written to", wanted.target));
            }
            Some(mount) if agreed.users.is_some() && !mount.has("idmapped") => {
                all.push(format!("the owners of {} are those outside", wanted.target));
            }
            Some(_) => {}
        }
    }
    if let Some(users) = &agreed.users {
        let block = ["0".to_owned(), users.first.to_string(), BLOCK.to_string()];
        if maps.iter().any(|map| map.split_whitespace().ne(block.iter().map(String::as_str))) {
            all.push("its users are not those that were set aside for it".to_owned());
        }
    }
    all
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
        mounts.retain(|mount| mount.at != unescaped(at));
        let options = options.split(',').map(str::to_owned).collect();
        mounts.push(Mounted { at: unescaped(at), options });
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
    fn what_the_engine_was_told_and_did_not_do_is_named() {
        let text = "2 1 8:1 /p /workspace rw,nosuid,nodev,idmapped - ext4 /dev/sda rw\n\
            3 1 8:1 /a /git/a\\040b rw,nosuid,idmapped - ext4 /dev/sda rw\n\
            4 1 8:1 /s /start ro,nosuid - ext4 /dev/sda rw\n";
        let mounts = mounts(text);
        let wanted = [
            Mount::new(Path::new("/p"), "/workspace", false),
            Mount::new(Path::new("/a b"), "/git/a b", true),
            Mount::new(Path::new("/s"), "/start", true),
            Mount::new(Path::new("/x"), "/gone", true),
        ];
        let map = "         0     655360      65536\n";
        let mut agreed = Agreed { mounts: wanted.to_vec(), ..Agreed::default() };
        let without = differences(&agreed, &mounts, [map, map]);
        assert_eq!(without, ["/git/a b can be written to", "/x is not mounted at /gone"]);

        agreed.users = Some(Users::new(655_360, (1, 1), &wanted, Path::new("/places")));
        let with = differences(&agreed, &mounts, [map, map]);
        assert_eq!(with[1], "the owners of /start are those outside");
        assert_eq!(with.len(), 3, "{with:?}");
        let with = differences(&agreed, &mounts, [map, "0 0 4294967295\n"]);
        assert_eq!(
            with.last().map(String::as_str),
            Some("its users are not those that were set aside for it")
        );
    }

    #[test]
    fn a_folder_that_was_exchanged_while_it_was_mounted_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(home.path()).expect("a real path");
        for folder in ["project", "secret"] {
            fs::create_dir(root.join(folder)).expect("made");
        }
        // Seen from a container whose root is the machine's: what is at a place is what is at that path.
        let mount = |source: &str, target: &str| {
            Mount::new(&root.join(source), &root.join(target).display().to_string(), false)
        };
        let found = |mounts: &[Mount]| {
            let agreed = Agreed { mounts: mounts.to_vec(), frames: root.clone(), ..Agreed::default() };
            others(&agreed, Path::new("/"))
        };
        assert_eq!(found(&[mount("project", "project")]), [""; 0]);
        // Where nobody can tell one folder of a file system from another, another file system's is told all the same.
        let foreign = found(&[Mount::new(&root.join("project"), "/proc/sys", false)]);
        assert!(foreign[0].contains("/proc/sys shows something else than"), "{foreign:?}");
        let told = handle::open(&root, &root).and_then(|open| handle::identity(&open)).expect("told");
        if told.1.is_none() {
            return;
        }
        let exchanged = found(&[mount("project", "secret")]);
        assert!(exchanged[0].contains("secret shows something else than"), "{exchanged:?}");
        let unseen = found(&[mount("project", "nowhere")]);
        assert!(unseen[0].contains("cannot be seen"), "{unseen:?}");
        std::os::unix::fs::symlink(root.join("secret"), root.join("link")).expect("a link");
        let followed = found(&[mount("link", "secret")]);
        assert!(followed[0].contains("is a link by now"), "{followed:?}");
    }

    #[test]
    fn a_process_of_this_machine_shares_everything() {
        let found = look(std::process::id(), &Agreed::default()).expect("we may look at ourselves");
        assert_eq!(found.shared, NAMESPACES);
    }
}

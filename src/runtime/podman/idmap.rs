//! Folders of this machine as another user's: mounts whose owners the kernel translates (Linux 5.12 and later).
//!
//! A mount is cloned without a place, told whose numbers stand for whose, and only then put where an engine finds it.
//! The file system has to take part; one that does not answers EINVAL, and nothing was mounted.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use super::handle::{self, unescaped};

/// Numbers that stand for others: from which, from which others, how many.
pub(super) type Range = (u32, u32, u32);

/// From `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const MS_PRIVATE: u64 = 1 << 18;
/// From `linux/fcntl.h`.
const AT_EMPTY_PATH: libc::c_uint = 0x1000;
const AT_RECURSIVE: libc::c_uint = 0x8000;
/// How many mounts may lie on one place; more were not made by us.
const MOST_LAYERS: usize = 64;
/// How many mounts a sentence names.
const MOST_NAMED: usize = 3;

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Whose numbers stand for whose. The kernel takes them as a user namespace, and a namespace needs a process.
pub(super) struct Owners {
    namespace: OwnedFd,
}

impl Owners {
    /// From the numbers on the disk to those that are seen.
    ///
    /// # Errors
    /// [`NotShown::Cannot`] when this machine allows no user namespaces, or not these numbers.
    pub(super) fn new(users: &[Range], groups: &[Range]) -> Result<Self, NotShown> {
        let mut holder = Holder::start()?;
        let process = Path::new("/proc").join(holder.child.id().to_string());
        for (file, ranges) in [("uid_map", users), ("gid_map", groups)] {
            fs::write(process.join(file), lines(ranges)).map_err(|error| match is_refusal(&error) {
                true => NotShown::Cannot(format!("this machine gives away no numbers ({error})")),
                false => NotShown::Failed(error),
            })?;
        }
        let namespace = File::open(process.join("ns/user"))?.into();
        holder.end();
        Ok(Self { namespace })
    }

    /// A mount of that folder or file, with what is mounted below it. It has no place yet and is gone when it is dropped.
    /// No link is followed to it; `trusted` is as in [`handle::open`].
    ///
    /// # Errors
    /// [`NotShown::Cannot`] where the file system, or one that is mounted below it, takes no part.
    pub(super) fn clone_of(&self, source: &Path, trusted: &Path) -> Result<Tree, NotShown> {
        let named = |error: io::Error| {
            NotShown::Failed(io::Error::new(error.kind(), format!("{}: {error}", source.display())))
        };
        let place = handle::open(source, trusted).map_err(named)?;
        let is_folder = handle::is_folder(&place).map_err(named)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = open_tree(&place, "", flags).map_err(|error| named(error.into()))?;
        let attributes = MountAttr {
            set: MOUNT_ATTR_IDMAP,
            clear: 0,
            propagation: MS_PRIVATE,
            userns: u64::from(self.namespace.as_raw_fd().unsigned_abs()),
        };
        match set_attributes(&mount, &attributes) {
            Ok(()) => Ok(Tree { mount, is_folder }),
            Err(error) if is_refusal(&error) => Err(NotShown::Cannot(cannot(source, &error))),
            Err(error) => Err(named(error)),
        }
    }
}

/// A mount without a place.
#[derive(Debug)]
pub(super) struct Tree {
    mount: OwnedFd,
    pub(super) is_folder: bool,
}

/// Why something is not shown with its owners translated.
#[derive(Debug)]
pub(super) enum NotShown {
    /// This machine, or a file system, cannot, and will not the next time: why.
    Cannot(String),
    /// It may work the next time.
    Failed(io::Error),
}

impl From<io::Error> for NotShown {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// What a kernel says that cannot, of a file system that takes no part or a mount that is translated already.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS];
    error.raw_os_error().is_some_and(|code| refusals.iter().any(|errno| errno.raw_os_error() == code))
}

/// With what is mounted in it, because that is what most often cannot, and what can be helped.
fn cannot(source: &Path, error: &io::Error) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let inside = mounted_in(source, &mounts);
    let name = source.display();
    match inside.is_empty() {
        true => format!("the file system of {name} cannot show its files as another's ({error})"),
        false => format!(
            "{name}, or what is mounted in it ({}), cannot be shown as another's files ({error}); `umount` the latter",
            inside.join(", ")
        ),
    }
}

/// What is mounted below a folder, and of which kind.
fn mounted_in(folder: &Path, mountinfo: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let place = unescaped(left.split_whitespace().nth(4)?);
        let is_inside = Path::new(&place).starts_with(folder) && Path::new(&place) != folder;
        is_inside.then(|| format!("{place}: {}", right.split_whitespace().next().unwrap_or("?")))
    };
    let mut found: Vec<String> = mountinfo.lines().filter_map(of_line).collect();
    let more = found.len().saturating_sub(MOST_NAMED);
    found.truncate(MOST_NAMED);
    found.extend((more > 0).then(|| format!("and {more} more")));
    found
}

/// A process in a user namespace of its own that waits until nobody needs it.
struct Holder {
    child: Child,
}

impl Holder {
    fn start() -> Result<Self, NotShown> {
        let child = Command::new("unshare")
            .args(["--user", "cat"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => NotShown::Cannot("there is no program `unshare`".to_owned()),
                _ => NotShown::Failed(error),
            })?;
        let mut holder = Self { child };
        // What comes back shows that it is in there.
        let mut answer = [0];
        if let (Some(to), Some(from)) = (&mut holder.child.stdin, &mut holder.child.stdout) {
            // It has ended: `unshare` was refused.
            let refused = |_| {
                NotShown::Cannot("this machine allows root no user namespaces (`unshare --user`)".to_owned())
            };
            to.write_all(b"\n").map_err(refused)?;
            from.read_exact(&mut answer).map_err(refused)?;
        }
        Ok(holder)
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

fn lines(ranges: &[Range]) -> String {
    ranges.iter().map(|(from, to, count)| format!("{from} {to} {count}\n")).collect()
}

#[expect(unsafe_code, reason = "no library that we have knows this call")]
fn set_attributes(tree: &OwnedFd, attributes: &MountAttr) -> io::Result<()> {
    // SAFETY: both pointers are valid for the length of the call, which keeps neither, and the size is that of what
    // the second one points to.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            AT_EMPTY_PATH | AT_RECURSIVE,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes an empty folder, or an empty file, where something is to be seen. What is mounted there goes first.
pub(super) fn make_place(is_folder: bool, place: &Path) -> io::Result<()> {
    clear_place(place)?;
    match fs::symlink_metadata(place) {
        Ok(there) if there.is_dir() == is_folder && !there.is_symlink() => return Ok(()),
        Ok(there) if there.is_dir() => fs::remove_dir(place)?,
        Ok(_) => fs::remove_file(place)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true).mode(0o700);
    if is_folder {
        folders.create(place)
    } else {
        if let Some(parent) = place.parent() {
            folders.create(parent)?;
        }
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place).map(drop)
    }
}

/// Puts a mount at a place that was made for it.
pub(super) fn put(tree: &Tree, place: &Path) -> io::Result<()> {
    Ok(move_mount(tree.mount.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes away whatever is mounted at a place. Those who have mounted it elsewhere keep it.
pub(super) fn clear_place(place: &Path) -> io::Result<()> {
    for _ in 0..MOST_LAYERS {
        match unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there, or nothing is there at all.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(format!("something mounts itself at {} again and again", place.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, chown};

    use super::*;

    /// Whether this machine lets us; the real engine's tests say it when it does not.
    fn owners(users: &[Range]) -> Option<Owners> {
        if !rustix::process::getuid().is_root() {
            return None;
        }
        Owners::new(users, users).ok()
    }

    #[test]
    fn a_map_is_written_as_the_kernel_reads_it() {
        assert_eq!(lines(&[(0, 100, 1), (5, 205, 10)]), "0 100 1\n5 205 10\n");
    }

    #[test]
    fn files_are_seen_as_anothers_and_stay_whose_they_were() {
        let Some(owners) = owners(&[(4321, 700_000, 1), (1, 700_001, 1)]) else { return };
        let home = tempfile::tempdir().expect("a folder");
        let (source, place) = (home.path().join("source"), home.path().join("places/0"));
        fs::create_dir(&source).expect("made");
        fs::write(source.join("file"), "x").expect("written");
        for path in [source.clone(), source.join("file")] {
            chown(path, Some(4321), Some(4321)).expect("given away");
        }
        let Ok(tree) = owners.clone_of(&source, home.path()) else { return };
        make_place(tree.is_folder, &place).expect("a place");
        put(&tree, &place).expect("mounted");
        let seen = fs::metadata(place.join("file")).expect("there");
        assert_eq!((seen.uid(), seen.gid()), (700_000, 700_000));
        // What has no number of its own here is made by nobody.
        assert_eq!(fs::write(place.join("roots"), "x").expect_err("refused").raw_os_error(), Some(75));

        make_place(true, &place).expect("cleared and made again");
        assert_eq!(fs::read_dir(&place).expect("empty").count(), 0);
        clear_place(&place).expect("nothing to do");
        let kept = fs::metadata(source.join("file")).expect("kept");
        assert_eq!((kept.uid(), kept.gid()), (4321, 4321));
    }

    #[test]
    fn a_place_is_what_its_source_is() {
        let home = tempfile::tempdir().expect("a folder");
        let place = home.path().join("places/1");
        // Without root there is nothing to clear, and the kernel says so before it looks.
        if !rustix::process::getuid().is_root() {
            return;
        }
        for is_folder in [true, false, false, true] {
            make_place(is_folder, &place).expect("made");
            assert_eq!(place.is_dir(), is_folder);
        }
    }

    #[test]
    fn what_is_mounted_in_a_folder_is_named() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
            2 1 0:9 / /p/a\\040b rw - fuse.sshfs me@host: rw\n\
            3 1 0:9 / /p rw - nfs4 host:/p rw\n4 1 0:9 / /pq rw - tmpfs x rw\n";
        assert_eq!(mounted_in(Path::new("/p"), text), ["/p/a b: fuse.sshfs"]);
        let many: String = (0..5).map(|n| format!("1 0 8:1 / /q/{n} rw - tmpfs x rw\n")).collect();
        assert_eq!(mounted_in(Path::new("/q"), &many).last().map(String::as_str), Some("and 2 more"));
    }

    #[test]
    fn a_file_system_that_takes_no_part_is_told_from_trouble_that_passes() {
        let Some(owners) = owners(&[(0, 700_000, 1)]) else { return };
        let kernels = owners.clone_of(Path::new("/proc/sys/kernel"), Path::new("/nowhere"));
        assert!(
            matches!(&kernels, Err(NotShown::Cannot(why)) if why.contains("/proc/sys/kernel")),
            "{kernels:?}"
        );
        let missing = owners.clone_of(Path::new("/no/such/folder"), Path::new("/nowhere"));
        assert!(matches!(missing, Err(NotShown::Failed(_))), "{missing:?}");
        let home = tempfile::tempdir().expect("a folder");
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).expect("a link");
        let followed = owners.clone_of(&link, Path::new("/nowhere"));
        assert!(matches!(followed, Err(NotShown::Failed(_))), "{followed:?}");
    }
}

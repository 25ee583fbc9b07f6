//! Folders and files of this machine by what they are instead of by their path.
//!
//! A path is a question that whoever may write in one of its folders can answer differently each time: between a look at
//! a project and its mount, another frame that works in the folder around it can put a link there. So a path is opened
//! once, without following a link anywhere on the way, and what was opened is what is mounted and compared.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2};
use rustix::io::Errno;

/// What stays the same of a file or folder that is renamed: the file system, and its number there where it keeps one.
pub(super) type Identity = (u64, Option<u64>);

/// File systems of programs: the same folder may have another number the next time. The file system is the same one.
const FUSE: u64 = 0x6573_5546;
/// How often the kernel is asked again when somebody renames folders meanwhile.
const TRIES: u32 = 16;

const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens an absolute path as a mere place, without a link on the way. `trusted` is a folder of ours: how it is reached
/// is our own affair, and what is below it is treated as everything else.
///
/// # Errors
/// Whatever the operating system says.
pub(super) fn open(path: &Path, trusted: &Path) -> io::Result<OwnedFd> {
    let below = |from: &Path, rest: &Path| {
        let from = openat(CWD, from, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        beneath(&from, if rest.as_os_str().is_empty() { Path::new(".") } else { rest })
    };
    let opened = match (path.strip_prefix(trusted), path.strip_prefix("/")) {
        (Ok(rest), _) => below(trusted, rest),
        (Err(_), Ok(rest)) => below(Path::new("/"), rest),
        _ => Err(Errno::INVAL),
    };
    let opened = match opened {
        // An old kernel, or a sandbox around the gateway that does not know the call: two looks in the place of one.
        Err(Errno::NOSYS | Errno::PERM) if fs::canonicalize(path)? == path => {
            openat(CWD, path, PLACE, Mode::empty()).and_then(|open| match kind(&open)? {
                FileType::Symlink => Err(Errno::LOOP),
                _ => Ok(open),
            })
        }
        opened => opened,
    };
    match opened {
        Err(Errno::LOOP) => Err(io::Error::other("it, or a folder on the way to it, is a link by now")),
        opened => Ok(opened?),
    }
}

fn beneath(folder: &OwnedFd, rest: &Path) -> Result<OwnedFd, Errno> {
    // With NOFOLLOW besides, a link at the end would be opened as itself.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..TRIES {
        match openat2(folder, rest, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            opened => return opened,
        }
    }
    openat2(folder, rest, flags, Mode::empty(), resolve)
}

/// What a path leads to right now, last link not followed; for paths that nobody but the kernel gives.
pub(super) fn open_here(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, PLACE, Mode::empty())?)
}

/// Which file or folder that is, as far as this can be told.
pub(super) fn identity(open: &OwnedFd) -> io::Result<Identity> {
    let system = u64::try_from(fstatfs(open)?.f_type).ok();
    let found = fstat(open)?;
    Ok((found.st_dev, (system != Some(FUSE)).then_some(found.st_ino)))
}

pub(super) fn is_folder(open: &OwnedFd) -> io::Result<bool> {
    Ok(kind(open)? == FileType::Directory)
}

fn kind(open: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(open)?.st_mode))
}

/// A path as `mountinfo` writes it: four characters as a backslash and their number.
pub(super) fn unescaped(path: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.into_iter().fold(path.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_anywhere_on_the_way_is_not_followed() {
        let home = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(home.path()).expect("a real path");
        fs::create_dir_all(root.join("around/project/deep")).expect("made");
        fs::create_dir_all(root.join("secret/project/deep")).expect("made");
        let elsewhere = root.join("nowhere");
        let project = root.join("around/project");
        let (_, number) = identity(&open(&project, &elsewhere).expect("opened")).expect("told");
        assert!(number.is_none_or(|inode| inode > 0));

        // The folder itself, and one around it.
        fs::rename(&project, root.join("around/kept")).expect("moved");
        symlink(root.join("secret/project"), &project).expect("a link");
        for path in [project.clone(), project.join("deep")] {
            let refused = open(&path, &elsewhere).expect_err("refused").to_string();
            assert!(refused.contains("is a link by now"), "{refused}");
        }
        fs::remove_file(&project).expect("removed");
        fs::rename(root.join("around/kept"), &project).expect("moved back");
        fs::rename(root.join("around"), root.join("kept")).expect("moved");
        symlink(root.join("secret"), root.join("around")).expect("a link");
        assert!(open(&project, &elsewhere).is_err());
        // What is trusted may be reached by a link, and what is below it may hold none.
        let trusted = root.join("around");
        assert!(is_folder(&open(&project, &trusted).expect("below a folder of ours")).expect("told"));
        symlink("/etc", root.join("secret/link")).expect("a link");
        assert!(open(&trusted.join("link"), &trusted).is_err());
        assert!(open(&trusted.join("../kept"), &trusted).is_err(), "it does not lead out");
        assert!(open(Path::new("relative"), &elsewhere).is_err());
    }

    #[test]
    fn a_folder_made_anew_is_another() {
        let home = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(home.path()).expect("a real path");
        let of = |name: &str| identity(&open(&root.join(name), &root).expect("opened")).expect("told");
        fs::create_dir(root.join("one")).expect("made");
        fs::create_dir(root.join("other")).expect("made");
        let one = of("one");
        fs::rename(root.join("one"), root.join("moved")).expect("moved");
        assert_eq!(of("moved"), one);
        assert!(one.1.is_none() || of("other") != one);
        // Of another file system it is told everywhere.
        let kernels = identity(&open(Path::new("/proc"), &root).expect("opened")).expect("told");
        assert_ne!(kernels.0, one.0);
    }
}

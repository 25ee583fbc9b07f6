//! mimir's home, as files: what in it is ours, and removing that.
//!
//! Only what mimir makes is taken: somebody may have put something of their own there, or named a folder as MIMIR_HOME
//! that is none. No link is followed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::frames::{remove_tree, size_of};
use crate::model::ids::FrameId;

/// Files in a home, by how their names begin. The last one goes last: by these a home is known that was half removed.
const FILES: &[&str] = &[
    ".doctor",
    "known_gateways",
    "gateway.err",
    "gateway.log",
    "gateway.token",
    "config.yaml",
    "mimir.salt",
    "db.salt",
    "mimir.db",
    "db.key",
    "gateway.lock",
];
/// Folders in a home that are ours with everything in them.
const FOLDERS: &[&str] = &["backups", "tls"];
/// By one of these a folder is known as a home.
const MARKS: &[&str] = &["mimir.db", "db.key", "gateway.lock", "gateway.token"];
/// Where the folders of frames are.
const FRAMES: &str = "frames";

/// Whether the folder is a home of mimir's, has nothing in it, or is not there.
pub(super) fn is_home(home: &Path) -> bool {
    match fs::read_dir(home) {
        Ok(mut entries) => entries.next().is_none() || MARKS.iter().any(|mark| home.join(mark).is_file()),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The folders of frames in a home.
pub(super) fn frames(home: &Path) -> Vec<PathBuf> {
    let is_frame = |path: &PathBuf| {
        path.file_name().is_some_and(|name| FrameId::parse(&name.to_string_lossy()).is_ok())
            && is_folder(path)
    };
    entries(&home.join(FRAMES)).into_iter().filter(is_frame).collect()
}

/// What of a home is ours, without the folders of frames, in the order in which it goes.
pub(super) fn ours(home: &Path) -> Vec<PathBuf> {
    let all = entries(home);
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut ours: Vec<PathBuf> =
        all.iter().filter(|path| FOLDERS.contains(&name(path).as_str())).cloned().collect();
    for begin in FILES {
        let is_it = |path: &&PathBuf| {
            let name = name(path);
            let rest = name.strip_prefix(begin);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])) && !is_folder(path)
        };
        ours.extend(all.iter().filter(is_it).cloned());
    }
    ours
}

/// What is in a home and not ours.
pub(super) fn strangers(home: &Path) -> Vec<PathBuf> {
    let (ours, frames) = (ours(home), frames(home));
    let of_frames = entries(&home.join(FRAMES)).into_iter().filter(|path| !frames.contains(path));
    let of_home = entries(home).into_iter().filter(|path| !ours.contains(path) && !path.ends_with(FRAMES));
    of_home.chain(of_frames).collect()
}

/// Bytes of what [`ours`] found.
pub(super) fn size(home: &Path) -> u64 {
    ours(home).iter().map(|path| size_at(path)).sum()
}

/// Removes what is ours, and the folder when nothing else is in it.
pub(super) fn remove_home(home: &Path) -> io::Result<()> {
    empty_is_gone(&home.join(FRAMES))?;
    ours(home).iter().try_for_each(|path| remove(path))?;
    empty_is_gone(home)
}

/// Removes a folder with everything in it, a file, or a link; one that is gone is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => remove_tree(path),
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Removes a folder if nothing is in it. A link is left alone, like everything that it leads to.
pub(super) fn empty_is_gone(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
                Ok(())
            }
            _ => Err(error),
        },
        Ok(()) => Ok(()),
    }
}

/// Bytes of a file, or of everything in a folder.
pub(super) fn size_at(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => size_of(path),
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

pub(super) fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// What is in a folder; nothing when it is a link, or cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    if !is_folder(folder) {
        return Vec::new();
    }
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = read.map(|entry| entry.path()).collect();
    found.sort();
    found
}

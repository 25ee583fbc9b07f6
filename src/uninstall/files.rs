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
    "images.made",
    "known_gateways",
    "gateway.err",
    "gateway.log",
    "gateway.token",
    "config.edit.yaml",
    "audit.heads",
    "audit.key",
    "mimir.salt",
    "db.salt",
    "mimir.db",
    "db.key",
    "gateway.lock",
];
/// Folders in a home in which mimir writes, and somebody else may have before.
const FOLDERS: &[&str] = &["backups", "tls", "git", "workflows"];
/// What `mimir init` writes into `workflows`; as soon as it says something else it is somebody's own.
const EXAMPLE: &str = include_str!("../../config/examples/workflow.yaml");
/// By one of these a folder is known as a home.
const MARKS: &[&str] = &["mimir.db", "gateway.lock", "gateway.token"];
/// Where the folders of frames are.
const FRAMES: &str = "frames";

/// Whether the folder is a home of mimir's, has nothing in it, or is not there.
pub(super) fn is_home(home: &Path) -> bool {
    match fs::read_dir(home) {
        Ok(mut entries) => entries.next().is_none() || has_mark(home),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whether somebody uses the folder as a home.
pub(super) fn has_mark(home: &Path) -> bool {
    MARKS.iter().any(|mark| home.join(mark).is_file())
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
    let mut ours: Vec<PathBuf> = Vec::new();
    for folder in FOLDERS.iter().map(|folder| home.join(folder)) {
        ours.extend(entries(&folder).into_iter().filter(|path| is_made(path)));
    }
    // One that leads elsewhere goes as a link.
    ours.extend(
        all.iter().filter(|path| FOLDERS.contains(&name(path).as_str()) && !is_folder(path)).cloned(),
    );
    let is_settings = |name: &str| {
        let rest = name.strip_prefix("config.yaml");
        rest.is_some_and(|rest| rest.is_empty() || rest == ".new" || rest.starts_with(".before-"))
    };
    ours.extend(all.iter().filter(|path| is_settings(&name(path)) && !is_folder(path)).cloned());
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

/// A copy of the database, a certificate of ours with its key, repositories as forges have them and what was pushed, the
/// example of a workflow.
fn is_made(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_in = |folder: &str| path.parent().is_some_and(|parent| parent.ends_with(folder));
    if is_folder(path) {
        return is_in("git") && matches!(name.as_str(), "mirrors" | "pushes" | "home");
    }
    if is_in("tls") {
        return matches!(name.as_str(), "certificate.pem" | "key.pem");
    }
    if is_in("workflows") {
        return name == "changes.yaml" && fs::read_to_string(path).is_ok_and(|text| text == EXAMPLE);
    }
    let copy = name.trim_end_matches(".part").strip_suffix(".db").filter(|_| is_in("backups"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit());
    copy.and_then(|name| name.split_once("-schema-"))
        .is_some_and(|(at, schema)| is_number(at) && is_number(schema))
}

/// What is in a home and not ours.
pub(super) fn strangers(home: &Path) -> Vec<PathBuf> {
    let (ours, frames) = (ours(home), frames(home));
    let of_frames = entries(&home.join(FRAMES)).into_iter().filter(|path| !frames.contains(path));
    let is_shared = |path: &Path| FOLDERS.iter().any(|name| path.ends_with(name) && is_folder(path));
    let of_folders = FOLDERS.iter().flat_map(|folder| entries(&home.join(folder)));
    let of_home = entries(home).into_iter().filter(|path| !path.ends_with(FRAMES) && !is_shared(path));
    of_home.chain(of_folders).filter(|path| !ours.contains(path)).chain(of_frames).collect()
}

/// Bytes of what [`ours`] found.
pub(super) fn size(home: &Path) -> u64 {
    ours(home).iter().map(|path| size_at(path)).sum()
}

/// Removes what is ours, and the folder when nothing else is in it.
pub(super) fn remove_home(home: &Path) -> io::Result<()> {
    empty_is_gone(&home.join(FRAMES))?;
    ours(home).iter().try_for_each(|path| remove(path))?;
    FOLDERS.iter().try_for_each(|folder| empty_is_gone(&home.join(folder)))?;
    empty_is_gone(home)
}

/// Removes a folder with everything in it, a file, or a link; one that is gone is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => match mounted_below(path) {
            Some(place) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("something is mounted at {place}; unmount it first"),
            )),
            None => remove_tree(path),
        },
        Ok(_) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Where in a folder something else is mounted, which must not be emptied with it.
fn mounted_below(folder: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The fifth word; blanks in it are written as octal numbers.
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|at| at.replace("\\040", " "));
    places.into_iter().find(|at| Path::new(at).starts_with(folder))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_below_a_folder_is_seen() {
        assert!(mounted_below(Path::new("/")).is_some(), "at least /proc");
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(mounted_below(folder.path()), None);
    }

    #[test]
    fn of_shared_folders_only_what_mimir_writes_is_its_own() {
        let is_made = |path: &str| is_made(Path::new(path));
        assert!(is_made("h/backups/001764417600000-schema-10.db") && is_made("h/tls/key.pem"));
        for mine in ["h/backups/photos.db", "h/backups/a-schema-b.db", "h/backups/key.pem", "h/tls/ours.pem"]
        {
            assert!(!is_made(mine), "{mine}");
        }
    }
}

//! Space on the disks that frames write to.

use std::path::{Path, PathBuf};

use super::Frames;
use super::error::FrameError;
use crate::model::ids::FrameId;

/// Bytes that an ordinary user may still write on the disk of a path; `None` when nobody knows.
#[must_use]
pub fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    // Some file systems do not say.
    if found.f_blocks == 0 {
        return None;
    }
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// How many files may still be made on the disk of a path, when they are nearly used up: their number is limited on most
/// disks, and a file without contents takes one and no space.
#[must_use]
pub fn last_files(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    are_few(found.f_favail, found.f_files).then_some(found.f_favail)
}

/// The kind of a path's file system, and whether it holds folders to a size: project quotas, which it has to be made and mounted for.
/// None when nobody knows.
#[must_use]
pub fn project_quotas(path: &Path) -> Option<(String, bool)> {
    let device = rustix::fs::stat(path).ok()?.st_dev;
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    quotas_of(&std::fs::read_to_string("/proc/self/mountinfo").ok()?, &device)
}

/// The same for a device, as the kernel lists mounts.
fn quotas_of(mounts: &str, device: &str) -> Option<(String, bool)> {
    let is_of = |mount: &&str| mount.split(' ').nth(2) == Some(device);
    let (_, system) = mounts.lines().find(is_of)?.split_once(" - ")?;
    let mut words = system.split(' ');
    let (kind, options) = (words.next()?, words.nth(1)?);
    let counts = |option: &str| matches!(option, "prjquota" | "pquota");
    Some((kind.to_owned(), options.split(',').any(counts)))
}

/// So many are enough on any disk: a fiftieth of a large one is more than all frames make in a day.
const ENOUGH: u64 = 500_000;

/// Less than a fiftieth of all, and than what is enough. Some file systems have as many as are wanted, and say none.
fn are_few(left: u64, all: u64) -> bool {
    left < (all / 50).min(ENOUGH)
}

fn twentieth(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_blocks.saturating_mul(found.f_frsize) / 20)
}

impl Frames {
    /// The frame's own folder on the host: its home, and what is handed to it and heard from it.
    #[must_use]
    pub fn own_folder(&self, id: &FrameId) -> PathBuf {
        self.inner.folders(id).root().to_owned()
    }

    /// Refuses what would write to a disk that is nearly full: agents that work there would take the last of it from
    /// the database and from each other.
    pub(super) fn needs_room(&self, workspace: &Path) -> Result<(), FrameError> {
        let keep = self.inner.config.now().disk_free;
        let home = &self.inner.deps.settings.home;
        for place in [home.as_path(), workspace] {
            // The database is on the first; of another disk, a small one perhaps, a twentieth is enough.
            let keep =
                if place == home.as_path() { keep } else { keep.min(twentieth(place).unwrap_or(keep)) };
            if let Some(free) = free(place).filter(|free| *free < keep) {
                return Err(FrameError::NoRoom { path: place.to_owned(), free, keep });
            }
            if let Some(left) = last_files(place) {
                return Err(FrameError::NoFiles { path: place.to_owned(), left });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_quotas_are_read_from_the_mounts() {
        let mounts = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                      28 27 254:16 / /home rw,noatime - xfs /dev/vdb rw,attr2,inode64,prjquota\n\
                      29 27 0:31 / /tmp rw - tmpfs tmpfs rw,size=1g\n";
        let found = |device| quotas_of(mounts, device).map(|(kind, has)| format!("{kind} {has}"));
        assert_eq!(found("254:0").as_deref(), Some("ext4 false"));
        assert_eq!(found("254:16").as_deref(), Some("xfs true"));
        assert_eq!(found("0:31").as_deref(), Some("tmpfs false"));
        assert_eq!(found("254:1"), None);
    }

    #[test]
    fn a_fiftieth_of_all_files_is_few_and_where_they_are_not_counted_nothing_is() {
        assert!(are_few(0, 1000) && are_few(19, 1000));
        assert!(!are_few(20, 1000) && !are_few(1000, 1000));
        assert!(!are_few(0, 0), "btrfs says none of none");
        assert!(!are_few(1_150_000, 61_000_000), "of a large disk that is enough");
        assert!(!are_few(ENOUGH, u64::MAX) && are_few(ENOUGH - 1, u64::MAX));
    }
}

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
        }
        Ok(())
    }
}

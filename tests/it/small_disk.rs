//! A disk that can really be full: a small one of memory.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk; gone with the test, and so is the folder that it was mounted in.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one of `size`, in the words of `mount`: `24m`.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub fn mount(place: &Path, size: &str) -> Result<Self, String> {
        let options = format!("size={size},mode=700");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place).output();
        let done = done.map_err(|error| error.to_string())?;
        match done.status.success() {
            true => Ok(Self(place.to_owned())),
            false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        // What could not be removed while it was mounted.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}

/// Takes every last byte behind what the file holds already; how many those were.
pub fn fill(path: &Path) -> u64 {
    let mut file = fs::File::options().create(true).append(true).open(path).expect("a file");
    let (block, mut written) = (vec![b'x'; 1 << 16], 0);
    let mut size = block.len();
    while size > 0 {
        match file.write(&block[..size]) {
            Ok(count) => {
                assert!(count > 0, "it takes nothing and does not say why");
                written += count as u64;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(28), "{error}");
                size /= 2;
            }
        }
    }
    written
}

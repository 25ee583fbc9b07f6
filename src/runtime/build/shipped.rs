//! The frame image as it may have come with the program: an archive that was packed for exactly these inputs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BuildError;
use super::inputs::inputs_hash;
use super::run::Runner;

/// Unpacking takes half a minute; a slow disk gets more.
const LOAD_DEADLINE: Duration = Duration::from_secs(900);
/// How archives may be kept.
const ENDINGS: [&str; 2] = ["tar.zst", "tar"];

/// Whether one is there.
#[must_use]
pub fn is_shipped() -> bool {
    find(None, &inputs_hash()).is_some()
}

/// The archive for these inputs, in that folder or where packages put it: `share/mimir` beside the program's `bin`.
pub(super) fn find(folder: Option<&Path>, hash: &str) -> Option<PathBuf> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => std::env::current_exe().ok()?.parent()?.parent()?.join("share/mimir"),
    };
    let named = |ending: &str| folder.join(format!("frame-{}.{ending}", &hash[..16]));
    let found = ENDINGS.into_iter().map(named).find(|path| path.is_file())?;
    (is_ours(&folder) && is_ours(&found)).then_some(found)
}

/// Nobody else can have put something there: what is loaded runs.
fn is_ours(path: &Path) -> bool {
    let ourselves = rustix::process::getuid().as_raw();
    fs::metadata(path).is_ok_and(|it| [0, ourselves].contains(&it.uid()) && it.mode() & 0o022 == 0)
}

/// Hands it to the engine, which knows the image by the names in it then.
pub(super) async fn load(runner: &Runner<'_>, archive: &Path) -> Result<(), BuildError> {
    let archive = archive.display().to_string();
    runner.step(&format!("loading {archive}")).await;
    runner.engine_within("load the frame image", &["load", "-q", "-i", &archive], LOAD_DEADLINE).await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn an_archive_that_others_could_have_put_there_is_none() {
        let place = tempfile::tempdir().expect("a folder");
        let (folder, hash) = (place.path().join("share"), "0123456789abcdef0123");
        fs::create_dir(&folder).expect("made");
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        };
        mode(&folder, 0o755);
        let archive = folder.join("frame-0123456789abcdef.tar");
        assert_eq!(find(Some(&folder), hash), None, "there is none");
        fs::write(&archive, "an image").expect("written");
        mode(&archive, 0o644);
        assert_eq!(find(Some(&folder), hash).as_ref(), Some(&archive));
        for (path, wrong) in [(&archive, 0o666), (&archive, 0o664), (&folder, 0o777), (&folder, 0o775)] {
            let usual = if path.is_dir() { 0o755 } else { 0o644 };
            mode(path, wrong);
            assert_eq!(find(Some(&folder), hash), None, "{} with {wrong:o}", path.display());
            mode(path, usual);
        }
        assert!(find(Some(&folder), hash).is_some());
        // Only root can give things away.
        if rustix::process::getuid().is_root() {
            for path in [&archive, &folder] {
                chown(path, Some(4321), None).expect("given away");
                assert_eq!(find(Some(&folder), hash), None, "{} is somebody else's", path.display());
                chown(path, Some(0), None).expect("taken back");
            }
        }
    }
}

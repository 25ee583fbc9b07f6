//! The token for TCP: made once, kept in a file that only its owner reads.

use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::clock;
use crate::model::secret::Secret;

/// Reads the home's token, or makes one.
///
/// # Errors
/// When the file cannot be read or written, or others may read it and that cannot be changed.
pub fn load_or_make(path: &Path) -> io::Result<Secret> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 32 => {
            keep_private(path)?;
            Ok(Secret::new(text.trim()))
        }
        // Empty or cut off: we died while writing it, and nobody has it yet.
        Ok(_) => make(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

fn make(path: &Path) -> io::Result<Secret> {
    let token = format!("mim_{}", hex::encode(clock::entropy::<32>()));
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&half, path)?;
    Ok(Secret::new(token))
}

fn keep_private(path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.mode() & 0o077 != 0 {
        tracing::warn!("others could read {}; its mode is now 0600", path.display());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_stays_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.token");
        let first = load_or_make(&path).expect("made");
        assert!(first.reveal().len() > 64);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a careless chmod");
        assert_eq!(load_or_make(&path).expect("read"), first);
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn a_token_that_was_cut_off_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.token");
        std::fs::write(&path, "mim_12").expect("half a token");
        assert!(load_or_make(&path).expect("made").reveal().len() > 64);
    }
}

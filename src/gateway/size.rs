//! How large a folder is.

use std::path::Path;

/// More entries than this are not counted; the answer is "at least".
const ENTRIES: usize = 200_000;

/// Bytes on disk of everything in `folder`, without following links. What cannot be read counts nothing.
pub fn folder_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut waiting = vec![folder.to_owned()];
    let mut seen = 0;
    let mut bytes = 0;
    while let Some(next) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > ENTRIES {
                return bytes;
            }
            let Ok(found) = entry.metadata() else { continue };
            bytes += found.blocks() * 512;
            if found.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_a_large_place_counts_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("deep")).expect("a folder in it");
        std::fs::write(folder.path().join("deep/file"), vec![1; 50_000]).expect("a file");
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).expect("a link");
        let bytes = folder_bytes(folder.path());
        assert!((50_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(folder_bytes(Path::new("/nonexistent")), 0);
    }
}

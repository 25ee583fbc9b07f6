//! Which images a home made, as lines in a file of that home: names and labels say what an image is, and not whose.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// The file's name.
pub const MADE: &str = "images.made";

/// Notes an image, by its id.
pub(super) fn note(file: &Path, id: &str) -> io::Result<()> {
    if read(file)?.is_some_and(|known| known.contains(id)) {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{id}")
}

/// The ids of those that were noted; none when nothing ever was.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(file: &Path) -> io::Result<Option<BTreeSet<String>>> {
    match fs::read_to_string(file) {
        Ok(text) => {
            let ids = text.lines().map(|line| line.trim().trim_start_matches("sha256:").to_owned());
            Ok(Some(ids.filter(|id| !id.is_empty()).collect()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_noted_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(MADE);
        assert_eq!(read(&file).expect("reads"), None);
        for id in ["aa", "bb", "aa"] {
            note(&file, id).expect("noted");
        }
        assert_eq!(fs::read_to_string(&file).expect("there"), "aa\nbb\n");
        assert_eq!(read(&file).expect("reads"), Some(BTreeSet::from(["aa".to_owned(), "bb".to_owned()])));
    }
}

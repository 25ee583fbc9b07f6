//! Which images a home made, as lines in a file of that home: names and labels say what an image is, and not whose.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// The file's name.
pub const MADE: &str = "images.made";
/// The first line of a list that is as old as its home: what is not in it was not made there.
const WHOLE: &str = "whole";

/// What was noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The images, by their ids.
    pub ids: BTreeSet<String>,
    /// Whether the home has made no others. Homes of older versions began without a list.
    pub is_whole: bool,
}

/// Begins the list of a home that is made now. One that is there stays as it is.
///
/// # Errors
/// It cannot be written; nobody will think that it is whole then.
pub fn begin(file: &Path) -> io::Result<()> {
    match fs::OpenOptions::new().write(true).create_new(true).open(file) {
        Ok(mut file) => file.write_all(format!("{WHOLE}\n").as_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Notes an image, by its id.
pub(super) fn note(file: &Path, id: &str) -> io::Result<()> {
    let known = text(file)?;
    if list(&known).ids.contains(id) {
        return Ok(());
    }
    // In one piece: two may note at once. What was cut off by a crash stays a line of its own.
    let end = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
    let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{end}{id}\n").as_bytes())
}

/// What was noted; nothing, and not all, when there is no list.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(file: &Path) -> io::Result<List> {
    Ok(list(&text(file)?))
}

fn text(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        found => found,
    }
}

fn list(text: &str) -> List {
    let is_whole = text.lines().next().is_some_and(|first| first == WHOLE);
    let ids = text.lines().skip(usize::from(is_whole));
    let ids = ids.map(|line| line.trim().trim_start_matches("sha256:").to_owned());
    List { ids: ids.filter(|id| !id.is_empty()).collect(), is_whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn each_image_is_noted_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(MADE);
        assert_eq!(read(&file).expect("reads"), List::default());
        for id in ["aa", "bb", "aa"] {
            note(&file, id).expect("noted");
        }
        assert_eq!(fs::read_to_string(&file).expect("there"), "aa\nbb\n");
        assert_eq!(read(&file).expect("reads"), List { ids: ids(&["aa", "bb"]), is_whole: false });
        // What was cut off takes nothing with it.
        fs::write(&file, "aa\nb").expect("written");
        note(&file, "cc").expect("noted");
        assert_eq!(read(&file).expect("reads").ids, ids(&["aa", "b", "cc"]));
    }

    #[test]
    fn a_list_is_whole_only_if_the_home_began_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(MADE);
        begin(&file).expect("begun");
        note(&file, "aa").expect("noted");
        begin(&file).expect("it is there");
        assert_eq!(read(&file).expect("reads"), List { ids: ids(&["aa"]), is_whole: true });
        // One that came later.
        fs::write(&file, "aa\n").expect("written");
        begin(&file).expect("it is there");
        assert_eq!(read(&file).expect("reads"), List { ids: ids(&["aa"]), is_whole: false });
        fs::write(&file, [0xff_u8, 0xfe]).expect("written");
        assert!(read(&file).is_err(), "it is no text");
    }
}

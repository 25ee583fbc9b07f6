//! Branches and tags as git keeps them in files: the forge looks at them with every request, and a process for each look
//! costs more than all that is tried with it.

use std::collections::BTreeMap;
use std::path::Path;

/// What one of them is at. Git looks at the file before the list, too.
pub fn one(folder: &Path, name: &str) -> Option<String> {
    let loose = std::fs::read_to_string(folder.join(name)).ok();
    loose.and_then(|text| id(&text)).or_else(|| packed(folder).remove(name))
}

/// All of them by their short names, each with what it is at, as `git for-each-ref` lists them.
pub fn all(folder: &Path) -> Vec<(String, String)> {
    // In git's own order: what is packed meanwhile is seen in one of the two.
    let mut loose = BTreeMap::new();
    read_into(&mut loose, folder, "refs");
    let mut all = packed(folder);
    all.extend(loose);
    let told = |name: &str| {
        let is_only = |wanted: &String| {
            let known = all.keys().filter_map(|name| short(name));
            known.filter(|known| known == wanted).count() == 1
        };
        let whole = name.trim_start_matches("refs/").to_owned();
        short(name).filter(is_only).unwrap_or(whole)
    };
    all.iter().map(|(name, id)| (told(name.as_str()), id.clone())).collect()
}

/// Where nothing else is called so.
fn short(name: &str) -> Option<String> {
    let places = ["refs/heads/", "refs/tags/", "refs/remotes/"];
    places.into_iter().find_map(|place| name.strip_prefix(place)).map(str::to_owned)
}

fn read_into(found: &mut BTreeMap<String, String>, folder: &Path, name: &str) {
    for entry in std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten() {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_into(found, folder, &name);
        } else if let Some(id) = std::fs::read_to_string(entry.path()).ok().and_then(|text| id(&text))
            && !name.ends_with(".lock")
        {
            found.insert(name, id);
        }
    }
}

/// Those that git has put into one file.
fn packed(folder: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.join("packed-refs")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(at, name)| Some((name.to_owned(), id(at)?))).collect()
}

fn id(text: &str) -> Option<String> {
    let text = text.trim();
    let is_one = text.len() == 40 && text.bytes().all(|letter| letter.is_ascii_hexdigit());
    is_one.then(|| text.to_owned())
}

#[tokio::test]
async fn branches_and_tags_are_read_as_git_lists_them() {
    let forge = super::Forge::start().await;
    let bare = forge.repository("me/blog");
    let listed = || {
        let listed = bare.git(&["for-each-ref", "--format=%(refname:short) %(objectname)"]);
        let pairs = listed.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(name, id)| (name.to_owned(), id.to_owned())).collect::<Vec<_>>()
    };
    let first = bare.add("mimir/run-1", "a.txt", "a");
    bare.git(&["tag", "v1", "main"]);
    bare.git(&["update-ref", "refs/notes/x", "main"]);
    bare.git(&["update-ref", "refs/pull/1/head", "main"]);
    assert_eq!(bare.heads(), listed());
    assert!(bare.heads().len() == 5 && bare.branch("mimir/run-1") == Some(first), "{:?}", bare.heads());
    bare.git(&["pack-refs", "--all"]);
    assert_eq!(bare.heads(), listed());
    let second = bare.add("mimir/run-1", "a.txt", "b");
    bare.git(&["update-ref", "-d", "refs/tags/v1"]);
    assert_eq!(bare.heads(), listed());
    assert_eq!(
        (bare.branch("mimir/run-1"), bare.branch("mimir"), bare.branch("v1")),
        (Some(second), None, None)
    );
}

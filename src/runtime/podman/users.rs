//! Users of a frame's own where the engine runs as root: which numbers of this machine they are, and how the folders
//! that the frame works in are shown to them so that files outside keep their owner.
//!
//! The engine is given one block of numbers, because several fail over its image store (Podman 4.3.1). Inside, the agent is
//! the image's user; outside, that is a number that nobody has. Every folder is therefore shown through a mount of
//! which the kernel translates the owners ([`super::idmap`]). Such a mount has a place of its own for as long as a start
//! takes: the container keeps what it saw there, and nobody who empties a folder of ours later finds somebody's project in it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::idmap::{self, Owners, Range};
use crate::model::container::Mount;
use crate::model::ids::FrameId;

/// The user that the image is made for; whoever runs a rootless engine, or owns the folder, is mapped onto this one.
pub(super) const IMAGE_USER: (u32, u32) = (1000, 1000);
/// How many numbers a frame has.
pub(super) const BLOCK: u32 = 1 << 16;
/// Where systemd and its containers look for such blocks as well; no package gives these numbers to a person.
const BLOCKS: std::ops::Range<u32> = 8..28_672;
/// Nobody, by convention: also inside.
const NOBODY: u32 = 65_534;

/// The users of one container, and what it is shown through a translation. Kept in its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Users {
    /// What 0 inside is outside.
    pub(super) first: u32,
    /// Whose the frame's files are outside: user and group.
    owner: (u32, u32),
    folders: Vec<Shown>,
}

/// A folder or file, and where it is while the container starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shown {
    place: PathBuf,
    source: String,
}

/// What is mounted at its place; not any more when this is dropped.
#[derive(Debug)]
pub(super) struct InPlace(Vec<PathBuf>);

impl Drop for InPlace {
    fn drop(&mut self) {
        for place in &self.0 {
            if let Err(error) = idmap::clear_place(place) {
                tracing::error!(%error, "cannot unmount {}: {error}", place.display());
            }
        }
    }
}

impl Users {
    /// Of a container that sees these folders, with places below `places`.
    pub(super) fn new(first: u32, owner: (u32, u32), mounts: &[Mount], places: &Path) -> Self {
        let shown = |(index, mount): (usize, &Mount)| Shown {
            place: places.join(index.to_string()),
            source: mount.source.clone(),
        };
        Self { first, owner, folders: mounts.iter().enumerate().map(shown).collect() }
    }

    /// As the engine wants it.
    pub(super) fn mappings(&self) -> Value {
        let block = json!([{"container_id": 0, "host_id": self.first, "size": BLOCK}]);
        json!({"UIDMap": block, "GIDMap": block})
    }

    /// Where the engine finds what is to be mounted.
    pub(super) fn in_their_places(&self, mounts: &[Mount]) -> Vec<Mount> {
        let placed = |mount: &Mount| {
            let shown = self.folders.iter().find(|shown| shown.source == mount.source);
            let source =
                shown.map_or_else(|| mount.source.clone(), |shown| shown.place.display().to_string());
            Mount { source, ..mount.clone() }
        };
        mounts.iter().map(placed).collect()
    }

    /// What is really shown at one of our places.
    pub(super) fn source_of<'a>(&'a self, place: &'a str) -> &'a str {
        let shown = self.folders.iter().find(|shown| shown.place == Path::new(place));
        shown.map_or(place, |shown| &shown.source)
    }

    /// Whether the places are below that folder. It is another one when the session that mimir runs in is.
    pub(super) fn is_below(&self, places: &Path) -> bool {
        self.folders.iter().all(|shown| shown.place.starts_with(places))
    }

    /// Shows every folder once, without a place.
    ///
    /// # Errors
    /// When this machine, or the file system of one of them, cannot.
    pub(super) fn try_out(&self) -> io::Result<()> {
        let owners = self.owners()?;
        self.folders.iter().try_for_each(|shown| owners.clone_of_named(&shown.source).map(drop))
    }

    /// The same, and makes the places, empty.
    ///
    /// # Errors
    /// See [`Users::try_out`].
    pub(super) fn prepare(&self) -> io::Result<()> {
        self.try_out()?;
        self.folders.iter().try_for_each(|shown| idmap::make_place(Path::new(&shown.source), &shown.place))
    }

    /// Shows every folder at its place.
    ///
    /// # Errors
    /// See [`Users::try_out`]; nothing is mounted then.
    pub(super) fn show(&self) -> io::Result<InPlace> {
        let owners = self.owners()?;
        let mut shown = InPlace(Vec::new());
        for Shown { place, source } in &self.folders {
            idmap::make_place(Path::new(source), place)?;
            let tree = owners.clone_of_named(source)?;
            shown.0.push(place.clone());
            idmap::put(&tree, place)?;
        }
        Ok(shown)
    }

    fn owners(&self) -> io::Result<Owners> {
        let users = translated(self.owner.0, IMAGE_USER.0, self.first, self.owner.0 == 0);
        // A group's number alone gives nothing away, and files of group root are in many projects.
        Owners::new(&users, &translated(self.owner.1, IMAGE_USER.1, self.first, true))
    }
}

/// Takes away what is left of the places of one start below `places`: of a gateway that was killed in it.
pub(super) fn clear(places: &Path) {
    for entry in fs::read_dir(places).into_iter().flatten().flatten() {
        let place = entry.path();
        let gone = idmap::clear_place(&place).and_then(|()| match entry.file_type()?.is_dir() {
            true => fs::remove_dir(&place),
            false => fs::remove_file(&place),
        });
        if let Err(error) = gone {
            tracing::warn!(%error, "cannot clear {}: {error}", place.display());
        }
    }
    // Not there, or what could not be cleared is in it.
    let _ = fs::remove_dir(places);
}

/// From numbers on the disk to numbers of the machine that are the frame's. The owner is the agent; whoever has the
/// agent's number outside gets the owner's; all others keep theirs inside, so that what is a group's or another
/// person's is so inside as well. Root is left out, unless the folder is root's: nothing inside can write as root.
fn translated(owner: u32, agent: u32, first: u32, with_zero: bool) -> Vec<Range> {
    let mut all = vec![(owner, first + agent, 1)];
    if owner != agent {
        let spare = if (1..NOBODY).contains(&owner) { owner } else { NOBODY };
        all.push((agent, first + spare, 1));
    }
    let mut taken = [owner.min(NOBODY), agent.min(NOBODY)];
    taken.sort_unstable();
    let mut from = u32::from(!with_zero);
    for end in taken.into_iter().chain([NOBODY]) {
        if end > from {
            all.push((from, first + from, end - from));
        }
        from = from.max(end + 1);
    }
    all
}

/// The block of a frame: the one that it has, else the first free one from a place that its id gives.
pub(super) fn choose(frame: &FrameId, taken: &BTreeSet<u32>) -> Option<u32> {
    let digest = Sha256::digest(frame.as_str());
    let wish = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let count = BLOCKS.end - BLOCKS.start;
    let number = |step: u32| BLOCKS.start + wish.wrapping_add(step) % count;
    (0..count).map(number).find(|number| !taken.contains(number)).map(|number| number * BLOCK)
}

/// The blocks in which a number of this machine is somebody's already, in files of the form of `/etc/subuid` and `/etc/passwd`.
pub(super) fn spoken_for() -> BTreeSet<u32> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let lists = ["/etc/subuid", "/etc/subgid"].map(|path| blocks(&read(path), 1, Some(2)));
    let names = ["/etc/passwd", "/etc/group"].map(|path| blocks(&read(path), 2, None));
    lists.into_iter().chain(names).flatten().collect()
}

fn blocks(text: &str, first: usize, count: Option<usize>) -> BTreeSet<u32> {
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index)?.trim().parse::<u64>().ok();
        let from = number(first)?;
        let last = from + count.and_then(number).unwrap_or(1).saturating_sub(1);
        let block = |number: u64| u32::try_from(number / u64::from(BLOCK)).unwrap_or(u32::MAX);
        Some(block(from)..=block(last).min(BLOCKS.end))
    };
    text.lines().filter_map(of_line).flatten().collect()
}

/// Whether numbers of this machine are ours to give: in a container they are those of somebody around us.
pub(super) fn are_ours(map: &str) -> bool {
    let mut words = map.split_whitespace();
    [words.next(), words.next(), words.next(), words.next()]
        == [Some("0"), Some("0"), Some("4294967295"), None]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(ranges: &[Range], disk: u32) -> Option<u32> {
        let hit = |(from, to, count): &Range| {
            (*from..from.saturating_add(*count)).contains(&disk).then(|| to + (disk - from) - 100_000)
        };
        let hits: Vec<u32> = ranges.iter().filter_map(hit).collect();
        assert!(hits.len() < 2, "{disk} twice in {ranges:?}");
        hits.first().copied()
    }

    #[test]
    fn the_owner_is_the_agent_and_all_others_are_somebody_else_and_root_is_nobody() {
        for owner in [0, 1, 999, 1000, 1001, 65_533, 65_534, 65_535, 1_234_567] {
            let ranges = translated(owner, 1000, 100_000, owner == 0);
            assert_eq!(sees(&ranges, owner), Some(1000), "{owner}");
            let mut seen = BTreeSet::new();
            for disk in (0..65_540).chain([owner]).collect::<BTreeSet<_>>() {
                let Some(inside) = sees(&ranges, disk) else { continue };
                assert!(seen.insert(inside), "{owner}: {inside} stands for two");
                assert!(inside < BLOCK && (disk == owner || inside != 1000), "{owner}: {disk} is {inside}");
                assert!(disk == owner || disk == 1000 || inside == disk, "{owner}: {disk} is {inside}");
            }
            if owner != 0 {
                assert_eq!(sees(&ranges, 0), None, "{owner}");
            }
            assert!(owner == 33 || sees(&ranges, 33) == Some(33), "{owner}");
            assert!(sees(&ranges, 1000).is_some());
        }
        let groups = translated(100, 1000, 100_000, true);
        assert_eq!((sees(&groups, 0), sees(&groups, 100)), (Some(0), Some(1000)));
    }

    #[test]
    fn a_block_that_is_somebodys_is_left_alone() {
        let frame = FrameId::from_parts(1, 1);
        let first = choose(&frame, &BTreeSet::new()).expect("one");
        assert_eq!(first % BLOCK, 0);
        assert!(BLOCKS.contains(&(first / BLOCK)));
        assert_eq!(choose(&frame, &BTreeSet::new()), Some(first));
        let second = choose(&frame, &BTreeSet::from([first / BLOCK])).expect("another");
        assert_ne!(second, first);
        assert_eq!(choose(&frame, &BLOCKS.collect()), None);
    }

    #[test]
    fn numbers_of_users_and_their_containers_are_spoken_for() {
        assert_eq!(blocks("ann:524288:65536\nbob:589824:65537\n\nbad\n", 1, Some(2)), [8, 9, 10].into());
        assert_eq!(blocks("root:x:0:0:root:/root:/bin/sh\nldap:x:700000:1::/:\n", 2, None), [0, 10].into());
        assert_eq!(blocks("all:0:4294967295\n", 1, Some(2)).len(), 28_673);
    }

    #[test]
    fn numbers_are_ours_only_where_nobody_translates_them() {
        assert!(are_ours("         0          0 4294967295\n"));
        assert!(!are_ours("         0     100000      65536\n"));
        assert!(!are_ours("         0          0       1000\n      1000       1000    1000\n"));
    }

    #[test]
    fn what_is_at_a_place_is_known_and_nothing_else() {
        let mounts =
            [Mount::new(Path::new("/w"), "/workspace", false), Mount::new(Path::new("/s"), "/start", true)];
        let users = Users::new(700_000, (1001, 1001), &mounts, Path::new("/run/mimir/places/f"));
        let placed = users.in_their_places(&mounts);
        assert_eq!(placed[1], Mount::new(Path::new("/run/mimir/places/f/1"), "/start", true));
        assert_eq!(users.source_of(&placed[0].source), "/w");
        assert_eq!(users.source_of("/etc"), "/etc");
        assert!(users.is_below(Path::new("/run/mimir/places")) && !users.is_below(Path::new("/run/other")));
        let text = serde_json::to_string(&users).expect("text");
        assert_eq!(serde_json::from_str::<Users>(&text).expect("back"), users);
    }
}

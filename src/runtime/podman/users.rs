//! Users of a frame's own where the engine runs as root: which numbers of this machine they are, and how the folders
//! that the frame works in are shown to them so that files outside keep their owner.
//!
//! The engine is given one block of numbers, because several fail over its image store (Podman 4.3.1). Inside, the agent is
//! the image's user; outside, that is a number that nobody has. Every folder is therefore shown through a mount of
//! which the kernel translates the owners ([`super::idmap`]). Such a mount has a place of its own for as long as a start
//! takes: the container keeps what it saw there, and nobody who empties a folder of ours later finds somebody's project in it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::blocks::BLOCK;
use super::idmap::{NotShown, Owners, Range, Tree};
use super::shown::{InPlace, ShowPlaces, ThisStart};
use crate::model::container::Mount;

/// The user that the image is made for; whoever runs a rootless engine, or owns the folder, is mapped onto this one.
pub(super) const IMAGE_USER: (u32, u32) = (1000, 1000);
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

/// Whose users a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Its own.
    Own(Users),
    /// Those that the engine gives: its owner's when it is not root's, those of a kernel of its own.
    Engines,
    /// This machine's, and why.
    Machines(String),
}

impl Whose {
    pub(super) fn own(&self) -> Option<&Users> {
        if let Self::Own(users) = self { Some(users) } else { None }
    }

    /// Why it has the machine's.
    pub(super) fn why_not_own(&self) -> Option<&str> {
        if let Self::Machines(why) = self { Some(why) } else { None }
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

    /// With some numbers, to see whether it can be done.
    pub(super) fn untold(owner: (u32, u32), mounts: &[Mount], places: &Path) -> Self {
        Self::new(BLOCK * 8, owner, mounts, places)
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

    /// Shows every folder once, without a place. `frames` is the folder of frames, which is ours.
    ///
    /// # Errors
    /// When this machine, or the file system of one of them, cannot.
    pub(super) fn try_out(&self, frames: &Path) -> Result<(), NotShown> {
        self.trees(frames).map(drop)
    }

    /// The same, and makes the places, empty.
    ///
    /// # Errors
    /// See [`Users::try_out`].
    pub(super) fn prepare(&self, places: &ShowPlaces) -> Result<(), NotShown> {
        let trees = self.trees(places.frames())?;
        let each = self.folders.iter().map(|shown| &shown.place);
        Ok(each.zip(&trees).try_for_each(|(place, tree)| places.make(tree.is_folder, place))?)
    }

    /// Shows every folder at its place.
    ///
    /// # Errors
    /// See [`Users::try_out`]; nothing is mounted then.
    pub(super) fn show(&self, start: ThisStart) -> Result<InPlace, NotShown> {
        let trees = self.trees(start.frames())?;
        let mut in_place = InPlace::of(start);
        for (shown, tree) in self.folders.iter().zip(&trees) {
            in_place.put(tree, &shown.place)?;
        }
        Ok(in_place)
    }

    /// A mount of each folder, without a place. Opened here and not looked up again: what is mounted is what was opened.
    fn trees(&self, frames: &Path) -> Result<Vec<Tree>, NotShown> {
        let owners = self.owners()?;
        self.folders.iter().map(|shown| owners.clone_of(Path::new(&shown.source), frames)).collect()
    }

    fn owners(&self) -> Result<Owners, NotShown> {
        let users = translated(self.owner.0, IMAGE_USER.0, self.first, self.owner.0 == 0);
        // A group's number alone gives nothing away, and files of group root are in many projects.
        Owners::new(&users, &translated(self.owner.1, IMAGE_USER.1, self.first, true))
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

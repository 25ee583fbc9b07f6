//! Where folders are shown while a container starts, and whose those mounts are.
//!
//! Starts of one frame wait for each other. One that was given up waits for nobody, and may still be at work in a thread that
//! nobody can end; so each has a number, and only the newest one of a frame puts mounts at its places or takes them away.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::handle::unescaped;
use super::idmap::{self, Tree};
use crate::model::ids::FrameId;

/// The name of the folder in which each frame has a folder of places.
const NAME: &str = "places";

/// Everything that one gateway shows. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct ShowPlaces {
    root: Arc<Path>,
    frames: Arc<Path>,
    newest: Arc<Mutex<Newest>>,
    turns: Arc<Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>>,
}

/// The newest start of each frame that has begun one.
#[derive(Debug, Default)]
struct Newest {
    count: u64,
    of: HashMap<PathBuf, u64>,
}

/// Held while a start is waited for: the next one of that frame begins when this is dropped.
pub(super) type Turn = OwnedMutexGuard<()>;

/// One start. Void as soon as another of the same frame begins.
#[derive(Debug)]
pub(super) struct ThisStart {
    places: ShowPlaces,
    folder: PathBuf,
    number: u64,
}

/// What is mounted at its place; not any more when this is dropped.
#[derive(Debug)]
pub(super) struct InPlace {
    start: ThisStart,
    mounted: Vec<PathBuf>,
}

impl ShowPlaces {
    /// Below mimir's runtime folder; `frames` is where each frame has its own folder.
    pub(super) fn new(runtime: &Path, frames: &Path) -> Self {
        let (root, frames) = (runtime.join(NAME).into(), frames.into());
        Self { root, frames, newest: Arc::default(), turns: Arc::default() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn frames(&self) -> &Path {
        &self.frames
    }

    /// Where those of one frame are.
    pub(super) fn of(&self, frame: &FrameId) -> PathBuf {
        self.root.join(frame.as_str())
    }

    /// Waits for starts of that frame that somebody waits for. Whatever an earlier one still does is void from here on.
    pub(super) async fn begin(&self, frame: &FrameId) -> (Turn, ThisStart) {
        let turn = self.turns.lock().entry(self.of(frame)).or_default().clone();
        (turn.lock_owned().await, self.newest(frame))
    }

    fn newest(&self, frame: &FrameId) -> ThisStart {
        let folder = self.of(frame);
        let mut newest = self.newest.lock();
        newest.count += 1;
        let number = newest.count;
        newest.of.insert(folder.clone(), number);
        ThisStart { places: self.clone(), folder, number }
    }

    /// Makes an empty place unless something is there: what a start has mounted meanwhile stays.
    pub(super) fn make(&self, is_folder: bool, place: &Path) -> io::Result<()> {
        let _alone = self.newest.lock();
        match fs::symlink_metadata(place) {
            Ok(there) if there.is_dir() == is_folder && !there.is_symlink() => Ok(()),
            _ => idmap::make_place(is_folder, place),
        }
    }

    /// Takes away everything of a frame, also what a gateway left in the runtime folder of another session.
    pub(super) fn clear(&self, frame: &FrameId) {
        let mut newest = self.newest.lock();
        newest.of.remove(&self.of(frame));
        clear_folder(&self.of(frame));
        clear_all(left(&mountinfo()).into_iter().filter(|(whose, _)| whose == frame));
    }

    /// Takes away what killed gateways of this home left, wherever their runtime folder was. Before the first start.
    pub(super) fn sweep(&self) {
        let _alone = self.newest.lock();
        let here = fs::read_dir(&*self.root).into_iter().flatten().flatten();
        here.for_each(|frame| clear_folder(&frame.path()));
        let ours = |frame: &FrameId| self.frames.join(frame.as_str()).is_dir();
        clear_all(left(&mountinfo()).into_iter().filter(|(frame, _)| ours(frame)));
    }
}

impl ThisStart {
    pub(super) fn frames(&self) -> &Path {
        &self.places.frames
    }

    fn while_newest<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let newest = self.places.newest.lock();
        if newest.of.get(&self.folder) != Some(&self.number) {
            return Err(io::Error::other("another start of the frame has begun"));
        }
        work()
    }
}

impl InPlace {
    /// Nothing yet.
    pub(super) fn of(start: ThisStart) -> Self {
        Self { start, mounted: Vec::new() }
    }

    pub(super) fn put(&mut self, tree: &Tree, place: &Path) -> io::Result<()> {
        let mounted = &mut self.mounted;
        self.start.while_newest(|| {
            idmap::make_place(tree.is_folder, place)?;
            mounted.push(place.to_owned());
            idmap::put(tree, place)
        })
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        // When another start has begun, what is at the places is that one's.
        let _ = self.start.while_newest(|| {
            for place in &self.mounted {
                if let Err(error) = idmap::clear_place(place) {
                    tracing::error!(%error, "cannot unmount {}: {error}", place.display());
                }
            }
            Ok(())
        });
    }
}

/// Takes away what is left of the places of one frame.
fn clear_folder(places: &Path) {
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

fn clear_all(left: impl Iterator<Item = (FrameId, PathBuf)>) {
    for (frame, place) in left {
        tracing::warn!(frame.id = %frame, "{} was left mounted; it goes", place.display());
        if let Err(error) = idmap::clear_place(&place) {
            tracing::warn!(%error, "cannot unmount {}: {error}", place.display());
        }
    }
}

fn mountinfo() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// Mounts of which the owners are translated, at `…/places/<frame>/<number>`. Only root can have made them.
fn left(mountinfo: &str) -> Vec<(FrameId, PathBuf)> {
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let place = PathBuf::from(unescaped(fields.get(4)?));
        let is_translated = fields.get(5)?.split(',').any(|option| option == "idmapped");
        let is_number = place.file_name()?.to_str()?.parse::<u32>().is_ok();
        let folder = place.parent()?;
        let frame = FrameId::parse(folder.file_name()?.to_str()?).ok()?;
        let is_ours = folder.parent()?.file_name()? == NAME;
        (is_translated && is_number && is_ours).then_some((frame, place))
    };
    mountinfo.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn frame(number: u128) -> FrameId {
        FrameId::from_parts(1, number)
    }

    #[test]
    fn what_a_killed_gateway_left_is_known_wherever_it_was() {
        let (one, other) = (frame(1), frame(2));
        let text = format!(
            "1 0 8:1 /p /run/user/0/mimir/a/places/{one}/0 rw,relatime,idmapped - ext4 /dev/sda rw\n\
             2 0 8:1 /p /tmp/a\\040b/places/{other}/12 rw,nosuid,idmapped - ext4 /dev/sda rw\n\
             3 0 8:1 /p /tmp/places/{one}/3 rw - ext4 /dev/sda rw\n\
             4 0 8:1 /p /tmp/places/nobody/3 rw,idmapped - ext4 /dev/sda rw\n\
             5 0 8:1 /p /tmp/other/{one}/3 rw,idmapped - ext4 /dev/sda rw\n\
             6 0 8:1 /p /tmp/places/{one}/x rw,idmapped - ext4 /dev/sda rw\nnonsense\n"
        );
        let found = left(&text);
        let at = |path: String| PathBuf::from(path);
        assert_eq!(
            found,
            [
                (one.clone(), at(format!("/run/user/0/mimir/a/places/{one}/0"))),
                (other.clone(), at(format!("/tmp/a b/places/{other}/12"))),
            ]
        );
    }

    #[test]
    fn a_start_that_was_given_up_touches_nothing_of_the_next() {
        let home = tempfile::tempdir().expect("a folder");
        let places = ShowPlaces::new(home.path(), &home.path().join("frames"));
        let of_other = places.newest(&frame(2));
        let (first, second) = (places.newest(&frame(1)), places.newest(&frame(1)));
        assert!(first.while_newest(|| Ok(())).is_err(), "it is void");
        second.while_newest(|| Ok(())).expect("the newest");
        of_other.while_newest(|| Ok(())).expect("another frame's start is none of its business");
        let place = places.of(&frame(1)).join("0");
        fs::create_dir_all(&place).expect("made");
        fs::write(place.join("kept"), "").expect("written");
        places.make(true, &place).expect("it is there");
        assert!(place.join("kept").exists());
        places.clear(&frame(1));
        assert!(second.while_newest(|| Ok(())).is_err(), "what was cleared is nobody's");
    }

    #[tokio::test]
    async fn starts_wait_for_those_that_are_waited_for() {
        let home = tempfile::tempdir().expect("a folder");
        let places = ShowPlaces::new(home.path(), &home.path().join("frames"));
        let (turn, first) = places.begin(&frame(1)).await;
        assert!(places.begin(&frame(1)).now_or_never().is_none(), "its turn has not come");
        first.while_newest(|| Ok(())).expect("who waits takes nothing away");
        let _other = places.begin(&frame(2)).await;
        // Given up: nobody waits for it, whatever its thread does.
        drop(turn);
        let (_turn, second) = places.begin(&frame(1)).now_or_never().expect("its turn came");
        assert!(first.while_newest(|| Ok(())).is_err());
        second.while_newest(|| Ok(())).expect("the newest");
    }

    #[test]
    fn its_end_takes_its_own_mounts_away_and_no_others() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let home = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(home.path()).expect("a real path");
        let source = root.join("source");
        fs::create_dir(&source).expect("made");
        fs::write(source.join("file"), "x").expect("written");
        let ranges = [(0, 700_000, 65_536)];
        let Ok(owners) = idmap::Owners::new(&ranges, &ranges) else { return };
        let Ok(clone) = owners.clone_of(&source, &root) else { return };
        let places = ShowPlaces::new(&root, &root.join("frames"));
        let place = places.of(&frame(1)).join("0");
        let mut first = InPlace::of(places.newest(&frame(1)));
        first.put(&clone, &place).expect("shown");
        let mut second = InPlace::of(places.newest(&frame(1)));
        assert!(first.put(&clone, &place).is_err(), "it is void");
        let again = owners.clone_of(&source, &root).expect("cloned");
        second.put(&again, &place).expect("shown");
        drop(first);
        assert!(place.join("file").exists(), "the next one's mount is there");
        drop(second);
        assert!(!place.join("file").exists(), "its own is not");
    }
}

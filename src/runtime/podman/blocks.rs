//! Blocks of user numbers: each frame has one that nothing else on this machine uses.
//!
//! Which are taken is read from several sources, because none knows all: the files of this machine, the frames of this
//! home, what homes of root's noted for each other, the containers of the engine, and the maps of what runs now.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::model::ids::FrameId;
use crate::runtime::RuntimeError;
use crate::runtime::files::FrameFiles;

/// How many numbers a frame has.
pub(super) const BLOCK: u32 = 1 << 16;
/// Behind what systemd gives its containers (up to 1,879,048,191), what useradd gives people for theirs (up to 600,100,000) and, as
/// long as there are some, what directories of accounts give by themselves (up to 2,000,200,000; sssd); before what
/// systemd keeps for files of elsewhere (from 2,147,352,576), and below the sign bit.
const BLOCKS: [Range<u32>; 2] = [30_521..32_766, 28_672..30_521];
const LAST: u32 = 32_766;

/// Why a frame gets none.
pub(super) const ALL_TAKEN: &str = "all numbers of this machine that could be its users are taken";

/// Where homes of root's tell each other of their frames' numbers. In /run itself: in /run/lock anybody may put a file of
/// that name first, and hold it.
const SHARED: &str = "/run/mimir-users";
/// How long another process may hold the lock while it chooses.
const CHOOSES: Duration = Duration::from_secs(20);

/// What all homes of this machine know.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    shared: PathBuf,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { shared: SHARED.into() }
    }
}

impl Numbers {
    /// The first number of a frame's own users; none when all are taken. `others` are blocks of other frames' containers.
    ///
    /// # Errors
    /// When this home cannot write it down, or another one holds the lock of all.
    pub(super) fn of(
        &self,
        frame: &FrameId,
        frames: &Path,
        others: &BTreeSet<u32>,
    ) -> Result<Option<u32>, RuntimeError> {
        let files = FrameFiles::of(frames, frame);
        let _alone = self.lock().map_err(|error| failed(&self.shared, error))?;
        if let Some(first) = files.users()
            && !others.contains(&(first / BLOCK))
            && self.holder(first / BLOCK).is_none_or(|holder| holder == frames.join(frame.as_str()))
        {
            self.note(first / BLOCK, frames, frame)?;
            return Ok(Some(first));
        }
        let mut taken = spoken_for();
        taken.extend(others);
        taken.extend(of_home(frames, frame));
        // Another frame may have had the same block, and may still use it.
        taken.extend(files.users().map(|first| first / BLOCK));
        taken.extend((0..=LAST).filter(|block| self.holder(*block).is_some()));
        let Some(first) = choose(frame, &taken) else { return Ok(None) };
        files.set_users(first)?;
        self.note(first / BLOCK, frames, frame)?;
        Ok(Some(first))
    }

    /// The frame's folder that has it, as far as another home noted it and it is still so.
    fn holder(&self, block: u32) -> Option<PathBuf> {
        let folder = PathBuf::from(fs::read_to_string(self.shared.join(block.to_string())).ok()?);
        let frame = FrameId::parse(folder.file_name()?.to_str()?).ok()?;
        let has = FrameFiles::of(folder.parent()?, &frame).users()?;
        (has / BLOCK == block).then_some(folder)
    }

    fn note(&self, block: u32, frames: &Path, frame: &FrameId) -> Result<(), RuntimeError> {
        let (path, folder) = (self.shared.join(block.to_string()), frames.join(frame.as_str()));
        let fresh = self.shared.join("new");
        let text = folder.display().to_string();
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path)).map_err(|error| failed(&path, error))
    }

    /// The lock under which a block is chosen.
    fn lock(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.shared)?;
        let found = fs::symlink_metadata(&self.shared)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0
        {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "somebody else can write there"));
        }
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let lock = lock.open(self.shared.join("lock"))?;
        let began = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(lock),
                Err(Errno::WOULDBLOCK | Errno::INTR) if began.elapsed() < CHOOSES => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn failed(path: &Path, source: io::Error) -> RuntimeError {
    RuntimeError::Folder { path: path.to_owned(), source }
}

/// The blocks of a home's other frames.
fn of_home(frames: &Path, frame: &FrameId) -> BTreeSet<u32> {
    let entries = fs::read_dir(frames).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let others = names.filter_map(|name| FrameId::parse(&name).ok()).filter(|other| other != frame);
    others.filter_map(|other| FrameFiles::of(frames, &other).users()).map(|first| first / BLOCK).collect()
}

/// The first free block from a place that the frame's id gives.
fn choose(frame: &FrameId, taken: &BTreeSet<u32>) -> Option<u32> {
    let digest = Sha256::digest(frame.as_str());
    let wish = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let first_of = |blocks: &Range<u32>| {
        let count = blocks.end - blocks.start;
        let number = |step: u32| blocks.start + (wish % count + step) % count;
        (0..count).map(number).find(|number| !taken.contains(number))
    };
    BLOCKS.iter().find_map(first_of).map(|number| number * BLOCK)
}

/// The blocks in which a number of this machine is somebody's already: in files of the form of `/etc/subuid` and
/// `/etc/passwd`, and as what runs now sees it.
fn spoken_for() -> BTreeSet<u32> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let lists = ["/etc/subuid", "/etc/subgid"].map(|path| of_list(&read(path), 1, Some(2)));
    let names = ["/etc/passwd", "/etc/group"].map(|path| of_list(&read(path), 2, None));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let maps = processes.flat_map(|process| ["uid_map", "gid_map"].map(|name| process.join(name)));
    let maps = maps.filter_map(|map| fs::read_to_string(map).ok()).flat_map(|text| of_map(&text));
    lists.into_iter().chain(names).flatten().chain(maps).collect()
}

fn of_list(text: &str, first: usize, count: Option<usize>) -> BTreeSet<u32> {
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |index: usize| fields.get(index)?.trim().parse::<u64>().ok();
        Some(spanned(number(first)?, count.and_then(number).unwrap_or(1)))
    };
    text.lines().filter_map(of_line).flatten().collect()
}

/// Of a namespace with numbers of its own; the machine's has all of them.
fn of_map(text: &str) -> BTreeSet<u32> {
    if are_ours(text) {
        return BTreeSet::new();
    }
    let of_line = |line: &str| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Some(spanned(*numbers.get(1)?, *numbers.get(2)?))
    };
    text.lines().filter_map(of_line).flatten().collect()
}

fn spanned(from: u64, count: u64) -> impl Iterator<Item = u32> {
    let last = from.saturating_add(count).saturating_sub(1);
    let block = |number: u64| u32::try_from(number / u64::from(BLOCK)).unwrap_or(u32::MAX);
    block(from)..=block(last).min(LAST)
}

/// Whether this process may give out numbers of this machine: inside a container they belong to the host around it.
pub(super) fn are_ours(map: &str) -> bool {
    let mut words = map.split_whitespace();
    [words.next(), words.next(), words.next(), words.next()]
        == [Some("0"), Some("0"), Some("4294967295"), None]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u128) -> FrameId {
        FrameId::from_parts(1, number)
    }

    #[test]
    fn a_block_that_is_somebodys_is_left_alone() {
        let frame = frame(1);
        let first = choose(&frame, &BTreeSet::new()).expect("one");
        assert_eq!(first % BLOCK, 0);
        assert!(BLOCKS[0].contains(&(first / BLOCK)));
        assert_eq!(choose(&frame, &BTreeSet::new()), Some(first));
        let second = choose(&frame, &BTreeSet::from([first / BLOCK])).expect("another");
        assert_ne!(second, first);
        let third = choose(&frame, &BLOCKS[0].clone().collect()).expect("one of the others");
        assert!(BLOCKS[1].contains(&(third / BLOCK)));
        assert_eq!(choose(&frame, &(0..LAST).collect()), None);
    }

    #[test]
    fn no_block_is_one_that_others_give_away_by_themselves() {
        for block in BLOCKS.iter().cloned().flatten() {
            let first = u64::from(block) * u64::from(BLOCK);
            assert!(first > 1_879_048_191 && first + u64::from(BLOCK) <= 2_147_352_576, "{block}");
        }
        assert!(u64::from(BLOCKS[0].start) * u64::from(BLOCK) > 2_000_200_000);
    }

    #[test]
    fn numbers_of_users_and_their_containers_are_spoken_for() {
        assert_eq!(of_list("ann:524288:65536\nbob:589824:65537\n\nbad\n", 1, Some(2)), [8, 9, 10].into());
        assert_eq!(of_list("root:x:0:0:root:/root:/bin/sh\nldap:x:700000:1::/:\n", 2, None), [0, 10].into());
        assert_eq!(of_list("all:0:4294967295\n", 1, Some(2)).len(), 32_767);
        assert_eq!(of_map("  0 1000 1\n  1 655360 65536\n"), [0, 10].into());
        assert_eq!(of_map("         0          0 4294967295\n"), BTreeSet::new());
    }

    #[test]
    fn numbers_are_ours_only_where_nobody_translates_them() {
        assert!(are_ours("         0          0 4294967295\n"));
        assert!(!are_ours("         0     100000      65536\n"));
        assert!(!are_ours("         0          0       1000\n      1000       1000    1000\n"));
    }

    #[test]
    fn two_homes_of_one_machine_never_share_a_block() {
        let machine = tempfile::tempdir().expect("a folder");
        let numbers = Numbers { shared: machine.path().join("shared") };
        let homes = [machine.path().join("one"), machine.path().join("other")];
        let nobody = BTreeSet::new();
        let of = |home: &Path, frame: &FrameId| {
            fs::create_dir_all(home.join(frame.as_str())).expect("a folder");
            numbers.of(frame, home, &nobody).expect("chosen").expect("one")
        };
        // The same id wishes for the same block.
        let same = frame(7);
        let first = of(&homes[0], &same);
        assert_eq!(of(&homes[0], &same), first, "it keeps it");
        let second = of(&homes[1], &same);
        assert_ne!(second, first);
        // A home that was put back from a copy, and wrote the same down.
        fs::write(homes[1].join(same.as_str()).join("users"), first.to_string()).expect("written");
        assert_ne!(of(&homes[1], &same), first, "the one who has it keeps it");
        assert_eq!(of(&homes[0], &same), first);
        // What is gone is free again.
        fs::remove_dir_all(homes[0].join(same.as_str())).expect("destroyed");
        let third = machine.path().join("third");
        assert_eq!(of(&third, &same), first);
        // Another engine's frame has it: by its container's label alone.
        let others = BTreeSet::from([first / BLOCK]);
        let moved = numbers.of(&same, &third, &others).expect("chosen").expect("one");
        assert_ne!(moved, first);
    }

    #[test]
    fn nobody_chooses_while_another_does() {
        let machine = tempfile::tempdir().expect("a folder");
        let numbers = Numbers { shared: machine.path().join("shared") };
        let held = numbers.lock().expect("held");
        let waits = std::thread::spawn({
            let numbers = numbers.clone();
            move || numbers.lock().map(drop)
        });
        let again = File::open(machine.path().join("shared/lock")).expect("there");
        assert_eq!(flock(&again, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
        drop(held);
        waits.join().expect("no panic").expect("its turn came");

        let open = Numbers { shared: machine.path().join("open") };
        fs::create_dir(&open.shared).expect("made");
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&open.shared, all).expect("opened");
        assert!(open.lock().is_err(), "where others may write nothing is believed");
    }
}

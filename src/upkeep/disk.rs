//! Watches what frames write to the disk on which mimir's own data is.
//!
//! Most file systems here know no quota for a folder, so this looks: at the free space every few seconds, which costs
//! nothing, and into the frames' own folders when it has fallen, or now and then. A frame whose folder holds more than
//! `frames.disk` is stopped; with less than `frames.disk_free` left those are stopped whose folders grew, and when none
//! did (the project's folder, a file without a name) those that work, and if none works, all. The number of files that a
//! disk can hold is looked after in the same way: files without contents take no space, and nobody else can make one then.
//!
//! Between two looks a disk takes what it can write in that time; `frames.disk_free` is there for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::{Live, schema as config};
use crate::frames::{FrameError, Frames, space};
use crate::model::frame::{Desired, Frame, FrameState};
use crate::model::ids::FrameId;
use crate::model::principal::Principal;
use crate::model::quantity::size;
use crate::status::Statuses;
use crate::store::{Store, frames};
use crate::supervisor::Service;

/// How often the free space is asked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// When that much less is free, somebody writes: folders are looked into.
const FELL: u64 = 128 << 20;
/// They are looked into this often anyway.
const LOOK_INSIDE_EVERY: Duration = Duration::from_secs(15 * 60);
/// A folder that grew by that much between two looks is one that is written to.
const GREW: u64 = 64 << 20;
/// Or by so many files.
const GREW_FILES: u64 = 20_000;
/// A look into a folder ends here; what was counted until then counts.
const LOOK_ENDS_AFTER: Duration = Duration::from_secs(20);

/// Everything that [`DiskWatch`] is made of.
pub struct DiskWatchDeps {
    /// The database.
    pub store: Store,
    /// Frames.
    pub frames: Frames,
    /// What they do.
    pub statuses: Statuses,
    /// mimir's own folder.
    pub home: PathBuf,
    /// What is configured.
    pub config: config::Frames,
}

/// Watches the disk. Cheap to clone.
#[derive(Clone)]
pub struct DiskWatch {
    inner: Arc<Inner>,
}

struct Inner {
    deps: DiskWatchDeps,
    config: Live<config::Frames>,
    seen: Mutex<Seen>,
}

/// What is remembered between looks. Losing it costs one look.
#[derive(Default)]
struct Seen {
    free: Option<u64>,
    inside_at: Option<Instant>,
    held: BTreeMap<FrameId, Held>,
    warned: BTreeSet<FrameId>,
    /// Frames of which it was said that not all can be counted.
    told_unknown: BTreeSet<FrameId>,
}

/// What a folder holds, as far as it could be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    bytes: u64,
    files: u64,
    /// Folders that could not be read.
    unread: u64,
    /// The look ended before everything was counted.
    is_cut: bool,
}

impl Held {
    /// By how much it grew since then, if that is much. Without an earlier look nobody knows; the next one is soon.
    fn growth(self, before: Option<Self>) -> Option<Growth> {
        let before = before?;
        let (bytes, files) =
            (self.bytes.saturating_sub(before.bytes), self.files.saturating_sub(before.files));
        match (bytes >= GREW, files >= GREW_FILES) {
            (true, _) => Some(Growth::Bytes(bytes)),
            (false, true) => Some(Growth::Files(files)),
            (false, false) => None,
        }
    }

    /// What is not known of it, if anything.
    fn unknown(self) -> Option<String> {
        match self {
            Self { unread: 0, is_cut: false, .. } => None,
            Self { unread: 0, .. } => {
                let within = LOOK_ENDS_AFTER.as_secs();
                Some(format!("its own folder holds more than could be counted within {within} s"))
            }
            Self { unread, .. } => Some(format!(
                "folders that cannot be read in its own folder: {unread}; what they hold is not counted"
            )),
        }
    }
}

/// By how much a folder grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Bytes(u64),
    Files(u64),
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&size(*bytes)),
            Self::Files(files) => write!(f, "{files} files"),
        }
    }
}

/// What is to be done about one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It holds that much, which is most of what it may.
    Warn(u64),
    /// It holds more than it may.
    TooMuch(u64),
    /// The disk is nearly full, and it grew by that much.
    Fills(Growth),
}

impl Service for DiskWatch {
    const NAME: &'static str = "disk watch";

    async fn run(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the disk could not be looked after: {error}");
            }
        }
    }
}

impl DiskWatch {
    /// Makes the service.
    #[must_use]
    pub fn new(deps: DiskWatchDeps) -> Self {
        let config = Live::new(deps.config.clone());
        Self { inner: Arc::new(Inner { deps, config, seen: Mutex::default() }) }
    }

    /// Another configuration from now on.
    pub fn configure(&self, config: config::Frames) {
        self.inner.config.set(config);
    }

    /// Looks once.
    ///
    /// # Errors
    /// When rows cannot be read or written.
    pub async fn look(&self) -> Result<(), FrameError> {
        let deps = &self.inner.deps;
        let Some(free) = space::free(&deps.home) else { return Ok(()) };
        let config = self.inner.config.now();
        let last_files = space::last_files(&deps.home);
        let is_low = free < config.disk_free || last_files.is_some();
        let lack = match last_files {
            Some(left) => format!("only {left} files more can be made on the disk"),
            None => format!("only {} are free on the disk", size(free)),
        };
        {
            let mut seen = self.inner.seen.lock();
            let fell = seen.free.is_some_and(|before| before.saturating_sub(free) >= FELL);
            let is_due = seen.inside_at.is_none_or(|at| at.elapsed() >= LOOK_INSIDE_EVERY);
            // Measured from the last look inside, so that slow writing is noticed as well.
            if seen.free.is_none() || fell || free > seen.free.unwrap_or(0) {
                seen.free = Some(free);
            }
            if !(is_low || fell || is_due) {
                return Ok(());
            }
            seen.inside_at = Some(Instant::now());
        }
        let running =
            deps.store.read(|db| frames::list(db)).await?.into_iter().filter(writes).collect::<Vec<_>>();
        let held = self.look_inside(&running).await;
        let (mut grew, mut all_known) = (false, true);
        for frame in &running {
            let now = held.get(&frame.id).copied().unwrap_or_default();
            let before = self.inner.seen.lock().held.get(&frame.id).copied();
            self.tell_unknown(frame, now).await?;
            all_known &= before.is_some();
            let verdict = judge(now, before, config.disk, is_low);
            grew |= matches!(verdict, Verdict::Fills(_) | Verdict::TooMuch(_));
            self.act(frame, &verdict, &lack).await?;
        }
        if is_low && all_known && !grew {
            self.stop_workers(&running, &lack).await?;
        }
        let mut seen = self.inner.seen.lock();
        seen.warned.retain(|id| held.contains_key(id));
        seen.told_unknown.retain(|id| held.contains_key(id));
        seen.held = held;
        Ok(())
    }

    /// What the frames' own folders hold.
    async fn look_inside(&self, running: &[Frame]) -> BTreeMap<FrameId, Held> {
        let folders: Vec<_> = running
            .iter()
            .map(|frame| (frame.id.clone(), self.inner.deps.frames.own_folder(&frame.id)))
            .collect();
        let walk = move || folders.into_iter().map(|(id, folder)| (id, held_in(&folder))).collect();
        tokio::task::spawn_blocking(walk).await.unwrap_or_default()
    }

    /// Says once that a frame holds more than can be counted: the agent can close its folders to everybody but root.
    async fn tell_unknown(&self, frame: &Frame, held: Held) -> Result<(), FrameError> {
        let Some(text) = held.unknown() else {
            self.inner.seen.lock().told_unknown.remove(&frame.id);
            return Ok(());
        };
        if !self.inner.seen.lock().told_unknown.insert(frame.id.clone()) {
            return Ok(());
        }
        self.note(frame, "disk_unknown", text).await
    }

    async fn act(&self, frame: &Frame, verdict: &Verdict, lack: &str) -> Result<(), FrameError> {
        let limit = size(self.inner.config.now().disk);
        let folder = self.inner.deps.frames.own_folder(&frame.id);
        let folder = folder.join("home");
        let folder = folder.display();
        match verdict {
            Verdict::Fine => {
                self.inner.seen.lock().warned.remove(&frame.id);
                Ok(())
            }
            Verdict::Warn(held) => {
                if !self.inner.seen.lock().warned.insert(frame.id.clone()) {
                    return Ok(());
                }
                let text = format!(
                    "its own folder holds {} of {limit}: it is stopped when it holds more (remove something in {folder}, \
                     or `mimir config set frames.disk`)",
                    size(*held)
                );
                self.note(frame, "disk_high", text).await
            }
            Verdict::TooMuch(held) => {
                let text = format!(
                    "its own folder holds {}, more than the {limit} it may: it was stopped. Remove something in {folder}, \
                     or raise the limit (`mimir config set frames.disk`), then `mimir frame start {}`",
                    size(*held),
                    frame.name
                );
                self.stop_for_good(frame, text).await
            }
            Verdict::Fills(by) => {
                let text = format!(
                    "{lack} and its own folder grew by {by}: it was stopped. Make room, then `mimir frame start {}`",
                    frame.name
                );
                self.stop(frame, "disk_full", text).await
            }
        }
    }

    /// Somebody fills the disk, and no folder shows who: whoever works may.
    async fn stop_workers(&self, running: &[Frame], lack: &str) -> Result<(), FrameError> {
        let all = self.inner.deps.statuses.all().await?;
        let mine = || all.iter().filter(|now| running.iter().any(|frame| frame.id == now.frame.id));
        // A program that was left running writes as well: when no agent works, it may be any of them.
        let nobody_works = mine().all(|now| now.occupied.is_none());
        for now in mine().filter(|now| nobody_works || now.occupied.is_some()) {
            let text = format!(
                "{lack} and nobody knows who fills it: it was stopped. Make room, then `mimir frame start {}`",
                now.frame.name
            );
            self.stop(&now.frame, "disk_full", text).await?;
        }
        Ok(())
    }

    async fn stop(&self, frame: &Frame, code: &'static str, text: String) -> Result<(), FrameError> {
        tracing::warn!(frame.id = %frame.id, "frame {} is stopped: {text}", frame.name);
        self.note(frame, code, text).await?;
        self.inner
            .deps
            .frames
            .ask(&Principal::service("upkeep"), &frame.name, Desired::Stopped)
            .await
            .map(drop)
    }

    /// As [`DiskWatch::stop`], and no message wakes it: it would hold as much as before.
    async fn stop_for_good(&self, frame: &Frame, text: String) -> Result<(), FrameError> {
        let (id, why) = (frame.id.clone(), text.clone());
        self.inner.deps.store.write(move |tx| frames::set_stopped_for(tx, &id, Some(&why))).await?;
        self.stop(frame, "disk_limit", text).await
    }

    async fn note(&self, frame: &Frame, code: &'static str, text: String) -> Result<(), FrameError> {
        let id = frame.id.clone();
        Ok(self.inner.deps.store.write(move |tx| frames::note(tx, &id, code, &text)).await?)
    }
}

/// Whether it can write.
fn writes(frame: &Frame) -> bool {
    frame.engine.is_local()
        && frame.desired == Desired::Running
        && matches!(frame.state, FrameState::Running | FrameState::Starting)
}

fn judge(held: Held, before: Option<Held>, limit: u64, is_low: bool) -> Verdict {
    if held.bytes > limit {
        return Verdict::TooMuch(held.bytes);
    }
    match held.growth(before) {
        Some(growth) if is_low => Verdict::Fills(growth),
        _ if held.bytes >= limit / 5 * 4 => Verdict::Warn(held.bytes),
        _ => Verdict::Fine,
    }
}

/// Bytes and files on the disk beneath a folder that a stranger changes meanwhile. Links are not followed, other file systems not
/// entered, a file with several names counts once.
fn held_in(folder: &Path) -> Held {
    let ends_at = Instant::now() + LOOK_ENDS_AFTER;
    let mut held = Held::default();
    let Ok(root) = folder.symlink_metadata() else { return held };
    let mut linked = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let entries = match std::fs::read_dir(&at) {
            Ok(entries) => entries,
            // What vanishes holds nothing.
            Err(error) => {
                held.unread += u64::from(error.kind() == std::io::ErrorKind::PermissionDenied);
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != root.dev()
                || (found.nlink() > 1 && !found.is_dir() && !linked.insert(found.ino()))
            {
                continue;
            }
            held.bytes = held.bytes.saturating_add(found.blocks().saturating_mul(512));
            held.files += 1;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
        if Instant::now() >= ends_at {
            held.is_cut = !folders.is_empty();
            break;
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn bytes(bytes: u64) -> Held {
        Held { bytes, ..Held::default() }
    }

    fn files(files: u64) -> Held {
        Held { files, ..Held::default() }
    }

    #[test]
    fn a_frame_is_warned_at_80_percent_and_stopped_above_its_limit() {
        let judged = |held: u64, before| judge(bytes(held), before, 10 * GIB, false);
        assert_eq!(judged(7 * GIB, Some(bytes(7 * GIB))), Verdict::Fine);
        assert_eq!(judged(8 * GIB, Some(bytes(8 * GIB))), Verdict::Warn(8 * GIB));
        assert_eq!(judged(10 * GIB, None), Verdict::Warn(10 * GIB));
        assert_eq!(judged(10 * GIB + 1, None), Verdict::TooMuch(10 * GIB + 1));
    }

    #[test]
    fn on_a_full_disk_who_grows_is_stopped_and_who_does_not_is_left_alone() {
        let judged = |held, before, is_low| judge(held, before, 10 * GIB, is_low);
        let grew = Verdict::Fills(Growth::Bytes(GIB));
        assert_eq!(judged(bytes(GIB), Some(bytes(GIB)), true), Verdict::Fine);
        assert_eq!(judged(bytes(2 * GIB), Some(bytes(GIB)), true), grew);
        assert_eq!(judged(bytes(2 * GIB), Some(bytes(GIB)), false), Verdict::Fine);
        assert_eq!(judged(bytes(2 * GIB), None, true), Verdict::Fine, "nobody knows yet whether it grew");
        // Files without contents.
        let bomb = Verdict::Fills(Growth::Files(GREW_FILES));
        assert_eq!(judged(files(GREW_FILES + 7), Some(files(7)), true), bomb);
        assert_eq!(judged(files(GREW_FILES + 7), Some(files(8)), true), Verdict::Fine);
        assert_eq!(Growth::Files(7).to_string(), "7 files");
    }

    #[test]
    fn what_a_folder_holds_is_counted_once_and_links_lead_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let inside = home.path().join("a/b");
        std::fs::create_dir_all(&inside).unwrap();
        std::fs::write(inside.join("large"), vec![1; 1 << 20]).unwrap();
        std::fs::hard_link(inside.join("large"), home.path().join("again")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("larger"), vec![1; 8 << 20]).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join("link")).unwrap();
        let held = held_in(home.path());
        assert!(((1 << 20)..(2 << 20)).contains(&held.bytes), "{held:?}");
        // Two folders, a file with two names, a link.
        assert_eq!((held.files, held.unread, held.is_cut), (4, 0, false));
        assert_eq!(held_in(&home.path().join("nothing")), Held::default());
    }

    #[test]
    fn what_cannot_be_counted_is_said() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let closed = home.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        let held = held_in(home.path());
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        // Root reads every folder.
        assert_eq!(held.unread, u64::from(!rustix::process::geteuid().is_root()));
        assert_eq!(Held { bytes: 7, ..Held::default() }.unknown(), None);
        let closed = Held { unread: 2, ..Held::default() }.unknown().unwrap();
        assert!(closed.contains("cannot be read") && closed.contains(": 2;"), "{closed}");
        let cut = Held { is_cut: true, ..Held::default() }.unknown().unwrap();
        assert!(cut.contains("more than could be counted"), "{cut}");
    }
}

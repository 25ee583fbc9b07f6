//! Kinds of frames that are kept ready: what makes two frames alike, which kinds were needed lately, and which did not work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::model::frame::Desired;
use crate::model::ids::FrameId;
use crate::model::network::NetworkMode;
use crate::model::policy::Rule;
use crate::runtime::StartContents;
use crate::store::frames::NewFrame;
use crate::supervisor::Tasks;
use crate::supervisor::keyed::Keyed;

/// How many kinds are kept ready; the one that was needed longest ago is forgotten first.
pub(super) const MOST_KINDS: usize = 4;
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// What is kept ready.
pub(super) struct Pool {
    /// Kinds that were needed and when, the last one at the end. Lost with the gateway: the next need brings it back.
    wanted: Mutex<Vec<(Instant, Recipe)>>,
    /// How long a kind is wanted after it was needed.
    for_so_long: Duration,
    /// Kinds of which a frame failed or ended by itself.
    troubles: Mutex<BTreeMap<String, Trouble>>,
    /// What was in the way of more at the last look.
    obstacle: Mutex<Option<String>>,
    /// Frames that somebody is about to take.
    in_hand: Mutex<BTreeSet<FrameId>>,
    /// Looks after the pool; one pass at a time.
    pub(super) looks: Keyed<&'static str>,
    /// The right to be starting: one of them at a time, and none of people's.
    pub(super) starts: Arc<Semaphore>,
}

/// How another one of a kind is made.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) kind: String,
    pub(super) like: NewFrame,
    pub(super) rules: Vec<Rule>,
}

/// Why one goes that nobody took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing is the matter with it.
    Unneeded(&'static str),
    /// It does not work: the next one of its kind waits.
    Failed(String),
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    times: u32,
    not_before: Instant,
}

impl Pool {
    pub(super) fn new(tasks: &Tasks, for_so_long: Duration) -> Self {
        Self {
            wanted: Mutex::default(),
            for_so_long,
            troubles: Mutex::default(),
            obstacle: Mutex::default(),
            in_hand: Mutex::default(),
            looks: Keyed::new(tasks, "warm frames", |_| ()),
            starts: Arc::new(Semaphore::new(1)),
        }
    }

    /// One of that kind was needed.
    pub(super) fn want(&self, recipe: Recipe) {
        let mut wanted = self.wanted.lock();
        wanted.retain(|(_, known)| known.kind != recipe.kind);
        wanted.push((Instant::now(), recipe));
        if wanted.len() > MOST_KINDS {
            wanted.remove(0);
        }
    }

    /// The kinds that were needed lately, the one that was needed last first.
    pub(super) fn wanted(&self) -> Vec<Recipe> {
        let mut wanted = self.wanted.lock();
        wanted.retain(|(needed, _)| needed.elapsed() < self.for_so_long);
        wanted.iter().rev().map(|(_, recipe)| recipe.clone()).collect()
    }

    /// Another configuration: nobody knows which kinds are needed from now on.
    pub(super) fn forget_kinds(&self) {
        self.wanted.lock().clear();
    }

    /// One of that kind failed, or ended by itself: the next one has to wait, each time twice as long. What ends together,
    /// with the machine perhaps, counts once.
    pub(super) fn failed(&self, kind: &str, pause: Duration) {
        self.failed_at(kind, pause, Instant::now());
    }

    fn failed_at(&self, kind: &str, pause: Duration, now: Instant) {
        let mut troubles = self.troubles.lock();
        let before = troubles.get(kind).copied();
        if before.is_some_and(|trouble| trouble.not_before > now) {
            return;
        }
        let times = before.map_or(1, |trouble| trouble.times.saturating_add(1));
        let pause = pause.saturating_mul(2_u32.saturating_pow(times)).min(LONGEST_PAUSE);
        troubles.insert(kind.to_owned(), Trouble { times, not_before: now + pause });
        if troubles.len() > MOST_KINDS * 4 {
            // Those whose pause is over longest.
            let first = troubles.iter().min_by_key(|(_, trouble)| trouble.not_before);
            if let Some(kind) = first.map(|(kind, _)| kind.clone()) {
                troubles.remove(&kind);
            }
        }
    }

    /// One of that kind was taken: they work.
    pub(super) fn works(&self, kind: &str) {
        self.troubles.lock().remove(kind);
    }

    /// What was in the way of more at the last look.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().clone()
    }

    /// Keeps what is in the way, and says it once.
    pub(super) fn set_obstacle(&self, found: Option<String>) {
        let mut obstacle = self.obstacle.lock();
        if *obstacle != found
            && let Some(why) = &found
        {
            tracing::info!("no more frames are kept ready for now: {why}");
        }
        *obstacle = found;
    }

    pub(super) fn may_be_made(&self, kind: &str) -> bool {
        self.troubles.lock().get(kind).is_none_or(|trouble| trouble.not_before <= Instant::now())
    }
}

/// Somebody is about to take that frame, for as long as this lives.
pub(super) struct InHand<'a> {
    pool: &'a Pool,
    id: FrameId,
}

impl Pool {
    /// Nobody else takes it meanwhile. None when somebody has it in hand already.
    pub(super) fn in_hand(&self, id: &FrameId) -> Option<InHand<'_>> {
        self.in_hand.lock().insert(id.clone()).then(|| InHand { pool: self, id: id.clone() })
    }

    pub(super) fn is_in_hand(&self, id: &FrameId) -> bool {
        self.in_hand.lock().contains(id)
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.pool.in_hand.lock().remove(&self.id);
    }
}

/// The kind of a frame; none for one that cannot be started before it is known whose it is.
pub(super) fn kind_of(new: &NewFrame, rules: &[Rule], own_workspace: &Path) -> Option<String> {
    let fits = new.desired == Desired::Running
        && new.expires_at.is_some()
        && Path::new(&new.workspace) == own_workspace
        && new.network != NetworkMode::Open
        && new.env.is_empty()
        && new.git.is_none()
        && !new.gpu;
    let all =
        json!([new.image, new.network, new.limits, [new.owner_uid, new.owner_gid], new.providers, rules]);
    fits.then(|| hex::encode(Sha256::digest(all.to_string()))[..16].to_owned())
}

/// A word for all that a frame is started with: what it reads but the password, which is its own, how its container is
/// locked up, and which mimir found its agent to be one that can be worked with.
pub(super) fn digest_of(contents: &StartContents, hardening: &str) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    [hardening, env!("CARGO_PKG_VERSION")].into_iter().for_each(&mut add);
    [&contents.agent_config, &contents.env, &contents.git_config].into_iter().for_each(|text| add(text));
    for (name, secret) in &contents.secrets {
        add(name);
        add(secret.reveal());
    }
    add(contents.certificates.as_deref().unwrap_or_default());
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    #[test]
    fn frames_that_are_started_with_something_else_are_told_apart() {
        let contents = |env: &str| StartContents {
            start: 1,
            password: Secret::new(env),
            agent_config: "{}".to_owned(),
            env: env.to_owned(),
            git_config: String::new(),
            secrets: vec![("TOKEN".to_owned(), Secret::new("x"))],
            certificates: None,
            trusted: None,
        };
        let known = digest_of(&contents("A=b\n"), "word");
        assert_eq!(known, digest_of(&StartContents { start: 2, ..contents("A=b\n") }, "word"));
        let password = StartContents { password: Secret::new("other"), ..contents("A=b\n") };
        assert_eq!(known, digest_of(&password, "word"), "each has its own");
        assert_ne!(known, digest_of(&contents("A=c\n"), "word"));
        assert_ne!(known, digest_of(&contents("A=b\n"), "another word"));
        let trusting = StartContents { certificates: Some("one".to_owned()), ..contents("A=b\n") };
        assert_ne!(known, digest_of(&trusting, "word"));
        let secrets = vec![("TOKEN".to_owned(), Secret::new("y"))];
        assert_ne!(known, digest_of(&StartContents { secrets, ..contents("A=b\n") }, "word"));
    }

    #[test]
    fn a_kind_that_fails_waits_longer_each_time_until_one_is_taken() {
        let pool = Pool::new(&Tasks::default(), Duration::from_secs(60));
        let (tick, mut now) = (Duration::from_secs(10), Instant::now());
        assert!(pool.may_be_made("a"));
        let ends = || pool.troubles.lock()["a"].not_before;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            // Eight that end together are one end.
            for _ in 0..8 {
                pool.failed_at("a", tick, now);
            }
            assert!(!pool.may_be_made("a") && pool.may_be_made("b"));
            pauses.push((ends() - now).as_secs());
            now = ends();
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600, 3600]);
        pool.works("a");
        assert!(pool.may_be_made("a"));
    }
}

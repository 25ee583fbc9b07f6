//! Named places where a test lets the gateway die.
//!
//! Every boundary between two steps that must survive a crash has a name, such
//! as `create.after_row`. Ordinary builds do nothing there. With the feature
//! `test-support` a test can arm a name, and a whole process dies by SIGKILL at
//! the name in `MIMIR_FAILPOINT` (`name`, or `name:3` for the third time).

#[cfg(feature = "test-support")]
use std::collections::BTreeMap;
#[cfg(feature = "test-support")]
use std::sync::Arc;

#[cfg(feature = "test-support")]
use parking_lot::Mutex;

/// The failpoints of one gateway. Cheap to clone; clones share what is armed.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    #[cfg(feature = "test-support")]
    inner: Arc<Inner>,
}

#[cfg(feature = "test-support")]
#[derive(Debug, Default)]
struct Inner {
    /// How many more times a name is passed before it strikes; and whether the whole process dies then.
    armed: Mutex<BTreeMap<String, Armed>>,
    passed: Mutex<BTreeMap<&'static str, u32>>,
    /// How many more points of any name are passed before one strikes.
    any: Mutex<Option<u32>>,
    died_at: tokio::sync::watch::Sender<Option<&'static str>>,
}

#[cfg(feature = "test-support")]
#[derive(Debug)]
struct Armed {
    left: u32,
    kills_process: bool,
}

impl Failpoints {
    /// The failpoints that the environment asks for.
    #[must_use]
    pub fn from_env() -> Self {
        let failpoints = Self::default();
        #[cfg(feature = "test-support")]
        if let Ok(wish) = std::env::var("MIMIR_FAILPOINT") {
            let (name, nth) = match wish.split_once(':') {
                Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
                None => (wish.as_str(), 1),
            };
            failpoints.insert(name, nth, true);
        }
        failpoints
    }

    /// A place where the gateway may die. Here a dead gateway is one that never gets past this line.
    #[cfg(not(feature = "test-support"))]
    #[inline]
    pub async fn hit(&self, _name: &'static str) {}

    /// A place where the gateway may die. Here a dead gateway is one that never gets past this line.
    #[cfg(feature = "test-support")]
    pub async fn hit(&self, name: &'static str) {
        match self.pass(name) {
            Fate::Live => {}
            Fate::Hang => {
                self.inner.died_at.send_replace(Some(name));
                std::future::pending::<()>().await;
            }
            Fate::Kill => {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(feature = "test-support")]
enum Fate {
    Live,
    Hang,
    Kill,
}

#[cfg(feature = "test-support")]
impl Failpoints {
    /// Lets whoever comes to `name` for the `nth` time (from 1) hang there for ever.
    pub fn arm(&self, name: &str, nth: u32) {
        self.insert(name, nth, false);
    }

    /// Lets whoever comes to the `nth` point from now on (from 1), whatever its name, hang there for ever.
    pub fn arm_any(&self, nth: u32) {
        *self.inner.any.lock() = Some(nth.max(1));
    }

    /// Waits until somebody hangs, and says where.
    pub async fn died(&self) -> &'static str {
        let mut died_at = self.inner.died_at.subscribe();
        loop {
            if let Some(name) = *died_at.borrow_and_update() {
                return name;
            }
            if died_at.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How often each name was passed.
    #[must_use]
    pub fn passed(&self) -> BTreeMap<&'static str, u32> {
        self.inner.passed.lock().clone()
    }

    fn insert(&self, name: &str, nth: u32, kills_process: bool) {
        self.inner.armed.lock().insert(name.to_owned(), Armed { left: nth.max(1), kills_process });
    }

    fn pass(&self, name: &'static str) -> Fate {
        *self.inner.passed.lock().entry(name).or_default() += 1;
        let mut any = self.inner.any.lock();
        if let Some(left) = any.as_mut() {
            *left -= 1;
            if *left == 0 {
                *any = None;
                return Fate::Hang;
            }
        }
        drop(any);
        let mut armed = self.inner.armed.lock();
        let Some(point) = armed.get_mut(name) else { return Fate::Live };
        point.left -= 1;
        if point.left > 0 {
            return Fate::Live;
        }
        let kills_process = point.kills_process;
        armed.remove(name);
        if kills_process { Fate::Kill } else { Fate::Hang }
    }
}

#[cfg(all(test, feature = "test-support"))]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_armed_point_is_never_passed_and_says_so() {
        let points = Failpoints::default();
        points.arm("here", 2);
        points.hit("here").await;
        points.hit("elsewhere").await;

        let stuck = tokio::time::timeout(Duration::from_millis(20), points.hit("here")).await;
        assert!(stuck.is_err());
        assert_eq!(points.died().await, "here");
        assert_eq!(points.passed().get("here"), Some(&2));
    }
}

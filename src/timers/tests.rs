use std::path::Path;
use std::time::Instant;

use super::*;
use crate::model::secret::Secret;
use crate::store::OpenOptions;

const SOON: Duration = Duration::from_secs(20);
const START: u64 = 1_000_000;

/// A gateway's timers, and what fired.
struct World {
    store: Store,
    clock: Clock,
    tasks: Tasks,
    fired: Arc<Mutex<Vec<String>>>,
    failures: Arc<Mutex<u32>>,
}

impl World {
    fn open(folder: &Path, clock: &Clock) -> Self {
        let options = OpenOptions {
            path: folder.join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: folder.join("backups"),
        };
        let store = Store::open(options, clock.clone()).expect("a database");
        let (fired, failures) = (Arc::default(), Arc::default());
        Self { store, clock: clock.clone(), tasks: Tasks::default(), fired, failures }
    }

    /// Runs timers of the kinds `note` and `every`.
    fn runs(&self) -> Timers {
        let timers = Timers::new(self.store.clone(), self.clock.clone(), &self.tasks);
        let (fired, failures) = (self.fired.clone(), self.failures.clone());
        timers.handle("note", move |subject| {
            let (fired, failures) = (fired.clone(), failures.clone());
            async move {
                fired.lock().push(subject);
                let mut left = failures.lock();
                let fails = *left > 0;
                *left = left.saturating_sub(1);
                if fails { Err("not now") } else { Ok(Fired::Done) }
            }
        });
        self.tasks.run(&timers);
        timers
    }

    async fn set(&self, kind: &'static str, subject: &str, due_at: u64) {
        let subject = subject.to_owned();
        self.store.write(move |tx| timers::set(tx, kind, &subject, due_at)).await.expect("set");
    }

    async fn find(&self, kind: &'static str, subject: &str) -> Option<Timer> {
        let subject = subject.to_owned();
        self.store.read(move |db| timers::find(db, kind, &subject)).await.expect("read")
    }

    async fn fires(&self, count: usize) -> Vec<String> {
        let until = Instant::now() + SOON;
        while self.fired.lock().len() < count {
            assert!(Instant::now() < until, "{count} are to fire, {:?} did", self.fired.lock());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.fired.lock().clone()
    }

    async fn gone(&self, kind: &'static str, subject: &str) {
        let until = Instant::now() + SOON;
        while let Some(left) = self.find(kind, subject).await {
            assert!(Instant::now() < until, "{left:?} is still there");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The gateway ends.
    async fn ends(self) {
        assert!(self.tasks.stop(SOON).await, "its tasks end");
    }
}

#[tokio::test]
async fn it_fires_once_at_its_time_and_late_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(START);
    let world = World::open(folder.path(), &clock);
    world.runs();
    world.set("note", "due", START).await;
    world.set("note", "later", START + 60_000).await;
    assert_eq!(world.fires(1).await, ["due"]);
    world.gone("note", "due").await;
    world.ends().await;
    // The machine sleeps, or nobody starts the gateway.
    clock.advance_ms(3_600_000);
    let world = World::open(folder.path(), &clock);
    assert!(world.find("note", "later").await.is_some());
    world.runs();
    assert_eq!(world.fires(1).await, ["later"]);
    world.gone("note", "later").await;
    assert_eq!(world.fired.lock().len(), 1);
    world.ends().await;
}

#[tokio::test]
async fn one_that_fails_is_tried_again_later_each_time_and_stays_until_it_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(START);
    let world = World::open(folder.path(), &clock);
    *world.failures.lock() = 2;
    world.runs();
    world.set("note", "a", START).await;
    for (attempt, pause) in [(1, 1_000), (2, 2_000)] {
        world.fires(attempt).await;
        let until = Instant::now() + SOON;
        let failed = loop {
            match world.find("note", "a").await {
                Some(timer) if timer.attempts as usize == attempt => break timer,
                other => assert!(Instant::now() < until, "{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        assert_eq!(failed.due_at, clock.now_ms() + pause);
        clock.advance_ms(pause);
        // Somebody sets any timer, so that the moved clock is looked at.
        world.set("note", "never", u64::MAX >> 2).await;
    }
    world.gone("note", "a").await;
    assert_eq!(world.fires(3).await, ["a", "a", "a"]);
    world.ends().await;
}

#[tokio::test]
async fn one_that_is_cancelled_or_moved_does_not_fire_at_its_old_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(START);
    let world = World::open(folder.path(), &clock);
    world.runs();
    world.set("note", "cancelled", START + 10).await;
    world.set("note", "moved", START + 10).await;
    world.store.write(|tx| timers::cancel(tx, "note", "cancelled")).await.expect("cancelled");
    world.set("note", "moved", START + 10_000).await;
    clock.advance_ms(20);
    world.set("note", "now", START).await;
    assert_eq!(world.fires(1).await, ["now"]);
    // A clock that is set back makes it later, and no second one.
    assert!(world.find("note", "cancelled").await.is_none());
    clock.advance_ms(20_000);
    world.set("note", "end", START).await;
    world.fires(3).await;
    world.gone("note", "moved").await;
    assert_eq!(world.fired.lock().iter().filter(|subject| *subject == "moved").count(), 1);
    world.ends().await;
}

#[tokio::test]
async fn one_that_is_set_anew_while_it_fires_fires_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::manual(START);
    let world = World::open(folder.path(), &clock);
    let timers = world.runs();
    let (store, fired) = (world.store.clone(), world.fired.clone());
    timers.handle("twice", move |subject| {
        let (store, fired) = (store.clone(), fired.clone());
        async move {
            fired.lock().push(subject);
            if fired.lock().len() == 1 {
                store.write(|tx| timers::set(tx, "twice", "a", START - 1)).await?;
            }
            Ok::<_, StoreError>(Fired::Done)
        }
    });
    world.set("twice", "a", START).await;
    world.fires(2).await;
    world.gone("twice", "a").await;
    assert_eq!(world.fired.lock().len(), 2);
    world.ends().await;
}

#[tokio::test]
async fn what_nobody_handles_is_kept_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::open(folder.path(), &Clock::manual(START));
    world.set("of a later version", "x", 1).await;
    let timers = world.runs();
    timers.handle("slow", |_| std::future::pending::<Result<Fired, String>>());
    world.set("slow", "for ever", 1).await;
    let all = world
        .store
        .write(|tx| (0..1_000).try_for_each(|n| timers::set(tx, "note", &n.to_string(), START - n)));
    all.await.expect("set");
    let mut fired = world.fires(1_000).await;
    fired.sort();
    fired.dedup();
    assert_eq!(fired.len(), 1_000, "each once");
    world.gone("note", "999").await;
    assert!(world.find("of a later version", "x").await.is_some());
    world.ends().await;
}

#[tokio::test]
async fn what_happens_again_and_again_does_so_from_the_start_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::system();
    for _ in 0..2 {
        let world = World::open(folder.path(), &clock);
        let timers = Timers::new(world.store.clone(), clock.clone(), &world.tasks);
        let fired = world.fired.clone();
        timers.every("every", Duration::from_millis(20), Duration::from_millis(20), move || {
            fired.lock().push("again".into());
            async { Ok::<_, String>(()) }
        });
        world.tasks.run(&timers);
        world.fires(3).await;
        world.ends().await;
    }
}

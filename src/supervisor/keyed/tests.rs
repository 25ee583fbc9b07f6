use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn slot_state() -> (Arc<u8>, CancellationToken) {
    (Arc::new(0), CancellationToken::new())
}

/// What can happen to a key between two locks.
#[derive(Clone, Copy, Debug)]
enum Move {
    Wake,
    Cancel,
    Begin,
    End(Ended),
}

const MOVES: [Move; 7] = [
    Move::Wake,
    Move::Cancel,
    Move::Begin,
    Move::End(Ended::With(Next::Done)),
    Move::End(Ended::With(Next::Again)),
    Move::End(Ended::With(Next::Backoff)),
    Move::End(Ended::Panicked),
];

/// Plays the moves as the task and others would make them, and says whether a wake was lost.
fn play(moves: &[Move]) -> Result<(), &'static str> {
    let mut slot: Option<Slot<u8>> = None;
    let mut pass: Option<Arc<u8>> = None;
    // Whether somebody is owed a pass that begins after now.
    let mut owed = false;
    for &step in moves {
        match step {
            Move::Wake => {
                slot.get_or_insert_default().wake(slot_state, |_| {});
                owed = true;
            }
            Move::Cancel => {
                if let Some(slot) = &mut slot {
                    slot.cancel();
                }
                owed = false;
            }
            Move::Begin if pass.is_none() => {
                let Some(known) = &mut slot else { continue };
                match known.begin() {
                    Some((state, _, _)) => {
                        pass = Some(state);
                        owed = false;
                    }
                    None => slot = None,
                }
            }
            Move::End(ended) => {
                let (Some(known), Some(state)) = (&mut slot, pass.take()) else { continue };
                match known.end(ended, &state, slot_state) {
                    After::Leave => slot = None,
                    After::Now => {}
                    After::Pause { .. } if owed && ended != Ended::Panicked => {
                        return Err("it pauses although it was woken");
                    }
                    After::Pause { .. } => {}
                }
            }
            Move::Begin => {}
        }
        if owed && slot.is_none() {
            return Err("it left although it was woken");
        }
    }
    // The task goes on: whatever is owed is begun.
    if owed && pass.is_none() && slot.and_then(|mut slot| slot.begin()).is_none() {
        return Err("the pass that is owed does not begin");
    }
    Ok(())
}

#[test]
fn no_order_of_wakes_ends_panics_and_cancels_loses_a_wake() {
    fn all(moves: &mut Vec<Move>, left: usize) {
        assert_eq!(play(moves), Ok(()), "{moves:?}");
        if left > 0 {
            for next in &MOVES {
                moves.push(*next);
                all(moves, left - 1);
                moves.pop();
            }
        }
    }
    all(&mut Vec::new(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "callers on other threads; the test waits for them")]
async fn under_wakes_from_everywhere_each_change_is_seen_and_no_two_passes_overlap() {
    #[derive(Default)]
    struct World {
        wanted: AtomicU32,
        done: AtomicU32,
        busy: AtomicBool,
    }
    let keyed: Keyed<u32, World> = Keyed::new(&Tasks::default(), "key", |_| World::default());
    // Not in the state: it goes when a key has nothing to do.
    let worlds: Arc<Vec<World>> = Arc::new((0..4).map(|_| World::default()).collect());
    let wakers = (0..4).map(|seed| {
        let (keyed, worlds) = (keyed.clone(), worlds.clone());
        tokio::spawn(async move {
            for round in 0..2_000_u32 {
                let key = (round + seed) % 4;
                worlds[key as usize].wanted.fetch_add(1, Ordering::SeqCst);
                let seen = worlds.clone();
                keyed.wake(&key, move |pass| {
                    let worlds = seen.clone();
                    async move {
                        let world = &worlds[pass.key as usize];
                        assert!(!world.busy.swap(true, Ordering::SeqCst), "two passes at once");
                        world.done.store(world.wanted.load(Ordering::SeqCst), Ordering::SeqCst);
                        if pass.key % 2 == 0 {
                            tokio::task::yield_now().await;
                        }
                        world.busy.store(false, Ordering::SeqCst);
                        Next::Done
                    }
                });
                if round % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    futures_util::future::join_all(wakers).await.into_iter().for_each(|ended| ended.expect("no panic"));
    let quiet = async {
        while !keyed.keys().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, quiet).await.expect("every key rests");
    for world in worlds.iter() {
        assert_eq!(world.done.load(Ordering::SeqCst), world.wanted.load(Ordering::SeqCst), "a wake was lost");
    }
}

/// Counts its passes; each ends as `how` says, told the number of the pass.
fn counted(
    passes: &Arc<AtomicU32>,
    how: impl Fn(u32) -> Next + Clone + Send + Sync + 'static,
) -> impl Fn(Pass<u32, ()>) -> futures_util::future::BoxFuture<'static, Next> + Send + Sync + 'static {
    let passes = passes.clone();
    move |_| {
        let (pass, how) = (passes.fetch_add(1, Ordering::SeqCst) + 1, how.clone());
        async move { how(pass) }.boxed()
    }
}

fn plain() -> Keyed<u32> {
    let backoff = Backoff::new(Duration::from_millis(40), Duration::from_secs(1));
    Keyed::new(&Tasks::default(), "key", |_| ()).with_backoff(backoff)
}

async fn eventually(holds: impl Fn() -> bool) {
    let there = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, there).await.expect("it holds soon");
}

async fn reaches(passes: &AtomicU32, wanted: u32) {
    eventually(|| passes.load(Ordering::SeqCst) >= wanted).await;
}

#[tokio::test]
async fn failures_wait_longer_each_time_and_a_rest_forgets_them() {
    let (keyed, passes) = (plain(), Arc::default());
    let began = Instant::now();
    let how = |pass| match pass {
        1..=3 => Next::Backoff,
        4 => Next::after(Duration::from_millis(1)),
        5 => Next::Backoff,
        _ => Next::Done,
    };
    keyed.wake(&1, counted(&passes, how));
    reaches(&passes, 4).await;
    let three = began.elapsed();
    assert!(three >= Duration::from_millis(3 * (40 + 80 + 160) / 4), "{three:?}");
    reaches(&passes, 6).await;
    let rest = began.elapsed().checked_sub(three).expect("time goes on");
    assert!(rest < Duration::from_millis(3 * 320 / 4), "it begins with the first delay again: {rest:?}");
    eventually(|| keyed.keys().is_empty()).await;
}

#[tokio::test]
async fn a_wake_ends_a_pause_and_not_the_one_after_a_panic() {
    let (keyed, passes) = (plain(), Arc::default());
    keyed.wake(&1, counted(&passes, |_| Next::after(SOON * 10)));
    reaches(&passes, 1).await;
    assert!(keyed.notify(&1));
    reaches(&passes, 2).await;

    let passes = Arc::default();
    let began = Instant::now();
    let how = |pass| if pass < 3 { panic!("pass {pass}") } else { Next::Done };
    keyed.wake(&2, counted(&passes, how));
    reaches(&passes, 1).await;
    keyed.wake(&2, counted(&passes, |_| Next::Done));
    reaches(&passes, 3).await;
    assert!(began.elapsed() >= Duration::from_millis(3 * (40 + 80) / 4), "both: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_panic_takes_the_state_with_it_and_not_the_key() {
    let keyed: Keyed<u32, AtomicU32> = Keyed::new(&Tasks::default(), "key", |_| AtomicU32::new(7));
    let broken = keyed.wake(&1, |pass| async move {
        assert_ne!(pass.state.swap(8, Ordering::SeqCst), 7, "broken");
        Next::Done
    });
    eventually(|| keyed.get(&1).is_some_and(|fresh| !Arc::ptr_eq(&fresh, &broken))).await;
    assert_eq!(broken.load(Ordering::SeqCst), 8);
    // A factory that panics leaves no place behind that nobody works for.
    let keyed: Keyed<u32> = Keyed::new(&Tasks::default(), "key", |_| panic!("no state"));
    let made = std::panic::catch_unwind(AssertUnwindSafe(|| keyed.wake(&1, |_| async { Next::Done })));
    assert!(made.is_err() && !keyed.notify(&1));
}

#[tokio::test]
async fn a_pass_may_wait_for_the_next_wake_itself() {
    let keyed: Keyed<u32, AtomicU32> = Keyed::new(&Tasks::default(), "key", |_| AtomicU32::new(0));
    let state = keyed.wake(&1, |mut pass| async move {
        if pass.state.fetch_add(1, Ordering::SeqCst) == 0 {
            pass.wakes.next().await;
            pass.state.fetch_add(10, Ordering::SeqCst);
        }
        Next::Done
    });
    eventually(|| state.load(Ordering::SeqCst) > 0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(state.load(Ordering::SeqCst), 1, "its own wake is not the next one");
    keyed.notify(&1);
    eventually(|| keyed.get(&1).is_none()).await;
    assert_eq!(state.load(Ordering::SeqCst), 12, "it looked during the pass and once more after it");
}

#[tokio::test]
async fn a_cancelled_key_ends_its_pass_and_begins_anew_when_it_is_woken() {
    let keyed: Keyed<u32, AtomicU32> = Keyed::new(&Tasks::default(), "key", |_| AtomicU32::new(0));
    let running = Arc::new(AtomicU32::new(0));
    let count = running.clone();
    let work = move |pass: Pass<u32, AtomicU32>| {
        let running = count.clone();
        async move {
            assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two passes at once");
            pass.state.store(1, Ordering::SeqCst);
            pass.stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Next::Done
        }
    };
    let first = keyed.wake(&1, work.clone());
    eventually(|| first.load(Ordering::SeqCst) == 1).await;
    keyed.cancel(&1);
    assert!(keyed.get(&1).is_none() && !keyed.notify(&1));
    let second = keyed.wake(&1, work);
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(second.load(Ordering::SeqCst), 0, "the first pass is still ending");
    eventually(|| second.load(Ordering::SeqCst) == 1).await;
    keyed.cancel(&1);
    eventually(|| keyed.inner.slots.lock().is_empty()).await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn of_many_wishes_at_once_the_last_is_seen() {
    let keyed: Keyed<u32, Mutex<Option<u32>>> = Keyed::new(&Tasks::default(), "key", |_| Mutex::default());
    let shown = Arc::new(Mutex::new(Vec::new()));
    let show = |wish: u32| {
        let shown = shown.clone();
        keyed.wake_with(
            &1,
            |next| *next.lock() = Some(wish),
            move |pass| {
                let shown = shown.clone();
                async move {
                    let Some(wish) = pass.state.lock().take() else { return Next::Done };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    shown.lock().push(wish);
                    Next::Done
                }
            },
        )
    };
    let first = show(1);
    eventually(|| first.lock().is_none()).await;
    (2..20).for_each(|wish| drop(show(wish)));
    eventually(|| keyed.keys().is_empty()).await;
    show(20);
    eventually(|| keyed.keys().is_empty()).await;
    assert_eq!(*shown.lock(), [1, 19, 20]);
}

#[tokio::test]
async fn everything_ends_with_the_gateway_and_nothing_begins_after_it() {
    let tasks = Tasks::default();
    let keyed: Keyed<u32> = Keyed::new(&tasks, "key", |_| ());
    let passes = Arc::default();
    keyed.wake(&1, counted(&passes, |_| Next::after(SOON * 10)));
    keyed.wake(&2, counted(&passes, |_| Next::Backoff));
    keyed.wake(&3, |pass| async move {
        pass.stop.cancelled().await;
        Next::Again
    });
    reaches(&passes, 2).await;
    assert!(tasks.stop(SOON).await, "pauses and passes end");
    let before = passes.load(Ordering::SeqCst);
    keyed.wake(&4, counted(&passes, |_| Next::Done));
    eventually(|| keyed.inner.slots.lock().is_empty()).await;
    assert_eq!(passes.load(Ordering::SeqCst), before);
}

//! How long the log is, and what a reader of an old position gets.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use mimir::clock::Clock;
use mimir::events::{Events, Filter, Followed, Retention, tidy_once};
use mimir::model::event::{Event, EventKind, Subject};
use mimir::model::ids::{FrameId, MessageId, SessionId};
use mimir::model::names::FrameName;
use mimir::model::secret::Secret;
use mimir::store::{OpenOptions, Store, events};
use mimir::supervisor::failpoint::Failpoints;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW: u64 = 100 * DAY_MS;

pub fn open(folder: &Path) -> Store {
    open_at(folder, Clock::manual(NOW))
}

fn open_at(folder: &Path, clock: Clock) -> Store {
    let options = OpenOptions {
        path: folder.join("mimir.db"),
        key: Secret::new("ab".repeat(32)),
        backups: folder.join("backups"),
    };
    Store::open(options, clock).expect("a database")
}

struct World {
    store: Store,
    clock: Clock,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::manual(NOW);
        Self { store: open_at(folder.path(), clock.clone()), clock, folder }
    }

    /// A message in that state, with a beginning and the pieces of a text.
    async fn told(&self, number: u128, state: &'static str, pieces: &[&str]) -> MessageId {
        let id = MessageId::from_parts(1, number);
        let subject = Subject {
            frame: Some(FrameId::from_parts(1, 1)),
            frame_name: FrameName::parse("blog").ok(),
            session: Some(SessionId::from_parts(1, number)),
            message: Some(id.clone()),
            ..Subject::default()
        };
        let pieces: Vec<String> = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        let write = self.store.write(move |tx| {
            tx.change(
                "INSERT INTO sessions (id, frame_id, frame_name, title, created_at, last_active_at)
                 VALUES (?1, ?2, 'blog', 'a title', 1, 1)",
                (&subject.session, &subject.frame),
            )?;
            tx.change(
                "INSERT INTO messages (id, frame_id, frame_name, session_id, text, state, created_at)
                 VALUES (?1, ?2, 'blog', ?3, 'hi', ?4, 1)",
                (&subject.message, &subject.frame, &subject.session, state),
            )?;
            tx.emit(&subject, &EventKind::MessageQueued {})?;
            for piece in pieces {
                let part = format!("prt_{number}");
                tx.emit(&subject, &EventKind::Text { delta: piece, part })?;
            }
            Ok(())
        });
        write.await.expect("stored");
        id
    }

    async fn tidy(&self, days: u64, bytes: u64) {
        let keep = Retention::new(Duration::from_millis(days * DAY_MS), bytes);
        tidy_once(&self.store, self.clock.now_ms(), keep, &Failpoints::default()).await.expect("tidied");
    }

    /// The same by a gateway that dies at the first step it takes; says where, or that there was none to take.
    async fn tidy_and_die(&mut self, days: u64, bytes: u64) -> Option<&'static str> {
        let keep = Retention::new(Duration::from_millis(days * DAY_MS), bytes);
        let failpoints = Failpoints::default();
        failpoints.arm_any(1);
        let died = tokio::select! {
            tidied = tidy_once(&self.store, self.clock.now_ms(), keep, &failpoints) => {
                tidied.expect("tidied");
                None
            }
            point = failpoints.died() => Some(point),
        };
        self.store = open_at(self.folder.path(), self.clock.clone());
        died
    }

    async fn rows(&self) -> Vec<Event> {
        let all = self.store.read(|db| events::after(db, 0, &Filter::default(), usize::MAX));
        all.await.expect("events")
    }

    /// What a reader gets first who comes to a gateway that has nothing in memory.
    async fn first_after(&self, position: u64) -> Followed {
        let events = Events::new(open_at(self.folder.path(), self.clock.clone()));
        let mut reader = Box::pin(events.follow(position, Filter::default()));
        reader.next().await.expect("an item").expect("readable")
    }
}

fn words(rows: &[Event]) -> Vec<String> {
    rows.iter()
        .map(|event| match &event.what {
            EventKind::Text { delta, .. } => format!("{} {delta}", event.id),
            what => format!("{} {}", event.id, what.kind()),
        })
        .collect()
}

const ROOM: u64 = 1 << 30;

#[tokio::test]
async fn pieces_of_a_text_become_one_when_its_turn_is_long_over() {
    let world = World::new();
    world.told(1, "answered", &["Hel", "lo ", "there"]).await;
    world.told(2, "running", &["not ", "yet"]).await;
    let before = words(&world.rows().await);
    world.tidy(30, ROOM).await;
    assert_eq!(words(&world.rows().await), before, "it has only just been told");

    world.clock.advance_ms(2 * 60 * 60 * 1000);
    world.tidy(30, ROOM).await;
    let now = ["1 message.queued", "4 Hello there", "5 message.queued", "6 not ", "7 yet"];
    assert_eq!(words(&world.rows().await), now, "a turn that runs is left alone");
    world.tidy(30, ROOM).await;
    assert_eq!(words(&world.rows().await), now, "a second look changes nothing");

    // In the middle of the text: some of it was had, some not.
    for inside in [2, 3] {
        assert!(matches!(world.first_after(inside).await, Followed::Reset(_)), "{inside}");
    }
    for (position, next) in [(0, 1), (1, 4), (4, 5), (6, 7)] {
        let first = world.first_after(position).await;
        assert!(matches!(&first, Followed::Event(event) if event.id == next), "{position}: {first:?}");
    }
}

#[tokio::test]
async fn what_is_too_old_goes_and_a_reader_of_it_is_told_how_things_stand() {
    let world = World::new();
    world.told(1, "answered", &["old"]).await;
    world.clock.advance_ms(20 * DAY_MS);
    world.told(2, "answered", &["new"]).await;
    world.clock.advance_ms(20 * DAY_MS);
    let open = world.told(3, "running", &["it ", "goes ", "on"]).await;
    world.tidy(30, ROOM).await;
    assert_eq!(world.rows().await.first().map(|event| event.id), Some(3));

    let Followed::Reset(snapshot) = world.first_after(1).await else { panic!("the position is too old") };
    assert!(snapshot.after >= 8, "{}", snapshot.after);
    let told = &snapshot.messages[0];
    assert_eq!((snapshot.messages.len(), told.id.clone()), (1, open.to_string()));
    assert_eq!((told.texts[0].part.as_str(), told.texts[0].text.as_str()), ("prt_3", "it goes on"));
    let first = world.first_after(2).await;
    assert!(matches!(&first, Followed::Event(event) if event.id == 3), "{first:?}");
    let first = world.first_after(0).await;
    assert!(matches!(&first, Followed::Event(event) if event.id == 3), "who had nothing misses nothing");
}

#[tokio::test]
async fn the_log_stays_within_its_size_and_turns_that_run_stay_whole() {
    let world = World::new();
    let large = "x".repeat(2_000);
    for number in 1..=40 {
        world.told(number, "answered", &[large.as_str(); 50]).await;
    }
    let running = world.told(41, "running", &[large.as_str(); 50]).await;
    for number in 42..=50 {
        world.told(number, "answered", &[large.as_str(); 50]).await;
    }
    world.tidy(30, 2 << 20).await;
    let rows = world.rows().await;
    let bytes: usize = rows.iter().map(|event| format!("{:?}", event.what).len()).sum();
    assert!(bytes < 2 << 20 && bytes > 1 << 20, "{bytes}");

    world.tidy(30, 1 << 18).await;
    let rows = world.rows().await;
    let of_running = rows.iter().filter(|event| event.subject.message.as_ref() == Some(&running)).count();
    assert_eq!(of_running, 51, "after a crash they say what was told");
}

/// Texts in more than one stretch, more old events than go in one step, and more than there is room for.
async fn a_long_log() -> World {
    let world = World::new();
    for number in 1..=10 {
        world.told(number, "answered", &["old"]).await;
    }
    world.clock.advance_ms(40 * DAY_MS);
    let large = "x".repeat(100);
    for number in 11..=13 {
        world.told(number, "answered", &vec![large.as_str(); 900]).await;
    }
    for number in 14..=270 {
        world.told(number, "answered", &["new"]).await;
    }
    world.told(271, "answered", &["the ", "very ", "last"]).await;
    world.clock.advance_ms(2 * 60 * 60 * 1000);
    world
}

/// The whole texts that a reader gets, by their part.
fn texts(rows: &[Event]) -> std::collections::BTreeMap<String, String> {
    let mut texts = std::collections::BTreeMap::<String, String>::new();
    for event in rows {
        if let EventKind::Text { delta, part } = &event.what {
            texts.entry(part.clone()).or_default().push_str(delta);
        }
    }
    texts
}

/// A gateway dies behind each step there is: no word is lost or there twice, and the last one ends where one that
/// never died does.
#[tokio::test]
async fn tidying_up_can_be_cut_off_anywhere_and_goes_on() {
    const SMALL: u64 = 200_000;
    let undisturbed = a_long_log().await;
    undisturbed.tidy(30, SMALL).await;
    let expected = words(&undisturbed.rows().await);

    let mut world = a_long_log().await;
    let before = texts(&world.rows().await);
    let mut points = Vec::new();
    while let Some(point) = world.tidy_and_die(30, SMALL).await {
        points.push(point);
        let rows = world.rows().await;
        for (part, text) in texts(&rows) {
            assert_eq!(Some(&text), before.get(&part), "{part} behind {points:?}");
        }
        let is_kept = |number: u32| texts(&rows).contains_key(&format!("prt_{number}"));
        assert!(is_kept(271), "behind {points:?}");
        assert!(is_kept(1) || points.contains(&"events.after_forget_older"), "behind {points:?}");
        assert!(points.len() < 100, "it comes to an end: {points:?}");
    }
    for point in ["events.after_merge", "events.after_forget_older", "events.after_forget_oldest"] {
        assert!(points.contains(&point), "{point} in {points:?}");
    }
    assert!(points.iter().filter(|point| **point == "events.after_merge").count() > 1, "{points:?}");
    assert_eq!(words(&world.rows().await), expected);
}

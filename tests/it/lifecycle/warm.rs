//! Frames that run before anybody needs them: taken at once, like any other from then on, and never in the way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mimir::frames::{FrameError, FrameRequest, Lifetime, Place, WantedLimits};
use mimir::model::event::EventKind;
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::model::isolation::Isolation;
use mimir::model::network::NetworkMode;
use mimir::model::origin::Origin;
use mimir::model::policy::{Action, Rule};
use mimir::model::principal::Principal;
use mimir::runtime::fake::Op;
use mimir::store::{audit, events, frames, warm_frames};

use super::world::{Agent, World, named};

pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// What a run asks for.
pub(super) fn wanted(name: &str) -> FrameRequest {
    FrameRequest {
        name: named(name),
        place: Place::Own,
        image: None,
        network: Some(NetworkMode::Allow),
        allow: vec!["npm".to_owned()],
        providers: Vec::new(),
        gpu: false,
        limits: WantedLimits::default(),
        git: None,
        repository: None,
        env: BTreeMap::new(),
        lifetime: Lifetime::Throwaway(Some(Duration::from_secs(3600))),
        defaults: None,
        start: true,
        rules: Vec::new(),
        given: String::new(),
        origin: Origin::Run,
        run: None,
    }
}

impl World {
    pub(super) async fn take(&self, request: FrameRequest) -> Result<Frame, FrameError> {
        self.frames.create(&Principal::service("workflows"), request).await
    }

    pub(super) async fn warm(&self) -> Vec<Frame> {
        self.store.read(|db| frames::list_warm(db)).await.expect("reads")
    }

    /// Waits for one that is ready and is none of those; says which.
    pub(super) async fn one_ready(&self, but: &[&Frame]) -> Frame {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.warm().await;
            let ready = all.iter().find(|row| {
                row.state == FrameState::Running
                    && row.desired == Desired::Running
                    && !but.iter().any(|known| known.id == row.id)
            });
            if let Some(row) = ready {
                return row.clone();
            }
            assert!(Instant::now() < end, "none is ready: {all:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn so_many_ready(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.warm().await;
            if all.len() == count && all.iter().all(|row| row.state == FrameState::Running) {
                return;
            }
            assert!(Instant::now() < end, "not {count} are ready: {all:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until none is kept, and nothing of them is left.
    pub(super) async fn none_kept(&self) {
        let end = Instant::now() + PATIENCE;
        while !self.warm().await.is_empty() {
            assert!(Instant::now() < end, "still kept: {:#?}", self.warm().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn keep(&self, warm: usize) {
        let config = mimir::config::schema::Frames { warm, ..self.settings.config.clone() };
        self.frames.configure(config);
    }

    /// Which container the frame has.
    fn container(&self, frame: &Frame) -> Option<String> {
        let mut all = self.engine.containers().into_iter();
        all.find(|one| one.frame == frame.id).map(|one| one.container_id)
    }

    /// Nobody works with a frame that is not kept apart: it gets another container than that, and is never said to run.
    async fn is_refused(&self, frame: &Frame, container: Option<String>) {
        assert!(container.is_some());
        let waited = self.frames.wait_for(&frame.id, Desired::Running, Duration::from_secs(1)).await;
        assert!(waited.is_err(), "{waited:?}");
        let is_gone = || async { self.container(frame) != container };
        self.until("its container is removed", is_gone, &frame.id).await;
        let told = self
            .store
            .read(|db| events::after(db, 0, &events::Filter::default(), 100_000))
            .await
            .expect("reads");
        let of_it = told.into_iter().filter(|event| event.subject.frame.as_ref() == Some(&frame.id));
        let runs: Vec<_> = of_it
            .filter(|event| matches!(event.what, EventKind::FrameMoved { to: FrameState::Running, .. }))
            .collect();
        assert!(runs.is_empty(), "{runs:#?}");
    }

    pub(super) async fn end(&self, frame: &Frame) {
        let asked = self.frames.destroy(&Principal::GATEWAY, &frame.name).await.expect("asked");
        self.frames.wait_for_asked(asked, Desired::Removed, PATIENCE).await.expect("goes");
    }

    /// None is kept any more and these are destroyed: then nothing is left.
    pub(super) async fn ends_clean(&self, frames: impl IntoIterator<Item = Frame>) {
        self.keep(0);
        self.none_kept().await;
        for frame in frames {
            self.end(&frame).await;
        }
        self.check_nothing_left().await;
    }

    /// A run gets another one than that, which goes; says which.
    async fn is_not_given(&self, old: &Frame) -> Frame {
        let second = self.take(wanted("run-2")).await.expect("made");
        assert_ne!(second.id, old.id);
        self.eventually(&old.id, None).await;
        second
    }

    /// The next run gets the one that is ready by then; says which.
    async fn is_given_the_next(&self) -> Frame {
        let next = self.one_ready(&[]).await;
        let third = self.take(wanted("run-3")).await.expect("taken");
        assert_eq!(third.id, next.id);
        third
    }
}

pub(super) async fn pool() -> World {
    World::with(|settings| settings.config.warm = 1).await
}

#[tokio::test]
async fn the_first_of_a_kind_is_made_as_ever_and_the_next_one_is_there_already() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
    let ready = world.one_ready(&[]).await;
    assert_ne!(ready.id, first.id);
    assert!(ready.allow.is_empty() && ready.run.is_none(), "{ready:?}");
    assert!(!world.attendant.open.lock().contains_key(&ready.id), "nothing listens for it");
    let names = |all: Vec<Frame>| all.into_iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(world.frames.list().await.expect("lists")), ["run-1"]);
    assert!(matches!(world.frames.get(&ready.name).await, Err(FrameError::NotFound(_))));
    let called_so = world.try_create(world.request(ready.name.as_str())).await;
    assert!(matches!(called_so, Err(FrameError::NameTaken(_))), "{called_so:?}");
    assert!(world.frames.gc(true).await.expect("looks").is_empty(), "it is not left over");

    let starts = world.engine.calls(Op::Start);
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!((&second.id, second.state), (&ready.id, FrameState::Starting), "until it can be reached");
    let second = world.frames.wait_for(&second.id, Desired::Running, PATIENCE).await.expect("runs");
    assert_eq!((second.name.as_str(), &second.warm), ("run-2", &None));
    assert_eq!(second.allow, ["npm"]);
    assert!(second.expires_at.is_some_and(|at| at < ready.expires_at.unwrap_or_default()), "its own end");
    let open = world.attendant.open.lock().get(&second.id).copied();
    assert_eq!(open, Some((second.agent_port, second.preview_port)), "ready means that it can be reached");
    let more = world.one_ready(&[&second]).await;
    assert!(world.engine.calls(Op::Start) <= starts + 1, "only the next one was started");
    assert_eq!(names(world.frames.list().await.expect("lists")), ["run-1", "run-2"]);

    // Off: what is kept goes, what is somebody's stays.
    world.keep(0);
    world.none_kept().await;
    assert_eq!(world.engine.peek(&more.id), Observed::Missing);
    world.end(&first).await;
    world.end(&second).await;
    world.check_nothing_left().await;
}

#[tokio::test]
async fn two_runs_at_once_never_get_the_same_one() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let (one, two) = tokio::join!(world.take(wanted("run-2")), world.take(wanted("run-3")));
    let (one, two) = (one.expect("there"), two.expect("there"));
    assert_ne!(one.id, two.id);
    assert!([&one.id, &two.id].contains(&&ready.id), "one of them took it");
    let taken = world.take(wanted("run-2")).await;
    assert!(matches!(taken, Err(FrameError::NameTaken(_))), "{taken:?}");
    world.ends_clean([first, one, two]).await;
}

#[tokio::test]
async fn what_does_not_fit_is_made_as_ever() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let rule = Rule { tool: "edit".to_owned(), command: None, path: None, action: Action::Deny, why: None };
    let odd: Vec<FrameRequest> = vec![
        FrameRequest { rules: vec![rule], ..wanted("ruled") },
        FrameRequest { network: Some(NetworkMode::Sealed), ..wanted("sealed") },
        FrameRequest { network: Some(NetworkMode::Open), allow: Vec::new(), ..wanted("open") },
        FrameRequest { place: Place::Folder(world.project("shop")), ..wanted("folder") },
        FrameRequest { env: BTreeMap::from([("A".to_owned(), "b".to_owned())]), ..wanted("variables") },
        FrameRequest { lifetime: Lifetime::Stays, ..wanted("stays") },
        FrameRequest { start: false, ..wanted("later") },
        FrameRequest {
            limits: WantedLimits { pids: Some(333), ..WantedLimits::default() },
            ..wanted("small")
        },
    ];
    for request in odd {
        let name = request.name.clone();
        let made = world.take(request).await.expect("made");
        assert_ne!(made.id, ready.id, "{name}");
    }
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!(second.id, ready.id, "it was kept for its kind");
    assert_ne!(second.id, first.id);
}

#[tokio::test]
async fn one_that_is_silent_is_not_given_away() {
    let world = pool().await;
    let _first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    world.set_agent(Agent::Swallows);
    let second = world.take(wanted("run-2")).await.expect("made");
    assert_ne!(second.id, ready.id);
    world.set_agent(Agent::Answers);
    world.frames.wait_for(&second.id, Desired::Running, PATIENCE).await.expect("runs");
}

#[tokio::test]
async fn those_of_an_older_image_are_collected() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    let newer = world.engine.move_name(&first.image);
    let new = world.one_ready(&[&old]).await;
    assert_eq!(new.image_id, newer.id);
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!((second.id, second.image_id), (new.id, newer.id));
    world.eventually(&old.id, None).await;
    world.eventually_engine(&old.id, Observed::Missing).await;
}

/// What runs of people's is left alone until it stops. A warm one has no other start: the run that takes it is its start.
#[tokio::test]
async fn none_is_given_away_whose_container_is_not_as_locked_up_as_they_are_made_now() {
    for dies in [false, true] {
        let mut world = pool().await;
        let first = world.take(wanted("run-1")).await.expect("made");
        let old = world.one_ready(&[]).await;
        if dies {
            world.crash().await;
        }
        world.engine.grow_old();
        if dies {
            world.start_gateway().await;
        }
        let second = world.take(wanted("run-2")).await.expect("made");
        assert_ne!(second.id, old.id, "after a restart: {dies}");
        world.eventually(&old.id, None).await;
        world.eventually_engine(&old.id, Observed::Missing).await;
        let next = world.one_ready(&[]).await;
        let third = world.take(wanted("run-3")).await.expect("taken");
        assert_eq!(third.id, next.id, "after a restart: {dies}");
        world.ends_clean([first, second, third]).await;
    }
}

#[tokio::test]
async fn one_that_is_not_kept_apart_after_all_gets_a_new_container() {
    let world = pool().await;
    let _first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let container = world.container(&ready);
    world.engine.set_isolation(Some(Isolation::default()));
    let second = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!(second.id, ready.id);
    world.is_refused(&second, container).await;
}

/// Where frames cannot have users of their own, each says so; also one that said it when nobody could hear it.
#[tokio::test]
async fn that_its_users_are_the_machines_is_noted_of_one_that_was_taken_too() {
    let world = pool().await;
    let limits = world.settings.config.limits;
    world.engine.set_isolation(Some(Isolation {
        host_user: 1001,
        no_new_privileges: true,
        filtered: true,
        read_only_root: true,
        memory_bytes: Some(limits.memory_bytes),
        pids: Some(limits.pids.into()),
        machines_users: Some("an old kernel".to_owned()),
        ..Isolation::default()
    }));
    let made = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let taken = world.take(wanted("run-2")).await.expect("taken");
    assert_eq!(taken.id, ready.id);
    for frame in [made, taken] {
        let frame = world.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("runs");
        let notes = world.notes(&frame.id).await;
        let times = notes.iter().filter(|code| *code == "machines_users").count();
        assert_eq!(times, 1, "{}: {notes:?}", frame.name);
    }
}

#[tokio::test]
async fn one_that_a_dying_gateway_gave_away_is_looked_at_by_the_next() {
    let mut world = pool().await;
    let _first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let container = world.container(&ready);
    // Before it is given away: whoever drives it may be faster than the end.
    world.engine.set_isolation(Some(Isolation::default()));
    world.failpoints.arm("warm.after_claim", 1);
    tokio::select! {
        _ = world.failpoints.died() => {}
        taken = world.take(wanted("run-2")) => panic!("it did not die: {taken:?}"),
    }
    world.restart_gateway().await;
    let second = world.frames.get(&named("run-2")).await.expect("the run's");
    assert_eq!(second.id, ready.id);
    world.is_refused(&second, container).await;
}

#[tokio::test]
async fn one_that_read_something_else_is_replaced_and_never_given_away() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    let id = old.id.clone();
    world.store.write(move |tx| warm_frames::set_files(tx, &id, 1, "something else")).await.expect("written");
    let second = world.is_not_given(&old).await;
    let third = world.is_given_the_next().await;
    world.ends_clean([first, second, third]).await;
}

/// Whoever takes an authority back, or puts a proxy's in, means the runs to come as well.
#[tokio::test]
async fn none_is_given_away_that_trusts_other_certificates_than_its_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("machine.crt");
    let certificate =
        |word: &str| format!("-----BEGIN CERTIFICATE-----\n{word}\n-----END CERTIFICATE-----\n");
    std::fs::write(&bundle, certificate("first")).expect("written");
    let world = World::with(|settings| {
        settings.config.warm = 1;
        settings.certificates = Some(bundle.clone());
    })
    .await;
    let trusted = |frame: &Frame| {
        let path = world.engine.start_folder(&frame.id).join("certificates.crt");
        std::fs::read_to_string(path).expect("what it trusts")
    };
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    assert_eq!(trusted(&old), certificate("first"));
    std::fs::write(&bundle, certificate("second")).expect("written");
    let second = world.is_not_given(&old).await;
    let new = world.one_ready(&[]).await;
    assert_eq!(trusted(&new), certificate("second"));
    let third = world.take(wanted("run-3")).await.expect("taken");
    assert_eq!(third.id, new.id);
    world.ends_clean([first, second, third]).await;
}

/// The gateway dies between noting what is read and writing it, and the next one would have others read.
#[tokio::test]
async fn nobody_is_given_one_of_which_nobody_knows_what_it_read() {
    let mut world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let (id, start) = (ready.id.clone(), ready.created_at);
    let read = |world: &World| {
        let id = id.clone();
        let store = world.store.clone();
        async move { store.read(move |db| warm_frames::files(db, &id)).await.expect("reads").expect("noted") }
    };
    let note = |world: &World, start: u64, digest: &str| {
        let (id, digest, store) = (id.clone(), digest.to_owned(), world.store.clone());
        async move {
            store.write(move |tx| warm_frames::set_files(tx, &id, start, &digest)).await.expect("written")
        }
    };
    let known = read(&world).await;
    note(&world, start, &known).await;
    note(&world, start, &known).await;
    assert_eq!(read(&world).await, known, "the same start read the same");
    note(&world, start, "other").await;
    assert_eq!(read(&world).await, "", "either of two");
    note(&world, start, &known).await;
    assert_eq!(read(&world).await, "", "and that stays so for this start");
    note(&world, start + 1, &known).await;
    assert_eq!(read(&world).await, known);
    world.restart_gateway().await;
    world.ends_clean([first]).await;
}

/// A database that is restored from an older copy calls it nobody's still.
#[tokio::test]
async fn one_that_was_somebodys_is_never_given_away_whatever_the_database_says() {
    let world = pool().await;
    let first = world.take(wanted("run-1")).await.expect("made");
    let ready = world.one_ready(&[]).await;
    let note = |frame: &Frame| world.settings.frames_folder.join(frame.id.as_str()).join("taken");
    assert!(!note(&ready).exists() && !note(&first).exists());
    std::fs::write(note(&ready), "").expect("written");
    std::fs::write(std::path::Path::new(&ready.workspace).join("work"), "hours of it").expect("written");
    let second = world.is_not_given(&ready).await;
    let log = world.store.read(|db| audit::list(db, None, 100)).await.expect("reads");
    let told: Vec<_> = log.iter().filter(|entry| entry.subject == ready.name.as_str()).collect();
    let named: Vec<_> = told.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(named, ["frame.destroy"], "whose work it was can be found out: {log:#?}");
    assert_eq!(told[0].detail["workspace"], ready.workspace.as_str());
    let third = world.is_given_the_next().await;
    assert!(note(&third).exists(), "it is noted where no older copy takes it back");
    world.ends_clean([first, second, third]).await;
}

#[tokio::test]
async fn none_is_given_away_whose_ports_are_outside_of_the_range() {
    let mut world = pool().await;
    world.settings.config.ports = crate::ports::own(12);
    world.keep(1);
    let first = world.take(wanted("run-1")).await.expect("made");
    let old = world.one_ready(&[]).await;
    let range = crate::ports::own(12);
    world.settings.config.ports = range;
    world.keep(1);
    let second = world.is_not_given(&old).await;
    let third = world.is_given_the_next().await;
    for frame in [&second, &third] {
        assert!(range.contains(frame.agent_port) && range.contains(frame.preview_port), "{frame:?}");
    }
    world.ends_clean([first, second, third]).await;
}

/// The gateway dies there; the next one keeps what is ready, or it is the run's, and never both.
#[tokio::test]
async fn whenever_the_gateway_dies_each_is_somebodys_or_nobodys() {
    for point in [
        "warm.after_row",
        "warm.after_container",
        "warm.after_digest",
        "warm.before_claim",
        "warm.after_claim",
        "warm.after_attend",
        "warm.after_give_up",
    ] {
        let mut world = pool().await;
        let first = world.take(wanted("run-1")).await.expect("made");
        let _ = world.one_ready(&[]).await;
        world.failpoints.arm(point, 1);
        {
            let doing = async {
                if point == "warm.after_give_up" {
                    world.keep(0);
                } else {
                    let _ = world.take(wanted("run-2")).await;
                }
                tokio::time::sleep(PATIENCE).await;
            };
            tokio::select! {
                _ = world.failpoints.died() => {}
                () = doing => panic!("it did not come to {point}"),
            }
        }
        world.restart_gateway().await;
        world.frames.wait_for(&first.id, Desired::Running, PATIENCE).await.expect("runs");
        // Whoever was about to take it asks again: the run looks for its frame first.
        let second = match world.frames.get(&named("run-2")).await {
            Ok(frame) => frame,
            Err(_) => world.take(wanted("run-2")).await.expect("there"),
        };
        let second = world.frames.wait_for(&second.id, Desired::Running, PATIENCE).await.expect("runs");
        assert!(second.warm.is_none(), "{point}");
        assert!(world.attendant.open.lock().contains_key(&second.id), "{point}");
        assert!(!world.warm().await.iter().any(|row| row.id == second.id), "{point}");
        world.ends_clean([first, second]).await;
    }
}

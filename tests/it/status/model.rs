//! Random steps against a model: what a frame is said to do is what its agent, its queue and its driver do.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use mimir::delivery::SendRequest;
use mimir::model::approval::RequestForm;
use mimir::model::event::EventKind;
use mimir::model::frame::Desired;
use mimir::model::ids::{FrameId, MessageId, SessionId};
use mimir::model::message::SessionSelector;
use mimir::model::status::{FrameStatus, StatusWord};
use mimir::store::{events, frames, sessions};
use serde_json::json;

use super::world::{OWNER, World, named};
use crate::agent::world::to;

/// All strands together.
const STEPS: usize = 1000;
const STRANDS: usize = 4;
const FRAMES: usize = 3;
/// The promise.
const WITHIN: Duration = Duration::from_secs(2);
/// Conversations with an open message, per frame: fewer than may run side by side.
const CONVERSATIONS: usize = 3;

/// Small, and the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.roll(from.len())) }
    }
}

/// What one frame must be doing.
struct Model {
    name: String,
    id: FrameId,
    desired: Desired,
    /// Open messages by conversation; the first of each runs.
    open: HashMap<SessionId, VecDeque<MessageId>>,
    /// Sessions that somebody else made.
    foreign: Vec<String>,
    count: usize,
}

struct Strand {
    world: World,
    dice: Dice,
    frames: Vec<Model>,
    history: Vec<String>,
    slowest: Duration,
}

impl Strand {
    async fn new(seed: u64) -> Self {
        let world = World::new().await;
        let mut frames = Vec::new();
        for number in 0..FRAMES {
            frames.push(Self::make(&world, &format!("frame-{number}")).await);
        }
        Self { world, dice: Dice(seed), frames, history: Vec::new(), slowest: Duration::ZERO }
    }

    async fn make(world: &World, name: &str) -> Model {
        let frame = world.running(name).await;
        Model {
            name: name.to_owned(),
            id: frame.id,
            desired: Desired::Running,
            open: HashMap::new(),
            foreign: Vec::new(),
            count: 0,
        }
    }

    /// What the frame must be said to do.
    fn expected(&self, at: usize) -> FrameStatus {
        let model = &self.frames[at];
        let queued = model.open.values().map(|open| open.len().saturating_sub(1)).sum::<usize>();
        let status = |word, waiting_for| FrameStatus {
            word,
            waiting_for,
            queued: u32::try_from(queued).expect("few"),
            ..FrameStatus::default()
        };
        let runs = model.open.values().any(|open| !open.is_empty());
        match (model.desired, self.world.agent(&model.id).word()) {
            (Desired::Stopped, _) => status(StatusWord::Stopped, None),
            (Desired::Paused, _) => status(StatusWord::Paused, None),
            (_, Some("waiting (question)")) => status(StatusWord::Waiting, Some(RequestForm::Question)),
            (_, Some("waiting (permission)")) => status(StatusWord::Waiting, Some(RequestForm::Permission)),
            (_, Some("retrying")) => status(StatusWord::Retrying, None),
            (_, Some(_)) => status(StatusWord::Busy, None),
            (_, None) if runs => status(StatusWord::Busy, None),
            (_, None) => status(StatusWord::Idle, None),
        }
    }

    /// The agent works on as many messages as the model has running.
    fn is_settled(&self, at: usize) -> bool {
        let model = &self.frames[at];
        let running = model.open.values().filter(|open| !open.is_empty()).count();
        model.desired != Desired::Running || self.world.agent(&model.id).working() == running
    }

    /// Every frame is said to do what it does, within the promised time from now on.
    async fn check(&mut self) {
        let began = Instant::now();
        loop {
            let now = self.world.now().await;
            let mut wrong = None;
            for (at, model) in self.frames.iter().enumerate() {
                let (expected, said) = (self.expected(at), now.get(&model.id).map(|now| now.status.clone()));
                let said = said.unwrap_or_default();
                let is_same = (said.word, said.waiting_for, said.queued)
                    == (expected.word, expected.waiting_for, expected.queued);
                if !is_same || !self.is_settled(at) {
                    wrong = Some(format!("{}: `{said}` instead of `{expected}`", model.name));
                }
            }
            match wrong {
                None => break,
                Some(wrong) if began.elapsed() > WITHIN => {
                    let last = self.history.iter().rev().take(12).cloned().collect::<Vec<_>>();
                    panic!("not within {WITHIN:?}: {wrong}\nlast steps, newest first: {last:#?}");
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(3)).await,
            }
        }
        self.slowest = self.slowest.max(began.elapsed());
    }

    async fn step(&mut self) {
        let at = self.dice.roll(FRAMES);
        let roll = self.dice.roll(100);
        let runs = self.frames[at].desired == Desired::Running;
        let is_free = self.frames[at].open.values().all(VecDeque::is_empty);
        let what = match roll {
            0..=24 => self.send(at).await,
            25..=44 if runs => self.finish(at).await,
            45..=54 if runs => self.foreign(at),
            55..=66 if runs => self.ask(at),
            67..=78 if runs => self.answer(at).await,
            79..=84 if runs => self.retry(at),
            85..=89 => self.cancel(at).await,
            90..=91 if runs && is_free => self.wish(at, Desired::Stopped).await,
            92..=93 if runs && is_free => self.wish(at, Desired::Paused).await,
            94..=98 if !runs => self.wish(at, Desired::Running).await,
            99 if is_free => self.replace(at).await,
            _ => None,
        };
        if let Some(what) = what {
            self.history.push(format!("{} {what}", self.frames[at].name));
        }
    }

    async fn send(&mut self, at: usize) -> Option<String> {
        let model = &self.frames[at];
        let conversations: Vec<SessionId> =
            model.open.iter().filter(|(_, open)| !open.is_empty()).map(|(id, _)| id.clone()).collect();
        let again = conversations.len() >= CONVERSATIONS || self.dice.roll(2) == 0;
        let session = self.dice.pick(&conversations).filter(|_| again).map(ToString::to_string);
        let request = SendRequest {
            session: SessionSelector::parse(session.as_deref().unwrap_or("new")),
            ..to(&model.name, &format!("step {}", self.history.len()))
        };
        let sent = self.world.services.delivery.send(&OWNER, request).await.expect("accepted").message;
        let model = &mut self.frames[at];
        model.open.entry(sent.session.clone()).or_default().push_back(sent.id);
        let woke = model.desired != Desired::Running;
        model.desired = Desired::Running;
        if woke {
            // On its way is the truth until it is there.
            self.world.eventually_runs(&self.frames[at].id).await;
        }
        Some(format!("is sent a message in {}", session.unwrap_or_else(|| "a new conversation".into())))
    }

    async fn finish(&mut self, at: usize) -> Option<String> {
        let model = &self.frames[at];
        let agent = self.world.agent(&model.id);
        let active: Vec<String> = agent.active().into_iter().map(|(id, _)| id).collect();
        let session = self.dice.pick(&active)?.clone();
        agent.finish(&session);
        let ours = self.of_agent_session(at, &session).await;
        if let Some(open) = ours.and_then(|ours| self.frames[at].open.get_mut(&ours)) {
            open.pop_front();
        }
        Some(format!("ends the turn of {session}"))
    }

    async fn of_agent_session(&self, at: usize, session: &str) -> Option<SessionId> {
        for id in self.frames[at].open.keys() {
            let wanted = id.clone();
            let row =
                self.world.services.store.read(move |db| sessions::get(db, &wanted)).await.expect("a row");
            if row.agent_session.is_some_and(|known| known.as_str() == session) {
                return Some(id.clone());
            }
        }
        None
    }

    fn foreign(&mut self, at: usize) -> Option<String> {
        let agent = self.world.agent(&self.frames[at].id);
        let active: Vec<String> = agent.active().into_iter().map(|(id, _)| id).collect();
        let parent = self.dice.pick(&active).filter(|_| self.dice_is_even()).cloned();
        let session = agent.foreign_session(parent.as_deref());
        agent.set(&session, json!({"type": "busy"}));
        self.frames[at].foreign.push(session.clone());
        Some(format!("{session} of somebody else works, a child of {parent:?}"))
    }

    fn dice_is_even(&self) -> bool {
        self.dice.0.is_multiple_of(2)
    }

    fn ask(&mut self, at: usize) -> Option<String> {
        let agent = self.world.agent(&self.frames[at].id);
        let active: Vec<String> = agent.active().into_iter().map(|(id, _)| id).collect();
        let session = self.dice.pick(&active)?.clone();
        let form = if self.dice.roll(2) == 0 { "question" } else { "permission" };
        let id = agent.ask(&session, form);
        Some(format!("{session} asks the {form} {id}"))
    }

    async fn answer(&mut self, at: usize) -> Option<String> {
        let agent = self.world.agent(&self.frames[at].id);
        let open = agent.open_prompts();
        let (form, id) = self.dice.pick(&open)?.clone();
        agent.answered(&id);
        Some(format!("the {form} {id} is answered"))
    }

    fn retry(&mut self, at: usize) -> Option<String> {
        let agent = self.world.agent(&self.frames[at].id);
        let active = agent.active();
        let (session, status) = self.dice.pick(&active)?.clone();
        let soon = mimir::clock::Clock::system().now_ms() + 20_000;
        let next = match status["type"] == "retry" {
            true => json!({"type": "busy"}),
            false => json!({"type": "retry", "attempt": 1, "message": "later", "next": soon}),
        };
        agent.set(&session, next.clone());
        Some(format!("{session} is now {next}"))
    }

    async fn cancel(&mut self, at: usize) -> Option<String> {
        let waiting: Vec<(SessionId, MessageId)> = self.frames[at]
            .open
            .iter()
            .flat_map(|(session, open)| open.iter().skip(1).map(|id| (session.clone(), id.clone())))
            .collect();
        let (session, id) = self.dice.pick(&waiting)?.clone();
        self.world.services.delivery.cancel(&OWNER, &id).await.expect("cancelled");
        if let Some(open) = self.frames[at].open.get_mut(&session) {
            open.retain(|other| *other != id);
        }
        Some(format!("a waiting message in {session} is cancelled"))
    }

    async fn wish(&mut self, at: usize, desired: Desired) -> Option<String> {
        let model = &mut self.frames[at];
        model.desired = desired;
        let (name, id) = (named(&model.name), model.id.clone());
        self.world.services.frames.ask(&OWNER, &name, desired).await.expect("asked");
        self.world.reach(&id, desired).await;
        Some(format!("is to be {}", desired.as_str()))
    }

    async fn replace(&mut self, at: usize) -> Option<String> {
        let model = &mut self.frames[at];
        model.count += 1;
        let (old, id) = (named(&model.name), model.id.clone());
        let stem = model.name.split("-again").next().unwrap_or_default().to_owned();
        let name = format!("{stem}-again-{}", model.count);
        let count = model.count;
        self.world.services.frames.destroy(&OWNER, &old).await.expect("asked");
        let gone = Duration::from_secs(30);
        self.world.services.frames.wait_for(&id, Desired::Removed, gone).await.expect("gone");
        self.frames[at] = Model { count, ..Self::make(&self.world, &name).await };
        Some("took its place".into())
    }

    /// What was told last is what is so, and nothing was told twice in a row.
    async fn check_told(&self) {
        for (at, model) in self.frames.iter().enumerate() {
            let expected = self.expected(at).word;
            self.world
                .until("the last word told is true", Duration::from_secs(5), async || {
                    let id = model.id.clone();
                    let last =
                        self.world.services.store.read(move |db| frames::last_status_told(db, &id)).await;
                    match last.expect("reads") {
                        Some((word, _)) if word == expected.as_str() => Ok(()),
                        other => Err(format!("{other:?} instead of {expected}")),
                    }
                })
                .await;
        }
        let all =
            self.world.services.store.read(|db| events::after(db, 0, &events::Filter::default(), usize::MAX));
        let mut last: HashMap<FrameId, (String, Option<String>)> = HashMap::new();
        let mut told = 0;
        for event in all.await.expect("reads") {
            let (Some(frame), EventKind::StatusChanged { status, detail }) =
                (event.subject.frame, event.what)
            else {
                continue;
            };
            told += 1;
            let before = last.insert(frame, (status.clone(), detail.clone()));
            assert_ne!(before, Some((status, detail)), "told twice in a row");
        }
        assert!(told > FRAMES, "only {told} changes were told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_random_steps_and_the_status_is_true_within_two_seconds() {
    let seed = std::env::var("MIMIR_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let strands = (0..STRANDS).map(|number| async move {
        let mut strand = Strand::new(seed + 7919 * number as u64).await;
        strand.check().await;
        while strand.history.len() < STEPS / STRANDS {
            strand.step().await;
            strand.check().await;
        }
        strand.check_told().await;
        strand.slowest
    });
    let slowest = futures_util::future::join_all(strands).await.into_iter().max().unwrap_or_default();
    println!("{STEPS} steps, seed {seed}: the status was true within {slowest:?} of each");
}

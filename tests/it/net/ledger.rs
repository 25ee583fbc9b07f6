//! Five hundred calls of agents in three frames, to four kinds of providers, over two gateways that are killed; and
//! books that say of each what the agents say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use mimir::broker::Dialer;
use mimir::model::agent::AgentSessionId;
use mimir::model::budget::BudgetScope;
use mimir::model::frame::Frame;
use mimir::model::ids::SessionId;
use mimir::model::network::NetworkMode;
use mimir::model::usage::Tokens;
use mimir::store::sessions::{self, NewSession};
use mimir::store::usage::{self, Grouping, Share};
use mimir::store::{budgets, running_calls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::agents::{Dialect, Fate, model, providers};
use super::support::{LIMIT, World, eventually, frame};

const CALLS: usize = 500;
/// Conversations that go on at once.
const AT_ONCE: usize = 12;
/// So many calls are open at most: those that go on, and those that are over and not booked yet.
const OPEN: usize = 24;
const FRAMES: usize = 3;
/// Conversations of each frame.
const SESSIONS: usize = 5;

/// A call, and everything about it that follows from its number.
#[derive(Clone, Copy, Debug)]
struct Call(usize);

impl Call {
    fn dialect(self) -> Dialect {
        Dialect::ALL[self.0 % 4]
    }

    fn streams(self) -> bool {
        (self.0 / 4).is_multiple_of(2)
    }

    fn fate(self) -> Fate {
        match self.0 % 9 {
            0..=4 => Fate::Whole,
            5 => Fate::Untold,
            6 => Fate::BrokenOff,
            7 => Fate::Left,
            _ => Fate::Refused,
        }
    }

    fn frame(self) -> usize {
        self.0 / 9 % FRAMES
    }

    fn session(self) -> usize {
        self.0 / 27 % SESSIONS
    }

    /// Who calls: a conversation, or a sub-agent of it.
    fn whose(self) -> String {
        let root = agent_session(self.frame(), self.session());
        match self.0.is_multiple_of(7) {
            true => format!("x-session-id: ses_sub{}\r\nx-parent-session-id: {root}\r\n", self.0),
            false => format!("x-session-id: {root}\r\n"),
        }
    }

    fn costs(self, tokens: &Tokens) -> u64 {
        self.dialect().price().cost_microusd(tokens)
    }

    /// Makes it as the agent does, and takes down what came of it.
    async fn make(self, socket: PathBuf) -> (usize, Heard) {
        let (path, body) = self.dialect().request(self.0, self.fate(), self.streams());
        let body = body.to_string();
        let request = format!(
            "POST /models/{}/{path} HTTP/1.1\r\nHost: 127.0.0.1:8118\r\nContent-Type: application/json\r\n\
             {}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.dialect().name(),
            self.whose(),
            body.len()
        );
        let Ok(mut stream) = UnixStream::connect(socket).await else { return (self.0, Heard::Nothing) };
        let mut answer = Vec::new();
        let talk = async {
            stream.write_all(request.as_bytes()).await?;
            let mut buffer = [0; 4096];
            loop {
                let count = stream.read(&mut buffer).await?;
                answer.extend_from_slice(&buffer[..count]);
                let has_begun = answer.windows(4).any(|at| at == b"\r\n\r\n");
                if count == 0 || (self.fate() == Fate::Left && has_begun) {
                    return Ok::<(), std::io::Error>(());
                }
            }
        };
        let ended = tokio::time::timeout(LIMIT, talk).await.expect("an end");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (self.0, ended.map_or(Heard::Nothing, |()| self.heard(&answer)))
    }

    fn heard(self, answer: &str) -> Heard {
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Heard::Nothing };
        if head.starts_with("HTTP/1.1 503") && body.contains("overloaded") {
            return Heard::Refusal;
        }
        match whole(head, body) {
            Some(body) if head.starts_with("HTTP/1.1 200") => {
                Heard::Whole(self.dialect().reckoned_by_the_agent(&body, self.streams()))
            }
            _ => Heard::Nothing,
        }
    }
}

/// What an agent has of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// All of an answer, with what it says that it used.
    Whole(Option<Tokens>),
    /// That the provider will not.
    Refusal,
    /// Nothing, or no end: it was broken off, or the gateway died.
    Nothing,
}

/// A body without the marks of its pieces; none when its end is missing.
fn whole(head: &str, body: &str) -> Option<String> {
    if !head.contains("transfer-encoding: chunked") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        return (length.trim().parse() == Ok(body.len())).then(|| body.to_owned());
    }
    let (mut text, mut rest) = (String::new(), body);
    loop {
        let (size, behind) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.push_str(behind.get(..size)?);
        rest = behind.get(size + 2..)?;
    }
}

fn agent_session(frame: usize, session: usize) -> String {
    format!("ses_frame{frame}talk{session}")
}

fn session_id(frame: usize, session: usize) -> SessionId {
    SessionId::from_parts(1, (frame * SESSIONS + session + 1) as u128)
}

impl World {
    async fn have_conversations(&self, frames: &[Frame]) {
        let new: Vec<(NewSession, AgentSessionId)> = (0..FRAMES * SESSIONS)
            .map(|number| {
                let (of, session) = (number / SESSIONS, number % SESSIONS);
                let new = NewSession {
                    id: session_id(of, session),
                    frame: frames[of].id.clone(),
                    frame_name: frames[of].name.clone(),
                    title: "t".into(),
                };
                (new, AgentSessionId(agent_session(of, session)))
            })
            .collect();
        let written = self.store.write(move |tx| {
            new.iter().try_for_each(|(new, agent)| {
                sessions::insert(tx, new)?;
                sessions::set_agent_session(tx, &new.id, agent)
            })
        });
        written.await.expect("conversations");
    }

    async fn open_calls(&self) -> usize {
        self.store.read(|db| running_calls::list(db)).await.expect("the books").len()
    }

    async fn rows(&self, by: Grouping) -> Vec<Share> {
        self.store.read(move |db| usage::shares(db, by, 0)).await.expect("the books")
    }

    async fn spent_by(&self, scope: BudgetScope, subject: String) -> u64 {
        let spent = self.store.read(move |db| budgets::spent(db, scope, &subject, 0)).await;
        spent.expect("the books")
    }

    /// Lets the agents work until there are no more calls, or the gateway dies at `dies_at` (the name of a failpoint, and
    /// for which call).
    async fn live(
        &self,
        frames: &[Frame],
        next: &mut usize,
        dies_at: Option<(&'static str, u32)>,
        heard: &mut BTreeMap<usize, Heard>,
    ) {
        let sockets: Vec<PathBuf> = frames.iter().map(|frame| self.open(frame).join("broker.sock")).collect();
        let failpoints = self.tasks.failpoints();
        if let Some((point, nth)) = dies_at {
            failpoints.arm(point, nth);
        }
        let mut died = std::pin::pin!(failpoints.died());
        let (mut running, mut begun) = (JoinSet::new(), BTreeSet::new());
        loop {
            while *next < CALLS && running.len() < AT_ONCE && self.open_calls().await < OPEN {
                let call = Call(*next);
                begun.insert(call.0);
                running.spawn(call.make(sockets[call.frame()].clone()));
                *next += 1;
            }
            tokio::select! {
                biased;
                point = &mut died => {
                    assert_eq!(Some(point), dies_at.map(|(point, _)| point));
                    break;
                }
                Some(done) = running.join_next() => {
                    let (number, what) = done.expect("no panic");
                    heard.insert(number, what);
                }
                // A place may be free by now.
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
            if *next == CALLS && running.is_empty() {
                assert!(dies_at.is_none(), "it was to die at {dies_at:?}");
                break;
            }
        }
        // With the gateway everything breaks off that goes on.
        running.abort_all();
        while let Some(done) = running.join_next().await {
            if let Ok((number, what)) = done {
                heard.insert(number, what);
            }
        }
        for number in begun {
            heard.entry(number).or_insert(Heard::Nothing);
        }
    }
}

/// The books of one call against what its agent has of it. Says whether it was booked at what was held for it, because
/// its gateway died before it could do better.
fn compare(call: Call, heard: Heard, row: Option<&Share>, may_be_late: bool) -> bool {
    let number = call.0;
    let Some(row) = row else {
        assert!(heard == Heard::Nothing && may_be_late, "call {number} is missing: {heard:?}");
        return false;
    };
    assert_eq!((row.calls, row.unpriced), (1, 0), "call {number}: {row:?}");
    let is_estimated = row.estimated == 1;
    match heard {
        Heard::Whole(Some(tokens)) => {
            assert_eq!(tokens, call.dialect().used(number), "call {number}: the agent read it right");
            let cost = call.costs(&tokens);
            if !is_estimated {
                assert_eq!(row.cost_microusd, cost, "call {number}: {row:?}");
                return false;
            }
            assert!(may_be_late && row.cost_microusd >= cost, "call {number}: {cost}, {row:?}");
            true
        }
        Heard::Whole(None) => {
            assert_eq!(call.fate(), Fate::Untold, "call {number}");
            assert!(is_estimated && row.cost_microusd > 0, "call {number}: {row:?}");
            false
        }
        Heard::Refusal => {
            assert!(may_be_late || !is_estimated, "call {number}: {row:?}");
            assert_eq!(row.cost_microusd > 0, is_estimated, "a refusal is free, call {number}: {row:?}");
            is_estimated
        }
        Heard::Nothing => {
            let is_free = call.fate() == Fate::Refused && !is_estimated;
            assert_eq!(row.cost_microusd == 0, is_free, "call {number} was asked for: {row:?}");
            let breaks_off = matches!(call.fate(), Fate::BrokenOff | Fate::Left);
            assert!(breaks_off || may_be_late, "call {number} was to be answered");
            false
        }
    }
}

#[tokio::test]
async fn five_hundred_calls_over_two_killed_gateways_are_in_the_books_once_and_as_their_agents_have_them() {
    let (address, _providers) = providers().await;
    let settings = || Dialect::ALL.map(|dialect| dialect.settings(&address, CALLS)).to_vec();
    let mut world = World::new(settings(), Dialer::default());
    let frames: Vec<Frame> =
        (1..=FRAMES as u128).map(|number| frame(number, NetworkMode::Sealed, &[])).collect();
    world.have_conversations(&frames).await;
    let (mut heard, mut next, mut begins) = (BTreeMap::new(), 0, Vec::new());
    for dies_at in [Some(("budget.before_booking", 130)), Some(("budget.after_row", 140)), None] {
        world.live(&frames, &mut next, dies_at, &mut heard).await;
        if dies_at.is_some() {
            begins.push(next);
            world = world.next_life(settings()).await;
        }
    }
    assert_eq!((next, heard.len(), begins.len()), (CALLS, CALLS, 2));
    // What a dead gateway was about to write down when it was killed ends with it.
    eventually("every call is booked", || async {
        world.budgets.take_up().await.map_err(|error| error.to_string())?;
        match world.open_calls().await {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    })
    .await;

    let rows: BTreeMap<String, Share> =
        world.rows(Grouping::Model).await.into_iter().map(|share| (share.name.clone(), share)).collect();
    let row_of = |call: Call| rows.get(&format!("{}/{}", call.dialect().name(), model(call.0)));
    // Only calls that were open when a gateway died may be booked otherwise than their agents have it.
    let was_open =
        |number: usize| begins.iter().any(|begin| (begin.saturating_sub(2 * OPEN)..*begin).contains(&number));
    let late = heard
        .iter()
        .filter(|(number, heard)| {
            compare(Call(**number), **heard, row_of(Call(**number)), was_open(**number))
        })
        .count();
    assert!(late <= 2 * OPEN, "{late} were booked at what was held");
    assert!(rows.len() >= CALLS - 2 * AT_ONCE, "{} of {CALLS} are in the books", rows.len());
    let exact = |call: &Call| row_of(*call).is_some_and(|row| row.estimated == 0);
    let answered = |call: &Call| matches!(heard[&call.0], Heard::Whole(Some(_)));
    let all = || (0..CALLS).map(Call);
    assert!(
        all().filter(|call| answered(call) && exact(call)).count() > 220,
        "most are as the agents have them"
    );

    // And the sums are the sums: of frames, of conversations with their sub-agents, of everything.
    let booked = |of: &dyn Fn(Call) -> bool| -> u64 {
        all().filter(|call| of(*call)).filter_map(row_of).map(|row| row.cost_microusd).sum()
    };
    for (number, frame) in frames.iter().enumerate() {
        let of_frame = booked(&|call| call.frame() == number);
        assert_eq!(world.spent_by(BudgetScope::Frame, frame.id.to_string()).await, of_frame);
        for session in 0..SESSIONS {
            let of_session = booked(&|call| call.frame() == number && call.session() == session);
            let id = session_id(number, session).to_string();
            assert_eq!(world.spent_by(BudgetScope::Session, id).await, of_session, "{number}/{session}");
            assert!(of_session > 0, "{number}/{session}");
        }
    }
    let everything = booked(&|_| true);
    assert_eq!(world.spent_by(BudgetScope::Home, String::new()).await, everything);
    let frames: u64 = world.rows(Grouping::Frame).await.iter().map(|share| share.cost_microusd).sum();
    assert_eq!(frames, everything);
    let sum = world.store.read(|db| usage::sum(db, None, 0)).await.expect("the books");
    assert_eq!((sum.calls, sum.cost_microusd), (rows.len() as u64, everything), "and no call of nobody's");
}

/// The comparison above sees what it is there for.
#[test]
fn books_that_say_something_else_are_noticed() {
    let call = Call(0);
    let heard = Heard::Whole(Some(call.dialect().used(0)));
    let cost = call.costs(&call.dialect().used(0));
    let row = |calls, estimated, cost_microusd| Share {
        name: String::new(),
        calls,
        unpriced: 0,
        estimated,
        cost_microusd,
    };
    assert!(!compare(call, heard, Some(&row(1, 0, cost)), false));
    assert!(compare(call, heard, Some(&row(1, 1, cost)), true), "late, and not less");
    let wrong = [
        (Some(row(2, 0, 2 * cost)), true),
        (Some(row(1, 0, cost + 1)), true),
        (Some(row(1, 0, cost - 1)), true),
        (Some(row(1, 1, cost - 1)), true),
        (Some(row(1, 1, cost)), false),
        (None, true),
    ];
    for (row, may_be_late) in wrong {
        let noticed = std::panic::catch_unwind(|| compare(call, heard, row.as_ref(), may_be_late));
        assert!(noticed.is_err(), "{row:?}");
    }
}

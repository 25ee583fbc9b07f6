//! Does what the screen asks for: calls to the gateway, each in a task of its own.
//!
//! The same thing is not asked for twice at once. What is asked for while it is on its way is asked for once more when it
//! has come: the answer may be older than the reason. After each answer there is a pause, so that much that happens is one
//! look; the first one is at once.

use std::sync::Arc;
use std::time::Duration;

use mimir_client::{ClientError, EventFilter, Followed, GatewayClient, Reached, RunList};
use mimir_model::message::DeliveryState;
use mimir_model::wire::approvals::AnswerApproval;
use mimir_model::wire::messages::SendMessage;
use mimir_model::wire::runs::{ApproveRun, EndRun};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::effect::{Change, Heard, Read};

/// How long a frame may take to come up or to end before the list alone tells.
const PATIENCE: Duration = Duration::from_secs(120);
/// What comes in one go is read once.
const TOGETHER: Duration = Duration::from_millis(60);
/// The list of frames tells what many events tell.
const FRAMES_TOGETHER: Duration = Duration::from_millis(250);
/// A conversation of which only a part of the turn was seen is read again so often.
const SOON: Duration = Duration::from_secs(2);
/// How often a gateway that is away is looked for, and a log begun again.
const AWAY: Duration = Duration::from_secs(2);
/// Runs that are shown.
const RUNS: u32 = 200;

/// Something that is looked at, from the first wish to the end of the pause behind the last answer.
struct Look {
    what: Read,
    /// The pause behind the answer: the shortest that anybody wanted.
    pause: Duration,
    /// Wanted once more, as it was wanted last.
    again: Option<(Read, Duration)>,
    /// Since when the gateway is asked.
    asked_at: Option<Instant>,
    /// Whether it was asked at all.
    is_begun: bool,
    /// Told when the pause became shorter.
    hurry: Arc<Notify>,
}

impl Look {
    fn new(what: Read, pause: Duration) -> Self {
        Self { what, pause, again: None, asked_at: None, is_begun: false, hurry: Arc::default() }
    }

    /// It is wanted, too, while it is looked at.
    fn want(&mut self, what: Read, pause: Duration) {
        if self.is_begun {
            let soonest = self.again.as_ref().map_or(pause, |(_, known)| pause.min(*known));
            self.again = Some((what, soonest));
        } else {
            self.what = what;
        }
        if pause < self.pause {
            self.pause = pause;
            self.hurry.notify_one();
        }
    }
}

/// Who does it.
pub struct Worker {
    gateway: GatewayClient,
    tell: UnboundedSender<Heard>,
    key: fn() -> String,
    looks: Arc<Mutex<Vec<Look>>>,
    log: Option<AbortHandle>,
}

impl Worker {
    /// For that gateway; `key` gives a key that is like no other.
    pub fn new(gateway: GatewayClient, tell: UnboundedSender<Heard>, key: fn() -> String) -> Self {
        Self { gateway, tell, key, looks: Arc::default(), log: None }
    }

    /// Follows what happens, for as long as the program runs.
    pub fn follow(&self) {
        let (gateway, tell) = (self.gateway.clone(), self.tell.clone());
        spawn_local(async move {
            loop {
                let mut follow = gateway.follow(EventFilter::default(), None);
                loop {
                    match follow.next().await {
                        Ok(followed) => {
                            if tell.send(Heard::Followed(followed)).is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            if tell.send(Heard::Cut(Box::new(error.into()))).is_err() {
                                return;
                            }
                            break;
                        }
                    }
                }
                // A new stream says nothing until something happens.
                while gateway.health().await.is_err() {
                    sleep(AWAY).await;
                }
                // What happened in between was not heard.
                if tell.send(Heard::Followed(Followed::Reset)).is_err() {
                    return;
                }
            }
        });
    }

    /// Looks at something.
    pub fn read(&self, what: Read) {
        let pause = if what == Read::Frames { FRAMES_TOGETHER } else { TOGETHER };
        self.look(what, pause);
    }

    /// Looks at something that changes all the time.
    pub fn read_soon(&self, what: Read) {
        self.look(what, SOON);
    }

    /// For how long the slowest answer has not come.
    pub fn waits(&self) -> Duration {
        let looks = self.looks.lock();
        looks.iter().filter_map(|look| look.asked_at).map(|at| at.elapsed()).max().unwrap_or_default()
    }

    fn look(&self, what: Read, pause: Duration) {
        {
            let mut looks = self.looks.lock();
            if let Some(look) = looks.iter_mut().find(|look| look.what.is_same(&what)) {
                look.want(what, pause);
                return;
            }
            looks.push(Look::new(what.clone(), pause));
        }
        let (gateway, tell, looks) = (self.gateway.clone(), self.tell.clone(), Arc::clone(&self.looks));
        spawn_local(async move {
            while let Some(wanted) = with(&looks, &what, |look| {
                look.is_begun = true;
                look.asked_at = Some(Instant::now());
                look.what.clone()
            }) {
                let heard = match read(&gateway, &wanted).await {
                    Ok(heard) => heard,
                    Err(error) => Heard::Unread(wanted, Box::new(error.into())),
                };
                with(&looks, &what, |look| look.asked_at = None);
                let is_over = tell.send(heard).is_err();
                rest(&looks, &what).await;
                let goes_on = with(&looks, &what, |look| match look.again.take() {
                    Some((next, pause)) => {
                        (look.what, look.pause) = (next, pause);
                        true
                    }
                    None => false,
                });
                if is_over || goes_on != Some(true) {
                    looks.lock().retain(|look| !look.what.is_same(&what));
                    return;
                }
            }
        });
    }

    /// Changes something.
    pub fn change(&self, change: Change) {
        let (gateway, tell, key) = (self.gateway.clone(), self.tell.clone(), (self.key)());
        spawn_local(async move {
            let heard = match do_it(&gateway, &change, &key).await {
                Ok(is_over) => Heard::Did { change, is_over },
                Err(error) => Heard::Failed { change, problem: Box::new(error.into()) },
            };
            drop(tell.send(heard));
        });
    }

    /// Follows that log instead of the one before.
    pub fn follow_log(&mut self, frame: Option<String>) {
        if let Some(before) = self.log.take() {
            before.abort();
        }
        let Some(frame) = frame else { return };
        let (gateway, tell) = (self.gateway.clone(), self.tell.clone());
        let task = spawn_local(async move {
            let problem = match gateway.logs(&frame, true, None, Some(500)).await {
                Ok(mut lines) => {
                    while let Ok(Some(line)) = lines.next().await {
                        if tell.send(Heard::Log(frame.clone(), line)).is_err() {
                            return;
                        }
                    }
                    None
                }
                Err(error) => Some(Box::new(error.into())),
            };
            // Whoever follows it again at once would do so all the time.
            sleep(AWAY).await;
            drop(tell.send(Heard::LogEnded(frame, problem)));
        });
        self.log = Some(task.abort_handle());
    }
}

/// Does something with a look that goes on; the lock is held for that long only.
fn with<T>(looks: &Mutex<Vec<Look>>, what: &Read, work: impl FnOnce(&mut Look) -> T) -> Option<T> {
    looks.lock().iter_mut().find(|look| look.what.is_same(what)).map(work)
}

/// The pause behind an answer, which may become shorter meanwhile.
async fn rest(looks: &Mutex<Vec<Look>>, what: &Read) {
    let begun = Instant::now();
    while let Some((pause, hurry)) = with(looks, what, |look| (look.pause, Arc::clone(&look.hurry))) {
        tokio::select! {
            () = sleep_until(begun + pause) => return,
            () = hurry.notified() => {}
        }
    }
}

async fn read(gateway: &GatewayClient, what: &Read) -> Result<Heard, ClientError> {
    Ok(match what {
        Read::Frames => Heard::Frames(gateway.frames().await?),
        Read::Approvals => Heard::Approvals(gateway.approvals(None, false).await?),
        Read::Runs => Heard::Runs(gateway.runs(&RunList { limit: Some(RUNS), ..RunList::default() }).await?),
        Read::Run(id) => Heard::Run(Box::new(gateway.run(id).await?)),
        Read::Schedules => Heard::Schedules(gateway.schedules().await?),
        Read::Spending => Heard::Spending(Box::new(gateway.spending(7).await?)),
        Read::Talk { frame, since, ends } => {
            let sessions = gateway.sessions(Some(frame)).await?;
            let ours = sessions.into_iter().filter(|session| session.created_at >= *since);
            let newest = ours.max_by_key(|session| session.last_active_at);
            let details = match newest {
                Some(session) => Some(Box::new(gateway.session(&session.id, Some(frame)).await?)),
                None => None,
            };
            let mut waiting = gateway.queue(Some(frame), None).await?;
            // What the agent has is in its history.
            waiting.retain(|message| message.state == DeliveryState::Queued);
            Heard::Talk { frame: frame.clone(), ends: *ends, details, waiting }
        }
        Read::Details(frame) => Heard::Details(Box::new(gateway.frame(frame).await?)),
        Read::Stats(frame) => Heard::Stats(gateway.stats(frame).await?),
    })
}

/// Does it; false when it goes on.
async fn do_it(gateway: &GatewayClient, change: &Change, key: &str) -> Result<bool, ClientError> {
    match change {
        Change::Verb(frame, verb) => {
            return gateway.ask_frame(frame, *verb, PATIENCE).await.map(|how| matches!(how, Reached::Yes(_)));
        }
        Change::Answer(id, answer) => {
            let AnswerApproval { decision, why, answers } = answer.clone();
            gateway.answer_approval(id, &AnswerApproval { decision, why, answers }).await.map(drop)
        }
        Change::Send { frame, session, text } => {
            let message = SendMessage {
                frame: frame.clone(),
                text: text.clone(),
                session: session.clone(),
                ..SendMessage::default()
            };
            gateway.send_surely(&message, key).await.map(drop)
        }
        Change::Abort { session, frame } => gateway.abort_session(session, Some(frame)).await.map(drop),
        Change::ApproveRun(run, subject) => {
            gateway.approve_run(run, &ApproveRun { subject: subject.clone() }).await.map(drop)
        }
        Change::CancelRun(run) => gateway.cancel_run(run, &EndRun { why: None }).await.map(drop),
        Change::RetryRun(run) => gateway.retry_run(run).await.map(drop),
        Change::RunSchedule(name) => gateway.run_schedule(name).await.map(drop),
        Change::PauseSchedule(name) => gateway.pause_schedule(name, None).await.map(drop),
        Change::ResumeSchedule(name) => gateway.resume_schedule(name).await.map(drop),
    }?;
    Ok(true)
}

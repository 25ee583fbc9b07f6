//! What a key asks for, and what comes back. The screen's state does nothing by itself: it says what is to be done.

use mimir_client::{Followed, FrameVerb};
use mimir_model::shell::quoted;
use mimir_model::wire::approvals::{AnswerApproval, ApprovalView, Say};
use mimir_model::wire::budgets::Spending;
use mimir_model::wire::frames::{FrameDetails, FrameLogLine, FrameStats, FrameSummary};
use mimir_model::wire::messages::{MessageView, SessionDetails};
use mimir_model::wire::problem::Problem;
use mimir_model::wire::runs::{RunDetails, RunView};
use mimir_model::wire::schedules::ScheduleView;

/// To be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave.
    Quit,
    /// Stop as a job of the shell, and come back.
    Suspend,
    /// Run `mimir` with these arguments in this terminal; the screen comes back afterwards.
    StepAside {
        /// What stands behind `mimir`.
        arguments: Vec<String>,
        /// Whether its words stay until a key is pressed.
        wait: bool,
    },
    /// Change something.
    Change(Change),
    /// Look at something.
    Read(Read),
    /// Look at it within some seconds: it changes all the time.
    ReadSoon(Read),
    /// Follow that frame's log, or none any more.
    FollowLog(Option<String>),
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// All frames.
    Frames,
    /// What waits for a person.
    Approvals,
    /// Runs of workflows.
    Runs,
    /// One of them.
    Run(String),
    /// Schedules.
    Schedules,
    /// Budgets and costs.
    Spending,
    /// The newest conversation of a frame.
    Talk {
        /// Whose.
        frame: String,
        /// Only those that began since then (UTC ms): an older frame may have had the name.
        since: u64,
        /// Goes back with the answer.
        ends: u64,
    },
    /// All of a frame.
    Details(String),
    /// What a frame uses.
    Stats(String),
}

impl Read {
    /// Whether both look at the same, however they were asked for.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Talk { frame, .. }, Self::Talk { frame: same, .. }) => frame == same,
            _ => self == other,
        }
    }
}

/// What is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A frame's life.
    Verb(String, FrameVerb),
    /// An agent gets its answer.
    Answer(String, AnswerApproval),
    /// An agent gets a message.
    Send {
        /// Whose.
        frame: String,
        /// In which conversation; the last one, or a new one, when absent.
        session: Option<String>,
        /// The words.
        text: String,
    },
    /// A turn is stopped.
    Abort {
        /// Of which conversation.
        session: String,
        /// Of which frame.
        frame: String,
    },
    /// A run may go on, with what it is bound to.
    ApproveRun(String, Option<String>),
    /// A run ends.
    CancelRun(String),
    /// A run is tried again.
    RetryRun(String),
    /// A schedule does its work now.
    RunSchedule(String),
    /// A schedule rests.
    PauseSchedule(String),
    /// It goes on.
    ResumeSchedule(String),
}

impl Change {
    /// The command that does the same.
    pub fn command(&self) -> String {
        match self {
            Self::Verb(frame, verb) => format!("mimir frame {} {frame}", verb.as_str()),
            Self::Answer(id, answer) => match answer.decision {
                Say::Once => format!("mimir approvals allow {id}"),
                Say::Always => format!("mimir approvals allow {id} --always"),
                Say::Reject => match &answer.why {
                    Some(why) => format!("mimir approvals deny {id} --why {}", quoted(why)),
                    None => format!("mimir approvals deny {id}"),
                },
                Say::Answer => {
                    let words: Vec<String> =
                        answer.answers.iter().map(|picked| quoted(&picked.join(", "))).collect();
                    format!("mimir approvals answer {id} -- {}", words.join(" "))
                }
            },
            Self::Send { frame, session, text } => {
                let session = session.as_ref().map(|id| format!(" --session {id}")).unwrap_or_default();
                let end = if text.starts_with('-') { " --" } else { "" };
                format!("mimir send --frame {frame}{session}{end} {}", quoted(text))
            }
            Self::Abort { session, .. } => format!("mimir sessions abort {session}"),
            Self::ApproveRun(run, None) => format!("mimir runs approve {run}"),
            Self::ApproveRun(run, Some(subject)) => format!("mimir runs approve {run} --for {subject}"),
            Self::CancelRun(run) => format!("mimir runs cancel {run}"),
            Self::RetryRun(run) => format!("mimir runs retry {run}"),
            Self::RunSchedule(name) => format!("mimir cron run {name}"),
            Self::PauseSchedule(name) => format!("mimir cron pause {name}"),
            Self::ResumeSchedule(name) => format!("mimir cron resume {name}"),
        }
    }
}

/// What came of it, and what happened by itself.
#[derive(Debug)]
pub enum Heard {
    /// All frames.
    Frames(Vec<FrameSummary>),
    /// What waits for a person, and what did.
    Approvals(Vec<ApprovalView>),
    /// Runs of workflows, newest first.
    Runs(Vec<RunView>),
    /// One of them.
    Run(Box<RunDetails>),
    /// Schedules.
    Schedules(Vec<ScheduleView>),
    /// Budgets and costs.
    Spending(Box<Spending>),
    /// A frame's newest conversation.
    Talk {
        /// Whose.
        frame: String,
        /// What it was asked with.
        ends: u64,
        /// None when nothing was said yet.
        details: Option<Box<SessionDetails>>,
        /// Messages whose turn has not come.
        waiting: Vec<MessageView>,
    },
    /// All of a frame.
    Details(Box<FrameDetails>),
    /// What a frame uses.
    Stats(FrameStats),
    /// A line of a frame's log.
    Log(String, FrameLogLine),
    /// That frame's log ended, as it does with its container or with the gateway; or why it could not be read.
    LogEnded(String, Option<Box<Problem>>),
    /// It was done, or begun when it takes longer than anybody waits.
    Did {
        /// What.
        change: Change,
        /// Whether it is over.
        is_over: bool,
    },
    /// It was not.
    Failed {
        /// What.
        change: Change,
        /// Why.
        problem: Box<Problem>,
    },
    /// Something could not be looked at.
    Unread(Read, Box<Problem>),
    /// From the event stream.
    Followed(Followed),
    /// The event stream cannot be followed for now.
    Cut(Box<Problem>),
}

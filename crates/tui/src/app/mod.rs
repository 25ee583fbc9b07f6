//! What the screen shows. Pure: what is heard changes it in [`hear`], what is chosen in [`choice`], since when something
//! stands on it is in [`shown`], keys are in [`crate::press`], drawing in [`crate::view`].

mod choice;
mod hear;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use mimir_model::wire::frames::{FrameDetails, FrameLogLine, FrameStats};

pub use shown::UNREAD_MS;

use crate::conversation::Conversation;
use crate::effect::{Effect, Read};
use crate::facts::Facts;
use crate::overlay::Overlay;
use crate::theme::Theme;
use shown::Shown;

/// A screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Frames and what happens in them.
    Frames,
    /// Runs of workflows.
    Runs,
    /// Schedules.
    Schedules,
    /// Budgets and costs.
    Money,
}

impl Screen {
    /// In the order of their keys.
    pub const ALL: [Self; 4] = [Self::Frames, Self::Runs, Self::Schedules, Self::Money];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Runs => "runs",
            Self::Schedules => "cron",
            Self::Money => "budget",
        }
    }
}

/// What is shown of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Its newest conversation.
    Talk,
    /// Its log.
    Log,
    /// What happened to it.
    Events,
    /// Everything else.
    About,
}

impl Tab {
    /// From left to right.
    pub const ALL: [Self; 4] = [Self::Talk, Self::Log, Self::Events, Self::About];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Talk => "conversation",
            Self::Log => "log",
            Self::Events => "events",
            Self::About => "about",
        }
    }
}

/// A line at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub text: String,
    /// Whether something went wrong.
    pub is_bad: bool,
    /// Until when (UTC ms).
    pub until: u64,
}

/// A command that can be typed behind `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// What stands behind `mimir`: `frame create`.
    pub words: String,
    /// In a line.
    pub about: String,
}

/// What a frame used at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
    /// All that it cost until then, in millionths of a US dollar.
    pub cost: u64,
}

/// The whole screen.
#[derive(Debug)]
pub struct App {
    /// What the gateway says.
    pub facts: Facts,
    /// How things look.
    pub theme: Theme,
    /// Where the gateway is, when it is elsewhere.
    pub elsewhere: Option<String>,
    /// The folder that a new frame is for.
    pub folder: String,
    /// UTC ms.
    pub now_ms: u64,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Which screen.
    pub screen: Screen,
    /// What is shown of the frame.
    pub tab: Tab,
    /// The chosen frame's name.
    pub chosen: Option<String>,
    /// Which run.
    pub run: usize,
    /// Which schedule.
    pub schedule: usize,
    /// Only frames with these letters.
    pub filter: String,
    /// What lies over the screen.
    pub overlay: Option<Overlay>,
    /// The line at the bottom.
    pub notice: Option<Notice>,
    /// The conversation.
    pub talk: Conversation,
    /// Changes that the gateway has not answered: the command, and since when (UTC ms).
    pub changing: Vec<(String, u64)>,
    /// For how long the gateway has not answered what it was asked (ms).
    pub waits_ms: u64,
    /// The log, newest last.
    pub log: VecDeque<FrameLogLine>,
    /// Which log it is, and how many of its lines were kept no longer: for whoever keeps what was drawn of it.
    pub log_of: (u64, u64),
    /// Why the log cannot be read.
    pub log_problem: Option<String>,
    /// All of the frame.
    pub details: Option<FrameDetails>,
    /// What it uses.
    pub stats: Option<FrameStats>,
    /// What frames used while somebody looked, by frame, newest last.
    used: BTreeMap<String, VecDeque<Sample>>,
    /// Lines between the end and what is shown; from the begin where nothing grows.
    pub scroll: usize,
    /// What was scrolled when it was drawn last, and how many lines it had.
    extent: Option<(Shown, usize)>,
    /// The frame whose log is followed.
    followed: Option<String>,
    /// The frame whose log came to its end.
    ended: Option<String>,
    /// When the choice moved by itself (UTC ms).
    moved_at: u64,
    /// Whether tool calls and thoughts are shown whole.
    pub unfolded: bool,
    /// Messages that were begun and not sent, by frame.
    pub drafts: BTreeMap<String, String>,
    /// Since when each approval is on the screen.
    pub shown_since: BTreeMap<String, u64>,
    /// What can be typed behind `:`.
    pub commands: Vec<CommandLine>,
}

impl App {
    /// Empty, before anything was heard.
    pub fn new(theme: Theme, folder: String, commands: Vec<CommandLine>) -> Self {
        Self {
            facts: Facts::default(),
            theme,
            elsewhere: None,
            folder,
            now_ms: 0,
            size: (80, 24),
            screen: Screen::Frames,
            tab: Tab::Talk,
            chosen: None,
            run: 0,
            schedule: 0,
            filter: String::new(),
            overlay: None,
            notice: None,
            talk: Conversation::default(),
            changing: Vec::new(),
            waits_ms: 0,
            log: VecDeque::new(),
            log_of: (0, 0),
            log_problem: None,
            details: None,
            stats: None,
            used: BTreeMap::new(),
            scroll: 0,
            extent: None,
            followed: None,
            ended: None,
            moved_at: 0,
            unfolded: false,
            drafts: BTreeMap::new(),
            shown_since: BTreeMap::new(),
            commands,
        }
    }

    /// What is read at the begin, and whenever something may have been missed.
    pub fn read_all(&self) -> Vec<Effect> {
        let mut all = vec![Read::Frames, Read::Approvals, Read::Runs, Read::Schedules, Read::Spending];
        all.extend(self.reads_of_frame());
        all.into_iter().map(Effect::Read).collect()
    }

    /// Keeps a message for later, behind what was kept of the same frame before.
    pub fn keep_draft(&mut self, frame: &str, text: &str) {
        let kept = self.drafts.entry(frame.to_owned()).or_default();
        if !kept.is_empty() {
            kept.push_str("\n\n");
        }
        kept.push_str(text);
    }
}

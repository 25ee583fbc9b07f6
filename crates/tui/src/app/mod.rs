//! What the screen shows. Pure: what is heard changes it in [`hear`], since when something stands on it is in [`shown`],
//! keys are in [`crate::press`], drawing in [`crate::view`].

mod hear;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use mimir_model::frame::FrameState;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::frames::{FrameDetails, FrameLogLine, FrameStats, FrameSummary};
use mimir_model::wire::runs::RunView;
use mimir_model::wire::schedules::ScheduleView;

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

    fn reads_of_frame(&self) -> Vec<Read> {
        let Some(name) = &self.chosen else { return Vec::new() };
        vec![self.read_talk(), Read::Details(name.clone())]
    }

    fn read_talk(&self) -> Read {
        let since = self.frame().map_or(0, |frame| frame.created_at);
        Read::Talk { frame: self.talk.frame.clone(), since, ends: self.talk.ends() }
    }

    /// The frames that are shown, by name: a list whose lines change places cannot be aimed at.
    pub fn frames(&self) -> Vec<&FrameSummary> {
        let wanted = self.filter.to_lowercase();
        let fits = |frame: &&FrameSummary| {
            // The chosen one stays, whatever becomes of it: the choice moves by keys alone.
            wanted.is_empty()
                || self.chosen.as_deref() == Some(frame.name.as_str())
                || [
                    Some(frame.name.as_str()),
                    frame.project.as_deref(),
                    Some(frame.workspace.as_str()),
                    Some(frame.status.word.as_str()),
                ]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(&wanted))
        };
        self.facts.frames.iter().filter(fits).collect()
    }

    /// The chosen frame.
    pub fn frame(&self) -> Option<&FrameSummary> {
        let name = self.chosen.as_deref()?;
        self.facts.frames.iter().find(|frame| frame.name == name)
    }

    /// What the chosen frame used while somebody looked.
    pub fn samples(&self) -> Option<&VecDeque<Sample>> {
        self.used.get(self.chosen.as_deref()?)
    }

    /// What the chosen frame's agent waits for.
    pub fn asked(&self) -> Option<&ApprovalView> {
        self.facts.asked_by(self.chosen.as_deref()?).next()
    }

    /// The chosen run.
    pub fn run(&self) -> Option<&RunView> {
        self.facts.runs.get(self.run)
    }

    /// The chosen schedule.
    pub fn schedule(&self) -> Option<&ScheduleView> {
        self.facts.schedules.get(self.schedule)
    }

    /// Keeps a message for later, behind what was kept of the same frame before.
    pub fn keep_draft(&mut self, frame: &str, text: &str) {
        let kept = self.drafts.entry(frame.to_owned()).or_default();
        if !kept.is_empty() {
            kept.push_str("\n\n");
        }
        kept.push_str(text);
    }

    /// Chooses another frame.
    pub fn choose(&mut self, name: Option<String>) -> Vec<Effect> {
        if self.chosen == name {
            return Vec::new();
        }
        self.chosen.clone_from(&name);
        self.talk = Conversation::of(name.clone().unwrap_or_default());
        (self.details, self.stats) = (None, None);
        self.scroll = 0;
        let mut effects: Vec<Effect> = self.reads_of_frame().into_iter().map(Effect::Read).collect();
        effects.extend(self.follow_log());
        effects.extend(self.look_again());
        effects
    }

    /// Another log, when another one is wanted now than the one that is followed.
    pub fn follow_log(&mut self) -> Option<Effect> {
        let runs = self.frame().is_some_and(|frame| frame.state == FrameState::Running);
        let is_shown = self.tab == Tab::Log && self.screen == Screen::Frames;
        // That of a frame that does not run ends at once, and is not asked for again.
        let is_over = self.ended.is_some() && self.ended == self.chosen && !runs;
        let wanted = self.chosen.clone().filter(|_| is_shown && !is_over);
        if wanted == self.followed {
            return None;
        }
        // What is followed from now on begins with its last lines.
        if wanted.is_some() {
            self.log.clear();
            self.log_of = (self.log_of.0 + 1, 0);
            self.ended = None;
        }
        self.followed.clone_from(&wanted);
        Some(Effect::FollowLog(wanted))
    }

    /// What is asked again and again while it is shown; called every second or two.
    pub fn look_again(&self) -> Option<Effect> {
        let runs = self.frame().is_some_and(|frame| frame.state == FrameState::Running);
        (runs && self.tab == Tab::About && self.screen == Screen::Frames)
            .then(|| self.chosen.clone().map(|name| Effect::Read(Read::Stats(name))))
            .flatten()
    }
}

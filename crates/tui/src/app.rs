//! What the screen shows, and how it changes with what is heard. Pure: keys are in [`crate::press`], drawing in
//! [`crate::view`].

use std::collections::{BTreeMap, VecDeque};

use mimir_client::Followed;
use mimir_model::visible;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::frames::{FrameDetails, FrameLogLine, FrameStats, FrameSummary};
use mimir_model::wire::problem::Problem;
use mimir_model::wire::runs::RunView;
use mimir_model::wire::schedules::ScheduleView;

use crate::conversation::{Conversation, Next};
use crate::effect::{Change, Effect, Heard, Read};
use crate::facts::{Facts, Link};
use crate::overlay::Overlay;
use crate::theme::Theme;

/// So many lines of a log are kept.
const LOG: usize = 2_000;
/// How long a notice stands.
const NOTICE_MS: u64 = 8_000;
/// Who asks for less time than this cannot have been read.
const UNREAD_MS: u64 = 400;

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
    /// The log, newest last.
    pub log: VecDeque<FrameLogLine>,
    /// All of the frame.
    pub details: Option<FrameDetails>,
    /// What it uses.
    pub stats: Option<FrameStats>,
    /// Lines between the end and what is shown; from the begin where nothing grows.
    pub scroll: usize,
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
            log: VecDeque::new(),
            details: None,
            stats: None,
            scroll: 0,
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
        let ends = if self.talk.frame == *name { self.talk.ends() } else { 0 };
        vec![Read::Talk(name.clone(), ends), Read::Details(name.clone())]
    }

    /// The frames that are shown, by name: a list whose lines change places cannot be aimed at.
    pub fn frames(&self) -> Vec<&FrameSummary> {
        let wanted = self.filter.to_lowercase();
        let fits = |frame: &&FrameSummary| {
            wanted.is_empty()
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

    /// Whether what is asked is on the screen for long enough to have been read. A key that was meant for something else must not say yes.
    pub fn was_seen(&self, approval: &str) -> bool {
        self.shown_since.get(approval).is_some_and(|since| self.now_ms.saturating_sub(*since) >= UNREAD_MS)
    }

    /// Says something at the bottom.
    pub fn say(&mut self, text: impl Into<String>, is_bad: bool) {
        let text = visible::line(&text.into());
        self.notice = Some(Notice { text, is_bad, until: self.now_ms + NOTICE_MS });
    }

    /// Chooses another frame.
    pub fn choose(&mut self, name: Option<String>) -> Vec<Effect> {
        if self.chosen == name {
            return Vec::new();
        }
        self.chosen.clone_from(&name);
        self.talk = Conversation::of(name.clone().unwrap_or_default());
        self.log.clear();
        (self.details, self.stats) = (None, None);
        self.scroll = 0;
        self.see();
        let mut effects: Vec<Effect> = self.reads_of_frame().into_iter().map(Effect::Read).collect();
        effects.push(self.follow_log());
        effects.extend(self.look_again());
        effects
    }

    /// The log that is wanted now.
    pub fn follow_log(&self) -> Effect {
        let wanted = self.tab == Tab::Log && self.screen == Screen::Frames;
        Effect::FollowLog(self.chosen.clone().filter(|_| wanted))
    }

    /// What is asked again and again while it is shown; called every second or two.
    pub fn look_again(&self) -> Option<Effect> {
        let runs = self.frame().is_some_and(|frame| frame.state == mimir_model::frame::FrameState::Running);
        (runs && self.tab == Tab::About && self.screen == Screen::Frames)
            .then(|| self.chosen.clone().map(|name| Effect::Read(Read::Stats(name))))
            .flatten()
    }

    /// Remembers since when an approval is on the screen.
    fn see(&mut self) {
        let shown = self.asked().map(|approval| approval.id.clone());
        let now = self.now_ms;
        let known = shown.as_ref().and_then(|id| self.shown_since.get(id)).copied();
        self.shown_since.clear();
        if let Some(id) = shown {
            self.shown_since.insert(id, known.unwrap_or(now));
        }
    }

    /// Whether something goes away by itself at its time. Says whether the screen is another one.
    pub fn tick(&mut self) -> bool {
        if self.notice.as_ref().is_some_and(|notice| notice.until <= self.now_ms) {
            self.notice = None;
            return true;
        }
        false
    }

    /// Takes in what was heard; says what is to be done.
    pub fn hear(&mut self, heard: Heard) -> Vec<Effect> {
        let effects = self.take(heard);
        self.see();
        effects
    }

    fn take(&mut self, heard: Heard) -> Vec<Effect> {
        match heard {
            Heard::Frames(mut frames) => {
                frames.sort_by(|a, b| a.name.cmp(&b.name));
                self.facts.frames = frames;
                if self.facts.link == Link::New {
                    self.facts.link = Link::Up;
                }
                self.facts.is_read = true;
                self.keep_choice()
            }
            Heard::Approvals(mut approvals) => {
                approvals.retain(|approval| approval.state == mimir_model::approval::ApprovalState::Pending);
                approvals.sort_by_key(|approval| approval.asked_at);
                self.facts.approvals = approvals;
                self.drop_old_question();
                Vec::new()
            }
            Heard::Runs(runs) => {
                let known = self.run().map(|run| run.id.clone());
                self.facts.runs = runs;
                let again = self.facts.runs.iter().position(|run| Some(&run.id) == known.as_ref());
                self.run = again.unwrap_or(0);
                self.read_run()
            }
            Heard::Run(run) => {
                self.facts.run = Some(*run);
                Vec::new()
            }
            Heard::Schedules(schedules) => {
                self.facts.schedules = schedules;
                self.schedule = self.schedule.min(self.facts.schedules.len().saturating_sub(1));
                Vec::new()
            }
            Heard::Spending(spending) => {
                self.facts.spending = Some(*spending);
                Vec::new()
            }
            Heard::Talk { frame, ends, details, waiting } => {
                if frame == self.talk.frame {
                    self.talk.read(details.map(|details| *details), waiting, ends);
                }
                Vec::new()
            }
            Heard::Details(details) => {
                if Some(&details.summary.name) == self.chosen.as_ref() {
                    self.details = Some(*details);
                }
                Vec::new()
            }
            Heard::Stats(stats) => {
                if Some(&stats.frame) == self.chosen.as_ref() {
                    self.stats = Some(stats);
                }
                Vec::new()
            }
            Heard::Log(frame, line) => {
                if Some(&frame) == self.chosen.as_ref() {
                    self.log.push_back(line);
                    if self.scroll > 0 && self.tab == Tab::Log {
                        self.scroll += 1;
                    }
                    while self.log.len() > LOG {
                        self.log.pop_front();
                    }
                }
                Vec::new()
            }
            Heard::Did(ask) => {
                if let Change::Send { frame, text, .. } = &ask
                    && self.drafts.get(frame) == Some(text)
                {
                    self.drafts.remove(frame);
                }
                self.say(format!("$ {}", ask.command()), false);
                Vec::new()
            }
            Heard::Failed { ask, problem } => {
                self.say(format!("{} ($ {})", words_of(&problem), ask.command()), true);
                Vec::new()
            }
            // Whatever vanished while it was asked about shows in the lists.
            Heard::Unread(Read::Talk(..) | Read::Details(_) | Read::Stats(_) | Read::Run(_), problem)
                if problem.status == 404 =>
            {
                Vec::new()
            }
            Heard::Unread(_, problem) => {
                self.say(words_of(&problem), true);
                Vec::new()
            }
            Heard::Cut(problem) => {
                self.facts.link = Link::Away;
                self.say(words_of(&problem), true);
                Vec::new()
            }
            Heard::Followed(followed) => self.follow(followed),
        }
    }

    fn follow(&mut self, followed: Followed) -> Vec<Effect> {
        match followed {
            Followed::Away => {
                self.facts.link = Link::Away;
                Vec::new()
            }
            Followed::Back | Followed::Reset => {
                self.facts.link = Link::Up;
                self.read_all()
            }
            // From a newer gateway: what it is about is not known, so everything may be another one.
            Followed::Unknown(_) => vec![Effect::Read(Read::Frames)],
            Followed::Event(event) => {
                self.facts.link = Link::Up;
                let mut reads = self.facts.hear(&event);
                if self.talk.hear(&event) == Next::Read {
                    reads.push(Read::Talk(self.talk.frame.clone(), self.talk.ends()));
                }
                reads.into_iter().map(Effect::Read).collect()
            }
        }
    }

    fn keep_choice(&mut self) -> Vec<Effect> {
        let names: Vec<&str> = self.frames().iter().map(|frame| frame.name.as_str()).collect();
        match &self.chosen {
            Some(name) if names.contains(&name.as_str()) => Vec::new(),
            // It is gone: the one that stands in its place now.
            Some(name) => {
                let place = names.iter().position(|other| *other > name.as_str());
                let next = place.and_then(|at| names.get(at)).or(names.last()).map(|name| (*name).to_owned());
                self.choose(next)
            }
            None => {
                let first = names.first().map(|name| (*name).to_owned());
                self.choose(first)
            }
        }
    }

    /// The timeline of the chosen run is wanted.
    pub fn read_run(&mut self) -> Vec<Effect> {
        let wanted = self.run().map(|run| run.id.clone());
        if self.facts.run.as_ref().map(|run| &run.run.id) != wanted.as_ref() {
            self.facts.run = None;
        }
        match wanted {
            Some(id) if self.screen == Screen::Runs => vec![Effect::Read(Read::Run(id))],
            _ => Vec::new(),
        }
    }

    /// What somebody else answered is not asked any more.
    fn drop_old_question(&mut self) {
        let id = match &self.overlay {
            Some(Overlay::Question(question)) => question.approval.id.clone(),
            Some(Overlay::Deny { approval, .. }) => approval.clone(),
            _ => return,
        };
        if !self.facts.approvals.iter().any(|approval| approval.id == id) {
            self.overlay = None;
            self.say("that was answered elsewhere", false);
        }
    }
}

/// A problem in one line: what failed, why, what to type.
pub fn words_of(problem: &Problem) -> String {
    let mut words = problem.title.clone();
    for more in [&problem.detail, &problem.hint].into_iter().flatten() {
        words.push_str(": ");
        words.push_str(more);
    }
    words
}

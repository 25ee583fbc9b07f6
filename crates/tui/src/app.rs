//! What the screen shows, and how it changes with what is heard. Pure: keys are in [`crate::press`], drawing in
//! [`crate::view`].

use std::collections::{BTreeMap, VecDeque};

use mimir_client::Followed;
use mimir_model::approval::ApprovalState;
use mimir_model::event::EventKind;
use mimir_model::frame::FrameState;
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
pub const UNREAD_MS: u64 = 400;

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

/// What scrolls: the screen, the tab, the frame and the width.
type Shown = (Screen, Tab, Option<String>, u16);

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
            log: VecDeque::new(),
            details: None,
            stats: None,
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

    /// Whether whoever presses a key knows what is chosen: it did not move by itself a moment ago.
    pub fn is_choice_known(&self) -> bool {
        self.now_ms.saturating_sub(self.moved_at) >= UNREAD_MS
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

    /// It was drawn; `is_asked` when what is asked was on it, uncovered. Remembers since when.
    pub fn drawn(&mut self, is_asked: bool) {
        let shown = self.asked().filter(|_| is_asked).map(|approval| approval.id.clone());
        let known = shown.as_ref().and_then(|id| self.shown_since.get(id)).copied();
        self.shown_since.clear();
        if let Some(id) = shown {
            self.shown_since.insert(id, known.unwrap_or(self.now_ms));
        }
    }

    /// Keeps the text in place when more comes below it, and what is scrolled within what there is.
    pub fn hold_place(&mut self, lines: usize, rows: u16, width: u16, is_from_end: bool) {
        let shown = (self.screen, self.tab, self.chosen.clone(), width);
        if let Some((before, had)) = &self.extent
            && is_from_end
            && self.scroll > 0
            && *before == shown
        {
            self.scroll += lines.saturating_sub(*had);
        }
        self.scroll = self.scroll.min(lines.saturating_sub(usize::from(rows)));
        self.extent = Some((shown, lines));
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
        self.take(heard)
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
                let mut effects = self.keep_choice();
                effects.extend(self.follow_log());
                effects
            }
            Heard::Approvals(mut approvals) => {
                approvals.retain(|approval| approval.state == ApprovalState::Pending);
                approvals.sort_by_key(|approval| approval.asked_at);
                self.facts.approvals = approvals;
                self.drop_old_question();
                Vec::new()
            }
            Heard::Runs(runs) => {
                let known = self.run().map(|run| run.id.clone());
                self.facts.runs = runs;
                let again = self.facts.runs.iter().position(|run| Some(&run.id) == known.as_ref());
                if known.is_some() && again.is_none() {
                    self.moved_at = self.now_ms;
                }
                self.run = again.unwrap_or(0);
                self.read_run()
            }
            Heard::Run(run) => {
                if self.run().is_some_and(|chosen| chosen.id == run.run.id) {
                    self.facts.run = Some(*run);
                }
                Vec::new()
            }
            Heard::Schedules(schedules) => {
                let known = self.schedule().map(|schedule| schedule.name.clone());
                self.facts.schedules = schedules;
                let again =
                    self.facts.schedules.iter().position(|schedule| Some(&schedule.name) == known.as_ref());
                if known.is_some() && again.is_none() {
                    self.moved_at = self.now_ms;
                }
                let last = self.facts.schedules.len().saturating_sub(1);
                self.schedule = again.unwrap_or_else(|| self.schedule.min(last));
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
                    while self.log.len() > LOG {
                        self.log.pop_front();
                    }
                }
                Vec::new()
            }
            Heard::LogEnded(frame) => {
                if self.followed.as_ref() == Some(&frame) {
                    self.followed = None;
                    self.ended = Some(frame);
                }
                // Whether it goes on shows the frame's state.
                vec![Effect::Read(Read::Frames)]
            }
            Heard::Did { change, is_over } => {
                let later = if is_over { "" } else { " (it takes longer; the list shows it)" };
                self.say(format!("$ {}{later}", change.command()), false);
                self.after(&change)
            }
            Heard::Failed { change, problem } => {
                if let Change::Send { frame, text, .. } = &change {
                    let begun = self.drafts.entry(frame.clone()).or_default();
                    *begun = if begun.is_empty() { text.clone() } else { format!("{text}\n\n{begun}") };
                }
                self.say(format!("{} ($ {})", words_of(&problem), change.command()), true);
                self.after(&change)
            }
            // Whatever vanished while it was asked about shows in the lists.
            Heard::Unread(Read::Talk { .. } | Read::Details(_) | Read::Stats(_) | Read::Run(_), problem)
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
                self.talk.forget_live();
                let mut effects = self.read_all();
                effects.extend(self.follow_log());
                effects
            }
            // From a newer gateway: what it is about is not known, so everything may be another one.
            Followed::Unknown(_) => vec![Effect::Read(Read::Frames)],
            Followed::Event(event) => {
                self.facts.link = Link::Up;
                let mut effects: Vec<Effect> =
                    self.facts.hear(&event).into_iter().map(Effect::Read).collect();
                match self.talk.hear(&event) {
                    Next::Read => effects.push(Effect::Read(self.read_talk())),
                    Next::ReadSoon => effects.push(Effect::ReadSoon(self.read_talk())),
                    Next::Nothing | Next::Redraw => {}
                }
                let is_chosen =
                    event.subject.frame_name.as_ref().map(|name| name.as_str()) == self.chosen.as_deref();
                if let (true, EventKind::FrameMoved { .. } | EventKind::FrameNote { .. }) =
                    (is_chosen, &event.what)
                {
                    effects.extend(self.chosen.clone().map(|name| Effect::Read(Read::Details(name))));
                }
                effects
            }
        }
    }

    /// What a change makes another one, where no event tells of it.
    fn after(&self, change: &Change) -> Vec<Effect> {
        let reads = match change {
            Change::Verb(frame, _) => vec![Read::Frames, Read::Details(frame.clone())],
            Change::Answer(..) => vec![Read::Approvals, Read::Frames],
            Change::Send { .. } | Change::Abort { .. } => vec![self.read_talk(), Read::Frames],
            Change::ApproveRun(..) | Change::CancelRun(_) | Change::RetryRun(_) => vec![Read::Runs],
            Change::RunSchedule(_) | Change::PauseSchedule(_) | Change::ResumeSchedule(_) => {
                vec![Read::Schedules, Read::Runs]
            }
        };
        reads.into_iter().map(Effect::Read).collect()
    }

    fn keep_choice(&mut self) -> Vec<Effect> {
        let names: Vec<&str> = self.frames().iter().map(|frame| frame.name.as_str()).collect();
        match &self.chosen {
            Some(name) if names.contains(&name.as_str()) => Vec::new(),
            // It is gone: the one that stands in its place now.
            Some(name) => {
                let place = names.iter().position(|other| *other > name.as_str());
                let next = place.and_then(|at| names.get(at)).or(names.last()).map(|name| (*name).to_owned());
                self.moved_at = self.now_ms;
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

    /// What somebody else answered is not asked any more. The overlay stays: whoever types there would go on typing, and
    /// the words would be commands.
    fn drop_old_question(&mut self) {
        let open = &self.facts.approvals;
        let (id, is_settled) = match &mut self.overlay {
            Some(Overlay::Question(question)) => (&question.approval.id, &mut question.is_settled),
            Some(Overlay::Deny { approval, is_settled, .. }) => (&*approval, is_settled),
            _ => return,
        };
        *is_settled |= !open.iter().any(|approval| approval.id == *id);
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

//! What is chosen: a frame, a run, a schedule; and what is read because of it.

use std::collections::VecDeque;

use mimir_model::frame::FrameState;
use mimir_model::wire::approvals::ApprovalView;
use mimir_model::wire::frames::FrameSummary;
use mimir_model::wire::runs::RunView;
use mimir_model::wire::schedules::ScheduleView;

use super::{App, Sample, Screen, Tab};
use crate::conversation::Conversation;
use crate::effect::{Effect, Read};

impl App {
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

    /// Another frame has the chosen one's name now: nothing of the one before is its.
    pub(super) fn choose_anew(&mut self) -> Vec<Effect> {
        let name = self.chosen.take();
        name.as_ref().map(|name| self.used.remove(name));
        self.moved_at = self.now_ms;
        self.choose(name)
    }

    /// The choice stays with its name; without one, the first frame is chosen.
    pub(super) fn keep_choice(&mut self) -> Vec<Effect> {
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

    /// What is read of the chosen frame.
    pub(super) fn reads_of_frame(&self) -> Vec<Read> {
        let Some(name) = &self.chosen else { return Vec::new() };
        vec![self.read_talk(), Read::Details(name.clone())]
    }

    /// Its conversation.
    pub(super) fn read_talk(&self) -> Read {
        let since = self.frame().map_or(0, |frame| frame.created_at);
        Read::Talk { frame: self.talk.frame.clone(), since, ends: self.talk.ends() }
    }
}

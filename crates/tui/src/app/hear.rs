//! What is heard, and what has to be read or done because of it.

use mimir_client::Followed;
use mimir_client::told::told;
use mimir_model::approval::ApprovalState;
use mimir_model::event::EventKind;
use mimir_model::wire::frames::FrameStats;
use mimir_model::wire::problem::Problem;
use mimir_model::wire::runs::RunView;
use mimir_model::wire::schedules::ScheduleView;

use super::{App, Sample};
use crate::conversation::Next;
use crate::effect::{Change, Effect, Heard, Read};
use crate::facts::Link;
use crate::overlay::Overlay;

/// So many lines of a log are kept.
const LOG: usize = 2_000;
/// So many moments of what a frame uses: ten minutes, at a look every two seconds.
const SAMPLES: usize = 300;

impl App {
    /// Takes in what was heard; says what is to be done.
    pub fn hear(&mut self, heard: Heard) -> Vec<Effect> {
        match heard {
            Heard::Frames(mut frames) => {
                frames.sort_by(|a, b| a.name.cmp(&b.name));
                let before = self.frame().map(|frame| frame.id.clone());
                self.facts.frames = frames;
                if self.facts.link == Link::New {
                    self.facts.link = Link::Up;
                }
                self.facts.is_read = true;
                let now = self.frame().map(|frame| frame.id.clone());
                let mut effects = match before.is_some() && now.is_some() && before != now {
                    true => self.choose_anew(),
                    false => self.keep_choice(),
                };
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
            Heard::Runs(runs) => self.take_runs(runs),
            Heard::Run(run) => {
                if self.run().is_some_and(|chosen| chosen.id == run.run.id) {
                    self.facts.run = Some(*run);
                }
                Vec::new()
            }
            Heard::Schedules(schedules) => {
                self.take_schedules(schedules);
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
                    self.sample(&stats);
                    self.stats = Some(stats);
                }
                Vec::new()
            }
            Heard::Log(frame, line) => {
                if Some(&frame) == self.chosen.as_ref() {
                    self.log.push_back(line);
                    self.log_problem = None;
                    while self.log.len() > LOG {
                        self.log.pop_front();
                        self.log_of.1 += 1;
                    }
                }
                Vec::new()
            }
            Heard::LogEnded(frame, problem) => {
                if self.followed.as_ref() == Some(&frame) {
                    self.log_problem = problem.as_deref().map(words_of);
                    self.followed = None;
                    self.ended = Some(frame);
                }
                // Whether it goes on shows the frame's state.
                vec![Effect::Read(Read::Frames)]
            }
            Heard::Did { change, is_over } => {
                self.is_answered(&change);
                let later = if is_over { "" } else { " (it takes longer; the list shows it)" };
                self.say(format!("$ {}{later}", change.command()), false);
                self.after(&change)
            }
            Heard::Failed { change, problem } => {
                self.is_answered(&change);
                if let Change::Send { frame, text, .. } = &change {
                    let (frame, text) = (frame.clone(), text.clone());
                    self.keep_draft(&frame, &text);
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

    fn take_runs(&mut self, runs: Vec<RunView>) -> Vec<Effect> {
        let known = self.run().map(|run| run.id.clone());
        self.facts.runs = runs;
        let again = self.facts.runs.iter().position(|run| Some(&run.id) == known.as_ref());
        if known.is_some() && again.is_none() {
            self.moved_at = self.now_ms;
        }
        self.run = again.unwrap_or(0);
        self.read_run()
    }

    fn take_schedules(&mut self, schedules: Vec<ScheduleView>) {
        let known = self.schedule().map(|schedule| schedule.name.clone());
        self.facts.schedules = schedules;
        let again = self.facts.schedules.iter().position(|schedule| Some(&schedule.name) == known.as_ref());
        if known.is_some() && again.is_none() {
            self.moved_at = self.now_ms;
        }
        let last = self.facts.schedules.len().saturating_sub(1);
        self.schedule = again.unwrap_or_else(|| self.schedule.min(last));
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

    fn sample(&mut self, stats: &FrameStats) {
        let sample = Sample {
            cpu_milli: (stats.cpu_cores * 1000.0).max(0.0).round() as u64,
            memory: stats.memory_bytes,
            cost: self.frame().map_or(0, |frame| frame.cost_microusd),
        };
        let used = self.used.entry(stats.frame.clone()).or_default();
        used.push_back(sample);
        while used.len() > SAMPLES {
            used.pop_front();
        }
    }

    /// The gateway was asked to change that.
    pub fn asked_for(&mut self, change: &Change) {
        self.changing.push((change.command(), self.now_ms));
    }

    fn is_answered(&mut self, change: &Change) {
        let command = change.command();
        if let Some(at) = self.changing.iter().position(|(known, _)| *known == command) {
            self.changing.remove(at);
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
fn words_of(problem: &Problem) -> String {
    let mut words = told(&problem.title);
    for more in [&problem.detail, &problem.hint].into_iter().flatten() {
        words.push_str(": ");
        words.push_str(&told(more));
    }
    words
}

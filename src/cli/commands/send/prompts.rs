//! Puts what an agent asks to the person at the terminal, who answers with a key.
//!
//! A key counts only when the words could be read: what was typed before is thrown away. Whoever else is faster takes
//! the question off the screen.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::choice::{Choice, choice, legend};
use crate::cli::commands::approvals::{tell_surprise, words};
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::screen::{Keys, Pressed};
use crate::cli::table::clean;
use crate::client::GatewayClient;
use crate::model::approval::{ApprovalState, AskedQuestion, RequestForm};
use crate::model::event::EventKind;
use crate::wire::approvals::{AnswerApproval, ApprovalView, Say};

/// What is read again from the log was answered long ago: its end is the next thing that is heard.
const SETTLES: Duration = Duration::from_millis(100);
/// Keys count after so long without one: nobody reads faster, and a key that is held repeats sooner.
const READS: Duration = Duration::from_millis(800);
/// A gateway that does not say in this time what is asked is not waited for.
const ASKS: Duration = Duration::from_secs(10);

/// What waits for a person, and what stands on the screen.
#[derive(Default)]
pub struct Prompts {
    waiting: VecDeque<Waiting>,
    up: Option<Up>,
}

struct Waiting {
    prompt: String,
    asked: EventKind,
    id: String,
    due: Instant,
}

/// What stands on the screen.
struct Up {
    prompt: String,
    asked: EventKind,
    approval: ApprovalView,
    keys: Keys,
    /// From when on keys count; none once they do.
    readable_at: Option<Instant>,
    typing: Option<Typing>,
    answers: Vec<Vec<String>>,
}

/// A line that is being typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Typing {
    Why,
    Answer,
}

/// What is to be done with what is asked, after a key.
pub enum Next {
    /// It stays where it is.
    Stay,
    /// It was answered.
    Over,
    /// It can only be answered elsewhere: tell how.
    Elsewhere(EventKind),
}

impl Prompts {
    /// The agent asks something.
    pub fn asked(&mut self, what: &EventKind) {
        if let EventKind::PromptAsked { prompt, id: Some(id), .. } = what {
            let due = Instant::now() + SETTLES;
            self.waiting.push_back(Waiting {
                prompt: prompt.clone(),
                asked: what.clone(),
                id: id.clone(),
                due,
            });
        }
    }

    /// It is asked no more. Says whether it stood on the screen, unanswered.
    pub fn over(&mut self, prompt: &str) -> bool {
        self.waiting.retain(|waiting| waiting.prompt != prompt);
        self.up.take_if(|up| up.prompt == prompt).is_some()
    }

    /// Takes everything off the screen and gives the keyboard back. Says whether there was anything.
    pub fn clear(&mut self) -> bool {
        self.waiting.clear();
        self.up.take().is_some()
    }

    /// Whether something stands on the screen.
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Whether a line is being typed, which nothing may be written into.
    pub fn is_typing(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.typing.is_some())
    }

    /// When [`Prompts::go_on`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        match &self.up {
            Some(up) => up.readable_at,
            None => self.waiting.front().map(|waiting| waiting.due),
        }
    }

    /// Shows the next one, or lets keys count. Gives back what cannot be asked here.
    pub async fn go_on(&mut self, gateway: &GatewayClient, context: &Context) -> Option<EventKind> {
        if let Some(up) = &mut self.up {
            up.readable_at = up.keys.forget().then(|| Instant::now() + READS);
            self.draw(context);
            return None;
        }
        let Waiting { prompt, asked, id, .. } = self.waiting.pop_front()?;
        let approval = match timeout(ASKS, gateway.approval(&id)).await {
            Ok(Ok(approval)) => approval,
            _ => return Some(asked),
        };
        if approval.state != ApprovalState::Pending {
            return None;
        }
        let Ok(keys) = Keys::begin() else { return Some(asked) };
        show(&approval, context);
        let readable_at = Some(Instant::now() + READS);
        self.up = Some(Up { prompt, asked, approval, keys, readable_at, typing: None, answers: Vec::new() });
        None
    }

    /// What is pressed next; waits for ever while nothing is asked.
    pub async fn pressed(&mut self) -> std::io::Result<Pressed> {
        match &mut self.up {
            Some(up) if up.readable_at.is_none() => up.keys.next().await,
            _ => std::future::pending().await,
        }
    }

    /// Draws the keys again: the line below everything, whatever was written meanwhile.
    pub fn draw(&self, context: &Context) {
        if let Some(up) = self.up.as_ref().filter(|up| up.readable_at.is_none() && up.typing.is_none()) {
            context.out.key_line(&format!("  {}", legend(&up.approval, up.question())));
        }
    }

    /// Does what a key or a line says.
    pub async fn take(
        &mut self,
        pressed: std::io::Result<Pressed>,
        gateway: &GatewayClient,
        context: &Context,
    ) -> Result<Next, Failure> {
        let Some(up) = &mut self.up else { return Ok(Next::Stay) };
        let answer = match (pressed, up.typing) {
            // The terminal is gone, and with it whoever could answer here.
            (Err(_), _) => None,
            (Ok(Pressed::Key(key)), None) => match choice(key, &up.approval, up.question()) {
                None => return Ok(Next::Stay),
                Some(picked) => Some(up.pick(picked, context)),
            },
            (Ok(Pressed::Line(line)), Some(typing)) => Some(up.typed(typing, &line, context)),
            (Ok(_), _) => {
                up.back_to_keys();
                context.out.say("");
                Some(None)
            }
        };
        if let Some(None) = answer {
            self.draw(context);
            return Ok(Next::Stay);
        }
        let Some(up) = self.up.take() else { return Ok(Next::Stay) };
        let Up { approval, asked, keys, .. } = up;
        drop(keys);
        context.out.clear_progress();
        let Some(answer) = answer.flatten() else { return Ok(Next::Elsewhere(asked)) };
        let told = gateway.answer_approval(&approval.id, &answer);
        match context.out.while_waiting("telling the agent", told).await {
            Ok(after) => tell_surprise(&after, context),
            Err(error) => {
                let problem = Failure::from(error).problem;
                context.out.warn(clean(&problem.title));
                // Whoever was first is named by the event that follows.
                if problem.status != 409 {
                    return Ok(Next::Elsewhere(asked));
                }
            }
        }
        Ok(Next::Over)
    }
}

impl Up {
    /// The question whose turn it is.
    fn question(&self) -> Option<&AskedQuestion> {
        self.approval.questions.get(self.answers.len())
    }

    /// Does what a key means; gives the answer when there is one.
    fn pick(&mut self, picked: Choice, context: &Context) -> Option<AnswerApproval> {
        let out = &context.out;
        match picked {
            Choice::Say(decision) => Some(said(decision)),
            Choice::Option(n) => {
                let label = self.question()?.options.get(n)?.label.clone();
                self.answered(vec![label], context)
            }
            Choice::Deny => {
                self.type_a_line(Typing::Why);
                out.ask_for_line("  why? the agent goes on with a reason; Enter alone ends its turn: ");
                None
            }
            Choice::Words => {
                self.type_a_line(Typing::Answer);
                let several = self.question().is_some_and(|question| question.multiple);
                out.ask_for_line(if several {
                    "  numbers with commas, or your words: "
                } else {
                    "  your words: "
                });
                None
            }
            Choice::Details => {
                for line in words::whole(&self.approval) {
                    out.say(format!("  {}", line.replace('\n', "\n  ")));
                }
                let command = crate::model::approval::command(self.approval.form.as_str(), &self.approval.id);
                out.say(context.dim(&format!("  elsewhere: `{command}`, `mimir approvals deny`")));
                None
            }
        }
    }

    /// Takes a line; gives the answer when there is one.
    fn typed(&mut self, typing: Typing, line: &str, context: &Context) -> Option<AnswerApproval> {
        self.back_to_keys();
        let line = line.trim();
        match typing {
            Typing::Why => {
                let why = Some(line.to_owned()).filter(|why| !why.is_empty());
                Some(AnswerApproval { why, ..said(Say::Reject) })
            }
            Typing::Answer if line.is_empty() => None,
            Typing::Answer => match words::answer(self.question()?, line) {
                Ok(answer) => self.answered(answer, context),
                Err(failure) => {
                    let hint = failure.problem.hint.as_deref().unwrap_or_default();
                    context.out.say(clean(&format!("  {}: {hint}", failure.problem.title)));
                    None
                }
            },
        }
    }

    /// The answer to one question; gives them all when it was the last.
    fn answered(&mut self, answer: Vec<String>, context: &Context) -> Option<AnswerApproval> {
        self.answers.push(answer);
        match self.question().cloned() {
            Some(next) => {
                words::question(&next).into_iter().for_each(|line| context.out.say(line));
                // The key for the one before is no answer to this one.
                self.readable_at = Some(Instant::now() + READS);
                None
            }
            None => Some(AnswerApproval { answers: std::mem::take(&mut self.answers), ..said(Say::Answer) }),
        }
    }

    fn type_a_line(&mut self, typing: Typing) {
        if self.keys.line().is_ok() {
            self.typing = Some(typing);
        }
    }

    fn back_to_keys(&mut self) {
        self.typing = None;
        // A terminal that is gone says so when it is read.
        let _ = self.keys.single();
    }
}

fn said(decision: Say) -> AnswerApproval {
    AnswerApproval { decision, why: None, answers: Vec::new() }
}

/// What is asked, as whoever decides must see it.
fn show(approval: &ApprovalView, context: &Context) {
    use crate::cli::paint::Ink;
    let out = &context.out;
    let heading = words::heading(approval);
    out.say(out.paint_errors.ink(Ink::Yellow, &format!("  {heading}")));
    // Of several questions the others follow when their turn comes.
    let lines = match (approval.form, approval.questions.first()) {
        (RequestForm::Question, Some(first)) => words::question(first),
        _ => words::body(approval),
    };
    for line in lines {
        out.say(format!("  {}", line.replace('\n', "\n  ")));
    }
    if let Some(always) = words::always(approval) {
        out.say(context.dim(&format!("  always would allow: {always}")));
    }
}

//! Where words go: results to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::exit::Failure;
use super::json;
use super::live;
use super::paint::{ColorChoice, Ink, Paint};
use super::table::{Table, clean};
use super::wrap::wrapped;
use crate::model::visible;
use crate::wire::problem::Problem;

pub use crate::client::told::{hears_from_elsewhere, told};

/// The two streams and how to write to them.
#[derive(Clone, Debug)]
pub struct Out {
    /// Results as JSON; nothing but errors on standard error.
    pub json: bool,
    /// No notes and no progress.
    pub quiet: bool,
    /// For standard output.
    pub paint: Paint,
    /// For standard error.
    pub paint_errors: Paint,
    width: Option<usize>,
    stdout_terminal: bool,
    stderr_terminal: bool,
    /// Whether this terminal may be steered at all.
    steerable: bool,
    /// Whether somebody is there who could press a key.
    attended: bool,
    /// Whether the live line stands on the screen now.
    drawn: Arc<AtomicBool>,
}

impl Out {
    /// Looks at the streams and the environment once.
    pub fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        let env = |name: &str| std::env::var(name).ok();
        let (stdout, stderr) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self {
            json,
            quiet,
            paint: Paint::decide(color, stdout, &env),
            paint_errors: Paint::decide(color, stderr, &env),
            width: stdout.then(terminal_width).flatten(),
            stdout_terminal: stdout,
            stderr_terminal: stderr,
            steerable: live::is_steerable(&env),
            attended: stderr && std::io::stdin().is_terminal() && !live::is_ci(&env),
            drawn: Arc::default(),
        }
    }

    /// Whether somebody watches standard error.
    pub fn is_watched(&self) -> bool {
        self.stderr_terminal && !self.quiet && !self.json
    }

    /// Whether a line may be drawn again and again on standard error: somebody watches, the terminal can be steered,
    /// and this program is not in the background of a shell.
    pub fn is_live(&self) -> bool {
        self.steerable && self.is_watched() && live::is_in_front(std::io::stderr())
    }

    /// Whether somebody is there who can be asked in the middle of something.
    pub fn is_attended(&self) -> bool {
        self.attended && self.is_watched()
    }

    /// Whether results go to a terminal.
    pub fn shows_results(&self) -> bool {
        self.stdout_terminal
    }

    /// The width of the terminal on standard error.
    pub fn live_width(&self) -> usize {
        terminal_width().unwrap_or(80)
    }

    /// The terminal's width as it is now, if standard output is one.
    pub fn width(&self) -> Option<usize> {
        self.width.and_then(|at_the_start| terminal_width().or(Some(at_the_start)))
    }

    /// A result, as it is.
    ///
    /// # Errors
    /// When nobody can read it any more, or it cannot be written.
    pub fn raw(&self, text: &str) -> Result<(), Failure> {
        if self.stdout_terminal {
            self.clear_progress();
        }
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::output_closed()),
            Err(error) => Err(Problem::new(507, "output.failed", "the output cannot be written")
                .detail(error.to_string())
                .hint("is the disk full, or the terminal gone?")
                .into()),
        }
    }

    /// A line of a result.
    ///
    /// # Errors
    /// See [`Out::raw`].
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.raw(&format!("{}\n", text.as_ref()))
    }

    /// A table as a result.
    ///
    /// # Errors
    /// See [`Out::raw`].
    pub fn table(&self, table: &Table) -> Result<(), Failure> {
        self.raw(&table.render(self.width, self.paint))
    }

    /// A whole result as JSON.
    ///
    /// # Errors
    /// See [`Out::raw`].
    pub fn document(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| unserialisable(&error))?;
        self.line(visible::json(&text))
    }

    /// One object of a stream as JSON.
    ///
    /// # Errors
    /// See [`Out::raw`].
    pub fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| unserialisable(&error))?;
        self.line(visible::json(&text))
    }

    /// Something to know that is no result. Silent with `--json` and `--quiet`.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.json && !self.quiet {
            self.error_line(&self.fitted(text.as_ref(), 2));
        }
    }

    /// Something that may surprise.
    pub fn warn(&self, text: impl AsRef<str>) {
        if !self.json {
            let note = format!("{} {}", self.paint_errors.ink(Ink::Yellow, "note:"), text.as_ref());
            self.error_line(&self.fitted(&note, 6));
        }
    }

    /// Something that was asked for and is not obeyed: told to programs too.
    pub fn caution(&self, text: impl AsRef<str>) {
        if self.json {
            self.error_line(&visible::json(&serde_json::json!({"warning": text.as_ref()}).to_string()));
        }
        self.warn(text);
    }

    /// What failed, why, and what to type next.
    pub fn problem(&self, problem: &Problem) {
        self.error_line(&match self.json {
            true => as_json(problem),
            false => self.fitted(&for_people(problem, self.paint_errors), 5),
        });
    }

    /// Text for standard error, broken at words if somebody watches.
    fn fitted(&self, text: &str, hang: usize) -> String {
        wrapped(text, self.stderr_terminal.then(terminal_width).flatten(), hang)
    }

    /// Text as a result: broken at words on a terminal, what follows `hang` columns further in; whole in a pipe.
    ///
    /// # Errors
    /// See [`Out::raw`].
    pub fn paragraph(&self, text: &str, hang: usize) -> Result<(), Failure> {
        self.line(wrapped(text, self.width(), hang))
    }

    /// Waits for `work`; when that takes longer than half a second and somebody
    /// watches, says what is being waited for.
    pub async fn while_waiting<F: Future>(&self, what: &str, work: F) -> F::Output {
        if !self.is_live() {
            return work.await;
        }
        tokio::pin!(work);
        let begun = Instant::now();
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(begun + Duration::from_millis(500)) => {}
        }
        loop {
            self.progress(what, &live::seconds(begun.elapsed()));
            tokio::select! {
                biased;
                done = &mut work => { self.clear_progress(); return done; }
                () = sleep(live::TICK) => {}
            }
        }
    }

    /// Replaces the live line, if there may be one: what goes on, cut where the terminal ends, and behind it what must
    /// be seen whole, such as the time.
    pub fn progress(&self, text: &str, behind: &str) {
        if self.is_live() {
            let room = self.live_width().saturating_sub(3);
            let line = live::with_end(&clean(text), behind, room);
            self.draw(&format!("{} {line}", self.paint_errors.ink(Ink::Cyan, &live::spinner().to_string())));
        }
    }

    /// Replaces the live line with words that wait for a key.
    pub fn key_line(&self, text: &str) {
        if self.is_live() {
            let line = live::fit(text, self.live_width().saturating_sub(1));
            self.draw(&self.paint_errors.ink(Ink::Bold, &line));
        } else {
            self.say(text);
        }
    }

    /// Words in front of a line that is about to be typed.
    pub fn ask_for_line(&self, text: &str) {
        self.clear_progress();
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }

    /// The old line is written over and its rest cut off, in one piece: nothing flickers.
    fn draw(&self, line: &str) {
        self.drawn.store(true, Ordering::Relaxed);
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(format!("\r{line}\x1b[K").as_bytes()).and_then(|()| stderr.flush());
    }

    /// Removes the live line, if it stands there.
    pub fn clear_progress(&self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }

    /// A line on standard error, in the place of the live line.
    fn error_line(&self, text: &str) {
        let first = if self.drawn.swap(false, Ordering::Relaxed) { "\r\x1b[K" } else { "" };
        // If standard error is gone, there is nobody left to tell.
        let _ = std::io::stderr().write_all(format!("{first}{text}\n").as_bytes());
    }
}

fn unserialisable(error: &serde_json::Error) -> Failure {
    Problem::new(500, "internal", "a result cannot be written as JSON").detail(error.to_string()).into()
}

fn terminal_width() -> Option<usize> {
    crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// `{"error":{…}}` on one line.
pub fn as_json(problem: &Problem) -> String {
    let error = json::Refused { error: problem.clone().into() };
    visible::json(&serde_json::to_string(&error).unwrap_or_default())
}

/// Three lines at most, and the request's id when somebody will have to look it up.
pub fn for_people(problem: &Problem, paint: Paint) -> String {
    let mut text = format!("{} {}", paint.ink(Ink::Red, "error:"), clean(&told(&problem.title)));
    if let Some(detail) = &problem.detail {
        let detail = told(detail);
        let detail = detail.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n       ");
        text.push_str(&format!("\n  {} {detail}", paint.ink(Ink::Dim, "why:")));
    }
    if let Some(hint) = &problem.hint {
        text.push_str(&format!("\n  {} {}", paint.ink(Ink::Cyan, "try:"), clean(hint)));
    }
    if problem.status >= 500
        && let Some(request) = &problem.request_id
    {
        text.push_str(&format!("\n  {} {request}", paint.ink(Ink::Dim, "in the log as:")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let mut problem = Problem::new(409, "frame.name_taken", "there is a frame `blog` already")
            .detail("it runs\x1b[2J since 3h")
            .hint("choose another name");
        problem.request_id = Some("req_1".to_owned());
        let plain = Paint::decide(ColorChoice::Never, false, &|_| None);
        assert_eq!(
            for_people(&problem, plain),
            "error: there is a frame `blog` already\n  why: it runs [2J since 3h\n  try: choose another name"
        );
        assert_eq!(
            as_json(&problem),
            r#"{"error":{"code":"frame.name_taken","title":"there is a frame `blog` already","detail":"it runs\u001b[2J since 3h","hint":"choose another name","request_id":"req_1"}}"#
        );
    }
}

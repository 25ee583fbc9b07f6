//! A conversation as lines.
//!
//! Lines of what is over are kept until the conversation, the width or the folding changes: drawing them again for each piece of
//! an answer would cost more with every turn. And what nobody scrolls to is not laid out at all.

use mimir_model::agent::ToolStatus;
use mimir_model::quantity::{money, took};
use mimir_model::visible;
use mimir_model::wire::messages::TurnView;
use mimir_model::wire::sessions::PartView;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::conversation::Piece;
use crate::facts::argument;
use crate::markdown;
use crate::theme::Theme;
use crate::time::clock_of;
use crate::wrap::{fit, wrap};

/// So many lines of a tool's output are shown when it is unfolded.
const OUTPUT: usize = 40;

/// So many turns are laid out at first, and as many again as there are whenever somebody scrolls above them.
const TURNS: usize = 40;
/// Where lines are counted from, so that those laid out above others later change no count.
const ANCHOR: usize = usize::MAX / 4;

/// What kept lines were made of: the history's version, the width, whether it is unfolded, and how many turns.
type MadeOf = (u64, u16, bool, usize);

/// Lines that need not be made again.
#[derive(Debug, Default)]
pub struct KeptTalk {
    /// Whose: the frame and the conversation.
    whose: Option<(String, Option<String>)>,
    made_of: Option<MadeOf>,
    /// Of the history, and behind it of what goes on.
    lines: Vec<Line<'static>>,
    of_history: usize,
    /// The first turn that is laid out.
    from: usize,
    /// How many lines were put above those that were there at first.
    above: usize,
    /// How often the history was laid out, and how many turns in all.
    pub made: (u64, usize),
}

impl KeptTalk {
    /// The conversation's last lines, at least so many where there are so many: those of the history as they were, and the
    /// others anew. And a number that grows with every line that is kept no longer.
    pub fn lines(&mut self, app: &App, width: u16, least: usize) -> (&[Line<'static>], usize) {
        let talk = &app.talk;
        let told = talk.told();
        let whose = (talk.frame.clone(), talk.session.as_ref().map(|session| session.id.clone()));
        if self.whose.as_ref() != Some(&whose) || self.from > told.len() {
            let from = told.len().saturating_sub(TURNS);
            *self = Self { whose: Some(whose), from, made: self.made, ..Self::default() };
        }
        self.lines.truncate(self.of_history);
        let wanted = (talk.version, width, app.unfolded, told.len());
        if self.made_of.as_ref() != Some(&wanted) {
            self.lines = self.lay_out(app, width, self.from, told.len());
            self.made_of = Some(wanted);
            self.made.0 += 1;
        }
        let mut page = Page::new(app, width);
        if talk.is_read {
            rest(app, &mut page);
        }
        while self.from > 0 && self.lines.len() + page.lines.len() < least {
            let (end, from) = (self.from, self.from.saturating_sub(TURNS.max(told.len() - self.from)));
            let before = self.lay_out(app, width, from, end);
            self.from = from;
            self.above += before.len();
            self.lines.splice(0..0, before);
        }
        self.of_history = self.lines.len();
        self.lines.append(&mut page.lines);
        (&self.lines, ANCHOR - self.above)
    }

    fn lay_out(&mut self, app: &App, width: u16, from: usize, end: usize) -> Vec<Line<'static>> {
        let talk = &app.talk;
        let mut page = Page::new(app, width);
        if !talk.is_read {
            page.line("the conversation is being read", app.theme.faint());
        } else if let (0, Some(session)) = (from, &talk.session) {
            page.line(&visible::line(&session.title), app.theme.faint());
        }
        talk.told()[from..end].iter().for_each(|turn| page.turn(turn));
        self.made.1 += end - from;
        page.lines
    }
}

/// What goes on, and what waits.
fn rest(app: &App, page: &mut Page) {
    let (theme, talk) = (app.theme, &app.talk);
    let mut is_first = true;
    for piece in talk.live() {
        if std::mem::take(&mut is_first) {
            page.heading("agent", "now", theme.accent());
        }
        page.piece(piece);
    }
    for message in &talk.waiting {
        page.heading("you", message.state.as_str(), theme.faint());
        page.words(&message.text, theme.faint());
    }
    if talk.told().is_empty() && page.lines.is_empty() {
        page.line("nothing was said yet; s sends a message", theme.faint());
    }
}

/// Lines being made.
struct Page {
    theme: Theme,
    width: usize,
    unfolded: bool,
    lines: Vec<Line<'static>>,
}

impl Page {
    fn new(app: &App, width: u16) -> Self {
        Self { theme: app.theme, width: usize::from(width), unfolded: app.unfolded, lines: Vec::new() }
    }

    fn line(&mut self, text: &str, style: Style) {
        self.lines.extend(wrap(Line::from(Span::styled(text.to_owned(), style)), self.width, 2));
    }

    fn words(&mut self, text: &str, style: Style) {
        for line in visible::prose(text).trim_end().split('\n') {
            self.line(line, style);
        }
    }

    fn heading(&mut self, who: &str, more: &str, style: Style) {
        self.lines.push(Line::raw(""));
        self.lines.push(Line::from(vec![
            Span::styled(who.to_owned(), style.patch(self.theme.strong())),
            Span::styled(format!("  {more}"), self.theme.faint()),
        ]));
    }

    fn turn(&mut self, turn: &TurnView) {
        let theme = self.theme;
        let mut facts = vec![clock_of(turn.at)];
        facts.extend(turn.model.as_deref().map(visible::line));
        facts.extend((turn.cost_microusd > 0).then(|| money(turn.cost_microusd)));
        facts.extend(turn.taken_back.map(|_| "taken back".to_owned()));
        let is_user = turn.role == "user";
        let (who, style) = if is_user { ("you", theme.good()) } else { ("agent", theme.accent()) };
        self.heading(who, &facts.join(" · "), style);
        if turn.taken_back.is_some() {
            self.words(&turn.text, theme.faint());
            return;
        }
        if turn.parts.is_empty() {
            self.text(&turn.text, is_user);
        }
        for part in &turn.parts {
            self.part(part, is_user);
        }
        if let Some(error) = &turn.error {
            self.words(error, theme.bad());
        }
    }

    fn text(&mut self, text: &str, is_user: bool) {
        if is_user {
            self.words(text, Style::new());
            return;
        }
        for line in markdown::lines(text, self.theme, self.width) {
            self.lines.extend(wrap(line, self.width, 0));
        }
    }

    fn part(&mut self, part: &PartView, is_user: bool) {
        match part {
            PartView::Text { text, synthetic: false } => self.text(text, is_user),
            PartView::Text { synthetic: true, .. } | PartView::Step { .. } => {}
            PartView::Reasoning { text, started_at, ended_at } => {
                let time = started_at.zip(*ended_at).map(|(from, to)| took(to.saturating_sub(from)));
                self.thought(text, time);
            }
            PartView::Tool { tool, status, title, input, output, started_at, ended_at, .. } => {
                let time = started_at.zip(*ended_at).map(|(from, to)| took(to.saturating_sub(from)));
                self.tool(tool, *status, title.as_deref(), input, output.as_deref(), time);
            }
            PartView::Files { paths } => {
                self.line(&visible::line(&format!("files: {}", paths.join(", "))), self.theme.faint())
            }
            PartView::Other { kind } => self.line(&visible::line(kind), self.theme.faint()),
        }
    }

    fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Text { text, .. } => self.text(text, false),
            Piece::Reasoning { text, .. } => self.thought(text, None),
            Piece::Tool { tool, status, title, input, output, .. } => {
                self.tool(tool, *status, title.as_deref(), input, output.as_deref(), None);
            }
            Piece::Retry(text) => self.line(&visible::line(text), self.theme.warn()),
        }
    }

    fn thought(&mut self, text: &str, time: Option<String>) {
        let time = time.map(|time| format!(" for {time}")).unwrap_or_default();
        self.line(&format!("▸ thought{time}"), self.theme.faint());
        if self.unfolded {
            self.words(text, self.theme.faint());
        }
    }

    fn tool(
        &mut self,
        tool: &str,
        status: ToolStatus,
        title: Option<&str>,
        input: &serde_json::Value,
        output: Option<&str>,
        time: Option<String>,
    ) {
        let theme = self.theme;
        let (sign, style) = match status {
            ToolStatus::Pending => ("…", theme.faint()),
            ToolStatus::Running => ("●", theme.accent()),
            ToolStatus::Completed => ("✓", theme.good()),
            ToolStatus::Error => ("x", theme.bad()),
        };
        let what = visible::line(argument(input).or(title).unwrap_or_default());
        let time = time.map(|time| format!("  {time}")).unwrap_or_default();
        let room = self.width.saturating_sub(tool.len() + time.len() + 6);
        self.lines.push(Line::from(vec![
            Span::styled(format!("{sign} "), style),
            Span::styled(visible::line(tool), theme.strong()),
            Span::raw(format!(" {}", fit(&what, room))),
            Span::styled(time, theme.faint()),
        ]));
        let changes = diff(input);
        for (text, is_new) in changes.iter().take(if self.unfolded { usize::MAX } else { 8 }) {
            let (mark, style) = if *is_new { ("+", theme.good()) } else { ("-", theme.removed()) };
            self.line(&visible::line(&format!("  {mark} {text}")), style);
        }
        if !self.unfolded && changes.len() > 8 {
            self.line(&format!("    {} lines more; x shows them", changes.len() - 8), theme.faint());
        }
        let Some(output) = output.filter(|output| self.unfolded && !output.trim().is_empty()) else { return };
        let lines: Vec<&str> = output.trim_end().lines().collect();
        if let Some(more) = lines.len().checked_sub(OUTPUT).filter(|more| *more > 0) {
            self.line(&format!("    {more} lines before"), theme.faint());
        }
        for text in &lines[lines.len().saturating_sub(OUTPUT)..] {
            self.line(&format!("    {}", visible::prose(text)), theme.faint());
        }
    }
}

/// The lines that an edit takes away and puts in.
fn diff(input: &serde_json::Value) -> Vec<(String, bool)> {
    let lines =
        |name: &str| input[name].as_str().unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines("oldString"), lines("newString"));
    // What both begin and end with did not change.
    let before = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[before..], &new[before..]);
    let after = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let gone = old[..old.len() - after].iter().map(|line| (line.clone(), false));
    gone.chain(new[..new.len() - after].iter().map(|line| (line.clone(), true))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_shows_what_changed_and_no_more() {
        let edit = serde_json::json!({"oldString": "a\nb\nc", "newString": "a\nx\ny\nc"});
        assert_eq!(diff(&edit), [("b".into(), false), ("x".into(), true), ("y".into(), true)]);
        assert!(diff(&serde_json::json!({"command": "ls"})).is_empty());
        let same = serde_json::json!({"oldString": "a\na", "newString": "a"});
        assert_eq!(diff(&same), [("a".into(), false)]);
    }
}

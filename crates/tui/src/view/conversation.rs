//! A conversation as lines.
//!
//! Lines of what is over are kept until the conversation, the width or the folding changes: drawing them again for each piece of
//! an answer would cost more with every turn.

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

/// What kept lines were made of: the frame, the history's version, the width, whether it is unfolded, and how many turns.
type MadeOf = (String, u64, u16, bool, usize);

/// Lines that need not be made again.
#[derive(Debug, Default)]
pub struct KeptTalk {
    made_of: Option<MadeOf>,
    lines: Vec<Line<'static>>,
    of_history: usize,
    /// How often the history was laid out.
    pub made: u64,
}

impl KeptTalk {
    /// The conversation's lines: those of the history as they were, and the others anew.
    pub fn lines(&mut self, app: &App, width: u16) -> &[Line<'static>] {
        let talk = &app.talk;
        let wanted = (talk.frame.clone(), talk.version, width, app.unfolded, talk.told().len());
        let mut page =
            Page { theme: app.theme, width: usize::from(width), unfolded: app.unfolded, lines: Vec::new() };
        if self.made_of.as_ref() == Some(&wanted) {
            self.lines.truncate(self.of_history);
            page.lines = std::mem::take(&mut self.lines);
        } else {
            history(app, &mut page);
            self.of_history = page.lines.len();
            self.made_of = Some(wanted);
            self.made += 1;
        }
        if talk.is_read {
            rest(app, &mut page);
        }
        self.lines = page.lines;
        &self.lines
    }
}

fn history(app: &App, page: &mut Page) {
    let (theme, talk) = (app.theme, &app.talk);
    if !talk.is_read {
        page.line("the conversation is being read", theme.faint());
        return;
    }
    if let Some(session) = &talk.session {
        page.line(&visible::line(&session.title), theme.faint());
    }
    for turn in talk.told() {
        page.turn(turn);
    }
}

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
    if page.lines.len() <= 1 {
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

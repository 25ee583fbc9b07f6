//! What an agent asks, as it is decided upon: every character that does something unseen is written out.

use mimir_model::approval::RequestForm;
use mimir_model::quantity::left;
use mimir_model::visible;
use mimir_model::wire::approvals::ApprovalView;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use crate::app::App;
use crate::wrap::wrap_behind;

/// Before what was carried over because the line is too short, and before what stands on a line of its own in the text:
/// one must not look like the other, and neither like another thing that is asked.
const CARRIED: &str = "  ↪ ";
const NEXT_LINE: &str = "  ⏎ ";

/// Its lines: of a command the whole text, of an edit the change, and what "always" would allow. What opencode lists as
/// patterns is only what it found in a command; whatever else is in it would be allowed as well.
pub fn lines(app: &App, asked: &ApprovalView, width: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let width = usize::from(width);
    let mut lines = Vec::new();
    let mut add = |text: &str, style: Style| {
        for (at, line) in visible::exact(text).split('\n').enumerate() {
            let mark = if at > 0 { NEXT_LINE } else { "" };
            let line =
                Line::from(vec![Span::styled(mark, theme.warn()), Span::styled(line.to_owned(), style)]);
            lines.extend(wrap_behind(line, width, CARRIED));
        }
    };
    let always = match asked.form {
        RequestForm::Permission => {
            let tool = asked.tool.as_deref().unwrap_or("something");
            let command = asked.metadata["command"].as_str();
            let rest = asked.patterns.iter().map(String::as_str);
            let rest = rest.filter(|pattern| !command.is_some_and(|whole| whole.contains(*pattern)));
            let all: Vec<&str> = command.into_iter().chain(rest).collect();
            if all.is_empty() {
                add(&asked.text, theme.strong());
            }
            all.iter().for_each(|what| add(&format!("{tool}: {what}"), theme.strong()));
            for line in asked.metadata["diff"].as_str().unwrap_or_default().trim_end().lines() {
                add(line, diff_style(app, line));
            }
            "always would allow"
        }
        RequestForm::Connection => {
            add(&asked.text, theme.strong());
            "always would put on the frame's list"
        }
        RequestForm::Question => {
            for question in &asked.questions {
                add(&question.text, theme.strong());
                question.options.iter().for_each(|option| add(&format!("- {}", option.label), theme.faint()));
            }
            ""
        }
    };
    if asked.form != RequestForm::Question {
        asked.always.iter().for_each(|what| add(&format!("{always}: {what}"), theme.faint()));
    }
    lines
}

fn diff_style(app: &App, line: &str) -> Style {
    match line.as_bytes().first() {
        Some(b'+') => app.theme.good(),
        Some(b'-') => app.theme.removed(),
        _ => app.theme.faint(),
    }
}

/// Whether all of it can be read there.
pub fn is_whole(app: &App, asked: &ApprovalView, area: Rect) -> bool {
    let lines = lines(app, asked, area.width.saturating_sub(2));
    let shown = usize::from(area.height.saturating_sub(2));
    lines.len() <= shown
}

/// Draws it in its frame.
pub fn draw(app: &App, asked: &ApprovalView, area: Rect, to: &mut Frame<'_>) {
    let theme = app.theme;
    let who = if asked.from_child { "a sub-agent" } else { "the agent" };
    let what = match asked.form {
        RequestForm::Permission => "wants to",
        RequestForm::Question => "asks",
        RequestForm::Connection => "wants to reach a host",
    };
    let keys = match asked.form {
        RequestForm::Permission => " y once  A always  n no  v all of it ",
        RequestForm::Question => " y answer  n no ",
        RequestForm::Connection => " y once  A always  n no  v all of it ",
    };
    let others = app.facts.asked_by(&asked.frame).count().saturating_sub(1);
    let others = if others > 0 { format!(" (and {others} more)") } else { String::new() };
    let until = asked.deadline_at.map(|at| format!(" · no in {}", left(at, app.now_ms))).unwrap_or_default();
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.warn())
        .title(Span::styled(format!(" {who} {what}{others}{until} "), theme.warn()))
        .title_bottom(Span::styled(keys, theme.accent()));
    let inside = block.inner(area);
    to.render_widget(Clear, area);
    to.render_widget(block, area);
    let mut lines = lines(app, asked, inside.width);
    let rows = usize::from(inside.height);
    if lines.len() > rows && rows > 0 {
        let more = format!("… {} lines more; v shows them", lines.len() + 1 - rows);
        lines.truncate(rows - 1);
        lines.push(Line::from(Span::styled(more, theme.warn())));
    }
    to.render_widget(Paragraph::new(lines), inside);
}

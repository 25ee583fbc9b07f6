//! What an agent asks, as it is decided upon: every character that does something unseen is written out.

use mimir_model::approval::RequestForm;
use mimir_model::quantity::left;
use mimir_model::visible;
use mimir_model::wire::approvals::ApprovalView;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use crate::app::App;
use crate::wrap::wrap;

/// More lines of a command than these are told as a number: all of them are in `mimir approvals show`.
const MOST: usize = 30;

/// Its lines.
pub fn lines(app: &App, asked: &ApprovalView, width: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let width = usize::from(width);
    let mut lines = Vec::new();
    let mut add = |text: &str, style| {
        for line in visible::exact(text).split('\n') {
            lines.extend(wrap(Line::from(Span::styled(line.to_owned(), style)), width, 2));
        }
    };
    match asked.form {
        RequestForm::Permission => {
            let tool = asked.tool.as_deref().unwrap_or("something");
            match asked.patterns.as_slice() {
                [] => add(&asked.text, theme.strong()),
                patterns => {
                    patterns.iter().for_each(|pattern| add(&format!("{tool}: {pattern}"), theme.strong()))
                }
            }
        }
        RequestForm::Connection => add(&asked.text, theme.strong()),
        RequestForm::Question => {
            for question in &asked.questions {
                add(&question.text, theme.strong());
                let options: Vec<&str> =
                    question.options.iter().map(|option| option.label.as_str()).collect();
                add(&options.join(" · "), theme.faint());
            }
        }
    }
    let all = lines.len();
    if all > MOST {
        lines.truncate(MOST);
        let more = format!("… {} lines more: `mimir approvals show {}`", all - MOST, asked.id);
        lines.push(Line::from(Span::styled(more, theme.warn())));
    }
    if asked.form == RequestForm::Permission && !asked.always.is_empty() {
        let always = visible::exact(&asked.always.join(", ")).replace('\n', " ");
        lines.extend(wrap(
            Line::from(Span::styled(format!("always would allow {always}"), theme.faint())),
            width,
            2,
        ));
    }
    lines
}

/// Whether all of it can be read there.
pub fn is_whole(app: &App, asked: &ApprovalView, area: Rect) -> bool {
    let lines = lines(app, asked, area.width.saturating_sub(2));
    let shown = usize::from(area.height.saturating_sub(2));
    lines.len() <= shown && !lines.iter().any(|line| line.to_string().starts_with("… "))
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
        RequestForm::Permission => " y once  A always  n no ",
        RequestForm::Question => " y answer  n no ",
        RequestForm::Connection => " y once  A always  n no ",
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
        let more = format!("… {} lines more: `mimir approvals show {}`", lines.len() + 1 - rows, asked.id);
        lines.truncate(rows - 1);
        lines.push(Line::from(Span::styled(more, theme.warn())));
    }
    to.render_widget(Paragraph::new(lines), inside);
}

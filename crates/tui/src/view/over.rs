//! Draws what lies over the screen.

use mimir_model::approval::AskedQuestion;
use mimir_model::visible;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use unicode_width::UnicodeWidthStr;

use super::scroll::from_begin;
use crate::app::App;
use crate::keys::KEYS;
use crate::overlay::{Create, Overlay, Question, Typed, text_of};
use crate::palette;
use crate::wrap::{fit, wrap};

/// Instead of a title when there is nothing to answer any more.
const SETTLED: &str = "that was answered elsewhere";

/// Draws it.
pub fn draw(app: &App, overlay: &Overlay, to: &mut Frame<'_>) {
    let theme = app.theme;
    match overlay {
        Overlay::Help { from } => {
            let inside = open(app, "keys", "j k scroll · any other key closes", (76, 40), to);
            from_begin(&help(app), *from, inside, to);
        }
        Overlay::Filter(typed) => {
            line(app, "show only frames with", "Enter keeps it, Esc shows all", typed, to)
        }
        Overlay::Palette { typed, at } => palette(app, typed, *at, to),
        Overlay::Compose { frame, typed, .. } => {
            let title = format!("to {frame}");
            let inside =
                open(app, &title, "Enter sends · Alt-Enter new line · Esc keeps it for later", (100, 10), to);
            to.render_widget(typed, inside);
        }
        Overlay::Deny { about, typed, is_settled, .. } => {
            let about = visible::exact(about).replace('\n', " ");
            let (title, keys) = match is_settled {
                true => (SETTLED, "Esc closes"),
                false => ("no, because", "Enter denies, with or without a reason · Esc leaves it open"),
            };
            let inside = open(app, title, keys, (100, 4), to);
            let room = usize::from(inside.width);
            to.render_widget(Span::styled(fit(&about, room), theme.faint()), Rect { height: 1, ..inside });
            to.render_widget(typed, Rect { y: inside.y + 1, height: 1, ..inside }.intersection(inside));
        }
        Overlay::Question(question) => ask(app, question, to),
        Overlay::Confirm { text, .. } => {
            let mut lines = Vec::new();
            for part in visible::prose(text).split('\n') {
                lines.extend(wrap(Line::raw(part.to_owned()), 66, 0));
            }
            let rows = u16::try_from(lines.len()).unwrap_or(10).min(12);
            let inside = open(app, "sure?", "y yes · n no", (70, rows + 2), to);
            to.render_widget(Paragraph::new(lines), inside);
        }
        Overlay::Create(form) => create(app, form, to),
    }
}

/// An empty frame in the middle; what is inside of it.
fn open(app: &App, title: &str, keys: &str, size: (u16, u16), to: &mut Frame<'_>) -> Rect {
    let whole = to.area();
    let (width, height) = (size.0.min(whole.width), size.1.min(whole.height));
    let area = Rect::new((whole.width - width) / 2, (whole.height - height) / 2, width, height);
    let room = usize::from(width.saturating_sub(4));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(app.theme.accent())
        .title(Span::styled(fit(&format!(" {title} "), room), app.theme.strong()))
        .title_bottom(Span::styled(fit(&format!(" {keys} "), room), app.theme.faint()));
    let inside = block.inner(area);
    to.render_widget(Clear, area);
    to.render_widget(block, area);
    inside
}

fn line(app: &App, title: &str, keys: &str, typed: &Typed, to: &mut Frame<'_>) {
    let inside = open(app, title, keys, (60, 3), to);
    to.render_widget(typed, inside);
}

fn help(app: &App) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    for (screen, keys) in KEYS {
        if !lines.is_empty() {
            lines.push(Line::raw(""));
        }
        lines.push(Line::from(Span::styled(*screen, theme.strong())));
        for (key, what) in *keys {
            lines.push(Line::from(vec![
                Span::styled(format!("  {key:<14}"), theme.accent()),
                Span::raw(*what),
            ]));
        }
    }
    lines
}

fn palette(app: &App, typed: &Typed, at: usize, to: &mut Frame<'_>) {
    let theme = app.theme;
    let inside = open(app, "mimir …", "Enter runs it here · Tab completes · Esc", (90, 16), to);
    to.render_widget(typed, Rect { height: 1, ..inside });
    let proposals = palette::proposals(&app.commands, &text_of(typed));
    let rows = usize::from(inside.height.saturating_sub(1));
    let first = (at + 1).saturating_sub(rows);
    let lines: Vec<Line<'static>> = proposals
        .iter()
        .enumerate()
        .skip(first)
        .take(rows)
        .map(|(place, command)| {
            let style = if place == at { theme.chosen() } else { Style::new() };
            let about = fit(&command.about, usize::from(inside.width).saturating_sub(26));
            Line::from(vec![
                Span::styled(format!("{:<24} ", command.words), style),
                Span::styled(about, theme.faint()),
            ])
        })
        .collect();
    let below = Rect { y: inside.y + 1, height: inside.height.saturating_sub(1), ..inside };
    to.render_widget(Paragraph::new(lines), below);
}

fn ask(app: &App, question: &Question, to: &mut Frame<'_>) {
    let theme = app.theme;
    let all = question.approval.questions.len();
    let title = format!("{} asks ({} of {all})", question.approval.frame, (question.at + 1).min(all));
    let Some(asked) = question.approval.questions.get(question.at) else { return };
    let (title, keys) = match (question.is_settled, asked.multiple) {
        (true, _) => (SETTLED, "Esc closes"),
        (false, true) => (title.as_str(), "Space picks · Enter goes on · Esc"),
        (false, false) => (title.as_str(), "Enter or a digit picks · Esc"),
    };
    let inside = open(app, title, keys, (90, to.area().height.saturating_sub(2)), to);
    let (width, height) = (usize::from(inside.width), usize::from(inside.height));
    let mut lines = Vec::new();
    for line in visible::exact(&asked.text).split('\n') {
        lines.extend(wrap(Line::from(Span::styled(line.to_owned(), theme.strong())), width, 0));
    }
    let choices = choices(app, question, asked, width);
    // What is chosen from is always there; a long text gives way to it, and says so.
    let room = height.saturating_sub(choices.len() + 1).max(height / 2);
    if lines.len() > room && room > 0 {
        let more = format!(
            "… {} lines more: `mimir approvals show {}`",
            lines.len() + 1 - room,
            question.approval.id
        );
        lines.truncate(room - 1);
        lines.push(Line::from(Span::styled(more, theme.warn())));
    }
    let left = height.saturating_sub(lines.len() + usize::from(question.own.is_some()));
    let first = (question.cursor + 1).saturating_sub(left);
    lines.extend(choices.into_iter().skip(first).take(left));
    let rows = u16::try_from(lines.len()).unwrap_or(inside.height).min(inside.height);
    to.render_widget(Paragraph::new(lines), inside);
    if let Some(own) = &question.own {
        let y = (inside.y + rows).min(inside.bottom().saturating_sub(1));
        let place = Rect { y, height: 1, ..inside };
        to.render_widget(Clear, place);
        to.render_widget(own, place);
    }
}

/// The options, and "something else".
fn choices(app: &App, question: &Question, asked: &AskedQuestion, width: usize) -> Vec<Line<'static>> {
    let theme = app.theme;
    let picked = question.picked.get(question.at).map(Vec::as_slice).unwrap_or_default();
    let own = picked.iter().filter(|label| !asked.options.iter().any(|option| option.label == **label));
    let own: Vec<String> = own.map(|words| visible::line(words)).collect();
    let options = asked.options.iter().map(|option| {
        let is_picked = picked.contains(&option.label);
        (visible::line(&option.label), visible::line(&option.description), is_picked)
    });
    let something_else = ("something else …".to_owned(), own.join(", "), !own.is_empty());
    options
        .chain([something_else])
        .enumerate()
        .map(|(at, (label, about, is_picked))| {
            let style = if at == question.cursor { theme.chosen() } else { Style::new() };
            let mark = if is_picked { "[x]" } else { "[ ]" };
            let room = width.saturating_sub(label.width() + 10);
            Line::from(vec![
                Span::styled(format!("{} {mark} ", at + 1), theme.accent()),
                Span::styled(label, style),
                Span::styled(format!("  {}", fit(&about, room)), theme.faint()),
            ])
        })
        .collect()
}

fn create(app: &App, form: &Create, to: &mut Frame<'_>) {
    let theme = app.theme;
    let inside = open(app, "a new frame", "Enter makes it · Tab next · Esc", (80, 9), to);
    let label = |field: usize, text: &str, to: &mut Frame<'_>| {
        let y = inside.y + u16::try_from(field).unwrap_or(0);
        let style = if field == form.field { theme.accent() } else { theme.faint() };
        let area = Rect { y, height: 1, ..inside };
        to.render_widget(Span::styled(format!("{text:<10}"), style), area);
        Rect { x: area.x + 11, width: area.width.saturating_sub(11), ..area }.intersection(inside)
    };
    for (field, (text, typed)) in [("name", &form.name), ("folder", &form.workspace)].into_iter().enumerate()
    {
        let place = label(field, text, to);
        if field == form.field {
            to.render_widget(typed, place);
        } else {
            let empty = if field == 0 { "as its folder" } else { "" };
            let words = text_of(typed);
            let shown = if words.is_empty() { Span::styled(empty, theme.faint()) } else { Span::raw(words) };
            to.render_widget(shown, place);
        }
    }
    let place = label(2, "network", to);
    let mut line = Line::default();
    for (at, word) in Create::NETWORKS.iter().enumerate() {
        let style = if at == form.network { theme.chosen() } else { theme.faint() };
        line.push_span(Span::styled(*word, style));
        line.push_span(Span::raw("  "));
    }
    to.render_widget(Paragraph::new(line), place);
    let command = format!(
        "$ mimir {}",
        shlex::try_join(form.arguments().iter().map(String::as_str)).unwrap_or_default()
    );
    let place = Rect { y: inside.y + 4, height: 2, ..inside }.intersection(inside);
    let lines = wrap(Line::from(Span::styled(command, theme.faint())), usize::from(inside.width), 2);
    to.render_widget(Paragraph::new(lines), place);
}

//! Runs, schedules, budgets.

use mimir_client::told::told;
use mimir_model::quantity::{age, left, money as dollars};
use mimir_model::visible;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr;

use super::areas::Areas;
use super::scroll::from_begin;
use crate::app::App;
use crate::time::{clock_of, day_of};
use crate::wrap::{fit, wrap};

/// Cells of a line, each in its room.
fn cells(cells: &[(String, usize, Style)]) -> Line<'static> {
    let mut line = Line::default();
    for (text, room, style) in cells {
        let text = fit(&visible::line(text), *room);
        let gap = room.saturating_sub(text.width()) + 1;
        line.push_span(Span::styled(text, *style));
        line.push_span(Span::raw(" ".repeat(gap)));
    }
    line
}

/// Lines of a list with its heading; the chosen one is marked.
fn list(
    app: &App,
    areas: &Areas,
    chosen: Option<usize>,
    heading: Line<'static>,
    rows: Vec<Line<'static>>,
    to: &mut Frame<'_>,
) {
    let place = |y: u16| Rect { y, height: 1, ..areas.list };
    to.render_widget(Paragraph::new(heading.style(app.theme.faint())), place(areas.list.y - 1));
    let fits = usize::from(areas.list.height);
    for (row, (at, line)) in rows.into_iter().enumerate().skip(areas.first).take(fits).enumerate() {
        let style = if Some(at) == chosen { app.theme.chosen() } else { Style::new() };
        let y = areas.list.y + u16::try_from(row).unwrap_or(u16::MAX);
        to.render_widget(Paragraph::new(line).style(style), place(y));
    }
}

/// Runs above, the timeline of the chosen one below.
pub fn runs(app: &mut App, areas: &Areas, to: &mut Frame<'_>) {
    let theme = app.theme;
    let plain = Style::new();
    let title = usize::from(areas.list.width).saturating_sub(11 + 15 + 13 + 7 + 9).max(10);
    let row = |texts: [&str; 5], state: Style| {
        let [is, workflow, stage, about, cost] = texts;
        cells(&[
            (is.to_owned(), 10, state),
            (workflow.to_owned(), 14, plain),
            (stage.to_owned(), 12, plain),
            (about.to_owned(), title, plain),
            (cost.to_owned(), 14, plain),
        ])
    };
    let rows = app.facts.runs.iter().map(|run| {
        let cost = format!("{:>8} {:>5}", dollars(run.cost_microusd), age(run.created_at, app.now_ms));
        row([run.state.as_str(), &run.workflow, &run.stage, &run.title, &cost], theme.run(run.state))
    });
    let heading = row(["state", "workflow", "stage", "about", "    cost   age"], plain);
    list(app, areas, Some(app.run), heading, rows.collect(), to);
    if app.facts.runs.is_empty() {
        let text = "No runs yet; `mimir workflows list` shows what can be run, docs/workflows.md how to begin by itself.";
        to.render_widget(Paragraph::new(fit(text, usize::from(areas.list.width))), areas.list);
        return;
    }
    let mut lines = Vec::new();
    if let Some(details) = &app.facts.run {
        let width = usize::from(areas.body.width);
        let mut add = |line: Line<'static>, indent| lines.extend(wrap(line, width, indent));
        add(Line::from(Span::styled(visible::line(&details.run.title), theme.strong())), 2);
        if let Some(reason) = &details.run.reason {
            add(Line::from(Span::styled(visible::line(&told(reason)), theme.run(details.run.state))), 2);
        }
        if let Some(pull) = &details.pull {
            add(Line::from(Span::styled(visible::line(&pull.url), theme.accent())), 2);
        }
        for entry in &details.timeline {
            let what = visible::line(&told(&entry.text));
            add(
                Line::from(vec![
                    Span::styled(format!("{} ", clock_of(entry.at)), theme.faint()),
                    Span::raw(what),
                ]),
                9,
            );
        }
    }
    app.hold_place(lines.len(), 0, areas.body.height, areas.body.width, false);
    from_begin(&lines, app.scroll, areas.body, to);
}

/// Schedules.
pub fn schedules(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let (theme, plain) = (app.theme, Style::new());
    let rest = usize::from(areas.list.width).saturating_sub(21 + 31 + 23).max(10);
    let row = |texts: [String; 4], style: Style| {
        let [name, words, next, last] = texts;
        cells(&[(name, 20, theme.strong()), (words, 30, plain), (next, 22, style), (last, rest, plain)])
    };
    let rows = app.facts.schedules.iter().map(|schedule| {
        let (next, style) = match (&schedule.paused_because, schedule.next.first()) {
            (Some(why), _) => (format!("paused: {}", told(why)), theme.warn()),
            (None, Some(at)) => (format!("{} (in {})", day_of(*at), left(*at, app.now_ms)), plain),
            (None, None) => ("never".to_owned(), theme.faint()),
        };
        let last = schedule.last.as_ref().map_or_else(
            || "-".to_owned(),
            |tick| {
                format!(
                    "{} {}",
                    day_of(tick.seen_at),
                    tick.reason.as_deref().map_or_else(|| tick.outcome.to_string(), told)
                )
            },
        );
        row([schedule.name.clone(), schedule.words.clone(), next, last], style)
    });
    let heading = row(["name", "when", "next", "last"].map(str::to_owned), plain);
    list(app, areas, Some(app.schedule), heading, rows.collect(), to);
    if app.facts.schedules.is_empty() {
        let text = "No schedules yet; `mimir cron add` makes one.";
        to.render_widget(Paragraph::new(fit(text, usize::from(areas.list.width))), areas.list);
    }
}

/// Budgets, and what was spent.
pub fn money_lines(app: &App, width: usize) -> Vec<Line<'static>> {
    let (theme, plain) = (app.theme, Style::new());
    let Some(spending) = &app.facts.spending else {
        return vec![Line::from(Span::styled("it is being read", theme.faint()))];
    };
    let mut lines = Vec::new();
    if spending.paused {
        lines.push(Line::from(Span::styled(
            "Spending is paused; `mimir resume --all` lets it go on.",
            theme.bad(),
        )));
    }
    for budget in &spending.budgets {
        let style = match budget.percent {
            0..80 => theme.good(),
            80..100 => theme.warn(),
            _ => theme.bad(),
        };
        let filled = usize::try_from(budget.percent.min(100) / 5).unwrap_or(0);
        let bar = format!("{}{}", "█".repeat(filled), "░".repeat(20 - filled));
        let amounts = format!("{} of {}", dollars(budget.spent_microusd), dollars(budget.limit_microusd));
        lines.push(cells(&[
            (budget.whose(), 24, theme.strong()),
            (budget.period.to_string(), 8, plain),
            (bar, 20, style),
            (format!("{} %", budget.percent), 6, style),
            (amounts, width.saturating_sub(62).max(12), plain),
        ]));
    }
    if spending.budgets.is_empty() {
        lines.push(Line::from(Span::styled(
            "No budgets; `mimir budget set 5 --per day` makes one.",
            theme.faint(),
        )));
    }
    for (name, shares) in [
        ("by day", &spending.by_day),
        ("by frame", &spending.by_frame),
        ("by model", &spending.by_model),
        ("by project", &spending.by_project),
    ] {
        if shares.is_empty() {
            continue;
        }
        lines.push(Line::raw(""));
        lines.push(Line::from(Span::styled(name, theme.faint())));
        for share in shares {
            let calls = format!("{} calls", share.call_count);
            lines.push(cells(&[
                (share.name.clone(), 36, plain),
                (dollars(share.cost_microusd), 10, plain),
                (calls, 14, theme.faint()),
            ]));
        }
    }
    lines
}

/// Draws them.
pub fn money(app: &mut App, areas: &Areas, to: &mut Frame<'_>) {
    let lines = money_lines(app, usize::from(areas.list.width));
    app.hold_place(lines.len(), 0, areas.list.height, areas.list.width, false);
    from_begin(&lines, app.scroll, areas.list, to);
}

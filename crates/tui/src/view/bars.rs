//! The first line, the last two, and the tabs.

use mimir_model::quantity::money;
use ratatui::Frame;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::areas::Areas;
use crate::app::{App, Screen};
use crate::facts::Link;
use crate::time::utc_day;
use crate::wrap::{fit, wrap};

/// So many lines of what went wrong: never over what an agent asks, below which there are at least as many.
const NOTICE_ROWS: usize = 4;
/// A gateway that takes longer than this for an answer is waited for, and that is said.
const SLOW_MS: u64 = 1_000;

/// Screens on the left, the state of everything on the right.
pub fn top(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let theme = app.theme;
    to.render_widget(Span::styled("mimir", theme.strong()), areas.top);
    for (at, (area, screen)) in areas.screens.iter().enumerate() {
        let style = if *screen == app.screen { theme.chosen() } else { theme.faint() };
        to.render_widget(Span::styled(format!(" {} {}", at + 1, screen.word()), style), *area);
    }
    let mut parts = Vec::new();
    match &app.facts.link {
        Link::Away => parts.push(Span::styled("gateway away, waiting", theme.bad())),
        // It is there and takes its time: keys work, what is shown is old.
        _ if app.waits_ms >= SLOW_MS => {
            let text = format!("the gateway is slow: {} s", app.waits_ms / 1_000);
            parts.push(Span::styled(text, theme.warn()));
        }
        Link::New => parts.push(Span::styled("asking …", theme.accent())),
        Link::Up => {}
    }
    let waiting = app.facts.approvals.len();
    if waiting > 0 {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        parts.push(Span::styled(format!("! {waiting} {verb} for you"), theme.warn()));
    }
    let held = app.facts.runs.iter().filter(|run| run.state == mimir_model::run::RunState::Held).count();
    if held > 0 {
        parts.push(Span::styled(format!("{held} held"), theme.warn()));
    }
    if let Some(spending) = &app.facts.spending {
        if spending.paused {
            parts.push(Span::styled("spending is paused", theme.bad()));
        }
        // Days without a call are not listed.
        let name = utc_day(app.now_ms);
        let today = spending.by_day.iter().find(|day| day.name == name).map_or(0, |day| day.cost_microusd);
        parts.push(Span::styled(format!("{} today", money(today)), theme.faint()));
    }
    if let Some(address) = &app.elsewhere {
        parts.push(Span::styled(address.clone(), theme.faint()));
    }
    let mut line = Line::default();
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            line.push_span(Span::raw(" · "));
        }
        line.push_span(part);
    }
    let taken = areas.screens.last().map_or(0, |(area, _)| area.right()) + 1;
    let room = areas.top.width.saturating_sub(taken);
    let wide = u16::try_from(line.width()).unwrap_or(u16::MAX).min(room);
    let place = ratatui::layout::Rect { x: areas.top.width - wide, width: wide, ..areas.top };
    to.render_widget(Paragraph::new(line), place);
}

/// The notice, or what is waited for. What went wrong is shown whole, over what stands above the line.
pub fn notice(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let (theme, width) = (app.theme, usize::from(areas.notice.width));
    if let Some(notice) = &app.notice {
        if !notice.is_bad {
            to.render_widget(Span::styled(fit(&notice.text, width), theme.accent()), areas.notice);
            return;
        }
        let mut lines = wrap(Line::from(Span::styled(notice.text.clone(), theme.bad())), width, 2);
        lines.truncate(NOTICE_ROWS);
        let rows = u16::try_from(lines.len()).unwrap_or(1);
        let place = ratatui::layout::Rect {
            y: areas.notice.y.saturating_sub(rows.saturating_sub(1)),
            height: rows,
            ..areas.notice
        };
        to.render_widget(Clear, place);
        to.render_widget(Paragraph::new(lines), place);
        return;
    }
    let text = match app.changing.last() {
        Some((command, since)) => {
            let seconds = app.now_ms.saturating_sub(*since) / 1_000;
            format!("$ {command} … {seconds} s")
        }
        None if !app.filter.is_empty() => format!("only `{}` (/ Esc shows all)", app.filter),
        None => return,
    };
    to.render_widget(Span::styled(fit(&text, width), theme.accent()), areas.notice);
}

/// The keys that do something here.
pub fn bottom(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let theme = app.theme;
    let keys: &[(&str, &str)] = match app.screen {
        Screen::Frames if app.asked().is_some() => &[
            ("y", "allow"),
            ("A", "always"),
            ("n", "deny"),
            ("v", "all of it"),
            ("w", "next"),
            ("⏎", "terminal"),
            ("s", "send"),
            ("?", "help"),
            ("q", "leave"),
        ],
        Screen::Frames => &[
            ("⏎", "terminal"),
            ("s", "send"),
            ("w", "who waits"),
            ("Tab", "view"),
            ("c", "create"),
            ("S/X", "start/stop"),
            ("/", "filter"),
            (":", "command"),
            ("?", "help"),
            ("q", "leave"),
        ],
        Screen::Runs => &[
            ("⏎", "show"),
            ("y", "let go on"),
            ("C", "cancel"),
            ("R", "retry"),
            ("?", "help"),
            ("q", "leave"),
        ],
        Screen::Schedules => {
            &[("r", "run now"), ("P", "pause"), (":", "command"), ("?", "help"), ("q", "leave")]
        }
        Screen::Money => &[(":", "command"), ("?", "help"), ("q", "leave")],
    };
    let mut line = Line::default();
    let room = usize::from(areas.keys.width);
    for (key, what) in keys {
        let spans = [Span::styled(*key, theme.accent()), Span::styled(format!(" {what}  "), theme.faint())];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > room + 2 {
            break;
        }
        spans.into_iter().for_each(|span| line.push_span(span));
    }
    to.render_widget(Paragraph::new(line), areas.keys);
}

/// What can be shown of the frame.
pub fn tabs(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    for (area, tab) in &areas.tabs {
        let style = if *tab == app.tab { app.theme.chosen() } else { app.theme.faint() };
        to.render_widget(Span::styled(format!(" {} ", tab.word()), style), *area);
    }
}

//! The log and the events of a frame.

use mimir_model::visible;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::time::clock_of;
use crate::wrap::wrap;

/// The log, newest last.
pub fn log(app: &App, width: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    if app.log.is_empty() {
        return vec![Line::from(Span::styled("nothing in its log yet", theme.faint()))];
    }
    let mut lines = Vec::new();
    for line in &app.log {
        let spans = vec![
            Span::styled(format!("{} {:<9} ", clock_of(line.at), visible::line(&line.source)), theme.faint()),
            Span::raw(visible::line(&line.text)),
        ];
        lines.extend(wrap(Line::from(spans), usize::from(width), 19));
    }
    lines
}

/// What happened to the frame, newest last.
pub fn events(app: &App, width: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    for told in app.facts.events.iter().filter(|told| told.frame == app.chosen) {
        let spans = vec![
            Span::styled(format!("{} ", clock_of(told.at)), theme.faint()),
            Span::styled(format!("{:<18} ", told.kind), theme.accent()),
            Span::raw(told.text.clone()),
        ];
        lines.extend(wrap(Line::from(spans), usize::from(width), 10));
    }
    if lines.is_empty() {
        lines.push(Line::from(Span::styled("nothing happened since this screen is open", theme.faint())));
    }
    lines
}

//! Everything else about a frame.

use mimir_model::quantity::{size, took};
use mimir_model::visible;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::time::{clock_of, day_of};
use crate::wrap::wrap;

/// Names and values, then the notes.
pub fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let theme = app.theme;
    let Some(details) = &app.details else {
        return vec![Line::from(Span::styled("it is being read", theme.faint()))];
    };
    let summary = &details.summary;
    let mut rows: Vec<(&str, String)> = vec![("state", summary.state.to_string())];
    if let Some(stats) = &app.stats {
        rows.push(("cpu", format!("{:.2} cores now, {} in all", stats.cpu_cores, took(stats.cpu_ms))));
        rows.push(("memory", format!("{} of {}", size(stats.memory_bytes), size(stats.memory_limit_bytes))));
        rows.push(("processes", stats.pids.to_string()));
        rows.push(("home", size(stats.home_bytes)));
    }
    rows.push(("folder", summary.workspace.clone()));
    rows.extend(details.repository.clone().map(|repository| ("repository", repository)));
    rows.extend(summary.project.clone().map(|project| ("project", project)));
    rows.push(("image", details.image.clone()));
    rows.push(("ports", format!("agent {}, preview {}", summary.agent_port, summary.preview_port)));
    if !details.allow.is_empty() {
        rows.push(("may reach", details.allow.join(", ")));
    }
    rows.push(("models", details.providers.join(", ")));
    if !details.loosened.is_empty() {
        rows.push(("loosened", details.loosened.join(", ")));
    }
    if !details.cannot.is_empty() {
        rows.push(("cannot", details.cannot.join(", ")));
    }
    rows.push(("made", day_of(summary.created_at)));
    rows.extend(details.hint.clone().map(|hint| ("hint", hint)));
    let mut lines = Vec::new();
    for (name, value) in rows {
        let spans =
            vec![Span::styled(format!("{name:<11}"), theme.faint()), Span::raw(visible::line(&value))];
        lines.extend(wrap(Line::from(spans), usize::from(width), 11));
    }
    if !details.notes.is_empty() {
        lines.push(Line::raw(""));
    }
    for note in &details.notes {
        let spans = vec![
            Span::styled(format!("{}  ", clock_of(note.at)), theme.faint()),
            Span::raw(visible::line(&note.text)),
        ];
        lines.extend(wrap(Line::from(spans), usize::from(width), 10));
    }
    lines
}

//! Lines of which only some fit.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Paragraph};

/// The last lines, or those that stand `scroll` lines above them.
pub fn from_end(lines: &[Line<'static>], scroll: usize, area: Rect, to: &mut Frame<'_>) {
    let rows = usize::from(area.height);
    let end = lines.len().saturating_sub(scroll.min(lines.len().saturating_sub(rows)));
    show(&lines[end.saturating_sub(rows)..end], area, to);
}

/// The lines from the begin on.
pub fn from_begin(lines: &[Line<'static>], scroll: usize, area: Rect, to: &mut Frame<'_>) {
    let rows = usize::from(area.height);
    let begin = scroll.min(lines.len().saturating_sub(rows));
    show(&lines[begin..(begin + rows).min(lines.len())], area, to);
}

fn show(lines: &[Line<'static>], area: Rect, to: &mut Frame<'_>) {
    to.render_widget(Clear, area);
    to.render_widget(Paragraph::new(lines.to_vec()), area);
}

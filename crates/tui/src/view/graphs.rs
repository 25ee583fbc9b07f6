//! What a frame used since somebody looks at it, as small graphs.

use mimir_model::quantity::{money, size};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Clear, Sparkline};

use crate::app::{App, Sample};

/// Columns of a name, as in the list below.
const NAME: u16 = 11;
/// Columns of what stands behind a graph.
const MOST: u16 = 18;
/// Where there is less room than this, the list has it.
const LEAST_ROWS: u16 = 10;

/// Draws them at the top of the area; says what is left of it.
pub fn draw(app: &App, area: Rect, to: &mut Frame<'_>) -> Rect {
    let Some(samples) = app.samples() else { return area };
    if samples.len() < 2 || area.height < LEAST_ROWS || area.width < NAME + MOST + 10 {
        return area;
    }
    let room = usize::from(area.width - NAME - MOST);
    let samples: Vec<Sample> = samples.iter().skip(samples.len().saturating_sub(room)).copied().collect();
    let limit = app.stats.as_ref().map_or(0, |stats| stats.memory_limit_bytes);
    let mut rows: Vec<(&str, Vec<u64>, u64, String)> = Vec::new();
    let cpu: Vec<u64> = samples.iter().map(|sample| sample.cpu_milli).collect();
    let most = most(&cpu);
    rows.push(("cpu", cpu, most, format!("most {}.{:02} cores", most / 1000, most % 1000 / 10)));
    let memory: Vec<u64> = samples.iter().map(|sample| sample.memory).collect();
    let most = self::most(&memory);
    // Against its limit, where there is one: a full line is what ends it.
    rows.push(("memory", memory, if limit > 0 { limit } else { most }, format!("most {}", size(most))));
    let cost: Vec<u64> = samples.windows(2).map(|two| two[1].cost.saturating_sub(two[0].cost)).collect();
    let sum: u64 = cost.iter().sum();
    if sum > 0 {
        let most = self::most(&cost);
        rows.push(("cost", cost, most, format!("{} in all", money(sum))));
    }
    let behind = area.x + NAME + u16::try_from(samples.len()).unwrap_or(0) + 1;
    let mut y = area.y;
    for (name, data, most, words) in rows {
        let line = Rect { y, height: 1, ..area };
        to.render_widget(Clear, line);
        to.render_widget(Span::styled(name, app.theme.faint()), line);
        let width = u16::try_from(data.len()).unwrap_or(u16::MAX).min(area.width - NAME - MOST);
        let place = Rect { x: area.x + NAME, width, ..line };
        to.render_widget(Sparkline::default().data(data).max(most.max(1)).style(app.theme.accent()), place);
        let place = Rect { x: behind, width: MOST - 1, ..line };
        to.render_widget(Span::styled(words, app.theme.faint()), place);
        y += 1;
    }
    // A line between them and the list.
    let used = y - area.y + 1;
    Rect { y: area.y + used, height: area.height - used, ..area }
}

fn most(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or(0)
}

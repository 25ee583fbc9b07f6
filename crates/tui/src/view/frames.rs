//! The list of frames, and the first two lines about one.

use mimir_model::network::NetworkMode;
use mimir_model::quantity::{age, left, money};
use mimir_model::status::StatusWord;
use mimir_model::visible;
use mimir_model::wire::frames::FrameSummary;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use unicode_width::UnicodeWidthStr;

use super::areas::Areas;
use crate::app::App;
use crate::wrap::fit;

/// From this width on there is room for what an agent does, and for its costs.
const WIDE: u16 = 50;

/// The list.
pub fn list(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let theme = app.theme;
    let frames = app.frames();
    let heading = Rect { y: areas.list.y - 1, height: 1, ..areas.list };
    let count = match (frames.len(), app.facts.frames.len()) {
        (shown, all) if shown == all => format!("{all} frames"),
        (shown, all) => format!("{shown} of {all} frames"),
    };
    to.render_widget(Span::styled(fit(&count, usize::from(heading.width)), theme.faint()), heading);
    let longest = frames.iter().map(|frame| frame.name.width()).max().unwrap_or(0).clamp(6, 24);
    let rows = usize::from(areas.list.height);
    for (row, frame) in frames.iter().skip(areas.first).take(rows).enumerate() {
        let y = areas.list.y + u16::try_from(row).unwrap_or(u16::MAX);
        let place = Rect { y, height: 1, ..areas.list };
        let is_chosen = app.chosen.as_deref() == Some(frame.name.as_str());
        to.render_widget(Paragraph::new(row_of(app, frame, longest, place.width, is_chosen)), place);
    }
}

fn row_of(app: &App, frame: &FrameSummary, longest: usize, width: u16, is_chosen: bool) -> Line<'static> {
    let theme = app.theme;
    // What an agent of a frame that does not run last did is of no use.
    let asked = app.facts.asked_by(&frame.name).count();
    let word = if asked > 0 { StatusWord::Waiting } else { frame.status.word };
    let (sign, style) = theme.status(word);
    let over = if is_chosen { theme.chosen() } else { Style::new() };
    let mark = if is_chosen { "▌" } else { " " };
    let name = fit(&frame.name, longest);
    let gap = " ".repeat(longest.saturating_sub(name.width()));
    let mut line = Line::from(vec![
        Span::styled(mark, theme.accent()),
        Span::styled(sign, style),
        Span::raw(" "),
        Span::styled(name, over.patch(theme.strong())),
        Span::raw(gap),
        Span::raw(" "),
    ]);
    let cost = if width >= WIDE { money(frame.cost_microusd) } else { String::new() };
    let room = usize::from(width).saturating_sub(line.width() + cost.width() + usize::from(!cost.is_empty()));
    let says = fit(&says(app, frame, word, width >= WIDE), room);
    let rest = room.saturating_sub(says.width());
    line.push_span(Span::styled(says, if word == StatusWord::Idle { Style::new() } else { style }));
    if !cost.is_empty() {
        line.push_span(Span::raw(" ".repeat(rest + 1)));
        line.push_span(Span::styled(cost, theme.faint()));
    }
    line
}

/// In a few words what the agent does.
fn says(app: &App, frame: &FrameSummary, word: StatusWord, is_wide: bool) -> String {
    let status = visible::line(&frame.status.to_string());
    let status = if word == frame.status.word { status } else { word.as_str().to_owned() };
    if !is_wide {
        return status;
    }
    let doing = app.facts.doing.get(&frame.name);
    let more = match word {
        StatusWord::Waiting => app.facts.asked_by(&frame.name).next().map(|asked| visible::line(&asked.text)),
        StatusWord::Busy => doing.and_then(|doing| doing.tool.clone()),
        StatusWord::Error => frame.reason.as_deref().map(visible::line),
        StatusWord::Idle => doing.map(|doing| doing.words.clone()).filter(|words| !words.is_empty()),
        _ => frame.status.detail().map(|detail| visible::line(&detail)),
    };
    match more {
        Some(more) => format!("{status}  {more}"),
        None => status,
    }
}

/// Who the frame is, and what its agent does.
pub fn head(app: &App, frame: &FrameSummary, areas: &Areas, to: &mut Frame<'_>) {
    let theme = app.theme;
    let first = Rect { height: 1, ..areas.right };
    let (sign, style) = theme.status(frame.status.word);
    let mut line = Line::from(vec![
        Span::styled(frame.name.clone(), theme.strong()),
        Span::raw("  "),
        Span::styled(format!("{sign} {}", visible::line(&frame.status.to_string())), style),
    ]);
    let mut facts = vec![frame.network.map_or(frame.engine.as_str(), NetworkMode::as_str).to_owned()];
    if frame.preview_port != 0 {
        facts.push(format!("preview :{}", frame.preview_port));
    }
    facts.push(format!("active {}", age(frame.last_active_at, app.now_ms)));
    facts.push(money(frame.cost_microusd));
    if let Some(budget) = &frame.budget {
        facts.push(format!("{} % of its budget", budget.percent));
    }
    if let Some(at) = frame.expires_at {
        facts.push(format!("gone in {}", left(at, app.now_ms)));
    }
    line.push_span(Span::styled(format!("  {}", facts.join(" · ")), theme.faint()));
    to.render_widget(Paragraph::new(line), first);
    let second = Rect { y: first.y + 1, ..first };
    let (text, style) =
        match (&frame.reason, app.facts.doing.get(&frame.name).and_then(|doing| doing.tool.as_ref())) {
            (Some(reason), _) => (visible::line(reason), theme.bad()),
            (None, Some(tool)) => (tool.clone(), theme.accent()),
            (None, None) => match frame.status.silence() {
                Some(silence) => (visible::line(&silence), theme.warn()),
                None => (visible::line(frame.url.as_deref().unwrap_or(&frame.workspace)), theme.faint()),
            },
        };
    to.render_widget(Span::styled(fit(&text, usize::from(second.width)), style), second);
}

/// Instead of a frame, when there is none.
pub fn welcome(app: &App, areas: &Areas, to: &mut Frame<'_>) {
    let text = match (app.facts.is_read, app.facts.frames.is_empty()) {
        (false, _) => vec![Line::raw("The frames are being asked for.")],
        (true, true) => vec![
            Line::raw("No frames yet."),
            Line::raw(""),
            Line::raw("c makes one for this folder, as `mimir frame create` does."),
        ],
        (true, false) => vec![Line::raw("No frame has these letters; / and Esc show all.")],
    };
    to.render_widget(Paragraph::new(text), areas.right);
}

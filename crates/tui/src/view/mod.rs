//! Draws the screen. Everything that strangers wrote went through [`mimir_model::visible`] before it comes here.

mod about;
pub mod approval;
pub mod areas;
mod bars;
mod conversation;
mod frames;
mod graphs;
mod lines;
mod over;
mod scroll;
mod tables;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use crate::app::{App, Screen, Tab};
use areas::{Areas, LEAST, areas};
use scroll::{from_begin, from_end};

/// Lines that need not be made again for each draw.
#[derive(Debug, Default)]
pub struct Kept {
    /// Of the conversation.
    pub talk: conversation::KeptTalk,
    /// Of the log.
    pub log: lines::KeptLog,
}

/// Draws everything. `kept` holds lines that need not be made again.
pub fn draw(app: &mut App, kept: &mut Kept, to: &mut Frame<'_>) {
    let areas = areas(app);
    let whole = to.area();
    if whole.width < LEAST.0 || whole.height < LEAST.1 {
        to.render_widget(Paragraph::new("a larger terminal is needed"), whole);
        return;
    }
    bars::top(app, &areas, to);
    bars::bottom(app, &areas, to);
    match app.screen {
        Screen::Frames => frame_screen(app, &areas, kept, to),
        Screen::Runs => tables::runs(app, &areas, to),
        Screen::Schedules => tables::schedules(app, &areas, to),
        Screen::Money => tables::money(app, &areas, to),
    }
    bars::notice(app, &areas, to);
    if let Some(overlay) = &app.overlay {
        over::draw(app, overlay, to);
    }
}

/// Whether what is asked is on the screen as it was drawn last, with nothing over it.
pub fn is_asked_shown(app: &App) -> bool {
    app.screen == Screen::Frames && app.overlay.is_none() && areas(app).asked.height > 2
}

fn frame_screen(app: &mut App, areas: &Areas, kept: &mut Kept, to: &mut Frame<'_>) {
    frames::list(app, areas, to);
    let Some(frame) = app.frame() else {
        frames::welcome(app, areas, to);
        return;
    };
    frames::head(app, frame, areas, to);
    if let Some(asked) = app.asked() {
        approval::draw(app, asked, areas.asked, to);
    }
    bars::tabs(app, areas, to);
    let body = areas.body;
    match app.tab {
        Tab::Talk => {
            let least = app.scroll.saturating_add(usize::from(body.height));
            let (lines, gone) = kept.talk.lines(app, body.width, least);
            end_of(lines, gone, app, body, to);
        }
        Tab::Log => {
            let (lines, gone) = kept.log.lines(app, body.width);
            end_of(lines, gone, app, body, to);
        }
        Tab::Events => end_of(&lines::events(app, body.width), 0, app, body, to),
        Tab::About => {
            let body = graphs::draw(app, body, to);
            let lines = about::lines(app, body.width);
            app.hold_place(lines.len(), 0, body.height, body.width, false);
            from_begin(&lines, app.scroll, body, to);
        }
    }
}

fn end_of(lines: &[Line<'static>], gone: usize, app: &mut App, area: Rect, to: &mut Frame<'_>) {
    app.hold_place(lines.len(), gone, area.height, area.width, true);
    from_end(lines, app.scroll, area, to);
}

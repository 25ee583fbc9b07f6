//! Draws the screen. Everything that strangers wrote went through [`mimir_model::visible`] before it comes here.

mod about;
pub mod approval;
pub mod areas;
mod bars;
mod conversation;
mod frames;
mod lines;
mod over;
mod scroll;
mod tables;

use ratatui::Frame;
use ratatui::widgets::Paragraph;

pub use conversation::Kept;

use crate::app::{App, Screen, Tab};
use areas::{Areas, LEAST, areas};
use scroll::{from_begin, from_end};

/// Draws everything. `kept` holds lines that need not be made again.
pub fn draw(app: &App, kept: &mut Kept, to: &mut Frame<'_>) {
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
    if let Some(overlay) = &app.overlay {
        over::draw(app, overlay, to);
    }
}

fn frame_screen(app: &App, areas: &Areas, kept: &mut Kept, to: &mut Frame<'_>) {
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
    match app.tab {
        Tab::Talk => from_end(kept.lines(app, areas.body.width), app.scroll, areas.body, to),
        Tab::Log => from_end(&lines::log(app, areas.body.width), app.scroll, areas.body, to),
        Tab::Events => from_end(&lines::events(app, areas.body.width), app.scroll, areas.body, to),
        Tab::About => from_begin(&about::lines(app, areas.body.width), app.scroll, areas.body, to),
    }
}

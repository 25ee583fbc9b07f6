//! Where everything is, for drawing and for the mouse. Pure.

use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

use crate::app::{App, Screen, Tab};

/// Narrower and lower than this nothing can be shown.
pub const LEAST: (u16, u16) = (40, 10);

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct Areas {
    /// The names of the screens in the first line.
    pub screens: Vec<(Rect, Screen)>,
    /// The first line.
    pub top: Rect,
    /// What is chosen from; headings are above it.
    pub list: Rect,
    /// What of the list is shown first.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// Beside or below the list.
    pub right: Rect,
    /// The names of the tabs.
    pub tabs: Vec<(Rect, Tab)>,
    /// What scrolls.
    pub body: Rect,
    /// What is asked, above the tabs.
    pub asked: Rect,
    /// The line of notices.
    pub notice: Rect,
    /// The line of keys.
    pub keys: Rect,
}

/// For the screen as it is now.
pub fn areas(app: &App) -> Areas {
    let (width, height) = app.size;
    let line = |y: u16| Rect::new(0, y, width, 1);
    let mut areas = Areas { top: line(0), ..Areas::default() };
    if width < LEAST.0 || height < LEAST.1 {
        return areas;
    }
    (areas.notice, areas.keys) = (line(height - 2), line(height - 1));
    let mut x = 7;
    for screen in Screen::ALL {
        let room = room(screen.word()) + 3;
        areas.screens.push((Rect::new(x, 0, room, 1).intersection(areas.top), screen));
        x += room + 1;
    }
    let whole = Rect::new(0, 1, width, height - 3);
    let (at, count) = place(app);
    areas.count = count;
    match app.screen {
        Screen::Frames if width >= 60 => {
            let room = (width * 2 / 5).clamp(26, 84);
            areas.list = Rect { width: room, ..whole };
            areas.right = Rect { x: room + 1, width: width - room - 1, ..whole };
        }
        // One below the other on a narrow terminal.
        Screen::Frames => {
            let rows = (whole.height / 3).max(3);
            areas.list = Rect { height: rows, ..whole };
            areas.right = Rect { y: whole.y + rows, height: whole.height - rows, ..whole };
        }
        Screen::Runs => {
            let rows = (whole.height / 2).max(4);
            areas.list = Rect { height: rows, ..whole };
            areas.right = Rect { y: whole.y + rows, height: whole.height - rows, ..whole };
        }
        Screen::Schedules | Screen::Money => {
            areas.list = whole;
            areas.right = Rect { y: whole.bottom(), height: 0, ..whole };
        }
    }
    // The heading.
    areas.list.y += 1;
    areas.list.height = areas.list.height.saturating_sub(1);
    let rows = usize::from(areas.list.height.max(1));
    areas.first =
        (at + 1).saturating_sub(rows).max(at.saturating_sub(rows / 2)).min(count.saturating_sub(rows));
    areas.body = areas.right;
    if app.screen == Screen::Frames {
        frame(app, &mut areas);
    }
    areas
}

/// Two lines about the frame, what is asked, the tabs, and the rest.
fn frame(app: &App, areas: &mut Areas) {
    let right = areas.right;
    let room_below = right.height.saturating_sub(3);
    let asked = match app.asked() {
        Some(asked) => {
            let lines = super::approval::lines(app, asked, right.width.saturating_sub(2)).len() + 2;
            u16::try_from(lines).unwrap_or(u16::MAX).min(room_below.saturating_sub(3).max(room_below / 2))
        }
        None => 0,
    };
    areas.asked = Rect { y: right.y + 2, height: asked, ..right };
    let y = right.y + 2 + asked;
    let mut x = right.x;
    for tab in Tab::ALL {
        let room = room(tab.word()) + 2;
        areas.tabs.push((Rect::new(x, y, room, 1).intersection(right), tab));
        x += room;
    }
    areas.body = Rect { y: y + 1, height: right.bottom().saturating_sub(y + 1), ..right };
}

/// The chosen line, and how many there are.
fn place(app: &App) -> (usize, usize) {
    match app.screen {
        Screen::Frames => {
            let frames = app.frames();
            let at = frames.iter().position(|frame| Some(&frame.name) == app.chosen.as_ref()).unwrap_or(0);
            (at, frames.len())
        }
        Screen::Runs => (app.run, app.facts.runs.len()),
        Screen::Schedules => (app.schedule, app.facts.schedules.len()),
        Screen::Money => (0, 0),
    }
}

/// Columns.
fn room(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

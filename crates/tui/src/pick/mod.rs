//! A frame picked from a list: letters that are typed narrow it down, the best fit first. For `mimir open`, and for a hotkey.
//! The state is pure; [`pick`] alone has the terminal.

use std::cmp::Reverse;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};
use mimir_model::look::Look;
use mimir_model::quantity::age;
use mimir_model::status::StatusWord;
use mimir_model::visible;
use mimir_model::wire::frames::FrameSummary;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tokio::sync::mpsc::unbounded_channel;
use unicode_width::UnicodeWidthStr;

use crate::keyboard::Keyboard;
use crate::overlay::{Typed, text_of, typed};
use crate::run::{Signals, UiError};
use crate::terminal::Screen;
use crate::theme::Theme;
use crate::wrap::fit;

/// Lines that are not the list: what was typed, how many fit, and the keys.
const AROUND: u16 = 3;

/// What is picked from.
pub struct Picking {
    /// All frames.
    pub frames: Vec<FrameSummary>,
    /// The folder that somebody is in; its frames come first.
    pub here: Option<String>,
    /// Whether there is colour.
    pub color: bool,
    /// Which.
    pub look: Look,
    /// UTC milliseconds.
    pub now_ms: u64,
}

/// Lets somebody at the terminal pick one; None when they leave.
///
/// # Errors
/// [`UiError`]; the terminal is as it was before in every case.
pub async fn pick(picking: Picking) -> Result<Option<String>, UiError> {
    let mut signals = Signals::listen()?;
    let (tell, mut keys) = unbounded_channel();
    let mut picker = Picker::new(picking);
    picker.size = crossterm::terminal::size()?;
    let mut screen = Screen::take()?;
    let keyboard = Keyboard::begin(tell)?;
    let end = loop {
        screen.terminal.draw(|to| picker.draw(to))?;
        let mut next = tokio::select! {
            biased;
            number = signals.next() => return Err(UiError::Signal(number)),
            key = keys.recv() => match key {
                Some(key) => Some(key),
                None => return Err(UiError::Signal(1)),
            },
        };
        let mut end = None;
        while let Some(event) = next.filter(|_| end.is_none()) {
            end = picker.press(&event);
            next = keys.try_recv().ok();
        }
        if let Some(end) = end {
            break end;
        }
    };
    // What is typed from now on is for whatever opens.
    keyboard.hold();
    Ok(end)
}

/// One that fits.
#[derive(Debug)]
struct Found {
    /// Which.
    at: usize,
    /// Which letters of its name fit.
    marks: Vec<u32>,
}

/// The list on the screen.
struct Picker {
    theme: Theme,
    now_ms: u64,
    size: (u16, u16),
    frames: Vec<FrameSummary>,
    typed: Typed,
    found: Vec<Found>,
    cursor: usize,
    matcher: Matcher,
}

impl Picker {
    fn new(picking: Picking) -> Self {
        let Picking { mut frames, here, color, look, now_ms } = picking;
        let is_here = |frame: &FrameSummary| {
            here.as_deref().is_some_and(|here| {
                !frame.workspace.is_empty() && std::path::Path::new(here).starts_with(&frame.workspace)
            })
        };
        // Then who waits for somebody, and then what was used last.
        frames.sort_by_key(|frame| {
            let waits = frame.status.word == StatusWord::Waiting;
            (!is_here(frame), !waits, Reverse(frame.last_active_at), frame.name.clone())
        });
        let mut picker = Self {
            theme: Theme::new(&look, color),
            now_ms,
            size: (80, 24),
            frames,
            typed: typed(""),
            found: Vec::new(),
            cursor: 0,
            matcher: Matcher::new(Config::DEFAULT),
        };
        picker.search();
        picker
    }

    /// Those that fit what was typed, the best first; a name counts for more than a project or a folder.
    fn search(&mut self) {
        let pattern = Pattern::parse(&text_of(&self.typed), CaseMatching::Smart, Normalization::Smart);
        let mut letters = Vec::new();
        let mut found: Vec<(u32, Found)> = Vec::new();
        for (at, frame) in self.frames.iter().enumerate() {
            let mut marks = Vec::new();
            let name = Utf32Str::new(&frame.name, &mut letters);
            let by_name = pattern.indices(name, &mut self.matcher, &mut marks);
            let score = match by_name {
                Some(score) => Some(score.saturating_mul(2)),
                None => {
                    marks.clear();
                    let project = frame.project.as_deref().unwrap_or_default();
                    let whole = format!("{} {project} {}", frame.name, frame.workspace);
                    pattern.score(Utf32Str::new(&whole, &mut letters), &mut self.matcher)
                }
            };
            if let Some(score) = score {
                marks.sort_unstable();
                marks.dedup();
                found.push((score, Found { at, marks }));
            }
        }
        // What fits equally well stays in its order.
        found.sort_by_key(|(score, _)| Reverse(*score));
        self.found = found.into_iter().map(|(_, found)| found).collect();
        self.cursor = 0;
    }

    /// What a key does: the end, when it is one.
    fn press(&mut self, event: &Event) -> Option<Option<String>> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => return self.on_key(*key),
            Event::Paste(text) => {
                self.typed.insert_str(text.replace(['\r', '\n'], " "));
                self.search();
            }
            Event::Resize(columns, rows) => self.size = (*columns, *rows),
            Event::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollDown => self.step(1),
                MouseEventKind::ScrollUp => self.step(-1),
                MouseEventKind::Down(MouseButton::Left) => {
                    let list = self.list();
                    let at = self.first() + usize::from(mouse.row.saturating_sub(list.y));
                    if list.contains((mouse.column, mouse.row).into()) && at < self.found.len() {
                        self.cursor = at;
                    }
                }
                _ => {}
            },
            _ => {}
        }
        None
    }

    fn on_key(&mut self, key: KeyEvent) -> Option<Option<String>> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => return Some(None),
            KeyCode::Char('c' | 'g') if is_control => return Some(None),
            KeyCode::Enter => {
                // Where nothing fits, Enter is no answer.
                return self.found.get(self.cursor).map(|found| Some(self.frames[found.at].name.clone()));
            }
            KeyCode::Down | KeyCode::Tab => self.step(1),
            KeyCode::Up | KeyCode::BackTab => self.step(-1),
            KeyCode::Char('n' | 'j') if is_control => self.step(1),
            KeyCode::Char('p' | 'k') if is_control => self.step(-1),
            KeyCode::PageDown => self.step(isize::try_from(self.rows()).unwrap_or(1)),
            KeyCode::PageUp => self.step(-isize::try_from(self.rows()).unwrap_or(1)),
            KeyCode::Char('u') if is_control => {
                self.typed = typed("");
                self.search();
            }
            KeyCode::Char('m') if is_control => {}
            _ => {
                if self.typed.input(key) {
                    self.search();
                }
            }
        }
        None
    }

    fn step(&mut self, by: isize) {
        self.cursor = self.cursor.saturating_add_signed(by).min(self.found.len().saturating_sub(1));
    }

    fn list(&self) -> Rect {
        let (width, height) = self.size;
        Rect::new(0, 2.min(height), width, height.saturating_sub(AROUND))
    }

    fn rows(&self) -> usize {
        usize::from(self.list().height.max(1))
    }

    /// What of the list is shown first.
    fn first(&self) -> usize {
        (self.cursor + 1).saturating_sub(self.rows())
    }

    fn draw(&self, to: &mut Frame<'_>) {
        let (theme, whole) = (self.theme, to.area());
        let line = |y: u16| Rect::new(0, y, whole.width, 1).intersection(whole);
        to.render_widget(Span::styled("open › ", theme.accent()), line(0));
        let place = Rect { x: 7.min(whole.width), width: whole.width.saturating_sub(7), ..line(0) };
        to.render_widget(&self.typed, place);
        let count = format!("{} of {} frames", self.found.len(), self.frames.len());
        to.render_widget(Span::styled(count, theme.faint()), line(1));
        let longest = self.found.iter().map(|found| self.frames[found.at].name.width()).max().unwrap_or(0);
        let list = self.list().intersection(whole);
        for (row, (at, found)) in
            self.found.iter().enumerate().skip(self.first()).take(usize::from(list.height)).enumerate()
        {
            let y = list.y + u16::try_from(row).unwrap_or(u16::MAX);
            let text = self.row(found, longest.clamp(6, 40), usize::from(list.width), at == self.cursor);
            to.render_widget(Paragraph::new(text), Rect { y, height: 1, ..list });
        }
        if self.found.is_empty() && list.height > 0 {
            to.render_widget(
                Span::styled("no frame has these letters", theme.faint()),
                Rect { height: 1, ..list },
            );
        }
        if whole.height > AROUND {
            let keys =
                fit("letters narrow it down · ↑ ↓ · Enter opens · Esc leaves", usize::from(whole.width));
            to.render_widget(Span::styled(keys, theme.faint()), line(whole.height - 1));
        }
    }

    fn row(&self, found: &Found, longest: usize, width: usize, is_chosen: bool) -> Line<'static> {
        let theme = self.theme;
        let frame = &self.frames[found.at];
        let (sign, style) = theme.status(frame.status.word);
        let over = if is_chosen { theme.chosen() } else { Style::new() };
        let mut line = Line::from(vec![
            Span::styled(if is_chosen { "▌" } else { " " }, theme.accent()),
            Span::styled(sign, style),
            Span::raw(" "),
        ]);
        let name = fit(&visible::line(&frame.name), longest);
        let gap = " ".repeat(longest.saturating_sub(name.width()));
        for (at, letter) in name.chars().enumerate() {
            let is_marked = u32::try_from(at).is_ok_and(|at| found.marks.binary_search(&at).is_ok());
            let style = if is_marked { theme.accent().patch(theme.strong()) } else { Style::new() };
            line.push_span(Span::styled(letter.to_string(), over.patch(style)));
        }
        let status = fit(&visible::line(&frame.status.to_string()), 24);
        let rest = format!("{gap}  {status:<24}  {:>5}  ", age(frame.last_active_at, self.now_ms));
        line.push_span(Span::raw(rest));
        let place = frame.url.as_deref().filter(|_| frame.workspace.is_empty()).unwrap_or(&frame.workspace);
        let room = width.saturating_sub(line.width());
        line.push_span(Span::styled(fit(&visible::line(place), room), theme.faint()));
        line
    }
}

#[cfg(test)]
mod tests;

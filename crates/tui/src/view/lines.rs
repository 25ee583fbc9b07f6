//! The log and the events of a frame.

use std::collections::VecDeque;

use mimir_model::visible;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::time::clock_of;
use crate::wrap::wrap;

/// A log as it was laid out: of a long one only what is new is laid out again.
#[derive(Debug, Default)]
pub struct KeptLog {
    made_of: Option<(u64, u16)>,
    /// How many of the log's lines are kept no longer, as far as we took notice.
    dropped: u64,
    /// How many lines each line of the log takes.
    rows: VecDeque<usize>,
    lines: Vec<Line<'static>>,
    gone: usize,
    /// How many of the log's lines were laid out.
    pub made: usize,
}

impl KeptLog {
    /// The log, newest last, and how many lines stood before the first one.
    pub fn lines(&mut self, app: &App, width: u16) -> (&[Line<'static>], usize) {
        let (log, dropped) = app.log_of;
        if self.made_of != Some((log, width)) || app.log.is_empty() {
            *self = Self { made_of: Some((log, width)), dropped, made: self.made, ..Self::default() };
        }
        let mut old = 0;
        while self.dropped < dropped {
            old += self.rows.pop_front().unwrap_or(0);
            self.dropped += 1;
        }
        self.lines.drain(..old.min(self.lines.len()));
        self.gone += old;
        if app.log.is_empty() {
            let (text, style) = match &app.log_problem {
                Some(why) => (visible::line(why), app.theme.bad()),
                None => ("nothing in its log yet".to_owned(), app.theme.faint()),
            };
            self.lines = wrap(Line::from(Span::styled(text, style)), usize::from(width), 0);
            return (&self.lines, 0);
        }
        for line in app.log.iter().skip(self.rows.len()) {
            let source = format!("{} {:<9} ", clock_of(line.at), visible::line(&line.source));
            let spans = vec![Span::styled(source, app.theme.faint()), Span::raw(visible::line(&line.text))];
            let wrapped = wrap(Line::from(spans), usize::from(width), 19);
            self.rows.push_back(wrapped.len());
            self.lines.extend(wrapped);
            self.made += 1;
        }
        (&self.lines, self.gone)
    }
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

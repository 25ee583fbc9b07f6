//! How things look. The terminal's own sixteen colours, so that it fits whatever theme somebody has; without colour
//! (`NO_COLOR`) weight and inversion alone. State is never told by colour only: there is a sign or a word beside it.

use mimir_model::run::RunState;
use mimir_model::status::StatusWord;
use ratatui::style::{Color, Modifier, Style};

/// Whether there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// False for `NO_COLOR`.
    pub color: bool,
}

impl Theme {
    fn of(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// What is chosen.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Headings and names.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there for completeness.
    pub fn faint(self) -> Style {
        if self.color { self.of(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Keys, links, what can be acted upon.
    pub fn accent(self) -> Style {
        self.of(Color::Cyan)
    }

    /// It goes well.
    pub fn good(self) -> Style {
        self.of(Color::Green)
    }

    /// Somebody should look.
    pub fn warn(self) -> Style {
        self.of(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// It went wrong.
    pub fn bad(self) -> Style {
        self.of(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A removed line.
    pub fn removed(self) -> Style {
        self.of(Color::Red)
    }

    /// The sign and the style of what an agent does; the word stands beside it.
    pub fn status(self, word: StatusWord) -> (&'static str, Style) {
        match word {
            StatusWord::Busy => ("●", self.good()),
            StatusWord::Waiting => ("!", self.warn()),
            StatusWord::Retrying | StatusWord::Wedged => ("~", self.warn()),
            StatusWord::Error => ("x", self.bad()),
            StatusWord::Queued | StatusWord::Starting => ("◌", self.accent()),
            StatusWord::Idle => ("○", Style::new()),
            StatusWord::Paused => ("=", self.faint()),
            StatusWord::Stopped => ("·", self.faint()),
        }
    }

    /// A run's state.
    pub fn run(self, state: RunState) -> Style {
        match state {
            RunState::Running => self.good(),
            RunState::Held => self.warn(),
            RunState::Failed => self.bad(),
            RunState::Queued | RunState::Waiting => self.accent(),
            RunState::Succeeded => Style::new(),
            RunState::Cancelled | RunState::Superseded => self.faint(),
        }
    }
}

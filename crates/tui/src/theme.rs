//! How things look. Without a wish the terminal's own sixteen colours, so that it fits whatever theme somebody has; without
//! colour (`NO_COLOR`) weight and inversion alone. State is never told by colour only: there is a sign or a word beside it.

use mimir_model::look::{Look, ThemeName, Tint};
use mimir_model::run::RunState;
use mimir_model::status::StatusWord;
use ratatui::style::{Color, Modifier, Style};

/// Whether there is colour, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// False for `NO_COLOR`.
    pub color: bool,
    accent: Color,
    good: Color,
    warn: Color,
    bad: Color,
    faint: Color,
}

impl Theme {
    /// As somebody wants it; without colour where there is to be none.
    pub fn new(look: &Look, color: bool) -> Self {
        let [accent, good, warn, bad, faint] = match look.theme {
            ThemeName::Terminal | ThemeName::Mono => {
                [Color::Cyan, Color::Green, Color::Yellow, Color::Red, Color::DarkGray]
            }
            // Of the 256 fixed ones, which terminals have also where they have no more; each can be read on its background.
            ThemeName::Dark => [81, 114, 221, 210, 246].map(Color::Indexed),
            ThemeName::Light => [25, 28, 94, 124, 240].map(Color::Indexed),
        };
        let or = |own: Option<Tint>, other| own.map_or(other, color_of);
        Self {
            color: color && look.theme != ThemeName::Mono,
            accent: or(look.accent, accent),
            good: or(look.good, good),
            warn: or(look.warn, warn),
            bad: or(look.bad, bad),
            faint: or(look.faint, faint),
        }
    }

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
        if self.color { self.of(self.faint) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    /// Keys, links, what can be acted upon.
    pub fn accent(self) -> Style {
        self.of(self.accent)
    }

    /// It goes well.
    pub fn good(self) -> Style {
        self.of(self.good)
    }

    /// Somebody should look.
    pub fn warn(self) -> Style {
        self.of(self.warn).add_modifier(Modifier::BOLD)
    }

    /// It went wrong.
    pub fn bad(self) -> Style {
        self.of(self.bad).add_modifier(Modifier::BOLD)
    }

    /// A removed line.
    pub fn removed(self) -> Style {
        self.of(self.bad)
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

fn color_of(tint: Tint) -> Color {
    match tint {
        // By their names, since a terminal may show its own sixteen in a way of its own.
        Tint::Indexed(number) => match number {
            0 => Color::Black,
            1 => Color::Red,
            2 => Color::Green,
            3 => Color::Yellow,
            4 => Color::Blue,
            5 => Color::Magenta,
            6 => Color::Cyan,
            7 => Color::Gray,
            8 => Color::DarkGray,
            9 => Color::LightRed,
            10 => Color::LightGreen,
            11 => Color::LightYellow,
            12 => Color::LightBlue,
            13 => Color::LightMagenta,
            14 => Color::LightCyan,
            15 => Color::White,
            other => Color::Indexed(other),
        },
        Tint::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_is_chosen_and_single_colours_of_it_are_others() {
        let terminal = Theme::new(&Look::default(), true);
        assert_eq!(terminal.accent().fg, Some(Color::Cyan));
        let look = Look { theme: ThemeName::Dark, accent: Tint::parse("#ff8700").ok(), ..Look::default() };
        let dark = Theme::new(&look, true);
        assert_eq!(dark.accent().fg, Some(Color::Rgb(255, 135, 0)));
        assert_eq!(dark.good().fg, Some(Color::Indexed(114)));
        assert_eq!(Theme::new(&look, false).accent().fg, None, "NO_COLOR wins");
        let mono = Look { theme: ThemeName::Mono, ..look };
        assert_eq!(Theme::new(&mono, true).accent().fg, None);
    }

    /// Contrast by WCAG 2 against black and white: text that can be read has 4.5.
    #[test]
    fn what_a_theme_brings_can_be_read_on_its_background() {
        let light = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let of = |color: Color| {
            let Color::Indexed(number) = color else { panic!("{color:?}") };
            let steps = [0, 95, 135, 175, 215, 255];
            let [red, green, blue] = match number {
                16..=231 => [(number - 16) / 36, (number - 16) / 6 % 6, (number - 16) % 6]
                    .map(|at| steps[usize::from(at)]),
                232.. => [8 + 10 * (number - 232); 3],
                _ => panic!("{number} is the terminal's own"),
            };
            0.2126 * light(red) + 0.7152 * light(green) + 0.0722 * light(blue)
        };
        for (name, background) in [(ThemeName::Dark, 0.0), (ThemeName::Light, 1.0)] {
            let theme = Theme::new(&Look { theme: name, ..Look::default() }, true);
            for color in [theme.accent, theme.good, theme.warn, theme.bad, theme.faint] {
                let (high, low) = (of(color).max(background), of(color).min(background));
                let contrast = (high + 0.05) / (low + 0.05);
                assert!(contrast >= 4.5, "{name}: {color:?} has {contrast:.1}");
            }
        }
    }
}

//! How the dashboard looks, as its user chooses it.

/// A theme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumIter, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum ThemeName {
    /// The terminal's own sixteen colours.
    #[default]
    Terminal,
    /// Colours of its own for a dark background.
    Dark,
    /// Colours of its own for a light background.
    Light,
    /// None at all: weight and inversion.
    Mono,
}

/// A colour that a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// By its number: the terminal's own up to 15, fixed ones above.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// The terminal's own colours by their numbers; the brighter ones stand eight behind.
const NAMES: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

impl Tint {
    /// `cyan`, `bright-red`, `208` or `#ff8700`.
    ///
    /// # Errors
    /// What a colour looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("must be a colour such as cyan, bright-red, 208 or #ff8700, not `{text}`");
        if let Some(digits) = text.strip_prefix('#') {
            let is_whole = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let all = u32::from_str_radix(digits, 16).ok().filter(|_| is_whole).ok_or_else(refused)?;
            let [_, red, green, blue] = all.to_be_bytes();
            return Ok(Self::Rgb(red, green, blue));
        }
        let (name, brighter) = match text.strip_prefix("bright-") {
            Some(name) => (name, 8),
            None => (text, 0),
        };
        match NAMES.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok()) {
            Some(at) => Ok(Self::Indexed(at + brighter)),
            None => text.parse().map(Self::Indexed).map_err(|_| refused()),
        }
    }
}

/// A theme, and colours that are others than in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The theme.
    pub theme: ThemeName,
    /// Keys, links, what can be acted upon.
    pub accent: Option<Tint>,
    /// It goes well.
    pub good: Option<Tint>,
    /// Somebody should look.
    pub warn: Option<Tint>,
    /// It went wrong.
    pub bad: Option<Tint>,
    /// What is there for completeness.
    pub faint: Option<Tint>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_a_name_a_number_or_three_parts() {
        assert_eq!(Tint::parse("cyan"), Ok(Tint::Indexed(6)));
        assert_eq!(Tint::parse("bright-red"), Ok(Tint::Indexed(9)));
        assert_eq!(Tint::parse("208"), Ok(Tint::Indexed(208)));
        assert_eq!(Tint::parse("#ff8700"), Ok(Tint::Rgb(255, 135, 0)));
        for wrong in
            ["", "pink", "256", "-1", "#ff870", "#ff87zz", "#+f8700", "bright-208", "bright-", "#é12345"]
        {
            assert!(Tint::parse(wrong).is_err(), "{wrong}");
        }
    }
}

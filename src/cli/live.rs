//! A line that is drawn again and again while something goes on. Mostly pure; `output` writes it.

use std::os::fd::AsFd;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::clock::Clock;
use crate::model::quantity::took;

/// How often it is drawn.
pub const TICK: Duration = Duration::from_millis(100);
/// One after the other.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Whether a terminal may be sent control sequences at all. `NO_COLOR` and `CI` say no as `TERM=dumb` does: what is
/// drawn over and over is worse than nothing where it is recorded.
pub fn is_steerable(env: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let is_dumb = set("TERM").is_none_or(|term| term == "dumb");
    !is_dumb && !is_ci(env) && set("NO_COLOR").is_none()
}

/// Whether a machine runs us, whatever terminal it pretends to have.
pub fn is_ci(env: &dyn Fn(&str) -> Option<String>) -> bool {
    env("CI").is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Whether this program has the terminal, and is not a job in its background: that one is stopped when it asks for keys.
pub fn is_in_front(terminal: impl AsFd) -> bool {
    match rustix::termios::tcgetpgrp(terminal) {
        Ok(front) => front == rustix::process::getpgrp(),
        Err(_) => true,
    }
}

/// The spinner as it stands now.
pub fn spinner() -> char {
    let turn = u128::from(Clock::system().now_ms()) / TICK.as_millis() % SPINNER.len() as u128;
    SPINNER[usize::try_from(turn).unwrap_or_default()]
}

/// A time that goes on: whole seconds do not jump about.
pub fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        few @ 0..60 => format!("{few} s"),
        _ => took(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The text in at most so many columns, its end cut off with an ellipsis.
pub fn fit(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else { return String::new() };
    let mut shown = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        shown.push(c);
    }
    shown.truncate(shown.trim_end().len());
    shown.push('…');
    shown
}

/// The text cut so that `behind` fits behind it; where not even that fits, `behind` goes first.
pub fn with_end(text: &str, behind: &str, room: usize) -> String {
    let end = if behind.is_empty() { String::new() } else { format!("  {behind}") };
    match room.checked_sub(end.width()) {
        Some(left) if left >= 8 || left >= text.width() => format!("{}{end}", fit(text, left)),
        _ => fit(text, room),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_it_takes_on_the_screen() {
        assert_eq!(fit("cargo test", 10), "cargo test");
        assert_eq!(fit("cargo test", 7), "cargo…");
        assert_eq!(fit("世界世界", 6), "世界…", "two columns each");
        assert_eq!(fit("x", 0), "");
        assert_eq!(with_end("bash  cargo test --workspace", "12 s", 20), "bash  cargo t…  12 s");
        assert_eq!(with_end("bash  cargo test", "12 s", 8), "bash  c…", "no room for the time");
    }

    #[test]
    fn nothing_is_drawn_where_it_would_be_recorded() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            is_steerable(&move |name| set.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()))
        };
        let term = ("TERM", "xterm");
        assert!(with(&[term]));
        assert!(with(&[term, ("CI", "false"), ("NO_COLOR", "")]));
        for set in [&[][..], &[("TERM", "dumb")], &[term, ("CI", "true")], &[term, ("NO_COLOR", "1")]] {
            assert!(!with(set), "{set:?}");
        }
    }
}

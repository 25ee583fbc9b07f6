//! Text of strangers (agents, models, file names) as people may be shown it: what is invisible becomes visible.
//!
//! A terminal obeys control characters, and obeys format characters too: a direction override (U+202E) lets a command
//! read otherwise than it runs, a zero-width space hides a difference. Whoever shows text to a person, on a terminal, a
//! desktop or in a notification, calls one of these first. What programs read (JSON) keeps the characters, escaped.

use std::fmt::Write as _;

use unicode_general_category::{GeneralCategory, get_general_category};

/// One line: control characters become spaces, invisible ones are written as `\u{202e}`.
#[must_use]
pub fn line(text: &str) -> String {
    shown(text, |c| c.is_control().then_some(' '))
}

/// Prose of several lines: lines and tabs stay, other control characters are dropped, invisible ones are written out.
#[must_use]
pub fn prose(text: &str) -> String {
    let kept: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    shown(&kept, |c| matches!(c, '\n' | '\t').then_some(c))
}

/// What somebody decides upon, such as a command: every character that does something unseen is written out, control
/// characters too. Lines and tabs stay.
#[must_use]
pub fn exact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() || is_invisible(c) => write_escaped(&mut shown, c),
            c => shown.push(c),
        }
    }
    shown
}

/// JSON with the same meaning in which nothing is invisible. Of control characters JSON escapes the first 32 as it is;
/// the others (U+009B begins a command to a terminal) are escaped here.
#[must_use]
pub fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) || matches!(c, '\u{7f}'..='\u{9f}') {
            // Outside of strings JSON has no such characters, and inside of them this is an escape.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character takes no room, changes how others are shown, or looks as some font likes: the categories Cf, Zl,
/// Zp and Co of Unicode, and letters that are drawn as nothing. Not Cn: a new emoji is one to an older table.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    const BLANK: [char; 7] =
        ['\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{3164}', '\u{ffa0}'];
    // Prepended marks of Arabic and Syriac numbers are Cf and visible.
    const VISIBLE: [std::ops::RangeInclusive<char>; 5] = [
        '\u{600}'..='\u{605}',
        '\u{6dd}'..='\u{6dd}',
        '\u{70f}'..='\u{70f}',
        '\u{890}'..='\u{891}',
        '\u{8e2}'..='\u{8e2}',
    ];
    match get_general_category(c) {
        GeneralCategory::Format => !VISIBLE.iter().any(|range| range.contains(&c)),
        GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator
        | GeneralCategory::PrivateUse => true,
        _ => BLANK.contains(&c),
    }
}

/// Writes out what is invisible; a joiner between two characters beyond ASCII stays, because emoji and some scripts are
/// not written without it. What `keep` gives an answer for is written so.
fn shown(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let joins = matches!(c, '\u{200c}' | '\u{200d}')
            && [before, rest.peek().copied()].iter().all(|near: &Option<char>| {
                near.is_some_and(|near| !near.is_ascii() && !near.is_control() && !is_invisible(near))
            });
        match keep(c) {
            Some(kept) => shown.push(kept),
            None if is_invisible(c) && !joins => write_escaped(&mut shown, c),
            None => shown.push(c),
        }
        before = Some(c);
    }
    shown
}

fn write_escaped(out: &mut String, c: char) {
    let _ = write!(out, "{}", c.escape_unicode());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_the_reading_around_is_shown() {
        assert_eq!(line("rm -rf \u{202e}txt.elif\u{202c} /"), "rm -rf \\u{202e}txt.elif\\u{202c} /");
        assert_eq!(prose("one\u{2066}two\n\u{feff}three"), "one\\u{2066}two\n\\u{feff}three");
        assert_eq!(exact("echo a\rrm -rf ~\n\u{200b}"), "echo a\\u{d}rm -rf ~\n\\u{200b}");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        assert_eq!(line("a\x1b[2Jb\nc"), "a [2Jb c");
        assert_eq!(prose("a\x1b[2Jb\tc\r\n"), "a[2Jb\tc\n");
        assert_eq!(exact("\x1b]0;x\x07"), "\\u{1b}]0;x\\u{7}");
    }

    #[test]
    fn languages_and_emoji_stay_as_they_are() {
        for text in
            ["Grüße, 世界", "👨\u{200d}👩\u{200d}👧 ❤\u{fe0f}", "می\u{200c}خواهم", "שלום", "\u{603}١٢"]
        {
            assert_eq!(line(text), text);
            assert_eq!(prose(text), text);
        }
        assert_eq!(line("pass\u{200d}word"), "pass\\u{200d}word", "not between Latin letters");
        assert_eq!(exact("a👨\u{200d}👩"), "a👨\\u{200d}👩", "who decides sees everything");
    }

    #[test]
    fn blank_letters_and_tags_are_not_blank() {
        assert_eq!(line("x\u{3164}=1\u{e0041}"), "x\\u{3164}=1\\u{e0041}");
        assert_eq!(line("a\u{2028}b\u{e000}"), "a\\u{2028}b\\u{e000}");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({"command": "rm \u{202e}x\u{e0041} \"é\" \u{9b}2J\u{7f}\u{1b}[2J"});
        let text = json(&value.to_string());
        assert!(!text.chars().any(|c| is_invisible(c) || c.is_control()), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}

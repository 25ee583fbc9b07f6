//! Long text broken at words, so that it reads well on a narrow terminal. Pure.

use unicode_width::UnicodeWidthChar;

/// What fits less than this is not worth breaking.
const LEAST: usize = 20;

/// The text with every line that is wider than `width` broken at words. What follows stands as far in as the line's
/// own indent and `hang` more. Without a width (in a pipe) nothing is broken.
pub fn wrapped(text: &str, width: Option<usize>, hang: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let lines: Vec<String> = text.split('\n').map(|line| one(line, width, hang)).collect();
    lines.join("\n")
}

fn one(line: &str, width: usize, hang: usize) -> String {
    if shown(line) <= width {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    // On a very narrow terminal the text gets the room, not the margin.
    let hang = if indent + hang + LEAST > width { 0 } else { indent + hang };
    let mut broken = " ".repeat(indent);
    let (mut at, mut begins) = (indent, true);
    for word in words(&line[indent..]) {
        let wide = shown(word);
        if !begins && at + wide > width {
            broken.truncate(broken.trim_end_matches(' ').len());
            broken.push('\n');
            broken.push_str(&" ".repeat(hang));
            (at, begins) = (hang, true);
            if word.starts_with(' ') {
                continue;
            }
        }
        broken.push_str(word);
        at += wide;
        begins = false;
    }
    broken.truncate(broken.trim_end_matches(' ').len());
    broken
}

/// Words and the blanks between them. What stands in backticks is one word: it is there to be copied.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut from, mut is_blank, mut in_ticks) = (0, line.starts_with(' '), false);
    for (at, c) in line.char_indices() {
        if c == '`' {
            in_ticks = !in_ticks && line[at + 1..].contains('`');
        }
        let blank = c == ' ' && !in_ticks;
        if blank != is_blank {
            words.push(&line[from..at]);
            (from, is_blank) = (at, blank);
        }
    }
    words.push(&line[from..]);
    words.retain(|word| !word.is_empty());
    words
}

/// How many columns a text takes: colour takes none.
pub fn shown(text: &str) -> usize {
    let (mut wide, mut in_colour) = (0, false);
    for c in text.chars() {
        match (in_colour, c) {
            (true, 'm') => in_colour = false,
            (true, _) => {}
            (false, '\x1b') => in_colour = true,
            (false, c) => wide += c.width().unwrap_or(0),
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_words_and_hang() {
        let text = "ok       the engine: podman 5.4.2 at /run/podman/podman.sock, which is new enough";
        let broken = wrapped(text, Some(40), 9);
        assert_eq!(
            broken,
            "ok       the engine: podman 5.4.2 at\n         /run/podman/podman.sock, which\n         is new enough"
        );
        assert_eq!(wrapped(text, None, 9), text, "a pipe gets it whole");
        assert_eq!(wrapped(text, Some(200), 9), text);
        for width in 1..90 {
            let broken = wrapped(text, Some(width), 9);
            let back: Vec<&str> = broken.split_whitespace().collect();
            assert_eq!(back, text.split_whitespace().collect::<Vec<_>>(), "nothing is lost at {width}");
            let widest = broken.lines().map(shown).max().unwrap_or(0);
            assert!(widest <= width.max(9 + "/run/podman/podman.sock,".len()), "{width}: {broken}");
        }
    }

    #[test]
    fn what_is_to_be_copied_stays_in_one_line_and_colour_takes_no_room() {
        let text = "try it: `mimir image build --with rust` makes the image";
        assert_eq!(
            wrapped(text, Some(34), 2),
            "try it:\n  `mimir image build --with rust`\n  makes the image"
        );
        assert_eq!(wrapped("an odd ` tick in here", Some(12), 0), "an odd `\ntick in here");
        assert_eq!(wrapped("\x1b[31mred\x1b[0m and so on", Some(13), 0), "\x1b[31mred\x1b[0m and so on");
        assert_eq!(shown("日本"), 4, "wide letters are wide");
        assert_eq!(
            wrapped("  indented words here", Some(14), 0),
            "  indented\nwords here",
            "too narrow to hang"
        );
    }
}

//! Lines cut to a width, with their styles. Pure.

use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What a tab stands for.
const TAB: &str = "    ";

/// The line in lines of at most `width` columns, cut between words where that is possible; what is carried over begins
/// under `indent` columns.
pub fn wrap(line: Line<'static>, width: usize, indent: usize) -> Vec<Line<'static>> {
    wrap_behind(line, width, &" ".repeat(indent.min(width.max(4) / 2)))
}

/// The same, with `lead` before what is carried over.
pub fn wrap_behind(line: Line<'static>, width: usize, lead: &str) -> Vec<Line<'static>> {
    let width = width.max(4);
    if line.width() <= width && !line.spans.iter().any(|span| span.content.contains('\t')) {
        return vec![line];
    }
    let style = line.style;
    let mut done = Vec::new();
    let mut row = Row::default();
    for span in line.spans {
        let text = span.content.replace('\t', TAB);
        for word in text.split_word_bounds() {
            let room = word.width();
            if row.used + room > width && row.used > row.indent {
                done.push(row.finish(style, lead));
                // A gap at the end of a line is no gap at the begin of the next.
                if word.trim().is_empty() {
                    continue;
                }
            }
            if row.used + room <= width {
                row.push(word, room, span.style);
                continue;
            }
            // Longer than a line: by characters.
            for piece in word.graphemes(true) {
                let room = piece.width();
                if row.used + room > width && row.used > row.indent {
                    done.push(row.finish(style, lead));
                }
                row.push(piece, room, span.style);
            }
        }
    }
    done.push(row.finish(style, lead));
    done
}

/// What goes into one line.
#[derive(Default)]
struct Row {
    spans: Vec<Span<'static>>,
    used: usize,
    indent: usize,
}

impl Row {
    fn push(&mut self, text: &str, room: usize, style: ratatui::style::Style) {
        self.used += room;
        match self.spans.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(text),
            _ => self.spans.push(Span::styled(text.to_owned(), style)),
        }
    }

    fn finish(&mut self, style: ratatui::style::Style, lead: &str) -> Line<'static> {
        let spans = std::mem::take(&mut self.spans);
        *self = Self { spans: Vec::new(), used: lead.width(), indent: lead.width() };
        if !lead.is_empty() {
            self.spans.push(Span::raw(lead.to_owned()));
        }
        Line::from(spans).style(style)
    }
}

/// At most `width` columns of a text, with an ellipsis where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for piece in text.graphemes(true) {
        if used + piece.width() + 1 > width {
            break;
        }
        used += piece.width();
        kept.push_str(piece);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::{Modifier, Style};

    fn texts(lines: &[Line<'_>]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_are_cut_between_words_and_carried_over() {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let line = Line::from(vec![Span::raw("- one two "), Span::styled("three four", bold)]);
        let lines = wrap(line, 10, 2);
        assert_eq!(texts(&lines), ["- one two ", "  three ", "  four"]);
        assert!(lines[1].spans.last().is_some_and(|span| span.style == bold));
    }

    #[test]
    fn what_has_no_gap_is_cut_and_nothing_is_lost() {
        for text in ["a".repeat(25), "日本語".repeat(9), "👩‍👩‍👧‍👦".repeat(9), "\t\tx".repeat(9)]
        {
            let lines = wrap(Line::from(text.clone()), 10, 0);
            assert!(lines.iter().all(|line| line.width() <= 10), "{lines:?}");
            assert_eq!(texts(&lines).concat().replace(' ', ""), text.replace('\t', ""));
        }
    }

    #[test]
    fn what_does_not_fit_says_so() {
        assert_eq!(
            (fit("abc", 3), fit("abcd", 3), fit("日本", 3), fit("x", 0)),
            ("abc".into(), "ab…".into(), "日…".into(), String::new())
        );
    }
}

//! An agent's words with their structure, as lines.

use mimir_model::visible;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use tui_markdown::{Options, StyleSheet};

use crate::theme::Theme;

/// As our theme has it.
#[derive(Clone, Copy, Debug)]
struct Sheet(Theme);

impl StyleSheet for Sheet {
    fn heading(&self, _level: u8) -> Style {
        self.0.strong().add_modifier(Modifier::UNDERLINED)
    }

    fn code(&self) -> Style {
        self.0.accent()
    }

    fn link(&self) -> Style {
        self.0.accent().add_modifier(Modifier::UNDERLINED)
    }

    fn blockquote(&self) -> Style {
        self.0.faint()
    }

    fn heading_meta(&self) -> Style {
        self.0.faint()
    }

    fn metadata_block(&self) -> Style {
        self.0.faint()
    }

    fn code_block_fence(&self) -> &str {
        ""
    }

    fn html(&self) -> Style {
        self.0.faint()
    }
}

/// The text in lines, not yet cut to a width; tables take at most `width` columns.
pub fn lines(text: &str, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let text = visible::prose(text);
    let options = Options::new(Sheet(theme)).table_width(u16::try_from(width).unwrap_or(u16::MAX).max(20));
    let rendered = tui_markdown::from_str_with_options(&text, &options);
    let plain = |style: Style| match theme.color {
        true => style,
        false => Style { fg: None, bg: None, ..style },
    };
    rendered
        .lines
        .into_iter()
        .map(|line| {
            let spans: Vec<Span<'static>> = line
                .spans
                .into_iter()
                .map(|span| Span::styled(span.content.into_owned(), plain(span.style)))
                .collect();
            Line::from(spans).style(plain(line.style))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mimir_model::look::Look;

    fn texts(text: &str) -> Vec<String> {
        lines(text, Theme::new(&Look::default(), false), 40).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_keep_their_structure() {
        let shown =
            texts("# Title\n\nOne **two** `three`.\n\n- a\n- b\n\n```rust\nfn main() {}\n```\n").join("\n");
        for part in ["Title", "One two three.", "- a", "- b", "fn main() {}"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn nothing_in_it_reaches_the_terminal_as_more_than_text() {
        let shown = texts("a \u{1b}[31mred\u{1b}]0;t\u{7} \u{202e}x\n\n```\n\u{1b}[2J\n```\n").join("\n");
        assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
    }

    proptest::proptest! {
        /// Whatever an agent writes: it is drawn, and in no line is a control character.
        #[test]
        fn no_words_break_it(pieces in proptest::collection::vec(proptest::sample::select(&[
            "# ", "- ", "1. ", "> ", "```", "`", "**", "_", "|", "\n", "\n\n", "    ", "[a](b)", "![x](y)", "<b>", "&amp;", "$x$", "$$",
            "[^1]", "[^1]: ", "---", "- [ ] ", "> [!NOTE]\n", "a", "日本", "\u{202e}", "\u{1b}[31m", "\t", "|-|-|\n", "~~", "\\", "<!--",
        ][..]), 0..60)) {
            let all = lines(&pieces.concat(), Theme::new(&Look::default(), false), 40);
            let shown: String = all.iter().map(ToString::to_string).collect();
            proptest::prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\t'), "{shown:?}");
        }
    }

    #[test]
    fn without_colour_there_is_none() {
        let all = lines(
            "# x\n\n> [!WARNING]\n> y\n\n[a](https://example.org)",
            Theme::new(&Look::default(), false),
            40,
        );
        let styles = all.iter().flat_map(|line| line.spans.iter().map(|span| span.style).chain([line.style]));
        assert!(styles.into_iter().all(|style| style.fg.is_none() && style.bg.is_none()), "{all:?}");
    }
}

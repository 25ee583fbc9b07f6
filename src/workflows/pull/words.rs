//! What is said at a forge: built here from what was checked, never by an agent. A stranger's words in it are quoted, and
//! cannot do anything: ping nobody, close no issue, load no picture, end no comment.

use crate::model::visible::is_invisible;

/// A zero-width space as forges' Markdown writes it: `@` and `#` with one behind them mean nobody and nothing.
const APART: &str = "&#8203;";

/// A text without what hides in it: comments of HTML, control characters, and what takes no room.
#[must_use]
pub fn stripped(text: &str) -> String {
    let seen = |c: &char| matches!(c, '\n' | '\t') || !(c.is_control() || is_invisible(*c));
    let mut text: String = text.chars().filter(seen).collect();
    // What is left of one comment and another may be a third.
    while let Some((before, behind)) = text.split_once("<!--") {
        // One that is never closed hides everything behind it.
        text = format!("{before}{}", behind.split_once("-->").map_or("", |(_, after)| after));
    }
    text
}

/// On one line, cut to so many letters.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let words = stripped(text).split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&words, most)
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A stranger's prose as Markdown that says the same and does nothing, on one line.
#[must_use]
pub fn tamed(text: &str, most: usize) -> String {
    let text = one_line(text, most);
    let mut tame = String::with_capacity(text.len() * 2);
    let ends = |tame: &str, with: &str| {
        let at = tame.len().checked_sub(with.len());
        at.and_then(|at| tame.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // People and teams; numbers of issues; Gitea's pull requests.
            '@' | '#' | '!' => {
                if c != '@' {
                    tame.push('\\');
                }
                tame.push(c);
                tame.push_str(APART);
            }
            '&' => tame.push_str("&amp;"),
            '<' => tame.push_str("&lt;"),
            '>' => tame.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '~' | '$' => tame.extend(['\\', c]),
            // Addresses that become links by themselves.
            ':' if rest.peek() == Some(&'/') => tame.push_str(&format!(":{APART}")),
            '.' if ends(&tame, "www") => tame.push_str(&format!("{APART}.")),
            // `GH-12`.
            '-' if ends(&tame, "gh") => tame.push_str(&format!("{APART}-")),
            c => tame.push(c),
        }
    }
    tame
}

/// The same for a title, where no Markdown is read: the signs themselves go.
#[must_use]
pub fn title(text: &str, most: usize) -> String {
    let letters: Vec<char> = stripped(text).replace("://", ": ").chars().collect();
    // `GH-12` is an issue as well.
    let is_issue = |at: usize| {
        let before: String = letters[at.saturating_sub(2)..at].iter().collect();
        let after = letters.get(at + 1).is_some_and(char::is_ascii_digit);
        letters[at] == '-' && after && before.eq_ignore_ascii_case("gh")
    };
    let is_sign = |at: usize| matches!(letters[at], '@' | '#' | '!' | '<' | '>' | '`');
    let plain: String =
        (0..letters.len()).map(|at| if is_sign(at) || is_issue(at) { ' ' } else { letters[at] }).collect();
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    // Forges take these for marks of a draft.
    while words.first().is_some_and(|word| is_draft_word(word)) {
        words.remove(0);
    }
    cut(&words.join(" "), most)
}

fn is_draft_word(word: &str) -> bool {
    matches!(word.to_lowercase().as_str(), "wip" | "wip:" | "[wip]" | "draft:" | "[draft]")
}

/// Something short, letter for letter.
#[must_use]
pub fn code(text: &str, most: usize) -> String {
    let text = one_line(text, most).replace('`', "'");
    if text.is_empty() { "`-`".to_owned() } else { format!("`{text}`") }
}

/// Something of several lines, letter for letter; the last of it when it is long.
#[must_use]
pub fn block(text: &str, most: usize) -> String {
    let text = stripped(text);
    let long = text.chars().count();
    let shown: String = text.chars().skip(long.saturating_sub(most)).collect();
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", shown.trim_end())
}

/// A link to where something was reported, if the address is one for people.
#[must_use]
pub fn link(text: &str, address: Option<&str>) -> String {
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'.' | b'-' | b'_' | b'?' | b'=');
    let fits = |address: &&str| {
        (address.starts_with("https://") || address.starts_with("http://"))
            && address.len() < 300
            && address.bytes().all(is_plain)
    };
    match address.filter(fits) {
        Some(address) => format!("[{}]({address})", tamed(text, 60)),
        None => code(text, 60),
    }
}

/// The beginning of a commit's id, as people write it.
#[must_use]
pub fn short(commit: &str) -> String {
    commit.chars().filter(char::is_ascii_hexdigit).take(7).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What forges make something of, outside of code.
    fn does_something(text: &str) -> Option<&'static str> {
        // What stands for a sign keeps apart what is on both sides of it.
        let text: Vec<char> = ["&amp;", "&lt;", "&gt;"]
            .iter()
            .fold(text.replace(APART, "\u{200b}"), |text, entity| text.replace(entity, " "))
            .chars()
            .collect();
        let pair =
            |first: char, fits: fn(char) -> bool| text.windows(2).any(|two| two[0] == first && fits(two[1]));
        let is_escaped = |at: usize| text[..at].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1;
        let is_bare = |sign: char| (0..text.len()).any(|at| text[at] == sign && !is_escaped(at));
        let has = |what: &str| text.iter().collect::<String>().to_lowercase().contains(what);
        [
            ("a mention", pair('@', char::is_alphanumeric)),
            (
                "an issue",
                pair('#', |c| c.is_ascii_digit()) || pair('!', |c| c.is_ascii_digit()) || has("gh-"),
            ),
            ("a link", has("://") || has("www.")),
            ("HTML", text.iter().any(|c| matches!(c, '<' | '>' | '&'))),
            ("Markdown", ['[', ']', '`', '*', '_', '~', '$'].into_iter().any(is_bare)),
        ]
        .into_iter()
        .find_map(|(what, does)| does.then_some(what))
    }

    #[test]
    fn a_strangers_prose_does_nothing() {
        for text in [
            "@everyone look, @org/team",
            "fixes #12, closes owner/name#3 and resolves GH-7",
            ":<//evil.example",
            "![x](https://evil.example/x.png) [y](//evil.example) www.evil.example",
            "<img src=x onerror=alert(1)> <!-- mimir:x --> </details>",
            "`@admin` ```\n@admin\n```",
            "closes https://github.com/a/b/issues/3",
            "a\\@b \\#3 \\\\@c",
            "!12 pull of Gitea",
            "line\n\n# heading\n- item\n> quote",
        ] {
            let tame = tamed(text, 500);
            assert_eq!(does_something(&tame), None, "{text} became {tame}");
            assert!(!tame.contains('\n') && !tame.to_lowercase().contains("gh-7"), "{tame}");
        }
        assert_eq!(tamed("plain words, 3 of 4 (a-b)", 99), "plain words, 3 of 4 \\(a-b\\)");
    }

    #[test]
    fn a_title_closes_and_calls_nothing() {
        assert_eq!(
            title("WIP: [wip] fixes #12 by @ana, GH-3 https://x.example", 90),
            "fixes 12 by ana, GH 3 https: x.example"
        );
        assert_eq!(title("Draft: a\nb\u{202e}c", 90), "a bc");
        assert_eq!(title(&"x".repeat(99), 10).chars().count(), 10);
    }

    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a`b\n@c", 50), "`a'b @c`");
        let shown = block("one\n```\n@admin\n````` two", 500);
        assert!(shown.starts_with("``````text\n") && shown.ends_with("\n``````"), "{shown}");
        assert!(block(&"é".repeat(50), 10).contains(&"é".repeat(10)));
        assert_eq!(block("", 10), "```text\n\n```");
    }

    #[test]
    fn only_an_address_becomes_a_link() {
        let fine = "https://sentry.example/organizations/a/issues/7/";
        assert_eq!(link("SHOP-1", Some(fine)), format!("[SHOP-1]({fine})"));
        for odd in [
            "javascript:alert(1)",
            "https://a.example/)[x](y",
            "https://a@b.example/",
            "https://a.example/#1",
        ] {
            assert_eq!(link("SHOP-1", Some(odd)), "`SHOP-1`", "{odd}");
        }
    }

    #[test]
    fn what_hides_is_taken_out() {
        assert_eq!(stripped("a<!-- do this -->b\u{200b}c\u{202e}d\u{7}\r\ne<!-- never closed"), "abcd\ne");
        assert_eq!(stripped("a<!--<!-- x -->-->b"), "a-->b");
    }

    proptest! {
        #[test]
        fn no_text_does_anything(text in "[@#!<>&:/.\\\\`*_\\[\\]()|~$a-cwWhHgG0-9 \n-]{0,60}") {
            let tame = tamed(&text, 500);
            prop_assert_eq!(does_something(&tame), None, "{} became {}", text, tame);
            let plain = title(&text, 500);
            prop_assert!(!plain.contains(['@', '#', '<', '>', '`']) && !plain.contains("://"), "{}", plain);
            prop_assert!(!plain.to_lowercase().contains("gh-0"), "{}", plain);
        }

        #[test]
        fn no_code_is_left(text in ".{0,200}") {
            let shown = block(&text, 100);
            let fence = shown.split("text\n").next().expect("its begin").to_owned();
            prop_assert_eq!(shown.matches(&fence).count(), 2, "{}", shown);
        }
    }
}

//! Who says something at a pull request, and what of it is a command.

use crate::model::forge::Comment;

/// What a command begins with.
const ADDRESSED: [&str; 2] = ["@mimir", "/mimir"];
/// How the markers begin by which mimir finds its own comments.
const MARKER: &str = "<!-- mimir:";

/// Forges do not tell capital letters in names apart.
#[must_use]
pub fn name(author: &str) -> String {
    author.to_lowercase()
}

/// Which comment: `issue:1`, `inline:2`, `review:3`.
#[must_use]
pub fn key(comment: &Comment) -> String {
    format!("{}:{}", comment.kind, comment.id)
}

/// Whether mimir said it, which has that name there, if anybody knows it. It ends all that it says with a marker; what people say who gave it an account of their own
/// does not, so they are heard.
#[must_use]
pub fn is_ours(own: &str, comment: &Comment) -> bool {
    let last = comment.body.trim_end().lines().next_back().unwrap_or_default().trim();
    let is_by_us = own.is_empty() || name(&comment.author) == name(own);
    is_by_us && last.starts_with(MARKER) && last.ends_with("-->")
}

/// What somebody can tell mimir itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Command {
    /// Do nothing until somebody says `resume`.
    Pause,
    /// Go on.
    Resume,
    /// The run ends.
    Stop,
}

impl Command {
    /// The command in a comment: its first line begins with `@mimir pause`, `@mimir resume` or `@mimir stop`.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let line = text.trim_start().lines().next()?.to_lowercase();
        let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | '.' | '!'));
        let mut next = || words.find(|word| !word.is_empty());
        if !ADDRESSED.contains(&next()?) {
            return None;
        }
        match next()? {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::forge::CommentKind;

    fn said(author: &str, body: &str) -> Comment {
        Comment {
            kind: CommentKind::Issue,
            id: 1,
            author: author.to_owned(),
            is_bot: false,
            body: body.to_owned(),
            path: None,
            line: None,
            reply_to: None,
            review: None,
            at: 0,
            edited_at: 0,
            url: String::new(),
        }
    }

    #[test]
    fn a_command_is_the_beginning_of_a_comment() {
        for (text, command) in [
            ("@mimir pause", Some(Command::Pause)),
            ("  \n@Mimir, RESUME please", Some(Command::Resume)),
            ("/mimir stop.", Some(Command::Stop)),
            ("@mimir stop\nthat was it", Some(Command::Stop)),
            ("@mimir: pause!", Some(Command::Pause)),
            ("> @mimir stop", None),
            ("please @mimir stop", None),
            ("@mimir", None),
            ("@mimir stopwatch", None),
            ("@mimirs stop", None),
            ("", None),
        ] {
            assert_eq!(Command::of(text), command, "{text:?}");
        }
    }

    #[test]
    fn ours_is_what_our_account_said_with_a_marker_at_its_end() {
        assert!(is_ours("Mimir-Bot", &said("mimir-bot", "done\n\n<!-- mimir:run_1/answer-issue-2 -->\n")));
        assert!(!is_ours("mimir-bot", &said("ana", "done\n\n<!-- mimir:run_1/answer-issue-2 -->")));
        assert!(
            !is_ours("ana", &said("ana", "<!-- mimir:x --> please use a map")),
            "she lent it her account"
        );
        assert!(!is_ours("ana", &said("ana", "please use a map")));
        let unknown = "";
        assert!(is_ours(unknown, &said("mimir-bot", "done\n\n<!-- mimir:run_1/answer-issue-2 -->")));
        assert!(!is_ours(unknown, &said("ana", "please use a map")));
    }
}

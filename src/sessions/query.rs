//! What people type when they search, into what the index understands. Pure.
//!
//! Words are all wanted; `"several words"` stand together; `begin*` may go on; `-word` must not be there;
//! `a OR b` takes either. Everything else is taken as it is written: nobody has to know the index's language to
//! search for `foo-bar` or `std::io`. A quote without its end goes to the end; an `OR` with nothing on one side is a word.

use std::fmt::Write as _;

/// A search that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is nothing to look for.
    #[error("there is nothing to search for in `{0}`: give at least one word or number")]
    Nothing(String),
    /// Only words that must not be there.
    #[error("`{0}` says only what must not be there: add a word that must")]
    OnlyExclusions(String),
    /// Longer than anybody types.
    #[error("the search has {0} characters, and {LONGEST} is the most")]
    TooLong(usize),
}

/// The longest search in characters.
pub const LONGEST: usize = 1000;

/// What is looked for, piece by piece.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    text: String,
    begins: bool,
}

/// One piece of what was typed.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Term(Term),
    Not(Term),
    Or,
}

/// Reads a search and writes it in the index's language.
///
/// # Errors
/// See [`QueryError`].
pub fn expression(typed: &str) -> Result<String, QueryError> {
    let length = typed.chars().count();
    if length > LONGEST {
        return Err(QueryError::TooLong(length));
    }
    // Groups of alternatives; all groups are wanted.
    let mut groups: Vec<Vec<Term>> = Vec::new();
    let mut unwanted = Vec::new();
    let tokens = tokens(typed);
    let is_word = |at: usize| matches!(tokens.get(at), Some(Token::Term(_)));
    // Between two words it says that either will do; anywhere else it is a word itself.
    let is_or = |at: usize| at > 0 && tokens[at] == Token::Or && is_word(at - 1) && is_word(at + 1);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Or if is_or(at) => {}
            Token::Or => groups.push(vec![Term { text: "OR".to_owned(), begins: false }]),
            Token::Not(term) => unwanted.push(term.clone()),
            Token::Term(term) => match groups.last_mut().filter(|_| at > 0 && is_or(at - 1)) {
                Some(group) => group.push(term.clone()),
                None => groups.push(vec![term.clone()]),
            },
        }
    }
    match (groups.is_empty(), unwanted.is_empty()) {
        (true, true) => Err(QueryError::Nothing(typed.trim().to_owned())),
        (true, false) => Err(QueryError::OnlyExclusions(typed.trim().to_owned())),
        _ => Ok(written(&groups, &unwanted)),
    }
}

fn tokens(typed: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = typed.trim_start();
    while !rest.is_empty() {
        // A minus before a word excludes it; one inside a word belongs to it.
        let excludes =
            rest.starts_with('-') && rest[1..].starts_with(|c: char| !c.is_whitespace() && c != '-');
        if excludes {
            rest = &rest[1..];
        }
        let quoted = rest.starts_with('"');
        let text;
        if quoted {
            let inside = &rest[1..];
            let (within, behind) = inside.split_once('"').unwrap_or((inside, ""));
            text = within;
            rest = behind;
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
            text = &rest[..end];
            rest = &rest[end..];
        }
        let begins = if quoted { rest.starts_with('*') } else { text.ends_with('*') };
        if quoted && begins {
            rest = &rest[1..];
        }
        if !quoted && !excludes && text == "OR" {
            tokens.push(Token::Or);
        } else if text.chars().any(char::is_alphanumeric) {
            let term = Term { text: text.trim_end_matches('*').to_owned(), begins };
            tokens.push(if excludes { Token::Not(term) } else { Token::Term(term) });
        }
        rest = rest.trim_start();
    }
    tokens
}

fn written(groups: &[Vec<Term>], unwanted: &[Term]) -> String {
    let mut text = String::new();
    for (at, group) in groups.iter().enumerate() {
        let and = if at > 0 { " AND " } else { "" };
        let alternatives: Vec<String> = group.iter().map(Term::quoted).collect();
        let _ = write!(text, "{and}({})", alternatives.join(" OR "));
    }
    for term in unwanted {
        text = format!("({text}) NOT {}", term.quoted());
    }
    text
}

impl Term {
    /// As a phrase: within quotes nothing means anything.
    fn quoted(&self) -> String {
        let clean: String =
            self.text.chars().map(|c| if c == '"' || c.is_control() { ' ' } else { c }).collect();
        format!("\"{clean}\"{}", if self.begins { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_becomes_the_indexs_language() {
        for (typed, expected) in [
            ("dark mode", r#"("dark") AND ("mode")"#),
            (r#""dark mode" css"#, r#"("dark mode") AND ("css")"#),
            ("conn*", r#"("conn"*)"#),
            (r#""git pu"*"#, r#"("git pu"*)"#),
            ("rust -python", r#"(("rust")) NOT "python""#),
            ("a OR b c", r#"("a" OR "b") AND ("c")"#),
            (
                "foo-bar std::io NEAR(x) title:y",
                r#"("foo-bar") AND ("std::io") AND ("NEAR(x)") AND ("title:y")"#,
            ),
            ("--flag or -> x", r#"("--flag") AND ("or") AND ("x")"#),
            (r#"say"hello""#, r#"("say") AND ("hello")"#),
            (r#"a "b c"#, r#"("a") AND ("b c")"#),
            ("OR a", r#"("OR") AND ("a")"#),
            ("a OR", r#"("a") AND ("OR")"#),
            ("a OR OR b", r#"("a") AND ("OR") AND ("OR") AND ("b")"#),
            ("a OR b OR c", r#"("a" OR "b" OR "c")"#),
            ("a OR -b", r#"(("a") AND ("OR")) NOT "b""#),
        ] {
            assert_eq!(expression(typed).expect(typed), expected, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said_plainly() {
        assert_eq!(expression("  "), Err(QueryError::Nothing(String::new())));
        assert_eq!(expression("-> ** ?!"), Err(QueryError::Nothing("-> ** ?!".into())));
        assert_eq!(expression("-python"), Err(QueryError::OnlyExclusions("-python".into())));
        assert_eq!(expression(&"x".repeat(1001)), Err(QueryError::TooLong(1001)));
    }
}

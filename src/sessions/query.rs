//! What people type when they search, into what the index understands. Pure.
//!
//! Words are all wanted; `"several words"` stand together; `begin*` may go on; `-word` must not be there;
//! `a OR b` takes either. Everything else is taken as it is written: nobody has to know the index's language to
//! search for `foo-bar` or `std::io`.

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
    /// A quote without its end.
    #[error("the quote that begins with `\"{0}` has no end")]
    OpenQuote(String),
    /// `OR` needs something on both sides.
    #[error("`OR` needs a word before it and one behind it")]
    LonelyOr,
    /// Longer than anybody types.
    #[error("the search has {0} bytes, and {LONGEST} is the most")]
    TooLong(usize),
}

/// The longest search in bytes.
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
    if typed.len() > LONGEST {
        return Err(QueryError::TooLong(typed.len()));
    }
    // Groups of alternatives; all groups are wanted.
    let mut groups: Vec<Vec<Term>> = Vec::new();
    let mut unwanted = Vec::new();
    let mut after_or = false;
    for token in tokens(typed)? {
        match token {
            Token::Or if after_or || groups.is_empty() => return Err(QueryError::LonelyOr),
            Token::Or => after_or = true,
            Token::Not(_) if after_or => return Err(QueryError::LonelyOr),
            Token::Not(term) => unwanted.push(term),
            Token::Term(term) => match groups.last_mut().filter(|_| after_or) {
                Some(group) => {
                    group.push(term);
                    after_or = false;
                }
                None => groups.push(vec![term]),
            },
        }
    }
    match (after_or, groups.is_empty(), unwanted.is_empty()) {
        (true, ..) => Err(QueryError::LonelyOr),
        (_, true, true) => Err(QueryError::Nothing(typed.trim().to_owned())),
        (_, true, false) => Err(QueryError::OnlyExclusions(typed.trim().to_owned())),
        _ => Ok(written(&groups, &unwanted)),
    }
}

fn tokens(typed: &str) -> Result<Vec<Token>, QueryError> {
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
            let end = inside.find('"').ok_or_else(|| {
                QueryError::OpenQuote(inside.chars().take(20).collect::<String>().trim_end().to_owned())
            })?;
            text = &inside[..end];
            rest = &inside[end + 1..];
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
    Ok(tokens)
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
        ] {
            assert_eq!(expression(typed).expect(typed), expected, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said_plainly() {
        assert_eq!(expression("  "), Err(QueryError::Nothing(String::new())));
        assert_eq!(expression("-> ** ?!"), Err(QueryError::Nothing("-> ** ?!".into())));
        assert_eq!(expression("-python"), Err(QueryError::OnlyExclusions("-python".into())));
        assert_eq!(expression(r#"a "b c"#), Err(QueryError::OpenQuote("b c".into())));
        for lonely in ["OR a", "a OR", "a OR OR b", "a OR -b"] {
            assert_eq!(expression(lonely), Err(QueryError::LonelyOr), "{lonely}");
        }
        assert_eq!(expression(&"x".repeat(1001)), Err(QueryError::TooLong(1001)));
    }
}

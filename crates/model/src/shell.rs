//! Words for a shell, in commands that people are shown and that terminal programs run.

/// A word as a shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_reaches_a_shell_as_it_is() {
        assert_eq!(quoted("/usr/bin/mimir"), "/usr/bin/mimir");
        for (word, line) in [
            ("~root", "'~root'"),
            ("=ls", "'=ls'"),
            ("a b;$(id)", "'a b;$(id)'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), line);
        }
    }
}

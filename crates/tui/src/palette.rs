//! Which commands fit what was typed. Pure.

use crate::app::CommandLine;

/// Commands whose words begin with what was typed, then those that have its letters somewhere; each in its own order.
/// Whoever types an argument already is shown the command that it belongs to.
pub fn proposals<'a>(commands: &'a [CommandLine], typed: &str) -> Vec<&'a CommandLine> {
    let typed = typed.trim_start();
    let typed = typed.strip_prefix("mimir ").unwrap_or(typed).trim_start();
    let words = typed.trim_end();
    let begins = |command: &&CommandLine| command.words.starts_with(typed) || command.words == words;
    let belongs = |command: &&CommandLine| {
        typed.strip_prefix(command.words.as_str()).is_some_and(|rest| rest.starts_with(' '))
    };
    let holds = |command: &&CommandLine| {
        is_spread(&command.words, words) || command.about.to_lowercase().contains(&words.to_lowercase())
    };
    let first: Vec<&CommandLine> = commands.iter().filter(begins).collect();
    let longest = commands.iter().filter(belongs).max_by_key(|command| command.words.len());
    let later = commands.iter().filter(|command| !begins(command) && holds(command) && longest.is_none());
    first.iter().copied().chain(longest.filter(|command| !begins(command))).chain(later).collect()
}

/// Whether all letters are there, in their order.
fn is_spread(text: &str, letters: &str) -> bool {
    let mut rest = text.chars().flat_map(char::to_lowercase);
    letters
        .chars()
        .filter(|c| !c.is_whitespace())
        .flat_map(char::to_lowercase)
        .all(|c| rest.any(|other| other == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<CommandLine> {
        ["frame create", "frame destroy", "send", "runs list", "runs show"]
            .map(|words| CommandLine { words: words.to_owned(), about: format!("about {words}") })
            .to_vec()
    }

    fn found(typed: &str) -> Vec<String> {
        proposals(&commands(), typed).iter().map(|command| command.words.clone()).collect()
    }

    #[test]
    fn what_begins_so_comes_first_and_letters_are_enough() {
        assert_eq!(found("").len(), 5);
        assert_eq!(found("fr"), ["frame create", "frame destroy"]);
        assert_eq!(found("rshow"), ["runs show"]);
        assert_eq!(found("mimir send"), ["send"]);
        assert_eq!(found("frame create blog"), ["frame create"]);
        assert!(found("zzz").is_empty());
    }
}

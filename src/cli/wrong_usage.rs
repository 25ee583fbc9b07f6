//! What the parser of the command line refuses, in our words: what is wrong, and what to type instead. Pure.

use std::error::Error as _;
use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::usage;
use super::grammar::Args;
use super::habits;
use crate::wire::problem::Problem;

/// A refusal; none where the parser has an answer (help, the version) or trouble of its own.
#[must_use]
pub fn explain(error: &clap::Error, arguments: &[OsString]) -> Option<Problem> {
    if let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) {
        return Some(unknown_command(verb, arguments));
    }
    // Without it the error is none of the parser's own.
    let is_known = error.get(ContextKind::InvalidArg).is_some();
    let command = command(arguments);
    let problem = match error.kind() {
        ErrorKind::InvalidUtf8 => usage("a word of the command is not UTF-8"),
        ErrorKind::MissingSubcommand => usage(format!("`{command}` needs another word: what to do")),
        _ if !is_known => return None,
        ErrorKind::UnknownArgument => unknown_word(error, &command),
        ErrorKind::InvalidValue => no_choice(error),
        ErrorKind::ValueValidation => usage(bad_value(error)),
        ErrorKind::MissingRequiredArgument => missing(error),
        ErrorKind::ArgumentConflict => conflict(error),
        ErrorKind::NoEquals => usage(format!("{} needs a `=` before its value", option(error))),
        ErrorKind::TooManyValues => usage(format!("{} has too many values", option(error))),
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            usage(format!("{} has too few values, or too many", option(error)))
        }
        _ => return None,
    };
    Some(match problem.hint {
        Some(_) => problem,
        None => problem.hint(format!("`{command} --help` says what it takes")),
    })
}

/// The command as far as there is one: `mimir frame create`.
fn command(arguments: &[OsString]) -> String {
    let root = Args::command();
    let (mut at, mut typed) = (&root, "mimir".to_owned());
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        if let Some(sub) = at.find_subcommand(word) {
            typed = format!("{typed} {}", sub.get_name());
            at = sub;
        } else if !at.has_subcommands() {
            break;
        }
    }
    typed
}

/// Words of a context, each as it can be typed.
fn several(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![format!("`{one}`")],
        Some(ContextValue::Strings(all)) => all.iter().map(|one| format!("`{one}`")).collect(),
        _ => Vec::new(),
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// What the trouble is with: `--cpus`, or the name of a word that has a place of its own.
fn option(error: &clap::Error) -> String {
    let shown = text(error, ContextKind::InvalidArg).unwrap_or("the command");
    let first =
        if shown.starts_with('-') { shown.split([' ', '=', '[']).next().unwrap_or(shown) } else { shown };
    format!("`{}`", first.trim_matches(['[', ']', '<', '>', '.']))
}

fn unknown_word(error: &clap::Error, command: &str) -> Problem {
    let word = text(error, ContextKind::InvalidArg).unwrap_or_default();
    if !word.starts_with('-') {
        return usage(format!("`{word}` is one word too many"));
    }
    let problem = usage(format!("there is no option `{word}` here"));
    match text(error, ContextKind::SuggestedArg) {
        Some(nearest) => problem.hint(format!("did you mean `{nearest}`? `{command} --help` lists all")),
        // The one command whose words are a text.
        None if command == "mimir send" => problem.hint("a message that begins so goes behind `--`"),
        None => problem,
    }
}

fn missing(error: &clap::Error) -> Problem {
    let missing = several(error, ContextKind::InvalidArg);
    let is = if missing.len() == 1 { "is" } else { "are" };
    let problem = usage(format!("{} {is} missing", missing.join(" and ")));
    let Some(ContextValue::StyledStr(whole)) = error.get(ContextKind::Usage) else { return problem };
    match whole.to_string().trim().strip_prefix("Usage: ") {
        Some(whole) if !whole.contains('\n') => problem.hint(format!("it is typed as `{whole}`")),
        _ => problem,
    }
}

fn no_choice(error: &clap::Error) -> Problem {
    let (option, value) = (option(error), text(error, ContextKind::InvalidValue).unwrap_or_default());
    let problem = match value {
        "" => usage(format!("{option} needs a value")),
        value => usage(format!("{option} cannot be `{value}`")),
    };
    let choice = several(error, ContextKind::ValidValue);
    match text(error, ContextKind::SuggestedValue) {
        _ if choice.is_empty() => problem,
        Some(nearest) => problem.hint(format!("did you mean `{nearest}`? There is {}", choice.join(", "))),
        None => problem.hint(format!("there is {}", choice.join(", "))),
    }
}

/// Our own types speak for themselves; numbers are read by the library.
fn bad_value(error: &clap::Error) -> String {
    let (option, value) = (option(error), text(error, ContextKind::InvalidValue).unwrap_or_default());
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    let out_of_range = why.split_once(" is not in ").filter(|(number, _)| number.parse::<i128>().is_ok());
    if let Some((_, range)) = out_of_range {
        return format!("{option} must be {}, not `{value}`", bounds(range));
    }
    match why.as_str() {
        "" => format!("{option} cannot be `{value}`"),
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            format!("{option} must be a whole number, not `{value}`")
        }
        "invalid float literal" | "cannot parse float from empty string" => {
            format!("{option} must be a number, not `{value}`")
        }
        "number too large to fit in target type" => format!("{option} cannot be as large as `{value}`"),
        "number too small to fit in target type" => format!("{option} cannot be as small as `{value}`"),
        why if why.starts_with("must ") => format!("{option} {why}"),
        why => format!("{option}: {why}"),
    }
}

/// `1..=1000` in words.
fn bounds(range: &str) -> String {
    const ENDLESS: [&str; 3] = ["9223372036854775807", "18446744073709551615", "4294967295"];
    match range.split_once("..") {
        Some((least, most)) => match most.strip_prefix('=') {
            Some(most) if ENDLESS.contains(&most) => format!("at least {least}"),
            Some(most) => format!("from {least} to {most}"),
            None => format!("from {least} on and less than {most}"),
        },
        None => format!("in {range}"),
    }
}

fn conflict(error: &clap::Error) -> Problem {
    let (option, others) = (option(error), several(error, ContextKind::PriorArg));
    match text(error, ContextKind::InvalidArg) {
        Some(shown) if others == [format!("`{shown}`")] => usage(format!("{option} is there twice")),
        _ if others.is_empty() => usage(format!("{option} does not go together with the rest")),
        _ => usage(format!("{option} does not go together with {}", others.join(", "))),
    }
}

/// A verb that there is not: what it is called here, or which of ours was probably meant.
fn unknown_command(verb: &str, arguments: &[OsString]) -> Problem {
    let mut words =
        arguments.iter().skip(1).filter_map(|word| word.to_str()).take_while(|word| *word != verb);
    let root = Args::command();
    let noun = words.find_map(|word| root.find_subcommand(word));
    let typed =
        noun.map_or_else(|| format!("mimir {verb}"), |noun| format!("mimir {} {verb}", noun.get_name()));
    let problem = usage(format!("there is no command `{typed}`"));
    if let Some(instead) = habits::instead(noun.map(clap::Command::get_name), verb) {
        return problem.hint(instead);
    }
    let (ours, help) = match noun {
        Some(noun) => (noun, format!("mimir {}", noun.get_name())),
        None => (&root, "mimir".to_owned()),
    };
    let names = ours.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name);
    let nearest = names
        .map(|name| (strsim::damerau_levenshtein(name, verb), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(verb.len()) / 4)
        .min();
    problem.hint(match nearest {
        Some((_, name)) => format!("did you mean `{help} {name}`? `{help} --help` lists all"),
        None => format!("`{help} --help` lists the commands"),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn said(words: &str) -> (String, String) {
        let arguments: Vec<OsString> =
            std::iter::once("mimir").chain(words.split(' ')).map(OsString::from).collect();
        let error = Args::try_parse_from(&arguments).expect_err("refused");
        let problem = explain(&error, &arguments).unwrap_or_else(|| panic!("{words}: {error}"));
        (problem.title, problem.hint.unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_is_said_in_our_words_with_what_to_type() {
        let list = "did you mean `--all`? `mimir frame list --help` lists all";
        let shells = "did you mean `zsh`? There is `bash`, `zsh`, `fish`, `elvish`, `powershell`";
        let memory = "`--memory` must be an amount of memory such as 4g or 512m, not `lots`";
        let whole = "it is typed as `mimir frame create --throwaway --ttl <DURATION> <NAME>`";
        let create = "`mimir frame create --help` says what it takes";
        for (words, title, hint) in [
            ("frame list --al", "there is no option `--al` here", list),
            ("status now", "`now` is one word too many", "`mimir status --help` says what it takes"),
            ("send --xyz it", "there is no option `--xyz` here", "a message that begins so goes behind `--`"),
            ("completions tcsh", "`SHELL` cannot be `tcsh`", shells),
            ("frame create x --memory lots", memory, create),
            ("frame create x --ttl 2h", "`--throwaway` is missing", whole),
            ("frame create x --memory", "`--memory` needs a value", create),
            ("frame create x --memory 1g --memory 2g", "`--memory` is there twice", create),
        ] {
            assert_eq!(said(words), (title.to_owned(), hint.to_owned()), "{words}");
        }
        let (title, _) = said("frame logs blog --tail many");
        assert_eq!(title, "`--tail` must be a whole number, not `many`");
    }

    #[test]
    fn bounds_are_said_in_words() {
        assert_eq!(bounds("1..=1000"), "from 1 to 1000");
        assert_eq!(bounds("1..65536"), "from 1 on and less than 65536");
        assert_eq!(bounds("1..=4294967295"), "at least 1");
    }

    #[test]
    fn help_is_an_answer() {
        for words in [&["mimir", "--help"][..], &["mimir", "frame"], &["mimir", "--version"]] {
            let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
            let error = Args::try_parse_from(&arguments).expect_err("an answer");
            assert_eq!(explain(&error, &arguments), None, "{words:?}");
        }
    }
}

//! What sentences tell people to type: each `mimir …` of the program's text is a command that there is, with options that it
//! has.

use std::path::{Path, PathBuf};

use clap::Command;

/// Where such sentences stand.
const SOURCES: [&str; 3] = ["src", "crates/model/src", "crates/client/src"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Each `mimir …` in a text, as it is shown: what goes on in the next line of a literal is one line.
fn typed(text: &str) -> Vec<String> {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let whole = lines.fold(first, |whole, line| whole + line.trim_start());
    let mut found = Vec::new();
    for (at, begin) in whole.match_indices("`mimir ") {
        let rest = &whole[at + begin.len()..];
        let Some((words, _)) = rest.split_once('`') else { continue };
        if !words.contains('\n') {
            found.push(words.replace("\\\"", "\""));
        }
    }
    found
}

/// Its words, as a shell has them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(std::mem::take(&mut word)),
            (_, c) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// What is wrong with a command, if something is. Of its values nothing is asked: they stand for others.
fn wrong(root: &Command, line: &str) -> Option<String> {
    let (mut command, mut values) = (root, 0);
    let words = words(line);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        // What follows is whatever somebody wants, or another program's.
        let takes_all = |arg: &clap::Arg| arg.is_trailing_var_arg_set() || arg.is_last_set();
        let is_anothers = values > 0 && command.get_positionals().any(takes_all);
        if word.starts_with('…') || word == "--" || is_anothers {
            return None;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let is_meant = |arg: &&clap::Arg| {
                arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
            };
            let Some(arg) = command.get_arguments().find(is_meant) else {
                return Some(format!("`{}` has no --{name}", command.get_name()));
            };
            if arg.get_action().takes_values() && value.is_none() {
                rest.next();
            }
            continue;
        }
        if word.len() > 1 && word.starts_with('-') {
            let known = |short: char| command.get_arguments().any(|arg| arg.get_short() == Some(short));
            if let Some(short) = word.chars().skip(1).find(|short| !known(*short)) {
                return Some(format!("`{}` has no -{short}", command.get_name()));
            }
            continue;
        }
        match command.find_subcommand(word).filter(|_| values == 0) {
            Some(sub) => command = sub,
            None => values += 1,
        }
        let room = |arg: &clap::Arg| arg.get_num_args().map_or(1, |range| range.max_values());
        let most = command.get_positionals().map(room).fold(0_usize, usize::saturating_add);
        if values > most {
            return Some(format!("`{}` knows nothing of `{word}`", command.get_name()));
        }
    }
    None
}

/// The grammar of itself is no sentence: nouns and verbs stand for all of them, or for several.
fn is_grammar(line: &str) -> bool {
    line.contains(['<', '|']) || line.starts_with('{') || line.starts_with("frame {} ")
}

#[test]
fn what_people_are_told_to_type_can_be_typed() {
    let mut root = mimir::cli::command();
    root.build();
    let mut all = Vec::new();
    for folder in SOURCES {
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    }
    let (mut count, mut found) = (0, Vec::new());
    for path in all {
        let text = std::fs::read_to_string(&path).expect("a file");
        for line in typed(&text).into_iter().filter(|line| !is_grammar(line)) {
            count += 1;
            found.extend(wrong(&root, &line).map(|why| format!("{}: mimir {line}: {why}", path.display())));
        }
    }
    assert!(count > 200, "only {count} were found");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_cannot_be_typed_is_found() {
    let mut root = mimir::cli::command();
    root.build();
    for good in [
        "projects set NAME checks='make test'",
        "runs approve {id} --for {subject}",
        "send \"what you want\"",
        "frame exec NAME -- sh -c {}",
        "token create --scope …",
        "ps -a",
    ] {
        assert_eq!(wrong(&root, good), None, "{good}");
    }
    for (bad, why) in [
        ("projects set NAME --check 'make test'", "no --check"),
        ("projects sets NAME", "knows nothing of `sets`"),
        ("budget set 5 --period day", "no --period"),
        ("doctor blog", "knows nothing of `blog`"),
        ("ps -Q", "no -Q"),
    ] {
        assert!(wrong(&root, bad).is_some_and(|said| said.contains(why)), "{bad}");
    }
    let text = "say(\"it: `mimir send \\\"a \\\n     b\\\"`, or `mimir\n ps`\")";
    assert_eq!(typed(text), ["send \"a b\""]);
}

//! What sentences tell people to type: each `mimir …` of the program's text and of its pages is a command that there is,
//! with options that it has. And what the README says that people see is what the program says.

use std::path::{Path, PathBuf};

use clap::Command;

/// Where such sentences stand.
const SOURCES: [&str; 3] = ["src", "crates/model/src", "crates/client/src"];

/// What is said to people comes from here.
const SAYS: [&str; 4] = ["src", "crates/model/src", "images/frame", "scripts"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

/// What goes on in the next line of a literal is one line.
fn joined(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |whole, line| whole + line.trim_start())
}

/// Each `mimir …` in a text, as it is shown.
fn typed(text: &str) -> Vec<String> {
    let whole = joined(text);
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

/// The same in a page: in its lines, and after the `$` of its examples.
fn typed_in_page(text: &str) -> Vec<String> {
    let (mut prose, mut found, mut is_example) = (String::new(), Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_example = !is_example;
        } else if !is_example {
            prose.push_str(line.trim_start());
            prose.push(' ');
        } else if let Some(words) = line.trim_start().strip_prefix("$ mimir ") {
            found.push(words.to_owned());
        }
    }
    found.extend(typed(&prose));
    found.iter().map(|line| of_one_command(line)).collect()
}

/// Without a remark beside it, what follows in a shell, and the brackets around what may be left out.
fn of_one_command(line: &str) -> String {
    let ends = ["   ", " # ", "; ", " | ", " > "];
    let end = ends.iter().filter_map(|end| line.find(*end)).min();
    line[..end.unwrap_or(line.len())].replace(['[', ']'], "")
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

/// What cannot be typed of those lines, and how many there are.
fn judged(grammar: &Command, path: &Path, lines: Vec<String>) -> (usize, Vec<String>) {
    let lines: Vec<String> = lines.into_iter().filter(|line| !is_grammar(line)).collect();
    let bad =
        |line: &String| wrong(grammar, line).map(|why| format!("{}: mimir {line}: {why}", path.display()));
    (lines.len(), lines.iter().filter_map(bad).collect())
}

#[test]
fn what_people_are_told_to_type_can_be_typed() {
    let mut grammar = mimir::cli::command();
    grammar.build();
    let mut all = Vec::new();
    for folder in SOURCES {
        files(&root().join(folder), &mut all);
    }
    let (mut count, mut found) = (0, Vec::new());
    for path in all.iter().filter(|path| ends_with(path, "rs")) {
        let text = std::fs::read_to_string(path).expect("a file");
        let (some, bad) = judged(&grammar, path, typed(&text));
        count += some;
        found.extend(bad);
    }
    assert!(count > 200, "only {count} were found");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn what_the_pages_tell_people_to_type_can_be_typed() {
    let mut grammar = mimir::cli::command();
    grammar.build();
    let mut pages = vec![root().join("README.md")];
    files(&root().join("docs"), &mut pages);
    let (mut count, mut found) = (0, Vec::new());
    for path in pages.iter().filter(|path| ends_with(path, "md")) {
        let text = std::fs::read_to_string(path).expect("a file");
        let (some, bad) = judged(&grammar, path, typed_in_page(&text));
        count += some;
        found.extend(bad);
    }
    assert!(count > 150, "only {count} were found");
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A text with each placeholder as `{}`.
fn without_names(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        out.push('{');
        rest = match after.split_once('}') {
            Some((name, behind)) if !name.contains(['{', ' ', '"', '\n']) => {
                out.push('}');
                behind
            }
            _ => after,
        };
    }
    out + rest
}

/// What other programs say.
const OTHERS: [&str; 4] = [
    "mimir: command not found",
    "curl: (56) CONNECT tunnel failed",
    "SSL certificate problem: ",
    "slirp4netns failed: ",
];
/// What stands before a sentence.
const LABELS: [&str; 6] = ["error: ", "note: ", "why: ", "config.yaml:2: ", "config.yaml:3: ", "http      "];
/// What stands in the table for whatever it is, and for what is not worth writing out.
const EXAMPLES: [(&str, &str); 12] = [
    ("localhost/mimir-frame:latest", "{}"),
    (" frame blog", " frame {}"),
    ("frame blog ", "frame {} "),
    ("127.0.0.1:8080", "…"),
    ("a, b", "…"),
    ("foo/bar", "…"),
    ("port 3000", "port …"),
    (" (process", "…"),
    ("MIMIR_…", "…"),
    ("bash shows", "… shows"),
    ("(mode 644)", "(mode …)"),
    (" X,", " {},"),
];
/// Shorter pieces are everywhere.
const SHORTEST: usize = 6;

/// The fixed pieces of what the first cell of a row says that people see; none of what another program says.
fn pieces(row: &str) -> Option<Vec<String>> {
    let cell = row.strip_prefix("| ")?.split(" | ").next()?;
    let said = &cell[cell.find('`')? + 1..cell.rfind('`')?];
    if OTHERS.iter().any(|begin| said.starts_with(*begin)) {
        return None;
    }
    let said = LABELS.iter().find_map(|label| said.strip_prefix(*label)).unwrap_or(said);
    let said = EXAMPLES
        .iter()
        .fold(said.to_owned(), |said, (example, stands_for)| said.replace(*example, stands_for));
    let around = |c: char| " .,;:()".contains(c);
    let trimmed = said.split(['…', '`']).map(|piece| piece.trim_matches(around));
    Some(trimmed.filter(|piece| piece.len() >= SHORTEST).map(str::to_owned).collect())
}

#[test]
fn what_the_readme_says_that_people_see_is_what_is_said() {
    let mut all = Vec::new();
    for folder in SAYS {
        files(&root().join(folder), &mut all);
    }
    let texts = all.iter().map(|path| std::fs::read(path).expect("a file"));
    let texts: Vec<String> =
        texts.map(|bytes| without_names(&joined(&String::from_utf8_lossy(&bytes)))).collect();
    let is_there = |piece: &str| texts.iter().any(|text| text.contains(piece));
    // A reason is said by somebody else than what it is the reason of.
    let is_said = |piece: &str| is_there(piece) || piece.split(": ").all(is_there);

    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let (_, table) =
        readme.split_once("| you see | what it is, and what to type |\n| --- | --- |\n").expect("the table");
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    let ours: Vec<(&str, Vec<String>)> = rows.iter().filter_map(|row| Some((*row, pieces(row)?))).collect();
    assert!(rows.len() > 20 && ours.len() == rows.len() - OTHERS.len(), "{} of {}", ours.len(), rows.len());
    for (row, pieces) in ours {
        assert!(!pieces.is_empty(), "nothing of it can be looked for: {row}");
        for piece in pieces {
            assert!(is_said(&piece), "nobody says `{piece}`: {row}");
        }
    }
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
    let page = "a `mimir exec\nls -la` b\n```console\n$ mimir cron list    # when\n$ mimir a | cat\nmimir b\n```\n`mimir c --d[=E]`";
    assert_eq!(typed_in_page(page), ["cron list", "a", "exec ls -la", "c --d=E"]);
    let text = "say(\"it: `mimir send \\\"a \\\n     b\\\"`, or `mimir\n ps`\")";
    assert_eq!(typed(text), ["send \"a b\""]);
}

//! Names that were given up stay away, and comments speak only of documents that are there.

use std::collections::BTreeSet;
use std::fs;

use super::source::{files, program, root};

/// The names that docs/glossary.md calls retired: types, and modules.
fn retired() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary");
    let list = text.split("## Retired\n").nth(1).expect("the list of retired names");
    let names = list.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn retired_names_do_not_come_back() {
    let retired = retired();
    assert!(retired.len() > 20, "only {} names were found; the glossary is read wrongly", retired.len());
    let mut offences = Vec::new();
    for file in program() {
        offences.extend(
            file.module
                .iter()
                .filter(|name| retired.contains(*name))
                .map(|name| format!("{}: a module called `{name}`", file.path)),
        );
        let code = file.code();
        let words: Vec<&str> =
            code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            if matches!(pair[0], "struct" | "enum" | "trait" | "type") && retired.contains(pair[1]) {
                offences.push(format!("{}: a type called `{}`", file.path, pair[1]));
            }
        }
    }
    assert!(offences.is_empty(), "docs/glossary.md says what to call them:\n{}", offences.join("\n"));
}

/// What frames hold, and the repository does not.
const OF_FRAMES: &str = "MIMIR.md";

/// The documents that a comment names.
fn documents(comment: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let words = comment.split(|c: char| !is_name(c)).map(|word| word.trim_end_matches('.'));
    words.filter(|word| word.ends_with(".md") && word.len() > 3 && *word != OF_FRAMES).collect()
}

#[test]
fn comments_refer_to_what_the_repository_holds() {
    let folders = ["src", "crates", "tests/it", "fuzz", "images"];
    let mut offences = Vec::new();
    let mut seen = 0;
    for path in folders.iter().flat_map(|folder| files(folder, "rs")) {
        let text = fs::read_to_string(&path).expect("readable source");
        let at = path.strip_prefix(root()).expect("below the root").display();
        for (number, line) in text.lines().enumerate() {
            // Comments of their own line: a text in quotes may say what it likes.
            let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
            seen += 1;
            let missing = documents(comment).into_iter().filter(|name| !root().join(name).is_file());
            offences.extend(missing.map(|name| format!("{at}:{}: there is no {name}", number + 1)));
            if comment.contains('§') {
                offences.push(format!("{at}:{}: a paragraph of what?", number + 1));
            }
        }
    }
    assert!(seen > 3000, "the search found only {seen} lines of comments; it does not work any more");
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

//! Reads the program's own source: which files there are, which room each is of, and which paths it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the program.
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// The room it is of: the first module below the root of its crate, or the crate itself.
    pub room: String,
    /// Its module, from the root of its crate: `["frames", "driver"]`. Empty for `lib.rs` and `main.rs`.
    pub module: Vec<String>,
    pub text: String,
}

/// A path that a file names, from the root of the program: `["store", "frames", "get"]`.
pub type Named = Vec<String>;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository with that ending, in order.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if path.is_dir() {
            let below = path.strip_prefix(root()).expect("below the root").display().to_string();
            found.extend(files(&below, ending));
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The package and its crates.
pub fn program() -> Vec<Source> {
    let crates = [
        ("src", ""),
        ("crates/model/src", "model"),
        ("crates/client/src", "client"),
        ("crates/mcp/src", "mcp"),
        ("crates/tui/src", "tui"),
    ];
    crates
        .into_iter()
        .flat_map(|(folder, of)| files(folder, "rs").into_iter().map(move |f| read(folder, of, &f)))
        .collect()
}

fn read(folder: &str, of_crate: &str, file: &Path) -> Source {
    let inside = file.strip_prefix(root().join(folder)).expect("below the folder").with_extension("");
    let mut module: Vec<String> =
        inside.components().map(|part| part.as_os_str().to_str().expect("a name").to_owned()).collect();
    if module.last().is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    // Tests in a file of their own beside what they test are a part of that.
    let tested = module.last().and_then(|last| last.strip_suffix("_tests")).map(str::to_owned);
    if let Some(tested) = tested.filter(|tested| file.with_file_name(format!("{tested}.rs")).is_file()) {
        module.pop();
        module.extend([tested, "tests".to_owned()]);
    }
    let first = module.first().map(String::as_str);
    let room = match (of_crate, first) {
        ("model", Some("wire")) => "wire",
        ("", first) => first.unwrap_or_default(),
        (of_crate, _) => of_crate,
    };
    let path = file.strip_prefix(root()).expect("below the root").display().to_string();
    Source { path, room: room.to_owned(), module, text: fs::read_to_string(file).expect("readable source") }
}

impl Source {
    /// Of which crate it is, but for the program itself.
    fn of_crate(&self) -> Option<&str> {
        self.path.strip_prefix("crates/").and_then(|rest| rest.split('/').next())
    }

    /// The text without comments and texts in quotes.
    pub fn code(&self) -> String {
        let mut code = String::new();
        let mut quoted = false;
        for line in self.text.lines() {
            let (mut previous, mut chars) = (' ', line.chars().peekable());
            while let Some(c) = chars.next() {
                match c {
                    '\\' if quoted => drop(chars.next()),
                    '"' if previous != '\'' || quoted => quoted = !quoted,
                    '/' if !quoted && chars.peek() == Some(&'/') => break,
                    c if !quoted => code.push(c),
                    _ => {}
                }
                previous = c;
            }
            code.push('\n');
        }
        code
    }

    /// The code without its tests.
    pub fn code_of_the_program(&self) -> String {
        let code = self.code();
        code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
    }

    /// Every path that `code` (of this file) names and that begins with `crate`, `super`, `self`, one of our crates
    /// or one of `children`, from the root of the program on.
    pub fn named(&self, code: &str, children: &BTreeSet<String>) -> BTreeSet<Named> {
        let mut found = BTreeSet::new();
        // How deep in modules written into this file we are.
        let (mut depth, mut inline): (usize, Vec<usize>) = (0, Vec::new());
        let tokens = tokens(code);
        let mut at = 0;
        while at < tokens.len() {
            let token = tokens[at].as_str();
            match token {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    inline.retain(|opened| *opened <= depth);
                }
                "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => inline.push(depth + 1),
                _ => {}
            }
            let is_ours = ["mimir_model", "mimir_client", "mimir_mcp", "mimir_tui"].contains(&token);
            let begins = is_ours || matches!(token, "crate" | "super" | "self") || children.contains(token);
            let is_path = tokens.get(at + 1).is_some_and(|next| next == "::");
            let goes_on = at > 0 && matches!(tokens[at - 1].as_str(), "::" | ".");
            if begins && is_path && !goes_on {
                let mut here = self.module.clone();
                here.extend(inline.iter().map(|_| "{}".to_owned()));
                let mut paths = Vec::new();
                expand(&tokens, &mut at.clone(), &mut Vec::new(), &mut paths);
                found.extend(paths.into_iter().filter_map(|path| self.absolute(&here, &path)));
            }
            at += 1;
        }
        found
    }

    fn absolute(&self, here: &[String], path: &[String]) -> Option<Named> {
        let (first, rest) = path.split_first()?;
        let from = |base: &[String], rest: &[String]| Some([base, rest].concat());
        let inside = match first.as_str() {
            "mimir_model" if rest.first().is_some_and(|next| next == "wire") => return from(&[], rest),
            "mimir_model" => return from(&["model".to_owned()], rest),
            "mimir_client" => return from(&["client".to_owned()], rest),
            "mimir_mcp" => return from(&["mcp".to_owned()], rest),
            "mimir_tui" => return from(&["tui".to_owned()], rest),
            "crate" => from(&[], rest),
            "self" => from(here, rest),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let base = here.len().checked_sub(ups)?;
                from(&here[..base], &path[ups..])
            }
            _ => from(here, path),
        }?;
        match self.of_crate() {
            Some("model") if inside.first().is_none_or(|first| first != "wire") => {
                from(&["model".to_owned()], &inside)
            }
            Some(of @ ("client" | "mcp" | "tui")) => from(&[of.to_owned()], &inside),
            _ => Some(inside),
        }
    }
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = c.to_string();
            while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
            found.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            found.push("::".to_owned());
        } else if !c.is_whitespace() {
            found.push(c.to_string());
        }
    }
    found
}

/// The paths that begin at a token: one, or several when they end in a group.
fn expand(tokens: &[String], at: &mut usize, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let length = before.len();
    loop {
        match tokens.get(*at).map(String::as_str) {
            Some("{") => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    let begun = *at;
                    expand(tokens, at, before, found);
                    // `as name`, and what else stands between two members of a group.
                    while tokens.get(*at).is_some_and(|token| !matches!(token.as_str(), "," | "}")) {
                        *at += 1;
                    }
                    if tokens.get(*at).is_some_and(|token| token == ",") || *at == begun {
                        *at += 1;
                    }
                }
                *at += 1;
                break;
            }
            Some(word) if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                before.push(word.to_owned());
                *at += 1;
                if tokens.get(*at).is_some_and(|next| next == "::") {
                    *at += 1;
                    continue;
                }
                found.push(before.clone());
                break;
            }
            // `*`, or `::<`.
            _ => {
                found.push(before.clone());
                break;
            }
        }
    }
    before.truncate(length);
}

/// Which file holds what a module shows under a name of its own: `pub use requests::Request;`.
pub fn shown(code: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let tokens = tokens(code);
    for at in 0..tokens.len() {
        if tokens[at] != "use" || at == 0 || !matches!(tokens[at - 1].as_str(), "pub" | ")") {
            continue;
        }
        let mut paths = Vec::new();
        expand(&tokens, &mut (at + 1), &mut Vec::new(), &mut paths);
        for path in paths {
            if let Some(name) = path.last() {
                found.insert(name.clone(), path);
            }
        }
    }
    found
}

#[test]
fn paths_are_read_with_groups_and_parents_and_without_comments() {
    let text = "use crate::{model::ids, store::{self, Tx}, wire as w};\n// crate::cli is not meant\ncrate::clock::now();\n\
                mod tests { use super::*; use super::super::super::feed::x; let a = \"crate::cli::b\"; }";
    let file = Source {
        path: "src/frames/steps.rs".into(),
        room: "frames".into(),
        module: vec!["frames".into(), "steps".into()],
        text: text.into(),
    };
    let found = file.named(&file.code(), &BTreeSet::new());
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    let expected =
        ["clock::now", "feed::x", "frames::steps", "model::ids", "store::Tx", "store::self", "wire"];
    assert_eq!(found, expected);
}

//! Keeps the direction rule honest: a module may import only from layers with a smaller number.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The table in ARCHITECTURE.md. A module may use modules of the rows above its own, not of its own row.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["wire", "clock", "supervisor", "outbound", "telemetry"],
    &["config", "store", "runtime", "link", "opencode", "models", "client"],
    &["tmux", "events"],
    &["frames", "access", "notify"],
    &["approvals", "sessions"],
    &["feed"],
    &["delivery", "doctor"],
    &["status"],
    &["upkeep"],
    &["gateway", "broker"],
    &["daemon"],
    &["cli"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn rust_files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files_under(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found
}

/// The top-level module a file belongs to; none for `lib.rs` and `main.rs`.
fn top_module(source: &Path, file: &Path) -> Option<String> {
    let inside = file.strip_prefix(source).ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs");
    (!matches!(first, "lib" | "main")).then(|| first.to_owned())
}

/// Every `crate::x`, also inside `use crate::{x, y::z}`.
fn crate_paths_mentioned(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        found.insert(word(&item));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                item.push(c);
            }
            found.insert(word(&item));
        } else {
            found.insert(word(rest));
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_only_look_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut offences = Vec::new();
    let mut seen = 0;
    for file in rust_files_under(&source) {
        let Some(from) = top_module(&source, &file) else { continue };
        let from_layer = layer_of(&from).unwrap_or_else(|| panic!("`{from}` is in no layer of the table"));
        let text = fs::read_to_string(&file).expect("readable source");
        for to in crate_paths_mentioned(&text) {
            // Macros and items of the crate root have no layer.
            let Some(to_layer) = layer_of(&to) else { continue };
            seen += 1;
            if from != to && to_layer >= from_layer {
                offences.push(format!("{}: `{from}` must not use `{to}`", file.display()));
            }
        }
    }
    assert!(seen > 20, "the search found only {seen} imports; it does not work any more");
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn words_of_one_box_stay_in_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rules: &[(&str, &[&str])] = &[
        ("rusqlite::", &["store"]),
        ("bollard::", &["runtime"]),
        ("axum::", &["gateway"]),
        ("clap::", &["cli"]),
        ("tmux_interface::", &["tmux"]),
    ];
    let mut offences = Vec::new();
    for file in rust_files_under(&source) {
        let Some(module) = top_module(&source, &file) else { continue };
        let text = fs::read_to_string(&file).expect("readable source");
        for (word, homes) in rules {
            if text.contains(word) && !homes.contains(&module.as_str()) {
                offences.push(format!("{}: `{word}` belongs to {homes:?}", file.display()));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn the_search_reads_groups_and_ignores_comments() {
    let text =
        "use crate::{model::ids, store::{self, Tx}, wire};\n// crate::cli is not meant\ncrate::clock::now();";
    let found: Vec<String> = crate_paths_mentioned(text).into_iter().collect();
    assert_eq!(found, ["clock", "model", "store", "wire"]);
}

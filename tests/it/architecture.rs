//! Keeps the structure honest: who may know whom, where the words of a library stay, which files know each other in a
//! circle, which names are retired, and which documents comments may speak of.

mod circles;
mod doors;
mod readme;
mod source;
mod threats;
mod words;

use std::collections::BTreeSet;
use std::fs;

use source::{program, root};

/// The rows of the table in ARCHITECTURE.md. A module may use modules of the rows above its own, not of its own row.
fn layers() -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let table = text.split("| --- | --- |\n").nth(1).expect("the table of the layers");
    let rows = table.lines().take_while(|line| line.starts_with("| "));
    let names = |row: &str| -> Vec<String> {
        let cell = row.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
        cell.split_whitespace().map(|name| name.trim_matches('`').to_owned()).collect()
    };
    rows.map(names).collect()
}

fn layer_of(layers: &[Vec<String>], room: &str) -> Option<usize> {
    layers.iter().position(|layer| layer.iter().any(|name| name == room))
}

#[test]
fn the_table_has_every_room_once_and_no_other() {
    let mut in_table: Vec<String> = layers().concat();
    let rooms: BTreeSet<String> =
        program().into_iter().map(|file| file.room).filter(|room| !room.is_empty()).collect();
    in_table.sort();
    assert_eq!(in_table, rooms.into_iter().collect::<Vec<_>>());
}

#[test]
fn modules_only_look_down() {
    let layers = layers();
    let files = program();
    // What a room shows of another one is that other one's.
    let shown: Vec<_> = files
        .iter()
        .filter(|file| file.module.len() == 1 && file.room == file.module[0])
        .flat_map(|file| {
            let shown = source::shown(&file.code());
            let of_others =
                shown.into_iter().filter(|(_, path)| path.first().is_some_and(|first| first == "crate"));
            of_others.map(|(name, path)| (vec![file.room.clone(), name], path[1].clone())).collect::<Vec<_>>()
        })
        .collect();
    let (mut offences, mut seen) = (Vec::new(), 0);
    for file in files.iter().filter(|file| !file.room.is_empty()) {
        let from = layer_of(&layers, &file.room)
            .unwrap_or_else(|| panic!("`{}` is in no layer of the table", file.room));
        for path in file.named(&file.code(), &BTreeSet::new()) {
            let Some(first) = path.first() else {
                offences.push(format!("{}: looks at the whole program", file.path));
                continue;
            };
            let behind = shown.iter().find(|(name, _)| path.starts_with(name)).map(|(_, room)| room);
            for to in [Some(first), behind].into_iter().flatten().filter(|to| **to != file.room) {
                seen += 1;
                match layer_of(&layers, to) {
                    Some(to_layer) if to_layer < from => {}
                    Some(_) => offences.push(format!(
                        "{}: `{}` must not use `{}`",
                        file.path,
                        file.room,
                        path.join("::")
                    )),
                    None => offences.push(format!("{}: `{}` is of no room", file.path, path.join("::"))),
                }
            }
        }
    }
    assert!(seen > 300, "the search found only {seen} imports; it does not work any more");
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

/// What the root shows besides its rooms would be a way around the rows.
#[test]
fn the_root_shows_rooms_and_crates_alone() {
    for file in program().iter().filter(|file| file.path == "src/lib.rs") {
        let shown: Vec<String> =
            source::shown(&file.code()).into_values().map(|path| path.join("::")).collect();
        assert_eq!(shown, ["mimir_client", "mimir_model", "mimir_model::wire"]);
    }
}

#[test]
fn the_crates_know_themselves_and_the_model_alone() {
    for (manifest, may) in [
        ("crates/model/Cargo.toml", &[][..]),
        ("crates/client/Cargo.toml", &["mimir-model"]),
        ("crates/mcp/Cargo.toml", &["mimir-client", "mimir-model"]),
        ("crates/tui/Cargo.toml", &["mimir-client", "mimir-model"]),
    ] {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
        let ours = text
            .lines()
            .filter_map(|line| line.split(['=', '.', ' ']).next())
            .filter(|name| name.starts_with("mimir"));
        assert_eq!(ours.collect::<Vec<_>>(), may, "{manifest}");
    }
}

#[test]
fn words_of_one_box_stay_in_it() {
    let rules: &[(&str, &[&str])] = &[
        ("rusqlite", &["src/store/", "crates/model/src/sqlite.rs"]),
        ("bollard", &["src/runtime/"]),
        ("axum", &["src/gateway/"]),
        ("clap", &["src/cli/"]),
        ("tmux_interface", &["src/tmux/"]),
        ("ratatui", &["crates/tui/src/"]),
        ("rmcp", &["crates/mcp/src/"]),
    ];
    let mut offences = Vec::new();
    for file in program() {
        let code = file.code();
        for (word, homes) in rules {
            let is_there = code.contains(&format!("{word}::")) || code.contains(&format!("use {word} "));
            if is_there && !homes.iter().any(|home| file.path.starts_with(home)) {
                offences.push(format!("{}: `{word}` belongs to {homes:?}", file.path));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn how_a_frame_is_reached_is_the_engines_affair() {
    // Words for the folder of sockets and for what a frame reads at its start, and for who opens them.
    let words = [
        "runtime::link",
        "agent.sock",
        "broker.sock",
        "preview.sock",
        "start/password",
        "join(\"link\")",
        "join(\"start\")",
    ];
    let mut offences = Vec::new();
    for file in program().into_iter().filter(|file| !matches!(file.room.as_str(), "runtime" | "model")) {
        let code = file.code();
        let found = words.iter().filter(|word| code.contains(**word));
        offences.extend(found.map(|word| format!("{}: `{word}`", file.path)));
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

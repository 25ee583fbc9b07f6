//! Files of one room that know each other in a circle can only be read, and changed, together.
//!
//! A file may know the modules around it: what they hold is what their parts share. The arrow to a part counts.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, program, shown};

/// Circles that are accepted, each with what it is. Give the file that is first in the alphabet.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "src/broker/admit.rs",
        "the two kinds of requests, and the questions about them, need what their connection is for, and it calls them",
    ),
    ("src/config/error.rs", "a problem says where its value came from, and reading values finds problems"),
    (
        "src/config/frame_file.rs",
        "a file is checked against the table of keys, which is made from its declaration",
    ),
    ("src/store/events.rs", "rows of events, the ids reserved for them, and when they go"),
    ("src/store/frames.rs", "a frame is told of when its ports are exchanged"),
];

/// Who knows whom, by path.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Which files of its own room a file names something of.
fn graph(files: &[Source]) -> Graph {
    let by_module: BTreeMap<Vec<String>, &Source> =
        files.iter().map(|file| ([vec![file.room.clone()], file.module.clone()].concat(), file)).collect();
    let shown: BTreeMap<&str, BTreeMap<String, Vec<String>>> =
        files.iter().map(|file| (file.path.as_str(), shown(&file.code_of_the_program()))).collect();
    let mut graph = Graph::new();
    let is_test = |file: &Source| file.module.last().is_none_or(|last| last.ends_with("tests"));
    for file in files.iter().filter(|file| !is_test(file)) {
        let here = [vec![file.room.clone()], file.module.clone()].concat();
        let children: BTreeSet<String> = by_module
            .keys()
            .filter(|module| module.len() == here.len() + 1 && module.starts_with(&here))
            .filter_map(|module| module.last().cloned())
            .collect();
        // What a module only shows, it does not use.
        let code: String = file
            .code_of_the_program()
            .split_inclusive(';')
            .filter(|piece| {
                let piece = piece.trim_start();
                !(piece.contains("pub use ") || (piece.contains("pub(") && piece.contains(") use ")))
            })
            .collect();
        let mut known = BTreeSet::new();
        for path in file.named(&code, &children) {
            if let Some(to) = holder(&by_module, &shown, &file.room, path, 0)
                && to.room == file.room
                && !file.module.starts_with(&to.module)
            {
                known.insert(to.path.clone());
            }
        }
        graph.insert(file.path.clone(), known);
    }
    graph
}

/// The file that holds what a path names.
fn holder<'a>(
    by_module: &BTreeMap<Vec<String>, &'a Source>,
    shown: &BTreeMap<&str, BTreeMap<String, Vec<String>>>,
    room: &str,
    path: Vec<String>,
    steps: usize,
) -> Option<&'a Source> {
    let whole = [vec![room.to_owned()], path].concat();
    let length = (1..=whole.len()).rev().find(|length| by_module.contains_key(&whole[..*length]))?;
    let file = by_module[&whole[..length]];
    let Some(name) = whole.get(length) else { return Some(file) };
    let Some(behind) = shown[file.path.as_str()].get(name).filter(|_| steps < 4) else { return Some(file) };
    let parent = &file.module;
    let (first, rest) = behind.split_first()?;
    let path = match first.as_str() {
        "crate" => rest.to_vec(),
        "self" => [parent.as_slice(), rest].concat(),
        "super" => [&parent[..parent.len().checked_sub(1)?], rest].concat(),
        _ => [parent.as_slice(), behind.as_slice()].concat(),
    };
    holder(by_module, shown, room, path, steps + 1)
}

/// The circles: every set of files each of which reaches every other.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> = graph
        .keys()
        .map(|from| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(file) = next.pop() {
                next.extend(graph.get(file).into_iter().flatten().filter(|to| seen.insert(*to)));
            }
            (from, seen)
        })
        .collect();
    let circle_of = |file: &String| -> BTreeSet<String> {
        let back = |other: &&&String| reach.get(**other).is_some_and(|seen| seen.contains(file));
        reach[file].iter().filter(back).map(|other| (*other).clone()).collect()
    };
    let all: BTreeSet<BTreeSet<String>> =
        graph.keys().map(circle_of).filter(|circle| circle.len() > 1).collect();
    all.into_iter().collect()
}

#[test]
fn files_of_a_room_do_not_know_each_other_in_circles() {
    let graph = graph(&program());
    let arrows: usize = graph.values().map(BTreeSet::len).sum();
    assert!(arrows > 300, "the search found only {arrows} arrows; it does not work any more");
    let found = circles(&graph);
    assert!(ACCEPTED.iter().all(|(_, why)| !why.is_empty()), "each with a reason");
    let name = |circle: &BTreeSet<String>| circle.first().cloned().unwrap_or_default();
    let accepted: BTreeSet<&str> = ACCEPTED.iter().map(|(first, _)| *first).collect();
    let describe = |circle: &BTreeSet<String>| {
        let arrows: Vec<String> = circle
            .iter()
            .map(|from| {
                let to: Vec<&str> = graph[from].intersection(circle).map(String::as_str).collect();
                format!("    {from} -> {}", to.join(" "))
            })
            .collect();
        format!("{} files:\n{}", circle.len(), arrows.join("\n"))
    };
    let new: Vec<String> =
        found.iter().filter(|circle| !accepted.contains(name(circle).as_str())).map(describe).collect();
    assert!(new.is_empty(), "circles that nobody has accepted:\n{}", new.join("\n"));
    let there: BTreeSet<String> = found.iter().map(name).collect();
    let gone: Vec<&&str> = accepted.iter().filter(|first| !there.contains(**first)).collect();
    assert!(gone.is_empty(), "these circles are gone, and so should be their line here: {gone:?}");
}

#[test]
fn a_circle_is_found_and_a_chain_is_none() {
    let arrow = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
    let graph =
        Graph::from([arrow("a", &["b"]), arrow("b", &["c"]), arrow("c", &["b", "d"]), arrow("d", &[])]);
    assert_eq!(circles(&graph), [BTreeSet::from(["b".to_owned(), "c".to_owned()])]);
}

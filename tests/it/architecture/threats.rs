//! The tests that docs/threats.md names are there.

use std::fs;

use super::source::{files, root};

#[test]
fn every_threat_names_tests_and_those_are_there() {
    let page = fs::read_to_string(root().join("docs/threats.md")).expect("the page");
    let (_, table) = page.split_once("| --- | --- | --- |\n").expect("the table");
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    let all: String = ["src", "crates", "tests/it"]
        .into_iter()
        .flat_map(|folder| files(folder, "rs"))
        .map(|file| fs::read_to_string(file).expect("a file"))
        .collect();
    for row in rows {
        let (_, named) = row.trim_end_matches(" |").rsplit_once(" | ").expect("three cells");
        let tests: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        assert!(tests.len() > 1, "too few in: {row}");
        for test in tests {
            assert!(all.contains(&format!("fn {test}()")), "there is no test `{test}`");
        }
    }
}

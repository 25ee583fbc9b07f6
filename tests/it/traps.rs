//! `docs/traps.md` names the test of each trap, `docs/field-cases.md` those of each field case; here it is checked that these
//! tests exist, and that those of a field case say so.

use std::fs;
use std::path::Path;

/// The rows of a table of `docs/`, each with the tests that it names and their sources.
fn rows(document: &str) -> Vec<(String, Vec<(String, String)>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join(document)).expect("the table");
    let is_row =
        |line: &&str| line.starts_with("| ") && !line.starts_with("| ---") && !line.ends_with("| tests |");
    let mut rows = Vec::new();
    for row in table.lines().filter(is_row) {
        let tests: Vec<(&str, &str)> = row.split('`').filter_map(|word| word.split_once(".rs::")).collect();
        assert!(!tests.is_empty(), "no test is named in: {row}");
        let found = tests.into_iter().map(|(file, test)| {
            let path = root.join(format!("{file}.rs"));
            let source =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(source.contains(&format!("fn {test}(")), "{} has no test {test}", path.display());
            (test.to_owned(), source)
        });
        rows.push((row.to_owned(), found.collect()));
    }
    rows
}

#[test]
fn every_trap_is_named_by_a_test_that_exists() {
    let named: usize = rows("docs/traps.md").iter().map(|(_, tests)| tests.len()).sum();
    assert!(named > 40, "only {named} tests were found in the table; it is read wrongly");
}

/// The numbers of the field cases that the comment of a test names.
fn numbers<'a>(source: &'a str, test: &str) -> Vec<&'a str> {
    let (before, _) = source.split_once(&format!("fn {test}(")).expect("the test");
    let comment = before.lines().rev().take_while(|line| !line.trim().is_empty());
    let of_cases = comment.filter(|line| line.starts_with("/// Field case"));
    of_cases
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit()))
        .filter(|word| word.len() == 2)
        .collect()
}

#[test]
fn every_field_case_is_named_in_the_tests_that_play_it() {
    let cases = rows("docs/field-cases.md");
    assert_eq!(cases.len(), 17, "the table is read wrongly");
    for (row, tests) in cases {
        let number = row.trim_start_matches("| ").split(' ').next().unwrap_or_default();
        for (test, source) in tests {
            assert!(numbers(&source, &test).contains(&number), "{test} does not say `Field case {number}`");
        }
    }
}

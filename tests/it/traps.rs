//! `docs/traps.md` names the test of each trap; here it is checked that these tests exist.

use std::fs;
use std::path::Path;

#[test]
fn every_trap_is_named_by_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/traps.md")).expect("the table");
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let tests: Vec<(&str, &str)> = row.split('`').filter_map(|word| word.split_once(".rs::")).collect();
        let is_head = row.ends_with("| tests |");
        assert!(is_head || !tests.is_empty(), "no test is named in: {row}");
        for (file, test) in tests {
            let path = root.join(format!("{file}.rs"));
            let source =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(source.contains(&format!("fn {test}(")), "{} has no test {test}", path.display());
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests were found in the table; it is read wrongly");
}

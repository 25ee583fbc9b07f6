//! What the README shows of `scripts/test` is what that prints, and what that names is there.

use std::fs;
use std::path::Path;

use super::source::root;

/// All text of a folder, one file after another.
fn text_of(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let text = |path: std::path::PathBuf| {
        if path.is_dir() { text_of(&path) } else { fs::read_to_string(&path).unwrap_or_default() }
    };
    entries.map(text).collect::<Vec<_>>().join("\n")
}

/// What it shows, and the words before that.
fn shown() -> (String, String) {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let (_, after) =
        readme.split_once("`./scripts/test` shows in headings").expect("what it says of the tests");
    let (words, rest) = after.split_once("```text\n").expect("a sample");
    let (sample, _) = rest.split_once("```").expect("its end");
    (words.split_whitespace().collect::<Vec<_>>().join(" "), sample.to_owned())
}

#[test]
fn the_headings_of_the_tests_are_in_the_readme() {
    let script = fs::read_to_string(root().join("scripts/test")).expect("the script");
    let headings =
        script.lines().filter_map(|line| line.trim_start().strip_prefix("say \"")?.strip_suffix('"'));
    let headings: Vec<&str> = headings.collect();
    assert!(headings.len() > 5, "{headings:?}");
    let (words, sample) = shown();
    for heading in headings {
        let is_shown = sample.lines().any(|line| line == format!("== {heading}"));
        assert!(is_shown || words.contains(&format!("`{heading}`")), "`{heading}` is not in the README");
    }
}

/// A name that is none runs nothing, and nobody would notice.
#[test]
fn what_is_run_without_root_is_there() {
    let script = fs::read_to_string(root().join("scripts/test")).expect("the script");
    let (_, list) = script.split_once("\nWITHOUT_ROOT=(\n").expect("the list");
    let (list, _) = list.split_once("\n)").expect("its end");
    for name in list.split_whitespace() {
        let (file, test) = name.trim_start_matches("podman::").split_once("::").expect("a file and a test");
        let path = root().join("tests/it/podman").join(file).with_extension("rs");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(test.is_empty() || text.contains(&format!("fn {test}()")), "there is no test {name}");
    }
}

#[test]
fn the_tests_that_the_readme_shows_are_there() {
    let (_, sample) = shown();
    let tests = text_of(&root().join("tests/it"));
    let (run, skipped) = sample.split_once("== skipped on this machine\n").expect("what was skipped");
    let run: Vec<&str> = run.lines().filter(|line| line.starts_with("test ")).collect();
    let skipped: Vec<&str> = skipped.lines().filter(|line| *line != "…").collect();
    assert!(!run.is_empty() && !skipped.is_empty(), "{sample}");
    for line in run {
        let name = line.trim_start_matches("test ").trim_end_matches(" ... ok");
        let name = name.rsplit("::").next().unwrap_or(name);
        assert!(tests.contains(&format!("fn {name}()")), "there is no test {name}");
    }
    for line in skipped {
        let (test, why) = line.split_once(": ").unwrap_or_else(|| panic!("{line} has no reason"));
        for piece in [test, why] {
            assert!(tests.contains(&format!("\"{piece}\"")), "no test says `{piece}`");
        }
    }
    // Figures would be of one day.
    assert!(!sample.contains("test result:"), "{sample}");
}

//! The project's checks: which they are, and what came of them. Run by mimir, inside the frame: the agent is not asked
//! whether they are green. It could have bent them all the same, so the forge's own checks have the last word.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::FixSettings;
use super::{FixDeps, inside};
use crate::model::frame::Frame;
use crate::model::run::CheckResult;
use crate::workflows::stage::StageError;

/// How long a look at the files may take.
const LOOK: Duration = Duration::from_secs(60);
/// Checks that took longer than this are not run once more to prove something.
const CHEAP: Duration = Duration::from_secs(120);
/// So many checks are run.
const MOST: usize = 12;
/// So many changed tests are looked at.
const MOST_TESTS: usize = 50;

/// What lies in the root of the clone, a word a line.
pub(super) const FACTS: &str = r#"
for name in package.json package-lock.json Cargo.toml go.mod pyproject.toml setup.py setup.cfg pytest.ini tox.ini Makefile makefile; do
    [ -f "$name" ] && echo "file $name"
done
[ -f package.json ] && [ -n "$(jq -r '.scripts.test // empty' package.json 2>/dev/null)" ] && echo npm-test
[ -f package.json ] && [ "$(jq -r '((.dependencies // {}) + (.devDependencies // {})) | length' package.json 2>/dev/null)" != 0 ] && echo npm-packages
for name in Makefile makefile; do
    [ -f "$name" ] && grep -qE '^test[[:space:]]*:' "$name" && echo make-test
done
for name in scripts/test script/test test.sh run-tests.sh; do
    [ -f "$name" ] && [ -x "$name" ] && echo "script $name"
done
git ls-files | grep -qE '(^|/)(test_[^/]*|[^/]*_test)\.py$' && echo python-tests
for name in cargo go pytest make npm; do
    command -v "$name" >/dev/null && echo "program $name"
done
python3 -c 'import pytest' 2>/dev/null && echo pytest
exit 0
"#;

/// The checks: those of the workflow, else the project's, else those that its files name. With whose they are.
pub(super) async fn known(
    deps: &FixDeps,
    frame: &Frame,
    settings: &FixSettings,
    of_project: &[String],
) -> Result<(Vec<String>, &'static str), StageError> {
    let (checks, whose) = if !settings.checks.is_empty() {
        (settings.checks.clone(), "as the workflow says")
    } else if !of_project.is_empty() {
        (of_project.to_vec(), "as the project's settings say")
    } else {
        let facts = inside::must(deps, frame, "a look at the files", FACTS, &[], LOOK).await?;
        (detected(&facts), "by the files that are there")
    };
    Ok((checks.into_iter().take(MOST).collect(), whose))
}

/// What the files of a project say about how it is tested. Pure.
fn detected(facts: &str) -> Vec<String> {
    let facts: Vec<&str> = facts.lines().map(str::trim).collect();
    let has = |fact: &str| facts.contains(&fact);
    let scripts = facts.iter().filter_map(|fact| fact.strip_prefix("script "));
    if let Some(script) = scripts.into_iter().next() {
        return vec![format!("./{script}")];
    }
    if has("make-test") && has("program make") {
        return vec!["make test".to_owned()];
    }
    let mut checks = Vec::new();
    if has("npm-test") && has("program npm") {
        if has("npm-packages") {
            let install = if has("file package-lock.json") { "npm ci" } else { "npm install" };
            checks.push(format!("{install} --no-audit --no-fund"));
        }
        checks.push("npm test".to_owned());
    }
    if has("file Cargo.toml") && has("program cargo") {
        checks.push("cargo test".to_owned());
    }
    if has("file go.mod") && has("program go") {
        checks.push("go test ./...".to_owned());
    }
    if has("python-tests") {
        let python = if has("pytest") { "python3 -m pytest -q" } else { "python3 -m unittest discover" };
        checks.push(python.to_owned());
    }
    checks
}

/// What came of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Results {
    /// Each one, in order. What comes behind a red one is run as well.
    pub each: Vec<CheckResult>,
    /// Whether all together took little time.
    pub are_cheap: bool,
}

impl Results {
    pub(super) fn are_green(&self) -> bool {
        self.each.iter().all(|check| check.exit_code == Some(0))
    }

    /// In one line: `npm test is green`.
    pub(super) fn in_words(&self) -> String {
        if self.each.is_empty() {
            return "no checks are known, so none were run".to_owned();
        }
        let each = self.each.iter().map(|check| match check.exit_code {
            Some(0) => format!("`{}` is green", check.command),
            Some(code) => format!("`{}` is red ({code})", check.command),
            None => format!("`{}` took too long and was ended", check.command),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Runs them.
pub(super) async fn run(
    deps: &FixDeps,
    frame: &Frame,
    settings: &FixSettings,
    checks: &[String],
) -> Result<Results, StageError> {
    deps.failpoints.hit("workflows.fix.before_checks").await;
    let began = Instant::now();
    let mut each = Vec::new();
    for check in checks {
        let ran = inside::script(deps, frame, check, &[], settings.check).await?;
        each.push(CheckResult { command: check.clone(), exit_code: ran.code, tail: ran.tail });
    }
    deps.failpoints.hit("workflows.fix.after_checks").await;
    Ok(Results { each, are_cheap: began.elapsed() < CHEAP })
}

/// The changed tests on top of what was there before: `$1` before, `$2` after, then the tests.
pub(super) const BEFORE: &str = r#"
set -eu
rm -f .git/index.lock
before=$1 after=$2
shift 2
git checkout -q -f --detach "$before"
git --literal-pathspecs checkout -q "$after" -- "$@"
"#;
/// And back: `$1` after, `$2` branch. However far an earlier gateway came.
pub(super) const AFTER: &str = r#"
set -eu
rm -f .git/index.lock .git/HEAD.lock
git update-ref "refs/heads/$2" "$1"
git checkout -q -f "$2"
git reset -q --hard "$1"
"#;
/// Names of changed files, with a NUL behind each, as they are: `$1` before, `$2` after.
pub(super) const CHANGED: &str = r#"git diff --name-only -z --diff-filter=AMR "$1" "$2""#;

/// The files are the commit's again, and the branch is there.
pub(super) async fn put_back(
    deps: &FixDeps,
    frame: &Frame,
    commit: &str,
    branch: &str,
) -> Result<(), StageError> {
    inside::must(deps, frame, "putting the fix back", AFTER, &[commit, branch], LOOK).await.map(drop)
}

/// Whether the tests that were changed are red without the rest of the change, said so that it claims no more than was seen.
pub(super) async fn prove(
    deps: &FixDeps,
    frame: &Frame,
    settings: &FixSettings,
    checks: &[String],
    (before, after, branch): (&str, &str, &str),
) -> Result<String, StageError> {
    let changed = inside::must(deps, frame, "a look at the change", CHANGED, &[before, after], LOOK).await?;
    let tests = tests_in(&changed);
    if tests.is_empty() {
        return Ok("no test was added or changed: nothing shows that the problem is gone".to_owned());
    }
    let mut args = vec![before, after];
    args.extend(&tests);
    let taken = inside::with_git(deps, frame, BEFORE, &args, LOOK).await?;
    deps.failpoints.hit("workflows.fix.taken_away").await;
    if !taken.is_fine() {
        put_back(deps, frame, after, branch).await?;
        let why = taken.last_words();
        return Ok(format!("the checks are green; whether they were red before could not be tried: {why}"));
    }
    let mut red = None;
    for check in checks {
        let ran = inside::script(deps, frame, check, &[], settings.check).await;
        match ran {
            Ok(ran) if !ran.is_fine() => {
                red = Some(check);
                break;
            }
            Ok(_) => {}
            Err(error) => {
                put_back(deps, frame, after, branch).await?;
                return Err(error);
            }
        }
    }
    put_back(deps, frame, after, branch).await?;
    let names: Vec<String> = tests.iter().take(5).map(|path| super::fence::line(path, 100)).collect();
    let names = names.join(", ");
    Ok(match red {
        Some(check) => format!("`{check}` is red with {names} and without the fix, and green with both"),
        None => format!(
            "the checks are green with {names} and without the fix as well: these tests do not show the problem"
        ),
    })
}

/// The tests among changed files, as [`CHANGED`] names them. A name that is no text is nobody's argument.
pub(super) fn tests_in(changed: &str) -> Vec<&str> {
    let paths = changed.split('\0').filter(|path| !path.contains(char::REPLACEMENT_CHARACTER));
    paths.filter(|path| is_test(path)).take(MOST_TESTS).collect()
}

/// Whether a path is a test's, by the habits of most languages.
fn is_test(path: &str) -> bool {
    let path = path.to_lowercase();
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let in_folder =
        parts.iter().any(|part| matches!(*part, "test" | "tests" | "spec" | "specs" | "__tests__"));
    in_folder
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_spec")
        || stem == "test"
        || name.contains(".test.")
        || name.contains(".spec.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_by_the_files_that_are_there() {
        let cases = [
            ("", ""),
            ("file Cargo.toml\n", ""),
            ("file Cargo.toml\nprogram cargo\n", "cargo test"),
            ("file package.json\nnpm-test\nprogram npm\n", "npm test"),
            (
                "file package.json\nfile package-lock.json\nnpm-test\nnpm-packages\nprogram npm\n",
                "npm ci --no-audit --no-fund; npm test",
            ),
            ("python-tests\n", "python3 -m unittest discover"),
            ("python-tests\npytest\n", "python3 -m pytest -q"),
            ("make-test\nprogram make\nnpm-test\nprogram npm\n", "make test"),
            ("script scripts/test\nmake-test\nprogram make\n", "./scripts/test"),
        ];
        for (facts, wanted) in cases {
            assert_eq!(detected(facts).join("; "), wanted, "{facts}");
        }
    }

    #[test]
    fn tests_are_known_by_their_names() {
        let tests = [
            "tests/cart.py",
            "src/a.test.ts",
            "shop/test_cart.py",
            "pkg/cart_test.go",
            "spec/x.rb",
            "src/__tests__/a.js",
            "test.sh",
        ];
        assert!(tests.iter().all(|path| is_test(path)));
        let others = ["src/cart.py", "contest.py", "latest/x.go", "testing.md", "src/attest.rs"];
        let wrong: Vec<_> = others.iter().filter(|path| is_test(path)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn what_was_run_is_said_and_no_more() {
        let check = |exit_code| CheckResult { command: "make test".into(), exit_code, tail: String::new() };
        let of = |each: Vec<CheckResult>| Results { each, are_cheap: true };
        assert!(of(Vec::new()).are_green());
        assert!(of(Vec::new()).in_words().contains("none were run"));
        assert_eq!(of(vec![check(Some(0))]).in_words(), "`make test` is green");
        assert!(!of(vec![check(Some(0)), check(None)]).are_green());
        assert!(of(vec![check(Some(2))]).in_words().contains("red (2)"));
    }
}

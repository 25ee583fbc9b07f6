//! What a project's folder says about itself when it is registered: its repository, its main branch, its language, how it is tested.
//!
//! The folder may be an agent's work. Small plain files in it are read, none is obeyed, no program is run, and no link
//! is followed; what was found is shown to the owner, who can say otherwise (`mimir projects set`).

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Frames;
use super::git_config;
use super::git_folder::{self, GitPlace};
use super::workspace::OffLimits;
use crate::config::project_file::read_untrusted;
use crate::model::frame::GitFolder;
use crate::model::git::is_ref_name;
use crate::model::project::{ProjectSettings, SentryProject};

impl Frames {
    /// What a folder says about the project in it.
    pub async fn learn(&self, folder: &str) -> ProjectSettings {
        let (frames, folder) = (self.clone(), PathBuf::from(folder));
        let looked = tokio::task::spawn_blocking(move || look(&folder, frames.inner.off_limits()));
        looked.await.unwrap_or_default()
    }
}

/// Looks.
fn look(folder: &Path, off_limits: OffLimits<'_>) -> ProjectSettings {
    let place = git_folder::look(folder, off_limits);
    let (language, checks) = language_and_checks(folder);
    ProjectSettings {
        repository: git_config::origin(&git_folder::config_of(folder, &place)),
        default_branch: default_branch(folder, &place),
        language: language.map(str::to_owned),
        checks,
        sentry: sentry(folder),
        protected: Vec::new(),
    }
}

fn text(folder: &Path, name: &str) -> Option<String> {
    read_untrusted(&folder.join(name)).ok().flatten()
}

fn has(folder: &Path, name: &str) -> bool {
    std::fs::symlink_metadata(folder.join(name)).is_ok_and(|found| found.is_file())
}

/// The branch that the origin's HEAD was when it was cloned, else `main` or `master` where there is one.
fn default_branch(folder: &Path, place: &GitPlace) -> Option<String> {
    let git = match place {
        GitPlace::Own | GitPlace::Borrows(_) => folder.join(".git"),
        GitPlace::Elsewhere(
            GitFolder::Worktree { common: git, .. } | GitFolder::Submodule { folder: git },
        ) => git.clone(),
        GitPlace::Nowhere | GitPlace::Within(_) | GitPlace::Unusable(_) => return None,
    };
    let head = text(&git, "refs/remotes/origin/HEAD");
    let named = head.as_deref().and_then(|head| head.trim().strip_prefix("ref: refs/remotes/origin/"));
    let packed = text(&git, "packed-refs").unwrap_or_default();
    let is_there = |branch: &&str| {
        ["refs/heads", "refs/remotes/origin"].iter().any(|space| {
            let name = format!("{space}/{branch}");
            has(&git, &name) || packed.lines().any(|line| line.ends_with(&format!(" {name}")))
        })
    };
    let branch = named.or_else(|| ["main", "master", "trunk"].into_iter().find(is_there));
    branch.filter(|branch| is_ref_name(&format!("refs/heads/{branch}"))).map(str::to_owned)
}

/// The first kind of project that fits, with the commands that its tools are known for.
fn language_and_checks(folder: &Path) -> (Option<&'static str>, Vec<String>) {
    let line = |line: &str| vec![line.to_owned()];
    if has(folder, "Cargo.toml") {
        return (Some("rust"), line("cargo test"));
    }
    if has(folder, "go.mod") {
        return (Some("go"), line("go test ./..."));
    }
    if let Some(package) = text(folder, "package.json") {
        return (Some(javascript(folder)), node_checks(folder, &package));
    }
    if ["pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "pytest.ini", "tox.ini"]
        .iter()
        .any(|name| has(folder, name))
    {
        return (Some("python"), line("python3 -m pytest"));
    }
    if has(folder, "Gemfile") {
        let is_rspec = has(folder, ".rspec");
        return (Some("ruby"), line(if is_rspec { "bundle exec rspec" } else { "bundle exec rake test" }));
    }
    if has(folder, "composer.json") {
        return (Some("php"), line("vendor/bin/phpunit"));
    }
    if has(folder, "pom.xml") {
        return (Some("java"), line(if has(folder, "mvnw") { "./mvnw test" } else { "mvn test" }));
    }
    if has(folder, "build.gradle") || has(folder, "build.gradle.kts") {
        return (Some("java"), line(if has(folder, "gradlew") { "./gradlew test" } else { "gradle test" }));
    }
    if has(folder, "mix.exs") {
        return (Some("elixir"), line("mix test"));
    }
    let makefile = ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| text(folder, name));
    match makefile.is_some_and(|text| has_target(&text, "test")) {
        true => (None, line("make test")),
        false => (None, Vec::new()),
    }
}

fn javascript(folder: &Path) -> &'static str {
    if has(folder, "tsconfig.json") { "typescript" } else { "javascript" }
}

/// The script `test`, unless it is the one that says that there is none.
fn node_checks(folder: &Path, package: &str) -> Vec<String> {
    let package: Value = serde_json::from_str(package).unwrap_or_default();
    let script = package["scripts"]["test"].as_str().unwrap_or_default();
    if script.is_empty() || script.contains("no test specified") {
        return Vec::new();
    }
    let program = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lock", "bun run"),
        ("bun.lockb", "bun run"),
    ]
    .into_iter()
    .find(|(lock, _)| has(folder, lock))
    .map_or("npm", |(_, program)| program);
    vec![format!("{program} test")]
}

/// Whether a makefile has a rule for it.
fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| {
        line.split_once(':').is_some_and(|(names, rest)| {
            !line.starts_with(['\t', ' ', '#'])
                && !rest.starts_with('=')
                && names.split_whitespace().any(|name| name == target)
        })
    })
}

/// What Sentry's own tools are told: `defaults.org` and `defaults.project`.
fn sentry(folder: &Path) -> Option<SentryProject> {
    let found = [".sentryclirc", "sentry.properties"].into_iter().find_map(|name| {
        let text = text(folder, name)?;
        let dotted = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix("defaults.")?.strip_prefix(key));
            line.and_then(|rest| rest.trim_start().strip_prefix('=')).map(|value| value.trim().to_owned())
        };
        let of = |key: &str| git_folder::setting(&text, "defaults", key).or_else(|| dotted(key));
        Some(SentryProject { organization: of("org")?, project: of("project")? })
    });
    found.filter(|found| found.is_valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(files: &[(&str, &str)]) -> ProjectSettings {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let (root, home) = (std::fs::canonicalize(folder.path()).expect("there"), Path::new("/nonexistent"));
        look(&root, OffLimits { mimir_home: home, user_home: None })
    }

    const CONFIG: &str = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = git@github.com:me/shop.git\n";

    #[test]
    fn a_clone_says_where_it_is_from_and_what_its_main_branch_is() {
        let head = "ref: refs/remotes/origin/develop\n";
        let found = looked(&[(".git/config", CONFIG), (".git/refs/remotes/origin/HEAD", head)]);
        assert_eq!(found.repository.expect("found").to_string(), "github.com/me/shop");
        assert_eq!(found.default_branch.as_deref(), Some("develop"));
        let packed = "# pack-refs with: peeled\n0123 refs/remotes/origin/master\n";
        let found = looked(&[(".git/config", CONFIG), (".git/packed-refs", packed)]);
        assert_eq!(found.default_branch.as_deref(), Some("master"));
        let found = looked(&[(".git/config", CONFIG), (".git/refs/heads/main", "0123\n")]);
        assert_eq!(found.default_branch.as_deref(), Some("main"));
        let evil = "ref: refs/remotes/origin/../../x;rm\n";
        let found = looked(&[(".git/config", "x"), (".git/refs/remotes/origin/HEAD", evil)]);
        assert_eq!((found.repository, found.default_branch), (None, None));
        assert_eq!(looked(&[]), ProjectSettings::default());
    }

    #[test]
    fn a_project_is_known_by_its_files_and_tested_as_its_tools_do() {
        let of = |files: &[(&str, &str)]| {
            let found = looked(files);
            (found.language.unwrap_or_default(), found.checks.join(" && "))
        };
        let is = |language: &str, check: &str| (language.to_owned(), check.to_owned());
        assert_eq!(of(&[("Cargo.toml", "")]), is("rust", "cargo test"));
        assert_eq!(of(&[("go.mod", "")]), is("go", "go test ./..."));
        assert_eq!(of(&[("pyproject.toml", "")]), is("python", "python3 -m pytest"));
        let tested = r#"{"scripts": {"test": "vitest run"}}"#;
        assert_eq!(of(&[("package.json", tested)]), is("javascript", "npm test"));
        let strict = [("package.json", tested), ("pnpm-lock.yaml", ""), ("tsconfig.json", "{}")];
        assert_eq!(of(&strict), is("typescript", "pnpm test"));
        let none = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
        assert_eq!(of(&[("package.json", none)]), is("javascript", ""));
        assert_eq!(of(&[("package.json", "not JSON")]), is("javascript", ""));
        assert_eq!(of(&[("Makefile", "all: test\n\ntest: all\n\ttrue\n")]), is("", "make test"));
        assert_eq!(of(&[("Makefile", "test := 1\nall:\n\ttest: x\n# test:\n")]), is("", ""));
        assert_eq!(of(&[("README", "")]), is("", ""));
    }

    #[test]
    fn what_sentrys_tools_are_told_is_read() {
        let sentry = |name: &str, text: &str| {
            looked(&[(name, text)]).sentry.map(|found| format!("{}/{}", found.organization, found.project))
        };
        let wanted = Some("acme/shop".to_owned());
        assert_eq!(sentry(".sentryclirc", "[defaults]\norg = acme\nproject = shop\n"), wanted);
        assert_eq!(sentry("sentry.properties", "defaults.org=acme\ndefaults.project=shop\n"), wanted);
        assert_eq!(sentry(".sentryclirc", "[defaults]\norg = acme\n"), None);
        assert_eq!(sentry(".sentryclirc", "[defaults]\norg = ../x\nproject = shop\n"), None);
    }

    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("Cargo.toml")).expect("linked");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("package.json")).expect("linked");
        let off_limits = OffLimits { mimir_home: Path::new("/nonexistent"), user_home: None };
        assert_eq!(look(folder.path(), off_limits), ProjectSettings::default());
    }
}

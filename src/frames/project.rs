//! What a project brings along. Its instructions are text, and reach the model as they would without mimir; its plugins,
//! commands and settings could run or allow things, and stay out until somebody trusts them.

use std::path::{Component, Path};

use super::git_config::HostGit;
use super::git_folder::{self, GitPlace};
use super::project_trust::{self, Found};
use crate::config::project_file::read_untrusted;
use crate::model::container::inside;
use crate::model::frame::GitFolder;
use crate::model::shell;
use crate::model::trust::{Trust, settings_of};

/// Where opencode looks for instructions; only the first that is there counts.
const INSTRUCTIONS: [&str; 3] = ["AGENTS.md", "CLAUDE.md", "CONTEXT.md"];
/// How many files of instructions a project may name.
const MOST_INSTRUCTIONS: usize = 64;
/// The project's own configuration of opencode, which reads comments in each of them.
const SETTINGS: [&str; 4] =
    ["opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"];
/// What keeps opencode from obeying a project. A frame that was made with 0 obeys its project, whatever it becomes.
const LEAVE_OUT: &str = "OPENCODE_DISABLE_PROJECT_CONFIG";

/// Something to say about a new frame: a stable word and a sentence.
pub(super) type Remark = (&'static str, String);

/// Whether opencode takes a variable like this for yes.
fn is_on(env: &[(String, String)], name: &str) -> Option<bool> {
    let value = env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.to_ascii_lowercase())?;
    Some(value == "1" || value == "true")
}

/// Whether a frame was made to obey its project unseen.
pub(super) fn obeys_unseen(env: &[(String, String)]) -> bool {
    is_on(env, LEAVE_OUT) == Some(false)
}

/// The variable that says it to opencode. Empty where the project is obeyed: some of opencode takes any text for yes.
pub(super) fn leave_out(obeyed: bool) -> (String, String) {
    (LEAVE_OUT.to_owned(), if obeyed { "" } else { "1" }.to_owned())
}

/// The files of instructions for opencode, as the frame sees them; one that is not there is no instruction.
/// A project that is obeyed has none here: opencode reads them by itself then.
pub(super) fn instructions(workspace: &Path, env: &[(String, String)], obeyed: bool) -> Vec<String> {
    if obeyed {
        return Vec::new();
    }
    let no_claude = ["OPENCODE_DISABLE_CLAUDE_CODE", "OPENCODE_DISABLE_CLAUDE_CODE_PROMPT"]
        .iter()
        .any(|name| is_on(env, name) == Some(true));
    let mut files = Vec::new();
    for name in INSTRUCTIONS.into_iter().filter(|name| !(no_claude && *name == "CLAUDE.md")) {
        files.push(name.to_owned());
        if workspace.join(name).is_file() {
            break;
        }
    }
    for file in SETTINGS.iter().flat_map(|name| named_in(&workspace.join(name))) {
        // A project could name more than an agent can be started with.
        if files.len() < MOST_INSTRUCTIONS && !files.contains(&file) {
            files.push(file);
        }
    }
    files.into_iter().map(|file| format!("{}/{file}", inside::WORKSPACE)).collect()
}

/// The project's own files that its settings call instructions.
fn named_in(settings: &Path) -> Vec<String> {
    let text = read_untrusted(settings).ok().flatten().unwrap_or_default();
    let settings = settings_of(&text).unwrap_or_default();
    let named = settings.get("instructions").and_then(|named| named.as_array());
    let named = named.into_iter().flatten().filter_map(|one| one.as_str());
    named.filter(|file| is_within(file)).map(|file| file.trim_start_matches("./").to_owned()).collect()
}

/// Whether a pattern names files in the project, and in one folder of it: opencode takes no more of a full path.
fn is_within(file: &str) -> bool {
    let path = Path::new(file);
    let folders = path.parent().map(|parent| parent.to_string_lossy().into_owned()).unwrap_or_default();
    !file.contains("://")
        && !file.starts_with('~')
        && !folders.contains(['*', '?', '[', '{'])
        && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// What is said when a frame is made: what stays out, and whether git works.
pub(super) fn remarks(
    name: &str,
    workspace: &Path,
    git: &GitPlace,
    host: &HostGit,
    env: &[(String, String)],
    left_out: Option<Remark>,
) -> Vec<Remark> {
    let git_works = matches!(git, GitPlace::Own | GitPlace::Elsewhere(_));
    let config = git_folder::config_of(workspace, git);
    let has_identity = host.is_somebody()
        || git_folder::setting(&config, "user", "email").is_some()
        || env.iter().any(|(name, _)| name == "GIT_AUTHOR_EMAIL");
    let mut remarks: Vec<Remark> = left_out.into_iter().collect();
    remarks.extend(about(git).map(|text| ("git", text)));
    if git_works && !has_identity {
        let how = "`git config --global user.name \"Your Name\"` and `git config --global user.email you@example.org`";
        let text = format!(
            "git knows no name for you, so the agent cannot commit: {how}, then `mimir frame restart {name}`"
        );
        remarks.push(("git_identity", text));
    }
    if git_works && host.signs {
        remarks
            .push(("git_signing", "commits made inside are not signed: your key stays outside".to_owned()));
    }
    remarks
}

/// What of a project is left out, and how it gets in. `changed`: what is not as it was when somebody said yes.
pub(super) fn left_out(workspace: &str, found: &Found, trust: Trust, changed: &str) -> Option<Remark> {
    let since = match trust {
        Trust::Untrusted => "left out until you trust the project".to_owned(),
        Trust::Changed => format!(
            "left out: the project's configuration of the agent is not the one you trusted, {changed} changed"
        ),
        Trust::Nothing | Trust::Trusted => return None,
    };
    let mut there = project_trust::in_short(found);
    there.extend(found.obstacles.iter().cloned());
    let look = format!("`mimir projects trust {}`", shell::quoted(workspace));
    let text = format!("{since}: {}; {look} shows what would run and asks", there.join(", "));
    Some(("left_out", text))
}

/// What is to be known about the git of a workspace that has no git folder of its own.
#[must_use]
pub fn about(git: &GitPlace) -> Option<String> {
    match git {
        GitPlace::Nowhere | GitPlace::Own => None,
        GitPlace::Elsewhere(GitFolder::Worktree { common, .. }) => Some(format!(
            "it is a worktree of {}: the frame may write commits and branches there, not its configuration and hooks",
            common.display()
        )),
        GitPlace::Elsewhere(GitFolder::Submodule { folder }) => Some(format!(
            "it is a submodule: git in the frame reads {} and commits nothing; commit outside, or give the frame the \
             whole repository",
            folder.display()
        )),
        GitPlace::Within(root) => {
            let path = root.display().to_string();
            Some(format!(
                "git does not work in it: it is a part of the repository {path}, which the frame does not see; to have \
                 diffs, undo and commits use `--workspace {}`",
                shell::quoted(&path)
            ))
        }
        GitPlace::Borrows(why) | GitPlace::Unusable(why) => Some(format!("git does not work in it: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    fn on(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn the_first_file_of_instructions_counts_and_one_that_comes_later_too() {
        let of = |files: &[(&str, &str)], env: &[(String, String)]| {
            instructions(project(files).path(), env, false)
        };
        let both = [("AGENTS.md", "x"), ("CLAUDE.md", "y")];
        assert_eq!(of(&both, &[]), ["/workspace/AGENTS.md"]);
        assert_eq!(of(&both[1..], &[]), ["/workspace/AGENTS.md", "/workspace/CLAUDE.md"]);
        assert_eq!(of(&[], &[]).len(), 3);
        let no_claude = on("OPENCODE_DISABLE_CLAUDE_CODE", "1");
        assert_eq!(of(&both[1..], &no_claude), ["/workspace/AGENTS.md", "/workspace/CONTEXT.md"]);
        assert!(
            instructions(project(&both).path(), &[], true).is_empty(),
            "opencode reads them by itself then"
        );
    }

    #[test]
    fn the_projects_own_list_names_files_of_the_project_only() {
        let list = r#"{"instructions": ["./docs/rules.md", "docs/*.md", "../x.md", "/etc/passwd", "~/x", "a/**/b.md",
            "https://example.org/x.md", 7], "plugin": ["evil"]}"#;
        let files = instructions(project(&[("AGENTS.md", "x"), ("opencode.json", list)]).path(), &[], false);
        assert_eq!(files, ["/workspace/AGENTS.md", "/workspace/docs/rules.md", "/workspace/docs/*.md"]);
        // As people write them: with comments, and where opencode keeps its own.
        let commented = [
            ("AGENTS.md", "x"),
            ("opencode.jsonc", "// ours\n{ \"instructions\": [\"a.md\", /* later */ ], }"),
            (".opencode/opencode.json", r#"{"instructions": ["b.md", "a.md"] /* the same way */}"#),
        ];
        let files = instructions(project(&commented).path(), &[], false);
        assert_eq!(files, ["/workspace/AGENTS.md", "/workspace/a.md", "/workspace/b.md"]);
        for broken in ["", "{", "[]", "\u{feff}"] {
            let files =
                instructions(project(&[("AGENTS.md", "x"), ("opencode.json", broken)]).path(), &[], false);
            assert_eq!(files, ["/workspace/AGENTS.md"], "{broken:?}");
        }
    }

    #[test]
    fn what_is_left_out_is_said_in_one_line_with_the_way_in() {
        let folder = project(&[("opencode.json", "{}"), (".opencode/plugin/x.js", ""), ("AGENTS.md", "x")]);
        let found = project_trust::look(folder.path());
        let said = |trust| {
            left_out("/my project", &found, trust, ".opencode/plugin/x.js (new)").map(|(_, text)| text)
        };
        assert_eq!(
            said(Trust::Untrusted).expect("something"),
            "left out until you trust the project: .opencode/plugin, opencode.json; \
             `mimir projects trust '/my project'` shows what would run and asks"
        );
        assert!(
            said(Trust::Changed).expect("something").contains(
                "is not the one you trusted, .opencode/plugin/x.js (new) changed: .opencode/plugin"
            )
        );
        assert_eq!(said(Trust::Trusted), None);
        assert_eq!(said(Trust::Nothing), None);
    }

    #[test]
    fn only_a_frame_that_was_made_so_obeys_unseen() {
        assert!(obeys_unseen(&on(LEAVE_OUT, "0")) && obeys_unseen(&on(LEAVE_OUT, "false")));
        assert!(!obeys_unseen(&on(LEAVE_OUT, "1")) && !obeys_unseen(&[]));
        assert_eq!(leave_out(true).1, "", "\"0\" would be yes to a part of opencode");
        assert_eq!(leave_out(false), (LEAVE_OUT.to_owned(), "1".to_owned()));
    }

    #[test]
    fn without_an_identity_somewhere_a_repository_says_what_to_type() {
        let words = |files: &[(&str, &str)], host: &HostGit| -> Vec<&'static str> {
            let folder = project(files);
            let said = remarks("blog", folder.path(), &GitPlace::Own, host, &[], None);
            said.into_iter().map(|(word, _)| word).collect()
        };
        let nobody = HostGit::default();
        assert_eq!(words(&[], &nobody), ["git_identity"]);
        assert!(words(&[(".git/config", "[user]\n\temail = me@example.org\n")], &nobody).is_empty());
        let signer = HostGit { name: Some("Me".into()), email: Some("me@example.org".into()), signs: true };
        assert_eq!(words(&[], &signer), ["git_signing"]);
    }
}

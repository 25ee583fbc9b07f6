//! The git folder of a workspace that has none of its own: a worktree, or a submodule.
//!
//! The workspace's `.git` is then a file that names a folder elsewhere on this machine, and what it names is mounted.
//! An agent may have written that file, so nothing is believed that it says: the folder must point back to this
//! workspace, which only whoever may write in it can have arranged. What the frame sees of it:
//!
//! ```text
//!                        worktree                                    submodule
//!  /run/mimir/git        the shared folder, read-only                its folder, read-only
//!  …/objects refs        writable: commits, branches, tags           read-only
//!  …/logs                the frame's own, writable                   read-only
//!  …/worktrees/NAME      writable: index, HEAD                       –
//!  …/worktrees/NAME/commondir config.worktree   read-only            –
//!  /workspace/.git       a file of ours that leads to /run/mimir/git, read-only
//! ```
//!
//! Git on the host obeys `config` and runs `hooks`, in every worktree of that repository; hence the two are no frame's
//! to write, nor `commondir`, which would lead git to others, nor the configuration that a worktree may have of its own.
//! It appends to `logs` through links that it finds there, so a frame has its own. A superproject's `git status` goes
//! through its submodules and obeys what their git folders and indexes say, so those can be read and no more.

use std::fs;
use std::io;
use std::os::unix::fs::{chown, lchown};
use std::path::{Path, PathBuf};

use super::workspace::{self, OffLimits};
use crate::config::project_file::read_untrusted;
use crate::model::container::{Mount, inside};
use crate::model::frame::{Frame, GitFolder};

/// Where git finds what belongs to a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitPlace {
    /// The folder is not under git.
    Nowhere,
    /// In the workspace.
    Own,
    /// In the workspace, but not all of it: objects lie where the frame does not see them, for that reason.
    Borrows(String),
    /// In a folder that can be mounted.
    Elsewhere(GitFolder),
    /// The workspace is a part of the repository that begins there.
    Within(PathBuf),
    /// It cannot be found or must not be mounted, for that reason.
    Unusable(String),
}

/// Looks for it. Runs nothing and follows no link that an agent could have made.
#[must_use]
pub fn look(workspace: &Path, off_limits: OffLimits<'_>) -> GitPlace {
    let dot_git = workspace.join(".git");
    let Ok(found) = fs::symlink_metadata(&dot_git) else { return within(workspace, off_limits) };
    if found.is_dir() {
        return borrowed(workspace, &dot_git).map_or(GitPlace::Own, GitPlace::Borrows);
    }
    if !found.is_file() {
        return GitPlace::Unusable("its .git is a link, and what it leads to is not in the frame".to_owned());
    }
    match elsewhere(workspace, &dot_git, off_limits) {
        Ok(folder) => GitPlace::Elsewhere(folder),
        Err(why) => GitPlace::Unusable(why),
    }
}

/// Why the objects of a repository are not all in its workspace (`git clone --shared`, `--reference`). A full path
/// leads nowhere in a frame, wherever it leads outside.
fn borrowed(workspace: &Path, dot_git: &Path) -> Option<String> {
    let objects = dot_git.join("objects");
    let whole = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    let is_inside = |path: &Path| fs::canonicalize(path).is_ok_and(|path| path.starts_with(&whole));
    if fs::symlink_metadata(&objects).is_ok_and(|found| found.is_symlink()) && !is_inside(&objects) {
        return Some("its .git/objects is a link, and what it leads to is not in the frame".to_owned());
    }
    let text = read(&objects.join("info/alternates")).unwrap_or_default();
    let mut others = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let other = others.find(|line| Path::new(line).is_absolute() || !is_inside(&objects.join(line)))?;
    let other: String = other.chars().take(200).collect();
    Some(format!(
        "its repository borrows objects of {other:?}, which is not in the frame; `git repack -a -d` and \
         `rm .git/objects/info/alternates` make it whole"
    ))
}

/// The repository around a folder; one whose root could be no workspace either is nobody's advice.
fn within(workspace: &Path, off_limits: OffLimits<'_>) -> GitPlace {
    let around = workspace.ancestors().skip(1).find(|folder| folder.join(".git").exists());
    match around.filter(|root| workspace::forbidden(root, off_limits).is_none()) {
        Some(root) => GitPlace::Within(root.to_owned()),
        None => GitPlace::Nowhere,
    }
}

fn elsewhere(workspace: &Path, dot_git: &Path, off_limits: OffLimits<'_>) -> Result<GitFolder, String> {
    let text = read(dot_git).ok_or("its .git cannot be read")?;
    let named = text.strip_prefix("gitdir:").ok_or("its .git is no file of git's")?.trim();
    let folder = fs::canonicalize(workspace.join(named))
        .map_err(|error| format!("its .git names {named:?}, which cannot be used: {error}"))?;
    let worktrees = folder.parent().filter(|parent| parent.ends_with("worktrees"));
    let (common, found) = match (worktrees.and_then(Path::parent), folder.file_name()) {
        (Some(common), Some(name)) => {
            let back = read(&folder.join("gitdir")).unwrap_or_default();
            let back = fs::canonicalize(folder.join(back.trim())).ok();
            let name = name.to_str().ok_or("its worktree's name is not valid UTF-8")?.to_owned();
            let git = GitFolder::Worktree { common: common.to_owned(), name };
            (common.to_owned(), back.filter(|back| back == dot_git).map(|_| git))
        }
        _ => {
            let config = read(&folder.join("config")).unwrap_or_default();
            let back = setting(&config, "core", "worktree");
            let back = back.and_then(|back| fs::canonicalize(folder.join(back)).ok());
            let git = GitFolder::Submodule { folder: folder.clone() };
            (folder.clone(), back.filter(|back| back == workspace).map(|_| git))
        }
    };
    let git = found.ok_or_else(|| {
        format!(
            "its .git names {}, which does not point back to it (`git worktree repair`)",
            folder.display()
        )
    })?;
    if let Some(why) = workspace::forbidden(&common, off_limits) {
        return Err(format!("its git folder is {}, and {why}", common.display()));
    }
    // The engine would follow a link. What git makes later, such as the logs, may be missing.
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let sources = mounts(&git, Path::new("/")).into_iter().map(|mount| PathBuf::from(mount.source));
    let has_links = sources.filter(|path| path.starts_with(&common)).any(|path| is_link(&path));
    if has_links
        || !common.join("HEAD").is_file()
        || !["objects", "refs"].iter().all(|name| common.join(name).is_dir())
    {
        return Err(format!("{} is not laid out as a git folder", common.display()));
    }
    common.to_str().ok_or("the path of its git folder is not valid UTF-8")?;
    Ok(git)
}

fn read(path: &Path) -> Option<String> {
    read_untrusted(path).ok().flatten()
}

/// A value in a text of git's configuration, as far as a simple one goes.
#[must_use]
pub fn setting(text: &str, section: &str, key: &str) -> Option<String> {
    let mut is_in = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            is_in = header.trim_end_matches(']').eq_ignore_ascii_case(section);
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_in)
            && name.trim().eq_ignore_ascii_case(key)
        {
            found = Some(value.trim().trim_matches('"').to_owned());
        }
    }
    found
}

/// The configuration that git reads for a workspace, as the repository has it.
#[must_use]
pub fn config_of(workspace: &Path, place: &GitPlace) -> String {
    let folder = match place {
        GitPlace::Own | GitPlace::Borrows(_) => workspace.join(".git"),
        GitPlace::Elsewhere(GitFolder::Worktree { common: folder, .. } | GitFolder::Submodule { folder }) => {
            folder.clone()
        }
        GitPlace::Nowhere | GitPlace::Within(_) | GitPlace::Unusable(_) => return String::new(),
    };
    read(&folder.join("config")).unwrap_or_default()
}

/// Obeyed in one worktree alone, where the repository says so (`extensions.worktreeConfig`).
const OWN_CONFIG: &str = "config.worktree";

/// What a frame is to see of it; `own` is the folder of our files for it.
pub(super) fn mounts(git: &GitFolder, own: &Path) -> Vec<Mount> {
    let dot_git = format!("{}/.git", inside::WORKSPACE);
    let at = |folder: &Path, name: &str, read_only| {
        Mount::new(&folder.join(name), &format!("{}/{name}", inside::GIT), read_only)
    };
    let mut mounts = match git {
        GitFolder::Worktree { common, name } => {
            let tree = format!("worktrees/{name}");
            let mut mounts = vec![Mount::new(common, inside::GIT, true)];
            mounts.extend(["objects", "refs"].map(|name| at(common, name, false)));
            mounts.push(at(own, "logs", false));
            mounts.push(at(common, &tree, false));
            mounts.push(at(common, &format!("{tree}/commondir"), true));
            mounts.push(at(common, &format!("{tree}/{OWN_CONFIG}"), true));
            // Git rewrites it once a day with the path that it sees, and would forget the worktree outside.
            mounts.push(Mount::new(&own.join("gitdir"), &format!("{}/{tree}/gitdir", inside::GIT), false));
            mounts
        }
        GitFolder::Submodule { folder } => {
            vec![Mount::new(folder, inside::GIT, true), at(own, "config", true)]
        }
    };
    mounts.push(Mount::new(&own.join("dotgit"), &dot_git, true));
    mounts
}

/// Writes our files for it, and makes what is mounted and git itself makes only when it is needed.
pub(super) fn prepare(git: &GitFolder, own: &Path, frame: &Frame) -> io::Result<()> {
    let (uid, gid) = (Some(frame.owner_uid), Some(frame.owner_gid));
    fs::create_dir_all(own)?;
    if let GitFolder::Worktree { common, name } = git {
        fs::create_dir_all(own.join("logs"))?;
        chown(own.join("logs"), uid, gid)?;
        // A repository without a commit, or that keeps none, has no place yet to mount them at.
        let theirs = common.join("logs");
        match fs::create_dir(&theirs) {
            Ok(()) => lchown(&theirs, uid, gid)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // Only a new file: through a link that is there already nothing is written.
        let obeyed = common.join("worktrees").join(name).join(OWN_CONFIG);
        match fs::File::create_new(&obeyed) {
            Ok(_) => lchown(&obeyed, uid, gid)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let files = match git {
        GitFolder::Worktree { name, .. } => [
            ("dotgit", format!("gitdir: {}/worktrees/{name}\n", inside::GIT)),
            ("gitdir", format!("{}/.git\n", inside::WORKSPACE)),
        ],
        GitFolder::Submodule { folder } => {
            let config = read(&folder.join("config")).unwrap_or_default();
            let is_place = |line: &str| line.trim_start().to_ascii_lowercase().starts_with("worktree");
            let kept: Vec<&str> = config.lines().filter(|line| !is_place(line)).collect();
            let config = format!("{}\n[core]\n\tworktree = {}\n", kept.join("\n"), inside::WORKSPACE);
            [("dotgit", format!("gitdir: {}\n", inside::GIT)), ("config", config)]
        }
    };
    for (name, text) in files {
        // In place: a container that is there holds on to the file, not to its name.
        fs::write(own.join(name), text)?;
        chown(own.join(name), uid, gid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        /// A repository `main`, as git lays it out, with a worktree `tree` and a submodule `main/sub`.
        fn new() -> Self {
            let place = Self { root: tempfile::tempdir().expect("a temp folder") };
            for git in ["main/.git", "main/.git/modules/sub"] {
                for folder in ["objects", "refs", "logs", "hooks"] {
                    fs::create_dir_all(place.at(git).join(folder)).expect("a folder");
                }
                place.write(&format!("{git}/HEAD"), "ref: refs/heads/main\n");
            }
            place.write("main/.git/config", "[core]\n\tbare = false\n[user]\n\temail = me@example.org\n");
            place.write("main/.git/worktrees/tree/commondir", "../..\n");
            place.write("main/.git/worktrees/tree/gitdir", &format!("{}\n", place.at("tree/.git").display()));
            place
                .write("tree/.git", &format!("gitdir: {}\n", place.at("main/.git/worktrees/tree").display()));
            place.write("main/.git/modules/sub/config", "[core]\n\tworktree = ../../../sub\n");
            place.write("main/sub/.git", "gitdir: ../.git/modules/sub\n");
            place
        }
        fn at(&self, path: &str) -> PathBuf {
            fs::canonicalize(self.root.path()).expect("resolves").join(path)
        }
        fn write(&self, path: &str, text: &str) {
            let path = self.at(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, text).expect("written");
        }
        fn look(&self, folder: &str) -> GitPlace {
            let home = self.at("home");
            look(&self.at(folder), OffLimits { mimir_home: &home, user_home: Some(&home) })
        }
        fn refusal(&self, folder: &str) -> String {
            match self.look(folder) {
                GitPlace::Unusable(why) => why,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn worktrees_submodules_and_parts_of_repositories_are_told_apart() {
        let place = Place::new();
        let common = place.at("main/.git");
        let tree = GitFolder::Worktree { common: common.clone(), name: "tree".to_owned() };
        assert_eq!(place.look("tree"), GitPlace::Elsewhere(tree));
        let sub = GitFolder::Submodule { folder: common.join("modules/sub") };
        assert_eq!(place.look("main/sub"), GitPlace::Elsewhere(sub));
        assert_eq!(place.look("main"), GitPlace::Own);
        fs::create_dir_all(place.at("main/packages/app")).expect("a folder");
        assert_eq!(place.look("main/packages/app"), GitPlace::Within(place.at("main")));
        fs::create_dir(place.at("plain")).expect("a folder");
        assert_eq!(place.look("plain"), GitPlace::Nowhere);
        let email = setting(&config_of(&place.at("tree"), &place.look("tree")), "user", "EMAIL");
        assert_eq!(email.as_deref(), Some("me@example.org"));
    }

    #[test]
    fn a_repository_that_borrows_objects_is_not_whole() {
        let place = Place::new();
        let borrows = |line: &str| {
            place.write("main/.git/objects/info/alternates", line);
            match place.look("main") {
                GitPlace::Own => None,
                GitPlace::Borrows(why) => Some(why),
                other => panic!("{line}: {other:?}"),
            }
        };
        assert_eq!(borrows("# nothing\n\n"), None);
        assert_eq!(borrows("../modules/sub/objects\n"), None, "it is in the frame as well");
        let inside = place.at("main/.git/modules/sub/objects").display().to_string();
        for line in ["../../../other/.git/objects", "/srv/mirror/objects", &inside] {
            let why = borrows(&format!("{line}\n")).unwrap_or_else(|| panic!("{line}"));
            assert!(why.contains(line) && why.contains("git repack"), "{why}");
        }
        let config = config_of(&place.at("main"), &place.look("main"));
        assert!(setting(&config, "user", "email").is_some(), "its settings are there all the same");

        let place = Place::new();
        fs::rename(place.at("main/.git/objects"), place.at("objects")).expect("moved");
        std::os::unix::fs::symlink(place.at("objects"), place.at("main/.git/objects")).expect("a link");
        assert!(matches!(place.look("main"), GitPlace::Borrows(why) if why.contains("is a link")));
    }

    #[test]
    fn a_git_file_that_an_agent_wrote_opens_no_other_folder() {
        let place = Place::new();
        place.write("secrets/HEAD", "x");
        // A folder that knows nothing of the workspace, whatever stands in it.
        for (folder, named) in [
            ("tree", place.at("secrets").display().to_string()),
            ("tree", "../secrets".to_owned()),
            ("tree", "/etc".to_owned()),
            ("main/sub", place.at("main/.git/worktrees/tree").display().to_string()),
        ] {
            place.write(&format!("{folder}/.git"), &format!("gitdir: {named}\n"));
            let why = place.refusal(folder);
            assert!(why.contains("does not point back"), "{named}: {why}");
        }
        place.write("tree/.git", "something else");
        assert!(place.refusal("tree").contains("no file of git's"));
        fs::remove_file(place.at("tree/.git")).expect("removed");
        std::os::unix::fs::symlink(place.at("main/.git"), place.at("tree/.git")).expect("a link");
        assert!(place.refusal("tree").contains("is a link"));
    }

    #[test]
    fn a_folder_that_points_back_must_still_be_one_that_may_be_mounted() {
        let place = Place::new();
        fs::rename(place.at("main"), place.at("home")).expect("moved");
        place.write("tree/.git", &format!("gitdir: {}\n", place.at("home/.git/worktrees/tree").display()));
        assert!(place.refusal("tree").contains("inside mimir's own folder"));

        let place = Place::new();
        fs::remove_dir(place.at("main/.git/objects")).expect("removed");
        std::os::unix::fs::symlink("/etc", place.at("main/.git/objects")).expect("a link");
        assert!(place.refusal("tree").contains("not laid out as a git folder"));
    }

    #[test]
    fn what_git_obeys_on_the_host_is_read_only_inside() {
        let place = Place::new();
        let GitPlace::Elsewhere(tree) = place.look("tree") else { panic!("a worktree") };
        let writable: Vec<String> = mounts(&tree, Path::new("/own"))
            .into_iter()
            .filter(|mount| !mount.read_only)
            .map(|mount| mount.target)
            .collect();
        let at = |name: &str| format!("/run/mimir/git/{name}");
        let expected = ["objects", "refs", "logs", "worktrees/tree", "worktrees/tree/gitdir"].map(at);
        assert_eq!(writable, expected);
        let read_only = |tree: &GitFolder| {
            let all = mounts(tree, Path::new("/own")).into_iter().filter(|mount| mount.read_only);
            all.map(|mount| mount.target).collect::<Vec<_>>()
        };
        assert!(read_only(&tree).contains(&at("worktrees/tree/commondir")), "it would lead git elsewhere");
        assert!(read_only(&tree).contains(&at("worktrees/tree/config.worktree")), "git on the host obeys it");
        let GitPlace::Elsewhere(sub) = place.look("main/sub") else { panic!("a submodule") };
        assert_eq!(
            read_only(&sub),
            ["/run/mimir/git".to_owned(), at("config"), "/workspace/.git".to_owned()]
        );
    }
}

//! What is in a push: commits, changed paths, patches.

use std::collections::BTreeSet;

use super::error::GitError;
use super::inbox::{ASK, Parcel, range};
use super::mirrors::Heads;
use super::program::Job;
use crate::model::git::RefUpdate;

/// The most of the patches that is shown or looked through.
const LONGEST_PATCHES: usize = 4 * 1024 * 1024;

/// The most that is read of one tag.
const LONGEST_TAG: usize = 256 * 1024;

/// What a look at new commits found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// How many are new.
    pub commits: u64,
    /// Every path that one of them changes.
    pub paths: BTreeSet<String>,
    /// Those that are links to somewhere else now.
    pub links: BTreeSet<String>,
    /// Those that are other repositories now.
    pub submodules: BTreeSet<String>,
}

/// How many tags may stand one on top of the other.
const DEEPEST: usize = 3;

/// What branches and tags are moved to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Those that are no commit in the end: a folder, a file, or too many tags on top of each other.
    pub not_commits: BTreeSet<String>,
    /// Those that are tags with something to say.
    pub tags: BTreeSet<String>,
    /// What such tags say, with who made them. A stranger's words.
    pub text: String,
    /// Whether there is more.
    pub is_cut: bool,
}

/// The patches of new commits, with who made them and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patches {
    /// As git prints them. A stranger's words.
    pub text: String,
    /// Whether there is more.
    pub is_cut: bool,
}

impl Parcel {
    /// Looks at what is new.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn look(&self, updates: &[RefUpdate], known: &Heads) -> Result<Looked, GitError> {
        if updates.iter().all(|update| update.to.is_none()) {
            return Ok(Looked::default());
        }
        let job = |args: &[&str]| Job::new("looking at what was sent", &self.folder, args, ASK);
        let counted =
            self.git.run_with(job(&["rev-list", "--count", "--stdin"]), range(updates, known)).await?;
        let commits = String::from_utf8_lossy(&counted).trim().parse().unwrap_or(0);
        // Of a merge, what differs from any of its parents: one whose tree is that of an old parent takes everything back
        // that came since. What was merged in from the first branch is looked at again by that, which is the lesser evil.
        let args =
            ["log", "--stdin", "--raw", "-z", "-m", "--root", "--no-renames", "--format=", "--no-abbrev"];
        let args =
            [&args[..], &["--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature"]].concat();
        let raw = self.git.run_with(job(&args[..]), range(updates, known)).await?;
        Ok(Looked { commits, ..changed(&raw) })
    }

    /// Looks at what branches and tags are to be moved to.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn ends(&self, updates: &[RefUpdate]) -> Result<Ends, GitError> {
        let mut ends = Ends::default();
        for first in updates.iter().filter_map(|update| update.to.as_deref()) {
            let mut at = first.to_owned();
            for depth in 0.. {
                let job = |args: &[&str]| Job::new("looking at what was sent", &self.folder, args, ASK);
                let kind = self.git.run(job(&["cat-file", "-t", &at])).await?;
                match kind.trim_ascii() {
                    b"commit" => break,
                    b"tag" if depth < DEEPEST => {}
                    _ => {
                        ends.not_commits.insert(first.to_owned());
                        break;
                    }
                }
                let said = self.git.run_for(job(&["cat-file", "tag", &at]), Vec::new(), LONGEST_TAG).await?;
                let text = String::from_utf8_lossy(&said.0).into_owned();
                ends.tags.insert(at.clone());
                ends.is_cut |= !said.1;
                ends.text.push_str(&format!("tag object {at}\n{}\n\n", text.trim_end()));
                let target = text.lines().next().and_then(|line| line.strip_prefix("object "));
                at = target.unwrap_or_default().to_owned();
            }
        }
        Ok(ends)
    }

    /// The patches of what is new, and what its tags say. `for_a_search`: also what git takes for no text, everything that
    /// stands in a commit's head, and the names of branches and tags, for whoever looks for something.
    ///
    /// # Errors
    /// See [`GitError`].
    pub async fn patches(
        &self,
        updates: &[RefUpdate],
        known: &Heads,
        for_a_search: bool,
    ) -> Result<Patches, GitError> {
        let names = updates.iter().filter(|_| for_a_search).map(|update| format!("{}\n", update.name));
        let mut text: String = names.collect();
        if updates.iter().all(|update| update.to.is_none()) {
            return Ok(Patches { text, is_cut: false });
        }
        let ends = self.ends(updates).await?;
        text.push_str(&ends.text);
        let mut args =
            vec!["log", "--stdin", "--reverse", "--patch", "-m", "--root", "--no-renames", "--stat=100"];
        args.extend(["--no-ext-diff", "--no-textconv", "--no-color", "--no-show-signature", "--no-decorate"]);
        match for_a_search {
            true => args.extend(["--format=raw", "--text"]),
            false => {
                args.push(
                    "--format=commit %H%nauthor %an <%ae>%ncommitter %cn <%ce>%ndate %ai%n%n%w(0,4,4)%B",
                );
            }
        }
        let job = Job::new("reading what was sent", &self.folder, args, ASK);
        let (said, is_all) = self.git.run_for(job, range(updates, known), LONGEST_PATCHES).await?;
        text.push_str(&String::from_utf8_lossy(&said));
        Ok(Patches { text, is_cut: !is_all || ends.is_cut })
    }
}

/// Reads `--raw -z`: `:100644 100644 <id> <id> M`, a zero, the path, a zero; with one colon more for each further parent.
fn changed(raw: &[u8]) -> Looked {
    let mut looked = Looked::default();
    let mut meta: Option<String> = None;
    for piece in raw.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(piece);
        match meta.take() {
            Some(line) => {
                let path = text.into_owned();
                match new_mode(&line) {
                    Some("120000") => drop(looked.links.insert(path.clone())),
                    Some("160000") => drop(looked.submodules.insert(path.clone())),
                    _ => {}
                }
                looked.paths.insert(path);
            }
            None => {
                meta = Some(text.trim_start_matches('\n').to_owned()).filter(|text| text.starts_with(':'))
            }
        }
    }
    looked
}

/// The mode behind those of the parents.
fn new_mode(line: &str) -> Option<&str> {
    let parents = line.bytes().take_while(|byte| *byte == b':').count();
    line.trim_start_matches(':').split(' ').nth(parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_whatever_their_paths_hold() {
        let raw = b":100644 100644 aa bb M\0src/a b.rs\0:000000 120000 00 cc A\0:odd\n\0:000000 160000 00 dd A\0lib\0\
                    \0::100644 100644 100644 aa bb ee MM\0merged\0";
        let looked = changed(raw);
        let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        assert_eq!(words(&looked.paths), [":odd\n", "lib", "merged", "src/a b.rs"]);
        assert_eq!(words(&looked.links), [":odd\n"]);
        assert_eq!(words(&looked.submodules), ["lib"]);
        assert_eq!(changed(b""), Looked::default());
    }
}

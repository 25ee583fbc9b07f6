//! A frame's own file: `mimir frame create --config FILE`.
//!
//! Written by the user, but it travels to the gateway as text: `${NAME}` is not
//! replaced, because the gateway's environment is not the author's.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, ConfigProblem, none_of};
use super::keys::{self, FRAME_FILE, Key, Owner};
use super::kinds::*;
use super::rules::RuleEntry;
use super::section::{List, Reader, Setting, below, section};
use super::{tree, values};

section! {
    /// What a frame file says; everything may be absent.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct FrameFile {
        name: Optional<Frame>, "The frame's name";
        workspace: Optional<AbsolutePath>, "The folder that is /workspace inside";
        project: Optional<Project>, "A registered project, instead of workspace";
        image: Optional<Text>, "The image it is made from";
        network: Optional<Network>, "What it may reach";
        allow: List<Host>, "Hosts and groups it may reach in mode allow, besides the configured ones";
        providers: List<ProviderName>, "Model providers it may use, besides the configured ones";
        cpus_milli("limits.cpus"): Optional<Cpus>, "Processor cores, in thousandths";
        memory_bytes("limits.memory"): Optional<Memory>, "Memory";
        pids("limits.pids"): Optional<Pids>, "Processes and threads";
        git: Optional<GitWord>, "What becomes of what it pushes";
        repo: Optional<Repo>, "Its repository at a forge, when its folder's origin does not say it";
        env: Environment, "Extra environment inside";
        throwaway: Optional<Switch>, "Whether it destroys itself";
        ttl: Optional<Lifetime>, "After how long";
        start: Optional<Switch>, "Start it at once";
        rules("approvals.rules"): Vec<RuleEntry>,
            "What its agent may do without asking, besides the configured rules; later ones win";
    }
}

impl FrameFile {
    /// Reads and checks a frame file; `path` is what errors call it.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, each with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let node = tree::parse(text, path)?;
        none_of(keys::check(&FRAME_FILE, &node))?;
        let root = Reader::root(&node);
        let file = Self::read(&root)?;
        if file.workspace.is_some() && file.project.is_some() {
            let why = "cannot stand beside `workspace`: a project brings its own folder";
            return Err(root.at("project").invalid(why).into());
        }
        Ok(file)
    }
}

/// Names and values, one line each.
pub struct Environment;

impl Setting for Environment {
    type Value = BTreeMap<String, String>;

    fn keys(path: &str, about: &'static str, owner: Option<Owner>, table: &mut Vec<Key>) {
        <Free as Setting>::keys(&below(path, "*"), about, owner, table);
    }

    fn read(at: &Reader<'_>) -> Result<Self::Value, ConfigProblem> {
        at.entries()
            .map(|(name, at)| {
                let name = values::variable(name).map_err(|why| at.invalid(&why))?;
                let text = if at.is_text() { at.text()? } else { "" };
                if text.contains(['\0', '\n']) {
                    return Err(at.invalid("must be one line"));
                }
                Ok((name, text.to_owned()))
            })
            .collect()
    }
}

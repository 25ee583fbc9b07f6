//! A frame's own file: `mimir frame create --config FILE`.
//!
//! Written by the user, but it travels to the gateway as text: `${NAME}` is not
//! replaced, because the gateway's environment is not the author's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, ConfigProblem, none_of};
use super::keys::{self, FRAME_FILE};
use super::rules;
use super::schema::Reader;
use super::tree::{self, Value};
use super::values;
use crate::model::names::{FrameName, ProjectName};
use crate::model::network::NetworkMode;
use crate::model::policy::Rule;
use crate::model::quantity::{cpus, memory, pids, span};

/// What a frame file says; everything may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameFile {
    /// The frame's name.
    pub name: Option<FrameName>,
    /// The folder that is /workspace inside. Absolute.
    pub workspace: Option<PathBuf>,
    /// A registered project, instead of a workspace.
    pub project: Option<ProjectName>,
    /// The image it is made from.
    pub image: Option<String>,
    /// What it may reach.
    pub network: Option<NetworkMode>,
    /// Hosts and groups for mode `allow`, besides the configured ones.
    pub allow: Vec<String>,
    /// Thousandths of a core.
    pub cpus_milli: Option<u32>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Extra environment inside.
    pub env: BTreeMap<String, String>,
    /// Whether it destroys itself.
    pub throwaway: Option<bool>,
    /// After how long.
    pub ttl: Option<Duration>,
    /// Start it at once.
    pub start: Option<bool>,
    /// What its agent may do without asking, besides the configured rules; later ones win.
    pub rules: Vec<Rule>,
}

impl FrameFile {
    /// Reads and checks a frame file; `path` is what errors call it.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, each with its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let node = tree::parse(text, path)?;
        none_of(keys::check(FRAME_FILE, &node))?;
        let read = Reader { node: &node, path: String::new() };
        let file = Self {
            name: read.may("name", |text| FrameName::parse(text).map_err(|error| error.to_string()))?,
            workspace: read.may("workspace", values::path)?,
            project: read
                .may("project", |text| ProjectName::parse(text).map_err(|error| error.to_string()))?,
            image: read.may("image", values::text)?,
            network: read.may("network", values::network)?,
            allow: read.texts("allow", values::host)?,
            cpus_milli: read.may("limits.cpus", cpus::parse)?,
            memory_bytes: read.may("limits.memory", memory::parse)?,
            pids: read.may("limits.pids", pids::parse)?,
            env: env(&node)?,
            throwaway: read.may("throwaway", values::switch)?,
            ttl: read.may("ttl", span::parse_lifetime)?,
            start: read.may("start", values::switch)?,
            rules: rules::rules(&read)?,
        };
        if file.workspace.is_some()
            && let (Some(_), Some(project)) = (&file.project, node.at("project"))
        {
            let why = "cannot stand beside `workspace`: a project brings its own folder".to_owned();
            let key = "project".to_owned();
            return Err(ConfigProblem::Invalid { at: project.origin.clone(), key, why }.into());
        }
        Ok(file)
    }
}

fn env(node: &tree::Node) -> Result<BTreeMap<String, String>, ConfigProblem> {
    let mut found = BTreeMap::new();
    let Some(Value::Map(entries)) = node.child("env").map(|node| &node.value) else { return Ok(found) };
    for (name, value) in entries {
        let refuse = |why: String| ConfigProblem::Invalid {
            at: value.origin.clone(),
            key: format!("env.{name}"),
            why,
        };
        let name = values::variable(name).map_err(refuse)?;
        let text = value.text().unwrap_or_default();
        if text.contains(['\0', '\n']) {
            return Err(refuse("must be one line".into()));
        }
        found.insert(name, text.to_owned());
    }
    Ok(found)
}

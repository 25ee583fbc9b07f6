//! Layers of configuration, merged and checked; every value knows where it was set.
//!
//! Built in < `~/.mimir/config.yaml` < `MIMIR_*` < flags. Read at start; what a
//! gateway that runs makes of a changed file is decided in [`running`]. What a
//! project's own file may say is decided in [`project_file`], and a frame's file
//! is read in [`frame_file`].

pub mod edit;
pub mod env;
pub mod error;
mod expand;
pub mod frame_file;
pub mod json_schema;
pub mod keys;
pub mod kinds;
pub mod models;
pub mod paths;
pub mod project_file;
pub mod provider;
pub mod rules;
pub mod running;
pub mod schedules;
pub mod schema;
pub mod section;
pub mod show;
pub mod tree;
pub mod values;
pub mod webhooks;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

pub use error::{ConfigError, ConfigProblem};
pub use paths::Paths;
pub use running::{Live, Running};
pub use schema::Config;
pub use tree::{Node, Origin};

/// The built-in layer.
pub const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// What a flag of the command line sets.
#[derive(Clone, Debug)]
pub struct FlagValue {
    /// As it was written, such as `--http-port`.
    pub flag: String,
    /// The key it sets.
    pub key: String,
    /// To what; a list with commas.
    pub value: String,
}

/// From where to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Where things are.
    pub paths: Paths,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The command line.
    pub flags: Vec<FlagValue>,
}

impl LoadOptions {
    /// From this process's environment. Variables that are no text are left out.
    ///
    /// # Errors
    /// [`ConfigProblem::NoHome`].
    pub fn of_process() -> Result<Self, ConfigError> {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let env: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        Ok(Self { paths: Paths::find(&env)?, env, flags: Vec::new() })
    }
}

/// A configuration with its history.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// As the program uses it.
    pub config: Config,
    /// As it was merged, with origins; see [`Loaded::rows`] to print it.
    pub tree: Node,
}

impl Config {
    /// Reads, merges and checks all layers.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, each with file and line.
    pub fn load(options: &LoadOptions) -> Result<Loaded, ConfigError> {
        let path = options.paths.config_file();
        let text = read_file(&path)?;
        load_with(options, &path, text.as_deref())
    }
}

/// The same with another text in place of the user's file; for a change that is not written yet.
pub(crate) fn load_with(
    options: &LoadOptions,
    path: &Path,
    text: Option<&str>,
) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut tree = tree::parse_built_in(DEFAULTS)?;
    if let Some(text) = text {
        let file = tree::parse(text, path)?;
        problems.extend(keys_only(keys::check(&keys::CONFIG, &file)));
        tree.merge(file);
    }
    tree.merge(env::layer(&options.env, &mut problems));
    for flag in &options.flags {
        let origin = Origin::Flag(flag.flag.clone());
        match keys::find(&keys::CONFIG, &flag.key) {
            Some(key) => tree.put(&flag.key, env::value(key, &flag.value, &origin)),
            None => problems.push(ConfigProblem::UnknownKey {
                at: origin,
                key: flag.key.clone(),
                nearest: keys::nearest_key(&keys::CONFIG, &flag.key),
            }),
        }
    }

    let mut variables = options.env.clone();
    variables.insert("MIMIR_HOME".into(), options.paths.home().display().to_string());
    expand::expand(&mut tree, &keys::CONFIG, &variables, &mut problems);
    problems.extend(keys::check(&keys::CONFIG, &tree).into_iter().filter(|it| !is_unknown_key(it)));
    error::none_of(problems)?;

    let config = schema::build(&tree)?;
    Ok(Loaded { config, tree })
}

/// Values are checked after merging, when variables have been replaced; unknown keys before, so that
/// a file is told about its own mistakes even where another layer wins.
fn keys_only(problems: Vec<ConfigProblem>) -> impl Iterator<Item = ConfigProblem> {
    problems.into_iter().filter(is_unknown_key)
}

fn is_unknown_key(problem: &ConfigProblem) -> bool {
    matches!(problem, ConfigProblem::UnknownKey { .. })
}

/// The file's text; `None` when there is no file.
fn read_file(path: &Path) -> Result<Option<String>, ConfigProblem> {
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => {
                Err(ConfigProblem::Unreadable { path: path.to_owned(), why: "it is not UTF-8 text".into() })
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigProblem::Unreadable { path: path.to_owned(), why: error.to_string() }),
    }
}

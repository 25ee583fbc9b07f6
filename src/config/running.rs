//! The configuration of a gateway that runs: what it uses, and what its file says by now.
//!
//! A file that changed is read again. What it says of keys that are [`Owner::Live`] or [`Owner::Request`] is used from
//! then on; of the others the gateway keeps what it began with, and says so. A file with a mistake changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::error::ConfigError;
use super::keys::{self, CONFIG, Key, Owner};
use super::show::Row;
use super::tree::{Node, Origin, Value};
use super::{Config, ConfigProblem, LoadOptions, Loaded, env, error, schema};
use crate::wire::config::{Applies, Pending, RunningConfig, RunningSetting};

/// A value that is replaced while others use it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// That value, until another is set.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// Another one from now on.
    pub fn set(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}

/// What a gateway uses. Clones share it.
#[derive(Clone)]
pub struct Running {
    inner: Arc<Inner>,
}

struct Inner {
    load: LoadOptions,
    state: Mutex<State>,
    users: Mutex<Vec<User>>,
}

/// Takes over what changed.
type User = Box<dyn Fn(&Config) + Send + Sync>;

struct State {
    /// The file when the gateway began, and when it was read last.
    began: Option<Mark>,
    read: Option<Mark>,
    /// The file at the last look.
    seen: Option<Mark>,
    used: Loaded,
    /// The newest file without a mistake, with everything that lies over it.
    file: Node,
    mistake: Option<String>,
    /// What was shown last, as long as nothing of the above changes: every command of a client asks for it.
    shown: Option<RunningConfig>,
}

/// By what a file is seen to be another one.
type Mark = (u64, u64, i64, i64);

impl Running {
    /// A gateway that begins with what was loaded from there.
    #[must_use]
    pub fn new(load: LoadOptions, loaded: Loaded) -> Self {
        let mark = mark(&load.paths.config_file());
        let file = loaded.tree.clone();
        let state =
            State { began: mark, read: mark, seen: mark, used: loaded, file, mistake: None, shown: None };
        Self { inner: Arc::new(Inner { load, state: Mutex::new(state), users: Mutex::default() }) }
    }

    /// Calls it with every configuration that is taken over from now on.
    pub fn on_change(&self, user: impl Fn(&Config) + Send + Sync + 'static) {
        self.inner.users.lock().push(Box::new(user));
    }

    /// Looks whether the file is another one, and takes over what can be.
    pub fn refresh(&self) {
        let mark = mark(&self.inner.load.paths.config_file());
        let mut state = self.inner.state.lock();
        if state.read == mark {
            return;
        }
        // An editor that empties the file before it writes it would leave us without the owner's rules for that moment.
        let is_empty = mark.is_some_and(|(_, size, ..)| size == 0);
        if is_empty && state.seen != mark {
            state.seen = mark;
            return;
        }
        let loaded = Config::load(&self.inner.load);
        if self::mark(&self.inner.load.paths.config_file()) != mark {
            return;
        }
        (state.read, state.seen, state.shown) = (mark, mark, None);
        let taken = loaded.and_then(|new| {
            let mut tree = state.used.tree.clone();
            take_over(&mut tree, &new.tree, "");
            Ok((Loaded { config: schema::build(&tree)?, tree }, new.tree))
        });
        match taken {
            Ok((used, file)) => {
                (state.used, state.file, state.mistake) = (used, file, None);
                self.inner.users.lock().iter().for_each(|user| user(&state.used.config));
                tracing::info!(
                    "the configuration file changed, and is obeyed as far as it can be without a restart"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration file changed and cannot be used: {error}");
                state.mistake = Some(error.to_string());
            }
        }
    }

    /// What it uses now.
    #[must_use]
    pub fn now(&self) -> Config {
        self.inner.state.lock().used.config.clone()
    }

    /// What it uses for somebody whose environment says that much: keys and texts.
    ///
    /// # Errors
    /// A key that belongs to no request, or a text that does not fit.
    pub fn for_request(&self, said: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let mut tree = self.inner.state.lock().used.tree.clone();
        let mut problems = Vec::new();
        for (key, text) in said {
            let origin = Origin::Env(env::variable_of(key));
            match keys::find(&CONFIG, key).filter(|known| known.owner == Some(Owner::Request)) {
                Some(known) => tree.put(key, env::value(known, text, &origin)),
                None => {
                    let nearest = keys::nearest_key(&CONFIG, key);
                    problems.push(ConfigProblem::UnknownKey { at: origin, key: key.clone(), nearest });
                }
            }
        }
        problems.extend(keys::check(&CONFIG, &tree));
        error::none_of(problems)?;
        Ok(schema::build(&tree)?)
    }

    /// Everything it uses, for people; `salt` keeps the digests of secrets to this gateway.
    #[must_use]
    pub fn shown(&self, salt: &str) -> RunningConfig {
        let mut state = self.inner.state.lock();
        if let Some(shown) = state.shown.as_ref().filter(|shown| shown.salt == salt) {
            return shown.clone();
        }
        let file: BTreeMap<String, (String, Origin)> =
            exact(&state.file).into_iter().map(|row| (row.key, (row.value, row.origin))).collect();
        let mut rows = exact(&state.used.tree);
        let unset = |key: &String| Row { key: key.clone(), value: String::new(), origin: Origin::BuiltIn };
        let new: Vec<Row> =
            file.keys().filter(|key| rows.iter().all(|row| row.key != **key)).map(unset).collect();
        rows.extend(new);
        let settings = rows.into_iter().map(|row| {
            let said = file.get(&row.key).cloned().unwrap_or((String::new(), Origin::BuiltIn));
            RunningSetting {
                pending: (said.0 != row.value)
                    .then(|| Pending { value: masked(&row.key, &said.0), origin: said.1.to_string() }),
                digest: digest(salt, &row.key, &row.value),
                applies: applies(&row.key),
                value: masked(&row.key, &row.value),
                origin: row.origin.to_string(),
                key: row.key,
            }
        });
        let shown = RunningConfig {
            file: self.inner.load.paths.config_file().display().to_string(),
            changed: state.began != state.read,
            mistake: state.mistake.clone(),
            salt: salt.to_owned(),
            settings: settings.collect(),
        };
        state.shown = Some(shown.clone());
        shown
    }
}

/// When a change of the key at that row holds.
#[must_use]
pub fn applies(row: &str) -> Applies {
    match keys::of_row(row).and_then(|key| key.owner) {
        Some(Owner::Request) => Applies::Request,
        Some(Owner::Live) => Applies::Live,
        Some(Owner::Restart) | None => Applies::Restart,
    }
}

/// By what two secrets can be compared that nobody shows; of everything else, none. The key of the database may be a
/// short phrase, and nobody compares it once the database is open.
#[must_use]
pub fn digest(salt: &str, row: &str, value: &str) -> Option<String> {
    let is_compared = keys::of_row(row).is_none_or(Key::is_secret) && row != "database.encryption_key";
    let digest = || hex::encode(&Sha256::digest(format!("{salt}\n{row}\n{value}"))[..8]);
    (is_compared && !value.is_empty()).then(digest)
}

/// Every row with its value as it is, secrets too.
#[must_use]
pub fn exact(tree: &Node) -> Vec<Row> {
    super::show::rows(tree, false)
}

fn masked(row: &str, value: &str) -> String {
    super::show::masked(row, value).to_owned()
}

/// Lays what may change over what is used; whole sections and lists, down to where their keys have different owners.
fn take_over(used: &mut Node, new: &Node, path: &str) {
    let Value::Map(entries) = &new.value else { return };
    for (name, node) in entries {
        let whole = super::section::below(path, name);
        let below = format!("{whole}.");
        let mut owners = CONFIG
            .iter()
            .filter(|key| key.path == whole || key.path.starts_with(&below))
            .map(|key| key.owner == Some(Owner::Restart));
        let Some(first) = owners.next() else { continue };
        if owners.any(|other| other != first) {
            take_over(used, node, &whole);
        } else if !first {
            used.put(&whole, node.clone());
        }
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

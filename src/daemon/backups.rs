//! Copies of the database without a gateway: looked at, and put back.

use std::fs;
use std::path::{Path, PathBuf};

use super::bootstrap::{self, AskKey};
use super::lock::holder;
use super::problem::{config_problem, store_problem};
use crate::clock::Clock;
use crate::config::{Config, LoadOptions, Paths};
use crate::model::backup::Backup;
use crate::model::quantity::age;
use crate::store::{OpenOptions, backup};
use crate::wire::problem::Problem;

/// The copies of a home's database.
pub struct Copies {
    paths: Paths,
    config: Config,
    ask_key: Option<AskKey>,
    clock: Clock,
}

impl Copies {
    /// Those of this home.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn of(load: &LoadOptions, ask_key: Option<AskKey>) -> Result<Self, Problem> {
        let config = bootstrap::load_config(load)?;
        load.paths.ensure_home().map_err(config_problem)?;
        Ok(Self { paths: load.paths.clone(), config, ask_key, clock: Clock::system() })
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Backup> {
        backup::list(&self.paths.backups())
    }

    /// With the key that opens them. Makes none.
    fn options(&self) -> Result<OpenOptions, Problem> {
        let (backups, path) = (self.paths.backups(), self.config.database.path.clone());
        backup::bring_salt(&backups, &path).map_err(|error| store_problem(&error))?;
        let key = bootstrap::load_key(&self.paths, &self.config, self.ask_key.as_deref(), false)?.key;
        Ok(OpenOptions { path, key, backups })
    }

    /// The file that is meant: a copy's name, a path, or the newest copy.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, which: Option<&Path>) -> Result<PathBuf, Problem> {
        let folder = &self.paths.backups();
        let newest = || self.list().pop().map(|copy| folder.join(copy.name));
        let found = match which {
            None => newest(),
            Some(name) => [folder.join(name), name.to_owned()].into_iter().find(|path| path.is_file()),
        };
        found.ok_or_else(|| {
            let title = match which {
                Some(name) => format!("there is no copy {}", name.display()),
                None => format!("there is no copy of the database in {}", folder.display()),
            };
            Problem::new(404, "backup.not_found", title).hint("`mimir backup list` shows all copies")
        })
    }

    /// Opens a copy and reads all of it; says which schema it has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, copy: &Path) -> Result<i64, Problem> {
        backup::verify(&self.options()?, copy).map_err(|error| store_problem(&error))
    }

    /// Puts a copy in the place of the database. Says where what was there is now.
    ///
    /// # Errors
    /// While a gateway runs; when the copy is not whole, or a file cannot be written.
    pub fn restore(&self, copy: &Path) -> Result<Option<PathBuf>, Problem> {
        if let Some(pid) = holder(&self.paths.lock()) {
            let title = format!("a gateway runs with this database (process {pid})");
            return Err(Problem::new(409, "backup.gateway_runs", title)
                .hint("`mimir serve --stop`, then once more; frames go on running meanwhile"));
        }
        backup::restore(&self.options()?, copy, self.clock.now_ms()).map_err(|error| store_problem(&error))
    }
}

/// A database that is not there, or empty, in a home that has been lived in: refused before a new one is begun over
/// frames that nobody would know any more.
pub(super) fn refuse_a_lost_database(paths: &Paths, config: &Config, now_ms: u64) -> Result<(), Problem> {
    let path = &config.database.path;
    if fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let folders = fs::read_dir(paths.frames()).into_iter().flatten().flatten().count();
    let newest = backup::list(&paths.backups()).pop();
    if folders == 0 && newest.is_none() {
        return Ok(());
    }
    let title = format!("the database {} is not there, or empty, and this home is not new", path.display());
    let detail = match &newest {
        Some(copy) => format!(
            "{folders} frames have folders here; the newest copy of the database is {} old",
            age(copy.made_at, now_ms)
        ),
        None => format!("{folders} frames have folders here; there is no copy of the database"),
    };
    let anew = format!("to begin anew move {} away", paths.home().display());
    let hint = match newest {
        Some(_) => format!("`mimir backup restore` puts the newest copy in its place; {anew}"),
        None => format!("put the file back if you have it; {anew} (projects are elsewhere and stay)"),
    };
    Err(Problem::new(409, "store.lost", title).detail(detail).hint(hint))
}

//! Copies of the database without a gateway: looked at, and put back.

use std::path::{Path, PathBuf};

use super::bootstrap::{self, AskKey};
use super::lock::lock_home;
use super::problem::{config_problem, lock_problem, store_problem};
use crate::audit;
use crate::clock::Clock;
use crate::config::{Config, LoadOptions, Paths};
use crate::model::backup::Backup;
use crate::store::{OpenOptions, backup};
use crate::wire::problem::Problem;

/// A copy that was put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// Where the database is that was there.
    pub set_aside: Option<PathBuf>,
    /// Why it was not noted for the audit log, which then tells of what is missing as if somebody had cut it.
    pub not_noted: Option<String>,
}

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

    /// Puts a copy in the place of the database, and notes that for the audit log.
    ///
    /// # Errors
    /// While a gateway runs; when the copy is not whole, or a file cannot be written.
    pub fn restore(&self, copy: &Path) -> Result<PutBack, Problem> {
        // No gateway begins meanwhile.
        let _lock = lock_home(&self.paths.lock()).map_err(|error| lock_problem(error, &self.paths))?;
        let (options, now_ms) = (self.options()?, self.clock.now_ms());
        let heads = audit::heads_file(self.config.audit.heads.as_deref(), self.paths.home());
        let mut not_noted = None;
        let note = || not_noted = audit::note_restore(&options, copy, &heads, now_ms).err();
        let set_aside =
            backup::restore_after(&options, copy, now_ms, note).map_err(|error| store_problem(&error))?;
        Ok(PutBack { set_aside, not_noted: not_noted.map(|error| error.to_string()) })
    }
}

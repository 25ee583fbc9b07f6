//! A home whose database was lost.

use std::fs;

use crate::config::{Config, Paths};
use crate::model::quantity::age;
use crate::store::backup;
use crate::wire::problem::Problem;

/// A database that is not there, or empty, in a home that has been lived in: refused before a new one is begun over
/// frames that nobody would know any more.
pub(super) fn refuse(paths: &Paths, config: &Config, now_ms: u64) -> Result<(), Problem> {
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

//! Projects that the configuration names are registered at each start.

use crate::clock;
use crate::config::schema::ProjectEntry;
use crate::model::ids::ProjectId;
use crate::model::principal::Principal;
use crate::model::project::Project;
use crate::store::{self, Store, StoreError, Tx};

/// Registers those that are new. One whose name or folder is taken is left out, with a warning: a
/// line in a file is no reason to rename what somebody registered by hand.
///
/// # Errors
/// Only the database's.
pub(super) async fn register(store: &Store, entries: Vec<ProjectEntry>) -> Result<(), StoreError> {
    store.write(move |tx| entries.iter().try_for_each(|entry| register_one(tx, entry))).await
}

fn register_one(tx: &mut Tx<'_>, entry: &ProjectEntry) -> Result<(), StoreError> {
    let path = std::fs::canonicalize(&entry.path).unwrap_or_else(|_| entry.path.clone());
    let path = path.display().to_string();
    if let Some(known) = store::projects::find_by_name(tx, &entry.name)? {
        if known.path != path {
            tracing::warn!("project {} is registered for {}, not for {path}", known.name, known.path);
        }
        return Ok(());
    }
    if let Some(known) = store::projects::find_by_path(tx, &path)? {
        tracing::warn!("{path} is registered as project {}, not as {}", known.name, entry.name);
        return Ok(());
    }
    let id = ProjectId::from_parts(tx.now_ms(), clock::entropy_128());
    let project = Project { id, name: entry.name.clone(), path, created_at: tx.now_ms() };
    store::projects::insert(tx, &project)?;
    let detail = serde_json::json!({ "path": project.path, "from": "configuration" });
    tx.audit(&Principal::GATEWAY, "project.add", project.name.as_str(), &detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::names::ProjectName;
    use crate::model::secret::Secret;
    use crate::store::OpenOptions;

    #[tokio::test]
    async fn what_was_registered_by_hand_wins_over_the_file() {
        let home = tempfile::tempdir().expect("a home");
        let options = OpenOptions {
            path: home.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: home.path().join("backups"),
        };
        let store = Store::open(options, Clock::system()).expect("opens");
        let entry = |name: &str, folder: &str| {
            let path = home.path().join(folder);
            std::fs::create_dir_all(&path).expect("a folder");
            ProjectEntry { name: ProjectName::parse(name).expect("a name"), path }
        };
        register(&store, vec![entry("one", "a")]).await.expect("registers");
        let again = vec![entry("one", "a"), entry("one", "b"), entry("two", "a"), entry("three", "c")];
        register(&store, again).await.expect("registers again");
        let found = store.read(|db| store::projects::list(db)).await.expect("lists");
        let names: Vec<&str> = found.iter().map(|project| project.name.as_str()).collect();
        assert_eq!(names, ["one", "three"]);
        assert!(found[0].path.ends_with("/a"), "{}", found[0].path);
    }
}

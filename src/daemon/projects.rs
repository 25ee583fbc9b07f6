//! Projects that the configuration names are registered at each start, and what their folders say about them is learned
//! once, as it is when somebody adds one by hand.

use crate::clock;
use crate::config::schema::ProjectEntry;
use crate::model::ids::ProjectId;
use crate::model::principal::Principal;
use crate::model::project::{Project, ProjectSettings};
use crate::store::{self, Store, StoreError, Tx};

/// Registers those that are new. One whose name or folder is taken is left out, with a warning: a
/// line in a file is no reason to rename what somebody registered by hand.
///
/// # Errors
/// Only the database's.
pub(super) async fn register(
    store: &Store,
    entries: Vec<ProjectEntry>,
    learn: impl AsyncFn(String) -> ProjectSettings,
) -> Result<(), StoreError> {
    let write = store.write(move |tx| {
        let known = entries.iter().map(|entry| register_one(tx, entry)).collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().collect::<Vec<Project>>())
    });
    for project in write.await? {
        let settings = learn(project.path).await;
        let write = store.write(move |tx| match store::projects::has_settings(&*tx, &project.id)? {
            true => Ok(()),
            false => store::projects::set_settings(tx, &project.id, &settings),
        });
        write.await?;
    }
    Ok(())
}

/// Of one of whose folder nobody looked: that project.
fn register_one(tx: &mut Tx<'_>, entry: &ProjectEntry) -> Result<Option<Project>, StoreError> {
    let path = std::fs::canonicalize(&entry.path).unwrap_or_else(|_| entry.path.clone());
    let path = path.display().to_string();
    if let Some(known) = store::projects::find_by_name(tx, &entry.name)? {
        if known.path != path {
            tracing::warn!("project {} is registered for {}, not for {path}", known.name, known.path);
            return Ok(None);
        }
        let is_learned = store::projects::has_settings(tx, &known.id)?;
        return Ok((!is_learned).then_some(known));
    }
    if let Some(known) = store::projects::find_by_path(tx, &path)? {
        tracing::warn!("{path} is registered as project {}, not as {}", known.name, entry.name);
        return Ok(None);
    }
    let id = ProjectId::from_parts(tx.now_ms(), clock::entropy_128());
    let project = Project { id, name: entry.name.clone(), path, created_at: tx.now_ms() };
    store::projects::insert(tx, &project)?;
    let detail = serde_json::json!({ "path": project.path, "from": "configuration" });
    tx.audit(&Principal::GATEWAY, "project.add", project.name.as_str(), &detail)?;
    Ok(Some(project))
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
        let learned = std::sync::Mutex::new(Vec::new());
        let learn = async |path: String| {
            learned.lock().expect("nobody failed").push(path);
            ProjectSettings { language: Some("rust".into()), ..ProjectSettings::default() }
        };
        register(&store, vec![entry("one", "a")], &learn).await.expect("registers");
        let again = vec![entry("one", "a"), entry("one", "b"), entry("two", "a"), entry("three", "c")];
        register(&store, again, &learn).await.expect("registers again");
        let found = store.read(|db| store::projects::list(db)).await.expect("lists");
        let names: Vec<&str> = found.iter().map(|project| project.name.as_str()).collect();
        assert_eq!(names, ["one", "three"]);
        assert!(found[0].path.ends_with("/a"), "{}", found[0].path);
        let looked = learned.lock().expect("nobody failed").clone();
        assert_eq!(looked, [found[0].path.clone(), found[1].path.clone()], "each once");
        let id = found[1].id.clone();
        let known = store.read(move |db| store::projects::settings(db, &id)).await.expect("reads");
        assert_eq!(known.language.as_deref(), Some("rust"));
    }
}

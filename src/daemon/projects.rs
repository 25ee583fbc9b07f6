//! Projects that the configuration names are registered at each start, and what their folders say about them is learned
//! once, as it is when somebody adds one by hand. Nobody looks on then: it is said in the log, and by `mimir doctor`.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock;
use crate::config::schema::ProjectEntry;
use crate::model::ids::ProjectId;
use crate::model::principal::Principal;
use crate::model::project::{Project, ProjectSettings};
use crate::model::visible;
use crate::store::{self, Store, StoreError, Tx};

/// A folder that does not answer by then (a network's, say) keeps no gateway from starting.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// Registers those that are new. One whose name or folder is taken is left out, with a warning: a
/// line in a file is no reason to rename what somebody registered by hand.
///
/// A folder of which nothing is found may be one that is not there yet: it is looked at again at the next start. Where
/// agents may have worked already, what the folder says of its repository is their word, and is left to its owner to say.
///
/// # Errors
/// Only the database's.
pub(super) async fn register(
    store: &Store,
    entries: Vec<ProjectEntry>,
    within: Duration,
    learn: impl AsyncFn(String) -> ProjectSettings,
) -> Result<(), StoreError> {
    let entries = join_all(entries.into_iter().map(|entry| with_its_path(entry, within))).await;
    let write = store.write(move |tx| {
        let known = entries.iter().map(|(entry, path)| register_one(tx, entry, path));
        let known = known.collect::<Result<Vec<_>, _>>()?;
        Ok(known.into_iter().flatten().collect::<Vec<Unknown>>())
    });
    let unknown = write.await?;
    let looks = unknown.iter().map(|one| tokio::time::timeout(within, learn(one.project.path.clone())));
    for (one, looked) in unknown.iter().zip(join_all(looks).await) {
        let Unknown { project, is_new } = one.clone();
        let Ok(mut settings) = looked else {
            tracing::warn!(
                "nothing is learned of project {}: {} does not answer",
                project.name,
                project.path
            );
            continue;
        };
        if !is_new {
            settings.repository = None;
        }
        if settings == ProjectSettings::default() {
            continue;
        }
        let said = in_words(&settings);
        let name = project.name.clone();
        let write = store.write(move |tx| match store::projects::has_settings(&*tx, &project.id)? {
            true => Ok(()),
            false => store::projects::set_settings(tx, &project.id, &settings),
        });
        write.await?;
        tracing::info!(
            "learned of project {name} from its folder: {said}; `mimir projects set {name}` corrects it"
        );
    }
    Ok(())
}

/// A project of which nobody has looked at the folder.
#[derive(Clone, Debug)]
struct Unknown {
    project: Project,
    /// It was registered just now.
    is_new: bool,
}

/// With its folder's whole path; as it is written where that is not there.
async fn with_its_path(entry: ProjectEntry, within: Duration) -> (ProjectEntry, String) {
    let written = entry.path.clone();
    let looking = tokio::task::spawn_blocking(move || std::fs::canonicalize(written));
    let found: Option<PathBuf> = match tokio::time::timeout(within, looking).await {
        Ok(Ok(Ok(path))) => Some(path),
        _ => None,
    };
    let path = found.unwrap_or_else(|| entry.path.clone()).display().to_string();
    (entry, path)
}

/// What was learned, on one line.
fn in_words(settings: &ProjectSettings) -> String {
    let ProjectSettings { repository, default_branch, language, checks, sentry, protected: _ } = settings;
    let sentry = sentry.as_ref().map(|it| format!("{}/{}", it.organization, it.project));
    let said = [
        ("repository", repository.as_ref().map(ToString::to_string)),
        ("branch", default_branch.clone()),
        ("language", language.clone()),
        ("checks", Some(checks.join("; ")).filter(|checks| !checks.is_empty())),
        ("sentry", sentry),
    ];
    let said = said.into_iter().filter_map(|(what, is)| Some(format!("{what} {}", visible::line(&is?))));
    said.collect::<Vec<_>>().join(", ")
}

/// Of one of whose folder nobody looked: that project.
fn register_one(tx: &mut Tx<'_>, entry: &ProjectEntry, path: &str) -> Result<Option<Unknown>, StoreError> {
    let path = path.to_owned();
    if let Some(known) = store::projects::find_by_name(tx, &entry.name)? {
        if known.path != path {
            tracing::warn!("project {} is registered for {}, not for {path}", known.name, known.path);
            return Ok(None);
        }
        let is_learned = store::projects::has_settings(tx, &known.id)?;
        return Ok((!is_learned).then_some(Unknown { project: known, is_new: false }));
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
    Ok(Some(Unknown { project, is_new: true }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::names::ProjectName;
    use crate::model::secret::Secret;
    use crate::store::OpenOptions;

    fn home() -> (tempfile::TempDir, Store) {
        let home = tempfile::tempdir().expect("a home");
        let options = OpenOptions {
            path: home.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: home.path().join("backups"),
        };
        let store = Store::open(options, Clock::system()).expect("opens");
        (home, store)
    }

    async fn known(store: &Store, name: &str) -> ProjectSettings {
        let name = ProjectName::parse(name).expect("a name");
        let read = store.read(move |db| {
            let project = store::projects::find_by_name(db, &name)?.expect("it is registered");
            store::projects::settings(db, &project.id)
        });
        read.await.expect("reads")
    }

    fn found() -> ProjectSettings {
        ProjectSettings {
            repository: "github.com/me/shop".parse().ok(),
            checks: vec!["make test".into()],
            ..ProjectSettings::default()
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_yet_is_looked_at_again() {
        let (home, store) = home();
        let path = home.path().join("shop");
        let entries =
            || vec![ProjectEntry { name: ProjectName::parse("shop").expect("a name"), path: path.clone() }];
        let learn = async |path: String| match std::path::Path::new(&path).is_dir() {
            true => found(),
            false => ProjectSettings::default(),
        };
        register(&store, entries(), WITHIN, &learn).await.expect("registers");
        assert_eq!(known(&store, "shop").await, ProjectSettings::default());
        std::fs::create_dir_all(&path).expect("a folder");
        register(&store, entries(), WITHIN, &learn).await.expect("registers again");
        // By now an agent may have written where it is.
        assert_eq!(known(&store, "shop").await, ProjectSettings { repository: None, ..found() });
        assert_eq!(in_words(&found()), "repository github.com/me/shop, checks make test");
    }

    #[tokio::test]
    async fn a_folder_that_does_not_answer_keeps_nobody_from_starting() {
        let (home, store) = home();
        let of = |name: &str| ProjectEntry {
            name: ProjectName::parse(name).expect("a name"),
            path: home.path().join(name),
        };
        let learn = async |path: String| match path.ends_with("slow") {
            true => std::future::pending().await,
            false => found(),
        };
        let within = Duration::from_millis(200);
        register(&store, vec![of("slow"), of("shop")], within, &learn).await.expect("registers");
        assert_eq!(known(&store, "slow").await, ProjectSettings::default());
        assert_eq!(known(&store, "shop").await, found());
    }

    #[tokio::test]
    async fn what_was_registered_by_hand_wins_over_the_file() {
        let (home, store) = home();
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
        register(&store, vec![entry("one", "a")], WITHIN, &learn).await.expect("registers");
        let again = vec![entry("one", "a"), entry("one", "b"), entry("two", "a"), entry("three", "c")];
        register(&store, again, WITHIN, &learn).await.expect("registers again");
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

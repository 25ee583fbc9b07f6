//! Projects: folders with a name.

use rusqlite::Row;

use super::values::{json, to_json, to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::git::Repository;
use crate::model::ids::ProjectId;
use crate::model::names::ProjectName;
use crate::model::project::{Project, ProjectSettings, SentryProject};

/// Registers a project.
///
/// # Errors
/// [`StoreError::Taken`] when the name or the path belongs to another one.
pub fn insert(tx: &mut Tx<'_>, project: &Project) -> Result<(), StoreError> {
    if find_by_name(tx, &project.name)?.is_some() {
        return Err(StoreError::Taken { what: "project", value: project.name.to_string() });
    }
    if let Some(other) = find_by_path(tx, &project.path)? {
        return Err(StoreError::Taken {
            what: "project folder",
            value: format!("{} (it is {})", project.path, other.name),
        });
    }
    tx.change(
        "INSERT INTO projects (id, name, path, created_at) VALUES (?1, ?2, ?3, ?4)",
        (&project.id, &project.name, &project.path, to_sql_int(project.created_at)),
    )?;
    Ok(())
}

fn project(row: &Row<'_>) -> Result<Project, StoreError> {
    Ok(Project {
        id: row.get("id")?,
        name: row.get("name")?,
        path: row.get("path")?,
        created_at: unsigned(row, "created_at")?,
    })
}

/// The project of that id.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn get(ask: &impl Queryable, id: &ProjectId) -> Result<Project, StoreError> {
    ask.maybe_row("SELECT * FROM projects WHERE id = ?1", (id,), project)?
        .ok_or_else(|| StoreError::NotFound { what: "project", key: id.to_string() })
}

/// The project of that name, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_name(ask: &impl Queryable, name: &ProjectName) -> Result<Option<Project>, StoreError> {
    ask.maybe_row("SELECT * FROM projects WHERE name = ?1", (name,), project)
}

/// The project in that folder, if there is one.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_path(ask: &impl Queryable, path: &str) -> Result<Option<Project>, StoreError> {
    ask.maybe_row("SELECT * FROM projects WHERE path = ?1", (path,), project)
}

/// All projects, by name.
///
/// # Errors
/// Whatever the database says.
pub fn list(ask: &impl Queryable) -> Result<Vec<Project>, StoreError> {
    ask.rows("SELECT * FROM projects ORDER BY name", (), project)
}

/// Forgets a project; its frames stay and belong to none.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn remove(tx: &mut Tx<'_>, id: &ProjectId) -> Result<(), StoreError> {
    match tx.change("DELETE FROM projects WHERE id = ?1", (id,))? {
        0 => Err(StoreError::NotFound { what: "project", key: id.to_string() }),
        _ => Ok(()),
    }
}

fn settings_row(row: &Row<'_>) -> Result<ProjectSettings, StoreError> {
    let organization: Option<String> = row.get("sentry_organization")?;
    let project: Option<String> = row.get("sentry_project")?;
    Ok(ProjectSettings {
        repository: row.get("repository")?,
        default_branch: row.get("default_branch")?,
        language: row.get("language")?,
        checks: json(row, "checks", "checks of a project")?,
        sentry: organization
            .zip(project)
            .map(|(organization, project)| SentryProject { organization, project }),
        protected: json(row, "protected", "protected paths of a project")?,
    })
}

/// What is known of a project; nothing, when nobody looked and nobody said.
///
/// # Errors
/// Whatever the database says.
pub fn settings(ask: &impl Queryable, id: &ProjectId) -> Result<ProjectSettings, StoreError> {
    let found = ask.maybe_row("SELECT * FROM project_settings WHERE project_id = ?1", (id,), settings_row)?;
    Ok(found.unwrap_or_default())
}

/// Whether anybody looked what is to be known of a project, or said it.
///
/// # Errors
/// Whatever the database says.
pub fn has_settings(ask: &impl Queryable, id: &ProjectId) -> Result<bool, StoreError> {
    let found = ask.maybe_row("SELECT 1 FROM project_settings WHERE project_id = ?1", (id,), |_| Ok(()))?;
    Ok(found.is_some())
}

/// Keeps what is known of a project, in the place of what was.
///
/// # Errors
/// Whatever the database says.
pub fn set_settings(tx: &mut Tx<'_>, id: &ProjectId, settings: &ProjectSettings) -> Result<(), StoreError> {
    let sentry = settings.sentry.as_ref();
    tx.change(
        "INSERT INTO project_settings (project_id, repository, default_branch, language, checks, sentry_organization,
                                       sentry_project, protected)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (project_id) DO UPDATE SET
             repository = excluded.repository, default_branch = excluded.default_branch, language = excluded.language,
             checks = excluded.checks, sentry_organization = excluded.sentry_organization,
             sentry_project = excluded.sentry_project, protected = excluded.protected",
        rusqlite::params![
            id,
            settings.repository,
            settings.default_branch,
            settings.language,
            to_json(&settings.checks, "checks of a project")?,
            sentry.map(|sentry| &sentry.organization),
            sentry.map(|sentry| &sentry.project),
            to_json(&settings.protected, "protected paths of a project")?,
        ],
    )?;
    Ok(())
}

/// The project of that repository; of several folders the one that was registered first.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_repository(
    ask: &impl Queryable,
    repository: &Repository,
) -> Result<Option<Project>, StoreError> {
    ask.maybe_row(
        "SELECT projects.* FROM projects JOIN project_settings ON project_id = id
         WHERE repository = ?1 ORDER BY created_at, id LIMIT 1",
        (repository,),
        project,
    )
}

/// The project whose errors are told there; the organization may be unknown.
///
/// # Errors
/// Whatever the database says.
pub fn find_by_sentry(
    ask: &impl Queryable,
    organization: Option<&str>,
    sentry_project: &str,
) -> Result<Option<Project>, StoreError> {
    ask.maybe_row(
        "SELECT projects.* FROM projects JOIN project_settings ON project_id = id
         WHERE sentry_project = ?1 AND (?2 IS NULL OR sentry_organization = ?2)
         ORDER BY created_at, id LIMIT 1",
        (sentry_project, organization),
        project,
    )
}

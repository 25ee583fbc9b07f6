//! Projects: folders with a name.

use rusqlite::Row;

use super::values::{to_sql_int, unsigned};
use super::{Queryable, StoreError, Tx};
use crate::model::ids::ProjectId;
use crate::model::names::ProjectName;
use crate::model::project::Project;

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

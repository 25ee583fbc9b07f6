//! A copy of the database.

use serde::{Deserialize, Serialize};

/// A copy of the database, in the backups folder of its home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Backup {
    /// The file's name.
    pub name: String,
    /// When it was made, UTC ms.
    #[serde(rename = "created_at", alias = "made_at")]
    pub made_at: u64,
    /// The schema of the database that it is a copy of.
    pub schema: i64,
    /// Its size.
    #[serde(rename = "size_bytes", alias = "bytes")]
    pub bytes: u64,
}

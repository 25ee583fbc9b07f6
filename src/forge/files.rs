//! Which files a pull request changes.

use super::call::Call;
use super::{Forge, ForgeError, received};
use crate::model::forge::ChangedFile;

impl Forge {
    /// The files that a pull request changes, all of them.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::TooMuch`] when there are more than are read.
    pub async fn changed_files(&self, number: u64) -> Result<Vec<ChangedFile>, ForgeError> {
        let url = self.at(&["pulls", &number.to_string(), "files"]);
        let said = self.all(Call::get(url, format!("the files of pull request {number}"))).await?;
        // Half of what is said about one would hide it.
        said.iter().map(received::changed_file).collect()
    }
}

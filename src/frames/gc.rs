//! What is left over from frames that are no more.

use std::collections::BTreeSet;

use super::error::FrameError;
use super::folders::{remove_tree, size_of};
use super::{Frames, driver::millis};
use crate::model::frame::Leftover;
use crate::model::ids::FrameId;

impl Frames {
    /// What is left over from frames that are no more. Removes it unless `dry_run`.
    ///
    /// # Errors
    /// When the rows or the containers cannot be listed.
    pub async fn gc(&self, dry_run: bool) -> Result<Vec<Leftover>, FrameError> {
        let mut found = self.left_containers(dry_run).await?;
        found.extend(self.left_folders(dry_run).await?);
        found.extend(self.left_images(dry_run).await?);
        found.extend(self.overdue_frames().await?);
        Ok(found)
    }

    async fn left_containers(&self, dry_run: bool) -> Result<Vec<Leftover>, FrameError> {
        let containers = self.inner.deps.runtime.list().await?;
        let mut found = Vec::new();
        for stray in self.strays(&containers).await? {
            let outcome = if dry_run {
                Ok(())
            } else {
                self.inner.deps.runtime.remove_stray(&stray.container_id).await
            };
            found.push(Leftover {
                kind: "container".into(),
                what: format!("{} ({})", stray.container_id.chars().take(12).collect::<String>(), stray.name),
                why: "it belongs to no frame".into(),
                size_bytes: 0,
                outcome: outcome_of(dry_run, outcome),
            });
        }
        Ok(found)
    }

    async fn left_folders(&self, dry_run: bool) -> Result<Vec<Leftover>, FrameError> {
        let rows: BTreeSet<String> =
            self.inner.all_rows().await?.into_iter().map(|row| row.id.to_string()).collect();
        let creating: BTreeSet<String> = self.inner.creating.lock().iter().map(ToString::to_string).collect();
        let root = self.inner.deps.settings.frames_folder.clone();
        let look = move || {
            let Ok(entries) = std::fs::read_dir(&root) else { return Vec::new() };
            let mut found = Vec::new();
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                // Only what we made: a folder of that form is a frame's.
                let is_ours = FrameId::parse(&name).is_ok();
                if !is_ours || rows.contains(&name) || creating.contains(&name) {
                    continue;
                }
                let path = entry.path();
                let size_bytes = size_of(&path);
                let outcome = if dry_run { Ok(()) } else { remove_tree(&path) };
                found.push(Leftover {
                    kind: "folder".into(),
                    what: path.display().to_string(),
                    why: "its frame is no more".into(),
                    size_bytes,
                    outcome: outcome_of(dry_run, outcome),
                });
            }
            found
        };
        tokio::task::spawn_blocking(look).await.map_err(|_| FrameError::Interrupted)
    }

    /// Frame images that a later build took the name from, and that no frame is made from. Those of other
    /// homes' frames are in use by their containers, which the engine knows.
    async fn left_images(&self, dry_run: bool) -> Result<Vec<Leftover>, FrameError> {
        let runtime = &self.inner.deps.runtime;
        let images = runtime.list_images().await?;
        let in_use: BTreeSet<String> =
            self.inner.all_rows().await?.into_iter().map(|row| row.image_id).collect();
        let mut found = Vec::new();
        for image in images.into_iter().filter(|image| image.tags.is_empty() && !in_use.contains(&image.id)) {
            let outcome = if dry_run { Ok(()) } else { runtime.remove_image(&image.id).await };
            found.push(Leftover {
                kind: "image".into(),
                what: image.id.chars().take(12).collect(),
                why: "a later build took its name, and no frame is made from it".into(),
                size_bytes: image.size_bytes,
                outcome: outcome_of(dry_run, outcome),
            });
        }
        Ok(found)
    }

    /// Throwaway frames that should be gone for a while and are not: something holds them up.
    async fn overdue_frames(&self) -> Result<Vec<Leftover>, FrameError> {
        let now_ms = self.inner.deps.clock.now_ms();
        let patience = millis(self.inner.deps.settings.tick) * 6;
        let overdue = self.list().await?.into_iter().filter_map(|row| {
            let expired_at = row.expires_at.filter(|at| at + patience < now_ms)?;
            let seconds = (now_ms - expired_at) / 1000;
            let problem = self.problem(&row.id).map(|problem| format!(": {problem}")).unwrap_or_default();
            Some(Leftover {
                kind: "expired_frame".into(),
                what: row.name.to_string(),
                why: format!("its time was up {seconds} s ago"),
                size_bytes: 0,
                outcome: format!("is being destroyed{problem}"),
            })
        });
        Ok(overdue.collect())
    }
}

fn outcome_of<E: std::fmt::Display>(dry_run: bool, outcome: Result<(), E>) -> String {
    match outcome {
        Ok(()) if dry_run => "found".into(),
        Ok(()) => "removed".into(),
        Err(error) => error.to_string(),
    }
}

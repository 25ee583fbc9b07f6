//! Which rules hold for a frame: the configured ones, its own, and those of the project in it.

use std::path::PathBuf;

use crate::config::{Live, project_file};
use crate::model::approval::AskBody;
use crate::model::ids::FrameId;
use crate::model::policy::{Rule, Ruling, rule_with_project};
use crate::store::{Store, StoreError, approvals, frames};

/// Knows the rules. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    store: Store,
    configured: Live<Vec<Rule>>,
}

/// What holds for one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesOfFrame {
    /// The owner's, later ones win.
    pub owner: Vec<Rule>,
    /// The project's: may be stricter, never more lenient.
    pub project: Vec<Rule>,
}

impl Rules {
    /// The rules of all frames; a frame's own come behind them.
    #[must_use]
    pub fn new(store: Store, configured: Live<Vec<Rule>>) -> Self {
        Self { store, configured }
    }

    /// Other configured rules from now on.
    pub fn configure(&self, configured: Vec<Rule>) {
        self.configured.set(configured);
    }

    /// The rules of a frame, as they are now: the project's file is read each time.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn of(&self, frame: &FrameId) -> Result<RulesOfFrame, StoreError> {
        let id = frame.clone();
        let configured = self.configured.now();
        self.store
            .read(move |db| {
                let own = approvals::rules_of(db, &id)?;
                let workspace = frames::find(db, &id)?.map(|frame| PathBuf::from(frame.workspace));
                // Reading connections live on threads that may block.
                let project = workspace.map(|folder| of_project(&folder)).unwrap_or_default();
                Ok(RulesOfFrame { owner: configured.iter().cloned().chain(own).collect(), project })
            })
            .await
    }
}

impl RulesOfFrame {
    /// What they say to a prompt.
    #[must_use]
    pub fn rule_on(&self, body: &AskBody) -> Ruling {
        rule_with_project(&self.owner, &self.project, body)
    }

    /// All of them, as far as the agent has to know: what to ask for.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        self.owner.iter().chain(&self.project)
    }
}

/// One that cannot be read has no say; it could only have been stricter, and a person is asked then.
fn of_project(folder: &std::path::Path) -> Vec<Rule> {
    match project_file::load(folder) {
        Ok(Some((layer, _))) => layer.rules,
        Ok(None) => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "the rules of {} have no say: {error}", folder.display());
            Vec::new()
        }
    }
}

//! What would follow from a message, without anything of it happening.

use super::consumer::history;
use super::read;
use super::rules::{self, Decision};
use super::{Headers, IntakeError, Webhooks};
use crate::store::webhooks as rows;

/// What would follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What the sender calls it.
    pub event: String,
    /// What a run would be about, as its key.
    pub matter: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// The rule that fits, counted from 1.
    pub rule: Option<usize>,
    /// Its workflow.
    pub workflow: Option<String>,
    /// Whose run it would be.
    pub project: Option<String>,
    /// The run that would be joined.
    pub joins: Option<String>,
    /// Runs that would be woken.
    pub wakes: Vec<String>,
    /// Why no run would begin or be joined.
    pub reason: Option<String>,
}

impl Webhooks {
    /// What would follow from a message of that sender. No signature is asked for.
    ///
    /// # Errors
    /// [`IntakeError::UnknownSource`], the database's.
    pub async fn preview(&self, name: &str, headers: Headers, body: Vec<u8>) -> Result<Preview, IntakeError> {
        let settings = self.inner.settings.now();
        let source = settings.sources.get(name).ok_or(IntakeError::UnknownSource)?.clone();
        let (name, now) = (name.to_owned(), self.inner.clock.now_ms());
        let look = self.inner.store.read(move |db| {
            let notice = match read::message(&name, &source, &headers, &body) {
                Ok(notice) => notice,
                Err(unreadable) => {
                    return Ok(Preview { reason: Some(unreadable.to_string()), ..Preview::default() });
                }
            };
            let mut joins = None;
            let decision = rules::decide(&notice, &name, &settings.rules, now, |rule, matter| {
                let known = history(db, None, rule, matter, now)?;
                joins = known.open.clone();
                Ok::<_, crate::store::StoreError>(known)
            })?;
            let Decision { wakes, run } = decision;
            let mut woken = Vec::new();
            for name in &wakes {
                woken.extend(rows::open_of_name(db, name)?.iter().map(ToString::to_string));
            }
            let matter = notice.matter.as_ref();
            let mut preview = Preview {
                event: notice.event.clone(),
                matter: matter.map(|matter| matter.key.clone()),
                title: matter.map(|matter| matter.title.clone()),
                wakes: woken,
                ..Preview::default()
            };
            match run {
                Ok(wanted) => {
                    preview.rule = Some(wanted.rule);
                    preview.workflow = Some(wanted.run.workflow);
                    preview.project = wanted.run.project.map(|project| project.to_string());
                    preview.joins = joins.map(|run| run.to_string());
                }
                Err(refusal) => preview.reason = Some(refusal.why),
            }
            Ok(preview)
        });
        Ok(look.await?)
    }
}

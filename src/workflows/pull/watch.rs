//! The stage `watch`: whether the problem comes back. Nothing works meanwhile, and no frame is kept.

use serde::{Deserialize, Serialize};

use super::PullDeps;
use super::outside::of_forge;
use super::place::place;
use super::resolve::NOTE as RESOLVED;
use super::say::say;
use super::settings::WatchSettings;
use super::texts;
use super::words::one_line;
use crate::clock::utc;
use crate::model::forge::OpenState;
use crate::model::run::{RunState, RunSubject};
use crate::workflows::stage::{Outcome, StageContext, StageError};

const NOTE: &str = "watch";

/// What is kept from one look to the next.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Watched {
    /// UTC ms.
    since: u64,
    /// Whether the issue was seen closed: one that is open then was opened again.
    was_closed: bool,
    /// Whether the error had come back before it was watched: that is nothing new.
    was_regressed: Option<bool>,
}

/// The stage.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Sync>(
    settings: &WatchSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    if cx.run().input.subject == RunSubject::None {
        return Ok(Outcome::Done);
    }
    let now = cx.now_ms();
    let known = cx.progress().notes.get(NOTE).and_then(|note| serde_json::from_value(note.clone()).ok());
    let mut watched: Watched = known.unwrap_or(Watched { since: now, ..Watched::default() });
    let until = watched.since.saturating_add(ms(settings.length));
    let back = came_back(&mut watched, cx, deps).await?;
    if let Ok(note) = serde_json::to_value(watched) {
        cx.progress().notes.insert(NOTE.to_owned(), note);
    }
    if let Some(how) = back {
        if cx.progress().pull.is_some() {
            let place = place(cx, deps).await?;
            say(&texts::regressed(&how), "regressed", &place, cx, deps).await?;
        }
        return Ok(Outcome::End { state: RunState::Failed, reason: format!("regressed: {how}") });
    }
    if now >= until {
        return Ok(Outcome::Done);
    }
    let why = format!("it is watched until {} UTC whether it comes back", utc(until));
    Ok(Outcome::Wait { until: until.min(now.saturating_add(ms(settings.every))), why })
}

/// How it came back, if it did. Whoever cannot be asked is asked at the next look.
async fn came_back<C: StageContext, W: Sync>(
    watched: &mut Watched,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<String>, StageError> {
    match cx.run().input.subject.clone() {
        RunSubject::None => Ok(None),
        RunSubject::Sentry { organization, issue, short_id, .. } => {
            let Some(sentry) = deps.sentries.of(&organization) else { return Ok(None) };
            let was_resolved = cx.progress().notes.contains_key(RESOLVED);
            let Ok(now) = sentry.issue(&issue).await else { return Ok(None) };
            let is_open = now.status.as_deref() == Some("unresolved");
            let has_regressed = now.has_regressed();
            let is_old = *watched.was_regressed.get_or_insert(has_regressed);
            watched.was_regressed = Some(is_old && has_regressed);
            let is_back = (has_regressed && !is_old) || (was_resolved && is_open);
            Ok(is_back.then(|| format!("{} is unresolved again", one_line(&short_id.unwrap_or(issue), 60))))
        }
        RunSubject::Issue { repository, number, .. } => {
            let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
            let Ok(issue) = forge.issue(number).await else { return Ok(None) };
            let is_open = issue.state == OpenState::Open;
            watched.was_closed |= !is_open;
            Ok((watched.was_closed && is_open).then(|| format!("issue {number} was opened again")))
        }
    }
}

fn ms(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

//! The stage `resolve`: says where the problem was reported that it is solved.

use super::PullDeps;
use super::outside::{of_forge, of_sentry};
use super::place::{pull, repository};
use super::settings::{ResolveSettings, ResolveWith};
use super::texts;
use super::words::one_line;
use crate::forge::ForgeError;
use crate::model::run::RunSubject;
use crate::sentry::{ResolveIn, SentryError};
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// Where it is noted that it was said.
pub(super) const NOTE: &str = "resolved";

/// The stage.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Sync>(
    settings: &ResolveSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    if cx.progress().notes.contains_key(NOTE) {
        return Ok(Outcome::Done);
    }
    let pull = pull(cx)?;
    let commit = pull.merged.ok_or_else(|| {
        StageError::Permanent(
            "nothing was merged that could solve it: stage `merge` comes before this one".into(),
        )
    })?;
    match cx.run().input.subject.clone() {
        RunSubject::None => Ok(Outcome::Done),
        RunSubject::Issue { repository, number, .. } => {
            let run = cx.run().id.clone();
            let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
            deps.failpoints.hit("workflows.resolve.before").await;
            let text = texts::solved(pull.number, &commit);
            let said = forge.comment_issue(number, &text, &format!("{run}/solved")).await;
            let (told, link) = match said {
                Ok(said) => ("was told".to_owned(), Some(said.url)),
                // Nobody can find out whether it was said already.
                Err(error @ ForgeError::TooMuch(_)) => (format!("was not told ({error})"), None),
                Err(error) => return Err(of_forge(error)),
            };
            deps.failpoints.hit("workflows.resolve.after").await;
            // The merge closes it where the pull request says so and is merged into the first branch.
            deps.failpoints.hit("workflows.close_issue.before").await;
            let text = match forge.close_issue(number).await {
                Ok(true) => format!("issue {number} {told}, and is closed"),
                Ok(false) => format!("issue {number} {told}; it is closed already"),
                Err(ForgeError::Auth(why) | ForgeError::Refused(why)) => format!(
                    "issue {number} {told}, but stays open, close it there yourself: {}",
                    one_line(&why, 200)
                ),
                Err(error) => return Err(of_forge(error)),
            };
            deps.failpoints.hit("workflows.close_issue.after").await;
            done(cx, text, link).await
        }
        RunSubject::Sentry { organization, issue, short_id, url, .. } => {
            let in_release = match settings.sentry {
                ResolveWith::Nothing => return Ok(Outcome::Done),
                ResolveWith::NextRelease => ResolveIn::NextRelease,
                ResolveWith::Commit => {
                    ResolveIn::Commit { repository: repository(cx, deps).await?, sha: commit }
                }
            };
            let name = short_id.unwrap_or_else(|| issue.clone());
            let Some(sentry) = deps.sentries.of(&organization) else {
                let text = format!(
                    "nothing opens the API of {organization}: resolve {name} there yourself, \
                     or set webhooks.sources.*.token"
                );
                cx.save("note", text, url).await?;
                return Ok(Outcome::Done);
            };
            deps.failpoints.hit("workflows.resolve.before").await;
            match sentry.resolve(&issue, &in_release).await {
                Err(SentryError::Refused(_)) if in_release != ResolveIn::NextRelease => {
                    // It does not know the repository.
                    sentry.resolve(&issue, &ResolveIn::NextRelease).await.map_err(of_sentry)?;
                }
                other => drop(other.map_err(of_sentry)?),
            }
            deps.failpoints.hit("workflows.resolve.after").await;
            done(cx, format!("{name} is resolved"), url).await
        }
    }
}

async fn done<C: StageContext>(
    cx: &mut C,
    text: String,
    link: Option<String>,
) -> Result<Outcome, StageError> {
    cx.progress().notes.insert(NOTE.to_owned(), true.into());
    cx.save("note", text, link).await?;
    Ok(Outcome::Done)
}

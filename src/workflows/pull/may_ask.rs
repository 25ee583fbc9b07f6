//! Whether whoever asked for a run in an issue may: in a public repository anybody can write, and what follows is paid by
//! its owner. The forge is asked before the first stage of a run does anything, whatever its workflow.

use super::PullDeps;
use super::outside::of_forge;
use super::words::one_line;
use crate::forge::ForgeError;
use crate::model::forge::Permission;
use crate::model::run::{Asker, Run, RunState, RunSubject};
use crate::model::webhook::AuthorRight;
use crate::workflows::stage::{Outcome, StageContext, StageError};

/// How a run ends that was asked for by somebody who may not; none for all others, which go on. Its end is no failure:
/// nobody else has to wait because of it.
///
/// # Errors
/// [`StageError::Auth`] when the credential is not told what people may do; see [`StageError`].
pub async fn turned_away<C: StageContext, W: Sync>(
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Outcome>, StageError> {
    let RunSubject::Issue { repository, asked_by, url, .. } = cx.run().input.subject.clone() else {
        return Ok(None);
    };
    let is_first = cx.run().stage == cx.workflow().first();
    if !is_first || cx.run().progress.asker() == Some(Asker::May) {
        return Ok(None);
    }
    // Whatever keeps the forge from saying it: it is not known.
    cx.progress().set_asker(Asker::Untold);
    let (who, wanted) = (one_line(&asked_by, 60), wanted(cx.run()));
    let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
    let right = match forge.permission(&asked_by).await {
        Err(ForgeError::Auth(why)) => {
            return Err(StageError::Auth(format!(
                "whether {who} may ask for that cannot be found out, and unless it is nothing is done: {why}"
            )));
        }
        said => said.map_err(of_forge)?,
    };
    if right >= wanted {
        cx.progress().set_asker(Asker::May);
        let text = format!("{who} asked for it, who has the right `{right}` in {repository}");
        cx.save("decision", text, url).await?;
        return Ok(None);
    }
    // Of a repository that the credential is not shown, it is told nobody's rights either.
    match forge.repository().await {
        Err(ForgeError::NotFound(_)) => {
            return Err(StageError::Auth(format!(
                "the forge shows the credential no repository {repository}: give it access to that, or use another one"
            )));
        }
        seen => drop(seen.map_err(of_forge)?),
    }
    cx.progress().set_asker(Asker::MayNot);
    let reason = format!(
        "{who} may not ask for that: the rule wants the right `{wanted}` in {repository}, and the forge says `{right}`"
    );
    Ok(Some(Outcome::End { state: RunState::Superseded, reason }))
}

/// What the rule wants that began the run.
fn wanted(run: &Run) -> Permission {
    let said = run.input.variables.get(AuthorRight::VARIABLE);
    match said.and_then(|word| word.parse::<AuthorRight>().ok()).unwrap_or_default() {
        AuthorRight::Write => Permission::Write,
        AuthorRight::Admin => Permission::Admin,
    }
}

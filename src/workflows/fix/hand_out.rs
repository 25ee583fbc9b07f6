//! The commit leaves its frame: pushed to the frame's own broker, which makes a parcel of it and holds it at the gate. It is
//! compared with what was asked for, and goes on when nothing in it has to be looked at.

use std::time::Duration;

use super::frame::{self, Begin, Ready, Role};
use super::settings::PushSettings;
use super::{FixDeps, inside};
use crate::model::git::{Push, PushState, Repository, is_protected};
use crate::model::run::RunState;
use crate::pushes::{GATE, PushError};
use crate::store::{pushes, runs};
use crate::workflows::deps::principal;
use crate::workflows::stage::{Outcome, StageContext, StageError};
use crate::workflows::trouble;

/// How long a push to the broker may take.
const PUSH: Duration = Duration::from_secs(10 * 60);
/// The gate's name.
const HELD: &str = "push";

/// Pushes the branch as it is in the clone; `$1` commit, `$2` branch.
pub(super) const PUSH_SCRIPT: &str = r#"
set -eu
git push -q --no-verify origin "$1:refs/heads/$2"
"#;

/// What became of it.
pub(super) enum Sent {
    /// The forge has it.
    AtForge,
    /// Somebody must look at it first, or said no.
    Outcome(Outcome),
}

/// Takes the fix's commit out of its frame, to the forge.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext>(
    settings: &PushSettings,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Outcome, StageError> {
    let Some(commit) = cx.run().progress.commit.clone() else {
        let text = "there is no commit to push: the workflow needs a stage of kind `fix` before this one";
        return Err(StageError::Permanent(text.to_owned()));
    };
    match send(settings, &commit, cx, deps).await? {
        Sent::AtForge => Ok(Outcome::Done),
        Sent::Outcome(outcome) => Ok(outcome),
    }
}

/// Sees to it that the forge has that commit as the run's branch.
pub(super) async fn send<C: StageContext>(
    settings: &PushSettings,
    commit: &str,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Sent, StageError> {
    let push = match found(commit, cx, deps).await? {
        Some(push) => push,
        None => pushed(commit, cx, deps).await?,
    };
    deps.failpoints.hit("workflows.push.after_parcel").await;
    if cx.run().progress.push != Some(push.id) {
        cx.progress().push = Some(push.id);
        let text = format!("push {}: {commit} as {}, {}", push.id, frame::branch_of(cx.run()), push.state);
        cx.save("push", text, Some(format!("mimir push show {}", push.id))).await?;
    }
    let name = frame::name_of_fix(&cx.run().id)?;
    frame::reject_strays(deps, &name, Some(push.id), "only what the run itself pushes goes on").await?;
    let push = match push.state {
        // Who is asked may answer the push itself, also while it is looked at: that wakes the run.
        PushState::Waiting => match followed(&push, cx, deps).await? {
            push if push.state == PushState::Waiting => {
                match looked_at(settings, commit, &push, cx, deps).await? {
                    None => approved(&push, deps).await?,
                    Some(outcome) => return Ok(Sent::Outcome(outcome)),
                }
            }
            push if push.state.can_be_decided() || push.state == PushState::Approved => {
                approved(&push, deps).await?
            }
            push => push,
        },
        // On its way, or to be tried once more.
        PushState::Approved | PushState::Failed => approved(&push, deps).await?,
        PushState::Pushed | PushState::Rejected | PushState::Replaced => push,
    };
    deps.failpoints.hit("workflows.push.after_forge").await;
    became(&push, commit, cx, deps).await
}

/// Where the forge shows a commit that it has, as all of them name it; none for a host that is no forge any more.
pub(super) fn address_of(commit: &str, repository: &Repository, deps: &FixDeps) -> Option<String> {
    let forge = deps.pushes.forge(repository.host())?;
    let scheme = if forge.is_plain { "http" } else { "https" };
    Some(format!("{scheme}://{repository}/commit/{commit}"))
}

async fn became<C: StageContext>(
    push: &Push,
    commit: &str,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Sent, StageError> {
    let why = push.reason.clone().unwrap_or_else(|| "nobody knows why".to_owned());
    match push.state {
        PushState::Pushed => {
            let text = format!("{} is at {} now, {commit}", frame::branch_of(cx.run()), push.repository);
            cx.save("push", text, address_of(commit, &push.repository, deps)).await?;
            Ok(Sent::AtForge)
        }
        PushState::Rejected => {
            Ok(Sent::Outcome(Outcome::End { state: RunState::Cancelled, reason: rejected(push) }))
        }
        PushState::Waiting | PushState::Approved => {
            Err(StageError::Infrastructure(format!("push {} is still on its way", push.id)))
        }
        // The next try makes another one.
        PushState::Replaced => {
            cx.progress().push = None;
            Err(StageError::Infrastructure(format!("push {} was replaced by another one", push.id)))
        }
        PushState::Failed if is_about_access(&why) => Err(StageError::Auth(format!(
            "the forge does not take push {}: {why}; see `git.credentials`, then `mimir runs retry {}`",
            push.id,
            cx.run().id
        ))),
        PushState::Failed => {
            Err(StageError::Infrastructure(format!("the forge did not take push {}: {why}", push.id)))
        }
    }
}

/// Who said no, in the words in which a run says it that is rejected itself.
fn rejected(push: &Push) -> String {
    let by = push.decided_by.as_deref().unwrap_or("nobody knows whom");
    let because = push.reason.as_deref().map(|why| format!(": {}", super::fence::line(why, 200)));
    format!("rejected by {by}{} (push {})", because.unwrap_or_default(), push.id)
}

/// The push as it is now, and from now on whoever decides about it wakes the run.
async fn followed<C: StageContext>(push: &Push, cx: &C, deps: &FixDeps) -> Result<Push, StageError> {
    let (run, id) = (cx.run().id.clone(), push.id);
    let followed = deps.store.write(move |tx| {
        runs::name(tx, &run, &pushes::run_name(id))?;
        pushes::get(tx, id)
    });
    followed.await.map_err(trouble::of_store)
}

/// Whether a person has to give us access first. Git's words hold the address, in which a port is `:8403` and a
/// repository called `permissions`; those say nothing.
fn is_about_access(why: &str) -> bool {
    let why = why.to_lowercase();
    let words: Vec<&str> = why.split_whitespace().filter(|word| !word.contains('/')).collect();
    let said = |word: &&str| {
        let word = word.trim_matches(|sign: char| sign.is_ascii_punctuation());
        ["403", "401", "denied", "credential", "credentials", "authentication", "permission"].contains(&word)
    };
    words.iter().any(said) || words.join(" ").contains("protected branch")
}

/// The push of that commit, when an earlier pass made it.
pub(super) async fn found<C: StageContext>(
    commit: &str,
    cx: &C,
    deps: &FixDeps,
) -> Result<Option<Push>, StageError> {
    if let Some(id) = cx.run().progress.push {
        match deps.pushes.get(id).await {
            Ok(push)
                if is_it(&push, &frame::branch_of(cx.run()), commit) && push.state != PushState::Replaced =>
            {
                return Ok(Some(push));
            }
            Ok(_) | Err(PushError::NotFound(_)) => {}
            Err(error) => return Err(of_push(error)),
        }
    }
    let name = frame::name_of_fix(&cx.run().id)?;
    let all = deps.pushes.list(Some(name), true).await.map_err(trouble::of_store)?;
    let branch = frame::branch_of(cx.run());
    Ok(all.into_iter().find(|push| is_it(push, &branch, commit) && push.state != PushState::Replaced))
}

/// Whether it moves the branch there and nothing else.
fn is_it(push: &Push, branch: &str, commit: &str) -> bool {
    let name = format!("refs/heads/{branch}");
    matches!(&push.updates[..], [one] if one.name == name && one.to.as_deref() == Some(commit))
}

async fn pushed<C: StageContext>(commit: &str, cx: &mut C, deps: &FixDeps) -> Result<Push, StageError> {
    let (fix, _) = super::rounds::settings_of(cx.workflow());
    let Ready { frame, .. } = frame::ready(Role::Mend(&fix), Begin::Base, cx, deps).await?;
    deps.failpoints.hit("workflows.push.before").await;
    let args = [commit, &frame::branch_of(cx.run())];
    let ran = inside::with_git(deps, &frame, PUSH_SCRIPT, &args, PUSH).await?;
    deps.failpoints.hit("workflows.push.after").await;
    if !ran.is_fine() {
        let why = ran.last_words();
        return Err(StageError::Infrastructure(format!("frame {} cannot push: {why}", frame.name)));
    }
    found(commit, cx, deps).await?.ok_or_else(|| {
        // It looks as if it were there already, or somebody inside answered in the broker's place.
        StageError::Infrastructure(format!("frame {} pushed, and nothing came of it", frame.name))
    })
}

/// Whether a person has to look at it: what they are asked.
async fn looked_at<C: StageContext>(
    settings: &PushSettings,
    commit: &str,
    push: &Push,
    cx: &C,
    deps: &FixDeps,
) -> Result<Option<Outcome>, StageError> {
    let run = cx.run();
    if run.progress.approved.get(HELD).is_some_and(|bound| bound == commit) {
        return Ok(None);
    }
    let mut reasons: Vec<String> = push.held_because.iter().filter(|why| *why != GATE).cloned().collect();
    if settings.ask {
        reasons.push("the workflow asks for every push".to_owned());
    }
    if push.contents.files > settings.max_files {
        reasons
            .push(format!("it changes {} files, and {} go unseen", push.contents.files, settings.max_files));
    }
    let patches = deps.pushes.patches(push).await.map_err(of_push)?;
    let lines = changed_lines(&patches.text);
    if patches.is_cut || lines > settings.max_lines {
        let more = if patches.is_cut { "more than " } else { "" };
        reasons.push(format!("it changes {more}{lines} lines, and {} go unseen", settings.max_lines));
    }
    let protected = frame::about(run, deps).await?.settings.protected;
    let touched: Vec<String> = changed_paths(&patches.text)
        .into_iter()
        // A name that git has to quote is looked at where anything is protected: it may be any.
        .filter(|path| is_protected(path, &protected) || (!protected.is_empty() && path.starts_with('"')))
        .map(|path| super::fence::line(&path, 100))
        .take(5)
        .collect();
    if !touched.is_empty() {
        reasons.push(format!("it changes what the project protects: {}", touched.join(", ")));
    }
    if reasons.is_empty() {
        return Ok(None);
    }
    let why = format!(
        "push {0} waits for a look: {1}; `mimir push show {0}` shows it, `mimir push approve {0}` or `mimir runs approve {2}` \
         lets it go on",
        push.id,
        reasons.join("; "),
        run.id
    );
    Ok(Some(Outcome::Hold { gate: HELD.to_owned(), subject: commit.to_owned(), why }))
}

/// Lines that were added or taken away, in patches as git prints them.
fn changed_lines(patches: &str) -> u64 {
    let is_change = |line: &&str| {
        (line.starts_with('+') && !line.starts_with("+++ "))
            || (line.starts_with('-') && !line.starts_with("--- "))
    };
    patches.lines().filter(is_change).count() as u64
}

/// Paths that patches speak of.
fn changed_paths(patches: &str) -> Vec<String> {
    let heads = patches.lines().filter_map(|line| line.strip_prefix("diff --git "));
    // Without renames both sides have one name: `a/x b/x`.
    let name = |both: &str| match both.starts_with('"') {
        true => Some(both.to_owned()),
        false => both.get(2..both.len() / 2).map(str::to_owned),
    };
    heads.filter_map(name).collect()
}

async fn approved(push: &Push, deps: &FixDeps) -> Result<Push, StageError> {
    deps.failpoints.hit("workflows.push.before_approval").await;
    match deps.pushes.approve(&principal(), push.id).await {
        Ok(push) => Ok(push),
        // Somebody was first.
        Err(PushError::TooLate { id, .. }) => deps.pushes.get(id).await.map_err(of_push),
        Err(error) => Err(of_push(error)),
    }
}

fn of_push(error: PushError) -> StageError {
    match error {
        PushError::Store(error) => trouble::of_store(error),
        PushError::Stopping => StageError::Changed,
        PushError::Credential(error) => StageError::Auth(error.to_string()),
        error @ (PushError::NotFound(_) | PushError::NotTheirs(_)) => {
            StageError::Permanent(error.to_string())
        }
        error @ (PushError::TooLate { .. } | PushError::Git(_)) => {
            StageError::Infrastructure(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
commit 1\n\n    say -- and ++ in a message\n\ndiff --git a/src/a b.py b/src/a b.py\nindex 1..2\n--- a/src/a b.py\n\
+++ b/src/a b.py\n@@ -1,2 +1,2 @@\n-old\n+new\n+more\n context\ndiff --git a/x b/x\n\
diff --git \"a/\\303\\244\" \"b/\\303\\244\"\n";

    #[test]
    fn a_patch_is_counted_by_its_lines_and_names() {
        assert_eq!(changed_lines(PATCH), 3);
        let paths = changed_paths(PATCH);
        assert_eq!(paths[..2], ["src/a b.py", "x"]);
        assert!(paths.len() == 3 && paths[2].starts_with('"'), "{paths:?}");
    }

    #[test]
    fn what_a_person_has_to_mend_is_told_apart() {
        assert!(is_about_access("[remote rejected] (protected branch hook declined)"));
        assert!(is_about_access("the forge says 403: the credential does not open it"));
        assert!(is_about_access("permission denied (publickey)"));
        assert!(is_about_access("refs/heads/x: the forge asks for a credential; there is none for it"));
        assert!(!is_about_access("it was moved at the forge meanwhile: fetch, and push again"));
        assert!(!is_about_access(
            "unable to access 'https://git.example.org:8403/a/b.git/': Could not resolve host"
        ));
        assert!(!is_about_access(
            "fatal: https://example.org/acme/permissions.git/ : the connection timed out"
        ));
    }
}

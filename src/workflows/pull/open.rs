//! The stage `pull_request`: opens it as a draft, once; found again by its branch and what it says.

use tokio::sync::Mutex;

use super::PullDeps;
use super::adopt::{Wanted, hidden};
use super::memory::{Memory, Opening};
use super::outside::of_forge;
use super::place::repository;
use super::preflight::{no_room_until, preflight, wait_for_room};
use super::say::scanner;
use super::settings::PullRequestSettings;
use super::texts::{left_out, plain_title, pull_body, pull_parts, pull_title};
use super::words::{one_line, short};
use crate::clock::entropy_128;
use crate::forge::Forge;
use crate::model::forge::{NewPull, OpenState, PullRequest, marker};
use crate::model::git::Repository;
use crate::model::run::{RunPull, RunState, RunSubject};
use crate::store::runs;
use crate::workflows::stage::{Outcome, StageContext, StageError};
use crate::workflows::trouble::of_store;

/// Two runs do not both take the last place of a day.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The stage.
///
/// # Errors
/// See [`StageError`].
pub async fn perform<C: StageContext, W: Sync>(
    settings: &PullRequestSettings,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Outcome, StageError> {
    if cx.progress().pull.is_some() {
        return Ok(Outcome::Done);
    }
    let repository = repository(cx, deps).await?;
    let missing =
        || StageError::Permanent("nothing was pushed: stage `push` comes before this one".to_owned());
    let branch = cx.progress().branch.clone().ok_or_else(missing)?;
    let commit = cx.progress().commit.clone().ok_or_else(missing)?;
    preflight(cx, deps).await?;
    let forge = deps.forges.of(&repository).await.map_err(of_forge)?;
    name(&repository, &format!("branch:{repository}/{branch}"), cx, deps).await?;
    let base = match &settings.base {
        Some(base) => base.clone(),
        None => forge.repository().await.map_err(of_forge)?.default_branch,
    };
    let login = forge.login().await.map_err(of_forge)?;
    let marker = marker(&format!("run={}", cx.run().id));
    let login = login.as_deref();
    let opening = Memory::of(cx.progress()).opening;
    let mut wanted = Wanted { marker: &marker, login, base: &base, commit: &commit, opened: None, opening };
    let (found, last) = find(&mut wanted, &branch, &forge).await?;
    let pull = match found {
        Some(found) => found,
        None => {
            let (title, body) = words(cx, deps).await?;
            if let Some(until) = reserve(&branch, last, cx, deps).await? {
                return Ok(wait_for_room(until));
            }
            wanted.opening = Memory::of(cx.progress()).opening;
            let mark = wanted.opening.as_ref().map(hidden).unwrap_or_default();
            let text = body.strip_suffix(marker.as_str()).unwrap_or(&body);
            let body = format!("{text}{mark}\n{marker}");
            let (head, is_draft) = (branch.clone(), settings.draft);
            let new = NewPull { head, base: base.clone(), title, body, is_draft };
            deps.failpoints.hit("workflows.pull_request.before").await;
            let (opened, is_new) = forge.open_or_find_pull(&new).await.map_err(of_forge)?;
            deps.failpoints.hit("workflows.pull_request.after").await;
            match is_new {
                true => wanted.opened = Some(opened.number),
                // It may be ours all the same, and be seen only now.
                false => drop(find(&mut wanted, &branch, &forge).await?),
            }
            if !wanted.is_ours(&opened) && !wanted.fits(&opened) {
                // Forges have one from a branch to another. What is pushed is not seen everywhere at once.
                return Err(StageError::Infrastructure(format!(
                    "pull request #{} from {branch}, which {} opened, is at {} and not at the run's commit: close it \
                     there, and another one is opened",
                    opened.number,
                    one_line(&opened.author, 60),
                    short(&opened.head_sha)
                )));
            }
            opened
        }
    };
    name(&repository, &format!("pull:{repository}#{}", pull.number), cx, deps).await?;
    deps.failpoints.hit("workflows.pull_request.named").await;
    if pull.state == OpenState::Closed && !pull.merged {
        let reason = format!("pull request #{} was closed", pull.number);
        return Ok(Outcome::End { state: RunState::Superseded, reason });
    }
    if pull.state == OpenState::Open && !wanted.is_ours(&pull) {
        // Somebody else opened it from our branch: it says what ours says all the same.
        let (title, body) = words(cx, deps).await?;
        deps.failpoints.hit("workflows.edit.before").await;
        forge.edit_pull(pull.number, Some(&title), Some(&body)).await.map_err(of_forge)?;
        deps.failpoints.hit("workflows.edit.after").await;
    }
    keep(&pull, &wanted, cx).await?;
    deps.failpoints.hit("workflows.pull_request.noted").await;
    Ok(Outcome::Done)
}

/// The run's own, open or not; else one that somebody opened and that does the same. And the greatest number of all that
/// were looked at.
async fn find(
    wanted: &mut Wanted<'_>,
    branch: &str,
    forge: &Forge,
) -> Result<(Option<PullRequest>, u64), StageError> {
    let open = forge.pulls_from(branch, OpenState::Open).await.map_err(of_forge)?;
    if let Some(ours) = wanted.ours(&open) {
        let number = ours.number;
        return Ok((Some(ours), number));
    }
    let closed = forge.pulls_from(branch, OpenState::Closed).await.map_err(of_forge)?;
    let all = || open.iter().chain(&closed);
    wanted.opened = wanted.first_marked(all());
    let last = all().map(|pull| pull.number).max().unwrap_or_default();
    let found = wanted.ours(&open).or_else(|| wanted.ours(&closed)).or_else(|| wanted.fitting(&open));
    Ok((found, last))
}

async fn keep<C: StageContext>(
    pull: &PullRequest,
    wanted: &Wanted<'_>,
    cx: &mut C,
) -> Result<(), StageError> {
    let known = RunPull {
        number: pull.number,
        url: pull.url.clone(),
        head: wanted.commit.to_owned(),
        is_draft: pull.is_draft,
        merged: None,
    };
    let mut memory = Memory::of(cx.progress());
    memory.base = Some(wanted.base.to_owned());
    memory.opened_for.clone_from(&memory.base);
    memory.adopted = wanted.is_of_another(pull).then(|| pull.author.clone());
    memory.is_lost = false;
    let own = wanted.login.map(str::to_owned);
    memory.own = own.or_else(|| wanted.is_ours(pull).then(|| pull.author.clone()));
    memory.keep(cx.progress());
    cx.progress().pull = Some(known);
    let text = format!("pull request #{} is open at {}", pull.number, short(&pull.head_sha));
    cx.save("pull", text, Some(pull.url.clone())).await
}

/// Takes one of the places of this day. Gives until when there is none. What the one will be known by that is opened is
/// kept with it, before anybody else can know it; `last` is the greatest number that there was.
async fn reserve<C: StageContext, W: Sync>(
    branch: &str,
    last: u64,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<u64>, StageError> {
    let _alone = ONE_AT_A_TIME.lock().await;
    if let Some(until) = no_room_until(cx, deps).await? {
        return Ok(Some(until));
    }
    let mut memory = Memory::of(cx.progress());
    memory.opening.get_or_insert_with(|| Opening { mark: format!("{:032x}", entropy_128()), after: last });
    memory.keep(cx.progress());
    cx.save("pull", format!("opens a pull request from {branch}"), None).await?;
    Ok(None)
}

/// The title and the text. A part in which something looks like a secret does not leave.
async fn words<C: StageContext, W: Sync>(
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(String, String), StageError> {
    let (run, progress) = (cx.run().clone(), cx.progress().clone());
    let id = run.id.clone();
    let spent = deps.store.read(move |db| runs::spent(db, &id)).await.map_err(of_store)?;
    let scanner = scanner(deps).await?;
    let repository = repository(cx, deps).await?;
    let mut parts = pull_parts(&run, &progress, &repository, spent);
    for (what, part) in &mut parts {
        if !scanner.scan(part).is_empty() {
            *part = left_out(what);
        }
    }
    let mut title = pull_title(&run, &progress);
    if !scanner.scan(&title).is_empty() {
        title = plain_title(&run);
    }
    let body = pull_body(&run, &parts);
    match scanner.scan(&body).first() {
        None => Ok((title, body)),
        Some(found) => Err(StageError::Permanent(format!(
            "the text of the pull request looks as if it held {}: it does not leave",
            found.what
        ))),
    }
}

/// Notes under which names others tell of it.
async fn name<C: StageContext, W: Sync>(
    repository: &Repository,
    name: &str,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    let subject = match &cx.run().input.subject {
        RunSubject::None => None,
        RunSubject::Sentry { organization, issue, .. } => Some(format!("sentry:{organization}/{issue}")),
        RunSubject::Issue { repository: of, number, .. } if of == repository => {
            Some(format!("issue:{of}#{number}"))
        }
        RunSubject::Issue { .. } => None,
    };
    let names: Vec<String> = [Some(name.to_owned()), subject].into_iter().flatten().collect();
    let id = cx.run().id.clone();
    let written = deps.store.write(move |tx| names.iter().try_for_each(|name| runs::name(tx, &id, name)));
    written.await.map_err(of_store)
}

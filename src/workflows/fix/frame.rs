//! The frames of a run: one that looks and one that mends, each with a clone of its own in a folder that goes with it.
//!
//! A frame is found by its name, which is the run's, so one that an earlier gateway made is not made again. The clone is made
//! by the frame's own git, through its broker, from the copy on this machine; the host runs no git in it. It is whole when
//! the run's row says so; before that the same script runs once more, and finds what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::settings::{AnalyseSettings, FixSettings};
use super::{FixDeps, inside};
use crate::frames::{FrameError, FrameRequest, Lifetime, Place, WantedLimits};
use crate::model::container::inside::WORKSPACE;
use crate::model::frame::{Desired, Frame};
use crate::model::git::{GitMode, PushState, Repository};
use crate::model::ids::RunId;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::origin::Origin;
use crate::model::policy::{Action, Rule};
use crate::model::project::ProjectSettings;
use crate::model::run::Run;
use crate::store::{Store, projects};
use crate::workflows::deps::principal;
use crate::workflows::stage::{StageContext, StageError};
use crate::workflows::trouble;

/// How long a frame may take until its agent answers.
const START: Duration = Duration::from_secs(180);
/// How long a clone may take; large ones come from a copy that has to be made first.
const CLONE: Duration = Duration::from_secs(30 * 60);
/// How long the end of a frame is waited for.
const END: Duration = Duration::from_secs(60);

/// What a frame is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role<'a> {
    /// To look, without a network, and to be thrown away.
    Look(&'a AnalyseSettings),
    /// To mend.
    Mend(&'a FixSettings),
}

impl Role<'_> {
    fn word(self) -> &'static str {
        match self {
            Self::Look(_) => "look",
            Self::Mend(_) => "fix",
        }
    }

    /// Under which its notes stand. A colon: no stage is called so.
    fn note(self) -> &'static str {
        match self {
            Self::Look(_) => "fix:look",
            Self::Mend(_) => "fix:mend",
        }
    }
}

/// Where the clone begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At the commit that the run is about, where the first branch has that; else at the first branch.
    Base,
    /// At the run's branch, as the forge has it.
    Branch,
}

/// What is kept of a frame's clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Prepared {
    /// The frame that has it.
    frame: String,
    /// The commit that it began from.
    commit: String,
}

/// A frame that runs, with its clone.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    /// It.
    pub frame: Frame,
    /// The commit that its clone began from.
    pub commit: String,
}

/// Clones, or goes on where a clone was broken off. `$1` address, `$2` branch, `$3` `base` or `branch`, `$4` the first
/// branch if it is known, `$5` who commits, `$6` their address, behind that what may name the commit.
pub(super) const CLONE_SCRIPT: &str = r#"
set -eu
# One that an earlier gateway left running ends first.
exec 9>/tmp/mimir-clone.lock
flock 9
address=$1 branch=$2 begin=$3 first=$4 author=$5 email=$6
shift 6
rm -f .git/index.lock .git/HEAD.lock .git/config.lock .git/packed-refs.lock
git init -q .
git config remote.origin.url "$address"
git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
git config user.name "$author"
git config user.email "$email"
git config gc.auto 0
mkdir -p .git/info
printf '%s\n' node_modules/ __pycache__/ '*.pyc' .pytest_cache/ .venv/ .mypy_cache/ .ruff_cache/ >.git/info/exclude
git fetch -q --prune --tags --force origin
if [ -z "$first" ]; then
    first=$(git ls-remote --symref origin HEAD | sed -n 's,^ref: refs/heads/\(.*\)[[:space:]]HEAD$,\1,p')
fi
if [ "$begin" = branch ] && git rev-parse -q --verify "refs/remotes/origin/$branch^{commit}" >/dev/null; then
    at=$(git rev-parse "refs/remotes/origin/$branch^{commit}")
else
    at=$(git rev-parse -q --verify "refs/remotes/origin/$first^{commit}") || { echo "there is no branch $first" >&2; exit 1; }
    for name; do
        found=$(git rev-parse -q --verify "$name^{commit}" 2>/dev/null) || continue
        # Only what the first branch has: a release is named by whoever reports it.
        if git merge-base --is-ancestor "$found" "$at"; then at=$found; break; fi
    done
fi
git checkout -q -f -B "$branch" "$at"
git reset -q --hard "$at"
printf '%s\n' "$at"
"#;

/// Makes, wakes and fills the frame, as far as that is not done.
pub(super) async fn ready<C: StageContext>(
    role: Role<'_>,
    begin: Begin,
    cx: &mut C,
    deps: &FixDeps,
) -> Result<Ready, StageError> {
    let about = about(cx.run(), deps).await?;
    let frame = found_or_made(role, &about.repository, cx, deps).await?;
    deps.failpoints.hit("workflows.fix.after_frame").await;
    if cx.run().progress.frame.as_ref() != Some(&frame.id) {
        let progress = cx.progress();
        progress.frame = Some(frame.id.clone());
        progress.session = None;
        progress.message = None;
        let text = format!("frame {} works for it: {}", frame.name, in_words(role));
        cx.save("frame", text, Some(format!("mimir frame attach {}", frame.name))).await?;
    }
    let frame = deps.frames.wake(&frame.id, START).await.map_err(trouble::of_frame)?;
    let known: Option<Prepared> = super::noted(cx.run(), role.note());
    if let Some(known) = known.filter(|known| known.frame == frame.id.as_str()) {
        return Ok(Ready { frame, commit: known.commit });
    }
    let commit = clone(role, begin, &about, &frame, cx, deps).await?;
    deps.failpoints.hit("workflows.fix.after_clone").await;
    let note = Prepared { frame: frame.id.to_string(), commit: commit.clone() };
    let branch = branch_of(cx.run());
    let progress = cx.progress();
    progress.notes.insert(role.note().to_owned(), json!(note));
    if begin == Begin::Base {
        progress.base = Some(commit.clone());
        progress.branch = Some(branch);
    }
    let text = format!("frame {} has a clone of {} at {commit}", frame.name, about.repository);
    cx.save("frame", text, Some(format!("mimir frame attach {}", frame.name))).await?;
    Ok(Ready { frame, commit })
}

/// The run's own branch.
pub(super) fn branch_of(run: &Run) -> String {
    run.progress.branch.clone().unwrap_or_else(|| format!("mimir/{}", run.id))
}

fn in_words(role: Role<'_>) -> String {
    match role {
        Role::Look(_) => "sealed; its clone is thrown away, and whatever it pushes is rejected".to_owned(),
        Role::Mend(settings) if settings.allow.is_empty() => {
            "it reaches no host; what it pushes waits at the gate".to_owned()
        }
        Role::Mend(settings) => {
            format!("it reaches {}; what it pushes waits at the gate", settings.allow.join(", "))
        }
    }
}

/// What the run works on.
pub(super) struct About {
    /// Where it is.
    pub repository: Repository,
    /// What its project says.
    pub settings: ProjectSettings,
}

/// Looks it up.
pub(super) async fn about(run: &Run, deps: &FixDeps) -> Result<About, StageError> {
    about_in(run, &deps.store).await
}

/// The repository that a run works on.
///
/// # Errors
/// [`StageError::Permanent`] when nobody says which.
pub async fn repository_of(run: &Run, store: &Store) -> Result<Repository, StageError> {
    Ok(about_in(run, store).await?.repository)
}

/// The files and folders that a run's project protects, besides those of the configuration.
///
/// # Errors
/// As [`repository_of`].
pub async fn protected_by(run: &Run, store: &Store) -> Result<Vec<String>, StageError> {
    Ok(about_in(run, store).await?.settings.protected)
}

async fn about_in(run: &Run, store: &Store) -> Result<About, StageError> {
    let project = run.project.clone();
    let settings = store.read(move |db| {
        let Some(name) = project else { return Ok(ProjectSettings::default()) };
        match projects::find_by_name(db, &name)? {
            Some(found) => projects::settings(db, &found.id),
            None => Ok(ProjectSettings::default()),
        }
    });
    let settings = settings.await.map_err(trouble::of_store)?;
    let by_hand = match run.input.variables.get("repo").filter(|text| !text.trim().is_empty()) {
        Some(text) => {
            Some(Repository::parse(text).map_err(|error| StageError::Permanent(error.to_string()))?)
        }
        None => None,
    };
    let repository = run.input.repository.clone().or(by_hand).or_else(|| settings.repository.clone());
    let repository = repository.ok_or_else(|| {
        let text = format!(
            "the run names no repository: `mimir runs start {} --set repo=HOST/OWNER/NAME`, or say it of the project",
            run.workflow
        );
        StageError::Permanent(text)
    })?;
    Ok(About { repository, settings })
}

async fn found_or_made<C: StageContext>(
    role: Role<'_>,
    repository: &Repository,
    cx: &C,
    deps: &FixDeps,
) -> Result<Frame, StageError> {
    let run = cx.run();
    let name = name_of(role, &run.id)?;
    match deps.frames.get(&name).await {
        Ok(frame) if frame.desired == Desired::Removed => {
            Err(StageError::Infrastructure(format!("frame {name} of before is still on its way out")))
        }
        Ok(frame) if frame.run.as_ref() == Some(&run.id) => Ok(frame),
        Ok(_) => {
            let text = format!(
                "there is a frame {name} that is not this run's; `mimir frame destroy {name}` makes room"
            );
            Err(StageError::Permanent(text))
        }
        Err(FrameError::NotFound(_)) => {
            deps.failpoints.hit("workflows.fix.before_frame").await;
            let request = request(role, name, repository.clone(), run, deps);
            deps.frames.create(&principal(), request).await.map_err(trouble::of_frame)
        }
        Err(error) => Err(trouble::of_frame(error)),
    }
}

fn request(
    role: Role<'_>,
    name: FrameName,
    repository: Repository,
    run: &Run,
    deps: &FixDeps,
) -> FrameRequest {
    let mut defaults = (*deps.frames.defaults()).clone();
    // What is configured for people's frames is not what an agent may reach that works on strangers' words.
    defaults.allow = Vec::new();
    let deny_edits = || Rule {
        tool: "edit".to_owned(),
        command: None,
        path: None,
        action: Action::Deny,
        why: Some("this is an analysis: nothing is changed".to_owned()),
    };
    let (network, allow, rules, lifetime) = match role {
        Role::Look(settings) => (NetworkMode::Sealed, Vec::new(), vec![deny_edits()], settings.lifetime),
        Role::Mend(settings) => (NetworkMode::Allow, settings.allow.clone(), Vec::new(), settings.lifetime),
    };
    let model = run.input.model.iter().map(|model| model.provider.clone());
    FrameRequest {
        name,
        place: Place::Own,
        image: None,
        network: Some(network),
        allow,
        providers: model.collect(),
        gpu: false,
        limits: WantedLimits::default(),
        git: Some(GitMode::Gate),
        repository: Some(repository),
        env: BTreeMap::new(),
        lifetime: Lifetime::Throwaway(Some(lifetime)),
        defaults: Some(Box::new(defaults)),
        start: true,
        rules,
        given: String::new(),
        origin: Origin::Run,
        run: Some(run.id.clone()),
    }
}

/// `fix-` and what is the run's own of its id.
fn name_of(role: Role<'_>, run: &RunId) -> Result<FrameName, StageError> {
    named(role.word(), run)
}

/// The name of the frame that mends.
pub(super) fn name_of_fix(run: &RunId) -> Result<FrameName, StageError> {
    named("fix", run)
}

fn named(word: &str, run: &RunId) -> Result<FrameName, StageError> {
    let own = run.as_str().rsplit('_').next().unwrap_or_default();
    FrameName::parse(&format!("{word}-{own}")).map_err(|error| StageError::Permanent(error.to_string()))
}

async fn clone<C: StageContext>(
    role: Role<'_>,
    begin: Begin,
    about: &About,
    frame: &Frame,
    cx: &C,
    deps: &FixDeps,
) -> Result<String, StageError> {
    let forge = deps.pushes.forge(about.repository.host());
    let forge = forge.ok_or_else(|| {
        StageError::Permanent(format!(
            "{} is no forge that mimir knows; `git.hosts` lists others",
            about.repository.host()
        ))
    })?;
    let address = about.repository.address(&forge);
    let branch = branch_of(cx.run());
    let word = if begin == Begin::Base { "base" } else { "branch" };
    let first = about.settings.default_branch.as_deref().filter(|name| is_plain(name)).unwrap_or_default();
    let (author, email) = match role {
        Role::Mend(settings) => (settings.author.as_str(), settings.email.as_str()),
        Role::Look(_) => ("mimir", "mimir@localhost"),
    };
    let input = &cx.run().input;
    let names =
        commits(input.commit.as_deref().or_else(|| input.variables.get("seen_in").map(String::as_str)));
    let mut args = vec![address.as_str(), &branch, word, first, author, email];
    args.extend(names.iter().map(String::as_str));
    deps.failpoints.hit("workflows.fix.before_clone").await;
    let said = inside::must(deps, frame, "the clone", CLONE_SCRIPT, &args, CLONE).await?;
    said.lines().last().and_then(inside::commit_in).ok_or_else(|| {
        StageError::Infrastructure(format!(
            "the clone in {WORKSPACE} of frame {} names no commit",
            frame.name
        ))
    })
}

/// What may name the commit that a report is about: an id, or a release that is a tag (`shop@1.4.2` as well).
fn commits(said: Option<&str>) -> Vec<String> {
    let Some(said) = said.map(str::trim).filter(|said| is_plain(said)) else { return Vec::new() };
    let is_id = (7..=64).contains(&said.len()) && said.bytes().all(|b| b.is_ascii_hexdigit());
    let version = said.rsplit('@').next().unwrap_or(said);
    let tags = [said.to_owned(), version.to_owned(), format!("v{version}")];
    let tags = tags.into_iter().map(|tag| format!("refs/tags/{tag}"));
    is_id.then(|| said.to_owned()).into_iter().chain(tags).collect()
}

/// Whether git takes it for one name and nothing else.
pub(super) fn is_plain(name: &str) -> bool {
    (1..=200).contains(&name.len())
        && !name.starts_with(['-', '/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'@' | b'+'))
}

/// What a frame pushed and nobody asked it to is over.
pub(super) async fn reject_strays(
    deps: &FixDeps,
    frame: &FrameName,
    keep: Option<u64>,
    why: &str,
) -> Result<(), StageError> {
    let open = deps.pushes.list(Some(frame.clone()), false).await.map_err(trouble::of_store)?;
    let strays = open.into_iter().filter(|push| push.state != PushState::Approved && Some(push.id) != keep);
    for push in strays {
        // Somebody who decides at the same moment is first.
        if let Err(error) = deps.pushes.reject(&principal(), push.id, Some(why.to_owned())).await {
            tracing::debug!(%error, "push {} is not rejected: {error}", push.id);
        }
    }
    Ok(())
}

/// The end of one of the run's frames, with its clone, unless it is gone.
pub(super) async fn end(role: Role<'_>, run: &RunId, deps: &FixDeps) -> Result<(), StageError> {
    let name = name_of(role, run)?;
    let frame = match deps.frames.get(&name).await {
        Ok(frame) if frame.run.as_ref() == Some(run) => frame,
        Ok(_) | Err(FrameError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(trouble::of_frame(error)),
    };
    end_of(&frame, deps).await
}

async fn end_of(frame: &Frame, deps: &FixDeps) -> Result<(), StageError> {
    reject_strays(deps, &frame.name, None, "its run does not need it").await?;
    let asked = match deps.frames.destroy(&principal(), &frame.name).await {
        Ok(asked) => asked,
        Err(FrameError::NotFound(_)) => return Ok(()),
        Err(error) => return Err(trouble::of_frame(error)),
    };
    match deps.frames.wait_for_asked(asked, Desired::Removed, END).await {
        Ok(_) | Err(FrameError::NotFound(_)) => Ok(()),
        // It goes all the same; its driver does not forget it.
        Err(FrameError::TooSlow { .. }) => Ok(()),
        Err(error) => Err(trouble::of_frame(error)),
    }
}

/// What the frame of a run that is over pushed, and nobody let through, is over as well.
///
/// # Errors
/// [`StageError::Infrastructure`]: it may be repeated.
pub async fn reject_left(deps: &FixDeps, frame: &Frame) -> Result<(), StageError> {
    reject_strays(deps, &frame.name, None, "the run that it is of is over").await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::run::RunInput;
    use crate::workflows::fix::tests::run_of;

    #[test]
    fn a_release_is_looked_for_as_a_tag_and_an_id_as_an_id() {
        assert_eq!(
            commits(Some("shop@1.4.2")),
            ["refs/tags/shop@1.4.2", "refs/tags/1.4.2", "refs/tags/v1.4.2"]
        );
        assert_eq!(commits(Some("0123abcd"))[0], "0123abcd");
        for odd in ["", "--upload-pack=x", "a b", "a..b", "/x", "x\ny", "$(id)", "HEAD^{/x}", "a:b"] {
            assert!(commits(Some(odd)).is_empty(), "{odd}");
        }
        assert!(commits(None).is_empty());
    }

    #[test]
    fn frames_and_the_branch_are_named_after_the_run() {
        let run = run_of(RunInput::default());
        let settings = FixSettings::default();
        let name = name_of(Role::Mend(&settings), &run.id).expect("a name");
        assert!(
            name.as_str().starts_with("fix-") && run.id.as_str().ends_with(&name.as_str()[4..]),
            "{name}"
        );
        assert_eq!(branch_of(&run), format!("mimir/{}", run.id));
    }
}

//! What a frame's git is answered when it pushes, and what it is told besides.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{Asker, COMPARED, PushError, Pushes, became, detail, judge};
use crate::git::receive::{PushRequest, Report, advertisement};
use crate::git::{GitError, Mirror, NewsInserter, Parcel, Patches};
use crate::model::git::{GitMode, Push, PushContents, PushFinding, PushState, RefUpdate, is_protected};
use crate::model::ids::FrameId;
use crate::model::message::DeliveryState;
use crate::model::principal::Principal;
use crate::secrets::scan::Scanner;
use crate::store::pushes::NewPush;
use crate::store::{StoreError, frames, messages, pushes};

/// The body of an answer to a frame.
pub type Body = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A frame that asks over and over what is at the forge does not ask the forge each time.
const ASKED: Duration = Duration::from_secs(2);
/// So many pushes of one frame may wait.
const MOST_WAITING: usize = 20;
/// So many paths or findings are kept of each push.
const MOST_KEPT: usize = 50;

/// Why everything of a frame with a gate waits: there is nothing in the push itself to look at.
pub const GATE: &str = "as everything that this frame pushes";

const PUSHES: Principal = Principal::service("pushes");

impl Pushes {
    /// What a client that wants to push is told first: what is at the forge.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn advertise(&self, asker: &Asker) -> Result<Vec<u8>, PushError> {
        Ok(advertisement(&self.compared(asker, ASKED).await?.heads))
    }

    async fn compared(&self, asker: &Asker, age: Duration) -> Result<Mirror, PushError> {
        let remote = self.remote(&asker.repository).await?;
        let most = self.inner.settings.now().mirror_limit;
        Ok(self.inner.mirrors.fresh(&remote, age, most).await?)
    }

    /// Takes what a frame pushes. Whatever comes of it is in the report, which is for the client.
    pub async fn receive<S>(&self, asker: &Asker, request: &PushRequest, objects: &mut S) -> Report
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    {
        let mut report = match self.receive_now(asker, request, objects).await {
            Ok(report) => report,
            Err(error) => {
                tracing::warn!(frame.id = %asker.frame, %error, "a push of frame {} came to nothing: {error}", asker.name);
                let refuse = |update: &RefUpdate| (update.name.clone(), Some(error.to_string()));
                Report { refs: request.updates.iter().map(refuse).collect(), ..Report::default() }
            }
        };
        if request.has_bands {
            let (ids, mut told) = self.news(&asker.frame).await.unwrap_or_default();
            told.append(&mut report.told);
            report.told = told;
            self.set_told(ids);
        }
        report
    }

    async fn receive_now<S>(
        &self,
        asker: &Asker,
        request: &PushRequest,
        objects: &mut S,
    ) -> Result<Report, PushError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
    {
        let settings = self.inner.settings.now();
        let name = asker.name.as_str();
        let mirror = self.compared(asker, COMPARED).await?;
        let rules = self.rules(&asker.forge);
        let mut refused = judge::refusals(name, &request.updates, &mirror.heads, &rules);
        let report = |refused: Vec<Option<String>>| Report {
            refs: request.updates.iter().map(|update| update.name.clone()).zip(refused).collect(),
            ..Report::default()
        };
        if accepted(request, &refused).is_empty() {
            return Ok(report(refused));
        }
        let parcel = self.inner.inbox.empty(&mirror).await?;
        let bytes = match request.has_objects() {
            false => 0,
            true => match take(&parcel, &accepted(request, &refused), &mirror, objects, settings.push_limit)
                .await
            {
                Ok(bytes) => bytes,
                Err(error) => {
                    let why = error.to_string();
                    let all = refused.into_iter().map(|known| known.or_else(|| Some(why.clone()))).collect();
                    return Ok(Report { not_unpacked: Some(why), ..report(all) });
                }
            },
        };
        let ends = parcel.ends(&accepted(request, &refused)).await?;
        for (update, why) in request.updates.iter().zip(&mut refused).filter(|(_, why)| why.is_none()) {
            *why = judge::wrong_end(update, &ends);
        }
        for (update, why) in request.updates.iter().zip(&mut refused).filter(|(_, why)| why.is_none()) {
            let (Some(from), Some(to)) = (&update.from, &update.to) else { continue };
            if !judge::may_rewrite(update, &rules) && !parcel.is_before(from, to).await? {
                *why = Some(judge::not_forward(name, update));
            }
        }
        let updates = accepted(request, &refused);
        if updates.is_empty() {
            return Ok(report(refused));
        }
        let (contents, reasons) = self.look(asker, &parcel, &updates, &mirror, bytes).await?;
        let push = self.keep(asker, parcel, updates.clone(), contents, reasons).await?;
        let mut told = Vec::new();
        let push = match push.state {
            PushState::Approved => self.wait(push.id).await?,
            _ => push,
        };
        if push.state != PushState::Pushed {
            told.push(became(&push));
        }
        if push.state == PushState::Failed {
            for (update, why) in request.updates.iter().zip(&mut refused) {
                if updates.contains(update) && why.is_none() {
                    *why =
                        Some(push.reason.clone().unwrap_or_else(|| "the forge did not take it".to_owned()));
                }
            }
        }
        Ok(Report { told, ..report(refused) })
    }

    /// What is in it, and why it waits.
    async fn look(
        &self,
        asker: &Asker,
        parcel: &Parcel,
        updates: &[RefUpdate],
        mirror: &Mirror,
        bytes: u64,
    ) -> Result<(PushContents, Vec<String>), PushError> {
        let settings = self.inner.settings.now();
        let looked = parcel.look(updates, &mirror.heads).await?;
        let patches = parcel.patches(updates, &mirror.heads, true).await?;
        let is_cut = patches.is_cut;
        let scanner = self.inner.vault.scanner().await?;
        let findings = tokio::task::spawn_blocking(move || findings(&scanner, &patches));
        let findings = findings.await.map_err(|_| PushError::Stopping)?;
        let protected: Vec<String> =
            looked.paths.iter().filter(|path| is_protected(path, &settings.protected)).cloned().collect();
        let mut reasons = Vec::new();
        if asker.forge.mode == GitMode::Gate {
            reasons.push(GATE.to_owned());
        }
        if !protected.is_empty() {
            reasons.push(format!("it changes {}", in_short(&protected)));
        }
        if !looked.submodules.is_empty() {
            let all: Vec<String> = looked.submodules.iter().cloned().collect();
            reasons.push(format!("it changes another repository's place: {}", in_short(&all)));
        }
        if !findings.is_empty() {
            let what: Vec<String> = findings.iter().map(|finding| finding.rule.clone()).collect();
            reasons.push(format!("something in it looks like a secret: {}", in_short(&what)));
        }
        if is_cut {
            reasons.push("it is too large to be looked through for secrets".to_owned());
        }
        let remarks = looked.links.iter().take(MOST_KEPT).map(|path| format!("{path} is a link")).collect();
        let contents = PushContents {
            commits: looked.commits,
            bytes,
            files: looked.paths.len() as u64,
            protected: protected.into_iter().take(MOST_KEPT).collect(),
            findings: findings.into_iter().take(MOST_KEPT).collect(),
            remarks,
        };
        Ok((contents, reasons))
    }

    /// Writes it down, and sees to it that it goes on if it may. Goes on to its end when the frame leaves meanwhile: what is
    /// in a row is there, and what was approved is on its way.
    async fn keep(
        &self,
        asker: &Asker,
        mut parcel: Parcel,
        updates: Vec<RefUpdate>,
        contents: PushContents,
        held_because: Vec<String>,
    ) -> Result<Push, PushError> {
        let (passes_on, inner) = (self.clone(), self.inner.clone());
        let (frame, frame_name, repository) =
            (asker.frame.clone(), asker.name.clone(), asker.repository.clone());
        let work = async move {
            let folder = parcel.name().to_owned();
            let written = inner.store.write_as(move |tx| {
                let open = pushes::undecided(tx, &frame)?;
                let of_theirs = |push: &&Push| push.repository == repository;
                let is_same = |push: &&Push| push.state == PushState::Waiting && push.updates == updates;
                if let Some(same) = open.iter().filter(of_theirs).find(is_same) {
                    return Ok((same.clone(), Vec::new()));
                }
                let touches = |push: &&Push| {
                    push.updates.iter().any(|it| updates.iter().any(|new| new.name == it.name))
                };
                let (replaced, left): (Vec<&Push>, Vec<&Push>) =
                    open.iter().filter(of_theirs).partition(touches);
                // Those that failed are kept as well, to be tried again.
                if left.len() >= MOST_WAITING {
                    let text = format!(
                        "{} pushes of this frame wait or failed: somebody has to look at them first",
                        left.len()
                    );
                    return Err(PushError::NotTheirs(text));
                }
                let from = [PushState::Waiting, PushState::Failed];
                let mut folders = Vec::new();
                for push in replaced {
                    pushes::end(tx, push.id, &from, PushState::Replaced, None, None)?;
                    folders.push(push.folder.clone());
                }
                let running = messages::list_open(tx, Some(&frame))?;
                let running = running.into_iter().find(|message| message.state == DeliveryState::Running);
                let message = running.map(|message| message.id);
                let new = NewPush {
                    frame,
                    frame_name,
                    message,
                    repository,
                    updates,
                    contents,
                    held_because,
                    folder,
                };
                let push = pushes::insert(tx, &new)?;
                tx.audit(&PUSHES, "push.receive", push.frame_name.as_str(), &detail(&push))?;
                if push.state == PushState::Waiting {
                    frames::note(tx, &push.frame, "push_waiting", &became(&push))?;
                }
                Ok((push, folders))
            });
            let (push, folders) = written.await?;
            if push.folder == parcel.name() {
                parcel.keep();
            }
            folders.iter().for_each(|folder| inner.inbox.remove(folder));
            if push.state == PushState::Approved {
                passes_on.pass_on(push.id);
            }
            Ok::<_, PushError>(push)
        };
        self.inner.tasks.run_to_end("push", work).await.unwrap_or(Err(PushError::Stopping))
    }

    /// What became of a frame's pushes that it was not told of yet.
    async fn news(&self, frame: &FrameId) -> Result<(Vec<u64>, Vec<String>), StoreError> {
        let frame = frame.clone();
        let untold = self.inner.store.read(move |db| pushes::untold(db, &frame)).await?;
        Ok(untold.iter().map(|push| (push.id, became(push))).unzip())
    }

    fn set_told(&self, ids: Vec<u64>) {
        if ids.is_empty() {
            return;
        }
        let store = self.inner.store.clone();
        self.inner.tasks.spawn_once("pushes told", move |_| async move {
            if let Err(error) = store.write(move |tx| pushes::set_told(tx, &ids)).await {
                tracing::warn!(%error, "a frame will be told again what became of its pushes: {error}");
            }
        });
    }

    /// The answer to a fetch, with what the frame was not told yet.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn with_news(&self, frame: &FrameId, body: Body) -> Result<Body, StoreError> {
        let (ids, news) = self.news(frame).await?;
        if news.is_empty() {
            return Ok(body);
        }
        let state = (self.clone(), body, NewsInserter::new(news), ids, false);
        let body = stream::unfold(state, |(pushes, mut body, mut inserter, ids, is_over)| async move {
            if is_over {
                return None;
            }
            let (piece, is_over) = match body.next().await {
                Some(Ok(piece)) => (Ok(Bytes::from(inserter.pass(&piece))), false),
                Some(Err(error)) => (Err(error), true),
                None => {
                    if inserter.was_told() {
                        pushes.set_told(ids.clone());
                    }
                    (Ok(Bytes::from(inserter.end())), true)
                }
            };
            Some((piece, (pushes, body, inserter, ids, is_over)))
        });
        Ok(Box::pin(body))
    }
}

/// Those that nothing speaks against.
fn accepted(request: &PushRequest, refused: &[Option<String>]) -> Vec<RefUpdate> {
    let pairs = request.updates.iter().zip(refused);
    pairs.filter(|(_, why)| why.is_none()).map(|(update, _)| update.clone()).collect()
}

async fn take<S>(
    parcel: &Parcel,
    updates: &[RefUpdate],
    mirror: &Mirror,
    objects: &mut S,
    most: u64,
) -> Result<u64, GitError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin + Send,
{
    let bytes = parcel.take(objects, most).await?;
    parcel.check_whole(updates, &mirror.heads).await?;
    Ok(bytes)
}

/// What is a secret of this gateway's, or looks like anybody's.
fn findings(scanner: &Scanner, patches: &Patches) -> Vec<PushFinding> {
    let found = scanner.scan(&patches.text).into_iter();
    found
        .map(|finding| PushFinding { rule: finding.what, line: finding.line as u64, text: finding.excerpt })
        .collect()
}

/// The first ones, and how many more.
fn in_short(all: &[String]) -> String {
    let mut seen = Vec::new();
    all.iter().for_each(|one| {
        if !seen.contains(&one.as_str()) {
            seen.push(one.as_str())
        }
    });
    let more = if seen.len() > 3 { format!(" and {} more", seen.len() - 3) } else { String::new() };
    let first: Vec<String> = seen.iter().take(3).map(|one| one.chars().take(120).collect()).collect();
    format!("{}{more}", first.join(", "))
}

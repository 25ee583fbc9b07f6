//! Decides what follows from what came, row by row, the oldest first; after a crash from where it was.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::notice::{Matter, Notice};
use super::read;
use super::redeliver::GITEA;
use super::rules::{self, Decision, History, LIMITED_WITHIN_MS, LONGEST_WAIT_MS};
use super::settings::{Rule, Settings};
use super::{Headers, Webhooks};
use crate::clock;
use crate::model::ids::RunId;
use crate::model::principal::Principal;
use crate::model::run::{Asker, NewRun, Run, RunState};
use crate::model::webhook::{Webhook, WebhookState};
use crate::store::runs::{self, Enqueued};
use crate::store::webhooks::{self as rows, Content, Ending, KnownHook, Waiting};
use crate::store::{Queryable, StoreError, Tx};
use crate::supervisor::backoff::Backoff;

/// So many rows are read at once; each may hold a whole body.
const PAGE: u32 = 16;
/// A row whose decision fails so often in a row is given up, until a person replays it.
const ATTEMPTS: u64 = 5;
/// Nobody is told to wait for so long: the clock was another one.
const TOO_LONG_MS: u64 = 2 * LONGEST_WAIT_MS;
/// Without being told, it looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// So many runs about the same are looked at.
const LOOK_BACK: u32 = 20;

impl Webhooks {
    /// Decides until it is stopped.
    pub(super) async fn decide_all(&self, stop: &CancellationToken) {
        let mut delays = Backoff::new(Duration::from_millis(200), Duration::from_secs(30)).with_jitter();
        while !stop.is_cancelled() {
            let rung = self.inner.bell.notified();
            let pause = match self.decide_page().await {
                // There may be more.
                Ok(Page::Full) => {
                    delays.reset();
                    continue;
                }
                Ok(Page::Done) => {
                    delays.reset();
                    None
                }
                Ok(Page::SomeFailed) => Some(delays.next_delay()),
                Err(error) => {
                    let pause = delays.next_delay();
                    tracing::error!(%error, "webhooks cannot be decided: {error}; again in {pause:?}");
                    Some(pause)
                }
            };
            match pause {
                // Not even a ring is heard: what failed would fail at once again.
                Some(pause) => {
                    let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
                None => tokio::select! {
                    () = rung => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = stop.cancelled() => {}
                },
            }
        }
    }

    async fn decide_page(&self) -> Result<Page, StoreError> {
        if self.inner.anew.swap(false, Ordering::SeqCst) {
            // Rules are others than those that they wait for, or may be.
            let write = self.inner.store.write_soon(rows::wait_no_more).await;
            write.inspect_err(|_| self.inner.anew.store(true, Ordering::SeqCst))?;
        }
        let now = self.inner.clock.now_ms();
        let page = self.inner.store.read(move |db| rows::to_decide(db, now, TOO_LONG_MS, PAGE)).await?;
        let is_full = page.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
        let mut some_failed = false;
        for (webhook, content) in page {
            let (id, event) = (webhook.id.clone(), webhook.event.clone());
            let Err(error) = self.decide(webhook, content).await else { continue };
            some_failed = true;
            tracing::warn!(%error, "webhook {id} could not be decided: {error}");
            if matches!(error, StoreError::Closed | StoreError::DiskFull | StoreError::Busy) {
                return Err(error);
            }
            let why = format!("deciding about it failed {ATTEMPTS} times, the last time because {error}");
            let note = self.inner.store.write(move |tx| {
                if rows::note_failure(tx, &id)? < ATTEMPTS {
                    return Ok(());
                }
                rows::settle(tx, &id, &ended(WebhookState::Failed, event, why)).map(drop)
            });
            note.await?;
        }
        Ok(match (some_failed, is_full) {
            (true, _) => Page::SomeFailed,
            (false, true) => Page::Full,
            (false, false) => Page::Done,
        })
    }

    /// Decides about one row, unless somebody has.
    pub(super) async fn decide(&self, webhook: Webhook, content: Content) -> Result<(), StoreError> {
        let settings = self.inner.settings.now();
        let Some(source) = settings.sources.get(&webhook.source).cloned() else {
            let why = format!("there is no source {} in webhooks.sources any more", webhook.source);
            let gone = ended(WebhookState::Ignored, webhook.event, why);
            return self
                .inner
                .store
                .write_soon(move |tx| rows::settle(tx, &webhook.id, &gone).map(drop))
                .await;
        };
        let name = webhook.source.clone();
        let headers = Headers::new(content.headers);
        let hook = headers.only("x-github-hook-id").and_then(|text| text.parse::<u64>().ok());
        let target = headers.word("x-github-hook-installation-target-type");
        let known = match headers.has("x-gitea-event") {
            true => Some((0, GITEA.to_owned())),
            false => hook.zip(target),
        };
        // Apart, so that whatever a stranger wrote stops nobody else.
        let reading =
            tokio::task::spawn_blocking(move || read::message(&name, &source, &headers, &content.body));
        let read = match reading.await {
            Ok(Ok(notice)) => Ok(notice),
            Ok(Err(unreadable)) => Err(unreadable.to_string()),
            Err(_) => Err("reading it failed inside mimir: this is a bug".to_owned()),
        };
        self.inner.failpoints.hit("webhooks.before_decision").await;
        // The run and the row's end are one transaction. A power cut may take both, and then it is decided again: a run
        // does nothing outside before it has saved something of its own, which is behind this in the log.
        let write = self.inner.store.write_soon(move |tx| {
            if !rows::is_open(tx, &webhook.id)? {
                return Ok(());
            }
            let outcome = match read {
                Ok(notice) => {
                    if let Some(((hook, target), repository)) = known.zip(notice.repository.clone()) {
                        rows::note_hook(tx, &webhook.source, &KnownHook { repository, hook, target })?;
                    }
                    carry_out(tx, &webhook, &notice, &settings)?
                }
                Err(why) => Outcome::Ends(ended(WebhookState::Failed, webhook.event, why)),
            };
            match outcome {
                Outcome::Ends(ending) => rows::settle(tx, &webhook.id, &ending).map(drop),
                Outcome::Waits(waiting) => rows::let_wait(tx, &webhook.id, &waiting),
            }
        });
        write.await?;
        self.inner.failpoints.hit("webhooks.after_decision").await;
        Ok(())
    }
}

/// How a page went.
enum Page {
    /// All were decided, and there may be more.
    Full,
    /// All were decided.
    Done,
    /// Some are still there.
    SomeFailed,
}

/// What becomes of a message.
enum Outcome {
    Ends(Ending),
    Waits(Waiting),
}

fn ended(state: WebhookState, event: String, reason: String) -> Ending {
    Ending { state, event, reason, matter: None, run: None, began_by: None, fits: None }
}

/// What is known of runs about a matter, for a rule and a message that came (none: one that could come).
pub(super) fn history(
    ask: &impl Queryable,
    webhook: Option<&str>,
    rule: &Rule,
    matter: &Matter,
    now_ms: u64,
) -> Result<History, StoreError> {
    let mark = rules::mark(rule);
    let open = runs::open_of_key(ask, &matter.key)?.map(|run| run.id);
    let before = runs::of_key(ask, &matter.key, LOOK_BACK)?;
    let ended = before.iter().filter(|run| !is_nobodys(run));
    let ended = ended.filter_map(|run| Some((how_it_ended(run), run.ended_at?))).collect();
    let begun = rows::begun_since(ask, &mark, now_ms.saturating_sub(LIMITED_WITHIN_MS), now_ms)?;
    let has_waited = webhook.map_or(Ok(false), |id| rows::has_waited(ask, id))?;
    let waiting = rows::waiting_for(ask, &mark, now_ms, webhook.filter(|_| has_waited))?;
    let waits = rows::waits_about(ask, &mark, &matter.key, webhook)?;
    Ok(History { open, ended, begun, waiting, waits, has_waited })
}

/// One that was begun for somebody of whom the forge did not say that they may ask: nobody else waits because of it.
fn is_nobodys(run: &Run) -> bool {
    matches!(run.progress.asker(), Some(Asker::MayNot | Asker::Untold)) && run.state != RunState::Cancelled
}

/// One that stopped at its report solved nothing: the next alert about the same would pay for the same report.
fn how_it_ended(run: &Run) -> RunState {
    let progress = &run.progress;
    let has_stopped =
        run.state == RunState::Succeeded && progress.report.is_some() && progress.commit.is_none();
    if has_stopped { RunState::Failed } else { run.state }
}

/// Decides and does what follows, in the transaction that ends the row.
fn carry_out(
    tx: &mut Tx<'_>,
    webhook: &Webhook,
    notice: &Notice,
    settings: &Settings,
) -> Result<Outcome, StoreError> {
    let now = tx.now_ms();
    let source = webhook.source.as_str();
    let asked: &Tx<'_> = tx;
    let Decision { wakes, run } = rules::decide(notice, source, &settings.rules, now, |rule, matter| {
        history(asked, Some(&webhook.id), rule, matter, now)
    })?;
    let link = format!("mimir webhooks show {}", webhook.id);
    let mut woken = Vec::new();
    for name in &wakes {
        woken.extend(runs::wake_named_with(tx, name, &notice.why, Some(link.as_str()))?);
    }
    let mut ending = ended(WebhookState::Ignored, notice.event.clone(), String::new());
    ending.matter = notice.matter.as_ref().map(|matter| matter.key.clone());
    match run {
        Ok(wanted) => {
            let new = NewRun { origin_ref: Some(webhook.id.clone()), ..wanted.run };
            let made = runs::enqueue(tx, RunId::from_parts(now, clock::entropy_128()), &new)?;
            let id = made.id().clone();
            if let Some(name) = &wanted.name {
                runs::name(tx, &id, name)?;
            }
            ending.state = WebhookState::Decided;
            ending.run = Some(id.clone());
            ending.reason = match made {
                Enqueued::New(_) => {
                    let text = format!("{}: rule {} of webhooks.rules wants it", notice.why, wanted.rule);
                    runs::log(tx, &id, "", "decision", &text, Some(link.as_str()))?;
                    let detail = json!({"webhook": webhook.id, "source": source, "rule": wanted.rule});
                    tx.audit(&Principal::service("webhooks"), "run.begin", id.as_str(), &detail)?;
                    ending.began_by = Some(wanted.mark);
                    rows::wait_no_more_about(tx, &new.key)?;
                    format!("rule {} began run {id}", wanted.rule)
                }
                Enqueued::Joined(_) => format!("run {id} is about the same and goes on"),
            };
        }
        Err(refusal) if woken.is_empty() => {
            if let Some((turn, matter)) = refusal.turn.zip(ending.matter.clone()) {
                let (event, reason) = (ending.event, refusal.why);
                let waiting = Waiting { event, reason, matter, rule: turn.rule, until_ms: turn.at_ms };
                return Ok(Outcome::Waits(waiting));
            }
            if rules::is_of_ours(&ending.event) && refusal.fits.is_none() {
                // Nobody followed it: the alert itself, should it come late, is no repeat of it.
                rows::forget_keys(tx, &webhook.id)?;
            }
            ending.fits = refusal.fits;
            let why = refusal.why;
            ending.reason = match wakes.first() {
                Some(name) => format!("no run waits for news of {name}; {why}"),
                None => why,
            };
        }
        Err(_) => {
            ending.state = WebhookState::Decided;
            ending.run = woken.first().cloned();
            let ids: Vec<String> = woken.iter().map(ToString::to_string).collect();
            ending.reason = format!("woke {}", ids.join(", "));
        }
    }
    Ok(Outcome::Ends(ending))
}

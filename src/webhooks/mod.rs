//! What other programs tell us: error trackers, forges, anything that can send HTTP.
//!
//! In this order: the raw bytes are compared with their signature, stored with what they are known by, and only when that
//! is on the disk the sender hears "yes". Most send once. What follows is decided afterwards from the row: a rule of the
//! configuration begins a run, or a run that waits for news of its matter is woken; the row's end and what follows are
//! one transaction. So a gateway that dies anywhere decides the rest when it is back, and nothing is decided twice.
//!
//! A message is never believed further than that it came: a run asks the outside itself for how things are. What could
//! not be told to us is asked for ([`Webhooks::catch_up`]) and takes the same way.
//!
//! Not here: what runs do (see `workflows`), whether whoever asks in an issue may (the forge is asked
//! before its run's first stage does anything), and calls that we make to others (see `notify`).

mod astray;
mod catch_up;
mod consumer;
mod error;
mod generic;
mod github;
pub mod headers;
mod keys;
pub mod notice;
mod preview;
mod reach;
pub mod read;
mod redeliver;
pub mod rules;
mod sentry_says;
pub mod settings;
pub mod signature;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use crate::config::Live;
use crate::forge::Forges;
use crate::model::ids::DeliveryId;
use crate::model::principal::Principal;
use crate::model::webhook::{SenderKind, Webhook, WebhookState};
use crate::outbound::HttpClients;
use crate::sentry::Sentries;
use crate::store::webhooks::{self as rows, Content, NewWebhook, Stored};
use crate::store::{Store, StoreError, projects};
use crate::supervisor::Service;
use crate::supervisor::failpoint::Failpoints;

pub use astray::{Astray, WorkflowNames, astray};
pub use error::IntakeError;
pub use headers::Headers;
pub use preview::Preview;
pub use reach::ASKS_ITSELF;
pub use settings::{Mapping, Rule, Settings, Source, Untold};
pub use signature::NotSigned;

/// So many bodies are read at the same time, whosever they are.
const READS: usize = 128;
/// A row that is not on the disk by then is not waited for: the sender comes again, or has come twice.
const STORED_WITHIN: Duration = Duration::from_secs(8);
/// How often it is written down that a sender is not believed.
const TOLD_EVERY_MS: u64 = 10_000;
/// How long what a message is known by is kept.
const KEYS_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Of a hook that tells nothing for so long nobody is asked any more.
const HOOKS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// So many rows are forgotten in one transaction.
const FORGOTTEN: u32 = 500;

/// What the service needs.
pub struct WebhooksDeps {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where tests let it die.
    pub failpoints: Failpoints,
    /// How it asks itself whether it is reached.
    pub http: HttpClients,
    /// Error trackers, for what they could not tell us.
    pub sentries: Sentries,
    /// Forges, for the same; absent where none can be asked.
    pub forges: Option<Forges>,
    /// The workflows that there are.
    pub workflows: WorkflowNames,
    /// What is configured.
    pub settings: Settings,
}

/// Takes what others tell, and decides what follows. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    failpoints: Failpoints,
    http: HttpClients,
    sentries: Sentries,
    forges: Option<Forges>,
    workflows: WorkflowNames,
    settings: Live<Settings>,
    /// Something is to be decided.
    bell: Notify,
    /// Also what waits for its turn: the rules may be others.
    anew: AtomicBool,
    reach: Mutex<reach::Reach>,
    /// What trackers said of single issues since their last whole look, by source.
    asked: Mutex<BTreeMap<String, catch_up::CameBack>>,
    reading: AtomicUsize,
    storing: AtomicUsize,
    /// What is wrong with senders since the start, by name.
    troubles: Mutex<BTreeMap<String, Troubles>>,
}

/// What is wrong with one sender.
#[derive(Clone, Debug, Default)]
struct Troubles {
    refused: u64,
    last: Option<(NotSigned, u64)>,
    told_at: u64,
    catch_up: Vec<String>,
}

/// A sender that may begin to send its body.
pub struct Admission {
    name: String,
    source: Source,
    /// The largest body that is taken, in bytes.
    pub body_limit: usize,
    /// How long it may take to arrive.
    pub body_within: Duration,
    _seat: Seat,
}

/// Something that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its row.
    pub id: String,
    /// Whether it had come before.
    pub is_duplicate: bool,
}

/// A sender as it is configured and as it does.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Its name.
    pub name: String,
    /// How it signs and speaks.
    pub kind: SenderKind,
    /// How many rules are about it.
    pub rules: usize,
    /// What came last.
    pub last: Option<Webhook>,
    /// What is wrong, in sentences that say what to do.
    pub troubles: Vec<String>,
}

/// A place among those that are served at the same time.
struct Seat {
    inner: Arc<Inner>,
    of: fn(&Inner) -> &AtomicUsize,
}

impl Seat {
    fn take(inner: &Arc<Inner>, of: fn(&Inner) -> &AtomicUsize, most: usize) -> Option<Self> {
        // Counted first, so that whoever is refused gives it back by the same way.
        let seat = Self { inner: inner.clone(), of };
        (of(inner).fetch_add(1, Ordering::SeqCst) < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        (self.of)(&self.inner).fetch_sub(1, Ordering::SeqCst);
    }
}

impl Webhooks {
    /// Makes the service. It takes what comes at once; what follows is decided while it runs.
    #[must_use]
    pub fn new(deps: WebhooksDeps) -> Self {
        let inner = Inner {
            store: deps.store,
            clock: deps.clock,
            failpoints: deps.failpoints,
            http: deps.http,
            sentries: deps.sentries,
            forges: deps.forges,
            workflows: deps.workflows,
            settings: Live::new(deps.settings),
            bell: Notify::new(),
            anew: AtomicBool::new(true),
            reach: Mutex::default(),
            asked: Mutex::default(),
            reading: AtomicUsize::new(0),
            storing: AtomicUsize::new(0),
            troubles: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Other senders and rules from now on.
    pub fn configure(&self, settings: Settings) {
        self.inner.settings.set(settings);
        self.inner.anew.store(true, Ordering::SeqCst);
        // What no rule was about before stays as it was decided.
        self.inner.bell.notify_one();
    }

    /// Lets a sender begin.
    ///
    /// # Errors
    /// [`IntakeError::UnknownSource`], [`IntakeError::Busy`].
    pub fn admit(&self, name: &str) -> Result<Admission, IntakeError> {
        let settings = self.inner.settings.now();
        let source = settings.sources.get(name).ok_or(IntakeError::UnknownSource)?.clone();
        let seat = Seat::take(&self.inner, |inner| &inner.reading, READS).ok_or_else(|| {
            self.note_missed(name);
            IntakeError::Busy
        })?;
        let (body_limit, body_within) = (settings.body_limit, settings.body_within);
        Ok(Admission { name: name.to_owned(), source, body_limit, body_within, _seat: seat })
    }

    /// How a sender signs and speaks.
    ///
    /// # Errors
    /// [`IntakeError::UnknownSource`].
    pub fn kind_of(&self, name: &str) -> Result<SenderKind, IntakeError> {
        let settings = self.inner.settings.now();
        settings.sources.get(name).map(|source| source.kind).ok_or(IntakeError::UnknownSource)
    }

    /// Takes a message. When it says so, the message survives a power cut and is decided.
    ///
    /// # Errors
    /// [`IntakeError`]. After one that is not about the signature it may be there all the same; it is known by its words
    /// when it comes again.
    pub async fn receive(
        &self,
        admission: &Admission,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Received, IntakeError> {
        let taken = self.take(admission, headers, body).await;
        // Whatever the reason: what it said is not known now, and most say it once.
        taken.inspect_err(|_| self.not_taken(admission))
    }

    /// A message was not taken: what it was about is asked for later, where somebody can be asked.
    pub fn not_taken(&self, admission: &Admission) {
        self.note_missed(&admission.name);
    }

    async fn take(
        &self,
        admission: &Admission,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Received, IntakeError> {
        let Admission { name, source, .. } = admission;
        let now = self.inner.clock.now_ms();
        let signed = signature::verify(source.kind, &source.secrets, headers, body, now)
            .inspect_err(|why| self.note_refusal(name, *why, now))?;
        let most = self.inner.settings.now().parallel;
        let _seat = Seat::take(&self.inner, |inner| &inner.storing, most).ok_or(IntakeError::Busy)?;
        let known = keys::of(source, &signed, headers, body);
        let new = NewWebhook {
            id: DeliveryId::from_parts(now, clock::entropy_128()).to_string(),
            source: name.clone(),
            event: keys::event_of(source.kind, headers),
            keys: known.keys,
            known_since: known.forgotten_after.map(|after| now.saturating_sub(millis(after))),
            headers: headers.kept(),
            body: body.to_vec(),
        };
        self.keep(new).await
    }

    /// Stores something, once.
    async fn keep(&self, new: NewWebhook) -> Result<Received, IntakeError> {
        self.inner.failpoints.hit("webhooks.before_store").await;
        let write = self.inner.store.write(move |tx| rows::insert_once(tx, &new));
        let stored = tokio::time::timeout(STORED_WITHIN, write).await.map_err(|_| IntakeError::Busy)??;
        self.inner.failpoints.hit("webhooks.after_store").await;
        self.inner.bell.notify_one();
        Ok(match stored {
            Stored::New(id) => Received { id, is_duplicate: false },
            Stored::Duplicate(id) => Received { id, is_duplicate: true },
        })
    }

    fn note_refusal(&self, name: &str, why: NotSigned, now: u64) {
        let mut troubles = self.inner.troubles.lock();
        let trouble = troubles.entry(name.to_owned()).or_default();
        trouble.refused += 1;
        trouble.last = Some((why, now));
        if now >= trouble.told_at.saturating_add(TOLD_EVERY_MS) {
            trouble.told_at = now;
            tracing::warn!("webhooks of {name} are refused ({} since the start): {why}", trouble.refused);
        }
    }

    /// Senders, by name.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn senders(&self) -> Result<Vec<Sender>, StoreError> {
        let settings = self.inner.settings.now();
        let names: Vec<String> = settings.sources.keys().cloned().collect();
        let look = self.inner.store.read(move |db| {
            let newest = names.iter().map(|name| rows::newest_of(db, name)).collect::<Result<Vec<_>, _>>()?;
            Ok((newest, projects::list(db)?))
        });
        let (newest, projects) = look.await?;
        let projects: Vec<String> = projects.into_iter().map(|project| project.name.to_string()).collect();
        let workflows = self.inner.workflows.clone();
        let astray = tokio::task::spawn_blocking(move || workflows())
            .await
            .map_or_else(|_| Vec::new(), |workflows| astray(&settings.rules, &workflows, Some(&projects)));
        let troubles = self.inner.troubles.lock().clone();
        let way = self.trouble_of_the_way();
        let of = |((name, source), last): ((&String, &Source), Option<Webhook>)| {
            let rules = settings.rules.iter().filter(|rule| rule.source == *name).count();
            Sender {
                name: name.clone(),
                kind: source.kind,
                rules,
                troubles: sentences(name, source, rules, troubles.get(name))
                    .into_iter()
                    .chain(astray.iter().filter(|rule| rule.source == *name).map(|rule| rule.why.clone()))
                    .chain(way.clone())
                    .collect(),
                last,
            }
        };
        Ok(settings.sources.iter().zip(newest).map(of).collect())
    }

    /// What follows from what they say.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        self.inner.settings.now().rules.clone()
    }

    /// What came, the newest first.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn list(
        &self,
        source: Option<String>,
        state: Option<WebhookState>,
        limit: u32,
    ) -> Result<Vec<Webhook>, StoreError> {
        self.inner.store.read(move |db| rows::list(db, source.as_deref(), state, limit)).await
    }

    /// Something that came, with its words.
    ///
    /// # Errors
    /// [`IntakeError::NoDelivery`].
    pub async fn get(&self, id: &str) -> Result<(Webhook, Content), IntakeError> {
        let id = id.to_owned();
        Ok(self.inner.store.read(move |db| rows::get(db, &id)).await?)
    }

    /// Decides about something again, whatever came of it before, and says what came of it now.
    ///
    /// # Errors
    /// [`IntakeError::NoDelivery`].
    pub async fn replay(&self, principal: &Principal, id: &str) -> Result<Webhook, IntakeError> {
        let (principal, which) = (principal.clone(), id.to_owned());
        let reopen = self.inner.store.write(move |tx| {
            rows::reopen(tx, &which)?;
            tx.audit(&principal, "webhook.replay", &which, &serde_json::json!({}))
        });
        reopen.await?;
        let (webhook, content) = self.get(id).await?;
        // The consumer may be at it as well: one of the two finds it decided.
        if let Err(error) = self.decide(webhook, content).await {
            tracing::warn!(%error, "webhook {id} could not be decided at once: {error}");
            self.inner.bell.notify_one();
        }
        Ok(self.get(id).await?.0)
    }

    /// Forgets what is old.
    ///
    /// # Errors
    /// Only the database's.
    pub async fn tidy(&self) -> Result<(), StoreError> {
        let now = self.inner.clock.now_ms();
        let before = now.saturating_sub(millis(self.inner.settings.now().keep));
        let keys_before = now.saturating_sub(millis(KEYS_KEPT));
        let begun_before = now.saturating_sub(2 * rules::LIMITED_WITHIN_MS);
        let hooks_before = now.saturating_sub(millis(HOOKS_KEPT));
        let forget = move |tx: &mut crate::store::Tx<'_>| {
            rows::forget_begun(tx, begun_before)?;
            rows::forget_hooks(tx, hooks_before)
        };
        self.inner.store.write_soon(forget).await?;
        loop {
            let forget =
                move |tx: &mut crate::store::Tx<'_>| rows::forget(tx, before, keys_before, FORGOTTEN);
            if self.inner.store.write_soon(forget).await? == 0 {
                return Ok(());
            }
        }
    }
}

impl Service for Webhooks {
    const NAME: &'static str = "intake";

    async fn run(&self, stop: CancellationToken) {
        tokio::join!(self.decide_all(&stop), self.watch(&stop));
    }
}

/// What is wrong with a sender, and what to do about it.
fn sentences(name: &str, source: &Source, rules: usize, troubles: Option<&Troubles>) -> Vec<String> {
    let mut said = Vec::new();
    if source.secrets.is_empty() {
        said.push(format!(
            "it has no secret, so everything is refused: set webhooks.sources.{name}.secret to what it signs with"
        ));
    }
    if rules == 0 && source.kind != SenderKind::Github {
        said.push("no rule of webhooks.rules is about it, so nothing follows from what it says".to_owned());
    }
    if source.kind == SenderKind::Sentry && (source.organization.is_none() || !source.has_token) {
        said.push(format!(
            "what it could not tell us is not asked for: set webhooks.sources.{name}.organization and .token"
        ));
    }
    if let Some(Troubles { refused, last: Some((why, at)), .. }) = troubles {
        let times = if *refused == 1 { "once".to_owned() } else { format!("{refused} times") };
        said.push(format!("refused {times} since the start, last at {} UTC: {why}", clock::utc(*at)));
    }
    said.extend(troubles.into_iter().flat_map(|troubles| troubles.catch_up.clone()));
    said
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

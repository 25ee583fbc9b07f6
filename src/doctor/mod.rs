//! Tries each thing that mimir needs, for real, and says why it matters and how to mend it.
//!
//! Nothing is concluded from a version number or a setting where the thing itself
//! can be tried: a frame is run, a file is written, a port is bound. Every try
//! has a deadline. Whatever is made for a try is removed after it.

mod apart;
mod automation;
mod check;
mod engine;
mod git;
mod host;
mod network;
mod probe;
mod reserved;
mod rules;
mod storage;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::clock::Clock;
use crate::frames::{Frames, HostNetworking};
use crate::model::doctor::{Check, Outcome};
use crate::model::ids::InstanceId;
use crate::model::network::NetworkMode;
use crate::model::port::PortRange;
use crate::runtime::Runtime;
use crate::store::Store;
use crate::webhooks::{Rule, WorkflowNames};

pub use automation::SourcePresence;
pub use check::cannot_start;

/// What is examined.
pub struct Subject {
    /// The home folder.
    pub home: PathBuf,
    /// The folder of the gateway's socket.
    pub runtime_folder: PathBuf,
    /// This home's id; a made-up one when the database could not be opened.
    pub instance: InstanceId,
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// The database, when it could be opened.
    pub store: Option<Store>,
    /// That the gateway cannot start, when it cannot; see [`cannot_start`].
    pub trouble: Option<Check>,
    /// The image that frames are made from.
    pub image: String,
    /// The hash of what this mimir builds its image from.
    pub image_inputs: String,
    /// The version of opencode that this mimir was made for.
    pub opencode: &'static str,
    /// Where frames' ports come from.
    pub ports: PortRange,
    /// What frames may reach unless something else is said.
    pub network: NetworkMode,
    /// The entries of every frame's allow-list.
    pub allow: Vec<String>,
    /// Who listens for what a frame asks its broker; nobody without a gateway.
    pub broker: Option<Arc<dyn HostNetworking>>,
    /// Who keeps frames ready; nobody without a gateway.
    pub frames: Option<Frames>,
    /// Model providers.
    pub providers: Vec<ProviderPresence>,
    /// Who may send webhooks.
    pub sources: Vec<SourcePresence>,
    /// What follows from them.
    pub rules: Rules,
    /// The workflows that there are.
    pub workflows: WorkflowNames,
    /// The time.
    pub clock: Clock,
}

/// How the rules of now are asked for: they change while a gateway runs.
pub type Rules = Arc<dyn Fn() -> Vec<Rule> + Send + Sync>;

/// Whether a provider could be asked. Says nothing of the key but that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPresence {
    /// Its name.
    pub name: String,
    /// Whether it has a key, or needs none.
    pub usable: bool,
}

type Step = BoxFuture<'static, Vec<Check>>;

/// Tries everything, one after the other; each result comes as soon as it is there.
pub fn examine(subject: Arc<Subject>) -> Pin<Box<dyn Stream<Item = Check> + Send>> {
    let steps = steps(&subject);
    Box::pin(stream::iter(steps).then(|step| step).flat_map(stream::iter))
}

fn steps(subject: &Arc<Subject>) -> Vec<Step> {
    let with = Arc::clone;
    let mut steps: Vec<Step> = Vec::new();
    if let Some(trouble) = subject.trouble.clone() {
        steps.push(async move { vec![trouble] }.boxed());
    }
    let s = with(subject);
    steps.push(async move { vec![storage::home(&s).await] }.boxed());
    let s = with(subject);
    steps.push(async move { vec![storage::disk(&s).await] }.boxed());
    let s = with(subject);
    steps.push(async move { vec![storage::database(&s).await, storage::integrity(&s).await] }.boxed());
    let s = with(subject);
    steps.push(
        async move {
            vec![
                host::clock(&s).await,
                host::socket_path(&s),
                host::ports(&s).await,
                reserved::ports(&s).await,
            ]
        }
        .boxed(),
    );
    let s = with(subject);
    steps.push(async move { vec![host::subordinate_ids().await, host::linger().await] }.boxed());
    let git = with(subject);
    steps.push(async move { vec![git::identity().await, git::frames(&git).await] }.boxed());
    steps.push(async move { engine_steps(&s).await }.boxed());
    let s = with(subject);
    steps.push(async move { vec![host::providers(&s), automation::sources(&s)] }.boxed());
    let s = with(subject);
    steps.push(async move { automation::standing_still(&s).await }.boxed());
    let s = with(subject);
    steps.push(async move { rules::look(&s).await }.boxed());
    steps
}

/// Without an engine the rest cannot be tried, and says so.
async fn engine_steps(subject: &Subject) -> Vec<Check> {
    let (reach, info) = engine::reach(subject).await;
    let Some(info) = info else {
        return vec![reach, engine::unreachable()];
    };
    let mut checks = vec![reach, engine::capabilities(&info)];
    let (image_check, image) = engine::image(subject).await;
    checks.push(image_check);
    checks.push(engine::frames(subject).await);
    checks.push(apart::users(subject).await);
    match image {
        Some(image) => {
            checks.push(engine::image_age(subject, &image));
            checks.push(engine::opencode(subject, &image));
            checks.extend(probe::run(subject, &image, &info).await);
        }
        None => checks.push(probe::skipped()),
    }
    checks
}

/// Whether anything was found that keeps mimir from working.
#[must_use]
pub fn has_failures(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.outcome == Outcome::Failed)
}

//! What handlers may reach.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use super::metrics::Counters;
use crate::access::Access;
use crate::approvals::Approvals;
use crate::audit::Audit;
use crate::backups::Backups;
use crate::budget::Budgets;
use crate::clock::Clock;
use crate::config::Running;
use crate::delivery::Delivery;
use crate::events::Events;
use crate::feed::Feeds;
use crate::frames::Frames;
use crate::model::ids::InstanceId;
use crate::pushes::Pushes;
use crate::runtime::Runtime;
use crate::runtime::engine::EngineCommand;
use crate::runtime::engines::Calls;
use crate::schedules::Schedules;
use crate::secrets::Vault;
use crate::sessions::Sessions;
use crate::status::Statuses;
use crate::store::Store;
use crate::supervisor::Tasks;
use crate::upkeep::Upkeep;
use crate::webhooks::Webhooks;
use crate::workflows::Workflows;

/// Everything that answers requests. Made in `daemon`, cheap to clone. A handler names what it uses:
/// `State(frames): State<Frames>`.
#[derive(Clone, FromRef)]
pub struct Services {
    /// The database.
    pub store: Store,
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// How long its calls took.
    pub runtime_calls: Calls,
    /// Frames.
    pub frames: Frames,
    /// What agents say.
    pub feeds: Feeds,
    /// Messages on their way.
    pub delivery: Delivery,
    /// Tokens.
    pub access: Access,
    /// What agents ask people.
    pub approvals: Approvals,
    /// What frames do.
    pub statuses: Statuses,
    /// What follows from it.
    pub upkeep: Upkeep,
    /// Runs of workflows.
    pub workflows: Workflows,
    /// Conversations.
    pub sessions: Sessions,
    /// Secrets that frames may use.
    pub vault: Vault,
    /// What happened.
    pub events: Events,
    /// Who changed what.
    pub audit: Audit,
    /// Copies of the database.
    pub backups: Backups,
    /// What may be spent.
    pub budgets: Budgets,
    /// What frames push.
    pub pushes: Pushes,
    /// What other programs tell us.
    pub webhooks: Webhooks,
    /// What is done again and again.
    pub schedules: Schedules,
    /// The time.
    pub clock: Clock,
    /// What doctor needs besides.
    pub doctor: Arc<crate::doctor::Subject>,
    /// How images are built.
    pub images: ImageSource,
    /// What is configured.
    pub running: Running,
    /// What does not change while the gateway runs.
    pub about: Arc<About>,
    /// Owner of what outlives a request.
    pub tasks: Tasks,
    /// What is counted.
    pub counters: Counters,
    /// Cancelled when the gateway stops: streams end, `POST /v1/stop` cancels it.
    pub stop: CancellationToken,
}

/// How images are built.
#[derive(Clone, Debug)]
pub struct ImageSource {
    /// The engine's program; absent when it is not installed.
    pub engine: Option<EngineCommand>,
    /// The hash of what this mimir builds its image from.
    pub inputs: String,
}

/// Facts that do not change while the gateway runs.
#[derive(Clone, Debug)]
pub struct About {
    /// The home folder.
    pub home: String,
    /// This home's id.
    pub instance: InstanceId,
    /// Since when it runs (UTC ms).
    pub started_at: u64,
    /// Unix socket.
    pub socket: String,
    /// `127.0.0.1:8080`, or why there is none; with `https://` when it is encrypted.
    pub http: String,
    /// Of the certificate that it shows.
    pub fingerprint: Option<String>,
    /// The database file.
    pub database: String,
    /// Its schema.
    pub schema: i64,
    /// Where its key came from.
    pub key_source: String,
    /// The model that is used unless another is named.
    pub default_model: String,
    /// The providers that every frame may use.
    pub providers: BTreeSet<String>,
}

//! Who is made of what. The only place where services are constructed and handed to each other.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::attendant::{AgentFiles, HostSide};
use super::settings;
use crate::access::Access;
use crate::approvals::{self, Approvals, ApprovalsDeps, Rules};
use crate::broker::{Broker, BrokerDeps, Dialer};
use crate::clock::Clock;
use crate::config::{Config, Paths};
use crate::delivery::{Delivery, DeliveryDeps};
use crate::doctor;
use crate::events::{self, Events};
use crate::feed::{self, FeedDeps, Feeds};
use crate::frames::settings::AgentConnector;
use crate::frames::{Frames, FramesDeps};
use crate::gateway::{About, ImageSource, Services};
use crate::link::HostPorts;
use crate::model::allow::AllowGroups;
use crate::model::ids::InstanceId;
use crate::models::{Models, Prices};
use crate::notify::Notifier;
use crate::outbound::HttpClients;
use crate::runtime::Runtime;
use crate::runtime::timed::Timed;
use crate::sessions::{Sessions, SessionsDeps};
use crate::status::{StatusDeps, Statuses};
use crate::store::Store;
use crate::supervisor::Tasks;
use crate::upkeep::{Upkeep, UpkeepDeps};
use crate::wire::problem::Problem;

/// What must stand before anything can be built on it. Tests bring their own.
pub struct Ground {
    /// Where everything is.
    pub paths: Paths,
    /// What was configured.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// The database, open.
    pub store: Store,
    /// This home's id.
    pub instance: InstanceId,
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// How images are built.
    pub images: ImageSource,
    /// How the agent in a link folder is reached.
    pub agent_connector: AgentConnector,
    /// Owner of everything that runs.
    pub tasks: Tasks,
    /// Cancelled when the gateway is to stop.
    pub stop: CancellationToken,
    /// The database's schema.
    pub schema: i64,
    /// Where the database's key came from.
    pub key_source: String,
    /// `127.0.0.1:8080`, or why there is none; with `https://` when it is encrypted.
    pub http: String,
    /// Of the certificate that it shows.
    pub fingerprint: Option<String>,
}

/// Builds all services. Nothing runs yet.
///
/// # Errors
/// When something that is built into the program cannot be read: a bug.
pub fn build(ground: Ground) -> Result<Services, Problem> {
    let Ground { paths, config, clock, store, instance, tasks, .. } = &ground;
    let timed = Timed::new(ground.runtime.clone());
    let runtime_calls = timed.calls();
    let runtime: Arc<dyn Runtime> = Arc::new(timed);
    let built_in =
        |error: String| Problem::new(500, "internal", "a built-in table cannot be read").detail(error);
    let default_model = config.default_model();
    let providers = settings::providers(config).map_err(|error| built_in(error.to_string()))?;
    let prices = Prices::built_in().map_err(|error| built_in(error.to_string()))?;
    let models = Arc::new(Models::new(providers, prices, HttpClients::default()));

    let broker = Broker::new(BrokerDeps {
        store: store.clone(),
        models: models.clone(),
        tasks: tasks.clone(),
        groups: AllowGroups::built_in().map_err(built_in)?,
        dialer: Dialer::default(),
    });
    let frames = Frames::new(FramesDeps {
        store: store.clone(),
        runtime: runtime.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: settings::frames(config, paths, instance.clone()),
        attendant: Arc::new(HostSide { broker, ports: HostPorts::new(tasks.clone()) }),
        start_files: Arc::new(AgentFiles {
            models,
            default_model: default_model.clone(),
            small_model: config.small_model(),
            rules: Rules::new(store.clone(), config.approvals.rules.clone()),
        }),
        agent_connector: ground.agent_connector.clone(),
    });
    let notifier = Notifier::new(settings::notify(config));
    let approvals = Approvals::new(ApprovalsDeps {
        store: store.clone(),
        locator: Arc::new(frames.clone()),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: approvals::Settings { rules: config.approvals.rules.clone(), notifier: notifier.clone() },
    });
    let feeds = Feeds::new(FeedDeps {
        store: store.clone(),
        locator: Arc::new(frames.clone()),
        approvals: approvals.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: feed::Settings::default(),
        failpoints: tasks.failpoints(),
    });
    let router = Delivery::new(DeliveryDeps {
        store: store.clone(),
        locator: Arc::new(frames.clone()),
        feeds: feeds.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: settings::router(config),
        failpoints: tasks.failpoints(),
    });
    let statuses = Statuses::new(StatusDeps {
        store: store.clone(),
        frames: frames.clone(),
        feeds: feeds.clone(),
        clock: clock.clone(),
    });
    let upkeep = Upkeep::new(UpkeepDeps {
        store: store.clone(),
        frames: frames.clone(),
        statuses: statuses.clone(),
        clock: clock.clone(),
        settings: settings::upkeep(config),
    });
    let sessions = Sessions::new(SessionsDeps {
        store: store.clone(),
        locator: Arc::new(frames.clone()),
        clock: clock.clone(),
        default_model: default_model.clone(),
        wake: settings::router(config).wake,
        failpoints: tasks.failpoints(),
    });
    Ok(Services {
        approvals,
        notifier,
        statuses,
        upkeep,
        sessions,
        events: Events::new(store.clone())
            .with(events::Settings { keep: settings::retention(config), ..events::Settings::default() }),
        doctor: Arc::new(examined(&ground)),
        ready: frames.ready(),
        about: Arc::new(About {
            home: paths.home().display().to_string(),
            instance: instance.clone(),
            started_at: clock.now_ms(),
            socket: paths.gateway_socket().display().to_string(),
            http: ground.http.clone(),
            fingerprint: ground.fingerprint.clone(),
            database: config.database.path.display().to_string(),
            schema: ground.schema,
            key_source: ground.key_source.clone(),
            default_model: default_model.to_string(),
            unattended: config.approvals.unattended,
        }),
        access: Access::new(store.clone(), clock.clone()),
        store: store.clone(),
        runtime: runtime.clone(),
        runtime_calls,
        frames,
        feeds,
        router,
        clock: clock.clone(),
        tasks: tasks.clone(),
        images: ground.images,
        counters: Default::default(),
        stop: ground.stop,
    })
}

fn examined(ground: &Ground) -> doctor::Subject {
    doctor::Subject {
        home: ground.paths.home().to_owned(),
        runtime_folder: ground.paths.runtime().to_owned(),
        instance: ground.instance.clone(),
        runtime: ground.runtime.clone(),
        store: Some(ground.store.clone()),
        trouble: None,
        image: ground.config.frames.image.clone(),
        image_inputs: ground.images.inputs.clone(),
        opencode: crate::opencode::VERSION,
        ports: ground.config.frames.ports,
        providers: settings::presence(&ground.config),
        clock: ground.clock.clone(),
    }
}

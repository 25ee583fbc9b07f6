//! Who is made of what. The only place where services are constructed and handed to each other.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::attendant::{AgentFiles, HostSide};
use super::settings;
use crate::access::Access;
use crate::approvals::{self, Approvals, ApprovalsDeps, Rules};
use crate::audit::{self, Audit};
use crate::backups::{self, Backups};
use crate::broker::{self, Broker, BrokerDeps, Dialer};
use crate::budget::{self, BudgetDeps, Budgets};
use crate::clock::Clock;
use crate::config::{Config, Live, Paths, Running};
use crate::delivery::{self, Delivery, DeliveryDeps};
use crate::doctor;
use crate::events::{self, EventRetention, Events};
use crate::feed::{self, FeedDeps, Feeds};
use crate::forge::{self, Apps, Forges};
use crate::frames::{self, AgentLocator, Frames, FramesDeps, HostNetworking};
use crate::gateway::{About, ImageSource, Services};
use crate::git::Credentials;
use crate::host_ports::HostPorts;
use crate::model::allow::AllowGroups;
use crate::model::ids::InstanceId;
use crate::models::{Models, Prices};
use crate::notify::{self, Notifier, NotifierDeps};
use crate::outbound::HttpClients;
use crate::pushes::{Pushes, PushesDeps};
use crate::runtime::Runtime;
use crate::runtime::engines::Engines;
use crate::runtime::external::External;
use crate::schedules::{Schedules, SchedulesDeps};
use crate::secrets::{Vault, VaultDeps};
use crate::sentry::Sentries;
use crate::sessions::{Sessions, SessionsDeps};
use crate::status::{StatusDeps, Statuses};
use crate::store::{self, Store, StoreError, runs};
use crate::supervisor::{Service, Tasks};
use crate::timers::Timers;
use crate::upkeep::disk::{DiskWatch, DiskWatchDeps};
use crate::upkeep::{self, Upkeep, UpkeepDeps};
use crate::webhooks::{Webhooks, WebhooksDeps};
use crate::wire::problem::Problem;
use crate::workflows::deps::Deps as SimpleDeps;
use crate::workflows::engine::AllDeps;
use crate::workflows::fix::FixDeps;
use crate::workflows::pull::PullDeps;
use crate::workflows::{self, Workflows, WorkflowsDeps};

/// When error trackers are asked for what was missed: soon after the start, and from time to time.
const CATCH_UP_FIRST: Duration = Duration::from_secs(2);
const CATCH_UP_LOOK: Duration = Duration::from_secs(300);
/// When old webhooks are forgotten.
const TIDY_FIRST: Duration = Duration::from_secs(60);
const TIDY_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// What each service is told: from the configuration, and changed by tests.
pub struct ServiceSettings {
    /// Frames.
    pub frames: frames::Settings,
    /// What agents say.
    pub feed: feed::Settings,
    /// Messages on their way.
    pub delivery: delivery::Settings,
    /// Who is told what agents ask.
    pub notify: notify::Settings,
    /// What follows from what frames do.
    pub upkeep: upkeep::Settings,
    /// How readers of events are treated, and how much is kept for them.
    pub events: events::Settings,
    /// When the database is copied.
    pub backups: backups::Settings,
    /// What model calls may cost.
    pub budget: budget::Settings,
    /// How runs share this machine.
    pub workflows: workflows::Settings,
}

impl ServiceSettings {
    /// What the configuration says.
    #[must_use]
    pub fn of(config: &Config, paths: &Paths, instance: InstanceId) -> Self {
        Self {
            frames: settings::frames(config, paths, instance),
            feed: feed::Settings::default(),
            delivery: settings::delivery(config),
            notify: settings::notify(config),
            upkeep: settings::upkeep(config),
            events: events::Settings { keep: settings::retention(config), ..events::Settings::default() },
            backups: settings::backups(config),
            budget: settings::budget(config),
            workflows: settings::workflows(config),
        }
    }
}

/// What tests put in the place of services. Outside of tests all are absent.
#[derive(Default)]
pub struct StandIns {
    /// Finds agents, instead of the frames.
    pub locator: Option<Arc<dyn AgentLocator>>,
    /// The host's side of frames, instead of sockets and ports.
    pub host: Option<Arc<dyn HostNetworking>>,
}

/// What must be there before anything can be built. Tests bring their own.
pub struct Resources {
    /// What each service is told.
    pub settings: ServiceSettings,
    /// What tests put in the place of services.
    pub stand_ins: StandIns,
    /// Where everything is.
    pub paths: Paths,
    /// What was configured.
    pub config: Config,
    /// The same, as it changes.
    pub running: Running,
    /// The time.
    pub clock: Clock,
    /// The database, open.
    pub store: Store,
    /// This home's id.
    pub instance: InstanceId,
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// The servers elsewhere that frames stand for.
    pub external: External,
    /// How images are built.
    pub images: ImageSource,
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

/// The work that services do by themselves, not started yet.
#[derive(Default)]
pub struct Background(Vec<(&'static str, Start)>);

/// Starts the work of one service.
type Start = Box<dyn FnOnce(&Tasks) + Send>;

impl Background {
    /// Takes the work of a service, and hands the service on.
    fn of<S: Service>(&mut self, service: S) -> S {
        let worker = service.clone();
        self.0.push((S::NAME, Box::new(move |tasks| tasks.run(&worker))));
        service
    }

    /// The work of these services alone, by the names of their tasks: for tests.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.0.retain(|(name, _)| names.contains(name));
        self
    }

    /// Starts all of it.
    pub fn start(self, tasks: &Tasks) {
        self.0.into_iter().for_each(|(_, start)| start(tasks));
    }
}

/// Builds all services. Nothing runs yet.
///
/// # Errors
/// When something that is built into the program cannot be read: a bug.
pub fn build(resources: Resources) -> Result<(Services, Background), Problem> {
    let subject = examined(&resources);
    let Resources { settings, stand_ins, paths, config, running, clock, store, .. } = resources;
    let Resources { instance, tasks, external, .. } = resources;
    let mut background = Background::default();
    let engines = Engines::new(resources.runtime, external.clone());
    let runtime_calls = engines.calls();
    let runtime: Arc<dyn Runtime> = Arc::new(engines);
    let failpoints = tasks.failpoints();
    let built_in =
        |error: String| Problem::new(500, "internal", "a built-in table cannot be read").detail(error);
    let default_model = config.default_model();
    let providers = settings::providers(&config).map_err(|error| built_in(error.to_string()))?;
    let prices = Prices::built_in().map_err(|error| built_in(error.to_string()))?;
    let every_frame = settings::providers_of_every_frame(&config);
    let http = HttpClients::default();
    let models = Models::new(providers, prices, http.clone());
    let models = Arc::new(models.for_every_frame(every_frame.iter().map(String::as_str)));
    let keys = models.providers().filter_map(|provider| {
        Some((format!("the key of provider {}", provider.name), provider.key.clone()?))
    });
    let vault =
        Vault::new(VaultDeps { store: store.clone(), known: models.known().clone(), keys: keys.collect() });
    let rules = Rules::new(store.clone(), Live::new(config.approvals.rules.clone()));
    let keep = Live::new(settings.events.keep);

    let sentries = Sentries::new(http.clone(), clock.clone(), settings::sentries(&config));
    vault.known().set("webhooks", settings::webhook_secrets(&config));
    let egress = Live::new(settings::egress(&config));
    let budgets = background.of(Budgets::new(BudgetDeps {
        store: store.clone(),
        models: models.clone(),
        clock: clock.clone(),
        failpoints: failpoints.clone(),
        settings: settings.budget,
    }));
    let git = Live::new(config.git.clone());
    let to_forges = forge::Settings::default();
    let apps = Apps::new(http.clone(), clock.clone(), to_forges).with_failpoints(failpoints.clone());
    let credentials = Credentials::new(git.clone(), apps);
    let forges = Forges::new(Arc::new(credentials.clone()), http.clone(), clock.clone(), to_forges);
    let webhooks = background.of(Webhooks::new(WebhooksDeps {
        store: store.clone(),
        clock: clock.clone(),
        failpoints: failpoints.clone(),
        http: http.clone(),
        sentries: sentries.clone(),
        forges: Some(forges.clone()),
        workflows: settings::workflow_names(paths.home()),
        settings: settings::webhooks(&config),
    }));
    let pushes = background.of(Pushes::new(PushesDeps {
        credentials,
        store: store.clone(),
        tasks: tasks.clone(),
        vault: vault.clone(),
        settings: git.clone(),
        home: paths.home().to_owned(),
    }));
    let broker = Broker::new(BrokerDeps {
        store: store.clone(),
        models: models.clone(),
        budgets: budgets.clone(),
        pushes: pushes.clone(),
        http,
        tasks: tasks.clone(),
        groups: AllowGroups::built_in().map_err(built_in)?,
        dialer: Dialer::default(),
        clock: clock.clone(),
        limits: egress.clone(),
        idle: broker::IDLE,
        vault: vault.clone(),
    });
    let asking = broker.clone();
    let ports = HostPorts::new(tasks.clone());
    let attendant =
        stand_ins.host.unwrap_or_else(|| Arc::new(HostSide { broker, ports, runtime: runtime.clone() }));
    let frames = background.of(Frames::new(FramesDeps {
        store: store.clone(),
        runtime: runtime.clone(),
        external: external.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: settings.frames,
        attendant: attendant.clone(),
        start_files: Arc::new(AgentFiles {
            models,
            default_model: default_model.clone(),
            small_model: config.small_model(),
            rules: rules.clone(),
            vault: vault.clone(),
            git: git.clone(),
        }),
    }));
    let followed = webhooks.clone();
    let doctor = Arc::new(doctor::Subject {
        broker: Some(attendant.clone()),
        frames: Some(frames.clone()),
        rules: Arc::new(move || followed.rules()),
        ..subject
    });
    let locator: Arc<dyn AgentLocator> = stand_ins.locator.unwrap_or_else(|| Arc::new(frames.clone()));
    let approvals = background.of(Approvals::new(ApprovalsDeps {
        store: store.clone(),
        locator: locator.clone(),
        host: attendant,
        clock: clock.clone(),
        tasks: tasks.clone(),
        rules: rules.clone(),
    }));
    asking.ask_people(&approvals);
    background.of(Notifier::new(NotifierDeps {
        store: store.clone(),
        clock: clock.clone(),
        failpoints: failpoints.clone(),
        settings: settings.notify,
    }));
    let feeds = background.of(Feeds::new(FeedDeps {
        store: store.clone(),
        locator: locator.clone(),
        approvals: approvals.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: settings.feed,
        failpoints: failpoints.clone(),
    }));
    let wake = settings.delivery.wake;
    let delivery = background.of(Delivery::new(DeliveryDeps {
        store: store.clone(),
        locator: locator.clone(),
        feeds: feeds.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        settings: settings.delivery,
        failpoints: failpoints.clone(),
    }));
    let statuses = background.of(Statuses::new(StatusDeps {
        store: store.clone(),
        frames: frames.clone(),
        feeds: feeds.clone(),
        clock: clock.clone(),
    }));
    let upkeep = Upkeep::new(UpkeepDeps {
        store: store.clone(),
        frames: frames.clone(),
        statuses: statuses.clone(),
        clock: clock.clone(),
        settings: settings.upkeep,
    });
    let disk = background.of(DiskWatch::new(DiskWatchDeps {
        store: store.clone(),
        frames: frames.clone(),
        statuses: statuses.clone(),
        home: paths.home().to_owned(),
        config: config.frames.clone(),
    }));
    let sessions = Sessions::new(SessionsDeps {
        store: store.clone(),
        locator,
        clock: clock.clone(),
        default_model: default_model.clone(),
        wake,
        failpoints: failpoints.clone(),
    });
    let fix = FixDeps {
        store: store.clone(),
        frames: frames.clone(),
        delivery: delivery.clone(),
        pushes: pushes.clone(),
        failpoints: failpoints.clone(),
    };
    let runs_settings = Live::new(settings.workflows);
    let pull = PullDeps {
        runs: runs_settings.clone(),
        store: store.clone(),
        forges,
        sentries: sentries.clone(),
        vault: vault.clone(),
        git: git.clone(),
        worker: fix.clone(),
        failpoints: failpoints.clone(),
    };
    let workflows = background.of(Workflows::new(WorkflowsDeps {
        stages: AllDeps {
            simple: SimpleDeps {
                store: store.clone(),
                clock: clock.clone(),
                frames: frames.clone(),
                delivery: delivery.clone(),
                failpoints: failpoints.clone(),
            },
            fix,
            pull,
        },
        tasks: tasks.clone(),
        settings: runs_settings,
        home: paths.home().to_owned(),
    }));
    let timers = background.of(Timers::new(store.clone(), clock.clone(), &tasks));
    let waking = workflows.clone();
    timers.handle(runs::TIMER, move |run| {
        let fired = waking.timer_fired(&run);
        async move { Ok::<_, StoreError>(fired) }
    });
    let cleaning = workflows.clone();
    timers.handle(runs::CLEAN_UP, move |run| {
        let workflows = cleaning.clone();
        async move { workflows.clean_up(&run).await }
    });
    let denying = approvals.clone();
    timers.handle(approvals::DEADLINE, move |id| {
        let approvals = denying.clone();
        async move { approvals.deadline_passed(&id).await }
    });
    let looking = upkeep.clone();
    timers.every("upkeep", upkeep.period(), upkeep.period(), move || {
        let upkeep = looking.clone();
        async move { upkeep.look_once().await }
    });
    let schedules = background.of(Schedules::new(SchedulesDeps {
        store: store.clone(),
        clock: clock.clone(),
        failpoints: failpoints.clone(),
        configured: config.schedules.clone(),
    }));
    let ticking = schedules.clone();
    timers.handle(store::schedules::TIMER, move |id| {
        let schedules = ticking.clone();
        async move { schedules.tick(&id).await }
    });
    let retention =
        EventRetention { store: store.clone(), clock: clock.clone(), keep: keep.clone(), failpoints };
    timers.every("events.retention", Duration::ZERO, events::RETENTION_EVERY, move || {
        let retention = retention.clone();
        async move { retention.tidy().await }
    });
    let asking_trackers = webhooks.clone();
    let catch_up = config.webhooks.catch_up.unwrap_or(CATCH_UP_LOOK);
    timers.every("webhooks.catch_up", CATCH_UP_FIRST, catch_up, move || {
        let webhooks = asking_trackers.clone();
        async move { webhooks.catch_up().await }
    });
    let forgetting = webhooks.clone();
    timers.every("webhooks.tidy", TIDY_FIRST, TIDY_EVERY, move || {
        let webhooks = forgetting.clone();
        async move { webhooks.tidy().await }
    });
    let heads = audit::heads_file(config.audit.heads.as_deref(), paths.home());
    let audit = background.of(Audit::new(store.clone(), clock.clone(), paths.home(), heads));
    let copies = background.of(Backups::new(store.clone(), clock.clone(), settings.backups));
    let copying = copies.clone();
    timers.every("backups", backups::FIRST_LOOK, backups::LOOK_EVERY, move || {
        let copies = copying.clone();
        async move { copies.keep_up().await }
    });
    let users = (
        frames.clone(),
        upkeep.clone(),
        disk,
        delivery.clone(),
        budgets.clone(),
        workflows.clone(),
        schedules.clone(),
    );
    let told = (webhooks.clone(), sentries.clone(), vault.known().clone());
    running.on_change(move |config| {
        let (webhooks, sentries, known) = &told;
        known.set("webhooks", settings::webhook_secrets(config));
        sentries.configure(settings::sentries(config));
        webhooks.configure(settings::webhooks(config));
    });
    running.on_change(move |config| {
        let (frames, upkeep, disk, delivery, budgets, workflows, schedules) = &users;
        workflows.configure(settings::workflows(config));
        budgets.configure(settings::budget(config));
        git.set(config.git.clone());
        frames.configure(config.frames.clone());
        upkeep.configure(config.frames.clone());
        disk.configure(config.frames.clone());
        delivery.configure(config.turn, config.queue);
        delivery.configure_routing(settings::routing(config));
        rules.configure(config.approvals.rules.clone());
        egress.set(settings::egress(config));
        keep.set(settings::retention(config));
        schedules.configure(config.schedules.clone());
    });
    let services = Services {
        approvals,
        audit,
        backups: copies,
        budgets,
        pushes,
        webhooks,
        schedules,
        statuses,
        upkeep,
        workflows,
        sessions,
        vault,
        events: Events::new(store.clone()).with(settings.events),
        doctor,
        about: Arc::new(About {
            home: paths.home().display().to_string(),
            instance,
            started_at: clock.now_ms(),
            socket: paths.gateway_socket().display().to_string(),
            http: resources.http,
            fingerprint: resources.fingerprint,
            database: config.database.path.display().to_string(),
            schema: resources.schema,
            key_source: resources.key_source,
            default_model: default_model.to_string(),
            providers: every_frame,
        }),
        running,
        access: background.of(Access::new(store.clone(), clock.clone())),
        store,
        runtime,
        runtime_calls,
        frames,
        feeds,
        delivery,
        clock,
        tasks,
        images: resources.images,
        counters: Default::default(),
        stop: resources.stop,
    };
    Ok((services, background))
}

fn examined(resources: &Resources) -> doctor::Subject {
    doctor::Subject {
        home: resources.paths.home().to_owned(),
        runtime_folder: resources.paths.runtime().to_owned(),
        instance: resources.instance.clone(),
        runtime: resources.runtime.clone(),
        store: Some(resources.store.clone()),
        trouble: None,
        image: resources.config.frames.image.clone(),
        image_inputs: resources.images.inputs.clone(),
        opencode: crate::opencode::VERSION,
        ports: resources.config.frames.ports,
        network: resources.config.frames.network,
        allow: resources.config.frames.allow.clone(),
        broker: None,
        frames: None,
        providers: settings::presence(&resources.config),
        sources: settings::senders(&resources.config),
        rules: settings::rules(&resources.config),
        workflows: settings::workflow_names(resources.paths.home()),
        clock: resources.clock.clone(),
    }
}

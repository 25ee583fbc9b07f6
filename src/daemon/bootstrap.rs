//! What must be there before services can be built: the database with its key, and the engine.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::problem::{config_problem, key_problem, start_failed, store_problem};
use super::services::{Resources, ServiceSettings, StandIns};
use crate::clock::{self, Clock};
use crate::config::{Config, LoadOptions, Loaded, Paths, Running};
use crate::frames::connect::known_servers;
use crate::gateway::ImageSource;
use crate::model::ids::InstanceId;
use crate::model::secret::Secret;
use crate::runtime::build;
use crate::runtime::engine::{EngineCommand, EngineSettings};
use crate::runtime::podman::Podman;
use crate::store::key::{self, KeyRequest, LoadedKey};
use crate::store::keyring::DesktopKeyring;
use crate::store::{self, OpenOptions, Store};
use crate::supervisor::Tasks;
use crate::wire::problem::Problem;

/// Asks a person for the database's key.
pub type AskKey = Box<dyn Fn() -> Option<Secret> + Send + Sync>;

/// What is known by then.
pub(super) struct Options {
    pub(super) load: LoadOptions,
    pub(super) loaded: Loaded,
    pub(super) http: String,
    pub(super) fingerprint: Option<String>,
    pub(super) ask_key: Option<AskKey>,
}

/// Opens the database and finds the engine. An engine that is down is no reason not to start.
///
/// # Errors
/// When the database cannot be opened; nothing was touched then.
pub(super) async fn open(
    options: Options,
    tasks: Tasks,
    stop: CancellationToken,
) -> Result<(Resources, Arc<Podman>), Problem> {
    let clock = Clock::system();
    let Options { load, loaded, http, fingerprint, ask_key } = options;
    let (paths, config) = (load.paths.clone(), loaded.config.clone());
    let opening = (paths.clone(), config.clone(), clock.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let (paths, config, clock) = opening;
        open_store(&paths, &config, ask_key.as_deref(), clock)
    });
    let (store, key_source) = opened.await.map_err(|error| start_failed("open its database", &error))??;

    let fresh = InstanceId::from_parts(clock.now_ms(), clock::entropy_128());
    let instance: InstanceId = store
        .write(move |tx| store::meta::ensure_instance(tx, &fresh))
        .await
        .map_err(|error| store_problem(&error))?;
    let home = paths.home().to_owned();
    let begun = crate::audit::begin(&store, &home, &tasks.failpoints()).await;
    begun.map_err(|error| start_failed("begin its audit log", &error))?;
    let external = known_servers(&store).await.map_err(|error| store_problem(&error))?;
    let schema = store.schema().await.map_err(|error| store_problem(&error))?;
    let engine = engine_settings(&paths, &config);
    let images = ImageSource { engine: EngineCommand::find(&engine), inputs: build::inputs_hash() };
    let podman = Arc::new(Podman::new(instance.clone(), engine, paths.frames()));
    let resources = Resources {
        settings: ServiceSettings::of(&config, &paths, instance.clone()),
        stand_ins: StandIns::default(),
        runtime: podman.clone(),
        external,
        paths,
        config,
        running: Running::new(load, loaded),
        clock,
        store,
        instance,
        images,
        tasks,
        stop,
        schema,
        key_source,
        http,
        fingerprint,
    };
    #[cfg(feature = "test-support")]
    let resources = super::test_support::stand_in(resources);
    Ok((resources, podman))
}

/// Where to look for the engine.
pub(super) fn engine_settings(paths: &Paths, config: &Config) -> EngineSettings {
    let socket = config.engine.socket.as_ref().map(|path| path.display().to_string());
    EngineSettings {
        runtime: config.frames.runtime.clone(),
        ..EngineSettings::of_this_process(socket, paths.runtime().to_owned())
    }
}

/// Opens the database with its key; says where the key came from.
pub(super) fn open_store(
    paths: &Paths,
    config: &Config,
    ask_key: Option<&(dyn Fn() -> Option<Secret> + Send + Sync)>,
    clock: Clock,
) -> Result<(Store, String), Problem> {
    // Before a new key is made.
    super::lost::refuse(paths, config, clock.now_ms())?;
    let loaded = load_key(paths, config, ask_key, true)?;
    let options =
        OpenOptions { path: config.database.path.clone(), key: loaded.key, backups: paths.backups() };
    let is_new = !options.path.exists();
    let store = Store::open(options, clock).map_err(|error| store_problem(&error))?;
    if is_new {
        let list = paths.home().join(build::MADE);
        if let Err(error) = build::begin_made(&list) {
            // Then images are judged by their labels when the home is taken away.
            tracing::warn!("{} cannot be begun: {error}", list.display());
        }
    }
    Ok((store, loaded.source.to_string()))
}

/// Finds the database's key, or makes one for a new database if that may be.
pub(super) fn load_key(
    paths: &Paths,
    config: &Config,
    ask_key: Option<&(dyn Fn() -> Option<Secret> + Send + Sync)>,
    may_make: bool,
) -> Result<LoadedKey, Problem> {
    let ask = ask_key.map(|ask| move || ask());
    let bus = std::env::var("DBUS_SESSION_BUS_ADDRESS").ok();
    let keyring = DesktopKeyring::of_session(paths.home(), bus.as_deref());
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let request = KeyRequest {
        given: config.database.encryption_key.clone(),
        credentials: credentials.as_deref(),
        database: &config.database.path,
        may_make,
        key_file: &paths.key_file(),
        prompt: ask.as_ref().map(|ask| ask as &dyn Fn() -> Option<Secret>),
        keyring: keyring.as_ref().map(|keyring| keyring as &dyn key::Keyring),
    };
    key::load(&request).map_err(key_problem)
}

/// For [`super::examine`]: a configuration that cannot be used is a finding like any other.
pub(super) fn load_config(load: &LoadOptions) -> Result<Config, Problem> {
    Config::load(load).map(|loaded| loaded.config).map_err(config_problem)
}

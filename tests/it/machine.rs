//! A machine in memory: a home, an engine, folders for projects, and gateways that come and go.
//!
//! A gateway here is made by the composition that users run; a test says which work of its services goes on, and what
//! stands in the place of what.

use std::path::PathBuf;

use mimir::clock::Clock;
use mimir::config::{Config, FlagValue, LoadOptions, Paths, Running};
use mimir::daemon::{Background, Resources, ServiceSettings, StandIns, build};
use mimir::gateway::{ImageSource, Services};
use mimir::model::ids::InstanceId;
use mimir::model::secret::Secret;
use mimir::runtime::external::External;
use mimir::runtime::fake::FakeEngine;
use mimir::store::{OpenOptions, Store};
use mimir::supervisor::Tasks;
use tokio_util::sync::CancellationToken;

/// The image that every frame is made from.
pub const IMAGE: &str = "localhost/mimir-frame:latest";
/// How many ports each machine has for its frames.
const PORTS: u16 = 30;

/// What outlives gateways.
pub struct Machine {
    pub engine: FakeEngine,
    pub paths: Paths,
    keys: Vec<(String, String)>,
    projects: tempfile::TempDir,
    _home: tempfile::TempDir,
}

impl Machine {
    /// With an empty home.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With keys of the configuration.
    pub fn with(keys: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().expect("a home");
        let paths = Paths::new(home.path(), home.path().join("run"));
        paths.ensure_runtime().expect("a runtime folder");
        let engine = FakeEngine::new(Self::instance(), Clock::system(), &paths.frames());
        engine.add_image(IMAGE);
        let mut all = vec![("frames.ports".to_owned(), crate::ports::own(PORTS).to_string())];
        all.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let projects = tempfile::tempdir().expect("a folder for projects");
        Self { engine, paths, keys: all, projects, _home: home }
    }

    pub fn instance() -> InstanceId {
        InstanceId::from_parts(1, 1)
    }

    /// A folder that may be a workspace.
    pub fn project(&self, name: &str) -> PathBuf {
        let path = self.projects.path().join(name);
        std::fs::create_dir_all(&path).expect("a project folder");
        std::fs::canonicalize(path).expect("resolves")
    }

    /// The database, as whoever opens it next finds it.
    pub fn open_store(&self) -> Store {
        let options = OpenOptions {
            path: self.paths.database(),
            key: Secret::new("ab".repeat(32)),
            backups: self.paths.backups(),
        };
        Store::open(options, Clock::system()).expect("the database opens")
    }

    /// A gateway that is not made yet, which opens the database anew.
    pub fn gateway(&self) -> Builder {
        self.gateway_on(self.open_store())
    }

    /// A gateway that is not made yet, on a database that is open already.
    pub fn gateway_on(&self, store: Store) -> Builder {
        let flag = |(key, value): &(String, String)| FlagValue {
            flag: "test".into(),
            key: key.clone(),
            value: value.clone(),
        };
        let flags = self.keys.iter().map(flag).collect();
        let load = LoadOptions { paths: self.paths.clone(), env: Default::default(), flags };
        let loaded = Config::load(&load).expect("the built-in configuration");
        let config = loaded.config.clone();
        let resources = Resources {
            settings: ServiceSettings::of(&config, &self.paths, Self::instance()),
            stand_ins: StandIns::default(),
            paths: self.paths.clone(),
            config,
            running: Running::new(load, loaded),
            clock: Clock::system(),
            store,
            instance: Self::instance(),
            runtime: std::sync::Arc::new(self.engine.clone()),
            images: ImageSource { engine: None, inputs: "memory".into() },
            external: External::default(),
            tasks: Tasks::default(),
            stop: CancellationToken::new(),
            schema: 1,
            key_source: "test".into(),
            http: "test".into(),
            fingerprint: None,
        };
        Builder { resources, only: None }
    }
}

/// A gateway that is not made yet.
pub struct Builder {
    resources: Resources,
    only: Option<&'static [&'static str]>,
}

impl Builder {
    /// Its database.
    pub fn store(&self) -> Store {
        self.resources.store.clone()
    }

    /// Other resources: settings, or what stands in the place of services.
    pub fn change(mut self, change: impl FnOnce(&mut Resources)) -> Self {
        change(&mut self.resources);
        self
    }

    /// The work of these services alone goes on; the others do only what they are asked for.
    pub fn only(mut self, services: &'static [&'static str]) -> Self {
        self.only = Some(services);
        self
    }

    /// Makes it. Nothing runs yet.
    pub fn build(self) -> Gateway {
        let (tasks, stop) = (self.resources.tasks.clone(), self.resources.stop.clone());
        let (services, background) = build(self.resources).expect("builds");
        let background = match self.only {
            Some(names) => background.only(names),
            None => background,
        };
        Gateway { services, tasks, stop, background }
    }

    /// Makes it and lets it run.
    pub fn start(self) -> Gateway {
        self.build().start()
    }
}

/// A gateway without its edges.
pub struct Gateway {
    pub services: Services,
    pub tasks: Tasks,
    pub stop: CancellationToken,
    background: Background,
}

impl Gateway {
    /// Starts the work of its services, once.
    pub fn start(mut self) -> Self {
        std::mem::take(&mut self.background).start(&self.tasks);
        self
    }
}

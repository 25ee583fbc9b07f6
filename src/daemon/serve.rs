//! The life of a gateway, from its lock to its last word.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bootstrap::{self, AskKey};
use super::detach::{self, Started};
use super::lock::{HomeLock, LockError, Stage, lock_home};
use super::memory;
use super::problem::{config_problem, lock_problem, start_failed};
use super::projects;
use super::services;
use super::signals::StopSignals;
use super::socket::{self, ClientSocket, TcpSide};
use super::token;
use crate::access::certificate::{self, Certificate};
use crate::config::schema::{Server, Tls};
use crate::config::{Config, LoadOptions, Paths, Running};
use crate::gateway::auth::Authenticator;
use crate::gateway::{self, Services};
use crate::supervisor::{OnExit, Tasks};
use crate::telemetry::{self, LogFile, Mask, Sinks};
use crate::wire::problem::Problem;

/// After a stop, everything that runs gets this long.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How often the configuration file is looked at; whoever asks what is configured looks as well.
const LOOK_AT_FILE: Duration = Duration::from_secs(2);

/// How to run.
pub struct ServeOptions {
    /// Where the configuration comes from.
    pub load: LoadOptions,
    /// In front of a person, or apart from every terminal.
    pub mode: Mode,
    /// Asks a person for the database's key; absent when nobody is there.
    pub ask_key: Option<AskKey>,
}

/// In front of whom a gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In a terminal or under a service manager: says on standard error what happens. The log file gets it in any case.
    Foreground,
    /// Started by [`super::detach`]: leaves the terminal, and says on standard output once how the start went.
    Detached,
}

/// Runs a gateway on a runtime of its own, until it is asked to stop.
///
/// # Errors
/// As [`run`].
pub fn serve(options: ServeOptions) -> Result<(), Problem> {
    let mode = options.mode;
    if mode == Mode::Detached {
        // Fails only for the leader of a group, which is apart already.
        let _ = rustix::process::setsid();
    }
    leave_no_core();
    memory::keep_small();
    let outcome = match runtime() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(options));
            // A thread that hangs in the engine or the keyring must not keep us.
            runtime.shutdown_timeout(Duration::from_secs(1));
            outcome
        }
        Err(error) => Err(start_failed("start its threads", &error)),
    };
    if let (Mode::Detached, Err(problem)) = (mode, &outcome) {
        // Heard only by a parent that still waits for the start.
        detach::announce(Err(problem));
    }
    outcome
}

/// A crash leaves no copy of our memory on a disk: every key is in it. What we start inherits that, and may raise it.
fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    // Nobody is refused to lower it. One byte and not none: where `core_pattern` names a program (systemd-coredump, apport),
    // the kernel hands it everything whatever the limit is, but for exactly this one. A file would need more than a byte.
    let current = Some(maximum.map_or(1, |most| most.min(1)));
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}

/// Few threads: a gateway waits most of the time, and each thread costs memory.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_keep_alive(Duration::from_secs(5))
        .enable_all()
        .build()
}

/// Runs a gateway until it is asked to stop.
///
/// # Errors
/// Why it could not start, or which part of it failed; nothing was touched when it did not start.
pub async fn run(options: ServeOptions) -> Result<(), Problem> {
    let mut signals = StopSignals::take_over(options.mode == Mode::Foreground)
        .map_err(|error| start_failed("take over signals", &error))?;
    let paths = options.load.paths.clone();
    paths.ensure_home().map_err(config_problem)?;
    let lock = lock_when_free(&paths, STOP_WITHIN * 2 + Duration::from_secs(5))
        .await
        .map_err(|error| lock_problem(error, &paths))?;
    let mask = Mask::default();
    start_log(&paths, options.mode == Mode::Foreground, mask.clone())?;
    let loaded = Config::load(&options.load).map_err(config_problem)?;
    paths.ensure_runtime().map_err(config_problem)?;

    let stop = CancellationToken::new();
    // Two scopes: clients are sent away first, then what they used is ended.
    let edge = Tasks::new(stop.child_token());
    let core = Tasks::new(CancellationToken::new());
    let server = loaded.config.server.clone();
    let certificate = certificate(&server, &paths)?;
    let tcp = socket::bind_tcp(server.bind, server.http_port.unwrap_or(0), certificate.is_some()).await;
    let configured = loaded.config.projects.clone();
    let wanted = bootstrap::Options {
        load: options.load,
        loaded,
        http: tcp.describe(certificate.is_some()),
        fingerprint: certificate.as_ref().map(|certificate| certificate.fingerprint.to_string()),
        ask_key: options.ask_key,
    };
    let (resources, engine) = bootstrap::open(wanted, core.clone(), stop.clone()).await?;
    let (services, background) = services::build(resources)?;

    let frames = services.frames.clone();
    let learn = async |path: String| frames.learn(&path).await;
    projects::register(&services.store, configured, projects::WITHIN, learn)
        .await
        .map_err(|error| start_failed("register the configured projects", &error))?;
    // Before anybody can say one.
    services.vault.take_up().await.map_err(|error| start_failed("take up its secrets", &error))?;
    let known = services.vault.known().clone();
    mask.set(move |line| {
        let secrets = known.now();
        (!secrets.is_empty() && secrets.are_in(line)).then(|| secrets.out_of_bytes(line))
    });
    // Before any frame can ask for a model.
    services.budgets.take_up().await.map_err(|error| start_failed("take up the books", &error))?;
    background.start(&core);
    services.delivery.resume().await.map_err(|error| start_failed("take up open messages", &error))?;
    let unix = ClientSocket::bind(&paths)
        .map_err(|error| start_failed(&format!("listen on {}", paths.gateway_socket().display()), &error))?;
    let connections = usize::try_from(server.connections_per_address).unwrap_or(usize::MAX);
    let rules = TcpRules { paths: &paths, hosts: server.hosts, connections, certificate };
    start_edge(&edge, &services, unix, tcp, rules)?;
    watch_file(&core, services.running.clone());
    memory::give_back_now_and_then(&core);
    lock.say(Stage::Running);
    tracing::info!(socket = %services.about.socket, http = %services.about.http,
        "the gateway answers at {}", services.about.socket);
    if let Some(fingerprint) = &services.about.fingerprint {
        tracing::info!("clients elsewhere see the certificate {fingerprint} at {}", services.about.http);
    }
    if options.mode == Mode::Detached {
        let started = Started { socket: paths.gateway_socket(), http: services.about.http.clone() };
        detach::announce(Ok(&started));
    }
    notify(&[sd_notify::NotifyState::Ready]);

    let (edge_over, core_over) = (edge.stop_token(), core.stop_token());
    let why = tokio::select! {
        signal = signals.next() => signal.to_owned(),
        () = edge_over.cancelled() => edge.fatal().unwrap_or_else(|| "a client asked for it".to_owned()),
        () = core_over.cancelled() => core.fatal().unwrap_or_default(),
    };
    tracing::info!("stopping: {why}");
    lock.say(Stage::Ending);
    notify(&[sd_notify::NotifyState::Stopping]);
    stop.cancel();
    let end = async {
        let edge_ended = edge.stop(STOP_WITHIN).await;
        let core_ended = core.stop(STOP_WITHIN).await;
        engine.close().await;
        edge_ended && core_ended
    };
    tokio::select! {
        all = end => if all { tracing::info!("stopped") } else { tracing::warn!("stopped; some work was cut off") },
        signal = signals.next() => tracing::warn!("{signal} again: stopping at once"),
    }
    let _ = std::fs::remove_file(paths.gateway_socket());
    match core.fatal().or_else(|| edge.fatal()) {
        Some(part) => {
            Err(Problem::new(500, "gateway.part_failed", format!("the gateway stopped because {part}"))
                .hint("its log has more; the next command starts it again"))
        }
        None => Ok(()),
    }
}

/// Who may use the TCP side, and how.
struct TcpRules<'a> {
    paths: &'a Paths,
    hosts: Vec<String>,
    connections: usize,
    certificate: Option<Certificate>,
}

/// The certificate that the TCP side shows; none when it is not encrypted, or not there.
fn certificate(server: &Server, paths: &Paths) -> Result<Option<Certificate>, Problem> {
    let loaded = match &server.tls {
        _ if server.http_port.is_none() => return Ok(None),
        None => return Ok(None),
        Some(Tls::Own { cert, key }) => certificate::load(cert, key),
        Some(Tls::Made) => {
            let mut names: Vec<String> = server
                .hosts
                .iter()
                .map(|host| host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned())
                .collect();
            names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
            if !server.bind.is_unspecified() && !server.bind.is_loopback() {
                names.push(server.bind.to_string());
            }
            certificate::load_or_make(&paths.tls(), names)
        }
    };
    loaded.map(Some).map_err(|error| {
        Problem::new(500, "config.tls", "the certificate for TLS cannot be used")
            .detail(error.to_string())
            .hint("`mimir config show server.tls --origin` shows which files are meant")
    })
}

/// What clients see. Without it there is no gateway.
fn start_edge(
    edge: &Tasks,
    services: &Services,
    unix: ClientSocket,
    tcp: TcpSide,
    rules: TcpRules<'_>,
) -> Result<(), Problem> {
    let app = gateway::app(services.clone());
    let unix = std::sync::Arc::new(unix);
    let routes = app.clone();
    edge.spawn("unix listener", OnExit::StopGateway, move |stop| {
        let socket = unix.clone();
        let accept = move || {
            let socket = socket.clone();
            async move { socket.accept().await }
        };
        gateway::serve::unix(accept, routes.clone(), stop)
    });
    let listener = match tcp {
        TcpSide::Listening(listener, _) => std::sync::Arc::new(listener),
        TcpSide::Unwanted => return Ok(()),
        TcpSide::Absent(why) => {
            tracing::warn!("no TCP: {why}");
            return Ok(());
        }
    };
    let path = rules.paths.token();
    let token = token::load_or_make(&path)
        .map_err(|error| start_failed(&format!("read {}", path.display()), &error))?;
    let gate = Authenticator::new(token, services.access.clone(), rules.hosts, rules.certificate.as_ref())
        .with_connections(rules.connections);
    edge.spawn("tcp listener", OnExit::StopGateway, move |stop| {
        gateway::serve::tcp(listener.clone(), gate.clone(), app.clone(), stop)
    });
    Ok(())
}

fn start_log(paths: &Paths, sentences: bool, mask: Mask) -> Result<(), Problem> {
    let file = LogFile::open(&paths.log(), telemetry::LOG_LIMIT_BYTES)
        .map_err(|error| start_failed(&format!("write {}", paths.log().display()), &error))?;
    let filter = std::env::var("MIMIR_LOG").ok();
    telemetry::init(Sinks { file: Some(file), stderr: sentences, mask }, filter.as_deref());
    Ok(())
}

/// Obeys a configuration file that changes, as far as that is possible.
fn watch_file(core: &Tasks, running: Running) {
    core.spawn_once("configuration file", move |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AT_FILE)).await.is_some() {
            running.refresh();
        }
    });
}

/// Locks the home. One that is held by a gateway which is about to end or to begin is waited for: whoever stops a
/// gateway and starts another should not have to know how long that takes. One that runs and has lost its socket makes
/// it anew within moments.
async fn lock_when_free(paths: &Paths, patience: Duration) -> Result<HomeLock, LockError> {
    let begun = tokio::time::Instant::now();
    loop {
        let holder = match lock_home(&paths.lock()) {
            Err(LockError::Taken(holder)) => holder,
            other => return other,
        };
        let runs = holder.stage == Stage::Running;
        let answers = runs && tokio::net::UnixStream::connect(paths.gateway_socket()).await.is_ok();
        let patience = if runs { socket::BACK_WITHIN.min(patience) } else { patience };
        if answers || begun.elapsed() >= patience {
            return Err(LockError::Taken(holder));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells the service manager, if there is one.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(home: &tempfile::TempDir) -> Paths {
        Paths::new(home.path(), home.path().join("run"))
    }

    #[test]
    fn the_limit_of_core_files_is_the_one_that_keeps_them_from_programs_too() {
        use rustix::process::{Resource, getrlimit};
        let before = getrlimit(Resource::Core).maximum;
        leave_no_core();
        let now = getrlimit(Resource::Core);
        assert_eq!((now.current, now.maximum), (Some(before.map_or(1, |most| most.min(1))), before));
    }

    #[tokio::test]
    async fn a_gateway_that_is_about_to_end_is_waited_for() {
        let home = tempfile::tempdir().expect("a home");
        let paths = paths(&home);
        let first = lock_home(&paths.lock()).expect("free");
        let (second, ()) = tokio::join!(lock_when_free(&paths, Duration::from_secs(5)), async {
            tokio::time::sleep(Duration::from_millis(120)).await;
            drop(first);
        });
        second.expect("locked after the first has gone");
    }

    #[tokio::test]
    async fn a_gateway_that_answers_or_hangs_is_not_waited_for_for_ever() {
        let home = tempfile::tempdir().expect("a home");
        let paths = paths(&home);
        let first = lock_home(&paths.lock()).expect("free");
        let hangs = lock_when_free(&paths, Duration::from_millis(100)).await;
        assert!(matches!(hangs, Err(LockError::Taken(_))), "{hangs:?}");

        paths.ensure_runtime().expect("a runtime folder");
        let _listener = socket::bind_unix(&paths.gateway_socket()).expect("binds");
        first.say(Stage::Running);
        let begun = std::time::Instant::now();
        let answers = lock_when_free(&paths, Duration::from_secs(60)).await;
        assert!(matches!(answers, Err(LockError::Taken(_))), "{answers:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

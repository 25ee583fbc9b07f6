//! The link folder is written by a stranger.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mimir::runtime::link::connect::connect;
use mimir::runtime::link::listen;
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// A server that counts who comes. Ends with this value.
struct Server {
    visits: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Server {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let visits = Arc::new(AtomicUsize::new(0));
        let count = visits.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(b"hello").await;
            }
        });
        Self { visits, _task: task }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// A link folder, and the engine's socket beside it.
struct Place {
    home: TempDir,
    engine: Server,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("link")).expect("a link");
        let engine = Server::at(&home.path().join("engine.sock"));
        Self { home, engine }
    }

    fn link(&self) -> PathBuf {
        self.home.path().join("link")
    }

    fn socket(&self) -> PathBuf {
        self.link().join("agent.sock")
    }
}

/// Connecting must neither succeed nor hang.
async fn refused(place: &Place) -> ErrorKind {
    let tried = tokio::time::timeout(Duration::from_secs(2), connect(&place.link(), "agent.sock")).await;
    let error = tried.expect("it must not hang").expect_err("it must not connect");
    assert_eq!(place.engine.visits(), 0, "the engine was reached");
    error.kind()
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("a fifo");
}

#[tokio::test]
async fn a_socket_of_the_frame_is_reached() {
    let place = Place::new();
    let server = Server::at(&place.socket());
    let mut stream = connect(&place.link(), "agent.sock").await.expect("connected");
    let mut said = [0; 5];
    stream.read_exact(&mut said).await.expect("an answer");
    assert_eq!((&said, server.visits()), (b"hello", 1));
}

#[tokio::test]
async fn a_link_to_the_engines_socket_is_not_followed() {
    let place = Place::new();
    for target in [place.home.path().join("engine.sock"), "../engine.sock".into(), "/proc/self/fd/0".into()] {
        symlink(&target, place.socket()).expect("planted");
        assert_eq!(refused(&place).await, ErrorKind::PermissionDenied, "{}", target.display());
        fs::remove_file(place.socket()).expect("removed");
    }
}

#[tokio::test]
async fn whatever_else_lies_there_is_refused_without_waiting() {
    let place = Place::new();
    assert_eq!(refused(&place).await, ErrorKind::NotFound, "nothing");

    fs::write(place.socket(), "text").expect("a file");
    assert_eq!(refused(&place).await, ErrorKind::PermissionDenied, "a file");

    fs::remove_file(place.socket()).expect("removed");
    fifo(&place.socket());
    assert_eq!(refused(&place).await, ErrorKind::PermissionDenied, "a fifo that nobody writes to");

    fs::remove_file(place.socket()).expect("removed");
    fs::create_dir(place.socket()).expect("a folder");
    assert_eq!(refused(&place).await, ErrorKind::PermissionDenied, "a folder");

    fs::remove_dir(place.socket()).expect("removed");
    drop(UnixListener::bind(place.socket()).expect("a socket"));
    assert_eq!(refused(&place).await, ErrorKind::ConnectionRefused, "a socket that a dead frame left");
}

#[tokio::test]
async fn a_link_in_the_place_of_the_folder_is_not_followed() {
    let place = Place::new();
    let elsewhere = place.home.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let server = Server::at(&elsewhere.join("agent.sock"));
    fs::remove_dir(place.link()).expect("removed");
    symlink(&elsewhere, place.link()).expect("planted");
    connect(&place.link(), "agent.sock").await.expect_err("it must not connect");
    assert_eq!(server.visits(), 0);
}

#[tokio::test]
async fn a_server_that_accepts_nobody_does_not_hold_us() {
    let place = Place::new();
    let socket = std::os::unix::net::UnixListener::bind(place.socket()).expect("a socket");
    rustix::net::listen(&socket, 0).expect("a backlog of one");
    let mut waiting = Vec::new();
    let began = Instant::now();
    let error = loop {
        let tried = tokio::time::timeout(Duration::from_secs(3), connect(&place.link(), "agent.sock")).await;
        match tried.expect("it must not hang") {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10, "the backlog never fills");
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Swaps what lies at `path` between a good thing and a bad one, as fast as it can, until told to stop.
fn swapping(good: PathBuf, bad: PathBuf, path: PathBuf) -> (Arc<AtomicBool>, std::thread::JoinHandle<usize>) {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || {
        let mut rounds = 0;
        while !told.load(Ordering::SeqCst) {
            // What is at `path` changes places with the one that was put aside.
            for aside in [&bad, &good] {
                let _ = rustix::fs::renameat_with(CWD, aside, CWD, &path, rustix::fs::RenameFlags::EXCHANGE);
            }
            rounds += 1;
        }
        rounds
    });
    (stop, thread)
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_the_replacement_never_reaches_the_engine() {
    let place = Place::new();
    let server = Server::at(&place.socket());
    let bad = place.link().join("bad");
    symlink(place.home.path().join("engine.sock"), &bad).expect("planted");
    let (stop, thread) = swapping(bad.clone(), bad, place.socket());

    let (mut reached, mut refused) = (0, 0);
    let began = Instant::now();
    while (reached < 200 || refused < 200) && began.elapsed() < Duration::from_secs(10) {
        match connect(&place.link(), "agent.sock").await {
            Ok(_) => reached += 1,
            Err(_) => refused += 1,
        }
    }
    stop.store(true, Ordering::SeqCst);
    let rounds = thread.join().expect("it swaps");
    assert_eq!(place.engine.visits(), 0, "the engine was reached after {rounds} swaps");
    assert!(reached > 0 && refused > 0, "no race: {reached} reached, {refused} refused, {rounds} swaps");
    assert!(server.visits() > 0);
}

#[tokio::test]
async fn our_own_socket_takes_the_place_of_whatever_was_there() {
    let place = Place::new();
    let path = place.link().join("broker.sock");
    let victim = place.home.path().join("victim");
    fs::write(&victim, "secret").expect("a file");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("private");

    let plants: [(&str, &dyn Fn()); 6] = [
        ("nothing", &|| {}),
        ("a file", &|| fs::write(&path, "text").expect("a file")),
        ("a link", &|| symlink(&victim, &path).expect("a link")),
        ("a fifo", &|| fifo(&path)),
        ("an empty folder", &|| fs::create_dir(&path).expect("a folder")),
        ("a full folder", &|| fs::create_dir_all(path.join("a/b")).expect("folders")),
    ];
    for (what, plant) in plants {
        let _ = fs::remove_file(&path);
        plant();
        let listener = listen(&place.link(), "broker.sock").expect(what);
        let (client, server) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(client.is_ok() && server.is_ok(), "{what}");
        let mode = fs::symlink_metadata(&path).expect("there").mode();
        assert_eq!(mode & 0o777, 0o666, "{what}: the frame's user may be another than ours");
    }
    assert_eq!(fs::metadata(&victim).expect("there").mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&victim).expect("readable"), "secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_our_listener_never_opens_up_another_file() {
    let place = Place::new();
    let path = place.link().join("broker.sock");
    let victim = place.home.path().join("victim");
    fs::write(&victim, "secret").expect("a file");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).expect("private");

    let stop = Arc::new(AtomicBool::new(false));
    let (told, planted, target) = (stop.clone(), place.link().join("planted"), path.clone());
    let aim = victim.clone();
    let thread = std::thread::spawn(move || {
        while !told.load(Ordering::SeqCst) {
            let _ = symlink(&aim, &planted);
            let _ = fs::rename(&planted, &target);
        }
    });
    let mut outcomes = (0, 0);
    for _ in 0..300 {
        match listen(&place.link(), "broker.sock") {
            Ok(_) => outcomes.0 += 1,
            Err(_) => outcomes.1 += 1,
        }
    }
    stop.store(true, Ordering::SeqCst);
    thread.join().expect("it plants");
    let mode = fs::metadata(&victim).expect("there").mode() & 0o777;
    assert_eq!(mode, 0o600, "after {outcomes:?} (listening, refused)");
}

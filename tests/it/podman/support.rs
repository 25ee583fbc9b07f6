//! A home of its own for each test, a way to run `mimir` in it, and a broom.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde_json::Value;

/// The ordinary user that rootless tests run as when the test itself is root.
const TEST_USER: &str = "mimir-e2e";

/// Which engine a test talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Root's own.
    Rootful,
    /// An ordinary user's.
    Rootless,
}

impl Engine {
    /// The one of whoever runs the tests. As root also an ordinary user's: `MIMIR_TEST_ENGINE=rootless`.
    pub fn usual() -> Self {
        let is_asked_for = std::env::var("MIMIR_TEST_ENGINE").is_ok_and(|engine| engine == "rootless");
        if rustix::process::getuid().is_root() && !is_asked_for { Self::Rootful } else { Self::Rootless }
    }
}

/// A temporary home with a gateway of its own. Dropping it removes every trace.
pub struct World {
    pub engine: Engine,
    /// Everything of this world lies beneath it.
    pub root: PathBuf,
    /// `MIMIR_HOME`.
    pub home: PathBuf,
    /// A project folder that belongs to the user.
    pub project: PathBuf,
    runtime: PathBuf,
    binary: PathBuf,
    env: Vec<(String, String)>,
    _turn: Turn,
}

/// Worlds share the machine, but for those that are alone.
static MACHINE: RwLock<()> = RwLock::new(());

/// Held for as long as a world is there.
#[allow(dead_code, reason = "held, not read")]
enum Turn {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// What a command did.
#[derive(Debug)]
#[must_use]
pub struct Run {
    pub args: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Fails the test unless the command succeeded.
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless the command ended with `code`.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "`mimir {}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            self.args, self.code, self.stdout, self.stderr
        );
        self
    }

    /// Standard output as one JSON value.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("`mimir {}` printed no JSON ({error}): {}", self.args, self.stdout)
        })
    }

    /// Standard output as one JSON value a line.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
            .collect()
    }
}

/// The id of the image in the archive under test; read once, it takes a moment.
fn id_in(archive: &str) -> Option<&'static str> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let listed = Command::new("tar").args(["-xOf", archive, "manifest.json"]).output().ok()?.stdout;
        let listed: Value = serde_json::from_slice(&listed).ok()?;
        Some(listed[0]["Config"].as_str()?.trim_end_matches(".json").to_owned())
    };
    ID.get_or_init(read).as_deref()
}

/// Says at the end of the run why a test did not run. `scripts/test` prints the list.
pub fn skip(test: &str, why: &str) {
    println!("skipped: {test}: {why}");
    if let Ok(list) = std::env::var("MIMIR_TEST_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(list)
    {
        let _ = writeln!(file, "{test}: {why}");
    }
    assert!(
        std::env::var_os("MIMIR_TEST_NO_SKIPS").is_none(),
        "{test} was skipped ({why}), and MIMIR_TEST_NO_SKIPS is set"
    );
}

impl World {
    /// A world on that engine, or the reason why this machine has none. Others may be there at the same time.
    pub fn new(engine: Engine) -> Result<Self, String> {
        Self::with_turn(engine, Turn::Shared(MACHINE.read()))
    }

    /// The same with no other world beside it: for tests that use up something of the machine, measure how long
    /// something takes, or change what all worlds share (images by their names, the engine's settings).
    pub fn alone(engine: Engine) -> Result<Self, String> {
        Self::with_turn(engine, Turn::Alone(MACHINE.write()))
    }

    fn with_turn(engine: Engine, turn: Turn) -> Result<Self, String> {
        on_path("podman").ok_or("podman is not installed")?;
        let is_root = rustix::process::getuid().is_root();
        match (engine, is_root) {
            (Engine::Rootful, false) => return Err("only root has a rootful engine".into()),
            (Engine::Rootless, true) => prepare_user()?,
            _ => {}
        }

        // Short on purpose: a Unix socket's path has at most 107 bytes.
        let root =
            tempfile::Builder::new().prefix("mme-").tempdir_in("/tmp").map_err(|e| e.to_string())?.keep();
        let mut world = Self {
            engine,
            home: root.join("home"),
            project: root.join("project"),
            runtime: root.join("run"),
            binary: root.join("mimir"),
            env: Vec::new(),
            root,
            _turn: turn,
        };
        fs::copy(env!("CARGO_BIN_EXE_mimir"), &world.binary).map_err(|e| e.to_string())?;
        for folder in [&world.home, &world.project, &world.runtime] {
            fs::create_dir(folder).map_err(|e| e.to_string())?;
        }
        fs::write(world.project.join("README.md"), "# A project\n\nIt says hello.\n")
            .map_err(|e| e.to_string())?;
        fs::set_permissions(&world.root, fs::Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
        fs::set_permissions(&world.runtime, fs::Permissions::from_mode(0o700)).map_err(|e| e.to_string())?;
        if world.switches_user() {
            run_ok(Command::new("chown").args(["-R", TEST_USER]).arg(&world.root))?;
        }
        world.image()?;
        Ok(world)
    }

    /// Another home with a gateway of its own on the same engine. It goes when this world goes.
    pub fn second_home(&self) -> Neighbour<'_> {
        let home = self.root.join("second-home");
        fs::create_dir(&home).expect("a second home");
        std::os::unix::fs::chown(&home, Some(self.uid()), None).expect("the user's own folder");
        Neighbour { world: self, home }
    }

    /// Makes sure that this world's engine has the frame image. `MIMIR_TEST_IMAGE` names another one to test.
    fn image(&mut self) -> Result<(), String> {
        let another = std::env::var("MIMIR_TEST_IMAGE").ok();
        if let Some(image) = &another {
            self.set_env("MIMIR_FRAMES_IMAGE", image);
        }
        let image = another.as_deref().unwrap_or("localhost/mimir-frame:latest");
        let archive = std::env::var("MIMIR_TEST_IMAGE_ARCHIVE").unwrap_or_default();
        // A store that was filled earlier may have another one under that name.
        let is_this_one = another.is_some()
            || id_in(&archive).is_none_or(|id| {
                self.podman(&["image", "inspect", "--format", "{{.Id}}", image]).stdout.trim() == id
            });
        if is_this_one && self.podman(&["image", "exists", image]).code == 0 {
            return Ok(());
        }
        // An ordinary user's store is filled from root's: building twice would take minutes.
        if !archive.is_empty() && self.podman(&["load", "-q", "-i", &archive]).code == 0 {
            return Ok(());
        }
        Err("there is no frame image; ./scripts/test builds it".into())
    }

    /// Sets a variable for everything that runs in this world from now on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
    }

    /// Forgets a variable.
    pub fn clear_env(&mut self, name: &str) {
        self.env.retain(|(known, _)| known != name);
    }

    fn switches_user(&self) -> bool {
        self.engine == Engine::Rootless && rustix::process::getuid().is_root()
    }

    /// The user id that owns the project.
    pub fn uid(&self) -> u32 {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(&self.project).expect("the project is there").uid()
    }

    /// The words that run `program` as this world's user in a clean environment.
    pub fn argv(&self, program: &str, args: &[&str]) -> Vec<String> {
        let mut argv: Vec<String> = Vec::new();
        if self.switches_user() {
            argv.extend(["runuser", "-u", TEST_USER, "--"].map(String::from));
        }
        argv.extend(["env", "-i", "-C"].map(String::from));
        argv.push(self.project.display().to_string());
        let home_folder =
            if self.switches_user() { format!("/home/{TEST_USER}") } else { env_or("HOME", "/root") };
        argv.push(format!("HOME={home_folder}"));
        argv.push(format!("PATH={}", env_or("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")));
        argv.push("LANG=C.UTF-8".into());
        argv.push("TERM=xterm-256color".into());
        argv.push(format!("MIMIR_HOME={}", self.home.display()));
        argv.push(format!("XDG_RUNTIME_DIR={}", self.runtime.display()));
        argv.push("MIMIR_SERVER_HTTP_PORT=0".into());
        // Nobody is there to answer. Tests of the questions say otherwise.
        argv.push("MIMIR_NETWORK_ASK_WAIT=0s".into());
        argv.extend(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        argv.push(program.into());
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        argv
    }

    /// The executable of this world.
    pub fn binary(&self) -> String {
        self.binary.display().to_string()
    }

    /// Runs `mimir` and waits for it.
    pub fn mimir(&self, args: &[&str]) -> Run {
        self.run(&self.binary(), args)
    }

    /// Runs `mimir … --json` and reads what it prints.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        self.mimir(&args).ok().json()
    }

    /// Starts `mimir` and leaves it running.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let argv = self.argv(&self.binary(), args);
        Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mimir starts")
    }

    /// Asks the engine itself, behind mimir's back.
    pub fn podman(&self, args: &[&str]) -> Run {
        self.run("podman", args)
    }

    /// Runs a program as this world's user, and waits for it.
    pub fn run(&self, program: &str, args: &[&str]) -> Run {
        let argv = self.argv(program, args);
        // Into files: a gateway that goes to the background would hold a pipe open.
        let out = tempfile::tempfile().expect("a temporary file");
        let err = tempfile::tempfile().expect("a temporary file");
        let mut child = Command::new(&argv[0])
            .args(&argv[1..])
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(err.try_clone().expect("a second handle"))
            .spawn()
            .expect("the program starts");
        let deadline = Instant::now() + Duration::from_secs(300);
        let code = loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                break status.code().unwrap_or(-1);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                break -2;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Run { args: args.join(" "), code, stdout: read_back(out), stderr: read_back(err) }
    }

    /// The gateway's process id, if one runs.
    pub fn gateway_pid(&self) -> Option<u32> {
        let run = self.mimir(&["status", "--json"]);
        let pid = serde_json::from_str::<Value>(&run.stdout).ok()?.get("pid")?.as_u64()?;
        u32::try_from(pid).ok()
    }

    /// Kills the gateway without warning.
    pub fn kill_gateway(&self) {
        if let Some(pid) = self.gateway_pid() {
            kill(pid, "KILL");
            eventually("the gateway is dead", Duration::from_secs(5), || {
                let gone = !Path::new(&format!("/proc/{pid}")).exists();
                gone.then_some(()).ok_or_else(|| format!("{pid} is still there"))
            });
        }
    }

    /// This home's id, which its containers carry.
    pub fn instance(&self) -> String {
        self.json(&["status"])["instance"].as_str().expect("an instance id").to_owned()
    }

    /// Fails unless `mimir uninstall` knows everything in this home as mimir's own.
    pub fn knows_its_home(&self) {
        let report = self.json(&["uninstall", "--dry-run"]);
        let stays = report["stays"].as_array().expect("a list");
        let strange: Vec<_> =
            stays.iter().filter(|line| line.to_string().contains("mimir did not make")).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }

    /// The containers of this home, by name.
    pub fn containers(&self) -> Vec<String> {
        let ours = format!("label=io.mimir.instance={}", self.instance());
        let listed = self.podman(&["ps", "-a", "--filter", &ours, "--format", "{{.Names}}"]).ok().stdout;
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The state of a frame as the list says.
    pub fn state(&self, frame: &str) -> String {
        self.json(&["frame", "show", frame])["state"].as_str().unwrap_or("?").to_owned()
    }

    /// Waits for a frame's state.
    pub fn wait_for_state(&self, frame: &str, state: &str, limit: Duration) {
        eventually(&format!("{frame} is {state}"), limit, || {
            let seen = self.state(frame);
            if seen == state { Ok(()) } else { Err(seen) }
        });
    }
}

/// A second home in the same world.
pub struct Neighbour<'a> {
    world: &'a World,
    home: PathBuf,
}

impl Neighbour<'_> {
    /// Runs `mimir` with this home.
    pub fn mimir(&self, args: &[&str]) -> Run {
        let home = format!("MIMIR_HOME={}", self.home.display());
        let binary = self.world.binary();
        let mut argv = vec![home.as_str(), binary.as_str()];
        argv.extend(args);
        self.world.run("env", &argv)
    }

    /// Runs `mimir … --json` with this home.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.push("--json");
        self.mimir(&args).ok().json()
    }
}

impl Drop for Neighbour<'_> {
    fn drop(&mut self) {
        let _ = self.mimir(&["serve", "--stop"]);
        let frames = fs::read_dir(self.home.join("frames")).into_iter().flatten().flatten();
        for entry in frames {
            let name = format!("mimir-{}", entry.file_name().to_string_lossy());
            let _ = self.world.podman(&["rm", "-f", "-t", "0", &name]);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.join("gateway.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("--- the gateway's last lines");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
        let _ = self.mimir(&["serve", "--stop"]);
        // Whatever still carries a folder of this world in its mounts is ours.
        let frames = fs::read_dir(self.home.join("frames")).into_iter().flatten().flatten();
        for entry in frames {
            let name = format!("mimir-{}", entry.file_name().to_string_lossy());
            let _ = self.podman(&["rm", "-f", "-t", "0", &name]);
        }
        for process in processes_mentioning(&self.root.display().to_string()) {
            kill(process, "KILL");
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Every process whose command line or environment names `text`; our own gateway and engine service.
fn processes_mentioning(text: &str) -> Vec<u32> {
    let own = std::process::id();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .map(|bytes| String::from_utf8_lossy(&bytes).contains(text))
                .unwrap_or(false)
        })
        .collect()
}

/// Sends a signal.
pub fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).stderr(Stdio::null()).status();
}

/// Waits until `look` succeeds, and says what was seen last when it does not.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let seen = match look() {
            Ok(found) => return found,
            Err(seen) => seen,
        };
        assert!(Instant::now() < deadline, "waited {limit:?} for: {what}; last seen: {seen}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn read_back(mut file: fs::File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut text = Vec::new();
    let _ = file.rewind();
    let _ = file.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn env_or(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A program on the path.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env_or("PATH", "");
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|candidate| candidate.is_file())
}

fn run_ok(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Makes the ordinary user, once.
fn prepare_user() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if !known.lines().any(|line| line.starts_with(&format!("{TEST_USER}:"))) {
            run_ok(Command::new("useradd").args(["-m", "-s", "/bin/bash", TEST_USER]))?;
        }
        Ok(())
    })
    .clone()
}

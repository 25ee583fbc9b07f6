//! The contract on real Podman, and the traps that only a real engine has.
//!
//! Needs no registry and no frame image: the image is made from programs of this machine.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::{MetadataExt, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mimir::clock::entropy_128;
use mimir::model::container::{Mount, Storage, container_name};
use mimir::model::frame::Observed;
use mimir::model::ids::InstanceId;
use mimir::runtime::engine::{EngineCommand, EngineSettings};
use mimir::runtime::podman::Podman;
use mimir::runtime::{ExecSpec, Runtime, RuntimeError};
use parking_lot::Mutex;

use super::bench::{Bench, Foreign, assert_wrong_state, eventually, fresh_instance};
use super::{cases, each_case};

/// What a container of these tests needs, with the libraries they need.
const PROGRAMS: &[&str] = &[
    "sh", "sleep", "cat", "chown", "echo", "id", "mkdir", "mv", "rm", "stty", "touch", "true", "head",
    "printf", "tr",
];

/// One real engine at a time: they would only slow each other down.
static TURN: Mutex<()> = Mutex::new(());

/// Everything of one run; nothing of it stays.
struct Machine {
    engine: EngineCommand,
    image: String,
    instances: Vec<InstanceId>,
    folder: tempfile::TempDir,
}

impl Machine {
    /// The engine's program, or why these tests cannot run here.
    fn new() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("mimir-contract-").tempdir_in("/tmp").unwrap();
        let settings = EngineSettings::of_this_process(None, folder.path().to_owned());
        let engine = EngineCommand::find(&settings).ok_or("podman is not installed")?;
        let image = format!("localhost/mimir-contract:{:08x}", entropy_128() as u32);
        let machine = Self { engine, image, instances: vec![fresh_instance(), fresh_instance()], folder };
        machine.podman(&["info"]).map_err(|why| format!("podman does not work here: {why}"))?;
        machine.import_image();
        Ok(machine)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.engine.program);
        command.args(&self.engine.flags).stdin(Stdio::null());
        command
    }

    fn podman(&self, arguments: &[&str]) -> Result<String, String> {
        let done = self.command().args(arguments).output().map_err(|error| error.to_string())?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
        }
    }

    fn import_image(&self) {
        let archive = self.folder.path().join("image.tar");
        let script = "set -e; out=$1; shift; list=; for p in \"$@\"; do f=$(command -v -- /bin/$p); \
             list=\"$list $f $(ldd $f | grep -o '/[^ ]*' | sort -u)\"; done; \
             tar --dereference --hard-dereference -cf \"$out\" -C / $(printf '%s\\n' $list | sort -u | cut -c2-)";
        let packed = Command::new("sh")
            .args(["-c", script, "pack"])
            .arg(&archive)
            .args(PROGRAMS)
            .output()
            .expect("a shell");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let changes = [
            r#"ENTRYPOINT ["/bin/sh","/home/agent/main"]"#,
            "ENV PATH=/bin:/usr/bin",
            "LABEL io.mimir.inputs=contract",
        ];
        let mut arguments = vec!["import", "-q"];
        for change in &changes {
            arguments.extend(["--change", change]);
        }
        let archive = archive.display().to_string();
        arguments.extend([archive.as_str(), self.image.as_str()]);
        self.podman(&arguments).expect("the image is imported");
    }

    fn settings(&self) -> EngineSettings {
        EngineSettings::of_this_process(None, self.folder.path().to_owned())
    }

    async fn bench(&self) -> (Bench, Arc<Podman>) {
        let folders = tempfile::Builder::new().prefix("mimir-contract-f-").tempdir_in("/tmp").unwrap();
        let of_frames = folders.path().to_owned();
        let podman = Arc::new(Podman::new(self.instances[0].clone(), self.settings(), of_frames.clone()));
        let is_root = rustix::process::getuid().is_root();
        let owner = if is_root {
            (4321, 4322)
        } else {
            (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
        };
        let image = podman.find_image(&self.image).await.unwrap().expect("it was imported");
        let bench = Bench {
            runtime: podman.clone(),
            neighbour: Arc::new(Podman::new(self.instances[1].clone(), self.settings(), of_frames)),
            instance: self.instances[0].clone(),
            neighbours_instance: self.instances[1].clone(),
            image_id: image.id,
            image_name: self.image.clone(),
            foreign: Arc::new(ByHand {
                engine: self.engine.clone(),
                image: self.image.clone(),
                archive: self.folder.path().join("image.tar"),
                images: parking_lot::Mutex::default(),
            }),
            #[cfg(feature = "test-support")]
            memory: None,
            folders,
            owner,
        };
        (bench, podman)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for instance in &self.instances {
            let label = format!("label=io.mimir.instance={instance}");
            if let Ok(left) = self.podman(&["ps", "-aq", "--filter", &label]) {
                for id in left.split_whitespace() {
                    let _ = self.podman(&["rm", "-f", "-t", "0", id]);
                }
            }
        }
        let _ = self.podman(&["rmi", "-f", &self.image]);
    }
}

/// Somebody who uses the engine's own program.
struct ByHand {
    engine: EngineCommand,
    image: String,
    /// What the image was imported from.
    archive: std::path::PathBuf,
    /// Those without a name.
    images: parking_lot::Mutex<Vec<String>>,
}

impl ByHand {
    fn podman(&self, arguments: &[&str]) -> bool {
        self.output(arguments).status.success()
    }

    fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(&self.engine.program);
        command.args(&self.engine.flags).args(arguments).stdin(Stdio::null());
        command.output().expect("the engine's program runs")
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        for image in self.images.lock().iter() {
            // Those that a test removed are gone already.
            let _ = self.podman(&["rmi", image]);
        }
    }
}

impl Foreign for ByHand {
    fn add_untagged_image(&self, labelled: bool) -> String {
        // Something of its own: the same contents are the same image, with a name.
        let own = format!("ENV LEFT={:x}", mimir::clock::entropy_128());
        let main = r#"ENTRYPOINT ["/bin/sh","/home/agent/main"]"#;
        let mut arguments = vec!["import", "-q", "--change", &own, "--change", main];
        if labelled {
            arguments.extend(["--change", "LABEL io.mimir.inputs=left"]);
        }
        let archive = self.archive.display().to_string();
        arguments.push(&archive);
        let done = self.output(&arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let id = String::from_utf8_lossy(&done.stdout).trim().trim_start_matches("sha256:").to_owned();
        self.images.lock().push(id.clone());
        id
    }
    fn add(&self, name: &str) {
        assert!(self.podman(&["create", "--network", "none", "--name", name, &self.image]));
    }
    fn is_there(&self, name: &str) -> bool {
        self.podman(&["container", "exists", name])
    }
    fn remove(&self, name: &str) {
        assert!(self.podman(&["rm", "-f", name]));
    }
}

fn skip(test: &str, why: &str) {
    use std::io::Write as _;
    println!("skipped: {test}: {why}");
    if let Ok(list) = std::env::var("MIMIR_TEST_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(list)
    {
        let _ = writeln!(file, "{test}: {why}");
    }
}

/// Runs a story on a machine of its own, or says why there is none.
fn on_podman<F>(test: &str, story: F)
where
    F: AsyncFnOnce(&Machine, &Bench),
{
    let _turn = TURN.lock();
    let machine = match Machine::new() {
        Ok(machine) => machine,
        Err(why) => return skip(test, &why),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (bench, podman) = machine.bench().await;
        story(&machine, &bench).await;
        assert_eq!(bench.runtime.list().await.unwrap(), Vec::new(), "containers are left");
        podman.close().await;
    });
}

#[test]
fn podman_keeps_the_contract() {
    on_podman("contract::podman::podman_keeps_the_contract", async |_, bench| {
        macro_rules! run {
            ($($case:ident),* $(,)?) => {
                $(
                    println!("case: {}", stringify!($case));
                    cases::$case(bench).await;
                )*
            };
        }
        each_case!(run);
    });
}

#[test]
fn files_belong_to_the_owner_and_the_frame_is_locked_up() {
    on_podman("contract::podman::files_belong_to_the_owner", async |_, bench| {
        let spec = bench.running().await;
        let sh = async |script: &str| {
            bench.runtime.exec(&spec.frame, ExecSpec::new(["sh", "-c", script])).await.unwrap()
        };
        let done =
            sh("touch /workspace/made /home/agent/made /run/mimir/link/made /run/frame/made /tmp/made").await;
        assert_eq!((done.exit_code, done.stderr.as_str()), (0, ""));
        let link = bench.link_folder(&spec.frame);
        for folder in [spec.workspace.folder().unwrap(), spec.home.folder().unwrap(), &link] {
            let made = folder.join("made").metadata().unwrap();
            assert_eq!((made.uid(), made.gid()), bench.owner, "{}", folder.display());
        }
        for refused in ["touch /made", "touch /run/mimir/start/made", "touch /bin/made"] {
            assert_ne!(sh(refused).await.exit_code, 0, "{refused}");
        }
        let devices = sh("cat /proc/net/dev").await.stdout;
        let devices: Vec<_> = devices.lines().skip(2).collect();
        assert_eq!(devices.len(), 1, "only the loopback device: {devices:?}");
        let environment = sh("echo \"$MIMIR_FRAME $MIMIR_FRAME_ID $MIMIR_NETWORK $GREETING\"").await.stdout;
        assert_eq!(environment.trim(), format!("contract {} sealed hello there", spec.frame));
        let status = sh("cat /proc/self/status").await.stdout;
        assert!(status.contains("NoNewPrivs:\t1"), "{status}");
        assert!(status.contains("CapBnd:\t0000000000000000"), "{status}");
        bench.remove(&spec).await;
    });
}

#[test]
fn a_terminal_has_its_size_from_the_first_moment_and_can_be_resized() {
    on_podman("contract::podman::a_terminal_has_its_size", async |_, bench| {
        let spec = bench.running().await;
        let script = "sleep 0.3; stty size; read x; stty size; printf '\\000\\001end'; exit 5";
        let command = ExecSpec { tty: Some((101, 31)), stdin: true, ..ExecSpec::new(["sh", "-c", script]) };
        let mut stream = bench.runtime.exec_stream(&spec.frame, command).await.unwrap();
        let mut seen = String::new();
        hear(&mut stream, &mut seen, "31 101").await;
        stream.control.resize(90, 40).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream.input, b"\r").await.unwrap();
        hear(&mut stream, &mut seen, "40 90").await;
        // The compatible client would take the zero byte for the head of a piece and wait for ever.
        hear(&mut stream, &mut seen, "\0\u{1}end").await;
        let rest = tokio::time::timeout(Duration::from_secs(5), stream.output.next()).await;
        assert!(matches!(rest, Ok(None)), "{rest:?}");
        assert_eq!(stream.control.exit_code().await.unwrap(), Some(5));
        bench.remove(&spec).await;
    });
}

async fn hear(stream: &mut mimir::runtime::ExecStream, seen: &mut String, wanted: &str) {
    while !seen.contains(wanted) {
        let piece = tokio::time::timeout(Duration::from_secs(10), stream.output.next()).await;
        match piece.unwrap_or_else(|_| panic!("waited for {wanted:?}, saw {seen:?}")) {
            Some(Ok(mimir::runtime::ExecChunk::Stdout(bytes))) => {
                seen.push_str(&String::from_utf8_lossy(&bytes))
            }
            other => panic!("{other:?} after {seen:?}"),
        }
    }
}

#[test]
fn an_odd_folder_name_shows_that_folder_inside_and_no_other() {
    on_podman("contract::podman::an_odd_folder_name", async |_, bench| {
        let secret = bench.folders.path().join("secret");
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join("mark"), "secret").unwrap();
        let injected = format!("x,src={}", secret.display());
        for name in [injected.as_str(), "a,b:ro \"c\"\n$d=\u{202e}é\\"] {
            let spec = bench.spec_with_workspace(name);
            bench.start(&spec).await;
            let mark = ExecSpec::new(["cat", "/workspace/mark"]);
            let seen = bench.runtime.exec(&spec.frame, mark).await.unwrap();
            assert_eq!(seen.stdout, name);
            bench.remove(&spec).await;
        }
    });
}

#[test]
fn a_command_that_takes_too_long_is_given_up() {
    on_podman("contract::podman::a_command_that_takes_too_long", async |_, bench| {
        let spec = bench.running().await;
        let command =
            ExecSpec { deadline: Some(Duration::from_millis(800)), ..ExecSpec::new(["sleep", "20"]) };
        let answer = bench.runtime.exec(&spec.frame, command).await;
        assert!(matches!(answer, Err(RuntimeError::TooSlow { .. })), "{answer:?}");
        bench.remove(&spec).await;
    });
}

#[test]
fn a_command_whose_reader_left_stays_behind_until_another_ends_it() {
    on_podman("contract::podman::a_command_whose_reader_left", async |_, bench| {
        let spec = bench.running().await;
        let script = "echo $$ >/run/frame/pid; trap '' HUP; while :; do sleep 0.1; done";
        let command = ExecSpec { tty: Some((80, 24)), stdin: true, ..ExecSpec::new(["sh", "-c", script]) };
        let sh = async |script: &str| {
            bench.runtime.exec(&spec.frame, ExecSpec::new(["sh", "-c", script])).await.unwrap().exit_code
        };
        let stream = bench.runtime.exec_stream(&spec.frame, command).await.unwrap();
        eventually("it is there", || async { (sh("cat /run/frame/pid").await == 0, String::new()) }).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(
            sh("kill -0 $(cat /run/frame/pid)").await,
            0,
            "the engine ends it now: views need no reaping"
        );
        assert_eq!(sh("kill -9 $(cat /run/frame/pid)").await, 0);
        eventually("it is gone", || async {
            (sh("kill -0 $(cat /run/frame/pid)").await != 0, String::new())
        })
        .await;
        bench.remove(&spec).await;
    });
}

#[test]
fn an_open_frame_has_an_ordinary_network() {
    on_podman("contract::podman::an_open_frame", async |_, bench| {
        if !bench.runtime.info().await.unwrap().capabilities.network {
            return skip("contract::podman::an_open_frame", "no network device may be used here");
        }
        let mut spec = bench.spec();
        spec.network = mimir::model::network::NetworkMode::Open;
        bench.start(&spec).await;
        let devices = bench.runtime.exec(&spec.frame, ExecSpec::new(["cat", "/proc/net/dev"])).await.unwrap();
        assert_eq!(devices.stdout.lines().skip(2).count(), 2, "{}", devices.stdout);
        bench.remove(&spec).await;
    });
}

#[test]
fn stopping_for_ever_after_the_monitor_died_ends_with_a_removal() {
    on_podman("contract::podman::stopping_for_ever", async |machine, bench| {
        let spec = bench.running().await;
        kill(machine, &container_name(&spec.frame), "{{.State.ConmonPid}}");
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Running, "it runs on");

        bench.runtime.ensure_stopped(&spec.frame, Duration::from_secs(2)).await.unwrap();
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
        bench.start(&spec).await;
        bench.remove(&spec).await;
    });
}

#[test]
fn running_that_is_not_true_is_reported_as_stuck() {
    on_podman("contract::podman::running_that_is_not_true", async |machine, bench| {
        let spec = bench.running().await;
        let name = container_name(&spec.frame);
        kill(machine, &name, "{{.State.ConmonPid}}");
        kill(machine, &name, "{{.State.Pid}}");
        eventually("it is seen through", || async {
            let seen = bench.observe(&spec.frame).await;
            (seen.details.as_ref().is_some_and(|details| details.stuck.is_some()), format!("{seen:?}"))
        })
        .await;
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Halted);
        assert_wrong_state(&bench.runtime.ensure_started(&spec.frame).await);
        // Creating it again makes a new one: everything that matters is on the host.
        bench.start(&spec).await;
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Running);
        bench.remove(&spec).await;
    });
}

/// The processes that have that argument.
fn processes_with(argument: &str) -> Vec<String> {
    let has = |pid: &String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(has).collect()
}

/// `kill -9` of a process of that container.
fn kill(machine: &Machine, name: &str, which: &str) {
    let pid = machine.podman(&["inspect", "--format", which, name]).unwrap();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let began = std::time::Instant::now();
    while std::path::Path::new(&format!("/proc/{pid}")).exists() {
        assert!(began.elapsed() < Duration::from_secs(5), "process {pid} does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn out_of_memory_that_is_never_reported_is_counted() {
    on_podman("contract::podman::out_of_memory", async |_, bench| {
        if !bench.runtime.info().await.unwrap().capabilities.limits {
            return skip("contract::podman::out_of_memory", "no memory limits on this engine");
        }
        let spec = bench.running().await;
        let eater = "x=$(head -c 400000000 /dev/zero | tr '\\000' x); echo done";
        let command =
            ExecSpec { deadline: Some(Duration::from_secs(60)), ..ExecSpec::new(["sh", "-c", eater]) };
        let _ = bench.runtime.exec(&spec.frame, command).await;
        eventually("the kill is counted", || async {
            let seen = bench.observe(&spec.frame).await;
            let kills = seen.details.as_ref().and_then(|details| details.oom_kills);
            (kills.is_some_and(|kills| kills > 0) || seen.observed == Observed::Halted, format!("{seen:?}"))
        })
        .await;
        let details = bench.observe(&spec.frame).await.details.unwrap();
        assert!(details.oom_kills.is_some_and(|kills| kills > 0), "{details:?}");
        assert!(!std::path::Path::new("oom").exists(), "the monitor left a file where we were started");
        bench.remove(&spec).await;
    });
}

#[test]
fn a_service_that_was_killed_is_started_again_and_frames_run_on() {
    on_podman("contract::podman::a_service_that_was_killed", async |machine, bench| {
        if machine.folder.path().join("engine.sock").metadata().is_err() {
            return skip("contract::podman::a_service_that_was_killed", "the service is not ours");
        }
        let mut events = bench.runtime.events().await.unwrap();
        let spec = bench.running().await;
        let before = bench.observe(&spec.frame).await.details.unwrap().pid;
        let socket = format!("unix://{}", machine.folder.path().join("engine.sock").display());
        let services = processes_with(&socket);
        assert!(!services.is_empty(), "no process has {socket} on its command line");
        for pid in services {
            assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        }

        let ended = tokio::time::timeout(Duration::from_secs(10), async {
            while let Some(Ok(_)) = events.next().await {}
        });
        assert!(ended.await.is_ok(), "the stream of announcements ends with the service");
        assert_eq!(bench.observe(&spec.frame).await.details.unwrap().pid, before);
        bench.remove(&spec).await;
    });
}

#[tokio::test]
async fn an_engine_that_was_named_and_is_not_there_is_an_error_and_nothing_else_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("nothing.sock");
    let named = Some(format!("unix://{}", socket.display()));
    let settings = EngineSettings::of_this_process(named, folder.path().to_owned());
    let answer = Podman::new(fresh_instance(), settings, folder.path().to_owned()).info().await;
    assert!(
        matches!(&answer, Err(RuntimeError::Unreachable { socket: named, .. }) if *named == socket.display().to_string()),
        "{answer:?}"
    );
    assert!(!folder.path().join("engine.sock").exists(), "no service was started");
}

#[tokio::test]
async fn a_machine_without_an_engine_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = EngineSettings::of_this_process(None, folder.path().to_owned());
    settings.container_host = None;
    settings.runtime_dir = None;
    settings.uid = 54321;
    settings.program = Some("no-such-podman".to_owned());
    let answer = Podman::new(fresh_instance(), settings, folder.path().to_owned()).info().await;
    assert!(matches!(answer, Err(RuntimeError::NotInstalled { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let _silent = tokio::net::UnixListener::bind(&socket).unwrap();
    let settings =
        EngineSettings::of_this_process(Some(socket.display().to_string()), folder.path().to_owned());
    let began = std::time::Instant::now();
    let answer = Podman::new(fresh_instance(), settings, folder.path().to_owned()).info().await;
    assert!(matches!(answer, Err(RuntimeError::Unreachable { .. })), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// What is mounted at the places where folders are shown to a container that starts.
fn shown_now(machine: &Machine) -> Vec<String> {
    let places = machine.folder.path().join("places").display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(&places)).map(str::to_owned).collect()
}

#[test]
fn users_inside_are_others_outside_and_files_keep_their_owner() {
    let test = "contract::podman::users_inside_are_others_outside";
    on_podman(test, async |machine, bench| {
        let spec = bench.spec();
        if !rustix::process::getuid().is_root()
            || bench.runtime.why_machines_users(&spec.workspace).await.is_some()
        {
            return skip(test, "the engine is not root's, or the kernel or the file system of /tmp cannot");
        }
        let project = spec.workspace.folder().unwrap().to_owned();
        let (uid, gid) = bench.owner;
        let of = |name: &str, mode: u32, owner: (u32, u32)| {
            let path = project.join(name);
            std::fs::write(&path, "x").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        };
        of("mine", 0o600, (uid, gid));
        of("my-groups", 0o600, (uid, 33));
        of("groups", 0o660, (1234, gid));
        of("theirs", 0o600, (1000, 1000));
        of("roots", 0o666, (0, 0));

        bench.runtime.ensure_created(&spec).await.unwrap();
        bench.runtime.ensure_started(&spec.frame).await.unwrap();
        let sh = async |script: &str| {
            bench.runtime.exec(&spec.frame, ExecSpec::new(["sh", "-c", script])).await.unwrap()
        };
        let agent = |isolation: mimir::model::isolation::Isolation| isolation.host_user;
        let first = bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs");
        assert_eq!((first.own_users, first.differs.clone()), (true, Vec::new()), "{first:?}");
        let first = agent(first);
        assert!(first > 524_288 && first != uid, "{first}");

        // What is its own can be written, whatever the group; what is others' as far as they say; what is root's never.
        let done =
            sh("cd /workspace; for f in mine my-groups groups; do echo y >>$f || exit 1; done; cat roots")
                .await;
        assert_eq!((done.exit_code, done.stdout.as_str()), (0, "x"), "{done:?}");
        for refused in ["cat theirs", "echo y >>theirs", "echo y >>roots", "chown 0:0 mine", "chown 1 mine"] {
            assert_ne!(sh(&format!("cd /workspace && {refused}")).await.exit_code, 0, "{refused}");
        }
        assert_eq!(
            sh("cd /workspace && mkdir -p d && echo z >d/made && mv d moved && rm my-groups").await.exit_code,
            0
        );
        for (name, owner) in [("moved/made", (uid, gid)), ("mine", (uid, gid)), ("groups", (1234, gid))] {
            let found = project.join(name).metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), owner, "{name}");
        }

        // Nothing of that is left where people look, and the next start finds its folders again.
        assert_eq!(shown_now(machine), [""; 0]);
        bench.runtime.ensure_stopped(&spec.frame, Duration::from_secs(1)).await.unwrap();
        std::fs::remove_dir_all(machine.folder.path().join("places")).unwrap();
        assert!(project.join("mine").exists());
        bench.runtime.ensure_started(&spec.frame).await.unwrap();
        assert_eq!(sh("cat /workspace/moved/made").await.stdout, "z\n");
        let again = bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs");
        assert_eq!(agent(again), first, "a frame keeps its numbers");

        let other = bench.running().await;
        let others = bench.runtime.isolation(&other.frame).await.unwrap().expect("it runs");
        assert!(agent(others).abs_diff(first) >= 1 << 16, "frames share no numbers");
        bench.remove(&other).await;
        bench.remove(&spec).await;
        assert_eq!(shown_now(machine), [""; 0]);
    });
}

#[test]
fn where_owners_cannot_be_translated_a_frame_works_as_its_owner() {
    let test = "contract::podman::where_owners_cannot_be_translated";
    on_podman(test, async |_, bench| {
        if !rustix::process::getuid().is_root() {
            return skip(test, "the engine is not root's");
        }
        let mut spec = bench.spec();
        // The kernel's own files: a file system that takes no part.
        spec.more.push(Mount::new(Path::new("/proc/sys/kernel"), "/mnt", true));
        let storage = Storage::HostFolder { path: "/proc/sys/kernel".into(), uid: 0, gid: 0 };
        let why = bench.runtime.why_machines_users(&storage).await.expect("a reason");
        bench.runtime.ensure_created(&spec).await.unwrap();
        bench.runtime.ensure_started(&spec.frame).await.unwrap();
        let found = bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs");
        assert_eq!((found.own_users, found.host_user), (false, bench.owner.0), "{found:?}");
        assert_eq!(found.machines_users, Some(why), "it says why");
        bench.remove(&spec).await;
    });
}

/// A file system in a folder; gone with this value.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn at(kind: &str, folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let done = Command::new("mount").args(["-t", kind, kind]).arg(folder).status().unwrap();
        done.success().then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_frame_gets_users_of_its_own_when_it_can_and_loses_them_visibly_when_it_cannot() {
    let test = "contract::podman::a_frame_gets_users_of_its_own_when_it_can";
    on_podman(test, async |machine, bench| {
        let spec = bench.spec();
        let project = spec.workspace.folder().unwrap().to_owned();
        if !rustix::process::getuid().is_root()
            || bench.runtime.why_machines_users(&spec.workspace).await.is_some()
        {
            return skip(test, "the engine is not root's, or the kernel or the file system of /tmp cannot");
        }
        let Some(inside) = Mounted::at("proc", &project.join("inside")) else {
            return skip(test, "nothing can be mounted here");
        };
        // As the driver does it: what is gone is made again.
        let start = async || {
            for _ in 0..3 {
                bench.runtime.ensure_created(&spec).await.unwrap();
                match bench.runtime.ensure_started(&spec.frame).await {
                    Err(RuntimeError::Gone { .. }) => {}
                    started => {
                        started.unwrap();
                        break;
                    }
                }
            }
            bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs")
        };
        let stop = async || {
            bench.runtime.ensure_stopped(&spec.frame, Duration::from_secs(1)).await.unwrap();
        };
        let without = start().await;
        let why = without.machines_users.clone().unwrap_or_default();
        assert!(!without.own_users && why.contains("inside: proc") && why.contains("umount"), "{without:?}");
        stop().await;

        // It is helped: the next start makes it anew, with users of its own.
        drop(inside);
        let own = start().await;
        assert_eq!((own.own_users, own.machines_users.clone()), (true, None), "{own:?}");
        assert!(own.differs.is_empty(), "{own:?}");
        stop().await;

        // And the other way: it starts all the same, and says what it lost.
        let inside = Mounted::at("proc", &project.join("inside")).unwrap();
        let lost = start().await;
        assert!(!lost.own_users && lost.machines_users.is_some(), "{lost:?}");
        stop().await;
        drop(inside);
        bench.remove(&spec).await;
        assert_eq!(shown_now(machine), [""; 0]);
    });
}

#[test]
fn a_link_in_the_place_of_a_project_is_never_followed() {
    let test = "contract::podman::a_link_in_the_place_of_a_project";
    on_podman(test, async |machine, bench| {
        let spec = bench.spec();
        let project = spec.workspace.folder().unwrap().to_owned();
        let (secret, kept) = (project.with_extension("secret"), project.with_extension("kept"));
        std::fs::create_dir(&secret).unwrap();
        std::fs::write(secret.join("key"), "secret").unwrap();
        bench.runtime.ensure_created(&spec).await.unwrap();
        // Another frame, that works in the folder around it, exchanges it after the last look at it.
        std::fs::rename(&project, &kept).unwrap();
        std::os::unix::fs::symlink(&secret, &project).unwrap();
        let started = bench.runtime.ensure_started(&spec.frame).await;
        if started.is_ok() {
            // An engine that mounts by path followed it: it is seen before anybody works with it.
            let found = bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs");
            let told = found.differs.iter().any(|text| text.contains("is a link by now"));
            assert!(told, "{found:?}");
        } else {
            let text = format!("{:?}", started);
            assert!(text.contains("is a link by now"), "{text}");
        }
        // And put back while it ran.
        std::fs::remove_file(&project).unwrap();
        std::fs::rename(&kept, &project).unwrap();
        if started.is_ok() {
            let found = bench.runtime.isolation(&spec.frame).await.unwrap().expect("it runs");
            let told = found.differs.iter().any(|text| text.contains("shows something else"));
            assert!(told, "{found:?}");
        }
        bench.remove(&spec).await;
        assert_eq!(shown_now(machine), [""; 0]);
    });
}

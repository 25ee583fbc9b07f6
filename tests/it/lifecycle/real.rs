//! The same service on real Podman with the real frame image. Left out, with the reason, where there is neither.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mimir::clock::entropy_128;
use mimir::config::schema as config;
use mimir::daemon::ServiceSettings;
use mimir::frames::{FrameRequest, Frames, Lifetime, Place, WantedLimits};
use mimir::model::frame::{Desired, Frame, FrameState, Observed};
use mimir::model::ids::InstanceId;
use mimir::model::names::FrameName;
use mimir::model::origin::Origin;
use mimir::model::principal::Principal;
use mimir::runtime::engine::EngineSettings;
use mimir::runtime::podman::Podman;
use mimir::runtime::{ExecSpec, Runtime};
use mimir::store::{Store, frames};
use mimir::supervisor::Tasks;
use mimir::wire::frames::CreateFrame;

use crate::machine::Gateway;

const IMAGES: [&str; 2] = ["localhost/mimir-frame:latest", "localhost/mimir-frame:dev"];
/// A busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(90);
const OWNER: Principal = Principal::GATEWAY;

struct Machine {
    frames: Frames,
    store: Store,
    runtime: Arc<Podman>,
    tasks: Tasks,
    workspace: tempfile::TempDir,
    home: crate::machine::Machine,
}

/// The composition that users run, on the engine of this machine; nothing but its frames goes on by itself.
async fn machine(test: &str, warm: usize) -> Option<Machine> {
    let workspace = tempfile::tempdir().expect("a workspace");
    let instance = InstanceId::from_parts(1, entropy_128());
    let warm = warm.to_string();
    let mut image = None;
    for name in IMAGES {
        let keys = [("frames.image", name), ("frames.network", "sealed"), ("frames.warm", warm.as_str())];
        let home = crate::machine::Machine::with(&keys);
        let engine = EngineSettings::of_this_process(None, home.paths.home().to_owned());
        let runtime = Arc::new(Podman::new(instance.clone(), engine, home.paths.frames()));
        match runtime.find_image(name).await {
            Ok(found) => image = image.or(found.map(|_| (home, runtime))),
            Err(error) => {
                eprintln!("left out: {test}: {error}");
                return None;
            }
        }
    }
    let Some((home, runtime)) = image else {
        eprintln!("left out: {test}: there is no frame image; `mimir image build` makes one");
        return None;
    };
    let gateway = home.gateway().change(|resources| {
        resources.runtime = runtime.clone();
        resources.settings = ServiceSettings::of(&resources.config, &resources.paths, instance.clone());
        resources.settings.frames.user_home = None;
        resources.instance = instance;
    });
    let Gateway { services, tasks, .. } = gateway.only(&["frames"]).start();
    Some(Machine { frames: services.frames, store: services.store, runtime, tasks, workspace, home })
}

impl Machine {
    async fn reach(&self, frame: &Frame, desired: Desired) -> Frame {
        let began = Instant::now();
        self.frames.ask(&OWNER, &frame.name, desired).await.expect("asked");
        let reached = self.frames.wait_for(&frame.id, desired, PATIENCE).await;
        eprintln!("{desired:?} took {:?}", began.elapsed());
        reached.unwrap_or_else(|error| panic!("{desired:?}: {error}"))
    }

    async fn story(&self) {
        let request = CreateFrame {
            name: "real".into(),
            workspace: Some(self.workspace.path().display().to_string()),
            ..CreateFrame::default()
        };
        let request = mimir::gateway::bodies::frame(request).expect("a request");
        let frame = self.frames.create(&OWNER, request).await.expect("created");
        let running = self.reach(&frame, Desired::Running).await;
        assert_eq!(running.state, FrameState::Running);
        let done = self
            .frames
            .exec(&running, ExecSpec::new(["sh", "-c", "echo $HTTP_PROXY > made; echo done"]))
            .await;
        let done = done.expect("runs");
        assert_eq!(done.stdout.trim(), "done", "{done:?}");
        let made = self.workspace.path().join("made");
        // Whatever number the agent has inside: outside it is the owner.
        assert_eq!(std::fs::metadata(&made).expect("there").uid(), running.owner_uid);
        assert!(std::fs::read_to_string(made).expect("written").contains("8118"), "the frame's environment");

        let capabilities = self.runtime.info().await.expect("answers").capabilities;
        if capabilities.pause {
            self.reach(&frame, Desired::Paused).await;
            self.reach(&frame, Desired::Running).await;
        }
        self.frames.restart(&OWNER, &frame.name).await.expect("asked");
        self.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("restarts");

        // The first process is killed from outside: it comes back by itself.
        let pid =
            self.runtime.observe(&frame.id).await.expect("seen").details.and_then(|details| details.pid);
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid.expect("it runs")).expect("a pid"));
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL).expect("killed");
        let end = Instant::now() + PATIENCE;
        loop {
            let notes = self.frames.notes(&frame.id, 10).await.expect("reads");
            let row = self.frames.get_by_id(&frame.id).await.expect("there");
            // What was said of its folder when it was made stands before it.
            if notes.iter().any(|note| note.code == "exited") && row.state == FrameState::Running {
                break;
            }
            assert!(Instant::now() < end, "{row:?} {notes:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.reach(&frame, Desired::Stopped).await;
        assert_eq!(self.frames.observation(&frame.id).await.expect("seen").observed, Observed::Halted);
        self.reach(&frame, Desired::Removed).await;
        assert!(!self.home.paths.frames().join(frame.id.as_str()).join("link").exists());
        assert_eq!(self.runtime.list().await.expect("lists"), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_frame_lives_its_whole_life() {
    let Some(machine) = machine("a real frame", 0).await else { return };
    machine.story().await;
    machine.tasks.stop(Duration::from_secs(5)).await;
    machine.runtime.close().await;
    assert!(machine.home.paths.frames().read_dir().is_ok_and(|mut left| left.next().is_none()));
}

/// What a run asks for.
fn wanted(name: &str) -> FrameRequest {
    FrameRequest {
        name: FrameName::parse(name).expect("a name"),
        place: Place::Own,
        image: None,
        network: None,
        allow: Vec::new(),
        providers: Vec::new(),
        gpu: false,
        limits: WantedLimits::default(),
        git: None,
        repository: None,
        env: BTreeMap::new(),
        lifetime: Lifetime::Throwaway(None),
        defaults: None,
        start: true,
        rules: Vec::new(),
        given: String::new(),
        origin: Origin::Run,
        run: None,
    }
}

impl Machine {
    /// From the wish to the moment when its agent can be worked with.
    async fn take(&self, request: FrameRequest) -> (Frame, Duration) {
        let began = Instant::now();
        let frame = self.frames.create(&OWNER, request).await.expect("there");
        let frame = self.frames.wait_for(&frame.id, Desired::Running, PATIENCE).await.expect("it runs");
        let took = began.elapsed();
        let client = self.frames.agent(&frame).await.expect("a client");
        client.health(Duration::from_secs(1)).await.expect("it answers");
        (frame, took)
    }

    async fn warm(&self) -> Vec<Frame> {
        self.store.read(|db| frames::list_warm(db)).await.expect("reads")
    }

    async fn one_ready(&self) -> Frame {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.warm().await;
            let ready = |row: &&Frame| row.state == FrameState::Running && row.desired == Desired::Running;
            if let Some(row) = all.iter().find(ready) {
                return row.clone();
            }
            assert!(Instant::now() < end, "none is ready: {all:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(&self, frame: &Frame) {
        let asked = self.frames.destroy(&OWNER, &frame.name).await.expect("asked");
        self.frames.wait_for_asked(asked, Desired::Removed, PATIENCE).await.expect("goes");
    }
}

/// `MIMIR_TEST_WARM_CLAIMS` of them are taken, 2 when nothing is said, each beside one that is made as ever; how long both
/// took is printed (`scripts/bench warm`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_frame_that_runs_already_is_taken_and_kept_apart_like_any_other() {
    let Some(machine) = machine("a real warm frame", 1).await else { return };
    let claims = std::env::var("MIMIR_TEST_WARM_CLAIMS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let (first, _) = machine.take(wanted("run-first")).await;
    let like = machine.frames.apart(&first).await.expect("seen");
    machine.end(&first).await;
    for n in 0..claims {
        let ready = machine.one_ready().await;
        let closed = machine.home.paths.frames().join(ready.id.as_str());
        assert!(!closed.join("link/broker.sock").exists(), "nothing listens for what is nobody's");
        // One with a variable of its own is made as ever: what both take is compared.
        let env = BTreeMap::from([("MADE".to_owned(), "cold".to_owned())]);
        let (made, cold) = machine.take(FrameRequest { env, ..wanted("run-cold") }).await;
        assert_ne!(made.id, ready.id);
        machine.end(&made).await;
        let before = machine.runtime.observe(&ready.id).await.expect("seen").details.expect("it runs");
        let (frame, took) = machine.take(wanted(&format!("run-{n}"))).await;
        eprintln!("made {:.1} ms, taken {:.1} ms", cold.as_secs_f64() * 1e3, took.as_secs_f64() * 1e3);
        assert_eq!(frame.id, ready.id, "the one that was ready");
        let after = machine.runtime.observe(&frame.id).await.expect("seen").details.expect("it runs");
        assert_eq!((before.container_id, before.pid), (after.container_id, after.pid), "not begun again");
        let apart = machine.frames.apart(&frame).await.expect("seen");
        assert_eq!(apart.loosened, like.loosened);
        let done = machine.frames.exec(&frame, ExecSpec::new(["sh", "-c", "pwd; ls -A; echo x >made"])).await;
        assert_eq!(done.expect("runs").stdout.trim(), "/workspace", "an empty folder of its own");
        let folder = machine.home.paths.frames().join(frame.id.as_str());
        assert!(folder.join("link/broker.sock").exists(), "its broker listens");
        let port = tokio::net::TcpStream::connect(("127.0.0.1", frame.agent_port.0)).await;
        assert!(port.is_ok(), "and so does its port: {port:?}");
        assert!(std::path::Path::new(&frame.workspace).join("made").is_file(), "which is the frame's");
        machine.end(&frame).await;
    }
    machine.one_ready().await;
    let none = config::Frames { warm: 0, ..(*machine.frames.defaults()).clone() };
    machine.frames.configure(none);
    let end = Instant::now() + PATIENCE;
    while !machine.warm().await.is_empty() {
        assert!(Instant::now() < end, "still kept: {:#?}", machine.warm().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(machine.runtime.list().await.expect("lists"), []);
    machine.tasks.stop(Duration::from_secs(5)).await;
    machine.runtime.close().await;
    assert!(machine.home.paths.frames().read_dir().is_ok_and(|mut left| left.next().is_none()));
}

//! Schedules of the executable, with its own database and clock: killed around their times, and with a clock that jumps.

mod clocks;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mimir::client::GatewayClient;
use mimir::clock::Clock;
use mimir::config::Paths;
use mimir::model::origin::Origin;
use mimir::model::run::{Run, RunState};
use mimir::model::schedule::{CatchUp, Overlap, ScheduleAction, TickCause, TickOutcome};
use mimir::model::secret::Secret;
use mimir::store::schedules::{self as rows, Tick};
use mimir::store::{OpenOptions, Store, runs};
use mimir::wire::schedules::{AddSchedule, TickView};

/// So often the gateway is killed.
const KILLS: u64 = 50;
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A gateway without engine and port, which is started again as often as it ends.
struct Gateway {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("mms-").tempdir_in("/tmp").expect("a folder");
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).expect("made");
            path.display().to_string()
        };
        let env = BTreeMap::from([
            ("HOME".to_owned(), at("home")),
            ("MIMIR_HOME".to_owned(), at("home/.mimir")),
            ("XDG_RUNTIME_DIR".to_owned(), at("run")),
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("MIMIR_DB_KEY".to_owned(), "ab".repeat(32)),
            ("MIMIR_LOG".to_owned(), "warn".to_owned()),
            ("TZ".to_owned(), "UTC".to_owned()),
        ]);
        at("home/.mimir/workflows");
        let config = format!(
            "server: {{http_port: off}}\nengine: {{socket: {}}}\nworkflows: {{max_parallel: 8}}\n",
            folder.path().join("no-engine.sock").display()
        );
        std::fs::write(folder.path().join("home/.mimir/config.yaml"), config).expect("written");
        let workflow =
            "name: look\ndescription: Looks\nstages:\n  - {name: look, kind: command, argv: [\"true\"]}\n";
        std::fs::write(folder.path().join("home/.mimir/workflows/look.yaml"), workflow).expect("written");
        Self { folder, env, child: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn paths(&self) -> Paths {
        Paths::find(&self.env).expect("a home")
    }

    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_mimir"))
            .arg("serve")
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        self.child = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("SIGKILL");
            child.wait().expect("gone");
        }
    }

    async fn answers(&mut self) -> GatewayClient {
        let client = GatewayClient::new(self.paths().gateway_socket());
        let begun = Instant::now();
        while client.health().await.is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
            assert!(ended.is_none() && begun.elapsed() < LIMIT, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        client
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Of a gateway that does not run.
    fn store(&self) -> Store {
        let options = OpenOptions {
            path: self.paths().database(),
            key: Secret::new("ab".repeat(32)),
            backups: self.paths().backups(),
        };
        Store::open(options, Clock::system()).expect("the database opens")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

fn looks(name: &str, expression: &str) -> AddSchedule {
    AddSchedule {
        name: name.into(),
        expression: expression.into(),
        zone: Some("UTC".into()),
        does: ScheduleAction::Workflow { workflow: "look".into(), project: None, variables: BTreeMap::new() },
        overlap: Overlap::Forbid,
        catch_up: CatchUp::Once,
        jitter_seconds: 0,
        gate: None,
        pause_after_failures: None,
        pause_at_microusd: None,
        budget_microusd: None,
        paused: false,
    }
}

/// Every tick with a run has one of its own, and every run a tick.
fn each_tick_has_its_run(ticks: &[Tick], runs: &[Run]) {
    let instants: BTreeSet<u64> = ticks.iter().map(|tick| tick.instant).collect();
    assert_eq!(instants.len(), ticks.len(), "a time was seen to twice");
    let began: Vec<&str> = ticks
        .iter()
        .filter(|tick| tick.outcome == TickOutcome::Run)
        .filter_map(|tick| Some(tick.run.as_ref()?.as_str()))
        .collect();
    let made: Vec<&str> =
        runs.iter().filter(|run| run.origin == Origin::Schedule).map(|run| run.id.as_str()).collect();
    let (began_once, made_once): (BTreeSet<_>, BTreeSet<_>) =
        (began.iter().copied().collect(), made.iter().copied().collect());
    assert_eq!(began.len(), began_once.len(), "two ticks say that they began one run");
    assert_eq!(began_once, made_once, "runs without tick, or ticks without run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_around_every_second_sees_to_each_time_once() {
    let mut gateway = Gateway::new();
    gateway.start();
    gateway.answers().await.add_schedule(&looks("often", "* * * * * *")).await.expect("added");
    // The same numbers, the same story: from 40 ms before a second to 40 ms after it.
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..KILLS {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let into_second = 1000 - Clock::system().now_ms() % 1000;
        let pause = into_second + 1000 + dice % 80 - 40;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        gateway.kill();
        gateway.start();
        gateway.answers().await;
    }
    // It goes on after all of that, and nothing is left behind.
    let client = gateway.answers().await;
    let before = client.schedule_history("often", 1000).await.expect("a history").len();
    let begun = Instant::now();
    loop {
        let ticks = client.schedule_history("often", 1000).await.expect("a history");
        let went_well = ticks.iter().filter(|tick| tick.run_state == Some(RunState::Succeeded)).count();
        if ticks.len() >= before + 3 && went_well > 20 {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{ticks:#?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.pause_schedule("often", None).await.expect("paused");
    let begun = Instant::now();
    loop {
        let open =
            client.runs(&mimir::client::RunList { open: true, ..Default::default() }).await.expect("runs");
        if open.is_empty() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{open:#?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.kill();
    let store = gateway.store();
    let (ticks, runs) =
        store.read(|db| Ok((rows::ticks(db, 1, 1000)?, runs::newest(db, 1000)?))).await.expect("read");
    each_tick_has_its_run(&ticks, &runs);
    assert!(runs.iter().all(|run| run.state == RunState::Succeeded), "{runs:#?}");
    println!("{} ticks, {} runs over {KILLS} kills", ticks.len(), runs.len());
}

fn faketime() -> Option<PathBuf> {
    let lib = Path::new("/usr/lib");
    let folders = std::fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}

/// The clock of a gateway that is not the machine's.
struct FakeClock {
    offset: PathBuf,
}

impl FakeClock {
    /// As the machine's, until something else is said. None where no library plays clocks, which is said for that test.
    fn of(gateway: &mut Gateway, test: &'static str) -> Option<Self> {
        let Some(library) = faketime() else {
            let why = "libfaketime is not installed; `apt-get install libfaketime`";
            crate::podman::support::skip(test, why);
            return None;
        };
        let clock = Self { offset: gateway.path("offset") };
        clock.is("+0");
        for (name, value) in [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.offset.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ] {
            gateway.env.insert(name.to_owned(), value);
        }
        Some(clock)
    }

    /// From now on it goes so much before the machine's, or behind it.
    fn is(&self, to: &str) {
        let new = self.offset.with_extension("new");
        std::fs::write(&new, format!("{to}\n")).expect("written");
        std::fs::rename(new, &self.offset).expect("in its place");
    }
}

async fn until(
    client: &GatewayClient,
    name: &str,
    gateway: &Gateway,
    is_so: impl Fn(&[TickView]) -> bool,
) -> Vec<TickView> {
    let begun = Instant::now();
    loop {
        let mut ticks = client.schedule_history(name, 1000).await.expect("a history");
        ticks.reverse();
        if is_so(&ticks) {
            return ticks;
        }
        assert!(begun.elapsed() < LIMIT, "{ticks:#?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_repeats_nothing_and_is_made_up_for_once() {
    let mut gateway = Gateway::new();
    let test = "a_clock_that_jumps_repeats_nothing_and_is_made_up_for_once";
    let Some(clock) = FakeClock::of(&mut gateway, test) else { return };
    gateway.start();
    let client = gateway.answers().await;
    client.add_schedule(&looks("often", "*/2 * * * * *")).await.expect("added");
    client.add_schedule(&looks("hourly", "0 * * * *")).await.expect("added");
    client.add_schedule(&looks("none", "0 0 * * *")).await.expect("added");
    client.add_schedule(&looks("witness", "0 0 29 2 *")).await.expect("added");
    let change =
        mimir::wire::schedules::ChangeSchedule { catch_up: Some(CatchUp::None), ..Default::default() };
    client.change_schedule("none", &change).await.expect("changed");
    let before = until(&client, "often", &gateway, |ticks| ticks.len() >= 2).await;
    let next = client.schedule("often").await.expect("there").next[0];

    // Two hours back. What is made next says by its own time that the gateway has seen it: by a schedule of which no run
    // can still go on.
    clock.is("-2h");
    let back = client.run_schedule("witness").await.expect("made").seen_at;
    assert!(back < before[0].instant, "{back} is not before {}", before[0].instant);
    let quiet = client.schedule("often").await.expect("there");
    assert!(quiet.next[0] >= next, "a time comes again: {} after {next}", quiet.next[0]);

    // From there 28 hours ahead, so that a midnight lies between.
    clock.is("+26h");
    let after = until(&client, "often", &gateway, |ticks| {
        ticks
            .iter()
            .filter(|tick| tick.cause == TickCause::Time && tick.seen_at > next + 25 * 3_600_000)
            .count()
            >= 3
    })
    .await;
    let caught_up = after.iter().filter(|tick| tick.cause == TickCause::CatchUp).count();
    assert_eq!(caught_up, 1, "{after:#?}");
    let planned: Vec<u64> =
        after.iter().filter(|tick| tick.cause != TickCause::Person).map(|tick| tick.instant).collect();
    assert!(planned.windows(2).all(|pair| pair[0] < pair[1]), "{planned:?}");
    let lost: Vec<_> = after
        .iter()
        .filter(|tick| tick.cause == TickCause::Time && tick.seen_at > tick.instant + 120_000)
        .collect();
    assert!(lost.is_empty(), "{lost:#?}");
    let hourly = until(&client, "hourly", &gateway, |ticks| !ticks.is_empty()).await;
    assert_eq!(hourly.len(), 1, "26 hours are one: {hourly:#?}");
    let none = until(&client, "none", &gateway, |ticks| !ticks.is_empty()).await;
    assert_eq!((none.len(), none[0].outcome), (1, TickOutcome::Missed), "{none:#?}");

    gateway.kill();
    let (ticks, all) = gateway
        .store()
        .read(|db| {
            let ids = rows::list(db)?.into_iter().map(|schedule| schedule.id);
            let ticks = ids.map(|id| rows::ticks(db, id, 1000)).collect::<Result<Vec<_>, _>>()?;
            Ok((ticks, runs::newest(db, 1000)?))
        })
        .await
        .expect("read");
    let made: usize = ticks.iter().flatten().filter(|tick| tick.outcome == TickOutcome::Run).count();
    assert_eq!(made, all.len(), "each tick one run");
}

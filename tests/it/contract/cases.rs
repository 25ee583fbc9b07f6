//! The contract, one promise a function.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use futures_util::StreamExt;
use mimir::model::container::{Storage, container_name, mount_difference};
use mimir::model::frame::Observed;
use mimir::model::ids::FrameId;
use mimir::model::port::PortPurpose;
use mimir::model::secret::Secret;
use mimir::outbound::{BoxedDuplex, Connector};
use mimir::runtime::{Capabilities, ExecChunk, ExecSpec, LogRequest, Runtime, RuntimeError, StartContents};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::{Bench, assert_gone, assert_wrong_state, eventually};

const GRACE: Duration = Duration::from_secs(5);

fn contents(start: u64, password: &str) -> StartContents {
    StartContents {
        start,
        password: Secret::new(password),
        agent_config: "{}".to_owned(),
        env: "A=b\n".to_owned(),
        git_config: String::new(),
        secrets: Vec::new(),
        certificates: None,
        trusted: None,
    }
}

/// What it lacks it refuses, in one word, and does not pretend.
pub async fn what_cannot_be_done_is_said(runtime: &dyn Runtime, frame: &FrameId) {
    let can = runtime.capabilities(frame).await.unwrap();
    let mut lacking = Vec::new();
    let mut check = |can: bool, what: &'static str, answer: Result<(), RuntimeError>| {
        let refused = matches!(answer, Err(RuntimeError::Unsupported { .. }));
        assert!(can || refused, "{what} is lacking: {answer:?}");
        if refused {
            lacking.push(what);
        }
    };
    check(can.pause, "pause", runtime.ensure_paused(frame).await);
    check(can.pause, "resume", runtime.ensure_resumed(frame).await);
    check(can.stats, "usage", runtime.stats(frame).await.map(drop));
    check(can.logs, "logs", runtime.logs(frame, LogRequest::default()).await.map(drop));
    check(can.exec, "command", runtime.exec(frame, ExecSpec::new(["true"])).await.map(drop));
    check(can.exec, "terminal", runtime.exec_stream(frame, ExecSpec::new(["true"])).await.map(drop));
    if !can.stop {
        check(false, "start", runtime.ensure_started(frame).await);
        check(false, "stop", runtime.ensure_stopped(frame, GRACE).await);
        check(false, "remove", runtime.ensure_removed(frame).await);
    }
    if !can.isolation {
        assert!(runtime.listen(frame).is_err(), "it has no broker");
    }
    if can == Capabilities::CONTAINER {
        assert_eq!(lacking, Vec::<&str>::new());
    }
}

/// An agent that listens is reached as often as somebody wants to, and one that does not is an error at once.
pub async fn an_agent_is_reached(connector: Connector, accept: impl AsyncFn() -> BoxedDuplex) {
    for _ in 0..3 {
        let (ours, mut theirs) = tokio::join!(connector.connect(), accept());
        let mut ours = ours.expect("connected");
        theirs.write_all(b"hello").await.unwrap();
        theirs.flush().await.unwrap();
        let mut heard = [0; 5];
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}

pub async fn a_frame_says_what_cannot_be_done_with_it(bench: &Bench) {
    let spec = bench.running().await;
    what_cannot_be_done_is_said(bench.runtime.as_ref(), &spec.frame).await;
    bench.remove(&spec).await;
}

pub async fn what_is_put_for_a_start_stays_until_the_next_one(bench: &Bench) {
    let (runtime, spec) = (&bench.runtime, bench.spec());
    assert_eq!(runtime.credentials(&spec.frame).await.unwrap(), None, "never started");
    let password = async || {
        let credentials = runtime.credentials(&spec.frame).await.unwrap().expect("it was put");
        credentials.password.expect("a frame has one").reveal().to_owned()
    };
    // Before there is a container and after.
    runtime.put_start_files(&spec, &contents(1, "first")).await.unwrap();
    runtime.ensure_created(&spec).await.unwrap();
    assert_eq!(password().await, "first");
    // A step that is repeated changes no password that is in use.
    runtime.put_start_files(&spec, &contents(1, "other")).await.unwrap();
    assert_eq!(password().await, "first");
    runtime.put_start_files(&spec, &contents(2, "second")).await.unwrap();
    assert_eq!(password().await, "second");
    bench.remove(&spec).await;
    assert_eq!(password().await, "second", "it goes with the frame, not with a container");
}

pub async fn the_agent_and_the_preview_are_reached_through_their_connectors(bench: &Bench) {
    let spec = bench.running().await;
    for (purpose, name) in [(PortPurpose::Agent, "agent.sock"), (PortPurpose::Preview, "preview.sock")] {
        let connector = bench.runtime.connector(&spec.frame, purpose);
        let nobody =
            tokio::time::timeout(Duration::from_secs(6), connector.connect()).await.expect("at once");
        assert!(nobody.is_err(), "nobody listens at {name}");
        // As a process of the frame does it.
        let listener = tokio::net::UnixListener::bind(bench.link_folder(&spec.frame).join(name)).unwrap();
        an_agent_is_reached(connector, async || Box::pin(listener.accept().await.unwrap().0) as BoxedDuplex)
            .await;
    }
    bench.remove(&spec).await;
}

pub async fn what_a_frame_asks_its_broker_arrives_and_a_replaced_socket_is_noticed(bench: &Bench) {
    let spec = bench.running().await;
    let path = bench.link_folder(&spec.frame).join("broker.sock");
    for _ in 0..2 {
        let listener = bench.runtime.listen(&spec.frame).unwrap();
        assert!(listener.is_in_place());
        let (frame, gateway) = tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
        frame.unwrap();
        gateway.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!listener.is_in_place(), "the frame took it away");
    }
    bench.remove(&spec).await;
}

pub async fn a_volume_is_kept_or_refused(bench: &Bench) {
    let mut spec = bench.spec();
    spec.workspace = Storage::Volume("work".to_owned());
    let answer = bench.runtime.ensure_created(&spec).await;
    if bench.runtime.info().await.unwrap().capabilities.volumes {
        answer.unwrap();
    } else {
        assert!(matches!(answer, Err(RuntimeError::Unsupported { .. })), "{answer:?}");
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
    }
    bench.remove(&spec).await;
}

pub async fn a_frame_without_a_container_is_missing_everywhere(bench: &Bench) {
    let (runtime, frame) = (&bench.runtime, FrameId::from_parts(1, mimir::clock::entropy_128()));
    assert_eq!(bench.observe(&frame).await.observed, Observed::Missing);
    assert_gone(&runtime.ensure_started(&frame).await);
    assert_gone(&runtime.exec(&frame, ExecSpec::new(["true"])).await);
    assert_gone(&runtime.stats(&frame).await);
    assert_gone(&runtime.logs(&frame, LogRequest::default()).await.map(|_| ()));
    if runtime.info().await.unwrap().capabilities.pause {
        assert_gone(&runtime.ensure_paused(&frame).await);
        assert_gone(&runtime.ensure_resumed(&frame).await);
    }
    // What is asked for is already so.
    runtime.ensure_stopped(&frame, GRACE).await.unwrap();
    runtime.ensure_removed(&frame).await.unwrap();
    runtime.remove_stray(&"12ab".repeat(16)).await.unwrap();
}

pub async fn creating_twice_makes_one_container(bench: &Bench) {
    for _ in 0..5 {
        let spec = bench.spec();
        let (first, second) =
            tokio::join!(bench.runtime.ensure_created(&spec), bench.runtime.ensure_created(&spec));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
        bench.remove(&spec).await;
    }
    let spec = bench.spec();
    bench.runtime.ensure_created(&spec).await.unwrap();
    bench.runtime.ensure_created(&spec).await.unwrap();

    let listed = bench.runtime.list().await.unwrap();
    let ours: Vec<_> = listed.iter().filter(|one| one.frame == spec.frame).collect();
    assert_eq!(ours.len(), 1, "{listed:?}");
    assert_eq!((ours[0].observed, ours[0].generation), (Observed::Halted, 1));
    assert_eq!(ours[0].name, "contract");
    assert!(ours[0].created_at > 1_700_000_000_000, "{:?}", ours[0]);

    let seen = bench.observe(&spec.frame).await;
    let details = seen.details.unwrap();
    assert_eq!((seen.observed, details.exit_code, details.started_at), (Observed::Halted, None, None));
    assert_eq!(
        (details.image_id, details.container_id),
        (bench.image_id.clone(), ours[0].container_id.clone())
    );
    bench.remove(&spec).await;
}

pub async fn an_image_that_is_not_there_is_named(bench: &Bench) {
    let mut spec = bench.spec();
    spec.image_id = "77".repeat(32);
    let answer = bench.runtime.ensure_created(&spec).await;
    assert!(
        matches!(&answer, Err(RuntimeError::ImageMissing { image }) if *image == spec.image_id),
        "{answer:?}"
    );
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
}

pub async fn a_missing_bind_source_is_refused_and_not_silently_created(bench: &Bench) {
    let mut spec = bench.spec();
    let folder = spec.workspace.folder().unwrap().join("nowhere");
    spec.workspace = bench.storage(&folder);
    let answer = bench.runtime.ensure_created(&spec).await;
    let path = folder.display().to_string();
    assert!(
        matches!(&answer, Err(RuntimeError::FolderMissing { path: named }) if *named == path),
        "{answer:?}"
    );
    assert!(!folder.exists(), "nobody made it");

    std::fs::write(&folder, "a file").unwrap();
    let answer = bench.runtime.ensure_created(&spec).await;
    assert!(matches!(answer, Err(RuntimeError::FolderMissing { .. })), "{answer:?}");
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
}

/// Names that mean something in one of the small languages between us and a mount.
pub const ODD_NAMES: &[&str] = &[
    "a,b",
    "a:b",
    "a:ro",
    "x,ro",
    "e=q",
    " sp ace ",
    "quote\"x",
    "it's",
    "new\nline",
    "tab\tx",
    "back\\slash",
    "trailing\\",
    "per%20cent",
    "$HOME",
    "`id`",
    "*",
    ",",
    "ünï漢字",
    "ro\u{202e}ltr",
    "{file:x}",
    "-rf",
];

pub async fn the_folder_named_is_the_folder_mounted_whatever_is_in_its_name(bench: &Bench) {
    let secret = bench.folders.path().join("secret");
    std::fs::create_dir_all(&secret).unwrap();
    let injected = [format!("x,src={}", secret.display()), format!("x,source={},ro", secret.display())];
    for name in ODD_NAMES.iter().copied().chain(injected.iter().map(String::as_str)) {
        let spec = bench.spec_with_workspace(name);
        bench.runtime.ensure_created(&spec).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let mounted = bench.observe(&spec.frame).await.details.unwrap().mounts;
        assert_eq!(mount_difference(&spec.mounts(), &mounted), None, "{name:?}");
        let workspace = mounted.iter().find(|mount| mount.target == "/workspace").unwrap();
        assert_eq!(workspace.source, spec.workspace.folder().unwrap().to_str().unwrap());
        assert!(!workspace.read_only, "{name:?}");
        bench.remove(&spec).await;
    }
}

pub async fn a_folder_that_vanished_before_the_start_is_named(bench: &Bench) {
    let spec = bench.spec();
    bench.runtime.ensure_created(&spec).await.unwrap();
    let folder = spec.workspace.folder().unwrap();
    std::fs::remove_dir(folder).unwrap();
    let answer = bench.runtime.ensure_started(&spec.frame).await;
    let path = folder.display().to_string();
    assert!(
        matches!(&answer, Err(RuntimeError::FolderMissing { path: named }) if *named == path),
        "{answer:?}"
    );
    assert!(!folder.exists(), "nobody made it");

    // Once it is back the same container starts.
    std::fs::create_dir(folder).unwrap();
    bench.start(&spec).await;
    bench.remove(&spec).await;
}

pub async fn a_foreign_container_with_our_name_is_left_alone(bench: &Bench) {
    let spec = bench.spec();
    let name = container_name(&spec.frame);
    bench.foreign.add(&name);

    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
    let answer = bench.runtime.ensure_created(&spec).await;
    assert!(matches!(&answer, Err(RuntimeError::NameTaken { name: taken }) if *taken == name), "{answer:?}");
    bench.runtime.ensure_stopped(&spec.frame, GRACE).await.unwrap();
    bench.runtime.ensure_removed(&spec.frame).await.unwrap();
    assert_gone(&bench.runtime.ensure_started(&spec.frame).await);

    assert!(bench.foreign.is_there(&name), "it was removed");
    bench.foreign.remove(&name);
}

pub async fn a_container_of_an_older_generation_is_replaced(bench: &Bench) {
    let mut spec = bench.running().await;
    let old = bench.observe(&spec.frame).await.details.unwrap().container_id;
    spec.generation = 2;
    bench.runtime.ensure_created(&spec).await.unwrap();

    let seen = bench.observe(&spec.frame).await;
    let details = seen.details.unwrap();
    assert_eq!((seen.observed, details.generation), (Observed::Halted, 2));
    assert_ne!(details.container_id, old);

    spec.generation = 1;
    assert_wrong_state(&bench.runtime.ensure_created(&spec).await);
    assert_eq!(bench.observe(&spec.frame).await.details.unwrap().generation, 2, "the newer one stays");
    bench.remove(&spec).await;
}

pub async fn starting_and_stopping_can_be_repeated(bench: &Bench) {
    let spec = bench.running().await;
    bench.runtime.ensure_started(&spec.frame).await.unwrap();
    let details = bench.observe(&spec.frame).await.details.unwrap();
    assert!(details.pid.is_some() && details.started_at.is_some(), "{details:?}");
    assert_eq!((details.exit_code, details.stuck), (None, None));

    for _ in 0..2 {
        bench.runtime.ensure_stopped(&spec.frame, GRACE).await.unwrap();
        let seen = bench.observe(&spec.frame).await;
        let details = seen.details.unwrap();
        assert_eq!((seen.observed, details.exit_code, details.pid), (Observed::Halted, Some(0), None));
    }
    for _ in 0..2 {
        bench.runtime.ensure_removed(&spec.frame).await.unwrap();
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
    }
}

pub async fn a_stopped_frame_starts_again(bench: &Bench) {
    let spec = bench.running().await;
    let first = bench.observe(&spec.frame).await.details.unwrap();
    bench.runtime.ensure_stopped(&spec.frame, GRACE).await.unwrap();
    bench.runtime.ensure_started(&spec.frame).await.unwrap();
    let seen = bench.observe(&spec.frame).await;
    assert_eq!(seen.observed, Observed::Running);
    assert_eq!(seen.details.unwrap().container_id, first.container_id);
    // In the middle of running, too.
    bench.remove(&spec).await;
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
}

pub async fn a_paused_frame_can_be_resumed_stopped_and_removed(bench: &Bench) {
    let spec = bench.running().await;
    if !bench.runtime.info().await.unwrap().capabilities.pause {
        let answer = bench.runtime.ensure_paused(&spec.frame).await;
        assert!(matches!(answer, Err(RuntimeError::Unsupported { .. })), "{answer:?}");
        return bench.remove(&spec).await;
    }
    for _ in 0..2 {
        bench.runtime.ensure_paused(&spec.frame).await.unwrap();
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Paused);
    }
    assert_wrong_state(&bench.runtime.ensure_started(&spec.frame).await);
    assert_wrong_state(&bench.runtime.exec(&spec.frame, ExecSpec::new(["true"])).await);
    for _ in 0..2 {
        bench.runtime.ensure_resumed(&spec.frame).await.unwrap();
        assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Running);
    }

    bench.runtime.ensure_paused(&spec.frame).await.unwrap();
    bench.runtime.ensure_stopped(&spec.frame, GRACE).await.unwrap();
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Halted);

    bench.runtime.ensure_started(&spec.frame).await.unwrap();
    bench.runtime.ensure_paused(&spec.frame).await.unwrap();
    bench.remove(&spec).await;
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
}

pub async fn pausing_needs_something_that_runs(bench: &Bench) {
    let spec = bench.spec();
    bench.runtime.ensure_created(&spec).await.unwrap();
    if bench.runtime.info().await.unwrap().capabilities.pause {
        assert_wrong_state(&bench.runtime.ensure_paused(&spec.frame).await);
        assert_wrong_state(&bench.runtime.ensure_resumed(&spec.frame).await);
    }
    bench.remove(&spec).await;
}

pub async fn commands_give_output_and_exit_code(bench: &Bench) {
    let spec = bench.running().await;
    let done = bench.runtime.exec(&spec.frame, ExecSpec::new(["echo", "one", "two"])).await.unwrap();
    assert_eq!((done.exit_code, done.stdout.as_str(), done.stderr.as_str()), (0, "one two\n", ""));
    let done = bench.runtime.exec(&spec.frame, ExecSpec::new(["sh", "-c", "exit 3"])).await.unwrap();
    assert_eq!(done.exit_code, 3);
    let done = bench.runtime.exec(&spec.frame, ExecSpec::new(["no-such-program"])).await.unwrap();
    assert_eq!(done.exit_code, 127, "{done:?}");
    bench.remove(&spec).await;
}

pub async fn a_command_in_a_halted_frame_is_refused(bench: &Bench) {
    let spec = bench.spec();
    bench.runtime.ensure_created(&spec).await.unwrap();
    assert_wrong_state(&bench.runtime.exec(&spec.frame, ExecSpec::new(["true"])).await);
    assert_wrong_state(&bench.runtime.exec_stream(&spec.frame, ExecSpec::new(["true"])).await.map(|_| ()));
    assert_wrong_state(&bench.runtime.stats(&spec.frame).await);
    bench.remove(&spec).await;
}

pub async fn what_is_typed_reaches_the_command(bench: &Bench) {
    let spec = bench.running().await;
    let command = ExecSpec { stdin: true, ..ExecSpec::new(["cat"]) };
    let mut stream = bench.runtime.exec_stream(&spec.frame, command).await.unwrap();
    stream.input.write_all(b"over and out\n").await.unwrap();
    stream.input.flush().await.unwrap();

    let mut heard = Vec::new();
    while heard != b"over and out\n" {
        let piece = tokio::time::timeout(Duration::from_secs(10), stream.output.next()).await;
        match piece.unwrap_or_else(|_| panic!("heard only {heard:?}")) {
            Some(Ok(ExecChunk::Stdout(bytes))) => heard.extend_from_slice(&bytes),
            other => panic!("{other:?} after {heard:?}"),
        }
    }
    assert_eq!(stream.control.exit_code().await.unwrap(), None, "it runs");
    stream.input.shutdown().await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(10), stream.output.next()).await;
    assert!(matches!(rest, Ok(None)), "{rest:?}");
    assert_eq!(stream.control.exit_code().await.unwrap(), Some(0));
    bench.remove(&spec).await;
}

pub async fn the_exit_code_of_a_frame_is_kept(bench: &Bench) {
    let spec = bench.running().await;
    bench.end(&spec, 70).await;
    let details = bench.observe(&spec.frame).await.details.unwrap();
    assert_eq!((details.exit_code, details.pid, details.stuck), (Some(70), None, None));
    // Stopping what has ended changes nothing.
    bench.runtime.ensure_stopped(&spec.frame, GRACE).await.unwrap();
    assert_eq!(bench.observe(&spec.frame).await.details.unwrap().exit_code, Some(70));
    bench.remove(&spec).await;
}

pub async fn the_log_is_kept_and_its_following_ends_with_the_frame(bench: &Bench) {
    let spec = bench.running().await;
    let request = LogRequest { follow: true, ..LogRequest::default() };
    let mut lines = bench.runtime.logs(&spec.frame, request).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(10), lines.next()).await.expect("a line in time");
    let first = first.expect("a line").unwrap();
    assert_eq!(first.text, "ready");
    assert!(first.at > 1_700_000_000_000, "{first:?}");

    bench.end(&spec, 0).await;
    let rest = tokio::time::timeout(Duration::from_secs(10), lines.next()).await;
    assert!(matches!(rest, Ok(None)), "the stream ends: {rest:?}");
    assert_eq!(bench.log(&spec.frame).await, ["ready"]);
    bench.remove(&spec).await;
}

pub async fn a_running_frame_can_be_measured(bench: &Bench) {
    let spec = bench.running().await;
    let info = bench.runtime.info().await.unwrap();
    let stats = bench.runtime.stats(&spec.frame).await.unwrap();
    assert!(stats.memory_bytes > 0 && stats.pids > 0, "{stats:?}");
    let limit = if info.capabilities.limits { spec.limits.memory_bytes } else { 0 };
    assert_eq!(stats.memory_limit_bytes, limit, "{stats:?} {info:?}");
    bench.remove(&spec).await;
}

pub async fn announcements_name_the_frame(bench: &Bench) {
    let mut events = bench.runtime.events().await.unwrap();
    let spec = bench.running().await;
    bench.end(&spec, 3).await;
    bench.remove(&spec).await;

    let mut heard = Vec::new();
    while !heard.iter().any(|action| action == "remove") {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("heard only {heard:?}")).expect("it goes on").unwrap();
        if event.frame == spec.frame {
            heard.push(event.action);
        }
    }
    let wanted: Vec<_> =
        heard.iter().filter(|word| ["create", "start", "die", "remove"].contains(&word.as_str())).collect();
    assert_eq!(wanted, ["create", "start", "die", "remove"], "{heard:?}");
}

pub async fn two_gateways_on_one_engine_do_not_see_each_other(bench: &Bench) {
    let spec = bench.running().await;
    let neighbour = &bench.neighbour;
    assert_eq!(neighbour.observe(&spec.frame).await.unwrap().observed, Observed::Missing);
    let seen = neighbour.list().await.unwrap();
    assert!(!seen.iter().any(|one| one.frame == spec.frame), "{seen:?}");
    neighbour.ensure_stopped(&spec.frame, GRACE).await.unwrap();
    neighbour.ensure_removed(&spec.frame).await.unwrap();
    assert_gone(&neighbour.ensure_started(&spec.frame).await);
    let theirs = mimir::model::container::ContainerSpec {
        instance: bench.neighbours_instance.clone(),
        ..spec.clone()
    };
    let answer = neighbour.ensure_created(&theirs).await;
    assert!(matches!(answer, Err(RuntimeError::NameTaken { .. })), "{answer:?}");

    let id = bench.observe(&spec.frame).await.details.unwrap().container_id;
    let answer = neighbour.remove_stray(&id).await;
    assert!(matches!(answer, Err(RuntimeError::NameTaken { .. })), "{answer:?}");
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Running, "it was touched");

    for _ in 0..2 {
        bench.runtime.remove_stray(&id).await.unwrap();
    }
    assert_eq!(bench.observe(&spec.frame).await.observed, Observed::Missing);
}

pub async fn images_are_found_by_name_and_id(bench: &Bench) {
    let by_name = bench.runtime.find_image(&bench.image_name).await.unwrap().expect("it is there");
    let by_id = bench.runtime.find_image(&bench.image_id).await.unwrap().expect("it is there");
    assert_eq!((&by_name.id, &by_id.id), (&bench.image_id, &bench.image_id));
    assert!(by_name.tags.contains(&bench.image_name), "{by_name:?}");
    assert!(by_name.labels.contains_key("io.mimir.inputs"), "{by_name:?}");
    assert!(by_name.size_bytes > 0 && by_name.created_at > 0, "{by_name:?}");
    assert_eq!(bench.runtime.find_image("localhost/no-such-image:1").await.unwrap(), None);
    eventually("it is listed", || async {
        let images = bench.runtime.list_images().await.unwrap();
        (images.iter().any(|image| image.id == bench.image_id), format!("{images:?}"))
    })
    .await;
}

pub async fn only_a_frame_image_without_name_or_container_is_removed(bench: &Bench) {
    let refused = |answer: &Result<(), RuntimeError>| {
        assert!(matches!(answer, Err(RuntimeError::Refused { .. })), "{answer:?}");
    };
    refused(&bench.runtime.remove_image(&bench.image_id).await);
    let foreign = bench.foreign.add_untagged_image(false);
    refused(&bench.runtime.remove_image(&foreign).await);
    assert!(bench.runtime.find_image(&foreign).await.unwrap().is_some(), "it was not ours to remove");

    let left = bench.foreign.add_untagged_image(true);
    let listed = bench.runtime.list_images().await.unwrap();
    let listed = listed.iter().find(|image| image.id == left).expect("it is listed");
    assert_eq!(listed.tags, Vec::<String>::new());
    let mut spec = bench.spec();
    spec.image_id = left.clone();
    bench.runtime.ensure_created(&spec).await.unwrap();
    refused(&bench.runtime.remove_image(&left).await);
    bench.remove(&spec).await;
    for _ in 0..2 {
        bench.runtime.remove_image(&left).await.unwrap();
        assert_eq!(bench.runtime.find_image(&left).await.unwrap(), None);
    }
}

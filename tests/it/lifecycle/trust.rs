//! Whether frames obey what their projects bring: nobody's word, a person's yes, and a project that changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mimir::frames::{AgentLocator as _, FrameError};
use mimir::model::frame::{Desired, Frame};
use mimir::model::trust::Trust;
use mimir::wire::frames::CreateFrame;

use super::world::{OWNER, World};

fn put(frame: &Path, name: &str, text: &str) {
    let path = frame.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, text).expect("written");
}

/// Whether the frame's last start obeyed its project: what the agent's environment says of it, last word.
fn obeyed(world: &World, frame: &Frame) -> bool {
    let env = fs::read_to_string(world.engine.start_folder(&frame.id).join("env")).expect("start files");
    let said: Vec<&str> =
        env.lines().filter_map(|line| line.strip_prefix("OPENCODE_DISABLE_PROJECT_CONFIG=")).collect();
    match said.last().expect("it is always said") {
        &"1" => false,
        &"" => true,
        other => panic!("{other:?} means different things to different parts of opencode"),
    }
}

async fn trust(world: &World, frame: &Frame) -> Result<(), FrameError> {
    let shown = world.frames.standing(&frame.workspace).await?;
    world.frames.trust(&OWNER, &frame.workspace, &shown.found.hash()).await.map(drop)
}

#[tokio::test]
async fn a_yes_is_for_what_was_shown_and_ends_with_the_first_change() {
    let world = World::new().await;
    put(&world.project("blog"), ".opencode/plugins/a.js", "1");
    let frame = world.running("blog").await;
    assert!(!obeyed(&world, &frame));
    let notes = world.frames.notes(&frame.id, 10).await.expect("notes");
    assert!(notes.iter().any(|note| note.code == "left_out" && note.text.contains("mimir projects trust")));

    trust(&world, &frame).await.expect("a yes");
    assert!(!obeyed(&world, &frame), "what runs has begun without");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame));

    put(Path::new(&frame.workspace), ".opencode/plugins/a.js", "2");
    let standing = world.frames.standing(&frame.workspace).await.expect("looks");
    assert_eq!(
        (standing.trust, standing.changed()),
        (Trust::Changed, vec![".opencode/plugins/a.js".to_owned()])
    );
    assert_eq!(standing.running, ["blog"]);
    world.restart_frame(&frame).await.expect("it runs");
    assert!(!obeyed(&world, &frame));
    let notes = world.frames.notes(&frame.id, 10).await.expect("notes");
    let told = notes.iter().find(|note| note.code == "project_changed").expect("it is told");
    assert!(told.text.contains(".opencode/plugins/a.js changed since"), "{}", told.text);

    trust(&world, &frame).await.expect("another yes");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame));
    world.frames.distrust(&OWNER, &frame.workspace).await.expect("a no");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(!obeyed(&world, &frame));
}

#[tokio::test]
async fn packages_that_are_installed_in_a_trusted_project_change_it_and_the_note_says_which_files() {
    let world = World::new().await;
    let folder = world.project("blog");
    put(&folder, ".opencode/plugins/a.js", "1");
    put(&folder, ".opencode/package.json", r#"{"dependencies": {"x": "1"}}"#);
    put(&folder, ".opencode/node_modules/x/index.js", "x");
    let frame = world.running("blog").await;
    trust(&world, &frame).await.expect("a yes");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame));
    // The frame has by what it compares before its agent begins again, and what it is configured with if it must not.
    let start = world.engine.start_folder(&frame.id);
    let list = fs::read_to_string(start.join("trusted")).expect("a list");
    assert!(list.contains(".opencode/node_modules/x/index.js"), "{list}");
    let config = |name: &str| fs::read_to_string(start.join(name)).expect("a configuration");
    assert!(config("left-out.json").contains("AGENTS.md") && !config("opencode.json").contains("AGENTS.md"));

    // `npm install y`.
    put(&folder, ".opencode/package.json", r#"{"dependencies": {"x": "1", "y": "1"}}"#);
    put(&folder, ".opencode/package-lock.json", "{}");
    put(&folder, ".opencode/node_modules/y/index.js", "y");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(!obeyed(&world, &frame), "what is installed there runs in the agent too");
    assert!(!start.join("trusted").exists() && !start.join("left-out.json").exists());
    let notes = world.frames.notes(&frame.id, 10).await.expect("notes");
    let told = notes.iter().find(|note| note.code == "project_changed").expect("it is told");
    let files =
        ".opencode/node_modules (its packages), .opencode/package-lock.json (new), .opencode/package.json";
    assert!(told.text.contains(&format!("{files} changed since somebody trusted it")), "{}", told.text);
    let again = format!("`mimir projects trust {}` shows what is there now and asks", frame.workspace);
    assert!(told.text.contains(&again), "{}", told.text);

    trust(&world, &frame).await.expect("another yes");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame) && start.join("trusted").exists());
}

/// opencode installs the package of its plugins into a project that it obeys, and moves keys of its settings. Code that
/// an agent plants looks the same, so it counts; and whoever can say yes is told at once, once.
#[tokio::test]
async fn what_opencode_itself_writes_into_a_project_is_told_while_the_frame_runs() {
    let world = World::with(|settings| settings.compared_again = Duration::ZERO).await;
    let folder = world.project("blog");
    put(&folder, ".opencode/plugins/a.js", "1");
    put(&folder, "opencode.json", r#"{"theme": "system"}"#);
    let frame = world.running("blog").await;
    trust(&world, &frame).await.expect("a yes");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame));
    let told = || async {
        let notes = world.frames.notes(&frame.id, 50).await.expect("notes");
        let told = notes.into_iter().filter(|note| note.code == "project_changed");
        told.map(|note| note.text).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [""; 0], "nothing has changed");

    put(&folder, "opencode.json", "{}");
    put(&folder, "tui.json", r#"{"theme": "system"}"#);
    put(&folder, ".opencode/package.json", r#"{"dependencies": {"@opencode-ai/plugin": "1.18.33"}}"#);
    put(&folder, ".opencode/bun.lock", "{}");
    put(&folder, ".opencode/node_modules/@opencode-ai/plugin/index.js", "export {}");
    // The agent begins anew, by itself.
    world.frames.stands(&frame.id);
    world.until("it is told", || async { !told().await.is_empty() }, &frame.id).await;
    let all = told().await;
    let [text] = &all[..] else { panic!("told more than once: {all:#?}") };
    for part in [
        ".opencode/node_modules",
        "changed since somebody trusted it",
        "`mimir projects trust ",
        "`mimir frame restart blog`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A gateway that begins anew, and an agent that does, say nothing twice.
    world.frames.stands(&frame.id);
    world.frames.reconcile_once().await.expect("looks");
    assert_eq!(told().await.len(), 1);

    trust(&world, &frame).await.expect("another yes");
    world.restart_frame(&frame).await.expect("it runs");
    assert!(obeyed(&world, &frame));
    assert_eq!(told().await.len(), 1, "nothing is left out any more");
}

#[tokio::test]
async fn nobody_says_yes_to_what_was_not_shown_or_cannot_be_bound() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let nothing = trust(&world, &frame).await.expect_err("nothing is there").to_string();
    assert!(nothing.contains("brings nothing"), "{nothing}");

    let folder = Path::new(&frame.workspace);
    put(folder, "opencode.json", r#"{"plugin": ["./a.js"]}"#);
    put(folder, "a.js", "1");
    let shown = world.frames.standing(&frame.workspace).await.expect("looks").found.hash();
    put(folder, "a.js", "2");
    let late =
        world.frames.trust(&OWNER, &frame.workspace, &shown).await.expect_err("it changed").to_string();
    assert!(late.contains("not what you were shown"), "{late}");

    fs::create_dir(folder.join(".opencode")).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", folder.join(".opencode/x.js")).expect("a link");
    let link = trust(&world, &frame).await.expect_err("a link").to_string();
    assert!(link.contains("a link out of .opencode"), "{link}");
}

#[tokio::test]
async fn throwaway_frames_obey_nothing_and_an_owner_can_obey_everything() {
    let world = World::new().await;
    put(&world.project("shop"), "opencode.json", r#"{"permission": "allow"}"#);
    let request = CreateFrame { throwaway: true, start: true, ..world.request("shop") };
    let frame = world.try_create(request).await.expect("made");
    trust(&world, &frame).await.expect("a yes");
    let frame = world.restart_frame(&frame).await.expect("it runs");
    assert!(!obeyed(&world, &frame));

    let world = World::with(|settings| settings.config.trust_project = true).await;
    put(&world.project("shop"), "opencode.json", r#"{"permission": "allow"}"#);
    let frame = world.running("shop").await;
    assert!(obeyed(&world, &frame));
    let apart = world.frames.apart(&frame).await.expect("looks");
    assert_eq!(apart.loosened, ["it obeys what its project brings, unseen"]);
}

#[tokio::test]
async fn an_image_that_cannot_leave_a_project_out_does_not_run_with_one_that_nobody_trusts() {
    let world = World::new().await;
    let frame = world.create("blog").await;
    let image = world.engine.add_image(&frame.image);
    world.engine.relabel(&image, &[("io.mimir.inputs", "old")]);
    world.reach(&frame, Desired::Running).await.expect("a project that brings nothing runs on it");

    put(Path::new(&frame.workspace), ".opencode/plugins/a.js", "1");
    let refused = world.restart_frame(&frame).await.expect_err("it would run the plugin").to_string();
    assert!(refused.contains("nobody has trusted that"), "{refused}");
    trust(&world, &frame).await.expect("a yes");
    world.reach(&frame, Desired::Running).await.expect("it runs");
    assert!(obeyed(&world, &frame));
}

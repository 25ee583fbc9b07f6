//! A frame whose image was built anew is moved to it with everything that is its own.

use std::fs;

use super::support::{Engine, World, skip};

/// An image of this test alone; others work with the usual name at the same time.
struct Image<'a> {
    world: &'a World,
    name: String,
}

impl<'a> Image<'a> {
    fn of(world: &'a World) -> Self {
        let word =
            world.root.file_name().expect("a name").to_string_lossy().replace("mme-", "").to_lowercase();
        let image = Self { world, name: format!("localhost/mimir-upgrade-{word}:latest") };
        let _ = world.podman(&["tag", "localhost/mimir-frame:latest", &image.name]).ok();
        image
    }

    /// Another image takes the name.
    fn build_anew(&self) {
        let recipe = self.world.root.join("Containerfile");
        fs::write(&recipe, format!("FROM {}\nENV BUILT=anew\n", self.name)).expect("written");
        let (recipe, context) = (recipe.display().to_string(), self.world.project.display().to_string());
        let format = ["build", "-q", "--format", "docker", "--pull=never"];
        let rest = ["-f", &recipe, "-t", &self.name, &context];
        let _ = self.world.podman(&[&format[..], &rest[..]].concat()).ok();
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        let containers = self.world.containers();
        // It would make others at once.
        let _ = self.world.mimir(&["serve", "--stop"]);
        for name in containers {
            let _ = self.world.podman(&["rm", "-f", "-t", "0", &name]);
        }
        let _ = self.world.podman(&["rmi", &self.name]);
    }
}

#[test]
fn a_file_in_the_home_and_a_conversation_outlive_the_image_rootful() {
    match World::alone(Engine::Rootful) {
        Ok(world) => outlive(&world),
        Err(why) => skip("frame upgrade, rootful", &why),
    }
}

#[test]
fn a_file_in_the_home_and_a_conversation_outlive_the_image_rootless() {
    match World::alone(Engine::Rootless) {
        Ok(world) => outlive(&world),
        Err(why) => skip("frame upgrade, rootless", &why),
    }
}

fn outlive(world: &World) {
    let image = Image::of(world);
    let inside = |script: &str| world.mimir(&["frame", "exec", "blog", "--", "sh", "-c", script]).ok().stdout;
    let _ = world.mimir(&["frame", "create", "blog", "--image", &image.name]).ok();
    let _ = world.mimir(&["frame", "create", "other", "--image", &image.name, "--no-start"]).ok();
    let _ = world.mimir(&["send", "--frame", "blog", "what is this project?"]).ok();
    assert_eq!(inside("echo mine >~/kept; echo ${BUILT:-before}").trim(), "before");
    let before = world.json(&["frame", "show", "blog"]);
    let same = world.mimir(&["frame", "upgrade", "blog"]).ok();
    assert!(same.stdout.contains("already"), "{same:?}");

    image.build_anew();
    let shown = world.json(&["frame", "show", "blog"]);
    assert_eq!(shown["behind"], true, "{shown}");
    let listed = world.mimir(&["frame", "list"]).ok();
    assert!(
        listed.stderr.contains("on an older image: blog, other; `mimir frame upgrade --all`"),
        "{listed:?}"
    );
    let doctor = world.mimir(&["doctor"]);
    assert!(doctor.stdout.contains("mimir frame upgrade blog other"), "{doctor:?}");

    // Somebody is in it: it is left alone, and named.
    let mut command = world.spawn(&["frame", "exec", "blog", "--", "sleep", "600"]);
    super::support::eventually("the command runs", std::time::Duration::from_secs(20), || {
        let list = inside("ps -e -o args");
        if list.contains("sleep 600") { Ok(()) } else { Err(list) }
    });
    let refused = world.mimir(&["frame", "upgrade", "blog"]).code(6);
    assert!(
        refused.stderr.contains("frame blog is busy") && refused.stderr.contains("--force"),
        "{refused:?}"
    );
    let some = world.mimir(&["frame", "upgrade", "--all"]).code(6);
    assert!(some.stdout.contains("other will start on"), "{some:?}");
    assert!(some.stderr.contains("left out: frame blog is busy"), "{some:?}");
    assert_eq!(world.state("other"), "created");
    command.kill().expect("its client ends");
    let _ = command.wait();

    let moved = world.mimir(&["frame", "upgrade", "--all", "--force"]).ok();
    assert!(moved.stdout.starts_with("blog runs on "), "{moved:?}");
    assert_eq!(inside("cat ~/kept; echo ${BUILT:-before}").trim(), "mine\nanew");
    let after = world.json(&["frame", "show", "blog"]);
    assert_eq!((&after["behind"], &after["state"]), (&false.into(), &"running".into()), "{after}");
    for same in ["id", "agent_port", "preview_port", "image", "workspace"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    let sent = world.mimir(&["send", "--frame", "blog", "--json", "and again"]).ok().lines();
    let last = sent.last().expect("an event");
    assert_eq!(last["data"]["state"].as_str(), Some("answered"), "{last}");
    let sessions = world.json(&["sessions", "list"]);
    assert_eq!(sessions.as_array().map(Vec::len), Some(1), "the conversation goes on: {sessions}");
    let nothing = world.mimir(&["frame", "upgrade", "--all"]).ok();
    assert!(nothing.stderr.contains("every frame is on the newest build"), "{nothing:?}");
}

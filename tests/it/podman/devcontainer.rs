//! A project that brings a devcontainer.json: its part that a frame can do something with, in a real frame.

use std::fs;

use super::support::{Engine, World, skip};

/// Its tools are in every frame, and its variable is in none: nothing has to be fetched for it.
const FILE: &str = r#"{
    // Of this image nothing is missing.
    "image": "mcr.microsoft.com/devcontainers/python:3",
    "features": {"ghcr.io/devcontainers/features/docker-in-docker:2": {}},
    "remoteEnv": {"MADE_BY": "a devcontainer", "TOKEN": "${localEnv:TOKEN}"},
    "postCreateCommand": "echo once >/workspace/once",
    "forwardPorts": [3000, 7714]
}"#;
/// A name of its own: other tests make images of projects at the same time.
const NAME: &str = "with-a-devcontainer";

#[test]
fn a_devcontainer_becomes_an_image_and_says_what_it_wants_besides() {
    let world = match World::new(Engine::usual()) {
        Ok(world) => world,
        Err(why) => return skip("a project with a devcontainer.json", &why),
    };
    let folder = world.project.join(NAME);
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join(".devcontainer.json"), FILE).expect("written");
    std::os::unix::fs::chown(&folder, Some(world.uid()), None).expect("the user's own folder");
    let path = folder.display().to_string();
    let image = format!("localhost/mimir-project:{NAME}");

    let create = ["frame", "create", "shop", "--workspace", &path, "--no-start"];
    let proposed = world.mimir(&create).ok();
    let line =
        format!("its .devcontainer.json makes an image of its own: `mimir image build --project {path}`");
    assert!(proposed.stderr.contains(&line), "{proposed:?}");
    let _ = world.mimir(&["frame", "destroy", "shop", "--yes"]).ok();

    let built = world.mimir(&["image", "build", "--project", &path]).ok();
    assert!(built.stdout.starts_with(&format!("{image} ")), "{built:?}");
    let once = "mimir frame exec NAME -- sh -c 'echo once >/workspace/once'";
    for said in [once, "mimir frame ports NAME --preview 7714", "docker-in-docker", "variable TOKEN"] {
        assert!(built.stderr.contains(said), "{said}: {built:?}");
    }

    let _ =
        world.mimir(&["frame", "create", "shop", "--workspace", &path, "--image", &image, "--start"]).ok();
    let inside = |script: &str| world.mimir(&["frame", "exec", "shop", "--", "sh", "-c", script]).ok().stdout;
    assert_eq!(inside("echo $MADE_BY/$TOKEN"), "a devcontainer/\n");
    assert!(!folder.join("once").exists(), "nothing of a stranger's runs by itself");
    let _ = inside("echo once >/workspace/once");
    assert_eq!(fs::read_to_string(folder.join("once")).expect("it was run"), "once\n");
    let ports = ["frame", "ports", "shop", "--preview", "7714", "--json"];
    assert_eq!(world.mimir(&ports).ok().json()["chosen_port"], 7714);

    let _ = world.mimir(&["frame", "destroy", "shop", "--yes"]).ok();
    let _ = world.podman(&["rmi", "-f", &image]);
}

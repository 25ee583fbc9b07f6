//! `mimir open` without a name: a frame is picked at the terminal.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::json;

use super::gateway::{Gateway, json as answer};
use super::terminal::Screen;
use super::world::World;
use super::{details, frame};

/// Two frames, and a tmux that notes what it is asked for.
fn play() -> (World, Gateway, PathBuf) {
    let mut world = World::new();
    let tools = world.folder.path().join("tools");
    std::fs::create_dir(&tools).expect("made");
    let log = tools.join("log");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\n", log.display());
    std::fs::write(tools.join("tmux"), script).expect("written");
    std::process::Command::new("chmod").arg("+x").arg(tools.join("tmux")).status().expect("made executable");
    world.set("PATH", &format!("{}:/usr/bin:/bin", tools.display())).set("TMUX", "/tmp/x,1,0");
    let gateway = world.gateway();
    gateway.on("GET /v1/frames", answer(json!([frame("blog", "running"), frame("shop", "stopped")])));
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/shop", answer(details("shop", "stopped")));
    (world, gateway, log)
}

#[test]
fn a_few_letters_find_a_frame_and_enter_opens_it() {
    let (world, _gateway, log) = play();
    let mut screen = Screen::open(&world, &["open"]);
    screen.until_shown("2 of 2 frames");
    assert!(!screen.echoes(), "raw mode");
    screen.press("sp");
    screen.until_shown("1 of 2 frames");
    screen.press("\r");
    assert_eq!(screen.end(), 0, "{:?}", screen.text());
    assert!(screen.echoes(), "given back");
    assert!(screen.shown().contains("opened shop in a tmux window"), "{}", screen.shown());
    let asked = std::fs::read_to_string(log).expect("tmux was asked");
    assert!(asked.contains("frame attach shop --start"), "{asked}");
}

#[test]
fn esc_and_a_signal_open_nothing() {
    let (world, _gateway, log) = play();
    let mut screen = Screen::open(&world, &["open"]);
    screen.until_shown("2 of 2 frames");
    screen.press("\x1b");
    assert_eq!(screen.end(), 130, "{:?}", screen.text());
    assert!(screen.echoes());
    let mut screen = Screen::open(&world, &["open"]);
    screen.until_shown("2 of 2 frames");
    screen.signal(Signal::TERM);
    assert_eq!(screen.end(), 143, "{:?}", screen.text());
    assert!(screen.echoes());
    assert!(!log.exists(), "no tab");
}

#[test]
fn where_the_folder_names_a_frame_a_list_is_shown_only_when_it_is_asked_for() {
    let (world, gateway, log) = play();
    let mut here = frame("shop", "stopped");
    here["workspace"] = json!(world.work().canonicalize().expect("a folder"));
    here["status"] = json!({"word": "stopped", "queued": 0});
    // The last answer is repeated, and the first one is taken here.
    gateway.on("GET /v1/frames", answer(json!([frame("blog", "running"), here])));
    assert_eq!(world.run(&["frame", "list"]).code, 0);
    let mut screen = Screen::open(&world, &["open", "--pick"]);
    screen.until_shown("▌· shop");
    screen.press("\x1b");
    assert_eq!(screen.end(), 130, "{:?}", screen.text());
    assert!(!log.exists());
    assert_eq!(world.run(&["open"]).code, 0);
    let asked = std::fs::read_to_string(log).expect("tmux was asked");
    assert!(asked.contains("frame attach shop --start"), "{asked}");
}

#[test]
fn without_a_terminal_it_says_which_there_are() {
    let (world, _gateway, log) = play();
    let ran = world.run(&["open"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("`mimir open blog`"), "{ran:?}");
    let ran = world.run(&["open", "--pick"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("`mimir frame list` shows them"), "{ran:?}");
    assert!(!log.exists());
}

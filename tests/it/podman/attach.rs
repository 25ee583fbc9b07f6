//! The terminal of a frame, from real terminals.

use std::time::Duration;

use super::support::{Engine, World, eventually, skip};
use super::terminal::Terminal;

const SCREEN: Duration = Duration::from_secs(60);

fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    match World::new(engine) {
        Ok(world) => {
            let _ = world.mimir(&["frame", "create", "term", "--start"]).ok();
            Some(world)
        }
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

fn tmux(world: &World, args: &[&str]) -> String {
    let mut argv = vec!["frame", "exec", "term", "--", "tmux", "-S", "/run/frame/tmux.sock"];
    argv.extend(args);
    world.mimir(&argv).stdout
}

fn viewers(world: &World) -> Vec<String> {
    tmux(world, &["list-sessions", "-F", "#{session_name}"])
        .lines()
        .filter(|name| name.starts_with("view-"))
        .map(str::to_owned)
        .collect()
}

/// What is typed may be there before a size is, so the shell is asked until it has it.
fn wait_for_size(terminal: &mut Terminal, wanted: &str) {
    eventually("the size", SCREEN, || {
        terminal.type_text("clear; stty size\r");
        std::thread::sleep(Duration::from_millis(300));
        let seen = terminal.text();
        if seen.contains(wanted) { Ok(()) } else { Err(seen) }
    });
}

/// Typing, size, UTF-8 and true colour arrive; detaching ends with 0 and leaves nothing inside.
#[test]
fn a_terminal_works_as_a_terminal() {
    let Some(world) = world("terminal") else { return };
    let mut terminal = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    eventually("the viewer is there", SCREEN, || {
        let seen = viewers(&world);
        if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    // tmux throws away what was typed before it was there, so look first.
    terminal.wait_for_text("2:shell", SCREEN);
    terminal.type_text("echo grüße-$((40+2))\r");
    terminal.wait_for_text("grüße-42", SCREEN);
    // One line is tmux's own.
    wait_for_size(&mut terminal, "29 100");
    terminal.resize(80, 24);
    wait_for_size(&mut terminal, "23 80");

    terminal.type_text("printf '\\033[38;2;1;2;3mRGB\\033[0m\\n'; tput colors\r");
    terminal.wait_for_text("RGB", SCREEN);

    terminal.detach();
    assert_eq!(terminal.exit_code(Duration::from_secs(10)), 0);
    assert!(terminal.text().contains("detached"), "the user is told: {}", terminal.text());
    eventually("no viewer is left", Duration::from_secs(10), || {
        let seen = viewers(&world);
        if seen.is_empty() { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

/// A trap of Podman (docs/traps.md): the process of an exec stays behind when its stream is dropped.
#[test]
fn trap_an_exec_whose_process_stays_behind() {
    let Some(world) = world("exec stays behind") else { return };
    let terminal = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    eventually("the viewer is there", SCREEN, || {
        let seen = viewers(&world);
        if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    terminal.hang_up();
    eventually("neither viewer nor client is left", Duration::from_secs(20), || {
        let seen = format!("{:?} {}", viewers(&world), tmux(&world, &["list-clients"]));
        if seen.trim() == "[]" { Ok(()) } else { Err(seen) }
    });
    let processes = world.mimir(&["frame", "exec", "term", "--", "ps", "-eo", "args"]).ok().stdout;
    assert!(!processes.contains("view-"), "{processes}");
}

/// The same, when the gateway itself is what died.
#[test]
fn viewers_of_a_gateway_that_was_killed_are_cleared_away() {
    let Some(world) = world("viewers of a killed gateway") else { return };
    let mut terminal = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    eventually("the viewer is there", SCREEN, || {
        let seen = viewers(&world);
        if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    world.kill_gateway();
    assert_ne!(terminal.exit_code(Duration::from_secs(20)), 0, "the connection was lost");
    eventually("no viewer is left", Duration::from_secs(30), || {
        let seen = viewers(&world);
        if seen.is_empty() { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

/// Several clients look at the same thing; one that only looks cannot type.
#[test]
fn several_clients_share_a_frame_and_read_only_means_it() {
    let Some(world) = world("several clients") else { return };
    let mut writer = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    let mut reader =
        Terminal::open(&world, &["frame", "attach", "term", "--window", "shell", "--read-only"], 100, 30);
    eventually("both are there", SCREEN, || {
        let seen = viewers(&world);
        if seen.len() == 2 { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    writer.wait_for_text("2:shell", SCREEN);
    reader.wait_for_text("2:shell", SCREEN);
    reader.type_text("echo never-$((1+1))\r");
    writer.type_text("echo both-$((2+3))\r");
    writer.wait_for_text("both-5", SCREEN);
    reader.wait_for_text("both-5", SCREEN);
    assert!(!writer.text().contains("never-2"), "{}", writer.text());
    writer.detach();
    assert_eq!(writer.exit_code(Duration::from_secs(10)), 0);
    reader.detach();
    assert_eq!(reader.exit_code(Duration::from_secs(10)), 0);
}

/// Many times, because it was a matter of milliseconds whether tmux survived it.
#[test]
fn viewers_who_leave_together_end_nothing_but_their_view() {
    let Some(world) = world("viewers who leave together") else { return };
    let server = || tmux(&world, &["display-message", "-p", "#{pid}"]);
    let before = server();
    for _ in 0..6 {
        let mut all: Vec<Terminal> =
            (0..3).map(|_| Terminal::open(&world, &["frame", "attach", "term"], 100, 30)).collect();
        for terminal in &all {
            terminal.wait_for_text("1:agent", SCREEN);
        }
        for terminal in &mut all {
            terminal.detach();
        }
        for terminal in &mut all {
            assert_eq!(terminal.exit_code(Duration::from_secs(20)), 0, "{}", terminal.text());
        }
    }
    assert_eq!(server(), before, "the same tmux");
    eventually("no viewer is left", Duration::from_secs(20), || {
        let seen = viewers(&world);
        if seen.is_empty() { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

/// Attach to a frame that does not run asks, and starts it when told so.
/// The agent owns everything inside, tmux's options too: what a terminal obeys besides drawing does not get out.
#[test]
fn a_hostile_frame_reaches_no_more_of_a_terminal_than_its_screen() {
    let Some(world) = world("terminal escapes") else { return };
    let options = [
        ["set", "-s", "set-clipboard", "on"],
        ["set", "-g", "allow-passthrough", "on"],
        ["set", "-g", "set-titles", "on"],
        ["set", "-g", "set-titles-string", "OWNED-TITLE"],
    ];
    for option in options {
        tmux(&world, &option);
    }
    // The terminal's description is tmux's as well: a capability is whatever text is written into it.
    tmux(&world, &["set", "-as", "terminal-overrides", r",*:civis=\E[6n\E]52;c;T1dORUQtQ0FQUw==\007"]);
    let script = r#"printf '\033]52;c;T1dORUQtQ0xJUA==\007'; printf '\033]2;OWNED-NAME\033\\';
printf '\033Ptmux;\033\033]52;c;T1dORUQtUEFTUw==\007\033\\'; printf '\033[6n\033[c\033[>q\033[21t\005'; echo drawn-$((40+2))"#;
    let _ = world
        .mimir(&[
            "frame",
            "exec",
            "term",
            "--",
            "sh",
            "-c",
            &format!("cat >/tmp/hostile <<'END'\n{script}\nEND"),
        ])
        .ok();
    let mut terminal = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    terminal.wait_for_text("2:shell", SCREEN);
    terminal.type_text("sh /tmp/hostile\r");
    terminal.wait_for_text("drawn-42", SCREEN);
    tmux(&world, &["set-buffer", "-w", "OWNED-BUFFER"]);
    // tmux answers what the script asked, into the shell: that line is thrown away first.
    eventually("the shell goes on", SCREEN, || {
        terminal.type_text("\x03");
        // Ctrl-C takes with it what is typed right behind it.
        std::thread::sleep(Duration::from_millis(300));
        terminal.type_text("echo again-$((1+1))\r");
        std::thread::sleep(Duration::from_millis(500));
        let seen = terminal.text();
        if seen.contains("again-2") { Ok(()) } else { Err(seen) }
    });
    terminal.detach();
    assert_eq!(terminal.exit_code(SCREEN), 0);
    obeys_nothing(&terminal.bytes());

    // A command without a terminal of its own, and one with.
    for args in [
        &["frame", "exec", "term", "--", "sh", "/tmp/hostile"][..],
        &["frame", "exec", "--tty", "term", "--", "sh", "/tmp/hostile"],
    ] {
        let mut terminal = Terminal::open(&world, args, 100, 30);
        terminal.wait_for_text("drawn-42", SCREEN);
        assert_eq!(terminal.exit_code(SCREEN), 0);
        obeys_nothing(&terminal.bytes());
    }
    // What goes into a pipe is as it is.
    let piped = world.mimir(&["frame", "exec", "term", "--", "sh", "/tmp/hostile"]).ok();
    assert!(piped.stdout.contains("\x1b]52;c;T1dORUQtQ0xJUA==\x07"), "{piped:?}");
}

/// No string for the terminal itself, and no question that it would answer by typing.
#[track_caller]
fn obeys_nothing(sent: &[u8]) {
    let shown = String::from_utf8_lossy(sent);
    for hostile in [
        "\x1b]",
        "\x1bP",
        "\x1b_",
        "\x1b^",
        "\x1bX",
        "\x1b[c",
        "\x1b[>",
        "\x1b[6n",
        "\x1b[21t",
        "\x05",
        "OWNED-TITLE",
    ] {
        let is_key_mode = |at: usize| shown[at..].starts_with("\x1b[>4");
        let found = shown.match_indices(hostile).find(|(at, _)| !is_key_mode(*at));
        assert!(
            found.is_none(),
            "{hostile:?} was sent to the terminal: {:?}",
            found.map(|(at, _)| &shown[at..])
        );
    }
}

#[test]
fn attaching_to_a_stopped_frame_offers_to_start_it() {
    let Some(world) = world("attach starts") else { return };
    let _ = world.mimir(&["frame", "stop", "term"]).ok();
    let mut terminal = Terminal::open(&world, &["frame", "attach", "term", "--window", "shell"], 100, 30);
    terminal.wait_for_text("[Y/n]", SCREEN);
    terminal.type_text("y\r");
    eventually("the viewer is there", SCREEN, || {
        let seen = viewers(&world);
        if seen.len() == 1 { Ok(()) } else { Err(format!("{seen:?} {}", terminal.text())) }
    });
    terminal.wait_for_text("2:shell", SCREEN);
    terminal.detach();
    assert_eq!(terminal.exit_code(Duration::from_secs(10)), 0);
}

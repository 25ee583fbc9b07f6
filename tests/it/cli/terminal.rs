//! `mimir frame attach`, `exec` and `open`, in a real pseudo-terminal where one is needed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::gateway::{Answer, json as answer, problem};
use super::world::World;
use super::{details, frame};

/// A terminal with a command in it.
pub struct Screen {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    seen: Arc<Mutex<Vec<u8>>>,
    columns: u16,
}

impl Screen {
    pub fn open(world: &World, words: &[&str]) -> Self {
        Self::sized(world, words, 80)
    }

    /// One that is so wide.
    pub fn sized(world: &World, words: &[&str], columns: u16) -> Self {
        Self::with(world.env(), &world.work(), words, columns)
    }

    /// One with that environment, in that folder.
    pub fn with(env: &BTreeMap<String, String>, folder: &Path, words: &[&str], columns: u16) -> Self {
        let size = PtySize { rows: 24, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_mimir"));
        command.args(words);
        command.env_clear();
        for (name, value) in env {
            command.env(name, value);
        }
        command.cwd(folder);
        let child = pair.slave.spawn_command(command).expect("starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let keys = pair.master.take_writer().expect("a writer");
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let seen_too = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 {
                    return;
                }
                seen_too.lock().extend_from_slice(&buffer[..read]);
            }
        });
        Self { master: pair.master, keys, child, seen, columns }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock()).into_owned()
    }

    /// What a person would see.
    pub fn shown(&self) -> String {
        let size = |n: u16| NonZero::new(n).expect("some");
        let mut parser = vt100::Parser::new(size(24), size(self.columns), 0);
        parser.process(&self.seen.lock());
        parser.screen().contents()
    }

    pub fn until(&self, what: &str) {
        let begun = Instant::now();
        while !self.text().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no `{what}` in {:?}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a person sees that.
    pub fn until_shown(&self, what: &str) {
        let begun = Instant::now();
        while !self.shown().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no `{what}` on\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes it so wide.
    pub fn resize(&mut self, columns: u16) {
        self.columns = columns;
        let size = PtySize { rows: 24, cols: columns, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).expect("resized");
    }

    /// The id of the command that runs in it.
    pub fn pid(&self) -> i32 {
        self.child.process_id().and_then(|id| i32::try_from(id).ok()).expect("an id")
    }

    /// Sends the command that runs in it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("an id");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("pressed");
        self.keys.flush().expect("pressed");
    }

    pub fn end(&mut self) -> u32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                std::thread::sleep(Duration::from_millis(50));
                return status.exit_code();
            }
            if begun.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
                panic!("it did not end: {:?}", self.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the terminal echoes, as it does when nobody has put it into raw mode.
    pub fn echoes(&self) -> bool {
        const ECHO: u32 = 0o10;
        self.master.get_termios().expect("settings").local_flags.bits() & ECHO != 0
    }
}

#[test]
fn attach_passes_keys_and_sizes_on_and_gives_the_terminal_back() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut screen = Screen::open(&world, &["frame", "attach", "blog", "--window", "shell", "--read-only"]);
    screen.until("ready");
    assert!(!screen.echoes(), "raw mode");
    screen.press("a");
    screen.until("got a");
    // Ctrl-G comes back as it is, Ctrl-C is no character for a terminal.
    screen.press("\x03\x07");
    screen.until("got \u{7}");
    screen.master.resize(PtySize { rows: 30, cols: 100, pixel_width: 0, pixel_height: 0 }).expect("resized");
    screen.until("now 100x30");
    screen.press("q");
    assert_eq!(screen.end(), 0, "{:?}", screen.text());
    assert!(screen.echoes(), "given back");
    assert!(screen.text().contains("left blog"), "{:?}", screen.text());
    let opened = gateway.asked().into_iter().find(|asked| asked.line.ends_with("/terminal")).expect("opened");
    for part in ["columns=80", "rows=24", "window=shell", "read_only=true", "term=xterm-256color"] {
        assert!(opened.query.contains(part), "{}", opened.query);
    }
}

#[test]
fn a_gateway_that_dies_gives_the_terminal_back_too() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::BrokenTerminal);
    let mut screen = Screen::open(&world, &["frame", "attach", "blog"]);
    assert_eq!(screen.end(), 5, "{:?}", screen.text());
    assert!(screen.echoes());
    assert!(screen.text().contains("\x1b[?1049l"), "the second screen is left: {:?}", screen.text());
    assert!(screen.shown().contains("mimir frame attach blog"), "{}", screen.shown());
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut screen = Screen::open(&world, &["frame", "attach", "blog"]);
    screen.until("ready");
    screen.signal(rustix::process::Signal::TERM);
    assert_eq!(screen.end(), 143);
    assert!(screen.echoes());
}

#[test]
fn attach_offers_to_start_a_stopped_frame() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "stopped")));
    gateway.on("POST /v1/frames/blog/start", answer(frame("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut no = Screen::open(&world, &["frame", "attach", "blog"]);
    no.until("Start it?");
    no.press("n\r");
    assert_eq!(no.end(), 1);
    assert!(!gateway.asked().iter().any(|asked| asked.line.starts_with("POST")));
    let mut yes = Screen::open(&world, &["frame", "attach", "blog"]);
    yes.until("Start it?");
    yes.press("\r");
    yes.until("ready");
    yes.press("q");
    assert_eq!(yes.end(), 0);
}

#[test]
fn a_command_gets_its_input_and_its_exit_code_is_passed_through() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let piped = world.run_with_input(&["frame", "exec", "blog", "--", "cat", "a b"], "hello");
    assert_eq!(piped.code, 3, "{piped:?}");
    assert!(piped.stdout.contains("got hello"), "{piped:?}");
    assert_eq!(piped.stderr, "no more input\n", "errors stay apart");
    let opened = gateway.asked().into_iter().find(|asked| asked.line.ends_with("/terminal")).expect("opened");
    assert!(opened.query.contains("no_tty=true") && opened.query.contains("a+b"), "{}", opened.query);
    let failed = world.run_with_input(&["frame", "exec", "blog", "--", "x"], "x");
    assert_eq!((failed.code, failed.stderr.as_str()), (7, "went wrong\n"));
    let empty = world.run(&["frame", "exec", "blog", "--", "true"]);
    assert_eq!(empty.code, 3, "no input is the end of input");
}

#[test]
fn a_command_with_a_terminal_has_the_keys() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut screen = Screen::open(&world, &["frame", "exec", "blog", "--tty", "--", "sh"]);
    screen.until("ready");
    assert!(!screen.echoes());
    screen.press("x");
    assert_eq!(screen.end(), 7);
    assert!(screen.echoes());
}

#[test]
fn without_the_gateway_there_is_a_command_to_copy() {
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    let ran = world.run(&["frame", "attach", "blog", "--print", "--window", "agent"]);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.stdout,
        "podman exec --interactive --tty mimir-frm_01k0000000000000000000000a tmux -S /run/frame/tmux.sock attach-session -t main:agent\n"
    );
}

#[test]
fn open_runs_attach_in_a_window_of_the_tmux_around_us() {
    let mut world = World::new();
    let tools = world.folder.path().join("tools");
    std::fs::create_dir(&tools).expect("made");
    let log = tools.join("log");
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\n", log.display());
    std::fs::write(tools.join("tmux"), script).expect("written");
    std::process::Command::new("chmod").arg("+x").arg(tools.join("tmux")).status().expect("made executable");
    let own = world.folder.path().join("own").display().to_string();
    world
        .set("PATH", &format!("{}:/usr/bin:/bin", tools.display()))
        .set("TMUX", "/tmp/x,1,0")
        .set("MIMIR_HOME", &own);
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/nope", problem(404, "frame.not_found", "there is no frame `nope`"));
    let ran = world.run(&["open", "blog", "--window", "shell"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let asked = std::fs::read_to_string(&log).expect("tmux was asked");
    assert!(asked.starts_with("new-window\n-n\nblog\n"), "{asked}");
    assert!(asked.contains("frame attach blog --start --window shell"), "{asked}");
    assert!(
        asked.contains(&format!("env 'MIMIR_HOME={own}' ")),
        "tmux has an environment of its own: {asked}"
    );
    assert!(
        asked.ends_with("\n;\nset-option\n-w\n@mimir_frame\nfrm_01k0000000000000000000000a\n"),
        "{asked}"
    );
    std::fs::remove_file(&log).expect("removed");
    assert_eq!(world.run(&["open", "nope"]).code, 3);
    assert!(!log.exists(), "no tab for a frame that is not there");
    let printed = world.run(&["open", "blog", "--terminal", "tmux", "--print"]);
    assert!(printed.stdout.starts_with("tmux new-window -n blog "), "{}", printed.stdout);
}

/// A tmux of somebody's own, with a window that happens to have the frame's name.
#[test]
fn a_tmux_window_is_the_frames_by_what_was_noted_and_not_by_its_name() {
    let mut world = World::new();
    let socket = world.folder.path().join("tmux.sock");
    let env = world.env().clone();
    let tmux = |words: &[&str]| {
        // What it runs looks for mimir's home as its environment says: never in that of who runs the tests.
        let ran = std::process::Command::new("tmux")
            .env_clear()
            .envs(&env)
            .arg("-S")
            .arg(&socket)
            .args(words)
            .output();
        ran.ok()
            .filter(|ran| ran.status.success())
            .map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let begin = ["-f", "/dev/null", "new-session", "-d", "-s", "mine", "-n", "blog", "sleep 600"];
    if tmux(&begin).is_none() {
        let test = "a_tmux_window_is_the_frames_by_what_was_noted_and_not_by_its_name";
        return crate::podman::support::skip(test, "tmux is not installed");
    }
    let _ = tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    world.set("TMUX", &format!("{},1,0", socket.display()));
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    let windows = || tmux(&["list-windows", "-F", "#{window_index} #{window_active} #{@mimir_frame}"]);
    let id = "frm_01k0000000000000000000000a";

    let first = world.run(&["open", "blog", "--terminal", "tmux"]);
    assert!(first.code == 0 && first.stderr.contains("opened blog in a tmux window"), "{first:?}");
    assert_eq!(windows(), Some(format!("0 0 \n1 1 {id}\n")));
    let _ = tmux(&["rename-window", "-t", "=mine:1", "whatever"]);
    let _ = tmux(&["select-window", "-t", "=mine:0"]);
    let again = world.run(&["open", "blog", "--terminal", "tmux"]);
    assert!(again.code == 0 && again.stderr.contains("that was there"), "{again:?}");
    assert_eq!(windows(), Some(format!("0 0 \n1 1 {id}\n")), "no third window, and it is in front");
    let _ = tmux(&["kill-server"]);
}

#[test]
fn inside_another_tmux_attach_says_how_to_leave_the_inner_one() {
    let mut world = World::new();
    let tools = world.folder.path().join("tools");
    std::fs::create_dir(&tools).expect("made");
    let log = tools.join("log");
    // It listens to the same keys as the one in a frame.
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >> {}\n[ $1 = show-options ] && echo C-b\n", log.display());
    std::fs::write(tools.join("tmux"), script).expect("written");
    std::process::Command::new("chmod").arg("+x").arg(tools.join("tmux")).status().expect("made executable");
    world.set("PATH", &format!("{}:/usr/bin:/bin", tools.display())).set("TMUX", "/tmp/x,1,0");
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    gateway.on("GET /v1/frames/blog/terminal", Answer::Terminal);
    let mut screen = Screen::open(&world, &["frame", "attach", "blog"]);
    screen.until("C-b C-b d leaves blog");
    screen.until("ready");
    let told = std::fs::read_to_string(&log).expect("tmux was asked");
    assert!(told.contains("display-message\n-d\n8000\nC-b C-b d leaves blog"), "{told}");
    screen.press("q");
    assert_eq!(screen.end(), 0);
}

/// Over ssh, say: no program with a window is started, and nothing of Gtk is printed.
#[test]
fn without_a_display_a_sentence_comes_instead_of_a_window() {
    let mut world = World::new();
    let tools = world.folder.path().join("tools");
    std::fs::create_dir(&tools).expect("made");
    let ran = tools.join("ran");
    for program in ["guake", "gnome-terminal"] {
        let script = format!("#!/bin/sh\necho Gtk: cannot open display >&2\n: >{}\n", ran.display());
        std::fs::write(tools.join(program), script).expect("written");
        std::process::Command::new("chmod")
            .arg("+x")
            .arg(tools.join(program))
            .status()
            .expect("made executable");
    }
    // Whoever runs the tests may have a Guake that runs.
    let no_bus = format!("unix:path={}", tools.join("no-bus").display());
    world.set("PATH", &format!("{}:/usr/bin:/bin", tools.display())).set("DBUS_SESSION_BUS_ADDRESS", &no_bus);
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    for (terminal, name) in [("guake", "Guake"), ("gnome", "GNOME Terminal")] {
        let refused = world.run(&["open", "blog", "--terminal", terminal]);
        assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
        let sentence = format!("{name} needs a display, and there is none");
        assert!(refused.stderr.contains(&sentence), "{refused:?}");
        assert!(refused.stderr.contains("mimir frame attach"), "what to do instead: {refused:?}");
        assert!(!refused.stderr.contains("Gtk") && !ran.exists(), "{refused:?}");
    }
}

/// The real Guake on a screen that nobody sees.
#[test]
fn guake_makes_one_tab_for_a_frame_and_shows_it_again() {
    let test = "guake_makes_one_tab_for_a_frame_and_shows_it_again";
    for program in ["guake", "xvfb-run", "dbus-run-session", "gdbus"] {
        let found = std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            return crate::podman::support::skip(test, &format!("{program} is not installed"));
        }
    }
    let world = World::new();
    let gateway = world.gateway();
    gateway.on("GET /v1/frames/blog", answer(details("blog", "running")));
    // One that runs already has its own tab, which somebody gave the frame's name.
    let script = r#"
guake >/dev/null 2>&1 &
ask() { gdbus call --session --dest org.guake3.RemoteControl --object-path /org/guake3/RemoteControl --method org.guake3.RemoteControl.$1 $2; }
n=0; until ask get_tab_count >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 200 ] || exit 9; sleep 0.1; done
ask rename_tab "0 blog"
"$MIMIR" open blog --terminal guake || exit 8
ask rename_tab "1 mine"
ask select_tab 0
env -u DISPLAY "$MIMIR" open blog --terminal guake || exit 7
ask get_tab_name 0; ask get_tab_name 1; ask get_tab_name 2 2>/dev/null || echo "no third"
ask get_selected_tab
ask quit
"#;
    let ran = std::process::Command::new("xvfb-run")
        .args(["-a", "dbus-run-session", "--", "sh", "-c", script])
        .envs(world.env())
        .env("MIMIR", env!("CARGO_BIN_EXE_mimir"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let is_answer = |line: &&str| line.starts_with("('") || line.starts_with("(1") || *line == "no third";
    let tabs: Vec<&str> = said.lines().filter(is_answer).collect();
    assert_eq!(tabs, ["('blog',)", "('mine',)", "no third", "(1,)"], "{said}");
}

//! A home of its own for each test, and the executable run in it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mimir::config::Paths;

use super::described;
use super::gateway::Gateway;

/// No command of these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(40);

/// Folders and an environment.
pub struct World {
    pub folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// An empty home.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["home", "run", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let env = BTreeMap::from([
            ("HOME".to_owned(), at("home")),
            ("XDG_RUNTIME_DIR".to_owned(), at("run")),
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("TERM".to_owned(), "xterm-256color".to_owned()),
        ]);
        Self { folder, env }
    }

    /// Where things are.
    pub fn paths(&self) -> Paths {
        Paths::find(&self.env).expect("a home")
    }

    /// Whether the environment names a home.
    pub fn has_home(&self) -> bool {
        self.env.get("HOME").is_some_and(|home| !home.is_empty())
    }

    /// The folder that commands run in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) -> &Self {
        std::fs::create_dir_all(self.paths().home()).expect("made");
        std::fs::write(self.paths().config_file(), text).expect("written");
        self
    }

    /// A scripted gateway where commands look for one.
    pub fn gateway(&self) -> Gateway {
        Gateway::listen(&self.paths().gateway_socket())
    }

    /// The executable, not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mimir"));
        command
            .args(words)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The environment of the executable.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        let ran = finish(self.command(words).spawn().expect("starts"));
        described::check(words, &ran.stdout, &ran.stderr);
        ran
    }

    /// Runs a command that is given that input.
    pub fn run_with_input(&self, words: &[&str], input: &str) -> Ran {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().expect("starts");
        // A command that ends without reading is no failure of this.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        finish(child)
    }

    /// Text with this world's folders and ids taken out.
    pub fn redacted(&self, text: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let mut text = text.replace(&folder, "");
        if self.has_home() {
            let socket = self.paths().gateway_socket();
            let socket = socket.strip_prefix(self.folder.path()).expect("inside").display().to_string();
            text = text.replace(&format!("/{socket}"), "/run/mimir/[HASH]/gateway.sock");
        }
        let exe = env!("CARGO_BIN_EXE_mimir");
        text.replace(exe, "mimir").replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
    }
}

/// Waits for the end; kills what does not come to it.
pub fn finish(mut child: Child) -> Ran {
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut stderr = child.stderr.take().expect("a pipe");
    let out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if begun.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (out.join().expect("read"), err.join().expect("read"));
    let status = status.unwrap_or_else(|| panic!("it did not end\nstdout: {stdout}\nstderr: {stderr}"));
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("an end");
    Ran { code, stdout, stderr }
}

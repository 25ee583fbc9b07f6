//! Finding a container engine on this machine, and starting its service where only the program is there.

pub mod machine;
mod service;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use machine::Machine;
pub use service::Service;

/// How long a small question to the engine's program may take.
const SHORT: Duration = Duration::from_secs(30);

/// Where to look for an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// From the configuration: a path or a `unix://` address. Nothing else is tried then.
    pub socket: Option<String>,
    /// `CONTAINER_HOST`, Podman's own variable. Nothing else is tried then either.
    pub container_host: Option<String>,
    /// `XDG_RUNTIME_DIR`, where an ordinary user's socket is.
    pub runtime_dir: Option<PathBuf>,
    /// The home folder, where an ordinary user's images and settings are.
    pub home: Option<PathBuf>,
    /// `PATH`, where the program is looked for.
    pub search_path: OsString,
    /// The engine's program, if it is not called `podman`.
    pub program: Option<String>,
    /// mimir's own runtime folder: the socket and log of a service that we start ourselves. Must exist.
    pub folder: PathBuf,
    /// What runs containers below the engine, by its name there; the engine's own choice when absent.
    pub runtime: Option<String>,
    /// Our user id.
    pub uid: u32,
}

impl EngineSettings {
    /// What this process was started with.
    #[must_use]
    pub fn of_this_process(socket: Option<String>, folder: PathBuf) -> Self {
        let path_of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            socket,
            container_host: std::env::var("CONTAINER_HOST").ok().filter(|value| !value.is_empty()),
            runtime_dir: path_of("XDG_RUNTIME_DIR"),
            home: path_of("HOME"),
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            program: None,
            folder,
            runtime: None,
            uid: rustix::process::getuid().as_raw(),
        }
    }

    /// The socket of a service that we start ourselves.
    #[must_use]
    pub fn own_socket(&self) -> PathBuf {
        self.folder.join("engine.sock")
    }

    /// What that service prints.
    #[must_use]
    pub fn own_log(&self) -> PathBuf {
        self.folder.join("engine.log")
    }

    /// The one socket that somebody named, and who did.
    fn named_socket(&self) -> Option<(PathBuf, &'static str)> {
        let path = |text: &str| PathBuf::from(text.strip_prefix("unix://").unwrap_or(text));
        let configured = self.socket.as_deref().map(|text| (path(text), "the configuration"));
        configured.or_else(|| self.container_host.as_deref().map(|text| (path(text), "CONTAINER_HOST")))
    }

    /// Sockets that systemd or a person may have set up, best first.
    fn usual_sockets(&self) -> Vec<PathBuf> {
        if self.uid == 0 {
            return vec![PathBuf::from("/run/podman/podman.sock")];
        }
        let usual = PathBuf::from(format!("/run/user/{}", self.uid));
        let folder = self.runtime_dir.as_ref().unwrap_or(&usual);
        vec![folder.join("podman/podman.sock")]
    }

    /// A program in `PATH`; the system's own folders are searched too, since cron and sudo leave them out.
    #[must_use]
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        let usual = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&self.search_path)
            .chain(usual)
            .map(|folder| folder.join(name))
            .find(|file| file.is_absolute() && is_program(file))
    }
}

/// Whether that is the complaint which `podman system migrate` ends.
fn is_stale(said: &str) -> bool {
    said.contains("podman system migrate")
}

fn is_program(file: &Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file()
}

/// The engine's program with the flags that this machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineCommand {
    /// Absolute.
    pub program: PathBuf,
    /// Before every subcommand.
    pub flags: Vec<String>,
    /// Why, for doctor.
    pub notes: Vec<String>,
}

impl EngineCommand {
    /// The program on this machine, if it is installed.
    #[must_use]
    pub fn find(settings: &EngineSettings) -> Option<Self> {
        let program = settings.find_program(settings.program.as_deref().unwrap_or("podman"))?;
        let (flags, notes) = machine::special_flags(&Machine::look(settings));
        Some(Self { program, flags, notes })
    }

    /// Makes an engine without root usable again whose processes are gone: after a reboot that kept `/tmp`, or when
    /// everything of the user was killed. Until then it refuses every call (Podman 4.3.1: "invalid internal status,
    /// try resetting the pause process with podman system migrate"). Does nothing to an engine that is well.
    pub async fn ensure_usable(&self) {
        let asked = self.within_a_while(&["image", "exists", "localhost/mimir-frame"]).await;
        if asked.is_some_and(|said| is_stale(&said)) {
            tracing::warn!(
                "Podman's processes of this user are gone; `podman system migrate` makes it forget them"
            );
            self.within_a_while(&["system", "migrate"]).await;
        }
    }

    /// What such a call printed on standard error; none when it cannot be run.
    async fn within_a_while(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.command();
        command.args(arguments).current_dir("/").stdin(std::process::Stdio::null()).kill_on_drop(true);
        let done = tokio::time::timeout(SHORT, command.output()).await.ok()?.ok()?;
        Some(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// A call of it, with its subcommand still to be added.
    #[must_use]
    pub fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.flags);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(uid: u32) -> EngineSettings {
        EngineSettings {
            socket: None,
            container_host: None,
            runtime_dir: Some(PathBuf::from("/run/user/1001")),
            home: None,
            search_path: OsString::new(),
            program: None,
            folder: PathBuf::from("/run/user/1001/mimir"),
            runtime: None,
            uid,
        }
    }

    #[test]
    fn root_and_others_have_their_own_sockets() {
        assert_eq!(settings(0).usual_sockets(), [PathBuf::from("/run/podman/podman.sock")]);
        assert_eq!(settings(7).usual_sockets(), [PathBuf::from("/run/user/1001/podman/podman.sock")]);
    }

    #[test]
    fn the_configuration_beats_the_environment() {
        let mut settings = settings(7);
        assert_eq!(settings.named_socket(), None);
        settings.container_host = Some("unix:///a".to_owned());
        assert_eq!(settings.named_socket(), Some((PathBuf::from("/a"), "CONTAINER_HOST")));
        settings.socket = Some("/b".to_owned());
        assert_eq!(settings.named_socket(), Some((PathBuf::from("/b"), "the configuration")));
    }

    #[test]
    fn the_complaint_of_lost_processes_is_known() {
        let said = "level=error msg=\"invalid internal status, try resetting the pause process with \\\"/usr/bin/podman \
                    system migrate\\\": could not find any running process: no such process\"";
        assert!(is_stale(said));
        assert!(!is_stale("Error: inspecting object: no such image"));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_no_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("podman-xyz"), "").unwrap();
        let mut settings = settings(7);
        settings.search_path = folder.path().into();
        assert_eq!(settings.find_program("podman-xyz"), None);
        assert!(settings.find_program("sh").is_some(), "the usual folders are searched as well");
    }
}

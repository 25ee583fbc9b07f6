//! While another program has the terminal: one that we began, or the shell that we were stopped in.

use std::io::{self, Write};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{Ui, UiError};
use crate::effect::{Effect, Heard};

/// Keys that come so soon after another program had the terminal were meant for that.
const DEAF_MS: u64 = 300;
/// How long a program that has the terminal may take to end.
const TO_END: Duration = Duration::from_secs(3);

impl Ui {
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.keyboard.hold();
        self.screen.step_aside();
        let stopped = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
        self.come_back()?;
        stopped.map_err(Into::into)
    }

    /// Takes the terminal again. What was typed until now was for another program.
    fn come_back(&mut self) -> io::Result<()> {
        self.screen.come_back()?;
        self.app.size = crossterm::terminal::size()?;
        self.keyboard.forget()?;
        while self.keys.try_recv().is_ok() {}
        self.app.now_ms = (self.settings.now_ms)();
        self.deaf_until = self.app.now_ms + DEAF_MS;
        self.keyboard.go_on();
        Ok(())
    }

    /// Runs `mimir` with these arguments in this terminal. What happens meanwhile is taken in, and not drawn.
    pub(super) async fn step_aside(&mut self, arguments: &[String], wait: bool) -> Result<(), UiError> {
        self.keyboard.hold();
        self.screen.step_aside();
        if wait {
            let words = shlex::try_join(arguments.iter().map(String::as_str)).unwrap_or_default();
            let _ = writeln!(io::stdout(), "$ mimir {words}");
        }
        let begun = Command::new(&self.settings.program)
            .args(arguments)
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .kill_on_drop(false)
            .spawn();
        let is_good = match begun {
            Ok(child) => self.attend(child).await?,
            Err(error) => {
                let program = self.settings.program.display();
                let _ = writeln!(io::stdout(), "{program} cannot be run: {error}");
                false
            }
        };
        // What failed is read before the screen covers it.
        if wait || !is_good {
            let _ = write!(io::stdout(), "\n(back with any key) ");
            let _ = io::stdout().flush();
            crossterm::terminal::enable_raw_mode()?;
            self.keyboard.forget()?;
            while !self.keyboard.was_pressed()? {
                tokio::select! {
                    () = sleep(Duration::from_millis(30)) => {}
                    Some(heard) = self.heard.recv() => self.hear_aside(heard),
                    number = self.signals.next() => return Err(UiError::Signal(number)),
                }
            }
        }
        self.come_back()?;
        // Much may have happened.
        self.app.talk.forget_live();
        for effect in self.app.read_all() {
            if let Effect::Read(read) = effect {
                self.worker.read(read);
            }
        }
        if let Some(Effect::FollowLog(frame)) = self.app.follow_log() {
            self.worker.follow_log(frame);
        }
        Ok(())
    }

    /// Takes in what was heard while another program has the terminal. Everything is read when the screen comes back.
    fn hear_aside(&mut self, heard: Heard) {
        for effect in self.app.hear(heard) {
            if let Effect::FollowLog(frame) = effect {
                self.worker.follow_log(frame);
            }
        }
    }

    /// Waits for a program that has the terminal; says whether it ended well.
    async fn attend(&mut self, mut child: Child) -> Result<bool, UiError> {
        loop {
            tokio::select! {
                ended = child.wait() => return Ok(ended.is_ok_and(|status| status.success())),
                Some(heard) = self.heard.recv() => self.hear_aside(heard),
                number = self.signals.next() => {
                    // It is to give the terminal back as well as it can.
                    let id = child.id().and_then(|id| i32::try_from(id).ok());
                    if let Some(pid) = id.and_then(rustix::process::Pid::from_raw) {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                    }
                    if timeout(TO_END, child.wait()).await.is_err() {
                        let _ = child.start_kill();
                        let _ = timeout(TO_END, child.wait()).await;
                    }
                    return Err(UiError::Signal(number));
                }
            }
        }
    }
}

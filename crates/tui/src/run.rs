//! The loop: what is heard changes the screen, keys become effects, effects are done.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crossterm::event::{Event, KeyEventKind};
use mimir_client::GatewayClient;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{App, CommandLine};
use crate::effect::{Effect, Heard, Read};
use crate::keyboard::Keyboard;
use crate::press::press;
use crate::terminal::Screen;
use crate::theme::Theme;
use crate::view::{Kept, draw};
use crate::work::Worker;

/// Ages, and what nobody tells, are looked at so often.
const TICK: Duration = Duration::from_secs(1);
/// So many ticks between two looks at everything, for what no event tells.
const LOOK: u64 = 30;

/// What the dashboard is told.
pub struct Settings {
    /// The gateway.
    pub gateway: GatewayClient,
    /// Its address, when it is elsewhere.
    pub elsewhere: Option<String>,
    /// Whether there is colour.
    pub color: bool,
    /// This program, for what has a command of its own.
    pub program: PathBuf,
    /// The folder that a new frame is for.
    pub folder: String,
    /// What can be typed behind `:`.
    pub commands: Vec<CommandLine>,
    /// UTC milliseconds.
    pub now_ms: fn() -> u64,
    /// A key that is like no other.
    pub key: fn() -> String,
}

/// Why it ended before somebody wanted it to.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// Standard input or output is no terminal, or it is gone.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
    /// A signal; its number.
    #[error("ended by signal {0}")]
    Signal(u8),
}

/// Shows the dashboard until somebody leaves it.
///
/// # Errors
/// [`UiError`]; the terminal is as it was before in every case.
pub async fn run(settings: Settings) -> Result<(), UiError> {
    LocalSet::new().run_until(show(settings)).await
}

async fn show(settings: Settings) -> Result<(), UiError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    // Of a program that has the terminal for a while; ours comes as a key.
    let _interrupts = signal(SignalKind::interrupt())?;
    let _quits = signal(SignalKind::quit())?;
    let (tell_key, mut keys) = unbounded_channel();
    let (tell, mut heard) = unbounded_channel();
    let mut app =
        App::new(Theme { color: settings.color }, settings.folder.clone(), settings.commands.clone());
    app.elsewhere.clone_from(&settings.elsewhere);
    app.now_ms = (settings.now_ms)();
    app.size = crossterm::terminal::size()?;
    let screen = Screen::take()?;
    let keyboard = Keyboard::begin(tell_key)?;
    let worker = Worker::new(settings.gateway.clone(), tell, settings.key);
    worker.follow();
    let mut ui = Ui { settings, app, kept: Kept::default(), screen, keyboard, worker };
    let begin = ui.app.read_all();
    ui.perform(begin, &mut keys).await?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticked: u64 = 0;
    ui.draw()?;
    loop {
        let is_over = tokio::select! {
            biased;
            _ = terminated.recv() => return Err(UiError::Signal(15)),
            _ = hung_up.recv() => return Err(UiError::Signal(1)),
            key = keys.recv() => match key {
                Some(key) => ui.on_keys(key, &mut keys).await?,
                None => return Err(UiError::Signal(1)),
            },
            Some(first) = heard.recv() => {
                ui.app.now_ms = (ui.settings.now_ms)();
                ui.on_heard(first, &mut heard, &mut keys).await?
            }
            _ = ticks.tick() => {
                ticked += 1;
                ui.on_tick(ticked, &mut keys).await?
            }
        };
        if is_over {
            return Ok(());
        }
        ui.draw()?;
    }
}

struct Ui {
    settings: Settings,
    app: App,
    kept: Kept,
    screen: Screen,
    keyboard: Keyboard,
    worker: Worker,
}

impl Ui {
    fn draw(&mut self) -> io::Result<()> {
        let (app, kept) = (&self.app, &mut self.kept);
        self.screen.terminal.draw(|frame| draw(app, kept, frame)).map(drop)
    }

    /// A key, and those that came with it: what is pasted without marks is drawn once.
    async fn on_keys(&mut self, first: Event, keys: &mut UnboundedReceiver<Event>) -> io::Result<bool> {
        let mut next = Some(first);
        while let Some(event) = next {
            self.app.now_ms = (self.settings.now_ms)();
            let effects = press(&mut self.app, &event);
            if self.perform(effects, keys).await? {
                return Ok(true);
            }
            next = keys.try_recv().ok();
        }
        Ok(false)
    }

    /// What was heard, and what came with it.
    async fn on_heard(
        &mut self,
        first: Heard,
        heard: &mut UnboundedReceiver<Heard>,
        keys: &mut UnboundedReceiver<Event>,
    ) -> io::Result<bool> {
        let mut next = Some(first);
        // A stream that is faster than we draw does not keep the keys waiting.
        for _ in 0..1_000 {
            let Some(one) = next else { break };
            let effects = self.app.hear(one);
            if self.perform(effects, keys).await? {
                return Ok(true);
            }
            next = heard.try_recv().ok();
        }
        if let Some(one) = next {
            let effects = self.app.hear(one);
            return self.perform(effects, keys).await;
        }
        Ok(false)
    }

    async fn on_tick(&mut self, ticked: u64, keys: &mut UnboundedReceiver<Event>) -> io::Result<bool> {
        self.app.now_ms = (self.settings.now_ms)();
        self.app.tick();
        let mut effects: Vec<Effect> = Vec::new();
        if ticked.is_multiple_of(2) {
            effects.extend(self.app.look_again());
        }
        if ticked.is_multiple_of(LOOK) {
            effects
                .extend([Read::Frames, Read::Approvals, Read::Schedules, Read::Spending].map(Effect::Read));
        }
        self.perform(effects, keys).await
    }

    /// Does it. True when the program ends.
    async fn perform(
        &mut self,
        effects: Vec<Effect>,
        keys: &mut UnboundedReceiver<Event>,
    ) -> io::Result<bool> {
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Suspend => self.suspend()?,
                Effect::StepAside { arguments, wait } => self.step_aside(&arguments, wait, keys).await?,
                Effect::Change(ask) => self.worker.ask(ask),
                Effect::Read(read) => self.worker.read(read),
                Effect::FollowLog(frame) => self.worker.follow_log(frame),
            }
        }
        Ok(false)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.keyboard.hold();
        self.screen.step_aside();
        let stopped = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
        self.keyboard.go_on();
        self.come_back()?;
        stopped.map_err(Into::into)
    }

    fn come_back(&mut self) -> io::Result<()> {
        self.screen.come_back()?;
        self.app.size = crossterm::terminal::size()?;
        Ok(())
    }

    /// Runs `mimir` with these arguments in this terminal.
    async fn step_aside(
        &mut self,
        arguments: &[String],
        wait: bool,
        keys: &mut UnboundedReceiver<Event>,
    ) -> io::Result<()> {
        self.keyboard.hold();
        self.screen.step_aside();
        if wait {
            let words = shlex::try_join(arguments.iter().map(String::as_str)).unwrap_or_default();
            let _ = writeln!(io::stdout(), "$ mimir {words}");
        }
        let ended = Command::new(&self.settings.program)
            .args(arguments)
            .stdin(Stdio::inherit())
            .stdout(Stdio::inherit())
            .stderr(Stdio::inherit())
            .kill_on_drop(false)
            .status()
            .await;
        let code = match &ended {
            Ok(status) => status.code().unwrap_or(1),
            Err(error) => {
                self.app.say(format!("{} cannot be run: {error}", self.settings.program.display()), true);
                1
            }
        };
        // What failed is read before the screen covers it.
        if wait || code != 0 {
            let _ = write!(io::stdout(), "\n(back with any key) ");
            let _ = io::stdout().flush();
            crossterm::terminal::enable_raw_mode()?;
            self.keyboard.go_on();
            while let Some(event) = keys.recv().await {
                if matches!(event, Event::Key(key) if key.kind != KeyEventKind::Release) {
                    break;
                }
            }
        } else {
            self.keyboard.go_on();
        }
        self.come_back()?;
        // Much may have happened, and what was typed for the other program is not meant for us.
        while keys.try_recv().is_ok() {}
        for effect in self.app.read_all() {
            if let Effect::Read(read) = effect {
                self.worker.read(read);
            }
        }
        Ok(())
    }
}

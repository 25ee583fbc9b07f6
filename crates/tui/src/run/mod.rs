//! The loop: what is heard changes the screen, keys become effects, effects are done.

mod aside;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::Event;
use mimir_client::told::hears_from_elsewhere;
use mimir_client::{Followed, GatewayClient};
use mimir_model::event::EventKind;
use mimir_model::look::Look;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::app::{App, CommandLine};
use crate::effect::{Effect, Heard, Read};
use crate::keyboard::Keyboard;
use crate::press::press;
use crate::terminal::Screen;
use crate::theme::Theme;
use crate::view::{Kept, draw, is_asked_shown};
use crate::work::Worker;

/// What is heard is drawn so soon, and no sooner: thirty times a second are enough.
const FRAME: Duration = Duration::from_millis(33);
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
    /// Which.
    pub look: Look,
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
    /// A part of it failed; what it said stands above.
    #[error("a part of the dashboard failed")]
    Broken,
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
    let signals = Signals::listen()?;
    // Of a program that has the terminal for a while; ours comes as a key.
    let _interrupts = signal(SignalKind::interrupt())?;
    let _quits = signal(SignalKind::quit())?;
    let (tell_key, keys) = unbounded_channel();
    let (tell, heard) = unbounded_channel();
    let mut app = App::new(
        Theme::new(&settings.look, settings.color),
        settings.folder.clone(),
        settings.commands.clone(),
    );
    app.elsewhere.clone_from(&settings.elsewhere);
    hears_from_elsewhere(settings.elsewhere.is_some());
    app.now_ms = (settings.now_ms)();
    app.size = crossterm::terminal::size()?;
    let screen = Screen::take()?;
    let keyboard = Keyboard::begin(tell_key)?;
    let worker = Worker::new(settings.gateway.clone(), tell, settings.key);
    worker.follow();
    let kept = Kept::default();
    let drawn_at = Instant::now();
    let mut ui =
        Ui { settings, app, kept, screen, keyboard, worker, signals, keys, heard, drawn_at, deaf_until: 0 };
    let begin = ui.app.read_all();
    ui.perform(begin).await?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticked: u64 = 0;
    // When what was heard is drawn at the latest.
    let mut due: Option<Instant> = Some(Instant::now());
    loop {
        let is_over = tokio::select! {
            biased;
            number = ui.signals.next() => return Err(UiError::Signal(number)),
            key = ui.keys.recv() => match key {
                Some(key) => {
                    due = Some(Instant::now());
                    ui.on_keys(key).await?
                }
                None => return Err(UiError::Signal(1)),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                due = None;
                ui.draw()?;
                false
            }
            Some(first) = ui.heard.recv() => {
                if ui.is_shown(&first) {
                    due.get_or_insert(ui.drawn_at + FRAME);
                }
                ui.on_heard(first).await?
            }
            _ = ticks.tick() => {
                ticked += 1;
                due.get_or_insert_with(Instant::now);
                ui.on_tick(ticked).await?
            }
        };
        if is_over {
            return Ok(());
        }
        // A task panicked: what it was to read would be missing for ever, and its words stand where the screen was.
        if ui.screen.was_given_away() {
            return Err(UiError::Broken);
        }
    }
}

/// What ends the program from outside.
pub struct Signals {
    terminated: Signal,
    hung_up: Signal,
}

impl Signals {
    /// Takes them from now on.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminated: signal(SignalKind::terminate())?, hung_up: signal(SignalKind::hangup())? })
    }

    /// The number of the next one.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminated.recv() => 15,
            _ = self.hung_up.recv() => 1,
        }
    }
}

struct Ui {
    settings: Settings,
    app: App,
    kept: Kept,
    screen: Screen,
    keyboard: Keyboard,
    worker: Worker,
    signals: Signals,
    keys: UnboundedReceiver<Event>,
    heard: UnboundedReceiver<Heard>,
    /// When it was drawn last.
    drawn_at: Instant,
    /// Until when keys are not for us (UTC ms): they were typed for another program.
    deaf_until: u64,
}

impl Ui {
    fn draw(&mut self) -> io::Result<()> {
        self.app.waits_ms = u64::try_from(self.worker.waits().as_millis()).unwrap_or(u64::MAX);
        let (app, kept) = (&mut self.app, &mut self.kept);
        self.screen.terminal.draw(|frame| draw(app, kept, frame))?;
        // A terminal may take its time, and what is asked was not seen before it is there.
        self.app.now_ms = (self.settings.now_ms)();
        self.drawn_at = Instant::now();
        let is_asked = is_asked_shown(&self.app);
        self.app.drawn(is_asked);
        Ok(())
    }

    /// Whether it changes anything on the screen: pieces of other frames' answers do not.
    fn is_shown(&self, heard: &Heard) -> bool {
        let Heard::Followed(Followed::Event(event)) = heard else { return true };
        let is_piece = matches!(event.what, EventKind::Text { .. } | EventKind::Reasoning { .. });
        !is_piece || event.subject.frame_name.as_ref().map(|name| name.as_str()) == self.app.chosen.as_deref()
    }

    /// A key, and those that came with it: what is pasted without marks is drawn once.
    async fn on_keys(&mut self, first: Event) -> Result<bool, UiError> {
        let mut next = Some(first);
        while let Some(event) = next {
            self.app.now_ms = (self.settings.now_ms)();
            let is_for_us = self.app.now_ms >= self.deaf_until || matches!(event, Event::Resize(..));
            let effects = if is_for_us { press(&mut self.app, &event) } else { Vec::new() };
            if self.perform(effects).await? {
                return Ok(true);
            }
            next = self.keys.try_recv().ok();
        }
        Ok(false)
    }

    /// What was heard, and what came with it.
    async fn on_heard(&mut self, first: Heard) -> Result<bool, UiError> {
        self.app.now_ms = (self.settings.now_ms)();
        let mut next = Some(first);
        // A stream that is faster than we are does not keep the keys waiting.
        for _ in 0..1_000 {
            let Some(one) = next.take() else { break };
            let effects = self.app.hear(one);
            if self.perform(effects).await? {
                return Ok(true);
            }
            next = self.heard.try_recv().ok();
        }
        let effects = next.map(|one| self.app.hear(one)).unwrap_or_default();
        self.perform(effects).await
    }

    async fn on_tick(&mut self, ticked: u64) -> Result<bool, UiError> {
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
        self.perform(effects).await
    }

    /// Does it. True when the program ends.
    async fn perform(&mut self, effects: Vec<Effect>) -> Result<bool, UiError> {
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Suspend => self.suspend()?,
                Effect::StepAside { arguments, wait } => self.step_aside(&arguments, wait).await?,
                Effect::Change(change) => {
                    self.app.asked_for(&change);
                    self.worker.change(change);
                }
                Effect::Read(read) => self.worker.read(read),
                Effect::ReadSoon(read) => self.worker.read_soon(read),
                Effect::FollowLog(frame) => self.worker.follow_log(frame),
            }
        }
        Ok(false)
    }
}

//! Follows a message until it is done, whatever happens to the gateway meanwhile.

use std::convert::Infallible;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{
    Instant, Interval, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout,
};

use super::prompts::{Next, Prompts};
use super::screen::{Manner, Screen};
use crate::cli::context::Context;
use crate::cli::exit::{Failure, INTERRUPTED, Outcome, TERMINATED};
use crate::cli::live;
use crate::cli::screen::Pressed;
use crate::client::{ClientError, EventFilter, Follow, Followed, GatewayClient};
use crate::model::event::EventKind;
use crate::model::message::DeliveryState;
use crate::wire::messages::MessageView;
use crate::wire::problem::Problem;

/// How long after one Ctrl-C a second one means "abort it".
const SECOND_CHANCE: Duration = Duration::from_secs(2);
/// How often the message itself is looked at, in case its last event was never heard.
const LOOK: Duration = Duration::from_secs(15);
/// How often the frame is looked at while the message waits for it, for the live line.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a gateway that died may take to come back by itself, before we start one.
const REVIVE: Duration = Duration::from_secs(3);
/// How long an aborted message may take to end.
const ABORT: Duration = Duration::from_secs(15);

/// Why following ended.
enum Ended {
    Done(Box<MessageView>),
    Interrupted,
    Terminated,
    TooLong,
}

/// Shows what happens to a message, and leaves with what became of it.
pub async fn follow(
    gateway: &GatewayClient,
    message: MessageView,
    manner: Manner,
    context: &Context,
) -> Outcome {
    // The stream is read by a future of its own: one that is asked anew each time the live line is drawn would never
    // come to reach a gateway far away.
    let filter = EventFilter { message: Some(message.id.clone()), ..EventFilter::default() };
    let mut watch = Watch {
        gateway,
        message: &message,
        screen: Screen::new(context, manner, &message),
        prompts: Prompts::default(),
        signals: Signals::listen()?,
        revive: None,
    };
    let (tell, heard) = mpsc::channel(64);
    let ended = tokio::select! {
        ended = watch.until_it_ends(heard) => ended,
        never = listen(gateway.follow(filter, Some(message.after_event)), tell) => match never {},
    };
    // Whatever it was, the keyboard is given back.
    if watch.prompts.is_typing() {
        context.out.say("");
    }
    let was_asked = watch.prompts.clear();
    watch.screen.release()?;
    match ended? {
        Ended::Done(done) => {
            if was_asked {
                watch.screen.aside("what the agent asked is not asked any more")?;
            }
            watch.screen.finish(&done)
        }
        Ended::TooLong => {
            watch.screen.end_line()?;
            Err(watch.screen.too_long(&message))
        }
        Ended::Terminated => {
            watch.screen.end_line()?;
            Ok(TERMINATED)
        }
        Ended::Interrupted => interrupted(gateway, &message, &mut watch).await,
    }
}

/// Hands on what is heard, up to the first error.
async fn listen(mut events: Follow, tell: mpsc::Sender<Result<Followed, ClientError>>) -> Infallible {
    loop {
        let followed = events.next().await;
        let is_last = followed.is_err();
        if tell.send(followed).await.is_err() || is_last {
            std::future::pending::<Infallible>().await;
        }
    }
}

/// What this process is told. One that comes while something else is done is kept.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Problem::new(500, "internal", "the system gives no signals").detail(error.to_string())
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }
}

/// A message, and who watches it.
struct Watch<'a> {
    gateway: &'a GatewayClient,
    message: &'a MessageView,
    screen: Screen<'a>,
    prompts: Prompts,
    signals: Signals,
    /// When a gateway that went away is started by us.
    revive: Option<Instant>,
}

impl Watch<'_> {
    async fn until_it_ends(
        &mut self,
        mut heard: mpsc::Receiver<Result<Followed, ClientError>>,
    ) -> Result<Ended, Failure> {
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        let (mut tick, mut glance) = (lazy(live::TICK), lazy(GLANCE));
        let give_up = self.screen.manner.timeout.map(|after| Instant::now() + after);
        loop {
            let (due, revive) = (self.prompts.due(), self.revive);
            let is_live = self.screen.context.out.is_live();
            let wants_the_frame = self.screen.wants_the_frame();
            let look_now = tokio::select! {
                Some(followed) = heard.recv() => self.hear(followed)?,
                () = at(due), if due.is_some() => { self.ask_on().await?; false }
                pressed = self.prompts.pressed() => { self.press(pressed).await?; false }
                () = at(revive), if revive.is_some() => {
                    self.revive = None;
                    // One that was stopped has taken its socket away, and shall stay stopped; one that was killed has not.
                    if self.screen.context.paths.gateway_socket().exists() {
                        self.screen.context.gateway().await?;
                    }
                    false
                }
                _ = tick.tick(), if is_live => { self.draw(); false }
                _ = glance.tick(), if wants_the_frame => { self.glance().await; false }
                _ = look.tick() => true,
                _ = self.signals.interrupt.recv() => return Ok(Ended::Interrupted),
                _ = self.signals.terminate.recv() => return Ok(Ended::Terminated),
                () = at(give_up), if give_up.is_some() => return Ok(Ended::TooLong),
            };
            // While the gateway is away the stream itself decides when to give up.
            if look_now
                && let Ok(now) = self.gateway.message(&self.message.id).await
                && now.state.is_final()
            {
                return Ok(Ended::Done(Box::new(now)));
            }
        }
    }

    /// Takes in what the gateway tells. Says whether the message should be looked at now.
    fn hear(&mut self, followed: Result<Followed, ClientError>) -> Result<bool, Failure> {
        let followed = followed.map_err(|error| self.screen.lost(error, self.message))?;
        self.revive = matches!(followed, Followed::Away).then(|| Instant::now() + REVIVE);
        if let Followed::Event(event) = &followed {
            match &event.what {
                asked @ EventKind::PromptAsked { .. } if self.screen.manner.asks => self.prompts.asked(asked),
                EventKind::PromptAnswered { prompt, .. } => self.withdraw(prompt)?,
                _ => {}
            }
        }
        self.screen.take(&followed)
    }

    /// What was asked here is answered: by somebody else, if it still stands on the screen.
    fn withdraw(&mut self, prompt: &str) -> Result<(), Failure> {
        let was_typing = self.prompts.is_typing();
        if self.prompts.over(prompt) {
            if was_typing {
                self.screen.context.out.say("");
            }
            self.screen.release()?;
            self.screen.aside("answered elsewhere, it is not asked here any more:")?;
        }
        Ok(())
    }

    async fn ask_on(&mut self) -> Result<(), Failure> {
        if !self.prompts.is_up() {
            self.screen.end_line()?;
        }
        match self.prompts.go_on(self.gateway, self.screen.context).await {
            Some(asked) => self.screen.tell_how_to_answer(&asked),
            None => Ok(()),
        }
    }

    async fn press(&mut self, pressed: std::io::Result<Pressed>) -> Result<(), Failure> {
        let next = self.prompts.take(pressed, self.gateway, self.screen.context).await?;
        if self.prompts.is_typing() {
            self.screen.hold();
        } else {
            self.screen.release()?;
        }
        match next {
            Next::Elsewhere(asked) => self.screen.tell_how_to_answer(&asked),
            Next::Stay | Next::Over => Ok(()),
        }
    }

    fn draw(&self) {
        if !self.prompts.is_up() {
            self.screen.draw();
        } else if self.screen.is_free() {
            self.prompts.draw(self.screen.context);
        }
    }

    async fn glance(&mut self) {
        if let Ok(Ok(frame)) = timeout(GLANCE, self.gateway.frame(&self.message.frame)).await {
            self.screen.frame_is(frame.summary.state);
        }
    }
}

/// One that does not catch up.
fn lazy(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Once: leave, the work goes on. Twice: abort it.
async fn interrupted(gateway: &GatewayClient, message: &MessageView, watch: &mut Watch<'_>) -> Outcome {
    watch.screen.end_line()?;
    let out = &watch.screen.context.out;
    out.say(format!(
        "left; {} goes on working. `mimir send --follow {}` comes back, Ctrl-C now aborts it",
        message.frame, message.id
    ));
    if timeout(SECOND_CHANCE, watch.signals.interrupt.recv()).await.is_err() {
        return Ok(INTERRUPTED);
    }
    gateway.cancel(&message.id).await?;
    let begun = Instant::now();
    let ended = out.while_waiting("aborting", async {
        while begun.elapsed() < ABORT {
            match gateway.message(&message.id).await {
                Ok(now) if now.state.is_final() => return Some(now),
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        None
    });
    match ended.await {
        Some(now) if now.state == DeliveryState::Cancelled => out.say("aborted"),
        Some(now) => out.say(format!("it was {} before it could be aborted", now.state)),
        None => {
            out.warn(format!("it was asked to stop and has not yet; `mimir send --follow {}`", message.id))
        }
    }
    Ok(INTERRUPTED)
}

//! Reads the terminal in a thread of its own, which can be made to keep its hands off while another program has it.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{self, Event, KeyEventKind};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::mpsc::UnboundedSender;

/// How soon the thread lets go.
const TURN: Duration = Duration::from_millis(100);

/// The thread's handle.
#[derive(Clone, Default)]
pub struct Keyboard {
    /// Whether another program has the terminal. The thread has the lock while it reads.
    is_held: Arc<(Mutex<bool>, Condvar)>,
}

impl Keyboard {
    /// Begins to read. The receiver hears nothing more when the terminal is gone.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn begin(tell: UnboundedSender<Event>) -> std::io::Result<Self> {
        let keyboard = Self::default();
        let thread = keyboard.clone();
        let work = move || while thread.one_turn(&tell) {};
        std::thread::Builder::new().name("keyboard".to_owned()).spawn(work)?;
        Ok(keyboard)
    }

    fn one_turn(&self, tell: &UnboundedSender<Event>) -> bool {
        let (lock, changed) = &*self.is_held;
        let mut is_held = lock.lock();
        changed.wait_while(&mut is_held, |is_held| *is_held);
        let heard = match event::poll(TURN) {
            Ok(true) => event::read().map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        // Whoever waits to hold us comes first.
        MutexGuard::unlock_fair(is_held);
        match heard {
            Ok(Some(event)) => tell.send(event).is_ok(),
            Ok(None) => !tell.is_closed(),
            Err(_) => false,
        }
    }

    /// Whether a key was pressed; only while it is held.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn was_pressed(&self) -> std::io::Result<bool> {
        while event::poll(Duration::ZERO)? {
            if matches!(event::read()?, Event::Key(key) if key.kind != KeyEventKind::Release) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets what was typed and not read; only while it is held.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn forget(&self) -> std::io::Result<()> {
        // Where standard input is no terminal there is nothing to forget.
        let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
        while event::poll(Duration::ZERO)? {
            drop(event::read()?);
        }
        Ok(())
    }

    /// Nothing is read any more when this returns.
    pub fn hold(&self) {
        *self.is_held.0.lock() = true;
    }

    /// It reads again.
    pub fn go_on(&self) {
        *self.is_held.0.lock() = false;
        self.is_held.1.notify_all();
    }
}

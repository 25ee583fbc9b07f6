//! The terminal, handed over and given back: at the end, at a panic, and while something else has it.

use std::io::{self, Stdout, stdin, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use parking_lot::Mutex;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// Clicks and the wheel, in the form that has no largest column. Not what crossterm would ask for: it wants every movement,
/// and each would be a reason to look whether something has to be drawn.
const CLICKS: &str = "\x1b[?1000h\x1b[?1006h";

/// How the terminal was set before we took it. A program that had it meanwhile and was killed leaves it as it liked it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
/// Whether a panic gave it away: whatever panicked, and in whatever task.
static GIVEN_AWAY: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
pub struct Screen {
    /// To draw on.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes it.
    ///
    /// # Errors
    /// When standard input or output is no terminal.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                GIVEN_AWAY.store(true, Ordering::Relaxed);
                before(panic);
            }));
        });
        *BEFORE.lock() = tcgetattr(stdin()).ok();
        enter()?;
        match Terminal::new(CrosstermBackend::new(stdout())) {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    /// Whether a panic gave it away.
    pub fn was_given_away(&self) -> bool {
        GIVEN_AWAY.load(Ordering::Relaxed)
    }

    /// Gives it back for a while.
    pub fn step_aside(&mut self) {
        leave();
    }

    /// Takes it again; everything is drawn anew.
    ///
    /// # Errors
    /// When it is gone.
    pub fn come_back(&mut self) -> io::Result<()> {
        enter()?;
        // A new one draws every cell. `Terminal::clear` would ask where the cursor is, and the answer would come as keys.
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

fn enter() -> io::Result<()> {
    // Raw mode that is known to be on is not set again, whatever another program has made of it.
    let _ = disable_raw_mode();
    as_before();
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Print(CLICKS), EnableBracketedPaste).inspect_err(|_| leave())
}

fn leave() {
    // Whatever of it fails: the rest is tried.
    let _ = execute!(
        stdout(),
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _ = disable_raw_mode();
    as_before();
}

/// Sets it as it was set before we took it.
fn as_before() {
    if let Some(before) = &*BEFORE.lock() {
        let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    }
}

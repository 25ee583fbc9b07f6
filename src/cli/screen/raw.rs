//! Raw mode that always ends.

use std::io::Write;
use std::sync::Once;

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use crate::cli::exit::Failure;
use crate::wire::problem::Problem;

/// Undoes what a program may have left on, also one that ended by itself, without moving the cursor or clearing anything: mouse and
/// focus reports, which would type into the shell here, bracketed paste, keys and keypad, character sets, wrap, margins, colours.
pub(super) const QUIET: &str = "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?9l\x1b[?2004l\x1b[?2026l\x1b[?25h\x1b[?1l\x1b[?5l\x1b[?7h\x1b[4l\x1b[20l\x1b>\x1b[>4m\x0f\x1b(B\x1b7\x1b[?6l\x1b[r\x1b8\x1b[0m";

/// The terminal passes every key on while this lives.
pub struct RawMode {
    clean: bool,
}

impl RawMode {
    /// Begins. A panic ends it before its text is printed.
    ///
    /// # Errors
    /// When standard input is no terminal.
    pub fn begin() -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore(false);
                before(panic);
            }));
        });
        enable_raw_mode().map_err(|error| {
            Problem::new(400, "terminal.none", "this terminal cannot be handed over")
                .detail(error.to_string())
                .hint("run it in a terminal")
        })?;
        Ok(Self { clean: false })
    }

    /// The program on the other side ended by itself and has tidied up.
    pub fn ended_well(&mut self) {
        self.clean = true;
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore(self.clean);
    }
}

fn restore(clean: bool) {
    // Without a terminal there is nothing to restore.
    if disable_raw_mode().is_ok() {
        // Only what was cut off can have left the second screen on.
        let (before, after) = if clean { ("", "") } else { ("\x1b[?1049l", "\r\n") };
        let mut stdout = std::io::stdout();
        let _ = write!(stdout, "{before}{QUIET}{after}").and_then(|()| stdout.flush());
    }
}

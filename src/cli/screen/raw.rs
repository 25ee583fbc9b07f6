//! Raw mode that always ends.

use std::io::Write;
use std::sync::Once;

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use crate::cli::exit::Failure;
use crate::wire::problem::Problem;

/// Undoes what a full-screen program may have left on when it was cut off: the second
/// screen, mouse reports, bracketed paste, focus reports, a hidden cursor, colours.
const CALM: &str = "\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?25h\x1b[?1l\x1b>\x1b[0m\r\n";

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
    if disable_raw_mode().is_ok() && !clean {
        let mut stdout = std::io::stdout();
        let _ = stdout.write_all(CALM.as_bytes()).and_then(|()| stdout.flush());
    }
}

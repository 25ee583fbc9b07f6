//! Keys of this terminal, one at a time, while a question stands on the screen.
//!
//! Not raw mode: Ctrl-C and Ctrl-Z stay what they are, and what is written looks as always. Reading can be given up at
//! any moment without losing a key, because it never waits in a thread.

use std::io::{self, IsTerminal, Stdin};

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::live;

/// What was pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// One key.
    Key(char),
    /// A line that was typed, without its end.
    Line(String),
    /// The end of input, instead of a line.
    End,
}

/// How the terminal reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each key at once, and none is shown.
    Keys,
    /// A line, which the terminal itself lets people edit.
    Line,
}

/// The keyboard, until it is dropped.
pub struct Keys {
    input: AsyncFd<Stdin>,
    before: Termios,
    mode: Mode,
    continued: Signal,
}

impl Keys {
    /// Takes the keyboard. What was typed before is thrown away: it was no answer to what nobody had read yet.
    ///
    /// # Errors
    /// When standard input is no terminal, or not ours now.
    pub fn begin() -> io::Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() || !live::is_in_front(&stdin) {
            return Err(io::Error::other("standard input is no terminal in front of a person"));
        }
        let before = tcgetattr(&stdin)?;
        let continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
        #[expect(deprecated, reason = "unsound for a descriptor that is closed meanwhile; this one never is")]
        let input = AsyncFd::with_interest(stdin, Interest::READABLE)?;
        let keys = Self { input, before, mode: Mode::Keys, continued };
        keys.apply()?;
        Ok(keys)
    }

    /// From now on each key counts at once.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn single(&mut self) -> io::Result<()> {
        self.mode = Mode::Keys;
        self.apply()
    }

    /// From now on a line is read.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn line(&mut self) -> io::Result<()> {
        self.mode = Mode::Line;
        self.apply()
    }

    /// Throws away what was typed up to now. Says whether that was anything: somebody is typing something else then.
    pub fn forget(&self) -> bool {
        let mut bytes = [0_u8; 4096];
        let was_typed =
            self.mode == Mode::Keys && matches!(rustix::io::read(self.input.get_ref(), &mut bytes), Ok(1..));
        let _ = tcflush(self.input.get_ref(), QueueSelector::IFlush);
        was_typed
    }

    /// What is pressed next. May be dropped and asked again.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub async fn next(&mut self) -> io::Result<Pressed> {
        let mut nothing = 0;
        loop {
            tokio::select! {
                ready = self.input.readable() => {
                    let mut ready = ready?;
                    let mut bytes = [0_u8; 4096];
                    let read = rustix::io::read(self.input.get_ref(), &mut bytes)?;
                    ready.clear_ready();
                    // One that hung up says for ever that there is something to read.
                    nothing = if read == 0 { nothing + 1 } else { 0 };
                    if nothing > 20 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    if let Some(pressed) = understood(self.mode, &bytes[..read]) {
                        return Ok(pressed);
                    }
                }
                // Somebody stopped us (Ctrl-Z) and let us go on; the shell has its own settings.
                _ = self.continued.recv() => self.apply()?,
            }
        }
    }

    fn apply(&self) -> io::Result<()> {
        let mut wanted = self.before.clone();
        if self.mode == Mode::Keys {
            wanted.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            // A read never waits: whether there is anything is known before.
            wanted.special_codes[SpecialCodeIndex::VMIN] = 0;
            wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
        } else {
            wanted.local_modes.insert(LocalModes::ICANON | LocalModes::ECHO);
        }
        Ok(tcsetattr(self.input.get_ref(), OptionalActions::Flush, &wanted)?)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(self.input.get_ref(), OptionalActions::Flush, &self.before);
    }
}

/// Arrow keys and pasted text are no answer; a terminal that sends lines may send the key with its end.
fn understood(mode: Mode, bytes: &[u8]) -> Option<Pressed> {
    let text = String::from_utf8_lossy(bytes);
    match mode {
        Mode::Line if bytes.is_empty() => Some(Pressed::End),
        Mode::Line => Some(Pressed::Line(text.trim_end_matches(['\r', '\n']).to_owned())),
        Mode::Keys => {
            let mut keys = text.trim_end_matches(['\r', '\n']).chars();
            let key = keys.next().filter(|key| !key.is_control())?;
            keys.next().is_none().then_some(Pressed::Key(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_an_answer_and_a_paste_is_none() {
        let key = |bytes: &str| understood(Mode::Keys, bytes.as_bytes());
        assert_eq!(key("y"), Some(Pressed::Key('y')));
        assert_eq!(key("y\n"), Some(Pressed::Key('y')));
        assert_eq!(key("ü"), Some(Pressed::Key('ü')));
        for none in ["", "\n", "yes", "\u{1b}[A", "\u{1b}", "yy"] {
            assert_eq!(key(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_line_is_what_was_typed() {
        let line = |bytes: &str| understood(Mode::Line, bytes.as_bytes());
        assert_eq!(line("not now\n"), Some(Pressed::Line("not now".to_owned())));
        assert_eq!(line("\n"), Some(Pressed::Line(String::new())));
        assert_eq!(line(""), Some(Pressed::End), "Ctrl-D");
    }
}

//! Questions to the person at the terminal.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::exit::{Failure, usage};
use super::output::Out;
use super::paint::Ink;

/// Asks before something is destroyed. `--yes` answers; without a terminal it is needed.
///
/// # Errors
/// When nobody can be asked.
pub fn confirm_destruction(out: &Out, yes: bool, question: &str, command: &str) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    if !can_ask(out) {
        return Err(usage("this destroys something and nobody can be asked")
            .detail(question.to_owned())
            .hint(format!("run `{command} --yes` if that is what you want"))
            .into());
    }
    Ok(yes_or_no(out, question, false))
}

/// Whether there is somebody to ask.
pub fn can_ask(out: &Out) -> bool {
    !out.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks; an empty answer means `default`, the end of input means no.
pub fn yes_or_no(out: &Out, question: &str, default: bool) -> bool {
    let choices = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        let answer = line(&format!("{question} {} ", out.paint_errors.ink(Ink::Dim, choices)));
        match answer.as_deref().map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None => return false,
            Some("") => return default,
            Some("y" | "yes") => return true,
            Some("n" | "no") => return false,
            Some(_) => {}
        }
    }
}

/// Asks for a line; an empty answer means `default`.
pub fn text(out: &Out, question: &str, default: &str) -> String {
    let shown = out.paint_errors.ink(Ink::Dim, &format!("[{default}]"));
    match line(&format!("{question} {shown} ")) {
        Some(answer) if !answer.trim().is_empty() => answer.trim().to_owned(),
        _ => default.to_owned(),
    }
}

/// Asks for a word, to be sure that it is meant; the end of input is none.
pub fn word(question: &str) -> Option<String> {
    line(question).map(|answer| answer.trim().to_owned())
}

/// Asks for what must not be seen. `rpassword` reads it; the terminal is set here, because it leaves two gaps: it switches
/// after its question stands there, so that a key which is pasted at once is on the screen, and Ctrl-C ends the program
/// before the terminal is what it was.
///
/// # Errors
/// When there is no terminal, or it cannot be read.
pub fn hidden(prompt: &str) -> std::io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let keys = HiddenKeys::begin(terminal.try_clone()?)?;
    terminal.write_all(prompt.as_bytes())?;
    let config = rpassword::ConfigBuilder::new().password_feedback_hide().input_reader(keys).output_discard();
    let typed = rpassword::read_password_with_config(config.build());
    terminal.write_all(b"\n")?;
    typed
}

/// The keys of a terminal that shows none of them and leaves their meaning to the reader, while this lives.
struct HiddenKeys {
    terminal: File,
    before: Termios,
}

impl HiddenKeys {
    fn begin(terminal: File) -> std::io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut hidden = before.clone();
        hidden.local_modes &=
            !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
        Ok(Self { terminal, before })
    }

    fn end(&self) {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

impl Read for HiddenKeys {
    fn read(&mut self, keys: &mut [u8]) -> std::io::Result<usize> {
        const CTRL_C: u8 = 3;
        let read = self.terminal.read(keys)?;
        if keys.get(..read).is_some_and(|keys| keys.contains(&CTRL_C)) {
            // The reader ends the program with it, and nothing is dropped.
            self.end();
        }
        Ok(read)
    }
}

impl Drop for HiddenKeys {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(prompt: &str) -> Option<String> {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{prompt}");
    let _ = stderr.flush();
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(read) if read > 0 => Some(answer),
        _ => None,
    }
}

//! Questions to the person at the terminal.

use std::io::{BufRead, IsTerminal, Write};

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

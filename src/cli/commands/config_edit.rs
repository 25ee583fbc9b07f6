//! `mimir config edit`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, of_config, usage};
use crate::cli::json::ConfigEdited;
use crate::cli::table::clean;
use crate::config::{LoadOptions, edit};
use crate::wire::problem::Problem;

/// What a new file begins with.
const BEGINNING: &str =
    "# `mimir config show --origin` prints every setting; what is left out here is as it is built in.\n";

/// Edits a copy, and takes it over when it is good: a gateway never sees half a change.
pub fn run(context: &Context) -> Outcome {
    let options = LoadOptions::of_process().map_err(|error| of_config(&error))?;
    let file = options.paths.config_file();
    let editor = editor()?;
    options.paths.ensure_home().map_err(|error| of_config(&error.into()))?;
    let before = current(&file)?;
    let draft = file.with_extension("edit.yaml");
    if !take_up(&draft, &file, &before, context)? {
        write_draft(&draft, &before)?;
    }
    loop {
        open(&editor, &draft)?;
        let after = std::fs::read_to_string(&draft).map_err(|error| unreadable(&draft, &error))?;
        if after == before {
            let _ = std::fs::remove_file(&draft);
            return told(&file, false, context);
        }
        if current(&file)? != before {
            // Not gone on with the next time: it would undo what somebody else changed.
            let draft = set_aside(&draft)?;
            return Err(Problem::new(
                409,
                "config.changed",
                format!("{} was changed meanwhile", file.display()),
            )
            .detail(format!("what you wrote is in {}", draft.display()))
            .hint("bring the two together, then try again")
            .into());
        }
        let Err(error) = edit::replace(&options, &after) else {
            let _ = std::fs::remove_file(&draft);
            return told(&file, true, context);
        };
        let problem = of_config(&error).hint(format!(
            "{} is as it was; what you wrote is in {}",
            clean(&file.display().to_string()),
            clean(&draft.display().to_string())
        ));
        if !ask::can_ask(&context.out) {
            return Err(problem.into());
        }
        context.out.problem(&problem);
        if !ask::yes_or_no(&context.out, "Edit it again?", true) {
            return Ok(FAILED);
        }
    }
}

/// What an earlier edit left is gone on with or set aside, never written over. Says whether it is gone on with.
fn take_up(draft: &Path, file: &Path, before: &str, context: &Context) -> Result<bool, Failure> {
    if !std::fs::symlink_metadata(draft).is_ok_and(|found| found.is_file()) {
        return Ok(false);
    }
    if std::fs::read_to_string(draft).map_err(|error| unreadable(draft, &error))? == before {
        return Ok(false);
    }
    let shown = |path: &Path| clean(&path.display().to_string());
    let changed = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    // One that is older than the file would undo what was changed since.
    let is_newer = changed(draft) >= changed(file);
    let question = format!("{} holds what was not taken over the last time. Go on with it?", shown(draft));
    if is_newer && ask::can_ask(&context.out) && ask::yes_or_no(&context.out, &question, true) {
        return Ok(true);
    }
    let aside = set_aside(draft)?;
    context.out.say(format!("what was not taken over the last time is kept in {}", shown(&aside)));
    Ok(false)
}

/// Gives it the first name that is free.
fn set_aside(draft: &Path) -> Result<PathBuf, Failure> {
    let name = |number: u32| draft.with_extension("").with_extension(format!("edit-{number}.yaml"));
    let aside = (1..).map(name).find(|path| std::fs::symlink_metadata(path).is_err());
    let aside = aside.unwrap_or_else(|| name(1));
    std::fs::rename(draft, &aside).map_err(|error| unreadable(draft, &error))?;
    Ok(aside)
}

fn current(file: &Path) -> Result<String, Failure> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BEGINNING.to_owned()),
        read => read.map_err(|error| unreadable(file, &error)),
    }
}

fn told(file: &Path, changed: bool, context: &Context) -> Outcome {
    let file = file.display().to_string();
    if context.out.json {
        context.out.document(&ConfigEdited { file, changed })?;
    } else if changed {
        context.out.say(format!("{} is changed", clean(&file)));
    } else {
        context.out.say("nothing was changed");
    }
    Ok(DONE)
}

/// `$VISUAL`, `$EDITOR`, or what is there.
fn editor() -> Result<String, Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    if let Some(editor) = set("VISUAL").or_else(|| set("EDITOR")) {
        return Ok(editor);
    }
    let usual = ["sensible-editor", "nano", "vim", "vi"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    match usual.iter().find(is_there) {
        Some(editor) if std::io::stdin().is_terminal() => Ok((*editor).to_owned()),
        Some(_) => Err(usage("an editor needs a terminal, and this is none")
            .hint("`mimir config set KEY VALUE` changes one setting")
            .into()),
        None => Err(usage("there is no editor").hint("set EDITOR to the one that you use").into()),
    }
}

/// The editor may be several words, such as `code --wait`: a shell takes them apart.
fn open(editor: &str, draft: &Path) -> Result<(), Failure> {
    let failed = |why: String| -> Failure {
        Problem::new(409, "config.editor", format!("the editor `{editor}` did not end well"))
            .detail(why)
            .hint("nothing was changed; EDITOR says which editor is used")
            .into()
    };
    let status = Command::new("/bin/sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(draft)
        .status()
        .map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string())) }
}

/// It may hold keys: for its owner alone, and never through a link that somebody left there.
fn write_draft(draft: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = std::fs::remove_file(draft);
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(draft);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| unreadable(draft, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Problem::new(403, "config.unreadable", format!("{} cannot be used", file.display()))
        .detail(error.to_string())
        .hint("is it yours?")
        .into()
}

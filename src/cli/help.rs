//! `mimir help TOPIC`, and the manual pages.

use std::path::Path;

use clap::CommandFactory;
use mimir_tui::CommandLine;

use super::context::Context;
use super::exit::{self, DONE, Failure, Outcome, usage};
use super::grammar::Args;
use super::json::{ExitCode, Variable, Words, Written};
use super::table::{Table, column};
use super::wrap::wrapped;
use crate::config::{env, keys};
use crate::wire::problem::Problem;

/// Variables that set no key of the configuration.
const VARIABLES: &[(&str, &str)] = &[
    ("MIMIR_HOME", "the folder where mimir keeps its data; ~/.mimir when it is not set"),
    ("MIMIR_DB_KEY", "the key of the database: 64 hex digits or a passphrase"),
    ("MIMIR_LOG", "how much is logged, such as `debug` or `mimir::feed=trace`"),
    ("MIMIR_URL", "a gateway elsewhere, such as https://host:8080; commands talk to it"),
    ("MIMIR_TOKEN", "the token for it (`mimir token create` on its machine)"),
    ("MIMIR_TOKEN_FILE", "a file that holds the token"),
    ("MIMIR_FINGERPRINT", "the fingerprint of its certificate; else what was accepted before"),
    ("NO_COLOR", "no colour, whatever it holds"),
    ("CLICOLOR_FORCE", "colour, also in a pipe"),
    ("VISUAL, EDITOR", "what `mimir config edit` opens the file with"),
    ("CONTAINER_HOST", "the socket of Podman, unless `engine.socket` names one"),
    ("XDG_RUNTIME_DIR", "where sockets are made, and where the socket of rootless Podman is"),
];

/// Prints the help of a command, or a topic that is no command.
pub fn run(topic: &[String], context: &Context) -> Outcome {
    match topic {
        [word] if word == "exit-codes" => return exit_codes(context),
        [word] if matches!(word.as_str(), "environment" | "env") => return environment(context),
        _ => {}
    }
    let mut root = Args::command();
    root.build();
    let mut command = &mut root;
    for word in topic {
        let Some(next) = command.find_subcommand_mut(word) else {
            return Err(usage(format!("there is no help on `{}`", topic.join(" ")))
                .hint("`mimir --help` lists the commands; other topics are `exit-codes` and `environment`")
                .into());
        };
        command = next;
    }
    let text = command.render_help();
    if context.out.json {
        context.out.document(&Words { text: text.to_string() })?;
        return Ok(DONE);
    }
    context.out.raw(&if context.out.paint.is_on() { text.ansi().to_string() } else { text.to_string() })?;
    Ok(DONE)
}

fn exit_codes(context: &Context) -> Outcome {
    if context.out.json {
        let code =
            |(code, meaning): &(u8, &str)| ExitCode { exit_code: *code, meaning: (*meaning).to_owned() };
        context.out.document(&exit::TABLE.iter().map(code).collect::<Vec<_>>())?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[column("CODE").right(), column("MEANING")]);
    for (code, meaning) in exit::TABLE {
        table.row(vec![code.to_string().into(), (*meaning).into()]);
    }
    let text = table.render(None, context.out.paint);
    context.out.raw(&wrapped(&text, context.out.width(), 6))?;
    Ok(DONE)
}

/// Every variable: those that say where things are, and one for each key of the configuration.
fn environment(context: &Context) -> Outcome {
    let ours = VARIABLES.iter().map(|(variable, meaning)| Variable {
        variable: (*variable).to_owned(),
        meaning: (*meaning).to_owned(),
        key: None,
    });
    let of_keys = keys::CONFIG.iter().filter(|key| env::is_settable(key)).map(|key| Variable {
        variable: env::variable_of(&key.path),
        meaning: key.about.to_owned(),
        key: Some(key.path.clone()),
    });
    if context.out.json {
        context.out.document(&ours.chain(of_keys).collect::<Vec<_>>())?;
        return Ok(DONE);
    }
    let lines = |variables: Vec<Variable>| -> String {
        let widest = variables.iter().map(|variable| variable.variable.len()).max().unwrap_or(0);
        let line = |of: &Variable| format!("{:<widest$}  {}", of.variable, of.meaning);
        variables.iter().map(|of| wrapped(&line(of), context.out.width(), widest + 2) + "\n").collect()
    };
    let between = "One for each setting; they win over the file. Lists are written with commas.\n";
    context.out.raw(&format!("{}\n{between}\n{}", lines(ours.collect()), lines(of_keys.collect())))?;
    Ok(DONE)
}

/// Writes a page for each command: mimir.1, mimir-frame.1, mimir-frame-create.1 …
pub fn man(folder: &Path, context: &Context) -> Outcome {
    let failed = |error: std::io::Error| -> Failure {
        Problem::new(507, "output.failed", format!("the pages cannot be written to {}", folder.display()))
            .detail(error.to_string())
            .hint("name a folder that is yours")
            .into()
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    let mut files = Vec::new();
    pages(&root, folder, &mut files).map_err(failed)?;
    if context.out.json {
        context.out.document(&Written { files })?;
    } else {
        context.out.say(format!("{} pages in {}", files.len(), folder.display()));
    }
    Ok(DONE)
}

fn pages(command: &clap::Command, folder: &Path, files: &mut Vec<String>) -> std::io::Result<()> {
    // `mimir frame create` is the page mimir-frame-create.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).manual("mimir");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, text)?;
    files.push(path.display().to_string());
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(sub, folder, files)?;
    }
    Ok(())
}

/// Every command that can be typed, with its words.
pub fn commands() -> Vec<CommandLine> {
    let mut found = Vec::new();
    collect(&Args::command(), &mut Vec::new(), &mut found);
    found
}

fn collect(command: &clap::Command, words: &mut Vec<String>, found: &mut Vec<CommandLine>) {
    let mut subs = command.get_subcommands().filter(|sub| !sub.is_hide_set()).peekable();
    let acts = subs.peek().is_none() || !command.is_subcommand_required_set();
    if acts && !words.is_empty() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        found.push(CommandLine { words: words.join(" "), about });
    }
    for sub in subs {
        words.push(sub.get_name().to_owned());
        collect(sub, words, found);
        words.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_found() {
        let found = commands();
        let has =
            |words: &str| found.iter().any(|command| command.words == words && !command.about.is_empty());
        assert!(has("frame create") && has("send") && has("runs approve"), "{found:?}");
        assert!(!found.iter().any(|command| command.words == "frame"), "a noun alone does nothing");
    }
}

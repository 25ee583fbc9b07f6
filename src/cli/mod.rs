//! The command line: parse, ask the gateway, print.
//!
//! Commands know the gateway only through [`crate::client`]. Results go to standard
//! output, everything else to standard error; see `output`.

mod ask;
mod commands;
mod context;
mod environment;
mod exit;
mod grammar;
mod habits;
mod help;
mod here;
mod json;
mod live;
mod names;
mod output;
mod paint;
mod qr;
mod remote;
pub mod schemas;
mod screen;
mod table;
mod welcome;
mod wrap;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use context::Context;
use exit::{DONE, Failure, USAGE, usage};
use grammar::{Args, Globals};
use output::{Out, as_json, for_people};
use paint::{ColorChoice, Paint};

use crate::clock::Clock;
use crate::config::LoadOptions;
use crate::wire::problem::Problem;

/// Runs one command and says what to leave with.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> u8 {
    match complete(&arguments) {
        Ok(true) => return DONE,
        Ok(false) => {}
        Err(error) => return show_parse_error(&error, &arguments),
    }
    let arguments = habits::with_dashes(arguments);
    let args = match Args::try_parse_from(&arguments) {
        Ok(args) => args,
        Err(error) => return show_parse_error(&without_wrong_tips(error, &arguments), &arguments),
    };
    let out = Out::new(args.globals.json, args.globals.quiet, args.globals.color);
    let outcome = context(out.clone()).and_then(|context| commands::run(args.command, &context));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_silent() {
                out.problem(&failure.problem);
            }
            failure.code
        }
    }
}

fn context(out: Out) -> Result<Context, Failure> {
    let options = LoadOptions::of_process().map_err(|error| commands::config::problem(&error))?;
    let elsewhere = remote::Elsewhere::of(&|name| options.env.get(name).cloned());
    output::hears_from_elsewhere(elsewhere.is_some());
    Ok(Context { out, paths: options.paths.clone(), load: options, clock: Clock::system(), elsewhere })
}

/// The grammar of the command line.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Answers the shell when it asks for completions (`COMPLETE=bash mimir`).
fn complete(arguments: &[OsString]) -> Result<bool, clap::Error> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(command).try_complete(arguments.iter().cloned(), folder.as_deref())
}

/// "To pass '--x' as a value" is advice for the one command whose words are a text.
fn without_wrong_tips(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument && !arguments.iter().any(|word| word == "send") {
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Help and version are answers; everything else is wrong usage.
fn show_parse_error(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let given = Globals::guess(arguments);
    if let Some(problem) = unknown_command(error, arguments) {
        Out::new(given.json, given.quiet, given.color).problem(&problem);
        return USAGE;
    }
    if error.use_stderr() && given.json {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let title = lines.next().unwrap_or("wrong usage").trim_start_matches("error: ").to_owned();
        let problem = Problem::new(400, "usage", title).hint(
            lines.find(|line| line.starts_with("tip:")).unwrap_or("add `--help` to the command").to_owned(),
        );
        eprintln!("{}", as_json(&problem));
        return USAGE;
    }
    // To a closed pipe there is nothing to say.
    let styled = match given.color {
        ColorChoice::Auto => error.print(),
        ColorChoice::Always => write_parse_error(error, &error.render().ansi().to_string()),
        ColorChoice::Never => write_parse_error(error, &error.render().to_string()),
    };
    let _ = styled;
    if error.use_stderr() { USAGE } else { DONE }
}

/// A verb that there is not: what it is called here, or which of ours was probably meant.
fn unknown_command(error: &clap::Error, arguments: &[OsString]) -> Option<Problem> {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str()).take_while(|word| word != verb);
    let root = Args::command();
    let noun = words.find_map(|word| root.find_subcommand(word));
    let typed =
        noun.map_or_else(|| format!("mimir {verb}"), |noun| format!("mimir {} {verb}", noun.get_name()));
    let problem = usage(format!("there is no command `{typed}`"));
    if let Some(instead) = habits::instead(noun.map(clap::Command::get_name), verb) {
        return Some(problem.hint(instead));
    }
    let (ours, help) = match noun {
        Some(noun) => (noun, format!("mimir {}", noun.get_name())),
        None => (&root, "mimir".to_owned()),
    };
    let names = ours.get_subcommands().filter(|sub| !sub.is_hide_set()).map(clap::Command::get_name);
    let nearest = names
        .map(|name| (strsim::damerau_levenshtein(name, verb), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(verb.len()) / 4)
        .min();
    Some(problem.hint(match nearest {
        Some((_, name)) => format!("did you mean `{help} {name}`? `{help} --help` lists all"),
        None => format!("`{help} --help` lists the commands"),
    }))
}

fn write_parse_error(error: &clap::Error, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    if error.use_stderr() {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    }
}

/// What a panic says: that it is our bug, and where to report it.
pub fn explain_panic(place: &str) {
    let problem = Problem::new(500, "bug", "this is a bug in mimir")
        .detail(format!("it happened at {place}"))
        .hint("report it with what you typed; MIMIR_LOG=debug shows more");
    let told = for_people(&problem, Paint::decide(ColorChoice::Auto, false, &|_| None));
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{told}\n").as_bytes());
}

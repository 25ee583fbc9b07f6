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
mod wrong_usage;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use context::Context;
use exit::{DONE, Failure, USAGE};
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
        Err(error) => return show_parse_error(&error, &arguments),
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

/// Help and version are answers; everything else is wrong usage.
fn show_parse_error(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let given = Globals::guess(arguments);
    if let Some(problem) = wrong_usage::explain(error, arguments) {
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

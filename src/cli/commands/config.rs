//! `mimir config …`

use std::io::IsTerminal;

use clap::{Args, Subcommand};

use super::config_edit;
use crate::cli::ask;
use crate::cli::context::Context;
pub use crate::cli::exit::of_config as problem;
use crate::cli::exit::{DONE, FINDINGS, Failure, Outcome, usage};
use crate::cli::json::{ConfigChecked, ConfigFile, PendingSetting, Setting, SettingChanged, Settings};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::config::edit::{self, Changed};
use crate::config::keys::{self, Key};
use crate::config::running::applies;
use crate::config::show::{Row, is_at, typed};
use crate::config::{Config, ConfigError, ConfigProblem, LoadOptions, Loaded, Origin};
use crate::wire::config::{Applies, RunningConfig, RunningSetting};
use crate::wire::problem::Problem;

/// Verbs of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    #[command(visible_alias = "list", alias = "ls")]
    Show(ShowArgs),
    Get(GetArgs),
    Set(SetArgs),
    #[command(alias = "rm", alias = "remove")]
    Unset(UnsetArgs),
    /// Open the file in your editor, and take it over when it is good
    Edit,
    /// Check the whole configuration; exit code 8 when something is wrong
    Check,
    /// Where the configuration file is
    Path,
}

/// Every setting
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only this one and those below it
    #[arg(add = names::settings())]
    key: Option<String>,
    /// With where each was set
    #[arg(long)]
    origin: bool,
}

/// One setting
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Such as `frames.network`
    #[arg(add = names::settings())]
    key: String,
}

/// Change one setting in the file; comments and order stay
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Such as `frames.network`
    #[arg(add = names::settings())]
    key: String,
    /// The value, a list with commas; for keys of providers use --stdin or ${NAME}
    value: Option<String>,
    /// Read the value from standard input
    #[arg(long, conflicts_with = "value")]
    stdin: bool,
}

/// Take one setting out of the file, so that what is built in holds again
#[derive(Debug, Args)]
pub struct UnsetArgs {
    /// Such as `frames.network`
    #[arg(add = names::settings())]
    key: String,
}

pub fn run(command: ConfigCommand, context: &Context) -> Outcome {
    match command {
        ConfigCommand::Show(args) => show(&args, context),
        ConfigCommand::Get(args) => get(&args, context),
        ConfigCommand::Set(args) => set(&args, context),
        ConfigCommand::Unset(args) => unset(&args, context),
        ConfigCommand::Edit => config_edit::run(context),
        ConfigCommand::Check => check(context),
        ConfigCommand::Path => {
            let file = context.paths.config_file().display().to_string();
            if context.out.json {
                context.out.document(&ConfigFile { file })?
            } else {
                context.out.line(file)?
            }
            Ok(DONE)
        }
    }
}

fn failure(error: &ConfigError) -> Failure {
    problem(error).into()
}

fn options() -> Result<LoadOptions, Failure> {
    LoadOptions::of_process().map_err(|error| failure(&error))
}

fn load() -> Result<Loaded, Failure> {
    Config::load(&options()?).map_err(|error| failure(&error))
}

/// A setting as it holds for whoever asks from here.
struct Shown {
    setting: RunningSetting,
    /// Whether a request from here takes it along.
    from_here: bool,
}

/// Every setting: as the gateway that runs uses it, or as one would that starts now.
fn shown(context: &Context) -> Result<(Vec<Shown>, Option<RunningConfig>), Failure> {
    let here = load()?.rows();
    let running = context.wait_for(async { Ok(context.gateway_as_it_is().await?.config().await.ok()) })?;
    let Some(mut running) = running else {
        let plain = |row: Row| RunningSetting {
            applies: applies(&row.key),
            key: row.key,
            value: row.value,
            origin: row.origin.to_string(),
            pending: None,
            digest: None,
        };
        let all = here.into_iter().map(|row| Shown { setting: plain(row), from_here: false });
        return Ok((all.collect(), None));
    };
    let settings = std::mem::take(&mut running.settings).into_iter().map(|setting| {
        let ours = here.iter().find(|row| {
            row.key == setting.key
                && setting.applies == Applies::Request
                && matches!(row.origin, Origin::Env(_))
        });
        match ours {
            Some(row) => Shown {
                setting: RunningSetting {
                    value: row.value.clone(),
                    origin: row.origin.to_string(),
                    ..setting
                },
                from_here: true,
            },
            None => Shown { setting, from_here: false },
        }
    });
    Ok((settings.collect(), Some(running)))
}

fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let (all, running) = shown(context)?;
    let all = match &args.key {
        Some(key) => at(all, key)?,
        None => all,
    };
    if context.out.json {
        context.out.document(&all.iter().map(|shown| described(&shown.setting)).collect::<Vec<_>>())?;
    } else {
        let mut columns = vec![column("KEY"), column("VALUE").shrinks()];
        if args.origin {
            columns.push(column("FROM").shrinks());
        }
        let mut table = Table::new(&columns);
        for Shown { setting, from_here } in &all {
            let value = match setting.value.is_empty() {
                true => inked(Ink::Dim, "(empty)"),
                false => setting.value.clone().into(),
            };
            let mut cells = vec![setting.key.clone().into(), value];
            if args.origin {
                let here = if *from_here { " (goes along with requests from here)" } else { "" };
                cells.push(format!("{}{here}", setting.origin).into());
            }
            table.row(cells);
        }
        context.out.table(&table)?;
    }
    if let Some(running) = running {
        tell(context, &all, &running);
    }
    Ok(DONE)
}

fn described(setting: &RunningSetting) -> Setting {
    let pending = setting.pending.as_ref().map(|pending| PendingSetting {
        value: typed(&setting.key, &pending.value),
        set_in: pending.origin.clone(),
    });
    Setting {
        key: setting.key.clone(),
        value: typed(&setting.key, &setting.value),
        set_in: setting.origin.clone(),
        applies: setting.applies,
        pending,
    }
}

/// What is not so yet, or not so here.
fn tell(context: &Context, all: &[Shown], running: &RunningConfig) {
    if running.changed {
        context.out.say(context.dim(&format!("{} changed since the gateway started", clean(&running.file))));
    }
    for Shown { setting, .. } in all {
        if let Some(pending) = &setting.pending {
            let value = if pending.value.is_empty() { "(empty)" } else { pending.value.as_str() };
            context.out.say(format!(
                "{} is {value} after a restart ({}): `mimir serve --stop`",
                clean(&setting.key),
                clean(&pending.origin)
            ));
        }
    }
    context.out.say(context.dim("this is what the running gateway uses"));
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let rows: Vec<RunningSetting> =
        at(shown(context)?.0, &args.key)?.into_iter().map(|shown| shown.setting).collect();
    let single = matches!(rows.as_slice(), [only] if only.key == args.key);
    if context.out.json {
        let values = rows.into_iter().map(|row| (row.key.clone(), typed(&row.key, &row.value)));
        context.out.document(&Settings(values.collect()))?;
    } else if single {
        context.out.line(&rows[0].value)?;
    } else {
        for row in rows {
            context.out.line(format!("{}: {}", row.key, row.value))?;
        }
    }
    Ok(DONE)
}

/// Those at and below a key.
fn at(all: Vec<Shown>, key: &str) -> Result<Vec<Shown>, Failure> {
    let found: Vec<Shown> = all.into_iter().filter(|shown| is_at(&shown.setting.key, key)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let hint = match keys::nearest_key(&keys::CONFIG, key) {
        Some(nearest) => format!("did you mean `{nearest}`? `mimir config show` lists all keys"),
        None => "`mimir config show` lists all keys".to_owned(),
    };
    let known = keys::find(&keys::CONFIG, key).is_some();
    let title = if known { format!("`{key}` is not set") } else { format!("there is no setting `{key}`") };
    Err(Problem::new(404, "config.no_such_key", title).hint(hint).into())
}

/// When a gateway that runs obeys what was just written.
pub(super) fn obeyed(context: &Context, key: &str) -> String {
    let asked = context.wait_for(async { Ok(context.gateway_here().config().await.ok()) });
    let Ok(Some(running)) = asked else { return "the next gateway uses it".to_owned() };
    let waits = running.settings.iter().any(|setting| is_at(&setting.key, key) && setting.pending.is_some());
    match waits {
        true => "the running gateway uses it after a restart: `mimir serve --stop`; frames go on".to_owned(),
        false => "the running gateway uses it now".to_owned(),
    }
}

fn unset(args: &UnsetArgs, context: &Context) -> Outcome {
    let options = options()?;
    let changed = edit::unset(&options, &args.key).map_err(|error| failure(&error))?;
    let says = changed.before != changed.after;
    tell_change(&args.key, &changed, if says { "took out" } else { "there is no" }, &options, context)
}

fn set(args: &SetArgs, context: &Context) -> Outcome {
    let options = options()?;
    let value = value_of(args, context)?;
    let changed = edit::set(&options, &args.key, &value).map_err(|error| {
        let problem = problem(&error);
        let given = matches!(error.problems.as_slice(), [ConfigProblem::Invalid { at: Origin::Flag(_), .. }]);
        let key = &args.key;
        Failure::from(match given {
            true => problem.hint(format!("nothing was changed; `mimir config get {key}` shows what is set")),
            false => problem,
        })
    })?;
    tell_change(&args.key, &changed, "set", &options, context)
}

/// Says what became of the file.
fn tell_change(key: &str, changed: &Changed, did: &str, options: &LoadOptions, context: &Context) -> Outcome {
    let file = options.paths.config_file().display().to_string();
    let is_changed = changed.before != changed.after;
    if context.out.json {
        let overridden_by = changed.overridden_by.clone();
        let told = SettingChanged { key: key.to_owned(), file, changed: is_changed, overridden_by };
        context.out.document(&told)?;
    } else if !is_changed && did == "set" {
        context.out.say(format!("{file} says so already"));
    } else {
        context.out.say(format!("{did} {} in {}", clean(key), clean(&file)));
        if is_changed {
            context.out.say(context.dim(&obeyed(context, key)));
        }
    }
    if let Some(variable) = &changed.overridden_by {
        context.out.warn(format!("{variable} is set in this environment and wins over the file"));
    }
    Ok(DONE)
}

/// Secrets come without an echo, from standard input or as a reference; never as a word
/// that stays in the shell's history and shows in every process list.
fn value_of(args: &SetArgs, context: &Context) -> Result<String, Failure> {
    let secret = keys::find(&keys::CONFIG, &args.key).is_some_and(Key::is_secret);
    match &args.value {
        Some(value) if secret && !value.is_empty() && !value.starts_with("${") => {
            Err(usage(format!("`{}` is a secret, and a command line is seen by others", args.key))
                .hint(format!(
                    "`mimir config set {} --stdin`, or refer to the environment: '${{NAME}}'",
                    args.key
                ))
                .into())
        }
        Some(value) => Ok(value.clone()),
        None if args.stdin => read_line(),
        None if secret && std::io::stdin().is_terminal() && !context.out.json => {
            ask::hidden(&format!("{}: ", args.key))
                .map_err(|error| usage("the value cannot be read").detail(error.to_string()).into())
        }
        None => Err(usage(format!("`{}` needs a value", args.key))
            .hint(format!("`mimir config set {} VALUE`, or --stdin", args.key))
            .into()),
    }
}

pub(super) fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| usage("the value cannot be read from standard input").detail(error.to_string()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn check(context: &Context) -> Outcome {
    let options = options()?;
    let file = options.paths.config_file();
    let problems = match Config::load(&options) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems,
    };
    if context.out.json {
        let problems = problems.iter().map(ToString::to_string).collect();
        context.out.document(&ConfigChecked { file: file.display().to_string(), problems })?;
    } else if problems.is_empty() {
        let what = if file.exists() {
            file.display().to_string()
        } else {
            "no file, built-in settings only".to_owned()
        };
        context.out.line(format!("{} ({})", context.out.paint.ink(Ink::Green, "good"), clean(&what)))?;
    } else {
        for one in &problems {
            context.out.paragraph(&clean(&one.to_string()), 2)?;
        }
    }
    Ok(if problems.is_empty() { DONE } else { FINDINGS })
}

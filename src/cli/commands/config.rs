//! `mimir config …`

use std::io::IsTerminal;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, FINDINGS, Failure, Outcome, usage};
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::config::keys::{self, Key};
use crate::config::show::Row;
use crate::config::{Config, ConfigError, ConfigProblem, LoadOptions, Loaded, Origin, edit};
use crate::wire::problem::Problem;

/// Verbs of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    Show(ShowArgs),
    Get(GetArgs),
    Set(SetArgs),
    /// Check the whole configuration; exit code 8 when something is wrong
    Check,
    /// Where the configuration file is
    Path,
}

/// Every setting
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only this one and those below it
    key: Option<String>,
    /// With where each was set
    #[arg(long)]
    origin: bool,
}

/// One setting
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Such as `frames.network`
    key: String,
}

/// Change one setting in the file; comments and order stay
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Such as `frames.network`
    key: String,
    /// The value, a list with commas; for keys of providers use --stdin or ${NAME}
    value: Option<String>,
    /// Read the value from standard input
    #[arg(long, conflicts_with = "value")]
    stdin: bool,
}

pub fn run(command: ConfigCommand, context: &Context) -> Outcome {
    match command {
        ConfigCommand::Show(args) => show(&args, context),
        ConfigCommand::Get(args) => get(&args, context),
        ConfigCommand::Set(args) => set(&args, context),
        ConfigCommand::Check => check(context),
        ConfigCommand::Path => {
            context.out.line(context.paths.config_file().display().to_string())?;
            Ok(DONE)
        }
    }
}

/// A configuration error as a problem.
pub fn problem(error: &ConfigError) -> Problem {
    let first = error.problems.first();
    let (code, hint) = match first {
        Some(ConfigProblem::NoHome) => {
            ("config.no_home", "set MIMIR_HOME to the folder where mimir may keep its data")
        }
        Some(ConfigProblem::UnsafeFolder { .. }) => {
            ("config.unsafe_folder", "make it yours alone (chmod 700), or set MIMIR_HOME to another folder")
        }
        Some(ConfigProblem::MissingVariable { .. }) => {
            ("config.missing_variable", "set the variable, or write `${NAME:-}` to do without it")
        }
        Some(ConfigProblem::NotEditable { .. }) => {
            ("config.not_editable", "edit the file by hand; `mimir config path` says where it is")
        }
        Some(ConfigProblem::UnknownKey { .. }) => {
            ("config.unknown_key", "`mimir config show` lists all keys")
        }
        Some(ConfigProblem::Unreadable { .. }) => {
            ("config.unreadable", "`mimir config path` says where the file is")
        }
        Some(ConfigProblem::Syntax { .. } | ConfigProblem::Invalid { .. }) | None => {
            ("config.invalid", "correct it in the file, then `mimir config check`")
        }
    };
    let title = match (first, error.problems.len()) {
        (Some(only), 1) => only.to_string(),
        (_, count) => format!("the configuration has {count} mistakes"),
    };
    let problem = Problem::new(400, code, title).hint(hint);
    if error.problems.len() > 1 { problem.detail(error.to_string()) } else { problem }
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

fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let loaded = load()?;
    let rows = match &args.key {
        Some(key) => rows_at(&loaded, key)?,
        None => loaded.rows(),
    };
    if context.out.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| serde_json::json!({"key": row.key, "value": row.value, "origin": row.origin.to_string()}))
            .collect();
        context.out.document(&rows)?;
        return Ok(DONE);
    }
    let mut columns = vec![column("KEY"), column("VALUE").shrinks()];
    if args.origin {
        columns.push(column("FROM").shrinks());
    }
    let mut table = Table::new(&columns);
    for row in rows {
        let value = if row.value.is_empty() { inked(Ink::Dim, "(empty)") } else { row.value.into() };
        let mut cells = vec![row.key.into(), value];
        if args.origin {
            cells.push(row.origin.to_string().into());
        }
        table.row(cells);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

fn get(args: &GetArgs, context: &Context) -> Outcome {
    let rows = rows_at(&load()?, &args.key)?;
    let single = matches!(rows.as_slice(), [only] if only.key == args.key);
    if context.out.json {
        let values: serde_json::Map<String, serde_json::Value> =
            rows.into_iter().map(|row| (row.key, row.value.into())).collect();
        context.out.document(&values)?;
    } else if single {
        context.out.line(&rows[0].value)?;
    } else {
        for row in rows {
            context.out.line(format!("{}: {}", row.key, row.value))?;
        }
    }
    Ok(DONE)
}

fn rows_at(loaded: &Loaded, key: &str) -> Result<Vec<Row>, Failure> {
    let rows = loaded.rows_at(key);
    if !rows.is_empty() {
        return Ok(rows);
    }
    let hint = match keys::nearest_key(&keys::CONFIG, key) {
        Some(nearest) => format!("did you mean `{nearest}`? `mimir config show` lists all keys"),
        None => "`mimir config show` lists all keys".to_owned(),
    };
    let known = keys::find(&keys::CONFIG, key).is_some();
    let title = if known { format!("`{key}` is not set") } else { format!("there is no setting `{key}`") };
    Err(Problem::new(404, "config.no_such_key", title).hint(hint).into())
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
    let file = options.paths.config_file().display().to_string();
    if context.out.json {
        context.out.document(&serde_json::json!({
            "key": args.key, "file": file, "changed": changed.before != changed.after,
            "overridden_by": changed.overridden_by,
        }))?;
    } else if changed.before == changed.after {
        context.out.say(format!("{file} says so already"));
    } else {
        context.out.say(format!("set {} in {}", clean(&args.key), clean(&file)));
        context.out.say(context.dim("a gateway that runs uses it after a restart: `mimir serve --stop`"));
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
            rpassword::prompt_password(format!("{}: ", args.key))
                .map_err(|error| usage("the value cannot be read").detail(error.to_string()).into())
        }
        None => Err(usage(format!("`{}` needs a value", args.key))
            .hint(format!("`mimir config set {} VALUE`, or --stdin", args.key))
            .into()),
    }
}

fn read_line() -> Result<String, Failure> {
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
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        context
            .out
            .document(&serde_json::json!({"file": file.display().to_string(), "problems": problems}))?;
    } else if problems.is_empty() {
        let what = if file.exists() {
            file.display().to_string()
        } else {
            "no file, built-in settings only".to_owned()
        };
        context.out.line(format!("{} ({})", context.out.paint.ink(Ink::Green, "good"), clean(&what)))?;
    } else {
        for one in &problems {
            context.out.line(clean(&one.to_string()))?;
        }
    }
    Ok(if problems.is_empty() { DONE } else { FINDINGS })
}

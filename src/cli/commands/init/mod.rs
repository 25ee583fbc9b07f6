//! `mimir init`

mod choose;
mod detect;
mod jsonc;
mod known;
mod local;
mod propose;
mod providers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use similar::{ChangeTag, TextDiff};
use tokio::process::Command;
use tokio::time::timeout;

use super::config::{obeyed, problem, read_line};
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::clock;
use crate::config::{Config, ConfigError, LoadOptions, edit};
use crate::frames::project;
use crate::frames::workspace::OffLimits;
use crate::model::secret::Secret;
use crate::wire::problem::Problem;
use detect::Folder;
use propose::Wishes;
use providers::{Answer, Providers};

/// A program that does not say its version in this time does not work.
const PROBE: Duration = Duration::from_secs(5);

/// Look at this folder, ask for a key of a model provider, write the configuration; safe to run again
///
/// What the environment, opencode and servers on this machine know already is shown and asked about. A key is tried
/// before it is written.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Ask nothing: what is proposed is written
    #[arg(long)]
    non_interactive: bool,
    /// Show what would be written and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write without asking for a last time
    #[arg(long, short)]
    yes: bool,
    /// Use this provider: whose key --key-stdin brings, or what is known here under that name (anthropic, openai,
    /// openrouter, google, ollama, …); nothing is asked
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Read the key from standard input; nothing is asked
    #[arg(long)]
    key_stdin: bool,
    /// Keep the key without trying it
    #[arg(long)]
    no_check: bool,
}

pub fn run(args: &InitArgs, context: &Context) -> Outcome {
    if let Some(elsewhere) = &context.elsewhere {
        return Err(usage(format!(
            "the gateway is elsewhere ({}), and its keys are kept there",
            clean(&elsewhere.url)
        ))
        .hint("run `mimir init` on its machine; `env -u MIMIR_URL mimir init` sets up a gateway on this one")
        .into());
    }
    let is_given = args.key_stdin || args.provider.is_some();
    let asks = !args.non_interactive && !args.dry_run && !is_given;
    if asks && !ask::can_ask(&context.out) {
        return Err(usage("init asks questions, and nobody is here to answer them")
            .hint("`mimir init --non-interactive` writes what it proposes, `… | mimir init --key-stdin` takes a key, `--dry-run` only shows")
            .into());
    }
    let options = LoadOptions::of_process().map_err(|error| failure(&error))?;
    let loaded = Config::load(&options).map_err(|error| failure(&error))?;
    let user_home = std::env::home_dir();
    let off_limits = OffLimits { mimir_home: options.paths.home(), user_home: user_home.as_deref() };
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let folder = Folder::look(&here, off_limits);
    context.wait_for(async { tell(&folder, context).await })?;

    let mut wishes = propose::wishes(&loaded.config, &folder, &options.env);
    let providers = Providers::new(context, &loaded.config, &options.env);
    let answer = if is_given {
        let key = args.key_stdin.then(read_line).transpose()?.map(|key| Secret::new(key.trim()));
        context.wait_for(providers.given(args.provider.as_deref(), key, !args.no_check))?
    } else if asks {
        context.wait_for(providers.ask())?
    } else {
        providers.tell();
        Answer::default()
    };
    wishes.take(&answer);
    if asks {
        question(&mut wishes, context);
    }
    let file = options.paths.config_file();
    let before = read(&file)?;
    let after = propose::text(before.as_deref(), &file, &wishes).map_err(|error| failure(&error))?;
    if before.as_deref() == Some(after.as_str()) {
        context.out.say(format!("{} is as it should be; nothing to write", file.display()));
        return next_steps(&folder, context);
    }
    let mut secrets = propose::keys_in(&after, &file);
    secrets.extend(propose::keys_in(before.as_deref().unwrap_or_default(), &file));
    let shown = |text: &str| choose::without_keys(text, &secrets);
    show_difference(&shown(before.as_deref().unwrap_or_default()), &shown(&after), &file, context)?;
    if args.dry_run {
        context.out.say("nothing was written");
        return Ok(DONE);
    }
    if asks && !args.yes && !ask::yes_or_no(&context.out, &format!("Write {}?", file.display()), true) {
        context.out.say("nothing was written");
        return Ok(FAILED);
    }
    write(&options, before.as_deref(), &after, context)?;
    if let Some(found) = &answer.taken {
        context.out.say(context.dim(&obeyed(context, &format!("providers.{}", found.name))));
    }
    next_steps(&folder, context)
}

fn failure(error: &ConfigError) -> Failure {
    problem(error).into()
}

fn read(file: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Problem::new(400, "config.unreadable", format!("{} cannot be read", file.display()))
                .detail(error.to_string())
                .hint("make it readable, or set MIMIR_HOME to another folder")
                .into())
        }
    }
}

/// What this folder is, and what is on this machine.
async fn tell(folder: &Folder, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    out.say(format!(
        "folder   {}: {}, {}",
        folder.path.display(),
        folder.kinds_in_words(),
        folder.git_in_words()
    ));
    if let Some(about) = project::about(&folder.git) {
        out.say(format!("         {}", clean(&about)));
    }
    let needed = [
        ("git", "without it neither you nor the agent can take a change back"),
        ("podman", "frames run in it: `sudo apt install podman`"),
    ];
    for (program, why) in needed {
        match version(program).await {
            Some(version) => out.say(format!("{program:<8} {}", clean(&version))),
            None => {
                out.say(format!("{program:<8} {}: {why}", out.paint_errors.ink(Ink::Yellow, "not found")))
            }
        }
    }
    Ok(())
}

async fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").kill_on_drop(true).output();
    let output = timeout(PROBE, output).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text).filter(|text| !text.is_empty())
}

fn question(wishes: &mut Wishes, context: &Context) {
    let out = &context.out;
    out.say(
        "\nWhat may agents reach?\n  sealed  their model only\n  allow   also package registries\n  open    everything",
    );
    loop {
        let answer = ask::text(out, "network", wishes.network.as_str());
        match answer.parse() {
            Ok(network) => {
                wishes.network = network;
                break;
            }
            Err(error) => out.say(error.to_string()),
        }
    }
    out.say("Which model, as provider/model? auto: the first provider with a key, else the built-in demo");
    loop {
        let answer = ask::text(out, "model", &wishes.model);
        if answer == "auto" || answer.parse::<crate::model::agent::ModelRef>().is_ok() {
            wishes.model = answer;
            break;
        }
        out.say(format!("`{answer}` is not a model: write it as provider/model"));
    }
}

fn show_difference(before: &str, after: &str, file: &Path, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if out.json {
        return out.document(
            &serde_json::json!({"file": file.display().to_string(), "before": before, "after": after}),
        );
    }
    out.line(out.paint.ink(Ink::Bold, &format!("--- {}", file.display())))?;
    for group in TextDiff::from_lines(before, after).grouped_ops(2) {
        for change in group.iter().flat_map(|op| {
            TextDiff::from_lines(before, after)
                .iter_changes(op)
                .map(|c| (c.tag(), c.value().to_owned()))
                .collect::<Vec<_>>()
        }) {
            let line = clean(change.1.trim_end_matches('\n'));
            out.line(match change.0 {
                ChangeTag::Insert => out.paint.ink(Ink::Green, &format!("+{line}")),
                ChangeTag::Delete => out.paint.ink(Ink::Red, &format!("-{line}")),
                ChangeTag::Equal => format!(" {line}"),
            })?;
        }
    }
    Ok(())
}

fn write(options: &LoadOptions, before: Option<&str>, after: &str, context: &Context) -> Result<(), Failure> {
    let file = options.paths.config_file();
    if before.is_some() {
        let stamp = clock::utc(context.now_ms()).replace([' ', ':', '-'], "");
        let backup = file.with_file_name(format!("config.yaml.before-{stamp}"));
        std::fs::copy(&file, &backup).map_err(|error| {
            Problem::new(
                507,
                "config.backup",
                format!("{} cannot be kept as {}", file.display(), backup.display()),
            )
            .detail(error.to_string())
            .hint("is the disk full? nothing was changed")
        })?;
        context.out.say(format!("kept the old file as {}", backup.display()));
    }
    edit::replace(options, after).map_err(|error| failure(&error))?;
    context.out.say(format!("wrote {}", file.display()));
    write_example(options, context);
    Ok(())
}

/// A workflow to look at and change, with its schedule. Whoever removed it, or has others, is not given it again.
const EXAMPLE: &str = include_str!("../../../../config/examples/workflow.yaml");

fn write_example(options: &LoadOptions, context: &Context) {
    let folder = options.paths.home().join("workflows");
    if folder.exists() {
        return;
    }
    let file = folder.join("changes.yaml");
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, EXAMPLE)) {
        Ok(()) => {
            context.out.say(format!("wrote {}, an example of a workflow and its schedule", file.display()))
        }
        Err(error) => context.out.say(format!("{} cannot be written: {error}", file.display())),
    }
}

fn next_steps(folder: &Folder, context: &Context) -> Outcome {
    let name = folder.name.as_deref().unwrap_or("NAME");
    context.out.say(format!(
        "\nnext:  mimir frame create {name}    makes a frame for this folder and starts its agent\n       mimir send \"hello\"         asks it something\n       model calls may cost what they like; `mimir budget set 20 --per day` limits that"
    ));
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use crate::model::schedule::Expression;
    use crate::workflows::parse::parse;

    #[test]
    fn the_example_is_a_workflow_with_a_schedule_that_fires() {
        let read = parse(super::EXAMPLE, "changes.yaml").expect("a workflow");
        assert_eq!((read.name.as_str(), read.first(), read.after("look")), ("changes", "look", Some("ask")));
        let said = super::EXAMPLE.split('"').nth(1).expect("an expression");
        assert!(Expression::parse(said).is_ok(), "{said}");
    }
}

//! `mimir projects …`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::ask::{can_ask, confirm_destruction, yes_or_no};
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::ProjectRemoved;
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column};
use crate::model::names::ProjectName;
use crate::model::project::ProjectSettings;
use crate::model::quantity::age;
use crate::model::shell::quoted;
use crate::model::trust::Trust;
use crate::model::visible::exact;
use crate::wire::projects::{AddProject, ProjectView, SetProject, TrustFolder, TrustView};

/// Verbs of projects.
#[derive(Debug, Subcommand)]
pub enum ProjectsCommand {
    /// All projects
    #[command(alias = "ls")]
    List,
    Add(AddArgs),
    Show(NameArgs),
    Set(SetArgs),
    #[command(alias = "rm", alias = "delete")]
    Remove(RemoveArgs),
    Trust(TrustArgs),
    Distrust(DistrustArgs),
}

/// Give a folder a name
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The folder
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    path: PathBuf,
    /// What to call it; the folder's name when absent
    #[arg(long, value_parser = ProjectName::parse)]
    name: Option<ProjectName>,
    /// Where its errors are told, in Sentry; what its files say when absent
    #[arg(long, value_name = "ORGANIZATION/PROJECT")]
    sentry: Option<String>,
}

/// Say what is to be known of a project; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "Settings:
  repository=github.com/me/shop   where it is at a forge
  default_branch=main             the branch that changes are made for
  language=rust                   what most of it is written in
  checks='cargo test'             a shell line that says whether it works, run in a frame; several in order
  sentry=acme/shop                where its errors are told: organization and project
  protected=deploy                a file or folder whose change needs a person; several
Several of checks= and protected= together are the new list. `NAME=` alone takes it away.")]
pub struct SetArgs {
    /// Which project
    #[arg(value_parser = ProjectName::parse, add = names::projects())]
    name: ProjectName,
    /// What, and to what
    #[arg(required = true, value_name = "SETTING=VALUE")]
    settings: Vec<String>,
}

/// A project and its frames
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Which project
    #[arg(value_parser = ProjectName::parse, add = names::projects())]
    name: ProjectName,
}

/// Forget a project; its folder and its frames stay
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Which project
    #[arg(value_parser = ProjectName::parse, add = names::projects())]
    name: ProjectName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// See what a project brings for its agent to obey, and let frames obey it
///
/// Plugins, tools, MCP servers, commands, agents and settings of opencode.json and .opencode are left out of every
/// frame until you say yes here. A yes holds for exactly what was shown: when any of it changes, frames leave all of it
/// out from their next start on, until you have looked again. Throwaway frames never obey it.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// The project's folder
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    path: PathBuf,
    /// Say yes without being asked
    #[arg(long, short)]
    yes: bool,
    /// Show it only
    #[arg(long, conflicts_with = "yes")]
    show: bool,
}

/// Leave out again what a project brings, from the next start of its frames on
#[derive(Debug, Args)]
pub struct DistrustArgs {
    /// The project's folder
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    path: PathBuf,
}

pub async fn run(command: ProjectsCommand, context: &Context) -> Outcome {
    match command {
        ProjectsCommand::List => list(context).await,
        ProjectsCommand::Add(args) => add(&args, context).await,
        ProjectsCommand::Show(args) => show(&args, context).await,
        ProjectsCommand::Set(args) => set(&args, context).await,
        ProjectsCommand::Remove(args) => remove(&args, context).await,
        ProjectsCommand::Trust(args) => trust(&args, context).await,
        ProjectsCommand::Distrust(args) => distrust(&args, context).await,
    }
}

async fn list(context: &Context) -> Outcome {
    let projects = context.gateway().await?.projects().await?;
    if context.out.json {
        context.out.document(&projects)?;
        return Ok(DONE);
    }
    if projects.is_empty() {
        context.out.say("no projects yet; `mimir projects add PATH` gives a folder a name");
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("NAME"),
        column("FRAMES").shrinks().spare(2),
        column("TRUST").spare(3),
        column("AGE").right().spare(1),
        column("PATH").shrinks(),
    ]);
    for project in projects {
        let frames = if project.frames.is_empty() { "-".to_owned() } else { project.frames.join(", ") };
        table.row(vec![
            project.name.into(),
            frames.into(),
            in_a_word(project.trust).into(),
            age(project.created_at, context.now_ms()).into(),
            project.path.into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn add(args: &AddArgs, context: &Context) -> Outcome {
    let path = absolute(&args.path)?;
    let request =
        AddProject { name: args.name.as_ref().map(ToString::to_string), path, sentry: args.sentry.clone() };
    let project = context.gateway().await?.add_project(&request).await?;
    if context.out.json {
        context.out.document(&project)?;
    } else {
        context.out.line(&project.name)?;
        for (name, value) in known(&project.settings) {
            context.out.say(format!("  {name:<10} {}", clean(&value)));
        }
        context.out.say(format!("`mimir projects set {} …` changes what is known of it", project.name));
        context.out.say(format!("`mimir frame create --project {}` makes a frame for it", project.name));
    }
    Ok(DONE)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path: PathBuf = std::path::absolute(path)
        .map_err(|error| usage(format!("`{}` cannot be a folder", path.display())).detail(error.to_string()))?
        .components()
        .collect();
    let text = path.into_os_string().into_string();
    Ok(text.map_err(|path| usage(format!("the path {} is not UTF-8", path.to_string_lossy())))?)
}

async fn trust(args: &TrustArgs, context: &Context) -> Outcome {
    let (gateway, out) = (context.gateway().await?, &context.out);
    let found = gateway.trust_of(&absolute(&args.path)?).await?;
    let is_open = matches!(found.trust, Trust::Untrusted | Trust::Changed) && found.obstacles.is_empty();
    if out.json && (args.show || !is_open) {
        out.document(&found)?;
        return Ok(DONE);
    }
    if !out.json {
        show_trust(&found, context)?;
    }
    if args.show || !is_open {
        return Ok(if found.obstacles.is_empty() { DONE } else { FAILED });
    }
    let question = "Shall the frames of this project obey exactly that?";
    let command = format!("mimir projects trust {}", quoted(&found.path));
    if !args.yes && !can_ask(out) {
        return Err(usage("nobody can be asked whether this is to be obeyed")
            .hint(format!("`{command} --show` shows it; `{command} --yes` says yes"))
            .into());
    }
    if !args.yes && !yes_or_no(out, question, false) {
        return Ok(FAILED);
    }
    let done = gateway.trust(&TrustFolder { path: found.path, hash: found.hash }).await?;
    if out.json {
        out.document(&done)?;
    } else {
        out.line(format!("{} is trusted", clean(&done.path)))?;
        say_when(&done, "obey it", context);
    }
    Ok(DONE)
}

async fn distrust(args: &DistrustArgs, context: &Context) -> Outcome {
    let done = context.gateway().await?.distrust(&absolute(&args.path)?).await?;
    if context.out.json {
        context.out.document(&done)?;
    } else {
        context.out.line(format!("{} is not trusted", clean(&done.path)))?;
        say_when(&done, "leave it out", context);
    }
    Ok(DONE)
}

fn say_when(done: &TrustView, what: &str, context: &Context) {
    if !done.running_frames.is_empty() {
        let frames = done.running_frames.join(" ");
        context.out.say(format!("frames that run {what} after a restart: `mimir frame restart {frames}`"));
    }
}

/// What would be obeyed, for a person who is about to decide. Every word of it is a stranger's.
fn show_trust(found: &TrustView, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    out.line(format!("{}: {}", out.paint.ink(Ink::Bold, &clean(&found.path)), in_a_sentence(found.trust)))?;
    // Not a table: on a narrow terminal that would cut what is decided upon.
    for item in &found.items {
        out.paragraph(&format!("  {:<9} {}", item.kind, clean(&item.path)), 10)?;
        for line in exact(&item.what).lines() {
            out.paragraph(&format!("            {line}"), 2)?;
        }
    }
    for path in &found.changed_files {
        out.line(format!("changed since somebody said yes: {}", clean(path)))?;
    }
    for why in &found.obstacles {
        out.line(format!("cannot be trusted as long as this is so: {}", clean(why)))?;
    }
    Ok(())
}

fn in_a_word(trust: Trust) -> &'static str {
    match trust {
        Trust::Nothing => "-",
        Trust::Untrusted => "no",
        Trust::Changed => "changed",
        Trust::Trusted => "yes",
    }
}

fn in_a_sentence(trust: Trust) -> &'static str {
    match trust {
        Trust::Nothing => "it brings nothing that an agent would obey",
        Trust::Untrusted => "left out of its frames until you trust it",
        Trust::Changed => "left out: it is not what you trusted",
        Trust::Trusted => "trusted; its frames obey it from their next start on",
    }
}

async fn show(args: &NameArgs, context: &Context) -> Outcome {
    let project = context.gateway().await?.project(args.name.as_str()).await?;
    if context.out.json {
        context.out.document(&project)?;
    } else {
        print(&project, context)?;
    }
    Ok(DONE)
}

fn print(project: &ProjectView, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let frames = if project.frames.is_empty() { "none".to_owned() } else { project.frames.join(", ") };
    out.line(out.paint.ink(Ink::Bold, &project.name))?;
    out.line(format!("  path     {}", clean(&project.path)))?;
    out.line(format!("  frames   {frames}"))?;
    out.line(format!("  trust    {}", in_a_word(project.trust)))?;
    for (name, value) in known(&project.settings) {
        out.line(format!("  {name:<8} {}", clean(&value)))?;
    }
    out.line(format!("  created  {} ago", age(project.created_at, context.now_ms())))
}

/// What is known of it, each with a word.
fn known(settings: &ProjectSettings) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let mut row = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    row("at", settings.repository.as_ref().map(ToString::to_string));
    row("branch", settings.default_branch.clone());
    row("language", settings.language.clone());
    settings.checks.iter().for_each(|check| row("checks", Some(check.clone())));
    row("sentry", settings.sentry.as_ref().map(ToString::to_string));
    settings.protected.iter().for_each(|path| row("guards", Some(path.clone())));
    rows
}

async fn set(args: &SetArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let mut settings = SetProject::from(gateway.project(args.name.as_str()).await?.settings);
    changed(&mut settings, &args.settings)?;
    let project = gateway.set_project(args.name.as_str(), &settings).await?;
    if context.out.json {
        context.out.document(&project)?;
    } else {
        print(&project, context)?;
    }
    Ok(DONE)
}

fn changed(settings: &mut SetProject, said: &[String]) -> Result<(), Failure> {
    let (mut checks, mut protected) = (None::<Vec<String>>, None::<Vec<String>>);
    for pair in said {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(usage(format!("`{pair}` is not SETTING=VALUE"))
                .hint("for example `mimir projects set shop checks='cargo test'`")
                .into());
        };
        let one = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "repository" => settings.repository = one,
            "default_branch" => settings.default_branch = one,
            "language" => settings.language = one,
            "sentry" => settings.sentry = one,
            "checks" => checks.get_or_insert_default().extend(one),
            "protected" => protected.get_or_insert_default().extend(one),
            other => {
                return Err(usage(format!("there is no setting {other}"))
                    .hint("there are repository, default_branch, language, checks, sentry and protected")
                    .into());
            }
        }
    }
    settings.checks = checks.unwrap_or(std::mem::take(&mut settings.checks));
    settings.protected = protected.unwrap_or(std::mem::take(&mut settings.protected));
    Ok(())
}

async fn remove(args: &RemoveArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let project = gateway.project(args.name.as_str()).await?;
    let question = format!("Forget the project {}? {} stays as it is.", project.name, project.path);
    let command = format!("mimir projects remove {}", project.name);
    if !confirm_destruction(&context.out, args.yes, &question, &command)? {
        return Ok(FAILED);
    }
    gateway.remove_project(args.name.as_str()).await?;
    if context.out.json {
        context.out.document(&ProjectRemoved { project: project.name, removed: true })?;
    } else {
        context.out.line(format!("{} removed", project.name))?;
    }
    Ok(DONE)
}

//! `mimir projects …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::ProjectRemoved;
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column};
use crate::model::names::ProjectName;
use crate::model::quantity::age;
use crate::wire::projects::{AddProject, ProjectView};

/// Verbs of projects.
#[derive(Debug, Subcommand)]
pub enum ProjectsCommand {
    /// All projects
    #[command(alias = "ls")]
    List,
    Add(AddArgs),
    Show(NameArgs),
    #[command(alias = "rm", alias = "delete")]
    Remove(RemoveArgs),
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

pub async fn run(command: ProjectsCommand, context: &Context) -> Outcome {
    match command {
        ProjectsCommand::List => list(context).await,
        ProjectsCommand::Add(args) => add(&args, context).await,
        ProjectsCommand::Show(args) => show(&args, context).await,
        ProjectsCommand::Remove(args) => remove(&args, context).await,
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
        column("AGE").right().spare(1),
        column("PATH").shrinks(),
    ]);
    for project in projects {
        let frames = if project.frames.is_empty() { "-".to_owned() } else { project.frames.join(", ") };
        table.row(vec![
            project.name.into(),
            frames.into(),
            age(project.created_at, context.now_ms()).into(),
            project.path.into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn add(args: &AddArgs, context: &Context) -> Outcome {
    let path: PathBuf = std::path::absolute(&args.path)
        .map_err(|error| {
            usage(format!("`{}` cannot be a folder", args.path.display())).detail(error.to_string())
        })?
        .components()
        .collect();
    let path = path
        .into_os_string()
        .into_string()
        .map_err(|path| usage(format!("the path {} is not UTF-8", path.to_string_lossy())))?;
    let request = AddProject { name: args.name.as_ref().map(ToString::to_string), path };
    let project = context.gateway().await?.add_project(&request).await?;
    if context.out.json {
        context.out.document(&project)?;
    } else {
        context.out.line(&project.name)?;
        context.out.say(format!("`mimir frame create --project {}` makes a frame for it", project.name));
    }
    Ok(DONE)
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
    out.line(format!("  created  {} ago", age(project.created_at, context.now_ms())))
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

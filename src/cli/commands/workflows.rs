//! `mimir workflows …`: what runs go through.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, FINDINGS, Outcome, usage};
use crate::cli::json::ConfigChecked;
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::model::quantity::money;
use crate::wire::problem::Problem;
use crate::workflows::parse;

/// Verbs of workflows.
#[derive(Debug, Subcommand)]
pub enum WorkflowsCommand {
    /// The workflows that there are: your own in the home's folder `workflows`, and those that mimir brings
    #[command(alias = "ls")]
    List,
    Show(ShowArgs),
    Check(CheckArgs),
}

/// A workflow as it is written, to be copied and changed
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which workflow
    #[arg(add = names::workflows())]
    name: String,
}

/// Whether a file is a workflow, and what is wrong with it by line
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The file
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

pub async fn run(command: WorkflowsCommand, context: &Context) -> Outcome {
    match command {
        WorkflowsCommand::List => list(context).await,
        WorkflowsCommand::Show(args) => show(&args.name, context).await,
        WorkflowsCommand::Check(args) => check(&args, context),
    }
}

async fn list(context: &Context) -> Outcome {
    let found = context.gateway().await?.workflows().await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("WORKFLOW"),
        column("STAGES").shrinks().spare(2),
        column("AT MOST").right().spare(3),
        column("FROM").shrinks().spare(1),
        column("DOES").shrinks(),
    ]);
    for workflow in &found {
        let stages = workflow.stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(" → ");
        let does = match &workflow.mistake {
            Some(mistake) => inked(Ink::Red, clean(mistake)),
            None => clean(&workflow.description).into(),
        };
        table.row(vec![
            clean(&workflow.name).into(),
            stages.into(),
            money(workflow.cost_microusd).into(),
            clean(&workflow.source).into(),
            does,
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn show(name: &str, context: &Context) -> Outcome {
    let details = context.gateway().await?.workflow(name).await?;
    if context.out.json {
        context.out.document(&details)?;
        return Ok(DONE);
    }
    context.out.line(details.text.trim_end())?;
    if let Some(mistake) = &details.workflow.mistake {
        context.out.warn(clean(mistake));
    }
    Ok(DONE)
}

fn check(args: &CheckArgs, context: &Context) -> Outcome {
    let file = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Problem::new(404, "file.not_found", format!("there is no file {file}"))
        }
        _ => usage(format!("{file} cannot be read")).detail(error.to_string()),
    });
    let text = text.map_err(|problem| {
        problem.hint("`mimir workflows list` shows the files there are; `mimir workflows show review` is one to begin with")
    })?;
    let read = parse::parse(&text, &file);
    if context.out.json {
        let problems = read.as_ref().err().map(ToString::to_string).into_iter().collect();
        context.out.document(&ConfigChecked { file, problems })?;
    } else {
        match &read {
            Ok(workflow) => {
                let good = context.out.paint.ink(Ink::Green, "good");
                context.out.line(format!("{good} ({}, {} stages)", workflow.name, workflow.stages.len()))?;
            }
            Err(invalid) => context.out.paragraph(&clean(&invalid.to_string()), 2)?,
        }
    }
    Ok(if read.is_ok() { DONE } else { FINDINGS })
}

//! `mimir backup …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::config::problem;
use crate::cli::ask::confirm_destruction;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::{BackupRestored, BackupVerified};
use crate::cli::table::{Table, column};
use crate::config::LoadOptions;
use crate::daemon::Copies;
use crate::model::backup::Backup;
use crate::model::quantity::{age, size};

/// Verbs of copies.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Copy the database as it is now, under the same key
    Create,
    /// All copies
    #[command(alias = "ls")]
    List,
    Verify(WhichArgs),
    Restore(RestoreArgs),
}

/// Open a copy with the key and read all of it
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// The copy's name, or the path of a file; the newest when absent
    copy: Option<PathBuf>,
}

/// Put a copy in the place of the database; what was there is set aside
#[derive(Debug, Args)]
#[command(
    after_help = "No gateway may run meanwhile (`mimir serve --stop`). Frames go on running, and the next gateway
takes over those that the copy knows. What happened after the copy was made is in the file that was set aside;
`mimir audit verify` knows of it and says so."
)]
pub struct RestoreArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(command: BackupCommand, context: &Context) -> Outcome {
    match command {
        BackupCommand::Create => create(context).await,
        BackupCommand::List => list(context),
        BackupCommand::Verify(args) => verify(&args, context),
        BackupCommand::Restore(args) => restore(&args, context),
    }
}

async fn create(context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let made = context.out.while_waiting("copying the database", gateway.create_backup()).await?;
    if context.out.json {
        context.out.document(&made)?;
    } else {
        context.out.line(&made.name)?;
        context.out.say(format!("{} in {}", size(made.bytes), context.paths.backups().display()));
    }
    Ok(DONE)
}

fn list(context: &Context) -> Outcome {
    let copies = copies(context)?;
    let all = copies.list();
    if context.out.json {
        context.out.document(&all)?;
        return Ok(DONE);
    }
    if all.is_empty() {
        context.out.say("no copies yet; `mimir backup create` makes one");
        return Ok(DONE);
    }
    context.out.table(&table(&all, context.now_ms()))?;
    Ok(DONE)
}

fn table(copies: &[Backup], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("AGE").right(),
        column("SIZE").right(),
        column("SCHEMA").right().spare(1),
    ]);
    for copy in copies {
        table.row(vec![
            copy.name.clone().into(),
            age(copy.made_at, now_ms).into(),
            size(copy.bytes).into(),
            copy.schema.to_string().into(),
        ]);
    }
    table
}

fn verify(args: &WhichArgs, context: &Context) -> Outcome {
    let copies = copies(context)?;
    let file = copies.find(args.copy.as_deref())?;
    let schema = copies.verify(&file)?;
    if context.out.json {
        context.out.document(&BackupVerified { file: file.display().to_string(), schema })?;
    } else {
        context.out.line(format!("{} is whole (schema {schema})", file.display()))?;
    }
    Ok(DONE)
}

fn restore(args: &RestoreArgs, context: &Context) -> Outcome {
    let copies = copies(context)?;
    let file = copies.find(args.which.copy.as_deref())?;
    let question = format!("Put {} in the place of the database?", file.display());
    if !confirm_destruction(&context.out, args.yes, &question, "mimir backup restore")? {
        return Ok(FAILED);
    }
    let put_back = copies.restore(&file)?;
    if let Some(why) = &put_back.not_noted {
        context
            .out
            .say(format!("it was not noted, so `mimir audit verify` will say that the log was cut: {why}"));
    }
    let aside = put_back.set_aside;
    if context.out.json {
        let set_aside = aside.map(|aside| aside.display().to_string());
        context.out.document(&BackupRestored { file: file.display().to_string(), set_aside })?;
        return Ok(DONE);
    }
    context.out.line(format!("restored {}", file.display()))?;
    if let Some(aside) = aside {
        context.out.say(format!("the database that was there is {} now", aside.display()));
    }
    context.out.say("the next command starts a gateway with it");
    Ok(DONE)
}

/// The copies of the home on this machine.
fn copies(context: &Context) -> Result<Copies, Failure> {
    if context.elsewhere.is_some() {
        return Err(usage("copies lie on the machine of the gateway")
            .hint("run the command there; `mimir backup create` works from here")
            .into());
    }
    let load = LoadOptions::of_process().map_err(|error| problem(&error))?;
    Ok(Copies::of(&load, super::serve::key_prompt())?)
}

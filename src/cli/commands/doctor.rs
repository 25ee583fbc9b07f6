//! `mimir doctor`

use clap::Args;
use futures_util::StreamExt;

use super::config::problem;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FINDINGS, Failure, Outcome};
use crate::cli::output::told;
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::cli::wrap::wrapped;
use crate::client::GatewayClient;
use crate::config::LoadOptions;
use crate::daemon;
use crate::wire::doctor::{Check, Outcome as Found, Report};
use crate::wire::problem::Problem;

/// Try each thing for real; say why it matters and how to mend it
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Show also what is good, with why it matters
    #[arg(long, short)]
    verbose: bool,
}

pub async fn run(args: &DoctorArgs, context: &Context) -> Outcome {
    let mut checks = Vec::new();
    match context.gateway().await {
        Ok(gateway) => collect(&gateway, &mut checks, args, context).await?,
        // What can be tried here says nothing about a gateway elsewhere.
        Err(failure) if context.elsewhere.is_some() => return Err(failure),
        // That there is no gateway is the first finding, not the end of the examination.
        Err(failure) => without_gateway(*failure.problem, &mut checks, args, context).await?,
    }
    let (bad, warnings) = (count(&checks, Found::Failed), count(&checks, Found::Warning));
    if context.out.json {
        context.out.document(&Report { checks })?;
    } else {
        let verdict = match (bad, warnings) {
            (0, 0) => "everything works".to_owned(),
            (0, _) => format!("everything works, {warnings} with limitations"),
            (_, _) => format!("{bad} of {} checks failed", checks.len()),
        };
        context.out.line(format!("\n{verdict}"))?;
    }
    Ok(if bad == 0 { DONE } else { FINDINGS })
}

/// Everything that can be tried from here.
async fn without_gateway(
    trouble: Problem,
    checks: &mut Vec<Check>,
    args: &DoctorArgs,
    context: &Context,
) -> Result<(), Failure> {
    let load = LoadOptions::of_process().map_err(|error| problem(&error))?;
    let found = daemon::examine(&load, Some(trouble));
    tokio::pin!(found);
    while let Some(check) = context.out.while_waiting("trying the next thing", found.next()).await {
        take(check, checks, args, context)?;
    }
    Ok(())
}

async fn collect(
    gateway: &GatewayClient,
    checks: &mut Vec<Check>,
    args: &DoctorArgs,
    context: &Context,
) -> Result<(), Failure> {
    let mut found = gateway.doctor().await?;
    loop {
        let next = found.next();
        match context.out.while_waiting("trying the next thing", next).await? {
            Some(check) => take(check, checks, args, context)?,
            None => return Ok(()),
        }
    }
}

fn take(check: Check, checks: &mut Vec<Check>, args: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    if !context.out.json {
        print(&check, args.verbose, context)?;
    }
    checks.push(check);
    Ok(())
}

fn print(check: &Check, verbose: bool, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let (word, ink) = match check.outcome {
        Found::Ok => ("ok", Ink::Green),
        Found::Warning => ("warning", Ink::Yellow),
        Found::Failed => ("FAILED", Ink::Red),
        Found::Skipped => ("skipped", Ink::Dim),
    };
    let word = out.paint.ink(ink, &format!("{word:<8}"));
    out.paragraph(&format!("{word} {}: {}", clean(&check.title), clean(&told(&check.found))), 9)?;
    if verbose || matches!(check.outcome, Found::Warning | Found::Failed) {
        let why = wrapped(&format!("         {}", clean(&check.why)), out.width(), 0);
        out.line(out.paint.ink(Ink::Dim, &why))?;
        if let Some(fix) = &check.fix {
            out.paragraph(&format!("         {} {}", out.paint.ink(Ink::Cyan, "fix:"), clean(fix)), 5)?;
        }
    }
    Ok(())
}

fn count(checks: &[Check], outcome: Found) -> usize {
    checks.iter().filter(|check| check.outcome == outcome).count()
}

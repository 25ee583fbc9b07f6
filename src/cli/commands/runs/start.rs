//! `mimir runs start`

use std::collections::BTreeMap;

use clap::Args;

use super::{begun, watch};
use crate::cli::context::Context;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::names;
use crate::client::GatewayClient;
use crate::model::agent::ModelRef;
use crate::model::names::{FrameName, ProjectName};
use crate::model::quantity::money;
use crate::wire::runs::StartRun;

/// Begin a run of a workflow
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Which workflow; `mimir workflows list` shows those there are
    #[arg(add = names::workflows())]
    workflow: String,
    /// For which project; the one of this folder when neither it nor a frame is named
    #[arg(long, value_parser = ProjectName::parse, add = names::projects())]
    project: Option<ProjectName>,
    /// In which frame, instead of a throwaway one
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// What the workflow is given
    #[arg(long = "set", value_name = "NAME=TEXT", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Which model, as provider/model
    #[arg(long, short, value_parser = |text: &str| text.parse::<ModelRef>(), add = names::models())]
    model: Option<ModelRef>,
    /// One line for lists
    #[arg(long)]
    title: Option<String>,
    /// Larger is sooner
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1000..=1000))]
    priority: i64,
    /// What it may cost, in US dollars; what the workflow says when absent
    #[arg(long, value_name = "DOLLARS", value_parser = money::parse)]
    budget: Option<u64>,
    /// Wait for its end, and show what it does meanwhile
    #[arg(long, short)]
    wait: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(args: StartArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let project = match (&args.project, &args.frame) {
        (None, None) => of_this_folder(gateway).await?,
        (project, _) => project.clone(),
    };
    let start = StartRun {
        workflow: args.workflow,
        project,
        frame: args.frame,
        variables: args.set.into_iter().collect::<BTreeMap<_, _>>(),
        model: args.model,
        title: args.title,
        priority: args.priority,
        budget_microusd: args.budget,
    };
    let run = gateway.start_run(&start).await?;
    match args.wait {
        true => watch::one(&run.id, gateway, context).await,
        false => begun(&run, context),
    }
}

/// The project whose folder this is, or that this folder is in.
async fn of_this_folder(gateway: &GatewayClient) -> Result<Option<ProjectName>, Failure> {
    let Ok(here) = std::env::current_dir() else { return Ok(None) };
    let projects = gateway.projects().await?;
    let around = projects.into_iter().filter(|project| here.starts_with(&project.path));
    let nearest = around.max_by_key(|project| project.path.len());
    Ok(nearest.and_then(|project| ProjectName::parse(&project.name).ok()))
}

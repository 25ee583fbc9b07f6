//! `mimir models …`

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::model::names::FrameName;
use crate::wire::messages::ExplainRoute;

/// Verbs of models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    Route(RouteArgs),
}

/// Which model would answer a message, and by which rule of `models.routes`; sends nothing
#[derive(Debug, Args)]
#[command(after_help = "  mimir models route \"write a commit message\"
  mimir models route --frame shop --agent plan \"how would you test this?\"")]
pub struct RouteArgs {
    /// What would be asked
    text: String,
    /// Of which frame; the one of this folder when absent
    #[arg(long, short, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// Which of opencode's agents, such as plan
    #[arg(long)]
    agent: Option<String>,
}

pub async fn run(command: ModelsCommand, context: &Context) -> Outcome {
    let ModelsCommand::Route(args) = command;
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir models route --frame {name} …");
    let frame = here::frame(&gateway, args.frame.as_ref(), &command, context).await?;
    let message = ExplainRoute { text: args.text, agent: args.agent };
    let route = gateway.explain_route(&frame, &message).await?;
    if context.out.json {
        context.out.document(&route)?;
        return Ok(DONE);
    }
    let model = route.model.as_deref().map_or("chosen by its server".to_owned(), clean);
    let why = route.route.as_deref().map_or("no rule fits, so it is the usual one".to_owned(), clean);
    context.out.line(format!("model     {model}"))?;
    context.out.paragraph(&format!("because   {why}"), 10)?;
    Ok(DONE)
}

//! `mimir mcp`

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use mimir_mcp::{Folders, McpError, Rights, Settings};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::here;
use crate::client::GatewayClient;
use crate::clock;
use crate::wire::problem::Problem;

/// Tools for other programs' agents: frames, messages, runs (Model Context Protocol)
#[derive(Debug, Args)]
#[command(
    after_help = "It is started by another program and speaks with it over standard input and output: docs/mcp.md says how to add it to \
opencode, Claude Code and VS Code. `claude mcp add mimir -- mimir mcp` is one of them."
)]
pub struct McpArgs {
    /// Only tools that look; nothing is made, sent, stopped or answered
    #[arg(long)]
    read_only: bool,
    /// Also a tool that answers what agents ask. Whoever uses it can allow what a person has not seen
    #[arg(long, conflicts_with = "read_only")]
    allow_approvals: bool,
    /// New frames may work in these folders and below; else in the one where it is started, unless that is your home.
    /// For a gateway elsewhere none unless it is named
    #[arg(long = "folder", value_name = "FOLDER", num_args = 1.., value_hint = clap::ValueHint::DirPath)]
    folders: Vec<PathBuf>,
}

pub async fn run(args: &McpArgs, context: &Context) -> Outcome {
    if std::io::stdin().is_terminal() {
        return Err(usage("`mimir mcp` speaks with a program, and this is a terminal")
            .hint("add it to the program's MCP servers, such as `claude mcp add mimir -- mimir mcp`")
            .into());
    }
    let folders = match &context.elsewhere {
        Some(_) => Folders::elsewhere(&args.folders),
        None => Folders::here(&args.folders, &here::current(), std::env::home_dir().as_deref()),
    };
    let settings = Settings {
        folders: folders?,
        gateway: gateway(context).await?,
        rights: Rights { read_only: args.read_only, approvals: args.allow_approvals },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        key: || hex::encode(clock::entropy::<16>()),
    };
    match mimir_mcp::serve(settings, tokio::io::stdin(), tokio::io::stdout()).await {
        Ok(()) => Ok(DONE),
        Err(error @ McpError::NoProtocol(_)) => Err(usage(error.to_string())
            .hint("`mimir mcp` is for programs that have MCP servers; docs/mcp.md names some")
            .into()),
        Err(error @ McpError::Broken) => Err(Problem::new(500, "internal", error.to_string())
            .detail("what it said stands above")
            .hint("the program starts it again; the gateway and all frames go on")
            .into()),
    }
}

/// The gateway. Programs start their servers once, when they begin: one that is away by then may be there when it is
/// needed, and until it is every tool says what is wrong.
async fn gateway(context: &Context) -> Result<GatewayClient, Failure> {
    match context.gateway().await {
        Ok(gateway) => Ok(gateway),
        Err(failure) => {
            let gateway = context.gateway_as_it_is().await?;
            context.out.warn(format!("{}; tools say so until that is mended", failure.problem.title));
            Ok(gateway)
        }
    }
}

//! `mimir mcp`

use std::io::IsTerminal;

use clap::Args;
use mimir_mcp::{McpError, Rights, Settings};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome, usage};
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
}

pub async fn run(args: &McpArgs, context: &Context) -> Outcome {
    if std::io::stdin().is_terminal() {
        return Err(usage("`mimir mcp` speaks with a program, and this is a terminal")
            .hint("add it to the program's MCP servers, such as `claude mcp add mimir -- mimir mcp`")
            .into());
    }
    let settings = Settings {
        gateway: context.gateway().await?,
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

//! `mimir web`

use clap::Args;

use super::token::scope;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::model::quantity::left;
use crate::model::scope::Scope;
use crate::wire::web::CreateWebCode;

/// Print a link to the dashboard for a browser on the gateway's machine; it opens once
#[derive(Debug, Args)]
#[command(after_help = "The link opens for a minute, and what it begins lasts twelve hours in that browser.
`mimir token list` shows it as web-…, `mimir token revoke web-…` ends it. docs/web.md says more.")]
pub struct WebArgs {
    /// What the browser may do, with commas between: read,send,approve when absent; with frames it starts and stops frames too
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,…", value_parser = clap::builder::ValueParser::new(scope))]
    scope: Vec<Scope>,
}

pub async fn run(args: WebArgs, context: &Context) -> Outcome {
    let wanted = CreateWebCode { scopes: args.scope };
    let made = context.gateway().await?.web_link(&wanted).await?;
    if context.out.json {
        context.out.document(&made)?;
        return Ok(DONE);
    }
    // Alone on standard output. No program is started with it: other users of the machine see what programs are
    // started with.
    context.out.line(&made.link)?;
    let left = left(made.expires_at, context.now_ms());
    context.out.say(format!("open it in a browser on the gateway's machine; it opens once, for {left}"));
    Ok(DONE)
}

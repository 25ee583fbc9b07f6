//! `mimir web …`

mod open;
mod password;
mod sessions;
mod totp;

use clap::{Args, Subcommand};

use super::token::scope;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome, usage};
use crate::cli::qr;
use crate::model::quantity::left;
use crate::model::scope::Scope;
use crate::wire::web::CreateWebCode;

/// Print a link to the dashboard for a browser on the gateway's machine; it opens once
#[derive(Debug, Args)]
#[command(after_help = "The link opens for a minute, and what it begins lasts twelve hours in that browser.
`mimir web sessions` shows it as web-…, `mimir web sessions --end web-…` ends it. docs/web.md says more.")]
pub struct WebArgs {
    #[command(subcommand)]
    command: Option<WebCommand>,
    /// What the browser may do, with commas between: read,send,approve when absent; with frames it starts and stops frames too
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,…", value_parser = clap::builder::ValueParser::new(scope))]
    scope: Vec<Scope>,
}

/// What else is about browsers.
#[derive(Debug, Subcommand)]
pub enum WebCommand {
    Open(open::OpenArgs),
    Qr(QrArgs),
    Password(password::PasswordArgs),
    Totp(totp::TotpArgs),
    Sessions(sessions::SessionsArgs),
}

/// Show a link for a browser on another machine, such as a phone, as a picture for its camera; it opens once
///
/// The gateway must listen where others reach it, with TLS, and there must be a password. The browser does not know the
/// certificate: compare the fingerprint before you go on.
#[derive(Debug, Args)]
pub struct QrArgs {
    /// What the browser may do, with commas between: read,send,approve when absent
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,…", value_parser = clap::builder::ValueParser::new(scope))]
    scope: Vec<Scope>,
}

pub async fn run(args: WebArgs, context: &Context) -> Outcome {
    let Some(command) = args.command else { return link(args.scope, context).await };
    if !args.scope.is_empty() {
        return Err(usage("`--scope` before a verb of `mimir web` means nothing")
            .hint("put it behind the verb, such as `mimir web qr --scope read`")
            .into());
    }
    match command {
        WebCommand::Open(args) => open::run(&args, context).await,
        WebCommand::Qr(args) => picture(args.scope, context).await,
        WebCommand::Password(args) => password::run(args, context).await,
        WebCommand::Totp(args) => totp::run(args, context).await,
        WebCommand::Sessions(args) => sessions::run(&args, context).await,
    }
}

async fn link(scopes: Vec<Scope>, context: &Context) -> Outcome {
    let wanted = CreateWebCode { scopes, elsewhere: false };
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

async fn picture(scopes: Vec<Scope>, context: &Context) -> Outcome {
    let wanted = CreateWebCode { scopes, elsewhere: true };
    let made = context.gateway().await?.web_link(&wanted).await?;
    if context.out.json {
        context.out.document(&made)?;
        return Ok(DONE);
    }
    context.out.raw(&qr::drawn(&made.link)?)?;
    context.out.line(&made.link)?;
    let left = left(made.expires_at, context.now_ms());
    context.out.say(format!("open it on the other machine; it opens once, for {left}"));
    if let Some(fingerprint) = &made.fingerprint {
        context.out.say(format!(
            "its browser does not know the certificate and warns; compare this first\n  {fingerprint}"
        ));
    }
    Ok(DONE)
}

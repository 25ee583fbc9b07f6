//! `mimir token …`

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, column, inked};
use crate::model::names::{FrameName, TokenName};
use crate::model::quantity::{age, left, span};
use crate::model::scope::{Scope, Scopes};
use crate::wire::tokens::{CreateToken, TokenView};

/// Verbs of tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    Create(CreateArgs),
    #[command(alias = "ls")]
    List(ListArgs),
    #[command(alias = "rm", alias = "delete")]
    Revoke(RevokeArgs),
    Show(ShowArgs),
}

/// Make a token for a client elsewhere; its secret is printed once
#[derive(Debug, Args)]
#[command(after_help = "Scopes:
  read         look: frames, messages, conversations, events, logs
  send         talk: send, edit and cancel messages, change conversations
  approve      decide what agents ask for
  frames       make, run and remove frames and projects; any folder there can become a workspace
  terminal     type in a frame's terminal and run commands in it
  passthrough  speak with a frame's opencode directly
  metrics      read the counters
  admin        tokens, images, doctor, and the end of the gateway
None holds another: a client that sends and shows the answer needs read,send.")]
pub struct CreateArgs {
    /// What to call it; what it does is written down under this name
    #[arg(value_parser = TokenName::parse)]
    name: Option<TokenName>,
    /// What it may do, with commas between
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE,…", value_parser = clap::builder::ValueParser::new(scope))]
    scope: Vec<Scope>,
    /// How long it lives, such as 12h or 30d, or `never`
    #[arg(long, default_value = "90d", value_name = "TIME", value_parser = expiry)]
    expires: Expiry,
    /// With this frame alone; can be given again
    #[arg(long = "frame", value_name = "NAME", value_parser = FrameName::parse, add = names::frames())]
    frames: Vec<FrameName>,
}

/// Tokens that open something, and when each was last used
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also those that are over
    #[arg(long, short)]
    all: bool,
}

/// Take a token back; what it holds open ends at once
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Its name or its id
    token: String,
}

/// What you may do with the gateway that you talk to
#[derive(Debug, Args)]
pub struct ShowArgs {}

#[derive(Clone, Copy, Debug)]
enum Expiry {
    Never,
    After(Duration),
}

/// The scope that a word names.
pub(super) fn scope(word: &str) -> Result<Scope, String> {
    word.trim().parse::<Scope>().map_err(|error| error.to_string())
}

fn expiry(text: &str) -> Result<Expiry, String> {
    match text {
        "never" => Ok(Expiry::Never),
        text => span::parse_some(text).map(Expiry::After).map_err(|why| format!("{why}, or `never`")),
    }
}

pub async fn run(command: TokenCommand, context: &Context) -> Outcome {
    match command {
        TokenCommand::Create(args) => create(args, context).await,
        TokenCommand::List(args) => list(&args, context).await,
        TokenCommand::Revoke(args) => revoke(&args, context).await,
        TokenCommand::Show(_) => show(context).await,
    }
}

async fn create(args: CreateArgs, context: &Context) -> Outcome {
    let expires_at = match args.expires {
        Expiry::Never => None,
        Expiry::After(time) => {
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            Some(context.now_ms().saturating_add(ms))
        }
    };
    let frames: Vec<String> = args.frames.into_iter().map(String::from).collect();
    let request = CreateToken {
        name: args.name.map(String::from),
        scopes: args.scope,
        frames: (!frames.is_empty()).then_some(frames),
        expires_at,
    };
    let gateway = context.gateway().await?;
    let made = gateway.create_token(&request).await?;
    if context.out.json {
        context.out.document(&made)?;
        return Ok(DONE);
    }
    // Alone on standard output, so that a script can take it as it is.
    context.out.line(&made.token)?;
    let about = &made.about;
    let with = about.frames.as_ref().map(|frames| format!(" with {} alone", frames.join(", ")));
    let until = match about.expires_at {
        Some(at) => format!("for {}", left(at, context.now_ms())),
        None => "until it is revoked".to_owned(),
    };
    let status = if gateway.is_remote() { None } else { Some(gateway.status().await?) };
    let url = status.as_ref().filter(|status| status.fingerprint.is_some());
    let url = url.map_or("…".to_owned(), |status| elsewhere(&status.http));
    context.out.say(format!(
        "{} may {}{} {until}; keep it now, it is not shown again\n  use it     MIMIR_URL={url} MIMIR_TOKEN=… mimir token show\n  end it     mimir token revoke {}",
        about.name,
        Scopes::from(about.scopes.clone()),
        with.unwrap_or_default(),
        about.name
    ));
    match status.map(|status| (status.fingerprint, status.http)) {
        Some((Some(fingerprint), _)) => {
            context.out.say(context.dim(&format!("  it shows   {fingerprint}")));
        }
        Some((None, http)) => context.out.say(context.dim(&format!(
            "  only clients on this machine reach the gateway ({http}); `server.bind` and `server.tls` change that"
        ))),
        None => {}
    }
    Ok(DONE)
}

/// The gateway's address as others know it, as far as this machine can say.
fn elsewhere(http: &str) -> String {
    http.replace("0.0.0.0", "THIS-MACHINE").replace("[::]", "THIS-MACHINE")
}

async fn list(args: &ListArgs, context: &Context) -> Outcome {
    let mut tokens = context.gateway().await?.tokens().await?;
    tokens.retain(|token| args.all || token.state == "active");
    if context.out.json {
        context.out.document(&tokens)?;
        return Ok(DONE);
    }
    if tokens.is_empty() {
        context.out.say("no tokens; `mimir token create --scope read` makes one");
        return Ok(DONE);
    }
    context.out.table(&table(&tokens, context.now_ms()))?;
    Ok(DONE)
}

fn table(tokens: &[TokenView], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATE"),
        column("SCOPES").shrinks(),
        column("FRAMES").shrinks().spare(3),
        column("EXPIRES").right(),
        column("USED").right().spare(2),
        column("FROM").spare(1),
    ]);
    for token in tokens {
        let ink = if token.state == "active" { Ink::Green } else { Ink::Dim };
        let expires = match token.expires_at {
            Some(at) if at > now_ms => format!("in {}", left(at, now_ms)),
            Some(_) => "over".to_owned(),
            None => "never".to_owned(),
        };
        table.row(vec![
            token.name.as_str().into(),
            inked(ink, &token.state),
            Scopes::from(token.scopes.clone()).to_string().into(),
            token.frames.as_ref().map_or_else(|| "all".to_owned(), |frames| frames.join(", ")).into(),
            expires.into(),
            token.last_used_at.map_or_else(|| "-".to_owned(), |at| age(at, now_ms)).into(),
            token.last_used_from.as_deref().unwrap_or("-").into(),
        ]);
    }
    table
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Outcome {
    let token = context.gateway().await?.revoke_token(&args.token).await?;
    if context.out.json {
        context.out.document(&token)?;
    } else {
        context.out.line(format!("{} revoked", token.name))?;
    }
    Ok(DONE)
}

async fn show(context: &Context) -> Outcome {
    let whoami = context.gateway().await?.whoami().await?;
    if context.out.json {
        context.out.document(&whoami)?;
        return Ok(DONE);
    }
    context.out.line(format!("you are  {}", whoami.principal))?;
    context.out.line(format!("may      {}", Scopes::from(whoami.scopes)))?;
    let frames = whoami.frames.map_or_else(|| "all".to_owned(), |frames| frames.join(", "));
    context.out.line(format!("frames   {frames}"))?;
    Ok(DONE)
}

//! `mimir web sessions`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::paint::Ink;
use crate::cli::table::{Table, column, inked};
use crate::model::quantity::{age, left};
use crate::model::scope::Scopes;
use crate::wire::tokens::TokenView;

/// Browsers that are in, since when and from where; or end what they have
#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// Also those that are over
    #[arg(long, short, conflicts_with_all = ["end", "end_all"])]
    all: bool,
    /// End this one; can be given again
    #[arg(long, value_name = "NAME")]
    end: Vec<String>,
    /// End all of them
    #[arg(long, conflicts_with = "end")]
    end_all: bool,
}

pub(super) async fn run(args: &SessionsArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let is_ending = args.end_all || !args.end.is_empty();
    let sessions = if args.end_all {
        gateway.end_web_sessions().await?
    } else if is_ending {
        let mut ended = Vec::new();
        for name in &args.end {
            ended.push(gateway.revoke_token(name).await?);
        }
        ended
    } else {
        let mut sessions = gateway.web_sessions().await?;
        sessions.retain(|session| args.all || session.state == "active");
        sessions
    };
    if context.out.json {
        context.out.document(&sessions)?;
    } else if is_ending {
        for session in &sessions {
            context.out.line(format!("{} ended", session.name))?;
        }
        if sessions.is_empty() {
            context.out.say("no browser was in");
        }
    } else if sessions.is_empty() {
        context.out.say("no browser is in; `mimir web` lets one in");
    } else {
        context.out.table(&table(&sessions, context.now_ms()))?;
    }
    Ok(DONE)
}

fn table(sessions: &[TokenView], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("STATE"),
        column("BEGAN WITH").spare(3),
        column("SCOPES").shrinks(),
        column("BEGAN").right(),
        column("ENDS").right(),
        column("USED").right().spare(2),
        column("FROM").spare(1),
    ]);
    for session in sessions {
        let ink = if session.state == "active" { Ink::Green } else { Ink::Dim };
        let ends = match session.expires_at {
            Some(at) if at > now_ms && session.state == "active" => format!("in {}", left(at, now_ms)),
            _ => "over".to_owned(),
        };
        table.row(vec![
            session.name.as_str().into(),
            inked(ink, &session.state),
            session.began_with.as_deref().unwrap_or("-").into(),
            Scopes::from(session.scopes.clone()).to_string().into(),
            age(session.created_at, now_ms).into(),
            ends.into(),
            session.last_used_at.map_or_else(|| "-".to_owned(), |at| age(at, now_ms)).into(),
            session.last_used_from.as_deref().unwrap_or("-").into(),
        ]);
    }
    table
}

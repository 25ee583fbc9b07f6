//! `mimir web password`

use std::io::Read as _;

use clap::Args;

use super::super::token::scope;
use crate::cli::ask;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::model::scope::{Scope, Scopes};
use crate::wire::web::{LoginView, SetPassword};

/// More than any password holds.
const MOST: u64 = 4096;

/// Set the password with which browsers come in, or remove it; all their sessions end
///
/// It is asked for twice, or read from the standard input. With TLS and an address that others reach, browsers of other
/// machines come in with it, too.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// Read it from the standard input instead of asking
    #[arg(long, conflicts_with = "remove")]
    password_stdin: bool,
    /// What a session may do that begins with it, with commas between: read,send,approve when absent
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,…", conflicts_with = "remove",
        value_parser = clap::builder::ValueParser::new(scope))]
    scope: Vec<Scope>,
    /// Let nobody in with a password any more
    #[arg(long)]
    remove: bool,
}

pub(super) async fn run(args: PasswordArgs, context: &Context) -> Outcome {
    let login = if args.remove {
        context.gateway().await?.remove_web_password().await?
    } else {
        let password = given(args.password_stdin, context)?;
        let wanted = SetPassword { password, scopes: args.scope };
        context.gateway().await?.set_web_password(&wanted).await?
    };
    if context.out.json {
        context.out.document(&login)?;
        return Ok(DONE);
    }
    context.out.line(told(&login))?;
    if login.has_password && !login.has_totp {
        context.out.say("`mimir web totp` asks for a code of your phone besides");
    }
    Ok(DONE)
}

fn told(login: &LoginView) -> String {
    if login.has_password {
        format!("browsers come in with the password, and may {}", Scopes::from(login.scopes.clone()))
    } else {
        "browsers come in with a link of `mimir web` alone".to_owned()
    }
}

fn given(from_stdin: bool, context: &Context) -> Result<String, Failure> {
    let hint = "such as `pass show mimir | mimir web password --password-stdin`";
    let unreadable =
        |error: std::io::Error| usage("the password cannot be read").detail(error.to_string()).hint(hint);
    if from_stdin {
        let mut text = String::new();
        std::io::stdin().lock().take(MOST).read_to_string(&mut text).map_err(unreadable)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
    if !ask::can_ask(&context.out) {
        return Err(usage("nobody can be asked for the password").hint(hint).into());
    }
    let password = ask::hidden("password: ").map_err(unreadable)?;
    if ask::hidden("once more: ").map_err(unreadable)? == password {
        Ok(password)
    } else {
        Err(usage("these were two different passwords").hint("nothing was changed; try again").into())
    }
}

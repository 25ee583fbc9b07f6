//! `mimir web totp`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::{ask, qr};
use crate::client::{ClientError, GatewayClient};
use crate::model::quantity::left;
use crate::wire::web::{ConfirmTotp, RecoveryCodes};

/// So often a person may mistype the code.
const TRIES: usize = 3;

/// Ask for a code of an app on your phone besides the password
///
/// Shows a picture for the app (any for TOTP), asks for the code that the app then shows, and prints recovery codes once.
/// Keep those on paper: each opens once in the place of a code. All sessions of browsers end.
#[derive(Debug, Args)]
pub struct TotpArgs {
    /// The code of the app that was shown its secret before; without it and without a terminal the secret is printed
    #[arg(long, conflicts_with = "remove")]
    code: Option<String>,
    /// Ask for the password alone
    #[arg(long)]
    remove: bool,
}

pub(super) async fn run(args: TotpArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    if args.remove {
        let login = gateway.remove_web_totp().await?;
        if context.out.json {
            context.out.document(&login)?;
        } else {
            context.out.line("browsers come in with the password alone")?;
        }
        return Ok(DONE);
    }
    if let Some(code) = args.code {
        let codes = gateway.confirm_web_totp(&ConfirmTotp { code }).await?;
        return show(&codes, context);
    }
    let app = gateway.begin_web_totp().await?;
    if context.out.json {
        context.out.document(&app)?;
        return Ok(DONE);
    }
    context.out.raw(&qr::drawn(&app.uri)?)?;
    context.out.line(format!("for typing: {}", app.secret))?;
    let left = left(app.expires_at, context.now_ms());
    if !ask::can_ask(&context.out) {
        context.out.say(format!("`mimir web totp --code CODE` confirms it within {left}"));
        return Ok(DONE);
    }
    let codes = confirmed(&gateway, context).await?;
    show(&codes, context)
}

/// Asks for the app's code until it is right.
async fn confirmed(gateway: &GatewayClient, context: &Context) -> Result<RecoveryCodes, Failure> {
    for tries in 1..=TRIES {
        let code = ask::word("the code that the app shows: ")
            .filter(|code| !code.is_empty())
            .ok_or_else(|| usage("nothing was changed").hint("`mimir web totp` begins again"))?;
        match gateway.confirm_web_totp(&ConfirmTotp { code }).await {
            Err(ClientError::Refused(problem)) if tries < TRIES && problem.code == "login.wrong_code" => {
                context.out.warn("this is not the code that the app shows now");
            }
            confirmed => return Ok(confirmed?),
        }
    }
    Err(usage("nothing was changed").hint("`mimir web totp` begins again").into())
}

fn show(codes: &RecoveryCodes, context: &Context) -> Outcome {
    if context.out.json {
        context.out.document(codes)?;
        return Ok(DONE);
    }
    context.out.say("a code is asked for from now on; if the phone is lost, each of these opens once");
    for code in &codes.recovery_codes {
        context.out.line(code)?;
    }
    context.out.say("keep them on paper: they are not shown again");
    Ok(DONE)
}

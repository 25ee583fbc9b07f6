//! `mimir status`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, UNREACHABLE};
use crate::cli::json::{Glance, NoGateway, RunningGateway};
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::client::ClientError;
use crate::model::quantity::{age, money, size};
use crate::wire::status::Status;

/// Gateway, engine, database, frames and messages on one screen
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Looks and starts nothing: a status that changes what it shows is no status.
pub async fn run(context: &Context) -> Outcome {
    let gateway = context.gateway_as_it_is().await?;
    let status = match context.out.while_waiting("asking the gateway", gateway.status()).await {
        Ok(status) => status,
        Err(ClientError::NoGateway { .. }) => return not_running(context),
        Err(error) => return Err(error.into()),
    };
    let code = if status.engine_ok { DONE } else { UNREACHABLE };
    if context.out.json {
        context.out.document(&Glance::Running(Box::new(RunningGateway { running: true, status })))?;
    } else {
        print(&status, context)?;
    }
    Ok(code)
}

fn not_running(context: &Context) -> Outcome {
    let out = &context.out;
    let home = context.paths.home().display().to_string();
    let socket = context.paths.gateway_socket().display().to_string();
    if out.json {
        out.document(&Glance::Not(NoGateway { running: false, home, socket }))?;
    } else {
        out.line(format!("gateway   {}", out.paint.ink(Ink::Yellow, "not running")))?;
        out.line(format!("home      {}", clean(&home)))?;
        out.line(format!("socket    {}", clean(&socket)))?;
        out.say("any command that needs one starts it; `mimir serve --detach` does so now");
    }
    Ok(UNREACHABLE)
}

fn today(status: &Status) -> String {
    let paused = if status.spending_paused { "; all spending is paused: `mimir resume --all`" } else { "" };
    format!("{}{paused}", money(status.cost_today_microusd))
}

/// Where it is, and what is wrong with it.
fn database(status: &Status, context: &Context) -> String {
    let damage = status.database_damage.as_deref().map(|why| {
        let word = context.out.paint.ink(Ink::Red, "damaged");
        format!("; {word}: {}", clean(why))
    });
    format!(
        "{}, schema {}, key from {}{}",
        clean(&status.database),
        status.schema,
        status.key_source,
        damage.unwrap_or_default()
    )
}

fn print(status: &Status, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    let engine = if status.engine_ok {
        clean(&status.engine)
    } else {
        format!("{}: {}", out.paint.ink(Ink::Red, "unreachable"), clean(&status.engine))
    };
    let http = match &status.fingerprint {
        Some(fingerprint) => format!("{} {}", clean(&status.http), clean(fingerprint)),
        None => clean(&status.http),
    };
    let counts = |counts: &std::collections::BTreeMap<String, u32>| {
        let some = counts.iter().filter(|(_, count)| **count > 0);
        let words: Vec<String> = some.map(|(word, count)| format!("{count} {word}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let warm = match status.frames_warm {
        0 => String::new(),
        warm => format!("; {warm} kept ready for runs"),
    };
    let frames = format!("{}{warm}", counts(&status.frames_by_state));
    let lines = [
        (
            "gateway",
            format!(
                "{} mimir {}, process {}, up {}, {}",
                out.paint.ink(Ink::Green, "running"),
                status.version,
                status.pid,
                age(status.started_at, context.now_ms()),
                size(status.memory_bytes)
            ),
        ),
        ("socket", clean(&status.socket)),
        ("http", http),
        ("home", format!("{} ({})", clean(&status.home), status.instance)),
        ("engine", engine),
        ("database", database(status, context)),
        ("model", status.default_model.clone()),
        ("frames", frames),
        ("agents", counts(&status.agents_by_status)),
        ("messages", format!("{} open", status.messages_open)),
        ("today", today(status)),
    ];
    for (label, text) in lines {
        out.line(format!("{} {text}", out.paint.ink(Ink::Dim, &format!("{label:<9}"))))?;
    }
    if status.database_damage.is_some() {
        out.say("the way back: `mimir serve --stop`, then `mimir backup restore`; what is newer than the copy is lost");
    }
    if !status.engine_ok {
        out.say("`mimir doctor` says what is wrong with the engine");
    }
    Ok(())
}

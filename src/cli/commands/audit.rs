//! `mimir audit …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::json::AuditExported;
use crate::cli::table::{Table, clean, column};
use crate::client::GatewayClient;
use crate::model::audit::{AuditEntry, AuditRestored, VerifyAudit};
use crate::model::quantity::age;

/// Entries asked for at a time.
const PAGE: u32 = 1000;

/// Verbs of the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Show(ShowArgs),
    Verify(VerifyArgs),
    Export(ExportArgs),
}

/// Who changed what, newest last
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// How many of the newest
    #[arg(long, short = 'n', default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// Look whether the log is as it was written: edited, added, moved or removed entries, a cut end, an older copy
#[derive(Debug, Args)]
#[command(
    after_help = "The first key is in audit.key in mimir's home. Move it to where whoever takes this machine over cannot read it, and
give it back with --key. Without it only the log's end is compared with what was noted in audit.heads."
)]
pub struct VerifyArgs {
    /// A file with the first key, when it is not in mimir's home any more
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// All of it for other tools: one JSON object a line, oldest first, with the names of OCSF 1.3
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Only entries after this one
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
}

pub async fn run(command: AuditCommand, context: &Context) -> Outcome {
    match command {
        AuditCommand::Show(args) => show(&args, context).await,
        AuditCommand::Verify(args) => verify(&args, context).await,
        AuditCommand::Export(args) => export(&args, context).await,
    }
}

async fn show(args: &ShowArgs, context: &Context) -> Outcome {
    let mut entries = context.gateway().await?.audit(None, args.limit).await?;
    entries.reverse();
    if context.out.json {
        context.out.document(&entries)?;
        return Ok(DONE);
    }
    if entries.is_empty() {
        context.out.say("nobody has changed anything yet");
        return Ok(DONE);
    }
    let now = context.now_ms();
    let mut table = Table::new(&[
        column("ID").right().spare(2),
        column("AGE").right(),
        column("WHO"),
        column("WHAT"),
        column("TO"),
        column("DETAIL").shrinks().spare(1),
    ]);
    for entry in &entries {
        let detail = if entry.detail == json!({}) { String::new() } else { entry.detail.to_string() };
        table.row(vec![
            entry.id.to_string().into(),
            age(entry.at, now).into(),
            clean(&entry.principal).into(),
            clean(&entry.action).into(),
            clean(&entry.subject).into(),
            clean(&detail).into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

async fn verify(args: &VerifyArgs, context: &Context) -> Outcome {
    let key = match &args.key {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| Failure::from(usage(format!("cannot read {}: {error}", path.display()))))?,
        ),
    };
    let how = VerifyAudit { key: key.map(|text| text.trim().to_owned()) };
    let gateway = context.gateway().await?;
    let found = context.out.while_waiting("reading the audit log", gateway.verify_audit(&how)).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(if found.ok { DONE } else { FAILED });
    }
    for finding in &found.findings {
        context.out.line(finding)?;
    }
    for restored in &found.restored {
        context.out.line(put_back(restored, context.now_ms()))?;
    }
    let how = if found.recomputed {
        "each entry was computed anew"
    } else {
        "only its end was compared: the first key is not in mimir's home (`--key FILE`)"
    };
    let before = match found.before {
        0 => String::new(),
        count => format!("; {count} older ones are from before it was chained"),
    };
    let result = if found.ok { "the log is as it was written" } else { "the log was changed" };
    context.out.line(format!(
        "{result}: {} entries, {how}, {} ends noted outside{before}",
        found.entries, found.heads
    ))?;
    Ok(if found.ok { DONE } else { FAILED })
}

/// A cut that is known: whoever put a copy back may ask himself whether it was he.
fn put_back(restored: &AuditRestored, now_ms: u64) -> String {
    let lost = match restored.had_entries {
        Some(had) => format!("it had {had} entries then"),
        None => "how far it went then could not be read".to_owned(),
    };
    format!(
        "a copy with {} entries was put back {} ago (`mimir backup restore`); {lost}, and what is missing is in the file that was \
         set aside",
        restored.copied_entries,
        age(restored.at, now_ms)
    )
}

async fn export(args: &ExportArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    // Pages come newest first; what is printed begins with the oldest.
    for entry in all(&gateway, args.after.unwrap_or(0)).await?.iter().rev() {
        context.out.object(&ocsf(entry))?;
    }
    Ok(DONE)
}

/// All entries after one, newest first.
async fn all(gateway: &GatewayClient, after: u64) -> Result<Vec<AuditEntry>, Failure> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = gateway.audit(before, PAGE).await?;
        let Some(last) = page.last().map(|entry| entry.id) else { return Ok(found) };
        let is_end = last <= after || page.len() < PAGE as usize;
        found.extend(page.into_iter().filter(|entry| entry.id > after));
        if is_end {
            return Ok(found);
        }
        before = Some(last);
    }
}

/// An entry as an *API Activity* event (class 6003) of the Open Cybersecurity Schema Framework.
fn ocsf(entry: &AuditEntry) -> AuditExported {
    let (noun, verb) = entry.action.split_once('.').unwrap_or(("", entry.action.as_str()));
    let activity_id = match verb {
        "create" | "add" | "connect" => 1,
        "list" | "show" | "verify" => 2,
        "destroy" | "remove" | "delete" | "revoke" | "disconnect" => 4,
        "" => 0,
        _ => 3,
    };
    let level = if verb.contains("refused") || verb.contains("denied") { 2 } else { 1 };
    AuditExported {
        metadata: json!({"version": "1.3.0", "product": {"name": "mimir", "version": env!("CARGO_PKG_VERSION")},
                         "uid": entry.id.to_string(), "log_name": "audit"}),
        time: entry.at,
        category_uid: 6,
        class_uid: 6003,
        activity_id,
        type_uid: 600_300 + activity_id,
        severity_id: level,
        status_id: level,
        actor: json!({"user": {"name": entry.principal}}),
        api: json!({"operation": entry.action, "service": {"name": noun}}),
        resources: json!([{"name": entry.subject, "type": noun}]),
        unmapped: json!({"detail": entry.detail, "mac": entry.mac}),
    }
}

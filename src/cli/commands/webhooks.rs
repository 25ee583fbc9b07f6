//! `mimir webhooks …`: what other programs tell us, and what comes of it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::client::GatewayClient;
use crate::model::quantity::{age, size};
use crate::model::visible::exact;
use crate::model::webhook::WebhookState;
use crate::wire::webhooks::{TestWebhook, WebhookDetails, WebhookPreview, WebhookView};

/// A larger message is taken from nobody; to read it would be a mistake of the command line.
const LARGEST_FILE: u64 = 64 << 20;

/// Verbs of webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    Deliveries(DeliveriesArgs),
    Show(WhichArgs),
    Replay(ReplayArgs),
    Test(TestArgs),
}

/// Who may tell us something, where they send it, and what is wrong there
#[derive(Debug, Args)]
pub struct ListArgs {}

/// What came, newest first, and what came of it
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Only of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only those that are received, decided, ignored or failed
    #[arg(long, value_name = "STATE")]
    state: Option<WebhookState>,
    /// So many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// All about one: what it says, and what came of it
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Its id
    id: String,
}

/// Decide about one again, whatever came of it before
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Its id
    id: String,
}

/// What would follow from a message, without anything of it happening
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The message, as its sender would write it; `-` reads standard input
    file: PathBuf,
    /// As if this source had sent it
    #[arg(long, value_name = "NAME")]
    source: String,
    /// What the sender's header says, such as event_alert or pull_request; guessed when absent
    #[arg(long)]
    event: Option<String>,
}

pub async fn run(command: WebhooksCommand, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    match command {
        WebhooksCommand::List(_) => list(&gateway, context).await,
        WebhooksCommand::Deliveries(args) => deliveries(&args, &gateway, context).await,
        WebhooksCommand::Show(args) => show(&gateway.webhook(&args.id).await?, context),
        WebhooksCommand::Replay(args) => {
            let webhook = gateway.replay_webhook(&args.id).await?;
            if context.out.json {
                context.out.document(&webhook)?;
            } else {
                context.out.line(format!("{} {}: {}", webhook.id, webhook.state, came_of_it(&webhook)))?;
            }
            Ok(DONE)
        }
        WebhooksCommand::Test(args) => {
            let asked = TestWebhook { body: read(&args.file)?, source: args.source, event: args.event };
            preview(&gateway.test_webhook(&asked).await?, context)
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST_FILE).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_end(&mut bytes))
    };
    let cannot = |why: String| {
        Failure::from(usage(format!("cannot read {}", path.display())).detail(why).hint(
            "a file with the message as its sender wrote it, or `-` for standard input; `mimir webhooks show ID --json` \
             has the body of one that came",
        ))
    };
    read.map_err(|error| cannot(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| cannot("it is no UTF-8 text".to_owned()))
}

async fn list(gateway: &GatewayClient, context: &Context) -> Outcome {
    let found = gateway.webhook_sources().await?;
    let out = &context.out;
    if out.json {
        out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        out.say("nobody may tell us anything yet: `webhooks.sources` in the configuration names who may (`mimir config edit`)");
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("SOURCE"),
        column("KIND"),
        column("SENDS TO"),
        column("RULES").right().spare(2),
        column("LAST").right().spare(1),
        column("WHICH WAS").shrinks().spare(3),
    ]);
    for source in &found {
        let last = source.last_delivery.as_ref();
        let ago = last.map_or_else(|| "-".to_owned(), |last| age(last.received_at, context.now_ms()));
        let which = last.map_or_else(String::new, |last| format!("{} {}", last.event, last.state));
        let name = if source.troubles.is_empty() {
            source.name.clone().into()
        } else {
            inked(Ink::Yellow, source.name.as_str())
        };
        table.row(vec![
            name,
            source.kind.as_str().into(),
            source.path.clone().into(),
            source.rule_count.to_string().into(),
            ago.into(),
            clean(&which).into(),
        ]);
    }
    out.table(&table)?;
    for source in &found {
        for trouble in &source.troubles {
            out.warn(format!("{}: {}", source.name, clean(trouble)));
        }
    }
    Ok(DONE)
}

async fn deliveries(args: &DeliveriesArgs, gateway: &GatewayClient, context: &Context) -> Outcome {
    let found = gateway.webhooks(args.source.as_deref(), args.state, args.limit).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.say(
            "nothing of that kind came; `mimir webhooks list` says who may send, and what is wrong there",
        );
        return Ok(DONE);
    }
    let mut table = Table::new(&[
        column("DELIVERY"),
        column("AGE").right(),
        column("SOURCE"),
        column("EVENT").shrinks(),
        column("STATE"),
        column("WHAT CAME OF IT").shrinks().spare(2),
    ]);
    for webhook in &found {
        table.row(vec![
            webhook.id.clone().into(),
            age(webhook.received_at, context.now_ms()).into(),
            clean(&webhook.source).into(),
            clean(&webhook.event).into(),
            inked(ink_of(webhook.state), webhook.state.as_str()),
            came_of_it(webhook).into(),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

fn came_of_it(webhook: &WebhookView) -> String {
    clean(webhook.reason.as_deref().unwrap_or("not decided yet"))
}

fn show(details: &WebhookDetails, context: &Context) -> Outcome {
    let (out, webhook) = (&context.out, &details.delivery);
    if out.json {
        out.document(details)?;
        return Ok(DONE);
    }
    out.line(format!(
        "{}  {}",
        out.paint.ink(Ink::Bold, &webhook.id),
        out.paint.ink(ink_of(webhook.state), webhook.state.as_str())
    ))?;
    let again = match webhook.duplicate_count {
        0 => String::new(),
        1 => ", and once more".to_owned(),
        times => format!(", and {times} times more"),
    };
    let mut facts = vec![
        ("source", webhook.source.clone()),
        ("event", webhook.event.clone()),
        (
            "came",
            format!(
                "{} ago{again}, {}",
                age(webhook.received_at, context.now_ms()),
                size(webhook.size_bytes)
            ),
        ),
        ("result", came_of_it(webhook)),
    ];
    facts.extend(webhook.run_key.clone().map(|key| ("about", key)));
    facts.extend(webhook.run.clone().map(|run| ("run", run)));
    facts.extend(
        details.headers.iter().map(|header| ("header", format!("{}: {}", header.name, header.value))),
    );
    for (label, value) in facts {
        let label = out.paint.ink(Ink::Dim, &format!("{label:<8}"));
        out.paragraph(&format!("  {label}  {}", clean(&value)), 10)?;
    }
    if !details.body.trim().is_empty() {
        out.line("")?;
        let pretty = serde_json::from_str::<serde_json::Value>(&details.body)
            .ok()
            .and_then(|value| serde_json::to_string_pretty(&value).ok());
        out.line(exact(pretty.as_deref().unwrap_or(&details.body)))?;
    }
    out.say(format!("`mimir webhooks replay {}` decides about it again", webhook.id));
    Ok(DONE)
}

fn preview(preview: &WebhookPreview, context: &Context) -> Outcome {
    let out = &context.out;
    if out.json {
        out.document(preview)?;
        return Ok(DONE);
    }
    let mut facts = Vec::new();
    if !preview.event.is_empty() {
        facts.push(("event", preview.event.clone()));
    }
    facts.extend(preview.run_key.clone().map(|key| ("about", key)));
    facts.extend(preview.title.clone().map(|title| ("title", title)));
    facts.extend(preview.rule_number.map(|number| ("rule", number.to_string())));
    facts.extend(preview.workflow.clone().map(|workflow| ("workflow", workflow)));
    facts.extend(preview.project.clone().map(|project| ("project", project)));
    facts.extend(preview.wakes.iter().map(|run| ("wakes", run.clone())));
    let would = match (&preview.joins, &preview.rule_number, &preview.reason) {
        (Some(run), _, _) => format!("it would join run {run}"),
        (None, Some(_), _) => "it would begin a run".to_owned(),
        (None, None, Some(why)) => format!("no run would begin: {why}"),
        (None, None, None) => "nothing would follow".to_owned(),
    };
    facts.push(("result", would));
    for (label, value) in facts {
        let label = out.paint.ink(Ink::Dim, &format!("{label:<8}"));
        out.paragraph(&format!("{label}  {}", clean(&value)), 10)?;
    }
    Ok(DONE)
}

fn ink_of(state: WebhookState) -> Ink {
    match state {
        WebhookState::Received => Ink::Cyan,
        WebhookState::Decided => Ink::Green,
        WebhookState::Ignored => Ink::Dim,
        WebhookState::Failed => Ink::Red,
    }
}

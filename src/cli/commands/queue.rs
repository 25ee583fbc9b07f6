//! `mimir queue …`: messages that wait for a busy agent.

use std::io::IsTerminal;

use clap::{Args, Subcommand};

use super::send::read_all;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::names;
use crate::cli::table::{Table, column};
use crate::client::GatewayClient;
use crate::model::agent::ModelRef;
use crate::model::message::DeliveryState;
use crate::model::names::FrameName;
use crate::model::origin::Origin;
use crate::model::quantity::age;
use crate::wire::messages::{EditMessage, MessageView};

/// Verbs of the queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    #[command(alias = "ls")]
    List(ListArgs),
    #[command(alias = "rm")]
    Cancel(CancelArgs),
    Edit(EditArgs),
}

/// What waits and what runs, conversation by conversation, in the order in which it goes
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    of: Of,
}

/// Take messages back: one that waits is never sent, one that runs is stopped
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Which messages
    #[arg(value_name = "MESSAGE_ID", required_unless_present = "all", conflicts_with = "all", add = names::messages())]
    ids: Vec<String>,
    /// All that wait; what runs goes on
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    of: Of,
}

/// Change a message that waits; its place stays
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Which message
    #[arg(value_name = "MESSAGE_ID", add = names::messages())]
    id: String,
    /// What to ask instead; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    text: Option<String>,
    /// Which model, as provider/model
    #[arg(long, short, value_parser = |text: &str| text.parse::<ModelRef>(), add = names::models())]
    model: Option<ModelRef>,
    /// Which of opencode's agents, such as `build` or `plan`
    #[arg(long)]
    agent: Option<String>,
}

/// Of whom.
#[derive(Debug, Args)]
struct Of {
    /// Only of this frame
    #[arg(long, short, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// Only of this conversation, by its id
    #[arg(long, short, add = names::sessions())]
    session: Option<String>,
}

pub async fn run(command: QueueCommand, context: &Context) -> Outcome {
    match command {
        QueueCommand::List(args) => list(&args.of, context).await,
        QueueCommand::Cancel(args) => cancel(&args, context).await,
        QueueCommand::Edit(args) => edit(args, context).await,
    }
}

async fn open(gateway: &GatewayClient, of: &Of) -> Result<Vec<MessageView>, Failure> {
    let frame = of.frame.as_ref().map(FrameName::as_str);
    Ok(gateway.queue(frame, of.session.as_deref()).await?)
}

async fn list(of: &Of, context: &Context) -> Outcome {
    let messages = open(&context.gateway().await?, of).await?;
    if context.out.json {
        context.out.document(&messages)?;
        return Ok(DONE);
    }
    if messages.is_empty() {
        context.out.say("nothing waits and nothing runs");
        return Ok(DONE);
    }
    // Worth a column only when a machine sent something.
    let with_origin = !messages.iter().all(|message| message.origin.is_person());
    let mut columns = vec![
        column("MESSAGE"),
        column("FRAME"),
        column("SESSION").spare(2),
        column("STATE"),
        column("AGE").right().spare(1),
        column("TEXT").shrinks(),
    ];
    if with_origin {
        columns.insert(4, column("ORIGIN"));
    }
    let mut table = Table::new(&columns);
    for message in messages {
        let state = if message.interrupt && message.state == DeliveryState::Queued {
            "next".to_owned()
        } else {
            message.state.to_string()
        };
        let mut cells = vec![
            message.id.into(),
            message.frame.into(),
            message.session.into(),
            state.into(),
            age(message.created_at, context.now_ms()).into(),
            message.text.lines().next().unwrap_or_default().to_owned().into(),
        ];
        if with_origin {
            cells.insert(4, origin(message.origin, message.run.as_deref()).into());
        }
        table.row(cells);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

/// What began something, with the run that it belongs to: `schedule`, `run run_…`.
pub fn origin(origin: Origin, run: Option<&str>) -> String {
    run.map_or_else(|| origin.to_string(), |run| format!("{origin} {run}"))
}

async fn cancel(args: &CancelArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let ids: Vec<String> = match args.all {
        true => {
            let waiting = open(&gateway, &args.of).await?.into_iter();
            waiting
                .filter(|message| message.state == DeliveryState::Queued)
                .map(|message| message.id)
                .collect()
        }
        false => args.ids.clone(),
    };
    let mut ended = Vec::new();
    for id in &ids {
        ended.push(context.out.while_waiting("cancelling", gateway.cancel(id)).await?);
    }
    if context.out.json {
        context.out.document(&ended)?;
    }
    if ids.is_empty() {
        context.out.say("nothing waits");
    }
    let mut code = DONE;
    for message in &ended {
        let id = &message.id;
        match message.state {
            DeliveryState::Cancelled => context.out.say(format!("{id} is cancelled")),
            state if state.is_final() => {
                context.out.warn(format!("{id} was {state} before; `mimir send --follow {id}` shows it"));
                code = FAILED;
            }
            _ => context.out.warn(format!(
                "{id} is being stopped and the agent has not let go yet; `mimir queue list` shows when it has"
            )),
        }
    }
    Ok(code)
}

async fn edit(args: EditArgs, context: &Context) -> Outcome {
    let stdin = std::io::stdin();
    let text = match args.text.as_deref() {
        Some("-") => Some(read_all(stdin.lock())?),
        Some(text) => Some(text.to_owned()),
        None if args.model.is_none() && args.agent.is_none() && !stdin.is_terminal() => {
            Some(read_all(stdin.lock())?)
        }
        None => None,
    };
    if text.is_none() && args.model.is_none() && args.agent.is_none() {
        return Err(usage("there is nothing to change")
            .hint(format!("`mimir queue edit {} \"what you want instead\"`", args.id))
            .into());
    }
    let edit = EditMessage { text, model: args.model.map(String::from), agent: args.agent };
    let edited = context.gateway().await?.edit(&args.id, &edit).await?;
    if context.out.json {
        context.out.document(&edited)?;
    } else {
        context.out.say(format!("{} is changed and keeps its place", edited.id));
    }
    Ok(DONE)
}

//! `mimir send`

mod calls;
mod choice;
mod follow;
mod prompts;
mod screen;
mod steps;
mod target;
mod thought;
mod transcript;

use std::io::{IsTerminal, Read};
use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::environment;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::names;
use crate::client::{ClientError, GatewayClient};
use crate::clock;
use crate::model::agent::ModelRef;
use crate::model::message::{InvalidText, MessageText};
use crate::model::names::{FrameName, ProjectName};
use crate::model::quantity::span;
use crate::wire::messages::{MessageView, SendMessage, Unattended};
use crate::wire::problem::Problem;
use screen::Manner;

/// What to do with more than a message may hold.
const TOO_LONG: &str = "put it into a file in the workspace and name the file";

/// Ask the agent of a frame and show its answer as it comes
#[derive(Debug, Args)]
pub struct SendArgs {
    /// Which frame; the one of this folder when absent
    #[arg(long, short, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// The one frame of this project
    #[arg(long, value_parser = ProjectName::parse, conflicts_with = "frame", add = names::projects())]
    project: Option<ProjectName>,
    /// What to ask; `-` reads it from standard input
    #[arg(value_name = "MESSAGE")]
    text: Option<String>,
    /// What to ask, as an option
    #[arg(long, value_name = "TEXT", conflicts_with = "text")]
    message: Option<String>,
    /// Which conversation: `last` (the default), `new`, an id or a title
    #[arg(long, short, add = names::sessions())]
    session: Option<String>,
    /// Which model, as provider/model
    #[arg(long, short, value_parser = |text: &str| text.parse::<ModelRef>(), add = names::models())]
    model: Option<ModelRef>,
    /// Which of opencode's agents, such as `build` or `plan`
    #[arg(long)]
    agent: Option<String>,
    /// Nobody is there: what the agent asks is denied after this long (`approvals.unattended` when absent), and the
    /// agent is told so
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = span::parse)]
    unattended: Option<Option<Duration>>,
    /// Stop what the conversation does, and go before what waits there
    #[arg(long)]
    interrupt: bool,
    /// At once, or refused with the reason why it would have to wait
    #[arg(long, conflicts_with = "interrupt")]
    now: bool,
    /// Return as soon as the message is queued
    #[arg(long, conflicts_with_all = ["no_stream", "timeout"])]
    no_wait: bool,
    /// Print the answer when it is complete
    #[arg(long)]
    no_stream: bool,
    /// Show what the model thinks aloud, instead of one line for all of it
    #[arg(long, conflicts_with = "no_wait")]
    reasoning: bool,
    /// Leave after this long; the work goes on
    #[arg(long, value_name = "DURATION", value_parser = span::parse)]
    timeout: Option<Duration>,
    /// Show a message that was sent before, instead of sending one
    #[arg(long, value_name = "MESSAGE_ID", add = names::messages(), conflicts_with_all = ["text", "message", "session", "model", "agent", "unattended", "frame", "project", "interrupt", "now"])]
    follow: Option<String>,
}

pub async fn run(args: SendArgs, context: &Context) -> Outcome {
    let manner = Manner {
        stream: !args.no_stream,
        timeout: args.timeout,
        reasoning: args.reasoning,
        // A run that says that nobody is there asks nobody.
        asks: context.out.is_attended() && args.unattended.is_none(),
    };
    if let Some(id) = &args.follow {
        let gateway = context.gateway().await?;
        let mut message = gateway.message(id).await?;
        // From its beginning; the gateway itself says where reading is possible.
        message.after_event = 0;
        return follow::follow(&gateway, message, manner, context).await;
    }
    let text = text_of(&args)?;
    let gateway = context.gateway().await?;
    let frame = target::choose(&gateway, args.frame.as_ref(), args.project.as_ref(), context).await?;
    let request = SendMessage {
        frame,
        text,
        session: args.session,
        model: args.model.map(String::from),
        agent: args.agent,
        unattended: args.unattended.map(|given| unattended(given, context)),
        interrupt: args.interrupt,
        now: args.now,
    };
    let message = context.out.while_waiting("handing over the message", send(&gateway, &request)).await?;
    for note in &message.notes {
        context.out.say(context.dim(note));
    }
    if args.no_wait {
        return queued(&message, context);
    }
    follow::follow(&gateway, message, manner, context).await
}

/// How long it waits: as was said, else as this environment says, else as the gateway has it.
fn unattended(given: Option<Duration>, context: &Context) -> Unattended {
    let here = || environment::of_request(&context.load, "approvals.unattended").into_values().next();
    let within = given.or_else(|| span::parse(&here()?).ok());
    Unattended { deadline_seconds: within.map(|it| it.as_secs()) }
}

/// Sends it once, however often we have to ask: the key makes a repeat harmless.
async fn send(gateway: &GatewayClient, request: &SendMessage) -> Result<MessageView, ClientError> {
    let key = hex::encode(clock::entropy::<16>());
    gateway.send_surely(request, &key).await
}

fn queued(message: &MessageView, context: &Context) -> Outcome {
    if context.out.json {
        context.out.document(message)?;
    } else {
        context.out.line(&message.id)?;
        context.out.say(format!("`mimir send --follow {}` shows the answer", message.id));
    }
    Ok(DONE)
}

fn text_of(args: &SendArgs) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let given = args.text.as_deref().or(args.message.as_deref());
    let text = match given {
        Some("-") => read_all(stdin.lock())?,
        Some(text) => text.to_owned(),
        None if !stdin.is_terminal() => read_all(stdin.lock())?,
        None => {
            return Err(usage("there is nothing to send")
                .hint("`mimir send \"what you want\"`, or `… | mimir send -`")
                .into());
        }
    };
    match MessageText::parse(text.as_str()) {
        Ok(_) => Ok(text),
        Err(InvalidText::Empty) => {
            Err(usage("the message is empty").hint("`mimir send \"what you want\"`").into())
        }
        Err(error @ InvalidText::TooLong { .. }) => {
            Err(Problem::new(413, "send.too_long", error.to_string()).hint(TOO_LONG).into())
        }
    }
}

/// A message from standard input, which may have no end.
pub(super) fn read_all(input: impl Read) -> Result<String, Failure> {
    let unreadable = |why: String| {
        usage("the message on standard input cannot be read").detail(why).hint("a message is UTF-8 text")
    };
    let mut bytes = Vec::new();
    let most = MessageText::MOST_BYTES as u64 + 1;
    input.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() > MessageText::MOST_BYTES {
        let title = format!("the message is longer than {} MiB", MessageText::MOST_BYTES >> 20);
        return Err(Problem::new(413, "send.too_long", title).hint(TOO_LONG).into());
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it holds bytes that are no text".to_owned()).into())
}

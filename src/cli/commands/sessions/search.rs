//! `mimir sessions search`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Outcome};
use crate::cli::names;
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::client::SearchFor;
use crate::clock::utc as time;
use crate::model::names::FrameName;
use crate::model::quantity::span;
use crate::sessions::query;
use crate::wire::problem::Problem;
use crate::wire::sessions::SearchHit;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Author {
    /// People
    User,
    /// Models
    Assistant,
}

/// Find what was said, in the conversations of all frames there ever were
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// All of these words; `"words together"`, begin*, this OR that; behind `--` also -without
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Only of this frame, also of one that is gone
    #[arg(long, value_parser = FrameName::parse, add = names::frames())]
    frame: Option<FrameName>,
    /// Only in this conversation
    #[arg(long, add = names::sessions())]
    session: Option<String>,
    /// Only what this side wrote
    #[arg(long, value_enum)]
    role: Option<Author>,
    /// Only what is younger: 30m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = span::parse)]
    since: Option<std::time::Duration>,
    /// How many places at most
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

pub async fn run(args: &SearchArgs, context: &Context) -> Outcome {
    let words = args.words.join(" ");
    // The gateway finds nothing then; a person hears why.
    if let Err(why) = query::expression(&words) {
        let problem = Problem::new(400, "search.query", why.to_string());
        return Err(problem
            .hint("words that must all be there; also \"words together\", begin*, -without")
            .into());
    }
    let gateway = context.gateway().await?;
    let since = args
        .since
        .map(|age| context.now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
    let wanted = SearchFor {
        words,
        frame: args.frame.as_ref().map(ToString::to_string),
        session: args.session.clone(),
        role: args.role.map(|author| match author {
            Author::User => "user",
            Author::Assistant => "assistant",
        }),
        since,
        limit: args.limit,
    };
    let found = gateway.search(&wanted).await?;
    if context.out.json {
        context.out.document(&found)?;
        return Ok(DONE);
    }
    if found.is_empty() {
        context.out.say(format!("nobody said `{}`", clean(&wanted.words)));
    }
    for (at, hit) in found.iter().enumerate() {
        if at > 0 {
            context.out.line("")?;
        }
        context.out.line(head(hit, context))?;
        context.out.line(format!("  {}", snippet(hit, context)))?;
    }
    Ok(DONE)
}

fn head(hit: &SearchHit, context: &Context) -> String {
    let who = if hit.role == "user" { "you" } else { hit.model.as_deref().unwrap_or("assistant") };
    let paint = context.out.paint;
    let standing = if hit.taken_back.is_some() {
        format!("  {}", paint.ink(Ink::Yellow, "taken back"))
    } else {
        String::new()
    };
    format!(
        "{}  {}  {}{standing}",
        paint.ink(Ink::Cyan, &hit.session),
        paint.ink(Ink::Bold, &clean(&hit.title)),
        paint.ink(Ink::Dim, &clean(&format!("{}, {who}, {}", hit.frame, time(hit.at)))),
    )
}

/// One line; what was looked for stands out, also without colour when there is none.
fn snippet(hit: &SearchHit, context: &Context) -> String {
    let piece =
        |text: &str| clean(&text.split_inclusive(char::is_whitespace).map(spaced).collect::<String>());
    hit.snippet
        .iter()
        .map(|part| {
            let text = piece(&part.text);
            if part.hit { context.out.paint.ink(Ink::Yellow, &text).to_string() } else { text }
        })
        .collect()
}

/// A word with whatever white space follows it made one blank.
fn spaced(word: &str) -> String {
    let bare = word.trim_end();
    if bare.len() == word.len() { word.to_owned() } else { format!("{bare} ") }
}

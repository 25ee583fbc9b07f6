//! What is said at the forge: searched for secrets, once for each marker, and noted.

use super::PullDeps;
use super::memory::Memory;
use super::outside::of_forge;
use super::place::Place;
use super::speakers::{Command, key};
use super::texts;
use crate::forge::ForgeError;
use crate::model::forge::Comment;
use crate::secrets::scan::Scanner;
use crate::workflows::stage::{StageContext, StageError};
use crate::workflows::trouble::of_store;

/// What is known of secrets now.
pub(super) async fn scanner<W: Sync>(deps: &PullDeps<W>) -> Result<Scanner, StageError> {
    deps.vault.scanner().await.map_err(of_store)
}

/// The text if nothing in it looks like a secret, else the other one.
pub(super) fn harmless<'a>(scanner: &Scanner, text: &'a str, instead: &'a str) -> &'a str {
    if scanner.scan(text).is_empty() { text } else { instead }
}

/// Where there is more than is read, nobody can find out whether it was said already, and it is not said: what is to be
/// done is done without a word.
fn unless_too_much(said: Result<Comment, ForgeError>) -> Result<Option<Comment>, StageError> {
    match said {
        Err(ForgeError::TooMuch(_)) => Ok(None),
        said => said.map(Some).map_err(of_forge),
    }
}

/// Answers a comment once, as far as it can be known that it was not answered.
pub(super) async fn answer<C: StageContext, W: Sync>(
    to: &Comment,
    text: &str,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Comment>, StageError> {
    let name = format!("{}/answer-{}", cx.run().id, key(to).replace(':', "-"));
    deps.failpoints.hit("workflows.answer.before").await;
    let said = unless_too_much(place.forge.reply(place.number, to, text, &name).await)?;
    deps.failpoints.hit("workflows.answer.after").await;
    Ok(said)
}

/// The same below the pull request; `what` is its name.
pub(super) async fn say<C: StageContext, W: Sync>(
    text: &str,
    what: &str,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<Option<Comment>, StageError> {
    let name = format!("{}/{what}", cx.run().id);
    deps.failpoints.hit("workflows.comment.before").await;
    let said = unless_too_much(place.forge.comment(place.number, text, &name).await)?;
    deps.failpoints.hit("workflows.comment.after").await;
    Ok(said)
}

/// Obeys a command and says so.
pub(super) async fn acknowledge<C: StageContext, W: Sync>(
    (of, by, command): (&str, &str, Command),
    comments: &[Comment],
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    if let Some(comment) = comments.iter().find(|comment| key(comment) == of) {
        answer(comment, texts::acknowledged(command), place, cx, deps).await?;
    }
    let mut memory = Memory::of(cx.progress());
    memory.paused = match command {
        Command::Pause => Some(by.to_owned()),
        Command::Resume | Command::Stop => None,
    };
    if command == Command::Stop {
        memory.stopped = Some((by.to_owned(), of.to_owned()));
    }
    memory.keep(cx.progress());
    cx.progress().answered.push(of.to_owned());
    cx.save("decision", format!("{by} said: {command}"), Some(place.url.clone())).await
}

/// Tells people that they have to see to it, once for each commit and each branch that it is sent to.
pub(super) async fn hand_over<C: StageContext, W: Sync>(
    (head, yes): (&str, &str),
    why: &str,
    place: &Place,
    cx: &mut C,
    deps: &PullDeps<W>,
) -> Result<(), StageError> {
    if cx.progress().handed_over.iter().any(|known| known == yes) {
        return Ok(());
    }
    let run = cx.run().clone();
    let text = texts::hand_over(&run, head, why);
    let without = texts::hand_over(&run, head, "something that cannot be said here stands in its way");
    let text = harmless(&scanner(deps).await?, &text, &without).to_owned();
    let said = say(&text, &format!("hand-over-{yes}"), place, cx, deps).await?;
    cx.progress().handed_over.push(yes.to_owned());
    cx.save("comment", format!("handed over: {why}"), place.link_to(said.as_ref())).await
}

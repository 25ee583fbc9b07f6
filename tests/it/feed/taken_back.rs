//! What somebody takes back in the terminal, with a real opencode: the history keeps it and says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use mimir::delivery::Settings;
use mimir::model::agent::{AgentMessageId, TakeBack, TakenBack};
use mimir::model::event::EventKind;
use mimir::model::message::DeliveryState::Answered;
use mimir::model::message::Message;
use mimir::sessions::export;
use mimir::store::search::Wanted;
use mimir::store::{sessions, taken_back};

use tokio::process::Command;

use crate::agent::world::World;
use crate::versions::release::{PASSWORD, Release};

/// A conversation of a real agent, and somebody at its terminal.
struct Terminal {
    world: World,
    real: Arc<Release>,
    session: String,
    ours: mimir::model::ids::SessionId,
}

impl Terminal {
    /// With one answered message; nothing when the agent is not here.
    async fn open(test: &str) -> Option<(Self, Message)> {
        let real = Release::find(test, mimir::opencode::VERSION).await?;
        let world = World::with(real.clone(), settings()).await;
        real.meet().await.expect("it is healthy");
        real.client().warm_up().await.expect("it is awake");
        let first = world.end_of(&world.send("the first word @@text@@").await).await;
        assert_eq!(first.state, Answered, "{first:?}");
        let id = first.session.clone();
        let row = world.store.read(move |db| sessions::get(db, &id)).await.expect("a session");
        let session = row.agent_session.expect("the agent's id").0;
        Some((Self { world, real, session, ours: row.id }, first))
    }

    /// Asks and waits for the answer.
    async fn say(&self, words: &str) -> Message {
        let said = self.world.end_of(&self.world.send(words).await).await;
        assert_eq!(said.state, Answered, "{said:?}");
        said
    }

    /// What the terminal does for `/undo`, `/redo` and a message that is deleted.
    async fn ask(&self, method: &str, path: &str, body: &str) {
        let url = format!("http://127.0.0.1:{}/session/{}{path}", self.real.start(), self.session);
        let asked = Command::new("curl")
            .args(["-sS", "--fail-with-body", "-u", &format!("mimir:{PASSWORD}"), "-X", method, &url])
            .args(["-H", "content-type: application/json", "-d", body])
            .output()
            .await
            .expect("curl");
        assert!(asked.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&asked.stdout));
    }

    async fn undo(&self, message: &Message) {
        self.ask("POST", "/revert", &format!(r#"{{"messageID": "{}"}}"#, prompt_of(message))).await;
    }

    async fn marks(&self) -> BTreeMap<AgentMessageId, TakenBack> {
        let id = self.ours.clone();
        self.world.store.read(move |db| taken_back::of_session(db, &id)).await.expect("marks")
    }

    /// Waits until exactly these prompts, each with its answer, are marked so, and nothing else is.
    async fn until_taken_back(&self, wanted: &[(&Message, TakeBack)]) {
        let wanted: BTreeMap<String, TakeBack> =
            wanted.iter().map(|(message, how)| (prompt_of(message), *how)).collect();
        let what = format!("{wanted:?} are taken back");
        let history = self.world.sessions().read(&self.ours).await.expect("a history").history;
        let mut prompt = String::new();
        let mut expected = BTreeMap::new();
        for message in &history {
            if message.is_prompt() {
                prompt = message.head.id.to_string();
            }
            if let Some(how) = wanted.get(&prompt) {
                expected.insert(message.head.id.clone(), *how);
            }
        }
        assert!(wanted.is_empty() || expected.len() >= 2 * wanted.len(), "with answers: {expected:?}");
        self.world
            .eventually(&what, async || {
                let marks = self.marks().await;
                marks.iter().map(|(id, mark)| (id.clone(), mark.how)).eq(expected.clone())
            })
            .await;
    }

    async fn told(&self) -> Vec<EventKind> {
        let told = self.world.log().await.into_iter().map(|event| event.what);
        told.filter(|what| {
            matches!(what, EventKind::SessionTakenBack { .. } | EventKind::SessionRestored { .. })
        })
        .collect()
    }
}

fn settings() -> Settings {
    Settings::new("scripted/scripted".parse().expect("a model"))
}

fn prompt_of(message: &Message) -> String {
    message.agent_message.as_ref().expect("the agent has it").to_string()
}

/// Field case 21.
#[tokio::test]
async fn what_is_undone_in_the_terminal_is_marked_and_what_is_redone_stands_again() {
    let test = "what_is_undone_in_the_terminal_is_marked_and_what_is_redone_stands_again";
    let Some((terminal, first)) = Terminal::open(test).await else { return };
    let second = terminal.say("the second thing @@write@@").await;

    terminal.undo(&second).await;
    terminal.until_taken_back(&[(&second, TakeBack::Undone)]).await;
    terminal.undo(&first).await;
    terminal.until_taken_back(&[(&first, TakeBack::Undone), (&second, TakeBack::Undone)]).await;
    terminal.undo(&second).await;
    terminal.until_taken_back(&[(&second, TakeBack::Undone)]).await;
    terminal.ask("POST", "/unrevert", "{}").await;
    terminal.until_taken_back(&[]).await;

    // Undone, and then written over: for good.
    terminal.undo(&second).await;
    terminal.until_taken_back(&[(&second, TakeBack::Undone)]).await;
    let third = terminal.say("the third thing @@text@@").await;
    terminal.until_taken_back(&[(&second, TakeBack::Removed)]).await;

    let read = terminal.world.sessions().read(&terminal.ours).await.expect("a history");
    let text = export::markdown(&read);
    assert_eq!(text.matches("**Taken back** (removed, ").count(), read.taken_back.len(), "{text}");
    let (stands, gone) = text.split_once("the second thing").expect("it is still readable");
    assert!(!stands.contains("the third thing") && stands.contains("**Taken back**"), "{text}");
    assert!(gone.contains("the third thing"), "{text}");
    let within = || Wanted { limit: 5, ..Wanted::default() };
    let found = terminal.world.sessions().search("\"second thing\"", within()).await.expect("found");
    assert_eq!(found[0].taken_back.map(|mark| mark.how), Some(TakeBack::Removed));
    let found = terminal.world.sessions().search("\"third thing\"", within()).await.expect("found");
    assert_eq!(found[0].taken_back, None);

    // Without an undo.
    terminal.ask("DELETE", &format!("/message/{}", prompt_of(&first)), "").await;
    let one = AgentMessageId(prompt_of(&first));
    terminal.world.eventually("one is deleted", async || terminal.marks().await.contains_key(&one)).await;
    assert_eq!(terminal.marks().await[&one].how, TakeBack::Removed);
    assert!(!terminal.marks().await.contains_key(&AgentMessageId(prompt_of(&third))));

    let told: Vec<String> = terminal
        .told()
        .await
        .iter()
        .map(|what| match what {
            EventKind::SessionTakenBack { how, .. } => how.to_string(),
            _ => "restored".to_owned(),
        })
        .collect();
    let undone: Vec<&str> = told.iter().map(String::as_str).filter(|word| *word != "removed").collect();
    assert_eq!(undone, ["undone", "undone", "restored", "restored", "undone"], "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("removed"));
    assert_eq!(terminal.world.state(&second).await, Answered, "it was answered, whatever became of it");
}

#[tokio::test]
async fn what_is_taken_back_while_the_gateway_is_away_is_found() {
    let test = "what_is_taken_back_while_the_gateway_is_away_is_found";
    let Some((mut terminal, _)) = Terminal::open(test).await else { return };
    let second = terminal.say("the second thing @@write@@").await;
    let third = terminal.say("the third thing @@text@@").await;

    terminal.world.stop_gateway().await;
    terminal.undo(&third).await;
    let real = terminal.real.clone();
    terminal.world.start_again(real.clone(), settings());
    terminal.until_taken_back(&[(&third, TakeBack::Undone)]).await;

    terminal.world.stop_gateway().await;
    terminal.ask("POST", "/unrevert", "{}").await;
    terminal.world.start_again(real.clone(), settings());
    terminal.until_taken_back(&[]).await;

    // Somebody goes on without it.
    terminal.world.stop_gateway().await;
    terminal.undo(&second).await;
    terminal
        .ask("POST", "/message", r#"{"parts": [{"type": "text", "text": "the fourth thing @@text@@"}]}"#)
        .await;
    terminal.world.start_again(real, settings());
    terminal.until_taken_back(&[(&second, TakeBack::Removed), (&third, TakeBack::Removed)]).await;
    terminal.world.until_ended(&terminal.session, 1).await;
    let history = terminal.world.sessions().read(&terminal.ours).await.expect("a history").history;
    assert!(history.iter().any(|message| format!("{message:?}").contains("the fourth thing")), "{history:?}");
}

/// However it came to that: what the agent lists stands.
#[tokio::test]
async fn what_counts_as_removed_and_is_listed_again_stands_again() {
    let test = "what_counts_as_removed_and_is_listed_again_stands_again";
    let Some((mut terminal, first)) = Terminal::open(test).await else { return };
    let second = terminal.say("the second thing @@write@@").await;
    let third = terminal.say("the third thing @@text@@").await;
    let real = terminal.real.clone();

    terminal.world.stop_gateway().await;
    let history = terminal.world.sessions().read(&terminal.ours).await.expect("a history").history;
    let from = |message: &Message| {
        let prompt = AgentMessageId(prompt_of(message));
        history.iter().map(|message| message.head.id.clone()).filter(move |id| *id >= prompt)
    };
    let (ours, marked) = (terminal.ours.clone(), from(&second).collect::<Vec<_>>());
    assert!(marked.len() >= 4, "two prompts with their answers: {marked:?}");
    let wrongly = move |tx: &mut mimir::store::Tx<'_>| taken_back::remove(tx, &ours, &marked);
    terminal.world.store.write(wrongly).await.expect("marked");
    terminal.until_taken_back(&[(&second, TakeBack::Removed), (&third, TakeBack::Removed)]).await;
    // The last one is undone in the meantime, and listed all the same.
    terminal.undo(&third).await;
    terminal.world.start_again(real.clone(), settings());
    terminal.until_taken_back(&[(&third, TakeBack::Undone)]).await;

    // What is really gone stays so, however often the rest is listed.
    terminal.ask("POST", "/unrevert", "{}").await;
    terminal.until_taken_back(&[]).await;
    terminal.ask("DELETE", &format!("/message/{}", prompt_of(&first)), "").await;
    let one = AgentMessageId(prompt_of(&first));
    terminal.world.eventually("one is deleted", async || terminal.marks().await.contains_key(&one)).await;
    terminal.world.stop_gateway().await;
    terminal.world.start_again(real, settings());
    let fourth = terminal.say("the fourth thing @@text@@").await;
    assert_eq!(terminal.world.state(&fourth).await, Answered);
    assert_eq!(terminal.marks().await.keys().collect::<Vec<_>>(), [&one]);
}

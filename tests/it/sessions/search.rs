//! Finding what was said.

use std::time::Instant;

use mimir::clock::{Clock, entropy_128};
use mimir::model::agent::{
    AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId, MessageInfo, PartBody, Role,
    ToolStatus,
};
use mimir::model::ids::{FrameId, SessionId};
use mimir::model::message::Session;
use mimir::model::names::FrameName;
use mimir::model::secret::Secret;
use mimir::model::usage::Tokens;
use mimir::sessions::query;
use mimir::store::search::{self, Found, Wanted};
use mimir::store::sessions::NewSession;
use mimir::store::{OpenOptions, Store, agent_messages, sessions};
use proptest::prelude::{ProptestConfig, any, proptest};

struct Archive {
    store: Store,
    _folder: tempfile::TempDir,
}

/// A message to be found.
struct Said {
    session: SessionId,
    id: String,
    role: Role,
    at: u64,
    parts: Vec<PartBody>,
}

fn text(words: &str) -> PartBody {
    PartBody::Text { text: words.into(), synthetic: false }
}

fn tool(input: serde_json::Value, output: &str) -> PartBody {
    PartBody::Tool {
        tool: "bash".into(),
        call_id: "call_1".into(),
        status: ToolStatus::Completed,
        title: Some("run it".into()),
        input,
        output: Some(output.into()),
    }
}

impl Archive {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = OpenOptions {
            path: folder.path().join("mimir.db"),
            key: Secret::new("ab".repeat(32)),
            backups: folder.path().join("backups"),
        };
        Self { store: Store::open(options, Clock::system()).expect("a database"), _folder: folder }
    }

    /// A conversation; no frame of that id is left, as after its end.
    async fn session(&self, frame: &str, title: &str) -> Session {
        let new = NewSession {
            id: SessionId::from_parts(1, entropy_128()),
            frame: FrameId::from_parts(1, entropy_128()),
            frame_name: FrameName::parse(frame).expect("a name"),
            title: title.into(),
        };
        self.store.write(move |tx| sessions::insert(tx, &new)).await.expect("a session")
    }

    async fn keep(&self, said: Said) {
        let session = AgentSessionId("ses_1".into());
        let message = MessageInfo {
            id: AgentMessageId(said.id.clone()),
            session: session.clone(),
            role: said.role,
            parent: None,
            model: Some("demo/demo".into()),
            created_at: said.at,
            completed_at: Some(said.at + 1),
            finish: None,
            error: None,
            tokens: Tokens::default(),
            cost_microusd: 0,
        };
        let part = |(at, body)| AgentPart {
            id: AgentPartId(format!("prt_{}_{at}", said.id)),
            session: session.clone(),
            message: message.id.clone(),
            ended: true,
            started_at: Some(1),
            ended_at: Some(2),
            body,
        };
        let parts: Vec<AgentPart> = said.parts.into_iter().enumerate().map(part).collect();
        let (key, message) = (said.session, AgentMessage { head: message, parts });
        let write = self.store.write(move |tx| agent_messages::upsert(tx, &key, &message));
        write.await.expect("kept");
    }

    async fn say(&self, session: &Session, id: &str, role: Role, at: u64, parts: Vec<PartBody>) {
        self.keep(Said { session: session.id.clone(), id: id.into(), role, at, parts }).await;
    }

    async fn find(&self, typed: &str, within: Wanted) -> Vec<Found> {
        let wanted = Wanted { expression: query::expression(typed).expect(typed), limit: 50, ..within };
        self.store.read(move |db| search::find(db, &wanted)).await.expect(typed)
    }

    async fn ids(&self, typed: &str, within: Wanted) -> Vec<String> {
        self.find(typed, within).await.into_iter().map(|found| found.message.0).collect()
    }
}

fn all() -> Wanted {
    Wanted::default()
}

#[tokio::test]
async fn everything_that_was_said_and_done_is_found_in_all_frames_there_ever_were() {
    let archive = Archive::new();
    let blog = archive.session("blog", "colours").await;
    let shop = archive.session("shop", "till").await;
    archive.say(&blog, "msg_1", Role::User, 10, vec![text("Please add a dark mode, s'il vous plaît")]).await;
    let work = vec![
        PartBody::Reasoning { text: "the stylesheet probably".into() },
        tool(
            serde_json::json!({"command": "grep -r\nbackground", "deep": {"x": ["zebra"]}}),
            "src/foo_bar.css:12",
        ),
        PartBody::Patch { files: vec!["/workspace/src/night.css".into()] },
        text("Dark mode is there."),
    ];
    archive.say(&blog, "msg_2", Role::Assistant, 20, work).await;
    archive.say(&shop, "msg_3", Role::User, 30, vec![text("The till is dark at night")]).await;
    let synthetic = PartBody::Text { text: "invisible continuation".into(), synthetic: true };
    archive.say(&shop, "msg_4", Role::User, 40, vec![synthetic]).await;

    for (typed, expected) in [
        ("dark mode", vec!["msg_2", "msg_1"]),
        ("\"mode dark\"", vec![]),
        ("plait", vec!["msg_1"]),
        ("DARK -mode", vec!["msg_3"]),
        ("till OR zebra", vec!["msg_3", "msg_2"]),
        ("style*", vec!["msg_2"]),
        ("background", vec!["msg_2"]),
        ("foo_bar.css", vec!["msg_2"]),
        ("night.css", vec!["msg_2"]),
        ("bash", vec!["msg_2"]),
        ("nowhere", vec![]),
        ("invisible", vec![]),
    ] {
        let mut found = archive.ids(typed, all()).await;
        let mut expected: Vec<String> = expected.into_iter().map(String::from).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{typed}");
    }

    let found = archive.find("zebra", all()).await.remove(0);
    assert_eq!((found.session.id, found.session.title.as_str()), (blog.id.clone(), "colours"));
    assert_eq!((found.role, found.at, found.model.as_deref()), (Role::Assistant, 20, Some("demo/demo")));
    let hits: Vec<&str> =
        found.snippet.iter().filter(|(_, hit)| *hit).map(|(text, _)| text.as_str()).collect();
    assert_eq!(hits, ["zebra"], "{:?}", found.snippet);
}

#[tokio::test]
async fn a_search_is_narrowed_by_frame_conversation_side_and_time() {
    let archive = Archive::new();
    let blog = archive.session("blog", "one").await;
    let shop = archive.session("shop", "two").await;
    for (session, id, role, at) in [
        (&blog, "msg_1", Role::User, 10),
        (&blog, "msg_2", Role::Assistant, 20),
        (&shop, "msg_3", Role::User, 30),
        (&shop, "msg_4", Role::Assistant, 40),
    ] {
        archive.say(session, id, role, at, vec![text("the same words")]).await;
    }
    let frame = FrameName::parse("shop").expect("a name");
    // Equally good: the newest first.
    assert_eq!(archive.ids("same", all()).await, ["msg_4", "msg_3", "msg_2", "msg_1"]);
    assert_eq!(archive.ids("same", Wanted { frame: Some(frame), ..all() }).await, ["msg_4", "msg_3"]);
    assert_eq!(archive.ids("same", Wanted { session: Some(blog.id), ..all() }).await, ["msg_2", "msg_1"]);
    assert_eq!(archive.ids("same", Wanted { role: Some(Role::User), ..all() }).await, ["msg_3", "msg_1"]);
    assert_eq!(
        archive.ids("same", Wanted { since: Some(20), until: Some(40), ..all() }).await,
        ["msg_3", "msg_2"]
    );
}

#[tokio::test]
async fn what_people_and_models_say_counts_more_than_what_tools_print() {
    let archive = Archive::new();
    let blog = archive.session("blog", "one").await;
    let filler = "other words around it ".repeat(3);
    archive.say(&blog, "msg_1", Role::User, 10, vec![text(&format!("needle {filler}"))]).await;
    let printed = format!("needle {filler}");
    archive.say(&blog, "msg_2", Role::Assistant, 20, vec![tool(serde_json::Value::Null, &printed)]).await;
    let thought = PartBody::Reasoning { text: format!("needle {filler}") };
    archive.say(&blog, "msg_3", Role::Assistant, 30, vec![thought]).await;
    assert_eq!(archive.ids("needle", all()).await, ["msg_1", "msg_2", "msg_3"]);
}

#[tokio::test]
async fn a_message_that_changes_is_found_by_its_new_words_alone_and_a_removed_one_not_at_all() {
    let archive = Archive::new();
    let blog = archive.session("blog", "one").await;
    archive.say(&blog, "msg_1", Role::Assistant, 10, vec![text("half an")]).await;
    archive.say(&blog, "msg_1", Role::Assistant, 10, vec![text("half an answer")]).await;
    archive.say(&blog, "msg_1", Role::Assistant, 10, vec![text("whole answer")]).await;
    archive.say(&blog, "msg_1", Role::Assistant, 10, vec![text("whole answer")]).await;
    assert!(archive.ids("half", all()).await.is_empty());
    assert_eq!(archive.ids("whole", all()).await, ["msg_1"]);
    let id = blog.id.clone();
    archive.store.write(move |tx| sessions::remove(tx, &id)).await.expect("removed");
    assert!(archive.ids("whole", all()).await.is_empty());
    archive.store.check(std::time::Duration::from_secs(60)).await.expect("the tables hang together");
}

#[tokio::test]
async fn a_long_history_is_searched_at_once() {
    let archive = Archive::new();
    let blog = archive.session("blog", "one").await;
    let id = blog.id.clone();
    let write = archive.store.write(move |tx| {
        for number in 0..3_000 {
            let message = MessageInfo {
                id: AgentMessageId(format!("msg_{number:05}")),
                session: AgentSessionId("ses_1".into()),
                role: Role::Assistant,
                parent: None,
                model: None,
                created_at: number,
                completed_at: None,
                finish: None,
                error: None,
                tokens: Tokens::default(),
                cost_microusd: 0,
            };
            let part = AgentPart {
                id: AgentPartId(format!("prt_{number}")),
                session: message.session.clone(),
                message: message.id.clone(),
                ended: true,
                started_at: None,
                ended_at: None,
                body: text(&format!("common words number{number} and so on {}", "lorem ipsum ".repeat(20))),
            };
            agent_messages::upsert(tx, &id, &AgentMessage { head: message, parts: vec![part] })?;
        }
        Ok(())
    });
    write.await.expect("kept");
    let begun = Instant::now();
    assert_eq!(archive.ids("number1234", all()).await, ["msg_01234"]);
    assert_eq!(archive.ids("common words", all()).await.len(), 50);
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

#[test]
fn whatever_is_typed_is_understood_or_refused_and_never_trips_the_index() {
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let archive = threads.block_on(async {
        let archive = Archive::new();
        let blog = archive.session("blog", "one").await;
        archive.say(&blog, "msg_1", Role::User, 1, vec![text("some words")]).await;
        archive
    });
    let ask = |typed: &str| {
        if let Ok(expression) = query::expression(typed) {
            let wanted = Wanted { expression: expression.clone(), limit: 1, ..Wanted::default() };
            let found = threads.block_on(archive.store.read(move |db| search::find(db, &wanted)));
            assert!(found.is_ok(), "{typed:?} became {expression:?}: {found:?}");
        }
    };
    proptest!(ProptestConfig::with_cases(300), |(typed in any::<String>())| ask(&typed));
    // What is closer to what people type.
    proptest!(ProptestConfig::with_cases(300), |(typed in r#"(["a-c*^:(){}+-]|OR|AND|NOT|NEAR| ){0,14}"#)| ask(&typed));
}

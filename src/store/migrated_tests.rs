//! A filled database of the first release, opened by this one.

use std::path::Path;

use super::migrate::STEPS;
use super::search::Wanted;
use super::*;
use crate::model::agent::{
    AgentMessage, AgentMessageId, AgentPart, AgentPartId, AgentSessionId, MessageInfo, PartBody, Role,
};
use crate::model::approval::ApprovalState;
use crate::model::ids::{FrameId, MessageId, SessionId};
use crate::model::origin::Origin;
use crate::model::usage::Tokens;

/// What the first release knew.
const FIRST_RELEASE: &[&str] = STEPS.split_at(7).0;

fn open(folder: &Path, steps: &'static [&'static str]) -> Store {
    let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let options =
        OpenOptions { path: folder.join("mimir.db"), key: Secret::new(key), backups: folder.join("backups") };
    Store::open_at(options, Clock::manual(1_000), steps).expect("opens")
}

fn ids() -> (FrameId, SessionId, MessageId) {
    (FrameId::from_parts(1, 1), SessionId::from_parts(1, 1), MessageId::from_parts(1, 1))
}

fn head(session: &str, id: &str) -> MessageInfo {
    MessageInfo {
        id: AgentMessageId(id.to_owned()),
        session: AgentSessionId(session.to_owned()),
        role: Role::User,
        parent: None,
        model: None,
        created_at: 1,
        completed_at: None,
        finish: None,
        error: None,
        tokens: Tokens::default(),
        cost_microusd: 0,
    }
}

fn text(of: &MessageInfo, text: &str) -> AgentPart {
    AgentPart {
        id: AgentPartId("prt_1".into()),
        session: of.session.clone(),
        message: of.id.clone(),
        ended: true,
        started_at: None,
        ended_at: None,
        body: PartBody::Text { text: text.to_owned(), synthetic: false },
    }
}

/// One row of everything that has another name or more columns now.
async fn fill(store: &Store) {
    let write = store.write(|tx| {
        let (frame, session, message) = ids();
        tx.change(
            "INSERT INTO frames (id, name, workspace, image, image_id, network, cpus_milli, memory_bytes, pids,
                                 owner_uid, owner_gid, desired, state, created_at, state_changed_at, last_active_at)
             VALUES (?1, 'blog', '/w', 'i', 'i', 'open', 1, 1, 1, 0, 0, 'stopped', 'stopped', 1, 1, 1)",
            (&frame,),
        )?;
        let resolved = r#"{"allow":[],"env":[],"image":"i","network":"open",
                           "limits":{"cpus_milli":1,"memory_bytes":1,"pids":1}}"#;
        tx.change("INSERT INTO frame_configs VALUES (?1, '', ?2)", (&frame, resolved))?;
        for (port, purpose) in [(33_000, "agent"), (33_001, "preview")] {
            tx.change("INSERT INTO ports VALUES (?1, ?2, ?3, 1)", (port, &frame, purpose))?;
        }
        tx.change(
            "INSERT INTO sessions (id, frame_id, frame_name, agent_session, title, created_at, last_active_at)
             VALUES (?1, ?2, 'blog', 'ses_1', 'talk', 1, 1)",
            (&session, &frame),
        )?;
        tx.change(
            "INSERT INTO messages (id, frame_id, frame_name, session_id, text, state, agent_message, created_at)
             VALUES (?1, ?2, 'blog', ?3, 'make it dark', 'answered', 'msg_a', 1)",
            (&message, &frame, &session),
        )?;
        let said = head("ses_1", "msg_a");
        let parts = [text(&said, "make it dark")];
        tx.change(
            "INSERT INTO turns (session_id, agent_message, role, head, parts, created_at)
             VALUES (?1, 'msg_a', 'user', ?2, ?3, 1)",
            (&session, values::to_json(&said, "a head")?, values::to_json(&parts, "parts")?),
        )?;
        let asked = r#"{"id":"per_1","session":"ses_1","call":null,
                        "body":{"form":"permission","tool":"bash","patterns":["ls"],"always":[],"metadata":{}}}"#;
        tx.change(
            "INSERT INTO prompts (id, frame_id, frame_name, session_id, message_id, agent_prompt, from_child, ask,
                                  state, asked_at)
             VALUES ('apr_00000000000000000000000001', ?1, 'blog', ?2, ?3, 'per_1', 0, ?4, 'pending', 1)",
            (&frame, &session, &message, asked),
        )?;
        for provider in ["openai", "demo", "openai"] {
            tx.change(
                "INSERT INTO usage (at, frame_id, provider, model, input_tokens, output_tokens, reasoning_tokens,
                                    cache_read_tokens, cache_write_tokens, cost_microusd, priced, status)
                 VALUES (1, ?1, ?2, 'm', 1, 1, 0, 0, 0, 0, 1, 200)",
                (&frame, provider),
            )?;
        }
        tx.change(
            "INSERT INTO audit (at, principal, action, subject, detail) VALUES (1, 'gateway', 'project.add', 'blog', '{}')",
            (),
        )
        .map(drop)
    });
    write.await.expect("filled");
}

async fn found(store: &Store, word: &str) -> usize {
    let wanted = Wanted { expression: word.to_owned(), limit: 10, ..Wanted::default() };
    store.read(move |db| search::find(db, &wanted)).await.expect("searches").len()
}

#[tokio::test]
async fn what_the_first_release_kept_is_there_under_the_new_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = open(folder.path(), FIRST_RELEASE);
    fill(&old).await;
    drop(old);

    let store = open(folder.path(), STEPS);
    store.check(std::time::Duration::from_secs(60)).await.expect("whole");
    let read = store.read(|db| {
        let (frame, session, message) = ids();
        let frame = frames::get(db, &frame)?;
        let message = messages::get(db, &message)?;
        let said = agent_messages::of_session(db, &session)?;
        let written = sessions::written(db, &session)?;
        Ok((frame, message, said, written, approvals::open(db, None)?, audit::list(db, None, 9)?))
    });
    let (frame, message, said, written, asked, audited) = read.await.expect("reads");
    assert_eq!(
        (frame.origin, frame.run, message.origin, message.run),
        (Origin::Person, None, Origin::Person, None)
    );
    assert_eq!(frame.providers, ["demo", "openai"], "it keeps the providers that it has used");
    assert_eq!((said.len(), said[0].head.id.as_str(), written), (1, "msg_a", 1));
    assert_eq!((asked.len(), asked[0].state), (1, ApprovalState::Pending));
    assert_eq!(audited[0].principal, "gateway");
    assert_eq!(found(&store, "dark").await, 1, "the words of old rows are found");
}

#[tokio::test]
async fn the_words_of_messages_follow_their_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = open(folder.path(), FIRST_RELEASE);
    fill(&old).await;
    drop(old);

    let store = open(folder.path(), STEPS);
    let upsert = |id: &'static str, words: &'static str| {
        store.write(move |tx| {
            let head = head("ses_1", id);
            let parts = vec![text(&head, words)];
            agent_messages::upsert(tx, &ids().1, &AgentMessage { head, parts })
        })
    };
    upsert("msg_b", "and a footer").await.expect("written");
    assert_eq!((found(&store, "footer").await, found(&store, "dark").await), (1, 1));
    upsert("msg_a", "make it bright").await.expect("written");
    assert_eq!((found(&store, "bright").await, found(&store, "dark").await), (1, 0));
    let removed = store.write(|tx| sessions::remove(tx, &ids().1).map(drop));
    removed.await.expect("removed");
    assert_eq!((found(&store, "footer").await, found(&store, "bright").await), (0, 0));
    let left = store.read(|db| approvals::open(db, None)).await.expect("reads");
    assert!(left.is_empty(), "{left:?}");
    store.check(std::time::Duration::from_secs(60)).await.expect("whole");
}

/// How many messages people wrote, counted from everything that is there.
const COUNTED: &str = "SELECT (SELECT count(*) FROM agent_messages
             WHERE agent_messages.session_id = sessions.id AND role = 'user' AND EXISTS (
                   SELECT 1 FROM json_each(agent_messages.parts) AS part
                    WHERE json_extract(part.value, '$.body.type') = 'text'
                      AND NOT coalesce(json_extract(part.value, '$.body.synthetic'), 0)))
         + (SELECT count(*) FROM messages
             WHERE messages.session_id = sessions.id AND NOT EXISTS (
                   SELECT 1 FROM agent_messages
                    WHERE agent_messages.session_id = sessions.id
                      AND agent_messages.agent_message = messages.agent_message)) AS counted
          FROM sessions WHERE id = ?1";

#[tokio::test]
async fn the_number_of_messages_is_kept_in_whatever_order_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = open(folder.path(), FIRST_RELEASE);
    fill(&old).await;
    drop(old);
    let store = open(folder.path(), STEPS);
    // What is sent is known to the agent before, after or never; what it says changes, and some is its own.
    let send = |id: u64, agent: Option<&'static str>| {
        format!(
            "INSERT INTO messages (id, frame_id, frame_name, session_id, text, state, agent_message, created_at)
             SELECT 'msg_0000000000000000000000000{id}', frame_id, frame_name, id, 'x', 'queued', {}, 1 FROM sessions",
            agent.map_or("NULL".to_owned(), |agent| format!("'{agent}'"))
        )
    };
    let say = |id: &str, role: &str, synthetic: bool| {
        format!(
            "INSERT INTO agent_messages (session_id, agent_message, role, head, parts, created_at)
             SELECT id, '{id}', '{role}', '{{}}', '[{{\"body\":{{\"type\":\"text\",\"text\":\"x\",\"synthetic\":{synthetic}}}}}]', 1
               FROM sessions WHERE true
             ON CONFLICT (session_id, agent_message) DO UPDATE SET role = excluded.role, parts = excluded.parts"
        )
    };
    let steps = [
        ("as the first release left it", "SELECT 1".to_owned(), 1),
        ("sent, and nobody knows it", send(2, None), 2),
        (
            "handed over",
            "UPDATE messages SET agent_message = 'msg_b' WHERE agent_message IS NULL".to_owned(),
            2,
        ),
        ("it is in the history", say("msg_b", "user", false), 2),
        ("an answer", say("msg_c", "assistant", false), 2),
        ("typed in the terminal", say("msg_d", "user", false), 3),
        ("what the agent says to itself", say("msg_e", "user", true), 3),
        ("which turns out to be a person's", say("msg_e", "user", false), 4),
        ("and is its own after all", say("msg_e", "user", true), 3),
        ("an answer that was a question", say("msg_c", "user", false), 4),
        ("and an answer again", say("msg_c", "assistant", false), 3),
        ("sent, and known already", send(3, Some("msg_f")), 4),
        ("the history has it before", say("msg_g", "user", false), 5),
        ("and then its row", send(4, Some("msg_g")), 5),
        (
            "handed over once more",
            "UPDATE messages SET agent_message = 'msg_h' WHERE agent_message = 'msg_f'".to_owned(),
            5,
        ),
        (
            "under one that is there",
            "UPDATE messages SET agent_message = 'msg_c' WHERE agent_message = 'msg_h'".to_owned(),
            4,
        ),
        (
            "the agent forgets",
            "DELETE FROM agent_messages WHERE agent_message IN ('msg_d', 'msg_b')".to_owned(),
            3,
        ),
        ("and we do", "DELETE FROM messages WHERE agent_message = 'msg_b'".to_owned(), 2),
    ];
    for (what, sql, expected) in steps {
        let step = store.write(move |tx| {
            tx.transaction.execute_batch(&sql)?;
            let id = ids().1;
            let counted = tx.maybe_row(COUNTED, (&id,), |row| values::unsigned(row, "counted"))?;
            Ok((sessions::written(tx, &id)?, counted))
        });
        assert_eq!(step.await.expect(what), (expected, Some(expected)), "{what}");
    }
}

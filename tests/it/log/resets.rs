//! Positions that are too old or from another database, over the socket.

use serde_json::json;

use super::emit;
use super::reader::{Form, Reader};
use crate::api::world::World;
use mimir::model::event::EventKind;
use mimir::store::messages;

#[tokio::test]
async fn a_reset_carries_how_things_stand_and_the_stream_goes_on_after_it() {
    let world = World::new().await;
    world.frame("blog").await;
    world.frame("other").await;
    let sent = world.post("/v1/messages", Some(json!({"frame": "blog", "text": "hello"}))).await;
    let id = sent.json()["id"].as_str().expect("an id").to_owned();
    let parsed = id.parse().expect("a message id");
    let tell = world.services.store.write(move |tx| {
        let subject = messages::subject(&messages::get(tx, &parsed)?);
        for delta in ["half an ", "answer"] {
            tx.emit(&subject, &EventKind::Text { delta: delta.into(), part: "prt_1".into() })?;
        }
        Ok(())
    });
    tell.await.expect("told");
    // More than memory holds, and the beginning is gone.
    emit(&world.services.store, 0..5_000, |number| number.to_string()).await;
    let forget = |tx: &mut mimir::store::Tx<'_>| tx.change("DELETE FROM events WHERE id <= 2", ());
    world.services.store.write(forget).await.expect("forgotten");
    let newest = world.services.events.newest();

    for form in [Form::Sse, Form::Socket] {
        for position in [1, newest + 1_000_000] {
            let mut reader = Reader::open(world.socket(), form, "", Some(position)).await;
            let reset = reader.soon().await;
            assert_eq!(reset["kind"], "reset", "{form:?} from {position}: {reset}");
            assert!(reset["id"].as_u64() >= Some(newest), "{reset}");
            let data = &reset["data"];
            let names: Vec<_> =
                data["frames"].as_array().expect("frames").iter().map(|frame| &frame["name"]).collect();
            assert_eq!((&data["after"], names), (&reset["id"], vec![&json!("blog"), &json!("other")]));
            assert_eq!((&data["messages"][0]["id"], &data["approvals"]), (&json!(id), &json!([])));
            assert_eq!(data["messages"][0]["texts"], json!([{"part": "prt_1", "text": "half an answer"}]));
            let mark = format!("{form:?} {position}");
            let text = mark.clone();
            emit(&world.services.store, 0..1, move |_| text.clone()).await;
            while reader.soon().await["data"]["delta"] != json!(mark) {}
        }
    }
}

/// What somebody may not follow is not in the snapshot either.
#[tokio::test]
async fn a_snapshot_shows_what_the_filter_does() {
    let world = World::new().await;
    world.frame("blog").await;
    world.frame("other").await;
    let sent = world.post("/v1/messages", Some(json!({"frame": "blog", "text": "hello"}))).await.json();
    let (message, session) = (sent["id"].as_str().expect("an id"), sent["session"].as_str().expect("an id"));
    let ahead = Some(world.services.events.newest() + 1_000_000);
    for (query, frames, messages) in [
        ("frame=blog".to_owned(), json!(["blog"]), 1),
        ("frame=other".to_owned(), json!(["other"]), 0),
        (format!("message={message}"), json!(["blog"]), 1),
        (format!("session={session}&kind=prompt.*"), json!(["blog"]), 1),
        (format!("session={session}&frame=other"), json!([]), 0),
    ] {
        let mut reader = Reader::open(world.socket(), Form::Sse, &query, ahead).await;
        let data = reader.soon().await["data"].clone();
        let names: Vec<_> =
            data["frames"].as_array().expect("frames").iter().map(|frame| frame["name"].clone()).collect();
        assert_eq!(json!(names), frames, "{query}");
        assert_eq!(data["messages"].as_array().map(Vec::len), Some(messages), "{query}");
    }
}

#[tokio::test]
async fn a_reader_has_a_position_before_anything_happens() {
    let world = World::new().await;
    for form in [Form::Sse, Form::Socket] {
        let mut reader = Reader::open(world.socket(), form, "kind=message.text", None).await;
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(300), reader.next()).await;
        assert!(quiet.is_err(), "nothing has happened");
        assert_eq!(reader.position, Some(world.services.events.newest()), "{form:?}");
        let position = reader.position;
        drop(reader);
        // What happens while it is away is not lost, though it never saw an event.
        emit(&world.services.store, 7..8, |number| number.to_string()).await;
        let mut back = Reader::open(world.socket(), form, "kind=message.text", position).await;
        assert_eq!(back.soon().await["data"]["delta"], "7", "{form:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_for_both_forms() {
    let world = World::new().await;
    for path in ["/v1/events?kind=Message", "/v1/events?after=x", "/v1/events?kind=a[b]"] {
        let refused = world.get(path).await;
        assert_eq!((refused.status, refused.code()), (400, "request.invalid"), "{path}");
    }
    let half =
        world.ask("GET", "/v1/events", None, &[("upgrade", "websocket"), ("connection", "upgrade")]).await;
    assert_eq!((half.status, half.code()), (400, "request.no_websocket"));
}

//! Readers who stop reading.

use std::time::Duration;

use super::emit;
use super::reader::{Form, PATIENCE, Reader};
use crate::api::world::World;
use mimir::events::{Events, Settings};

/// Cut off, counted no more, and back with its position: nobody else noticed.
#[tokio::test]
async fn a_reader_who_takes_nothing_is_cut_off_and_comes_back_where_it_was() {
    const EVENTS: u64 = 300;
    let world = World::changed(|services| {
        let settings = Settings { stalled_after: Duration::from_millis(700), ..Settings::default() };
        services.events = Events::new(services.store.clone()).with(settings);
    })
    .await;
    for form in [Form::Sse, Form::Socket] {
        let begin = world.services.events.newest();
        let mut stopped = Reader::open(world.socket(), form, "", Some(begin)).await;
        let mut other = Reader::open(world.socket(), form, "", Some(begin)).await;
        // More than the kernel keeps for a reader.
        let text = |number: u64| format!("{number} {}", "x".repeat(8_000));
        for number in 0..EVENTS {
            emit(&world.services.store, number..number + 1, text).await;
            assert_eq!(other.soon().await["data"]["delta"], text(number), "{form:?}");
        }
        let end = tokio::time::Instant::now() + PATIENCE;
        while !world.get("/metrics").await.text.contains("\nmimir_http_streams 1\n") {
            assert!(tokio::time::Instant::now() < end, "{form:?}: it is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It wakes up, finds the end of what had been sent, and goes on from there.
        let mut numbers = Vec::new();
        let mut take = |event: serde_json::Value| {
            let text = event["data"]["delta"].as_str().expect("text").to_owned();
            numbers.push(text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX));
            numbers.len() as u64
        };
        let mut taken = 0;
        while let Some(event) = tokio::time::timeout(PATIENCE, stopped.next()).await.expect("an end") {
            taken = take(event);
        }
        assert!(taken > 0 && taken < EVENTS, "{form:?}: {taken} were sent before it was cut off");
        let mut back = Reader::open(world.socket(), form, "", stopped.position).await;
        while take(back.soon().await) < EVENTS {}
        assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "{form:?}");
        drop((other, back));
    }
}

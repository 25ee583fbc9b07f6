//! A disk that is really full under the database. What was acknowledged is there, what was not is asked for again, and
//! with space it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use mimir::clock::Clock;
use mimir::model::webhook::WebhookState;
use mimir::webhooks::Webhooks;

use super::{alert, all, all_decided, deps, no_trackers, open, sentry_headers, settings};
use crate::api::world::{World, whole};
use crate::small_disk::{Disk, fill};

/// Enough for an empty database and some messages.
const SIZE: &str = "24m";
/// So large is a message.
const BODY: usize = 40_000;

fn message(n: u64) -> String {
    let mut said = alert(n, "e1");
    said["data"]["event"]["extra"] = "x".repeat(BODY).into();
    said.to_string()
}

/// What its sender hears: the id when it was taken, and whether it had been before; else it is asked to come again.
async fn send(world: &World, n: u64) -> Option<(String, bool)> {
    let body = message(n);
    let headers = sentry_headers("event_alert", &body);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let response = world.open("POST", "/webhooks/errors", Some(body.clone()), &headers).await;
    let after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let answer = whole(response).await;
    if (200..300).contains(&answer.status) {
        return Some((answer.json()["id"].as_str().expect("an id").to_owned(), answer.status == 200));
    }
    assert_eq!((answer.status, after.as_deref()), (503, Some("10")), "message {n}: {}", answer.text);
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_senders_are_asked_to_come_again_and_nothing_that_was_taken_is_lost() {
    let test = "webhooks on a full disk";
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("disk");
    fs::create_dir(&place).expect("made");
    let _disk = match Disk::mount(&place, SIZE) {
        Ok(disk) => disk,
        Err(why) => {
            return crate::podman::support::skip(test, &format!("no disk of its own can be mounted: {why}"));
        }
    };
    let store = open(&place);
    let of_service = store.clone();
    let world = World::changed(move |services| {
        services.webhooks = Webhooks::new(deps(&of_service, Clock::system(), no_trackers(), settings()));
        services.tasks.run(&services.webhooks);
    })
    .await;
    let mut taken = BTreeMap::new();
    for n in 0..5 {
        let (id, _) = send(&world, n).await.expect("there is room");
        taken.insert(n, id);
    }
    all_decided(&store).await;

    let ballast = place.join("ballast");
    let (mut count, mut refused) = (5, 0);
    while refused < 10 {
        // The log of the database may have some room left.
        fill(&ballast);
        match send(&world, count).await {
            Some((id, _)) => drop(taken.insert(count, id)),
            None => refused += 1,
        }
        count += 1;
        assert!(count < 500, "a full disk takes everything");
    }
    println!("on a full disk {} of {count} messages were taken before, and {refused} refused", taken.len());
    let there: Vec<String> = all(&store).await.into_iter().map(|row| row.id).collect();
    assert!(taken.values().all(|id| there.contains(id)), "{taken:?} of {there:?}");

    // Room again: they come again, and one that was taken is known.
    fs::remove_file(&ballast).expect("removed");
    let begun = Instant::now();
    for n in 0..count {
        let (id, was_known) = loop {
            if let Some(found) = send(&world, n).await {
                break found;
            }
            assert!(begun.elapsed() < super::PATIENCE, "there is room, and message {n} is not taken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if let Some(before) = taken.get(&n) {
            assert_eq!((&id, was_known), (before, true), "message {n}");
        }
        taken.insert(n, id);
    }
    let rows = all_decided(&store).await;
    assert!(rows.iter().all(|row| row.state == WebhookState::Decided), "{rows:?}");
    let there: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let wanted: BTreeSet<&str> = taken.values().map(String::as_str).collect();
    assert_eq!((rows.len(), there), (wanted.len(), wanted), "each of them once");
}

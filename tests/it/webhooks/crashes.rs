//! A gateway that dies anywhere between the door and the decision: what was acknowledged is decided once.

use std::time::Duration;

use mimir::model::webhook::WebhookState;
use mimir::store::{runs, webhooks as rows};
use mimir::supervisor::failpoint::Failpoints;
use mimir::supervisor::{Service as _, Tasks};
use mimir::webhooks::Headers;
use tokio_util::sync::CancellationToken;

use super::{
    Desk, alert, all, all_decided, no_trackers, open, samples, sentry_headers, service, settings, take,
};

#[tokio::test]
async fn whatever_the_moment_what_was_taken_is_decided_once() {
    for point in [
        "webhooks.before_store",
        "webhooks.after_store",
        "webhooks.before_decision",
        "webhooks.after_decision",
    ] {
        for nth in 1..=3 {
            let folder = tempfile::tempdir().expect("a folder");
            let failpoints = Failpoints::default();
            failpoints.arm(point, nth);
            let mut acknowledged = Vec::new();
            {
                let store = open(folder.path());
                let webhooks = service(&store, &failpoints, no_trackers(), settings());
                let sending = async {
                    for n in 0..4_u64 {
                        let body = alert(n, "e1").to_string();
                        let headers = sentry_headers("event_alert", &body);
                        acknowledged.push(take(&webhooks, "errors", headers, &body).await.id);
                    }
                };
                let living = async { tokio::join!(webhooks.run(CancellationToken::new()), sending) };
                tokio::select! {
                    _ = living => panic!("it goes on"),
                    died = tokio::time::timeout(super::PATIENCE, failpoints.died()) => assert_eq!(died, Ok(point)),
                }
            }
            let store = open(folder.path());
            let tasks = Tasks::default();
            let webhooks = service(&store, &Failpoints::default(), no_trackers(), settings());
            tasks.run(&webhooks);
            let found = all_decided(&store).await;
            for id in &acknowledged {
                let row = found.iter().find(|row| row.id == *id);
                assert!(
                    row.is_some_and(|row| row.state == WebhookState::Decided),
                    "{point}:{nth}: {found:?}"
                );
            }
            // What was not acknowledged comes again, and is known when it was there.
            for n in 0..4_u64 {
                let body = alert(n, "e1").to_string();
                take(&webhooks, "errors", sentry_headers("event_alert", &body), &body).await;
            }
            assert_eq!(all_decided(&store).await.len(), 4, "{point}:{nth}");
            let made = store.read(|db| runs::newest(db, 10)).await.expect("runs");
            assert_eq!(made.len(), 4, "{point}:{nth}: {made:?}");
            assert!(tasks.stop(super::PATIENCE).await);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decided_is_given_up_and_keeps_nobody_else_waiting() {
    let desk = Desk::new(settings());
    let tasks = Tasks::default();
    let bad = alert(1, "e1").to_string();
    let first = take(&desk.webhooks, "errors", sentry_headers("event_alert", &bad), &bad).await;
    let good = samples::comment("created").to_string();
    let second = take(&desk.webhooks, "errors", sentry_headers("comment", &good), &good).await;
    // A run about it can be made, and not be named: each try fails as a whole.
    desk.store
        .write(|tx| tx.change("ALTER TABLE run_names RENAME TO run_names_gone", ()))
        .await
        .expect("renamed");
    tasks.run(&desk.webhooks);
    let found = desk.all_decided().await;
    let of = |id: &str| found.iter().find(|row| row.id == id).expect("a row");
    assert_eq!(of(&second.id).state, WebhookState::Ignored);
    assert_eq!(of(&first.id).state, WebhookState::Failed, "{found:?}");
    assert!(of(&first.id).reason.as_deref().is_some_and(|why| why.contains("failed 5 times")));
    assert!(
        desk.store.read(|db| runs::newest(db, 10)).await.expect("runs").is_empty(),
        "nothing of it happened"
    );
    // A person has it decided again when the reason is gone.
    desk.store
        .write(|tx| tx.change("ALTER TABLE run_names_gone RENAME TO run_names", ()))
        .await
        .expect("renamed");
    let again = desk
        .webhooks
        .replay(&mimir::model::principal::Principal::GATEWAY, &first.id)
        .await
        .expect("replayed");
    assert_eq!(again.state, WebhookState::Decided);
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_still_known() {
    let desk = Desk::new(settings());
    let body = alert(1, "e1").to_string();
    take(&desk.webhooks, "errors", sentry_headers("event_alert", &body), &body).await;
    let tasks = Tasks::default();
    tasks.run(&desk.webhooks);
    desk.all_decided().await;
    desk.webhooks.tidy().await.expect("tidied");
    assert_eq!(all(&desk.store).await.len(), 1, "it is of today");
    let mut short = settings();
    short.keep = Duration::ZERO;
    desk.webhooks.configure(short);
    // In another millisecond than it came.
    tokio::time::sleep(Duration::from_millis(5)).await;
    desk.webhooks.tidy().await.expect("tidied");
    assert!(all(&desk.store).await.is_empty());
    let again = take(&desk.webhooks, "errors", sentry_headers("event_alert", &body), &body).await;
    assert!(again.is_duplicate, "who sends it again after a month is no news");
    assert!(desk.store.read(|db| rows::list(db, None, None, 10)).await.expect("rows").is_empty());
    assert!(tasks.stop(super::PATIENCE).await);
}

#[tokio::test]
async fn a_source_that_is_gone_leaves_nothing_behind() {
    let desk = Desk::new(settings());
    let body = alert(1, "e1").to_string();
    let admission = desk.webhooks.admit("errors").expect("known");
    desk.webhooks
        .receive(&admission, &Headers::new(sentry_headers("event_alert", &body)), body.as_bytes())
        .await
        .expect("taken");
    let mut without = settings();
    without.sources.remove("errors");
    desk.webhooks.configure(without);
    let tasks = Tasks::default();
    tasks.run(&desk.webhooks);
    let found = desk.all_decided().await;
    assert_eq!(found[0].state, WebhookState::Ignored);
    assert!(found[0].reason.as_deref().is_some_and(|why| why.contains("no source errors")), "{found:?}");
    assert!(tasks.stop(super::PATIENCE).await);
}

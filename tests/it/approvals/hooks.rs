//! Calls to other programs: signed, repeated, and not forgotten by a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::model::approval::Decision;
use mimir::model::secret::Secret;
use mimir::notify::{self, Hook, Pace};
use mimir::store::deliveries;
use parking_lot::Mutex;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::prompter::permission;
use super::world::{OWNER, ROOT, World};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody who is called, and keeps what was said.
struct Receiver {
    url: url::Url,
    calls: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    status: Arc<Mutex<u16>>,
    _alive: DropGuard,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (calls, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(200)));
        let (kept, answer) = (calls.clone(), status.clone());
        let alive = CancellationToken::new();
        let stop = alive.clone();
        spawn(async move {
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (kept, answer) = (kept.clone(), answer.clone());
                    spawn(async move {
                        let serve = service_fn(move |request: Request<Incoming>| {
                            let (kept, answer) = (kept.clone(), answer.clone());
                            async move {
                                let headers = request.headers().clone();
                                let body = request.into_body().collect().await?.to_bytes();
                                kept.lock().push((headers, body));
                                let mut response = Response::new(Full::new(Bytes::from_static(b"busy")));
                                let status = *answer.lock();
                                *response.status_mut() = status.try_into().expect("a status");
                                Ok::<_, hyper::Error>(response)
                            }
                        });
                        let http = hyper::server::conn::http1::Builder::new();
                        let _ = http.serve_connection(TokioIo::new(stream), serve).await;
                    });
                }
            };
            tokio::select! {
                () = accept => {}
                () = stop.cancelled() => {}
            }
        });
        Self { url: url.parse().expect("an address"), calls, status, _alive: alive.drop_guard() }
    }

    fn settings(&self) -> notify::Settings {
        let retries = [100, 200, 400, 60_000].map(Duration::from_millis).to_vec();
        notify::Settings {
            hooks: vec![Hook { url: self.url.clone(), secret: Secret::new(SECRET) }],
            bus: None,
            pace: Pace { within: Duration::from_secs(2), retries },
        }
    }

    fn answers(&self, status: u16) {
        *self.status.lock() = status;
    }

    /// The calls so far, each with a good signature.
    fn calls(&self) -> Vec<(String, Value)> {
        let calls = self.calls.lock().clone();
        let verified = calls.iter().map(|(headers, body)| {
            let signer = Webhook::new(SECRET).expect("a secret");
            signer.verify(body, headers).expect("a good signature");
            assert!(
                Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
                    .expect("another")
                    .verify(body, headers)
                    .is_err()
            );
            let id = headers["webhook-id"].to_str().expect("text").to_owned();
            (id, serde_json::from_slice(body).expect("JSON"))
        });
        verified.collect()
    }

    async fn has(&self, count: usize) -> Vec<(String, Value)> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.calls.lock().len() < count {
            assert!(Instant::now() < until, "{count} calls expected, {:?}", self.calls());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.calls()
    }
}

#[expect(clippy::disallowed_methods, reason = "the scripted server ends with the test's runtime")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

#[tokio::test]
async fn a_prompt_and_its_end_are_told_within_a_second_and_signed() {
    let receiver = Receiver::start().await;
    let world = World::told_to(receiver.settings()).await;
    let began = Instant::now();
    let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    let asked = receiver.has(1).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let body = &asked[0].1;
    assert_eq!(body["type"], "prompt.asked");
    assert_eq!(body["data"]["approval"], prompt.id.as_str());
    assert_eq!(body["data"]["event"]["patterns"][0], "git push");
    assert_eq!(body["data"]["answer_with"], format!("mimir approvals allow {}", prompt.id));
    world.approvals.answer(&OWNER, &prompt.id, Decision::Once).await.expect("taken");
    let all = receiver.has(2).await;
    assert_eq!(all[1].1["type"], "prompt.answered");
    assert_eq!(all[1].1["data"]["event"]["decision"], "once");
    assert_ne!(all[0].0, all[1].0, "each has an id of its own");
}

#[tokio::test]
async fn a_call_that_fails_is_repeated_under_the_same_id_also_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.answers(503);
    let mut world = World::told_to(receiver.settings()).await;
    world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    receiver.has(2).await;
    world.restart_gateway().await;
    receiver.answers(204);
    let before = receiver.calls().len();
    let calls = receiver.has(before + 1).await;
    assert!(calls.iter().all(|(id, _)| *id == calls[0].0), "the same id each time: {calls:?}");
    nothing_is_left(&world).await;
}

/// All calls are made, or given up.
async fn nothing_is_left(world: &World) {
    let until = Instant::now() + Duration::from_secs(10);
    while world.store.read(|db| deliveries::next_at(db)).await.expect("rows").is_some() {
        assert!(Instant::now() < until, "a call is left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A prompt is told of by a gateway that dies at `point`; the receiver answers with `status` until then, and well from
/// then on.
#[cfg(feature = "test-support")]
async fn told_and_died(point: &'static str, status: u16) -> (Receiver, World) {
    let receiver = Receiver::start().await;
    receiver.answers(status);
    let mut world = World::told_to(receiver.settings()).await;
    world.failpoints.arm(point, 1);
    world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
    let died = tokio::time::timeout(Duration::from_secs(20), world.failpoints.died()).await;
    assert_eq!((died.expect("it dies in time"), receiver.calls().len()), (point, 1));
    receiver.answers(204);
    world.restart_gateway().await;
    (receiver, world)
}

/// What came of it was not saved: the call is made again, and is the same one to whoever gets it twice.
#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_call_whose_outcome_died_with_the_gateway_is_repeated_word_for_word() {
    for status in [204, 503] {
        let (receiver, world) = told_and_died("webhook.after_call", status).await;
        let calls = receiver.has(2).await;
        assert_eq!(calls[0], calls[1], "after {status}");
        nothing_is_left(&world).await;
        assert_eq!(receiver.calls().len(), 2, "after {status}");
    }
}

/// Between an outcome and the next try: what was taken is not told again, what was not is.
#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_call_goes_on_from_the_outcome_that_was_saved() {
    let (receiver, world) = told_and_died("webhook.after_outcome", 204).await;
    nothing_is_left(&world).await;
    world.ask(permission("per_2", ROOT, "bash", &["git pull"])).await;
    let calls = receiver.has(2).await;
    assert_eq!(
        calls[1].1["data"]["event"]["patterns"][0], "git pull",
        "the next call is about the next prompt"
    );

    let (receiver, world) = told_and_died("webhook.after_outcome", 503).await;
    let calls = receiver.has(2).await;
    assert_eq!(calls[0], calls[1]);
    nothing_is_left(&world).await;
    assert_eq!(receiver.calls().len(), 2);
}

#[cfg(feature = "test-support")]
#[tokio::test]
async fn a_gateway_that_dies_between_an_event_and_its_call_makes_the_call_after_all_and_once() {
    for point in ["consumer.before_page", "consumer.after_page"] {
        let receiver = Receiver::start().await;
        let mut world = World::told_to(receiver.settings()).await;
        world.failpoints.arm(point, 1);
        let prompt = world.ask(permission("per_1", ROOT, "bash", &["git push"])).await;
        let died = tokio::time::timeout(Duration::from_secs(20), world.failpoints.died()).await;
        assert_eq!(died, Ok(point));
        world.restart_gateway().await;
        let calls = receiver.has(1).await;
        assert_eq!(calls[0].1["data"]["approval"], prompt.id.as_str(), "{point}");
        assert_eq!(calls[0].1["data"]["answer_with"], format!("mimir approvals allow {}", prompt.id));
        nothing_is_left(&world).await;
        assert_eq!(receiver.calls().len(), 1, "{point}");
    }
}

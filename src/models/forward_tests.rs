//! A provider that says what a test wants, and a frame that reads it, or does not.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::{CallReport, ModelSettings};
use super::*;
use crate::model::secret::Secret;
use crate::outbound::HttpClients;

const LIMIT: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(600);
/// How much text is in one event.
const TEXT: usize = 1000;

/// A provider that streams so many events to whoever asks.
struct Provider {
    url: url::Url,
    /// How many events were taken from it, once it is left alone.
    left: mpsc::UnboundedReceiver<usize>,
    _server: JoinSet<()>,
}

async fn provider(events: usize) -> Provider {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let (leave, left) = mpsc::unbounded_channel();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            while !heard.windows(4).any(|at| at == b"\r\n\r\n") {
                heard.push(stream.read_u8().await.expect("a request"));
            }
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.expect("written");
            let text = "x".repeat(TEXT);
            let event =
                format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            let mut taken = 0;
            while taken < events && stream.write_all(chunk.as_bytes()).await.is_ok() {
                taken += 1;
            }
            let _ = stream.write_all(b"0\r\n\r\n").await;
            let _ = leave.send(taken);
        }
    });
    Provider { url: url.parse().expect("an address"), left, _server: server }
}

fn models(provider: &Provider, unread: Duration) -> Models {
    let price = Price { input: 1_000_000, output: 10_000_000, cache_read: 0, cache_write: 0 };
    let model = ModelSettings { id: "m".to_owned(), price: Some(price), ..ModelSettings::default() };
    let settings = ProviderSettings {
        name: "fake".to_owned(),
        kind: ProviderKind::OpenAiCompatible,
        base_url: Some(provider.url.clone()),
        key: Some(Secret::new("sk-canary-5e1f")),
        models: vec![model],
    };
    Models::new(vec![settings], Prices::default(), HttpClients::default()).cutting_unread_after(unread)
}

/// A call that has begun.
struct Begun {
    body: BodyStream,
    work: Work,
    meter: Meter,
    reports: mpsc::UnboundedReceiver<CallReport>,
}

async fn begin(models: &Models) -> Begun {
    let call = Call {
        provider: "fake".to_owned(),
        method: Method::POST,
        path: "/chat/completions".to_owned(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::from_static(br#"{"model":"m","stream":true,"messages":[]}"#),
    };
    let prepared = models.prepare(call).expect("prepared");
    let (meter, (tell, reports)) = (Meter::default(), mpsc::unbounded_channel());
    let on_end = Box::new(move |report| tell.send(report).expect("somebody listens"));
    let answer = models.forward(prepared, meter.clone(), on_end, Box::new(|_| {})).await.expect("an answer");
    Begun { body: answer.body, work: answer.work.expect("work"), meter, reports }
}

impl Begun {
    /// What was booked, and that it was booked once.
    async fn booked(&mut self) -> CallReport {
        let report = timeout(LIMIT, self.reports.recv()).await.expect("in time").expect("booked");
        assert_eq!(self.reports.recv().await, None, "booked once");
        report
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut_and_booked_by_what_came_of_it() {
    let mut provider = provider(usize::MAX).await;
    let mut begun = begin(&models(&provider, SOON)).await;
    timeout(LIMIT, &mut begun.work).await.expect("it ends by itself");
    let report = begun.booked().await;
    assert_eq!((report.complete, report.status, report.estimated), (false, 200, true));
    // At least the piece that was not read; at most what the provider said before it was left alone.
    let said = timeout(LIMIT, provider.left.recv()).await.expect("the provider is let go").expect("a count");
    let tokens = |events: usize| (events * TEXT / 4) as u64;
    assert!((tokens(1)..=tokens(said) + 1).contains(&report.tokens.output), "{report:?} of {said}");
    assert!(report.cost_microusd >= 10 * tokens(1), "{report:?}");
    let read: Vec<_> = begun.body.collect().await;
    assert!(read.last().is_some_and(Result::is_err), "half an answer must not look whole");
}

#[tokio::test]
async fn a_frame_that_goes_away_ends_the_call_at_once() {
    let mut provider = provider(usize::MAX).await;
    let mut begun = begin(&models(&provider, LATE)).await;
    let mut works = JoinSet::new();
    works.spawn(std::mem::replace(&mut begun.work, Box::pin(async {})));
    begun.body.next().await.expect("a piece").expect("words");
    begun.body = once(Bytes::new());
    timeout(LIMIT, works.join_next()).await.expect("the call ends").expect("work").expect("no panic");
    assert!(!begun.booked().await.complete);
    timeout(LIMIT, provider.left.recv()).await.expect("the provider is let go");
}

#[tokio::test]
async fn a_call_is_cut_and_booked_although_its_frame_does_not_read_and_the_frame_learns_why() {
    let mut provider = provider(usize::MAX).await;
    let mut begun = begin(&models(&provider, LATE)).await;
    // It comes to stand, with all places taken.
    assert!(timeout(SOON, &mut begun.work).await.is_err(), "nobody has read it");
    begun.meter.cut("the budget of frame a is used up");
    let mut works = JoinSet::new();
    works.spawn(std::mem::replace(&mut begun.work, Box::pin(async {})));
    assert!(!begun.booked().await.complete);
    timeout(LIMIT, provider.left.recv()).await.expect("the provider is let go");
    let read: Vec<_> = timeout(LIMIT, begun.body.collect()).await.expect("an end");
    let last = read.last().expect("pieces").as_ref().expect("it ends in order");
    let last = String::from_utf8_lossy(last);
    assert!(last.contains("the budget of frame a is used up") && last.ends_with("[DONE]\n\n"), "{last}");
}

#[tokio::test]
async fn an_answer_that_is_read_is_whole() {
    let provider = provider(3).await;
    let mut begun = begin(&models(&provider, SOON)).await;
    let mut works = JoinSet::new();
    works.spawn(std::mem::replace(&mut begun.work, Box::pin(async {})));
    let read: Vec<_> = timeout(LIMIT, begun.body.by_ref().collect()).await.expect("an end");
    let all: Vec<u8> = read.into_iter().flat_map(|piece| piece.expect("words")).collect();
    let all = String::from_utf8(all).expect("text");
    assert_eq!(all.matches(&"x".repeat(TEXT)).count(), 3);
    let report = begun.booked().await;
    assert_eq!((report.complete, report.status), (true, 200));
}

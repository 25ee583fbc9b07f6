//! Our client against an agent that breaks every rule. Nothing hangs, nothing is invented, memory has a limit.

use std::time::{Duration, Instant};

use mimir::model::agent::{AgentEvent, AgentSessionId, AgentStatus, PartBody};
use mimir::opencode::{EventStream, OpencodeClient, OpencodeError, StreamEnd, UserPrompt, ids};
use serde_json::{Value, json};

use super::stranger::{Asked, Play, Stranger, connected, json as answer, text};

const SOON: Duration = Duration::from_secs(5);
/// For megabytes on a machine with other things to do.
const LONG: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(300);

/// An event stream that goes on like that behind its first event, and may be silent for so long.
async fn stream(
    silence: Duration,
    plays: impl Fn() -> Vec<Play> + Send + Sync + 'static,
) -> (Stranger, EventStream) {
    let stranger = Stranger::start(move |asked: &Asked| {
        (asked.line == "GET /event").then(|| std::iter::once(connected()).chain(plays()).collect())
    })
    .await;
    let mut stream = stranger.client().events(SOON).await.expect("a stream").with_silence(silence);
    assert_eq!(stream.next().await, Ok(AgentEvent::Connected));
    (stranger, stream)
}

fn data(event: &Value) -> Play {
    Play::Send(format!("data: {event}\n\n").into_bytes())
}

fn idle() -> Value {
    json!({"type": "session.status", "properties": {"sessionID": "ses_1", "status": {"type": "idle"}}})
}

fn is_idle(event: &AgentEvent) -> bool {
    *event == AgentEvent::Status(AgentSessionId("ses_1".into()), AgentStatus::Idle)
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| panic!("{what}: hangs"))
}

#[tokio::test]
async fn half_a_frame_is_no_event_whether_the_stream_ends_or_falls_silent() {
    let (_server, mut closed) =
        stream(BRIEF, || vec![data(&idle()), Play::Send(b"data: {\"type\":\"session.id".to_vec())]).await;
    assert!(is_idle(&closed.next().await.expect("the whole one")));
    assert_eq!(within(SOON, "closed", closed.next()).await, Err(StreamEnd::Closed));

    let (_server, mut silent) =
        stream(BRIEF, || vec![Play::Send(b"data: {\"type\":".to_vec()), Play::Hang]).await;
    assert_eq!(within(SOON, "silent", silent.next()).await, Err(StreamEnd::Silent(BRIEF)));
}

/// Bytes that never become an event are no sign of life, also for a reader that looks away in between.
#[tokio::test]
async fn a_stream_that_drips_is_as_dead_as_one_that_is_silent() {
    let (_server, mut dripping) = stream(BRIEF, || vec![Play::Drip(b'x', Duration::from_millis(20))]).await;
    let end = within(SOON, "a drip", async {
        loop {
            tokio::select! {
                event = dripping.next() => break event,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    });
    assert_eq!(end.await, Err(StreamEnd::Silent(BRIEF)));
}

#[tokio::test]
async fn a_part_of_ten_megabytes_comes_whole_and_an_event_without_an_end_is_refused() {
    let words = "0123456789".repeat(1024 * 1024);
    let part = json!({"id": "prt_1", "sessionID": "ses_1", "messageID": "msg_1", "type": "text",
                      "text": words, "time": {"start": 1, "end": 2}});
    let event = json!({"type": "message.part.updated", "properties": {"part": part}});
    let (_server, mut large) = stream(LONG, move || vec![data(&event), data(&idle())]).await;
    let seen = within(LONG, "ten megabytes", large.next()).await.expect("an event");
    let AgentEvent::Part(part) = seen else { panic!("not a part") };
    assert!(matches!(&part.body, PartBody::Text { text, .. } if text.len() == 10 * 1024 * 1024));
    assert!(is_idle(&large.next().await.expect("and the next one")));

    let (_server, mut endless) = stream(LONG, || vec![Play::Flood(vec![b'x'; 64 * 1024])]).await;
    let end = within(LONG, "no end", endless.next()).await;
    assert!(matches!(&end, Err(StreamEnd::Unreadable(why)) if why.contains("longer than")), "{end:?}");
}

#[tokio::test]
async fn unknown_kinds_and_nonsense_cost_only_themselves() {
    let (_server, mut odd) = stream(SOON, || {
        vec![
            data(&json!({"type": "session.next.oracle", "properties": {"deep": [1, {"x": null}]}})),
            Play::Send(
                b"data: {broken json\n\n: a comment\n\nevent: x\nid: 7\nretry: 1\ndata: [1]\n\n".to_vec(),
            ),
            Play::Send(b"data: \xff\xfe\n\n".to_vec()),
            data(&json!({"type": "message.updated", "properties": {"info": {"id": 7}}})),
            data(&idle()),
        ]
    })
    .await;
    let mut others = 0;
    let last = loop {
        match within(SOON, "nonsense", odd.next()).await.expect("an event") {
            AgentEvent::Other(_) => others += 1,
            event => break event,
        }
    };
    assert!(is_idle(&last), "{last:?}");
    assert_eq!(others, 5, "each is one event that says nothing");
}

/// Every call, against an agent that answers each of them in the same broken way.
async fn every_call(client: &OpencodeClient) -> Vec<OpencodeError> {
    let (session, message) = (AgentSessionId("ses_1".into()), ids::mint(1, None, [1; 14]));
    let model = "scripted/scripted".parse().expect("a model");
    let prompt = UserPrompt {
        message: message.clone(),
        text: "hi".into(),
        model,
        is_usual_model: false,
        agent: "build".into(),
    };
    let mut errors = Vec::new();
    let mut took = |answer: Result<(), OpencodeError>| errors.push(answer.expect_err("a broken answer"));
    took(client.health(BRIEF).await.map(drop));
    took(client.create_session("t", &Value::Null).await.map(drop));
    took(client.find_session(&session).await.map(drop));
    took(client.list_sessions(1).await.map(drop));
    took(client.prompt(&session, &prompt).await);
    took(client.find_message(&session, &message).await.map(drop));
    took(client.messages(&session, 1).await.map(drop));
    took(client.statuses().await.map(drop));
    took(client.abort(&session).await);
    took(client.permissions().await.map(drop));
    took(client.questions().await.map(drop));
    took(client.events(BRIEF).await.map(drop));
    errors
}

#[tokio::test]
async fn a_server_error_is_told_with_its_words_by_every_call() {
    let said = json!({"name": "UnknownError", "data": {"message": "Unexpected server error"}});
    let stranger = Stranger::start(move |_: &Asked| Some(vec![answer(500, &said)])).await;
    for error in within(LONG, "5xx", every_call(&stranger.client())).await {
        assert!(error.to_string().contains("(500): Unexpected server error"), "{error}");
        assert!(error.may_have_arrived(), "{error:?}");
    }
    let stranger = Stranger::start(|_: &Asked| Some(vec![text(502, "text/html", "<html>bad gateway")])).await;
    for error in within(LONG, "502", every_call(&stranger.client())).await {
        assert!(matches!(error, OpencodeError::Refused { status: 502, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_in_the_middle_may_have_arrived() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n[{";
    let stranger = Stranger::start(|_: &Asked| Some(vec![Play::Send(cut.to_vec())])).await;
    let errors = [
        stranger.client().statuses().await.expect_err("half an answer"),
        stranger.client().abort(&AgentSessionId("ses_1".into())).await.expect_err("half an answer"),
    ];
    for error in errors {
        assert!(matches!(error, OpencodeError::BrokenOff { .. }), "{error:?}");
        assert!(error.may_have_arrived() && error.is_passing());
    }
}

#[tokio::test]
async fn an_answer_that_drips_ends_at_its_deadline() {
    let drip = || Play::Drip(b'1', Duration::from_millis(10));
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
    for plays in [true, false] {
        let stranger = Stranger::start(move |_: &Asked| {
            Some(if plays { vec![Play::Send(head.to_vec()), drip()] } else { vec![drip()] })
        })
        .await;
        let begun = Instant::now();
        let slow = within(SOON, "a drip", stranger.client().health(BRIEF)).await;
        // A head that is no head is noticed even before the deadline.
        let is_told = matches!(slow, Err(OpencodeError::Silent { .. } | OpencodeError::BrokenOff { .. }));
        assert!(is_told, "{slow:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_refused_before_it_fills_the_memory() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
    let stranger = Stranger::start(|_: &Asked| {
        Some(vec![Play::Send(head.to_vec()), Play::Flood(vec![b' '; 256 * 1024])])
    })
    .await;
    let long = within(LONG, "no end", stranger.client().questions()).await;
    assert!(
        matches!(&long, Err(OpencodeError::Unreadable { why, .. }) if why.contains("too long")),
        "{long:?}"
    );
}

/// 204, and the prompt is nowhere: whoever asks is told so, so that it can be sent again or given up.
#[tokio::test]
async fn a_prompt_that_was_taken_and_never_runs_can_be_found_out() {
    let stranger = Stranger::start(|asked: &Asked| {
        Some(vec![match asked.line.as_str() {
            "POST /session/ses_1/prompt_async" => {
                Play::Send(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec())
            }
            "GET /session/status" => answer(200, &json!({})),
            "GET /session/ses_1/message" => answer(200, &json!([])),
            _ => answer(404, &json!({"name": "NotFoundError", "data": {"message": "Message not found"}})),
        }])
    })
    .await;
    let client = stranger.client();
    let (session, message) = (AgentSessionId("ses_1".into()), ids::mint(1, None, [1; 14]));
    let model = "scripted/scripted".parse().expect("a model");
    let prompt = UserPrompt {
        message: message.clone(),
        text: "hi".into(),
        model,
        is_usual_model: false,
        agent: "build".into(),
    };
    client.prompt(&session, &prompt).await.expect("taken");
    assert!(client.statuses().await.expect("statuses").is_empty());
    assert_eq!(client.find_message(&session, &message).await.expect("an answer"), None);
    assert_eq!(client.messages(&session, 10).await.expect("an answer"), []);
}

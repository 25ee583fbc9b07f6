//! Model calls of a frame.

use mimir::broker::{Dialer, Reach};
use mimir::model::network::NetworkMode;
use mimir::models::ProviderKind;
use mimir::runtime::link::Link;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::support::{CANARY, LIMIT, World, eventually, frame, post, provider};
use crate::scripted_model::ScriptedModel;

fn prompt(text: &str) -> Value {
    json!({"model": "scripted", "stream": true, "messages": [{"role": "user", "content": text}]})
}

async fn world() -> (World, ScriptedModel) {
    let model = ScriptedModel::start().await;
    let world = World::new(
        vec![provider("scripted", ProviderKind::OpenAiCompatible, &model.base_url())],
        Dialer::default(),
    );
    (world, model)
}

const CALL: &str = "/models/scripted/chat/completions";

/// The pieces of text in a streamed answer.
fn text(answer: &str) -> String {
    let events = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    let json = events.filter_map(|event| serde_json::from_str::<Value>(event).ok());
    json.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_call_gets_the_key_on_the_host_and_is_in_the_books() {
    let (world, model) = world().await;
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    let answer = world.call(&frame, CALL, &prompt("@@text@@")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(text(&answer), "Hello from the scripted model. ");
    assert!(!answer.contains(CANARY));

    let seen = model.seen().pop().expect("one call");
    assert_eq!((seen.path.as_str(), seen.scenario.as_str(), seen.step), ("/v1/chat/completions", "text", 0));
    assert_eq!(seen.headers["authorization"], format!("Bearer {CANARY}").as_str());
    assert_eq!(
        seen.headers["accept-encoding"], "identity",
        "a key in a compressed answer would not be found"
    );
    for hidden in ["cookie", "x-session-id"] {
        assert!(!seen.headers.contains_key(hidden), "{hidden} belongs to the frame");
    }
    assert_eq!(seen.body["stream_options"]["include_usage"], true, "asked for, or nothing could be counted");

    let sum = world.calls(&frame, 1).await;
    let tokens = sum.tokens;
    assert_eq!((tokens.input, tokens.cache_read, tokens.output, tokens.reasoning), (200, 1000, 30, 4));
    assert_eq!((sum.cost_microusd, sum.unpriced), (0, 1), "no price is known for a scripted model");
}

#[tokio::test]
async fn an_answer_that_does_not_stream_is_counted_too() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let mut request = prompt("@@text@@");
    request["stream"] = false.into();
    let answer = world.call(&frame, CALL, &request).await;
    assert!(answer.contains("Hello from the scripted model."), "{answer}");
    assert_eq!(world.calls(&frame, 1).await.tokens.cache_read, 1000);
}

#[tokio::test]
async fn who_calls_is_known_by_the_socket() {
    let (world, _model) = world().await;
    let (one, two) = (frame(1, NetworkMode::Allow, &[]), frame(2, NetworkMode::Allow, &[]));
    world.open(&one);
    world.open(&two);
    world.call(&one, CALL, &prompt("hi")).await;
    world.call(&one, CALL, &prompt("hi")).await;
    world.call(&two, CALL, &prompt("hi")).await;
    assert_eq!(world.calls(&one, 2).await.unpriced, 2);
    assert_eq!(world.calls(&two, 1).await.unpriced, 1);
}

#[tokio::test]
async fn trap_2_a_stream_without_a_finish_reason_gets_one() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let answer = world.call(&frame, CALL, &prompt("@@eof@@")).await;
    assert_eq!(text(&answer), "partial answer, clean eof");
    assert!(answer.contains(r#""finish_reason":"length""#) && answer.contains("data: [DONE]"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_breaks_stays_broken() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let answer = world.call(&frame, CALL, &prompt("@@drop@@")).await;
    assert_eq!(text(&answer), "partial answer ");
    assert!(!answer.contains("[DONE]") && !answer.ends_with("0\r\n\r\n"), "it must not look whole: {answer}");
    let tokens = world.calls(&frame, 1).await.tokens;
    assert!(tokens.input > 0 && tokens.output > 0, "reckoned from bytes, since nobody said it: {tokens:?}");
}

#[tokio::test]
async fn rubbish_and_errors_inside_a_stream_pass_as_they_are() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let rubbish = world.call(&frame, CALL, &prompt("@@malformed@@")).await;
    assert!(rubbish.contains("data: {not json at all"), "{rubbish}");
    assert_eq!(text(&rubbish), "before garbage after garbage");
    let error = world.call(&frame, CALL, &prompt("@@streamerror@@")).await;
    assert!(error.contains("overloaded inside stream"), "{error}");
}

#[tokio::test]
async fn a_providers_refusal_reaches_the_frame_with_its_status() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    for (scenario, status, word) in [
        ("http401", "401 Unauthorized", "Incorrect API key"),
        ("http429", "429 Too Many Requests", "retry-after: 2"),
        ("http500", "500 Internal Server Error", "scripted internal error"),
    ] {
        let answer = world.call(&frame, CALL, &prompt(&format!("@@{scenario}@@"))).await;
        assert!(answer.contains(status) && answer.contains(word), "{scenario}: {answer}");
    }
    assert_eq!(world.calls(&frame, 3).await.tokens.total(), 0);
}

#[tokio::test]
async fn a_provider_that_repeats_the_key_does_not_give_it_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut heard = vec![0; 4096];
        let length = stream.read(&mut heard).await.expect("a request");
        let body = String::from_utf8_lossy(&heard[..length]).into_owned();
        let head =
            format!("HTTP/1.1 401 Unauthorized\r\nset-cookie: a=b\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("answered");
    });
    let base = format!("http://{address}/v1");
    let world = World::new(vec![provider("rude", ProviderKind::OpenAiCompatible, &base)], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let answer = world.call(&frame, "/models/rude/chat/completions", &prompt("hi")).await;
    assert!(answer.contains("401") && answer.contains("authorization: Bearer [redacted]"), "{answer}");
    assert!(!answer.contains(CANARY) && !answer.contains("set-cookie"), "{answer}");
}

#[tokio::test]
async fn an_answer_is_passed_on_while_it_is_written() {
    let (world, model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    model.queue("hang");
    let mut stream = world.connect(&frame).await;
    stream.write_all(post(CALL, &prompt("hi")).as_bytes()).await.expect("sent");
    let mut heard = Vec::new();
    while !text(&String::from_utf8_lossy(&heard)).contains("starting...") {
        heard.push(tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time").expect("more"));
    }
    model.release();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut heard)).await.expect("in time").expect("an end");
    assert_eq!(text(&String::from_utf8_lossy(&heard)), "starting... released");
}

#[tokio::test]
async fn a_frame_that_goes_away_ends_the_call() {
    let (world, model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let mut stream = world.connect(&frame).await;
    stream.write_all(post(CALL, &prompt("@@hang@@")).as_bytes()).await.expect("sent");
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.expect("the answer begins");
    eventually("the call runs", || async { (model.active() == 1).then_some(()).ok_or("0".to_owned()) }).await;
    drop(stream);
    eventually("the call ends", || async { (model.active() == 0).then_some(()).ok_or("1".to_owned()) }).await;
    world.calls(&frame, 1).await;
}

#[tokio::test]
async fn calls_that_cannot_be_made_say_why_in_words_that_agents_understand() {
    let mut keyless = provider("openai", ProviderKind::OpenAi, "http://127.0.0.1:9/v1");
    keyless.key = None;
    let down = provider("down", ProviderKind::OpenAiCompatible, "http://127.0.0.1:9/v1");
    let world = World::new(vec![keyless, down], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    for (path, status, code) in [
        ("/models/nobody/chat/completions", "404 Not Found", "unknown_provider"),
        ("/models/openai/chat/completions", "401 Unauthorized", "no_key"),
        ("/models/openai/files", "403 Forbidden", "not_served"),
        ("/models/openai/chat/completions/../../files", "403 Forbidden", "not_served"),
        ("/models/down/chat/completions", "502 Bad Gateway", "unreachable"),
    ] {
        let answer = world.call(&frame, path, &prompt("hi")).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let body: Value = serde_json::from_str(body).expect("json");
        assert!(head.contains(status), "{path}: {answer}");
        assert_eq!(body["error"]["code"], code, "{path}");
        assert!(body["error"]["message"].as_str().is_some_and(|text| text.starts_with("mimir: ")), "{body}");
    }
    let nothing = world.ask(&frame, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(nothing.contains("404") && nothing.contains("broker of a frame"), "{nothing}");
}

#[tokio::test]
async fn the_demo_answers_without_a_key_even_in_a_sealed_frame() {
    let world = World::new(Vec::new(), Dialer::default());
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    let mut request = prompt("say hello");
    request["model"] = "demo".into();
    let answer = world.call(&frame, "/models/demo/chat/completions", &request).await;
    let said = text(&answer);
    assert!(said.contains("a fixed script, not a model") && said.contains("say hello"), "{said}");
    let sum = world.calls(&frame, 1).await;
    assert!(sum.tokens.input > 0 && sum.tokens.output > 0, "{sum:?}");
    assert_eq!((sum.cost_microusd, sum.unpriced), (0, 0), "free of charge is a price");
}

#[tokio::test]
async fn absurd_requests_are_refused() {
    let (world, model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(200_000));
    assert!(world.ask(&frame, long.as_bytes()).await.contains("431"), "a head too large");
    let nonsense = world.ask(&frame, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").await;
    assert!(nonsense.is_empty() || nonsense.contains("400"), "{nonsense}");
    let head = format!("POST {CALL} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 33 << 20);
    let mut large = head.into_bytes();
    large.resize(large.len() + (33 << 20), b' ');
    assert!(world.ask(&frame, &large).await.contains("413"), "a body too large");
    assert!(model.seen().is_empty());
}

#[tokio::test]
async fn a_closed_broker_cuts_its_connections_and_a_replaced_socket_is_made_anew() {
    let (world, _model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    let folder = world.open(&frame);
    let socket = folder.join("broker.sock");
    let again = || world.broker.client(&frame.id, &frame.name, Reach::of(&frame));
    let before =
        std::fs::metadata(&socket).map(|data| std::os::unix::fs::MetadataExt::ino(&data)).expect("there");
    world.broker.open(again(), || Link::new(&folder).listen()).expect("opened again");
    let after =
        std::fs::metadata(&socket).map(|data| std::os::unix::fs::MetadataExt::ino(&data)).expect("there");
    assert_eq!(before, after, "nothing changed, nothing was made anew");

    std::fs::remove_file(&socket).expect("the frame removes it");
    world.broker.open(again(), || Link::new(&folder).listen()).expect("opened again");
    assert!(world.call(&frame, CALL, &prompt("hi")).await.contains("200 OK"));

    let mut open = world.connect(&frame).await;
    open.write_all(post(CALL, &prompt("@@hang@@")).as_bytes()).await.expect("sent");
    open.read_u8().await.expect("the answer begins");
    world.broker.close(&frame.id);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LIMIT, open.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection closes with the broker");
    let refused = eventually("nobody listens", || async {
        tokio::net::UnixStream::connect(&socket).await.err().ok_or("it still listens".to_owned())
    })
    .await;
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(world.tasks.stop(LIMIT).await, "no task stays behind");
}

#[tokio::test]
async fn a_call_that_the_stop_of_the_gateway_ends_is_in_the_books() {
    let (world, model) = world().await;
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let mut stream = world.connect(&frame).await;
    stream.write_all(post(CALL, &prompt("@@hang@@")).as_bytes()).await.expect("sent");
    stream.read_u8().await.expect("the answer begins");
    assert!(world.tasks.stop(LIMIT).await, "no task stays behind");
    world.calls(&frame, 1).await;
    eventually("the call ends", || async { (model.active() == 0).then_some(()).ok_or("1".to_owned()) }).await;
}

#[tokio::test]
async fn a_frame_uses_the_providers_that_it_is_granted_and_no_other() {
    let model = ScriptedModel::start().await;
    let providers = ["scripted", "second", "third"]
        .map(|name| provider(name, ProviderKind::OpenAiCompatible, &model.base_url()))
        .to_vec();
    let prices = mimir::models::Prices::built_in().expect("prices");
    let world = World::granting(providers, Dialer::default(), prices, &["scripted".to_owned()]);
    let mut granted = frame(1, NetworkMode::Allow, &[]);
    granted.providers = vec!["second".to_owned()];
    let plain = frame(2, NetworkMode::Sealed, &[]);
    world.open(&granted);
    world.open(&plain);
    let path = |name: &str| format!("/models/{name}/chat/completions");
    for (frame, name, fine) in [
        (&granted, "scripted", true),
        (&granted, "second", true),
        (&granted, "third", false),
        (&granted, "demo", true),
        (&plain, "scripted", true),
        (&plain, "second", false),
    ] {
        let answer = world.call(frame, &path(name), &prompt("hi")).await;
        assert_eq!(answer.contains("200 OK"), fine, "{name}: {answer}");
        if !fine {
            let advice = format!("mimir frame allow {} --provider {name}", frame.name);
            assert!(answer.contains("403") && answer.contains("not_granted"), "{answer}");
            assert!(answer.contains(&advice), "{answer}");
        }
    }
    assert_eq!(model.seen().len(), 3, "a call that is refused reaches nobody");
}

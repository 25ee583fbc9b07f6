//! Providers that repeat the key that they were asked with.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mimir::broker::Dialer;
use mimir::model::event::EventKind;
use mimir::model::network::NetworkMode;
use mimir::models::ProviderKind;
use mimir::store::events::{self, Filter};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::support::{CANARY, LIMIT, World, eventually, frame, post, provider};

/// What a hostile provider says: bytes, one piece after the other. An empty one at the end: it keeps the connection.
type Script = Vec<Vec<u8>>;

/// A provider that reads a request and then says what comes in.
async fn hostile() -> (String, mpsc::Sender<Script>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (say, mut said) = mpsc::channel::<Script>(1);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = Vec::new();
            while !heard.windows(4).any(|at| at == b"\r\n\r\n") {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer).await {
                    Ok(count) if count > 0 => heard.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let Some(script) = said.recv().await else { return };
            let keeps = script.last().is_some_and(Vec::is_empty);
            for piece in script {
                let _ = stream.write_all(&piece).await;
                let _ = stream.flush().await;
                tokio::task::yield_now().await;
            }
            if keeps {
                kept.push(stream);
            }
        }
    });
    (format!("http://{address}/v1"), say, server)
}

fn answer(status: &str, headers: &str, body: &str) -> Script {
    let kind = if headers.contains("content-type") { "" } else { "content-type: application/json\r\n" };
    let head = format!("HTTP/1.1 {status}\r\n{kind}{headers}connection: close\r\n\r\n");
    // In small pieces, so that nothing is whole by chance.
    head.as_bytes().chunks(4096).chain(body.as_bytes().chunks(5)).map(<[u8]>::to_vec).collect()
}

/// The key in all the forms that somebody may write it in.
fn forms() -> Vec<String> {
    let each = |how: fn(&mut String, u8) -> std::fmt::Result| {
        let mut text = String::new();
        CANARY.bytes().for_each(|byte| how(&mut text, byte).expect("written"));
        text
    };
    vec![
        CANARY.to_owned(),
        CANARY.chars().rev().collect(),
        format!("Bearer {CANARY}"),
        each(|text, byte| write!(text, "%{byte:02X}")),
        each(|text, byte| write!(text, "\\u{byte:04x}")),
        each(|text, byte| write!(text, "\\\\u{byte:04x}")),
        each(|text, byte| write!(text, "{byte:02x}")),
        each(|text, byte| write!(text, "&#{byte};")),
        CANARY.replace('-', "%2d"),
        STANDARD.encode(CANARY),
        STANDARD.encode(format!("Bearer {CANARY}")),
        STANDARD.encode(format!("x:{CANARY}")),
        URL_SAFE_NO_PAD.encode(format!("Basic {CANARY}")),
    ]
}

/// Whether nothing of the key can be read out of a text by somebody who tries.
fn is_clean(text: &str) -> bool {
    let lower = text.to_lowercase();
    let decoded =
        [text.to_owned(), text.chars().rev().collect(), text.replace("%2d", "-").replace("%2D", "-")];
    let core = |before: &str| {
        let code = STANDARD.encode(format!("{before}{CANARY}"));
        code[(before.len() * 8).div_ceil(6)..(before.len() + CANARY.len()) * 8 / 6].to_owned()
    };
    let codes = [core(""), core("x"), core("xx")];
    decoded.iter().all(|text| !text.contains(CANARY))
        && !lower.contains(&hex::encode(CANARY))
        && codes
            .iter()
            .all(|code| !text.contains(code) && !text.replace('_', "/").replace('-', "+").contains(code))
        && forms().iter().all(|form| !text.contains(form))
}

/// An answer without the marks of the pieces that it came in.
pub fn whole(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    if !head.contains("transfer-encoding: chunked") {
        return answer.to_owned();
    }
    let (mut text, mut rest) = (format!("{head}\r\n\r\n"), body);
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        text.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    text
}

#[tokio::test]
async fn a_key_never_reaches_the_frame_however_a_provider_repeats_it() {
    let (url, say, _server) = hostile().await;
    let world =
        World::new(vec![provider("hostile", ProviderKind::OpenAiCompatible, &url)], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    let request = |stream: bool| json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    let path = "/models/hostile/chat/completions";
    for form in forms() {
        assert!(!is_clean(&form), "the test would not see {form}");
        let event =
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"k {form} k\"}}}}]}}\n\n");
        let error = format!("data: {{\"error\":{{\"message\":\"bad key {form}\"}}}}\n\n");
        let cut = format!("{}{form}", "x".repeat(64 * 1024 - form.len() / 2));
        let stream = "content-type: text/event-stream\r\n";
        for (what, status, headers, body) in [
            ("200", "200 OK", String::new(), format!("{{\"id\":\"{form}\",\"choices\":[]}}")),
            ("a stream", "200 OK", stream.to_owned(), format!("{event}data: [DONE]\n\n")),
            ("an error in a stream", "200 OK", stream.to_owned(), error),
            ("a refusal", "401 Unauthorized", String::new(), format!("{{\"error\":\"no {form}\"}}")),
            ("a long refusal", "400 Bad Request", String::new(), cut),
            (
                "a header",
                "200 OK",
                format!("request-id: {form}\r\nx-request-id: r-{form}\r\n"),
                "{}".to_owned(),
            ),
            (
                "numbers",
                "429 Too Many Requests",
                format!("retry-after: {form}\r\nx-ratelimit-limit-tokens: {form}\r\n"),
                "{}".to_owned(),
            ),
            (
                "a name",
                "200 OK",
                format!("x-ratelimit-{CANARY}: 1\r\nset-cookie: {form}\r\n"),
                "{}".to_owned(),
            ),
            ("a kind", "200 OK", format!("content-type: text/{form}\r\n"), "{}".to_owned()),
        ] {
            say.send(answer(status, &headers, &body)).await.expect("a provider");
            let heard = whole(&world.call(&frame, path, &request(what.contains("stream"))).await);
            assert!(heard.starts_with("HTTP/1.1"), "{what}: {heard}");
            assert!(is_clean(&heard), "{what} with {form}: {heard}");
            if matches!(what, "200" | "a stream" | "a refusal") {
                assert!(heard.contains("[redacted]"), "{what} with {form}: {heard}");
            }
        }
    }
    let told = eventually("it is told", || async {
        let found = world.store.read(|db| events::after(db, 0, &Filter::default(), 1000)).await;
        let found = found.map_err(|error| error.to_string())?;
        let places: Vec<String> = found
            .iter()
            .filter_map(|event| match &event.what {
                EventKind::KeyRedacted { provider, place } if provider == "hostile" => Some(place.clone()),
                _ => None,
            })
            .collect();
        if places.len() == 3 { Ok((places, format!("{found:?}"))) } else { Err(format!("{places:?}")) }
    })
    .await;
    assert!(is_clean(&told.1), "{}", told.1);
    for place in ["a header", "a refusal", "an answer"] {
        assert!(told.0.iter().any(|it| it == place), "{:?}", told.0);
    }
}

#[tokio::test]
async fn the_key_of_another_provider_is_no_secret_less() {
    let (url, say, _server) = hostile().await;
    let mut other = provider("other", ProviderKind::Anthropic, "http://127.0.0.1:9/v1");
    other.key = Some(mimir::model::secret::Secret::new("sk-another-0a1b2c"));
    let hostile = provider("hostile", ProviderKind::OpenAiCompatible, &url);
    let world = World::new(vec![hostile, other], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    say.send(answer("200 OK", "", "{\"id\":\"sk-another-0a1b2c\"}")).await.expect("a provider");
    let heard = world.call(&frame, "/models/hostile/chat/completions", &json!({"model": "m"})).await;
    let heard = whole(&heard);
    assert!(heard.contains("{\"id\":\"[redacted]\"}"), "{heard}");
}

#[tokio::test]
async fn a_packed_answer_is_refused() {
    let (url, say, _server) = hostile().await;
    let world =
        World::new(vec![provider("hostile", ProviderKind::OpenAiCompatible, &url)], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    for encoding in ["gzip", "br", "deflate"] {
        say.send(answer("200 OK", &format!("content-encoding: {encoding}\r\n"), "packed"))
            .await
            .expect("a provider");
        let heard = world.call(&frame, "/models/hostile/chat/completions", &json!({"model": "m"})).await;
        assert!(heard.contains("502") && heard.contains("compressed"), "{heard}");
        assert!(!heard.contains("packed"), "{heard}");
    }
    world.calls(&frame, 3).await;
}

#[tokio::test]
async fn an_event_is_passed_on_before_the_next_one_comes() {
    let (url, say, _server) = hostile().await;
    let world =
        World::new(vec![provider("hostile", ProviderKind::OpenAiCompatible, &url)], Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &[]);
    world.open(&frame);
    // The provider says no more than this, and keeps the connection.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 1000\r\n\r\n";
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"words\"}}]}\n\n";
    let script = vec![head.as_bytes().to_vec(), event.as_bytes().to_vec(), Vec::new()];
    say.send(script).await.expect("a provider");
    let mut stream = world.connect(&frame).await;
    let request = post("/models/hostile/chat/completions", &json!({"model": "m", "stream": true}));
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("words\"}}]}\n\n") {
        let byte = tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time");
        match byte {
            Ok(byte) => heard.push(byte),
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&heard)),
        }
    }
}

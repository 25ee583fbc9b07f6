//! A stream through a proxy that likes to collect.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::emit;
use super::reader::{Form, Reader};
use crate::api::world::World;
use mimir::events::{Events, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Passes requests on, and answers when it has 64 KiB of them, unless the answer forbids that: as nginx does.
struct Proxy {
    socket: PathBuf,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    fn before(gateway: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("proxy.sock");
        let listener = UnixListener::bind(&socket).expect("binds");
        let gateway = gateway.to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let upstream = UnixStream::connect(&gateway).await.expect("connects");
                connections.spawn(pass(client, upstream));
            }
        });
        Self { socket, _tasks: tasks, _folder: folder }
    }
}

async fn pass(client: UnixStream, upstream: UnixStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    let requests = tokio::io::copy(&mut from_client, &mut to_upstream);
    let answers = async {
        let mut collected = Vec::new();
        let mut may_collect = true;
        let mut piece = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from_upstream.read(&mut piece).await {
            collected.extend_from_slice(&piece[..count]);
            let head = String::from_utf8_lossy(&collected).to_ascii_lowercase();
            let forbidden = head.contains("\nx-accel-buffering: no\r\n") || head.starts_with("http/1.1 101");
            may_collect = may_collect && !forbidden;
            if !may_collect || collected.len() >= 64 * 1024 {
                if to_client.write_all(&collected).await.is_err() {
                    return;
                }
                collected.clear();
            }
        }
        let _ = to_client.write_all(&collected).await;
    };
    tokio::select! {
        _ = requests => {}
        () = answers => {}
    }
}

#[tokio::test]
async fn events_come_at_once_through_a_proxy_that_collects() {
    let world = World::new().await;
    let proxy = Proxy::before(world.socket());
    for form in [Form::Sse, Form::Socket] {
        let mut reader = Reader::open(&proxy.socket, form, "", None).await;
        for number in 0..5_u64 {
            emit(&world.services.store, number..number + 1, |number| number.to_string()).await;
            let event = tokio::time::timeout(Duration::from_secs(5), reader.next()).await;
            let event = event.expect("not collected").expect("the stream goes on");
            assert_eq!(event["data"]["delta"], number.to_string(), "{form:?}");
        }
    }
    let answer = world.open("GET", "/v1/events", None, &[]).await;
    assert_eq!(answer.headers()["cache-control"], "no-cache, no-transform");
}

#[tokio::test]
async fn a_quiet_stream_says_where_it_is_often_enough() {
    assert!(Settings::default().comment_every <= Duration::from_secs(15));
    let world = World::changed(|services| {
        let settings = Settings { comment_every: Duration::from_millis(100), ..Settings::default() };
        services.events = Events::new(services.store.clone()).with(settings);
    })
    .await;
    let mut body = world.open("GET", "/v1/events?kind=message.text", None, &[]).await.into_body();
    let mut text = String::new();
    let read = async {
        // What the filter keeps back moves the position all the same.
        world.frame("one").await;
        while !text.contains(&format!(": still here\nid: {}\n\n", world.services.events.newest())) {
            let frame = http_body_util::BodyExt::frame(&mut body).await.expect("it goes on").expect("whole");
            text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap_or_default()));
        }
    };
    let in_time = tokio::time::timeout(super::reader::PATIENCE, read).await;
    assert!(in_time.is_ok(), "{text}");
    assert!(text.starts_with("retry: 1000\nid: "), "{text}");
}

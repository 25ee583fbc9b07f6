//! The contract on a server that runs elsewhere: what its capabilities leave of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use mimir::clock::entropy_128;
use mimir::model::frame::Observed;
use mimir::model::ids::FrameId;
use mimir::model::port::PortPurpose;
use mimir::model::secret::Secret;
use mimir::outbound::BoxedDuplex;
use mimir::runtime::external::{External, Server};
use mimir::runtime::{Capabilities, Runtime, RuntimeError};
use tokio::net::TcpListener;

use super::cases;

async fn connected() -> (External, FrameId, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://me@{}", listener.local_addr().unwrap());
    let (external, frame) = (External::default(), FrameId::from_parts(1, entropy_128()));
    external.set(&frame, Server::parse(&url, Some(Secret::new("hunter2"))).unwrap());
    (external, frame, listener)
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let (external, frame, _listener) = connected().await;
    assert_eq!(external.capabilities(&frame).await.unwrap(), Capabilities::NONE);
    cases::what_cannot_be_done_is_said(&external, &frame).await;
}

#[tokio::test]
async fn its_agent_is_reached_and_nothing_else() {
    let (external, frame, listener) = connected().await;
    let agent = external.connector(&frame, PortPurpose::Agent);
    cases::an_agent_is_reached(agent, async || Box::pin(listener.accept().await.unwrap().0) as BoxedDuplex)
        .await;
    assert!(external.connector(&frame, PortPurpose::Preview).connect().await.is_err());
    let credentials = external.credentials(&frame).await.unwrap().unwrap();
    assert_eq!((credentials.user.as_str(), credentials.password), ("me", Some(Secret::new("hunter2"))));
}

#[tokio::test]
async fn it_is_seen_as_it_is() {
    let (external, frame, listener) = connected().await;
    assert_eq!(external.observe(&frame).await.unwrap().observed, Observed::Running);
    drop(listener);
    assert_eq!(external.observe(&frame).await.unwrap().observed, Observed::Halted);
    assert_eq!(external.list().await.unwrap(), []);
    assert_eq!(external.find_image("x").await.unwrap(), None);
    external.forget(&frame);
    assert_eq!(external.observe(&frame).await.unwrap().observed, Observed::Missing);
    assert_eq!(external.credentials(&frame).await.unwrap(), None);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::parse(&format!("https://{}", listener.local_addr().unwrap()), None).unwrap();
    let made = rcgen_certificate();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(made));
    let connector = server.connector();
    let (answer, _) = tokio::join!(connector.connect(), async {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
    });
    let refusal = answer.err().expect("refused").to_string();
    assert!(refusal.contains("certificate is not trusted"), "{refusal}");

    // And one that speaks no TLS at all.
    let (answer, _) = tokio::join!(connector.connect(), async {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let refusal = answer.err().expect("refused").to_string();
    assert!(refusal.contains("does not speak TLS"), "{refusal}");
}

fn rcgen_certificate() -> rustls::ServerConfig {
    let home = tempfile::tempdir().unwrap();
    let names = || vec!["127.0.0.1".to_owned()];
    let made = mimir::access::certificate::load_or_make(home.path(), names()).unwrap();
    (*made.config).clone()
}

#[tokio::test]
async fn a_frame_that_is_not_its_own_is_nobodys() {
    let (external, _, _listener) = connected().await;
    let other = FrameId::from_parts(2, entropy_128());
    assert!(!external.has(&other));
    assert!(matches!(
        external.ensure_stopped(&other, Default::default()).await,
        Err(RuntimeError::Unsupported { .. })
    ));
}

//! What real protocols need of a tunnel: TLS from end to end, with WebSocket and HTTP/2 in it.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use mimir::broker::Dialer;
use mimir::model::network::NetworkMode;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::Message;

use super::support::{LIMIT, World, frame};

const HOST: &str = "live.example.org";
/// How a client of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS with nothing in it.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// HEADERS of stream 1: GET, http over TLS, `/`.
const REQUEST: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84];
/// HEADERS of stream 1: 200; DATA of stream 1: `pong`, the end.
const ANSWER: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88, 0, 0, 4, 0, 1, 0, 0, 0, 1, b'p', b'o', b'n', b'g'];

/// A server that speaks what was agreed on in TLS: HTTP/2, or WebSockets over HTTP/1.1, whose words it says backwards.
async fn server() -> (SocketAddr, RootCertStore, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a server");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut heard = vec![0; PREFACE.len() + SETTINGS.len() + REQUEST.len()];
                if stream.read_exact(&mut heard).await.is_err() || !heard.ends_with(REQUEST) {
                    continue;
                }
                let _ = stream.write_all(&[SETTINGS, ANSWER].concat()).await;
                let _ = stream.shutdown().await;
                continue;
            }
            let Ok(mut talk) = tokio_tungstenite::accept_async(stream).await else { continue };
            while let Some(Ok(Message::Text(said))) = talk.next().await {
                let backwards: String = said.chars().rev().collect();
                if talk.send(Message::text(backwards)).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, roots, server)
}

/// TLS through a tunnel, for one protocol.
async fn connect(stream: UnixStream, roots: RootCertStore, protocol: &[u8]) -> TlsStream<UnixStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(HOST).expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    tokio::time::timeout(LIMIT, connected).await.expect("in time").expect("TLS with the host itself")
}

#[tokio::test]
async fn http_2_and_websockets_pass_to_an_allowed_host() {
    let (address, roots, _server) = server().await;
    let world = World::new(Vec::new(), Dialer::default().pin(HOST, 443, address));
    let frame = frame(1, NetworkMode::Allow, &[HOST]);
    world.insert(&frame).await;
    world.open(&frame);
    let target = format!("{HOST}:443");

    let mut h2 = connect(world.tunnel(&frame, &target).await, roots.clone(), b"h2").await;
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    h2.write_all(&[PREFACE, SETTINGS, REQUEST].concat()).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, h2.read_to_end(&mut answer)).await.expect("in time").expect("an end");
    assert_eq!(answer, [SETTINGS, ANSWER].concat());

    let tls = connect(world.tunnel(&frame, &target).await, roots, b"http/1.1").await;
    let opened = tokio_tungstenite::client_async(format!("wss://{HOST}/live"), tls);
    let (mut talk, _) = tokio::time::timeout(LIMIT, opened).await.expect("in time").expect("a WebSocket");
    for word in ["stressed", "a word that is longer than the others"] {
        talk.send(Message::text(word)).await.expect("sent");
        let said = tokio::time::timeout(LIMIT, talk.next()).await.expect("in time").expect("a word");
        let backwards: String = word.chars().rev().collect();
        assert_eq!(said.expect("a word"), Message::text(backwards));
    }
    let counted = world.traffic(&frame, HOST, |it| it.received_bytes > 0 && it.allowed_count == 2).await;
    assert_eq!((counted.refused_count, counted.request_count), (0, 0), "nobody sees what is asked in TLS");
}

//! The same command line and client from elsewhere: TLS, the pinned certificate, a token.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};

use mimir::access::certificate;
use mimir::client::{ClientError, GatewayClient, Remote, TerminalOutput};
use mimir::model::fingerprint::Fingerprint;
use mimir::model::secret::Secret;
use mimir::wire::terminal::TerminalQuery;

use super::token;
use crate::api::world::World;
use crate::cli::terminal::Screen;
use crate::cli::world::{Ran, World as Desk};

fn client(world: &World, secret: &str, pinned: Option<Fingerprint>) -> GatewayClient {
    let remote = Remote::new(&format!("https://localhost:{}", world.tcp.port()), Secret::new(secret));
    GatewayClient::remote(remote.expect("an address").pinned(pinned))
}

#[tokio::test]
async fn a_client_from_elsewhere_does_what_one_at_home_does() {
    let world = World::with(Vec::new(), true).await;
    world.frame("blog").await;
    let secret = token(&world, "read send frames terminal", None).await;
    let client = client(&world, &secret, world.fingerprint);
    assert_eq!(client.frames().await.expect("frames").len(), 1);
    let started = client.ask_frame("blog", mimir::client::FrameVerb::Start, Duration::from_secs(8)).await;
    started.expect("started");

    let mut follow = client.follow(Default::default(), Some(0));
    let first = tokio::time::timeout(Duration::from_secs(5), follow.next()).await.expect("in time");
    assert!(matches!(first.expect("an event"), mimir::client::Followed::Event(_)));

    let argv = Some(r#"["cat"]"#.to_owned());
    let query = TerminalQuery { columns: 80, rows: 24, argv, ..Default::default() };
    let (mut keys, mut screen) = client.terminal("blog", &query).await.expect("a terminal");
    let large = vec![b'x'; 40_000];
    keys.input(large.clone().into()).await.expect("typed");
    let mut echoed = Vec::new();
    while echoed.len() < large.len() {
        match screen.next().await.expect("it lives") {
            Some(TerminalOutput::Out(bytes)) => echoed.extend_from_slice(&bytes),
            Some(TerminalOutput::Alive) => {}
            other => panic!("{other:?} after {} bytes", echoed.len()),
        }
    }
    assert_eq!(echoed, large);
    drop((keys, screen, follow));
    assert!(world.end().await, "it ends in time");
}

#[tokio::test]
async fn nothing_is_sent_to_a_gateway_that_does_not_show_the_pinned_certificate() {
    let world = World::with(Vec::new(), true).await;
    let shown = world.fingerprint.expect("a certificate");
    let secret = token(&world, "read", None).await;
    match client(&world, &secret, None).frames().await.expect_err("refused") {
        ClientError::UnknownGateway { fingerprint, address } => {
            assert_eq!((fingerprint, address), (shown, format!("localhost:{}", world.tcp.port())));
        }
        other => panic!("{other}"),
    }
    let other = Fingerprint::of(b"another one");
    match client(&world, &secret, Some(other)).frames().await.expect_err("refused") {
        ClientError::OtherCertificate { pinned, shown: found, .. } => {
            assert_eq!((pinned, found), (other, shown))
        }
        other => panic!("{other}"),
    }
    let listed = world.services.access.list().await.expect("rows");
    assert_eq!(listed[0].last_used_at, None, "the token never crossed");
    // Plain HTTP to that port is told what is wrong.
    let plain = crate::api::world::whole(world.open_tcp("GET", "/health", None, "").await).await;
    assert_eq!((plain.status, plain.code()), (400, "request.plain_http"));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable_and_no_gateway_is_started() {
    let remote = Remote::new("https://127.0.0.1:1", Secret::new("x")).expect("an address");
    let error = GatewayClient::remote(remote).frames().await.expect_err("nobody");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

/// Shows somebody else's certificate and signs with its own key.
#[derive(Debug)]
struct Copycat(Arc<CertifiedKey>);

impl ResolvesServerCert for Copycat {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_is_not_the_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = |name: &str| {
        let made = certificate::load_or_make(&folder.path().join(name), vec!["localhost".to_owned()]);
        made.expect("made").fingerprint
    };
    let (pinned, _) = (made("gateway"), made("copycat"));
    let pem = |name: &str| folder.path().join(name);
    let shown = CertificateDer::from_pem_file(pem("gateway/certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(pem("copycat/key.pem")).expect("a key");
    let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key that signs");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Copycat(Arc::new(CertifiedKey::new(vec![shown], key)))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let copycat = async {
        let (stream, _) = listener.accept().await.expect("a visitor");
        acceptor.accept(stream).await.is_err()
    };
    let remote = Remote::new(&format!("https://localhost:{port}"), Secret::new("mim_x")).expect("an address");
    let client = GatewayClient::remote(remote.pinned(Some(pinned)));
    let (asked, was_left) = tokio::join!(client.health(), copycat);
    assert!(matches!(asked, Err(ClientError::Unreachable { .. })), "{asked:?}");
    assert!(was_left, "the client leaves before it says anything");
}

/// A person's machine: its own home, and the executable.
struct Person {
    desk: Desk,
    address: String,
}

impl Person {
    fn of(world: &World, secret: &str) -> Self {
        let address = format!("127.0.0.1:{}", world.tcp.port());
        let mut desk = Desk::new();
        desk.set("MIMIR_URL", &format!("https://{address}")).set("MIMIR_TOKEN", secret);
        Self { desk, address }
    }

    fn known(&self) -> PathBuf {
        self.desk.paths().known_gateways()
    }

    /// Runs a command beside the gateway of the test.
    async fn run(self, words: &'static [&'static str]) -> (Self, Ran) {
        let run = move || {
            let ran = self.desk.run(words);
            (self, ran)
        };
        tokio::task::spawn_blocking(run).await.expect("ran")
    }
}

fn error(ran: &Ran) -> Value {
    let value: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|_| panic!("{ran:?}"));
    assert!(value["error"]["hint"].is_string(), "{value}");
    value["error"]["code"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_no_stranger_and_then_works_from_elsewhere() {
    let world = World::with(Vec::new(), true).await;
    world.frame("blog").await;
    let secret = token(&world, "read send", None).await;
    let shown = world.fingerprint.expect("a certificate").to_string();

    // Without a person there is nobody to accept a certificate.
    let (person, ran) = Person::of(&world, &secret).run(&["frame", "list", "--json"]).await;
    assert_eq!((ran.code, error(&ran)), (4, json!("gateway.unknown")));
    assert!(ran.stderr.contains(&shown) && !ran.stderr.contains(&secret[4..]), "{}", ran.stderr);
    assert!(!person.known().exists());

    // With one, they are asked once.
    let mut person = tokio::task::spawn_blocking(move || {
        let mut screen = Screen::open(&person.desk, &["frame", "list"]);
        screen.until("Accept it?");
        assert!(screen.text().contains("sha256:"), "{}", screen.text());
        screen.press("y\r");
        assert_eq!(screen.end(), 0, "{}", screen.text());
        assert!(screen.text().contains("blog"), "{}", screen.text());
        person
    })
    .await
    .expect("ran");
    let known = std::fs::read_to_string(person.known()).expect("kept");
    assert_eq!(known, format!("{} {shown}\n", person.address));
    let ran;
    (person, ran) = person.run(&["frame", "list", "--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let frames: Value = serde_json::from_str(&ran.stdout).expect("json");
    assert_eq!(frames[0]["name"], "blog");
    let ran;
    (person, ran) = person.run(&["token", "show"]).await;
    assert!(ran.code == 0 && ran.stdout.contains("read, send"), "{ran:?}");

    // What the token is not for is refused, and says what is missing.
    let ran;
    (person, ran) = person.run(&["frame", "start", "blog", "--json"]).await;
    assert_eq!((ran.code, error(&ran)), (4, json!("auth.scope")));
    assert!(ran.stderr.contains("frames"), "{}", ran.stderr);
    let ran;
    (person, ran) = person.run(&["frame", "create", "here", "--json"]).await;
    assert_eq!((ran.code, error(&ran)), (2, json!("usage")));

    // Somebody else in its place.
    std::fs::write(person.known(), format!("{} {}\n", person.address, Fingerprint::of(b"old")))
        .expect("written");
    let ran;
    (person, ran) = person.run(&["frame", "list", "--json"]).await;
    assert_eq!((ran.code, error(&ran)), (4, json!("gateway.fingerprint_changed")));
    person.desk.set("MIMIR_FINGERPRINT", &shown);
    let ran;
    (person, ran) = person.run(&["frame", "list", "--quiet"]).await;
    assert_eq!(ran.code, 0, "what is in the environment counts: {}", ran.stderr);

    // The end of a token.
    let tokens = world.services.access.list().await.expect("rows");
    let revoked = world.ask("DELETE", &format!("/v1/tokens/{}", tokens[0].name), None, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let ran;
    (person, ran) = person.run(&["frame", "list", "--json"]).await;
    assert_eq!((ran.code, error(&ran)), (4, json!("auth.revoked")));
    assert!(!person.desk.paths().gateway_socket().exists(), "no gateway was started here");
    assert!(world.end().await, "it ends in time");
}

/// A gateway process that speaks TLS on a port of its own.
fn encrypted_home() -> (Desk, u16) {
    let desk = Desk::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("bound").port();
    let socket = desk.folder.path().join("no-engine.sock");
    desk.configure(&format!(
        "server:\n  http_port: {port}\n  bind: 0.0.0.0\n  hosts: [gate.example]\n  tls: {{auto: on}}\nengine:\n  socket: {}\n",
        socket.display()
    ));
    (desk, port)
}

/// Ends the gateway of a test, also when the test fails.
struct Serving<'a>(&'a Desk);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        let _ = self.0.run(&["serve", "--stop"]);
    }
}

#[test]
fn a_gateway_of_its_own_makes_a_certificate_a_token_and_answers_from_elsewhere() {
    let (mut desk, port) = encrypted_home();
    desk.set("PATH", "/nonexistent");
    let _serving = Serving(&desk);
    let started = desk.run(&["serve", "--detach"]);
    assert!(started.code == 0 && started.stderr.contains("fingerprint"), "{started:?}");
    let status: Value = serde_json::from_str(&desk.run(&["status", "--json"]).stdout).expect("json");
    let fingerprint = status["fingerprint"].as_str().expect("shown").to_owned();
    assert_eq!(status["http"], format!("https://0.0.0.0:{port}"));

    let made = desk.run(&["token", "create", "laptop", "--scope", "read,admin", "--expires", "1h"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let secret = made.stdout.trim();
    assert!(
        secret.starts_with("mim_") && !made.stderr.contains(secret),
        "alone on standard output: {made:?}"
    );
    assert!(made.stderr.contains(&fingerprint), "{}", made.stderr);

    let mut laptop = Desk::new();
    laptop
        .set("MIMIR_URL", &format!("https://127.0.0.1:{port}"))
        .set("MIMIR_TOKEN", secret)
        .set("MIMIR_FINGERPRINT", &fingerprint);
    let listed = laptop.run(&["token", "list"]);
    assert!(
        listed.code == 0 && listed.stdout.contains("laptop") && listed.stdout.contains("in "),
        "{listed:?}"
    );
    // A name that is not configured is not answered, whoever asks.
    laptop.set("MIMIR_URL", &format!("https://localhost:{port}"));
    assert_eq!(laptop.run(&["frame", "list"]).code, 0, "this connection is one of this machine");
    let revoked = laptop.run(&["token", "revoke", "laptop"]);
    assert_eq!((revoked.code, revoked.stdout.as_str()), (0, "laptop revoked\n"), "{}", revoked.stderr);
    let after = laptop.run(&["frame", "list"]);
    assert!(after.code == 4 && after.stderr.contains("revoked"), "{after:?}");
    assert_eq!(desk.run(&["token", "list", "--json"]).stdout.trim(), "[]");
    assert!(desk.run(&["token", "list", "--all"]).stdout.contains("revoked"));
}

#[test]
fn the_command_line_sets_how_browsers_come_in_and_shows_the_phone_a_link() {
    let (mut desk, port) = encrypted_home();
    desk.set("PATH", "/nonexistent").set("BROWSER", "/bin/true");
    let _serving = Serving(&desk);
    let started = desk.run(&["serve", "--detach"]);
    assert_eq!(started.code, 0, "{started:?}");
    let refused = desk.run(&["web", "qr", "--json"]);
    assert_eq!(error(&refused), json!("web.only_here"), "there is no password");
    let refused = desk.run(&["web", "open", "--json"]);
    assert_eq!(error(&refused), json!("login.no_password"));
    let refused = desk.run(&["web", "totp", "--json"]);
    assert_eq!(error(&refused), json!("login.no_password"));
    let refused = desk.run(&["web", "password", "--json"]);
    assert_eq!((refused.code, error(&refused)), (2, json!("usage")), "nobody can be asked");
    let stdin = ["web", "password", "--password-stdin", "--json"];
    let refused = desk.run_with_input(&stdin, "lantern\n");
    assert_eq!(error(&refused), json!("login.weak_password"));
    let set = desk.run_with_input(&stdin[..3], "a lantern by the sea\n");
    assert!(set.code == 0 && set.stdout.contains("read, send, approve"), "{set:?}");

    let shown = desk.run(&["web", "qr"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let link = format!("https://gate.example:{port}/#code=");
    assert!(shown.stdout.contains(&link) && shown.stdout.contains('\u{2588}'), "{}", shown.stdout);
    assert!(shown.stderr.contains("sha256:"), "with what to compare: {}", shown.stderr);
    let opened = desk.run(&["web", "open"]);
    assert_eq!((opened.code, opened.stdout), (0, format!("https://127.0.0.1:{port}/ opened\n")));

    let app = desk.run(&["web", "totp"]);
    let secret = app.stdout.lines().find_map(|line| line.strip_prefix("for typing: ")).expect("a secret");
    let code = super::login::code_at(secret, mimir::clock::Clock::system().now_ms());
    let confirmed = desk.run(&["web", "totp", "--code", &code]);
    assert_eq!((confirmed.code, confirmed.stdout.lines().count()), (0, 10), "{confirmed:?}");
    let again = desk.run(&["web", "totp", "--code", &code, "--json"]);
    assert_eq!(error(&again), json!("login.not_enrolling"), "the secret is shown once");

    let sessions = desk.run(&["web", "sessions"]);
    assert!(sessions.code == 0 && sessions.stderr.contains("no browser is in"), "{sessions:?}");
    let removed = desk.run(&["web", "password", "--remove"]);
    assert!(removed.code == 0 && removed.stdout.contains("alone"), "{removed:?}");
    assert_eq!(error(&desk.run(&["web", "qr", "--json"])), json!("web.only_here"));
}

#[test]
fn what_others_could_reach_without_tls_is_not_served() {
    let desk = Desk::new();
    desk.configure("server:\n  bind: 0.0.0.0\n");
    let ran = desk.run(&["serve", "--detach", "--json"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("server.tls.auto"), "{}", ran.stderr);
}

//! Placeholders on their way out: what becomes of them, for whom, and what comes back.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mimir::broker::Dialer;
use mimir::model::frame::Frame;
use mimir::model::names::SecretName;
use mimir::model::network::NetworkMode;
use mimir::model::principal::Principal;
use mimir::model::secret::Secret;
use mimir::model::secrets::{SecretForm, SecretGrant, SecretSource};
use mimir::models::ProviderKind;
use mimir::secrets::{Grant, SecretError, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::echoes::whole;
use super::support::{LIMIT, World, frame, provider};
use crate::scripted_model::ScriptedModel;

const SECRET: &str = "ghp_a8d7Kq2mX0vZ4rT6yB1nL9cW5eJ3hU7oPfGs";
const OWNER: Principal = Principal::Owner { uid: 0 };

/// A host that repeats in its answer what it was asked with.
struct Host {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<String>,
    _server: JoinSet<()>,
}

impl Host {
    /// What it was asked; none when it was not.
    fn heard(&mut self) -> Option<String> {
        self.heard.try_recv().ok()
    }
}

async fn host(tls: Option<TlsAcceptor>) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tell, heard) = mpsc::unbounded_channel();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => repeat(stream, &tell).await,
                    Err(_) => continue,
                },
                None => repeat(stream, &tell).await,
            }
        }
    });
    Host { address, heard, _server: server }
}

async fn repeat(mut stream: impl AsyncRead + AsyncWrite + Unpin, tell: &mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let sent =
        head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or("nothing").to_owned();
    let _ = tell.send(head);
    let body = format!("you said {sent}, which is {} in base64", STANDARD.encode(&sent));
    let answer = format!(
        "HTTP/1.1 200 heard {sent}\r\ncontent-length: {}\r\nx-echo: {sent}\r\nlink: <https://api.test/user?page=2>; rel=next\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    // In pieces, so that nothing is whole by chance.
    for piece in body.as_bytes().chunks(7) {
        let _ = stream.write_all(piece).await;
        let _ = stream.flush().await;
        tokio::task::yield_now().await;
    }
    let _ = stream.shutdown().await;
}

/// A host that speaks TLS as `api.test`, and a dialer that finds and trusts it, and knows other hosts.
async fn secure(others: &[(&str, u16, SocketAddr)]) -> (Host, Dialer) {
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let pair = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["api.test".to_owned()]).expect("a name");
    let certificate = params.self_signed(&pair).expect("a certificate").der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).expect("a key");
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = host(Some(TlsAcceptor::from(Arc::new(server)))).await;
    let dialer = Dialer::default().trusting(client).pin("api.test", 443, host.address);
    let dialer = others.iter().fold(dialer, |dialer, (name, port, at)| dialer.pin(name, *port, *at));
    (host, dialer)
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a name")
}

impl World {
    async fn keep(&self, secret: &str, value: &str) {
        let value = Value::Kept(Secret::new(value));
        self.vault.set(&OWNER, &name(secret), value).await.expect("kept");
    }

    async fn give(&self, frame: &Frame, secret: &str, host: &str) -> Result<String, SecretError> {
        let grant = Grant { host: Some(host.to_owned()), ..Grant::default() };
        let granted = self.vault.grant(&OWNER, frame, &name(secret), grant).await?;
        Ok(granted.placeholder.expect("a placeholder"))
    }

    async fn get(&self, frame: &Frame, target: &str, authorization: &str) -> String {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:8118\r\nAuthorization: {authorization}\r\n\
             Accept-Encoding: gzip\r\n\r\n"
        );
        whole(&self.ask(frame, request.as_bytes()).await)
    }
}

fn is_clean(answer: &str) -> bool {
    let code = STANDARD.encode(format!("Bearer {SECRET}"));
    !answer.contains(SECRET) && !answer.contains(&code[12..code.len() - 4])
}

#[tokio::test]
async fn a_placeholder_becomes_the_secret_on_the_way_to_its_host_and_never_comes_back() {
    let (mut host, dialer) = secure(&[]).await;
    let world = World::new(Vec::new(), dialer);
    let frame = frame(1, NetworkMode::Allow, &["api.test"]);
    world.insert(&frame).await;
    world.open(&frame);
    world.keep("github", SECRET).await;
    let placeholder = world.give(&frame, "github", "api.test").await.expect("granted");
    assert!(placeholder.starts_with("mimir-secret-") && placeholder.len() == 45, "{placeholder}");

    for authorization in
        [format!("Bearer {placeholder}"), format!("Basic {}", STANDARD.encode(format!("me:{placeholder}")))]
    {
        let answer = world.get(&frame, "/https/api.test/user?a=b", &authorization).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let heard = host.heard().expect("it was asked");
        let (scheme, _) = authorization.split_once(' ').expect("a scheme");
        let wanted = match scheme {
            "Bearer" => format!("authorization: Bearer {SECRET}\r\n"),
            _ => format!("authorization: Basic {}\r\n", STANDARD.encode(format!("me:{SECRET}"))),
        };
        assert!(heard.starts_with("GET /user?a=b HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains(&wanted) && heard.contains("host: api.test\r\n"), "{heard}");
        assert!(heard.contains("accept-encoding: identity\r\n"), "{heard}");
        assert!(is_clean(&answer) && !answer.contains(&STANDARD.encode(format!("me:{SECRET}"))), "{answer}");
        assert!(answer.contains("x-echo: [redacted]") && answer.contains("[redacted]"), "{answer}");
        assert!(answer.contains("link: <http://127.0.0.1:8118/https/api.test/user?page=2>"), "{answer}");
    }
    let used = world.vault.show(&name("github")).await.expect("there").secret.used_at;
    assert!(used.is_some(), "it is known when it was used");
}

#[tokio::test]
async fn a_placeholder_is_worth_nothing_to_another_host_in_another_frame_or_when_it_was_taken_back() {
    let mut other = host(None).await;
    let (mut api, dialer) =
        secure(&[("other.test", 80, other.address), ("api.test", 80, other.address)]).await;
    let world = World::new(Vec::new(), dialer);
    let (one, two) = (
        frame(1, NetworkMode::Allow, &["api.test", "other.test"]),
        frame(2, NetworkMode::Allow, &["api.test", "other.test"]),
    );
    for frame in [&one, &two] {
        world.insert(frame).await;
        world.open(frame);
    }
    world.keep("github", SECRET).await;
    let (mine, theirs) = (
        world.give(&one, "github", "api.test").await.expect("granted"),
        world.give(&two, "github", "api.test").await.expect("granted"),
    );
    assert_ne!(mine, theirs);
    for (frame, target, placeholder, why) in [
        (&one, "http://other.test/x", &mine, "is for https://api.test alone"),
        (&one, "http://api.test/x", &mine, "is for https://api.test alone"),
        (&one, "/https/api.test/x", &theirs, "stands for nothing that this frame was given"),
        (&one, "/https/other.test/x", &mine, "was given no secret for https://other.test"),
        (&one, "/https/elsewhere.test/x", &mine, "was given no secret for https://elsewhere.test"),
        (&two, "http://other.test/x", &mine, "stands for nothing"),
    ] {
        let answer = world.get(frame, target, &format!("Bearer {placeholder}")).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(why), "{target}: {answer}");
    }
    assert_eq!((api.heard(), other.heard()), (None, None), "nobody was asked");

    // Without a placeholder a listed host is asked as ever.
    let plain = world.get(&one, "http://other.test/x", "Bearer of-its-own").await;
    assert!(plain.contains("you said Bearer of-its-own"), "{plain}");
    assert!(other.heard().is_some());

    world.vault.revoke(&OWNER, &one, &name("github")).await.expect("taken back");
    let late = world.get(&one, "/https/api.test/x", &format!("Bearer {mine}")).await;
    assert!(late.starts_with("HTTP/1.1 403"), "{late}");
    world.vault.remove(&OWNER, &name("github")).await.expect("forgotten");
    let gone = world.get(&two, "/https/api.test/x", &format!("Bearer {theirs}")).await;
    assert!(gone.starts_with("HTTP/1.1 403"), "{gone}");
    assert_eq!(api.heard(), None);
}

#[tokio::test]
async fn a_host_cannot_be_made_to_keep_a_secret_as_something_else() {
    let (mut api, dialer) = secure(&[]).await;
    let world = World::new(Vec::new(), dialer);
    let frame = frame(1, NetworkMode::Allow, &["api.test"]);
    world.insert(&frame).await;
    world.open(&frame);
    world.keep("github", SECRET).await;
    let placeholder = world.give(&frame, "github", "api.test").await.expect("granted");
    let ask = async |header: &str, value: &str, more: &str| {
        let request = format!(
            "PUT /https/api.test/object HTTP/1.1\r\nHost: x\r\n{header}: {value}\r\n{more}Content-Length: 0\r\n\r\n"
        );
        world.ask(&frame, request.as_bytes()).await
    };
    let with_key = format!("Authorization: Bearer {placeholder}\r\n");
    for header in [
        "X-Amz-Meta-Note",
        "Destination",
        "Cookie",
        "User-Agent",
        "Content-Type",
        "X-Forwarded-For",
        "X-Custom-Token",
        "If-Match",
    ] {
        for more in ["", with_key.as_str()] {
            let answer = ask(header, &placeholder, more).await;
            let is_refused =
                answer.starts_with("HTTP/1.1 403") && answer.contains(&header.to_ascii_lowercase());
            assert!(is_refused, "{header}: {answer}");
            assert_eq!(api.heard(), None, "{header}: nobody was asked");
        }
    }
    // What only begins like it is a text like any other, also beside a real one.
    let answer = ask("X-Amz-Meta-Note", &format!("{placeholder}0"), &with_key).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let heard = api.heard().expect("asked");
    assert_eq!(heard.matches(SECRET).count(), 1, "{heard}");
    assert!(heard.contains(&format!("x-amz-meta-note: {placeholder}0")), "{heard}");
    // Never between neighbours.
    let _ = ask("Proxy-Authorization", &placeholder, "").await;
    assert!(api.heard().is_none_or(|heard| !heard.contains(SECRET)));

    for header in ["authorization", "x-api-key", "Private-Token", "x-auth-token"] {
        let answer = ask(header, &placeholder, "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{header}: {answer}");
        assert!(api.heard().is_some_and(|heard| heard.contains(SECRET)), "{header}");
    }

    // The owner can say otherwise, for one header; not for those between neighbours.
    let grant = |headers: &[&str]| Grant {
        host: Some("api.test".to_owned()),
        headers: headers.iter().map(|&name| name.to_owned()).collect(),
        ..Grant::default()
    };
    for wrong in ["Proxy-Authorization", "Host", "a b", ""] {
        let refused = world.vault.grant(&OWNER, &frame, &name("github"), grant(&[wrong])).await;
        assert!(matches!(refused, Err(SecretError::Header(_))), "{wrong}: {refused:?}");
    }
    let wrong = Grant { form: SecretForm::File, headers: vec!["x-a".to_owned()], ..Grant::default() };
    let refused = world.vault.grant(&OWNER, &frame, &name("github"), wrong).await;
    assert!(matches!(refused, Err(SecretError::Header(_))), "{refused:?}");
    let granted = world.vault.grant(&OWNER, &frame, &name("github"), grant(&["X-Custom-Token"])).await;
    let placeholder = granted.expect("granted").placeholder.expect("a placeholder");
    let answer = ask("X-Custom-Token", &placeholder, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(api.heard().is_some_and(|heard| heard.contains(&format!("x-custom-token: {SECRET}"))));
    let answer = ask("X-Other-Token", &placeholder, "").await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn a_host_without_tls_is_asked_plainly_only_when_the_grant_says_so() {
    let mut registry = host(None).await;
    let dialer = Dialer::default().pin("registry.test", 8080, registry.address);
    let world = World::new(Vec::new(), dialer);
    let frame = frame(1, NetworkMode::Allow, &["registry.test:8080"]);
    world.insert(&frame).await;
    world.open(&frame);
    world.keep("registry", SECRET).await;
    let placeholder = world.give(&frame, "registry", "http://registry.test:8080").await.expect("granted");
    let answer = world.get(&frame, "http://registry.test:8080/v2/", &format!("Bearer {placeholder}")).await;
    assert!(answer.contains("you said Bearer [redacted], which"), "{answer}");
    assert!(is_clean(&answer), "{answer}");
    assert!(registry.heard().is_some_and(|heard| heard.contains(&format!("Bearer {SECRET}"))));

    // What it was sent it may say later, also to who asks without a placeholder, and in pieces.
    let request = format!(
        "GET http://registry.test:8080/v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nRange: bytes=3-9\r\n\
         If-Range: \"x\"\r\nAccept-Encoding: gzip\r\n\r\n"
    );
    let answer = whole(&world.ask(&frame, request.as_bytes()).await);
    assert!(answer.starts_with("HTTP/1.1 200") && is_clean(&answer), "{answer}");
    let heard = registry.heard().expect("asked");
    assert!(!heard.contains("range:") && heard.contains("accept-encoding: identity"), "{heard}");
}

#[tokio::test]
async fn what_a_frame_may_not_reach_it_is_given_no_placeholder_for() {
    let world = World::new(Vec::new(), Dialer::default());
    let (sealed, listed) = (frame(1, NetworkMode::Sealed, &[]), frame(2, NetworkMode::Allow, &["api.test"]));
    for frame in [&sealed, &listed] {
        world.insert(frame).await;
    }
    world.keep("github", SECRET).await;
    let refused = world.give(&sealed, "github", "api.test").await;
    assert!(matches!(refused, Err(SecretError::NoBroker { .. })), "{refused:?}");
    let refused = world.give(&listed, "github", "other.test").await;
    assert!(matches!(refused, Err(SecretError::NotListed { .. })), "{refused:?}");
    let refused = world.give(&listed, "gitlab", "api.test").await;
    assert!(matches!(refused, Err(SecretError::NotFound(_))), "{refused:?}");
    assert_eq!(world.vault.of_frame(&listed.id).await.expect("grants"), Vec::<SecretGrant>::new());
}

#[tokio::test]
async fn what_a_frame_is_given_at_its_start_is_what_it_was_granted_and_no_more() {
    let world = World::new(Vec::new(), Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &["api.test"]);
    world.insert(&frame).await;
    for (secret, value) in
        [("github", SECRET), ("npm", "npm_secret-of-ours"), ("deploy-key", "two\nlines of it")]
    {
        world.keep(secret, value).await;
    }
    let placeholder = world.give(&frame, "github", "api.test").await.expect("granted");
    let grant = |secret: &'static str, form| {
        let (vault, frame) = (world.vault.clone(), frame.clone());
        async move { vault.grant(&OWNER, &frame, &name(secret), Grant { form, ..Grant::default() }).await }
    };
    let lines = grant("deploy-key", SecretForm::Environment).await;
    assert!(matches!(lines, Err(SecretError::Lines(_))), "{lines:?}");
    grant("deploy-key", SecretForm::File).await.expect("granted");
    let npm = grant("npm", SecretForm::Environment).await.expect("granted");
    assert!(npm.loosened().is_some_and(|text| text.contains("in its environment, as NPM")), "{npm:?}");

    let given = world.vault.given(&frame.id).await.expect("given");
    let mut env: Vec<(&str, &str)> =
        given.env.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    env.sort_unstable();
    assert_eq!(
        env,
        [
            ("DEPLOY_KEY_FILE", "/run/mimir/start/secrets/deploy-key"),
            ("GITHUB", placeholder.as_str()),
            ("GITHUB_URL", "http://127.0.0.1:8118/https/api.test"),
            ("NPM", "npm_secret-of-ours"),
        ]
    );
    assert_eq!(given.files.len(), 1);
    assert_eq!((given.files[0].0.as_str(), given.files[0].1.reveal()), ("deploy-key", "two\nlines of it"));
    assert_eq!(given.missing, Vec::<String>::new());
}

#[tokio::test]
async fn a_source_is_asked_when_it_is_needed_and_only_the_owner_may_name_one() {
    let world = World::new(Vec::new(), Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &["api.test"]);
    world.insert(&frame).await;
    let file = world.home.path().join("token");
    std::fs::write(&file, format!("{SECRET}\n")).expect("written");
    let source = || Value::From(SecretSource::File { path: file.display().to_string() });
    let token = Principal::Token { name: "ci".to_owned() };
    let refused = world.vault.set(&token, &name("github"), source()).await;
    assert!(matches!(refused, Err(SecretError::OwnerOnly)), "{refused:?}");
    let kept = world.vault.set(&OWNER, &name("github"), source()).await.expect("set");
    assert_eq!(kept.secret.value, None, "it is not kept here");
    assert_eq!(world.vault.known().now().out_of(&format!("it is {SECRET}!")), "it is [redacted]!");

    let grant = Grant { form: SecretForm::Environment, ..Grant::default() };
    world.vault.grant(&OWNER, &frame, &name("github"), grant).await.expect("granted");
    assert_eq!(world.vault.given(&frame.id).await.expect("given").env[0].1.reveal(), SECRET);

    let locked = Value::From(SecretSource::Command { command: "echo locked >&2; false".to_owned() });
    let refused = world.vault.set(&OWNER, &name("other"), locked).await.expect_err("it has no answer");
    assert!(refused.to_string().contains("the command ended with 1: locked"), "{refused}");
    assert!(matches!(world.vault.show(&name("other")).await, Err(SecretError::NotFound(_))));
}

#[tokio::test]
async fn no_model_repeats_a_secret_and_a_scanner_names_it() {
    let model = ScriptedModel::start().await;
    let scripted = provider("scripted", ProviderKind::OpenAiCompatible, &model.base_url());
    let world = World::new(vec![scripted], Dialer::default());
    let frame = frame(1, NetworkMode::Sealed, &[]);
    world.open(&frame);
    // The very words that the scripted model says.
    world.keep("phrase", "scripted model.").await;
    let prompt = serde_json::json!({"model": "scripted", "stream": true,
        "messages": [{"role": "user", "content": "@@text@@"}]});
    let answer = world.call(&frame, "/models/scripted/chat/completions", &prompt).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("scripted model."), "{answer}");
    assert!(answer.contains("[redacted]"), "{answer}");

    let scanner = world.vault.scanner().await.expect("a scanner");
    let found = scanner.scan("one\nthe scripted model. said so");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].line, found[0].what.as_str()), (2, "the secret phrase"));
    assert!(tokio::time::timeout(LIMIT, world.vault.list()).await.expect("in time").is_ok());
}

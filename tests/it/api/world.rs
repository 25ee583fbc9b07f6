//! A gateway with real listeners, a real database, an engine in memory and agents that are healthy and no more.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use mimir::access::certificate;
use mimir::gateway::{self, Services, auth::Authenticator};
use mimir::model::fingerprint::Fingerprint;
use mimir::model::secret::Secret;
use mimir::runtime::fake::{FakeEngine, StartedContainer};
use mimir::supervisor::{OnExit, Tasks};

use crate::machine::{Gateway, Machine};

pub const TOKEN: &str = "mim_0123456789abcdef0123456789abcdef";
/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct World {
    pub engine: FakeEngine,
    pub services: Services,
    /// Of the certificate that it shows, when it speaks TLS.
    pub fingerprint: Option<Fingerprint>,
    pub stop: CancellationToken,
    pub tcp: SocketAddr,
    socket: PathBuf,
    edge: Tasks,
    core: Tasks,
    agents: Tasks,
    machine: Machine,
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub request_id: Option<String>,
    pub media: String,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn code(&self) -> &'static str {
        assert_eq!(self.media, "application/problem+json", "{}", self.text);
        self.json()["code"].as_str().expect("a code").to_owned().leak()
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Vec::new(), false).await
    }

    /// The same with names besides its addresses, and perhaps with TLS.
    pub async fn with(hosts: Vec<String>, is_tls: bool) -> Self {
        Self::made(hosts, is_tls, None, |_| {}).await
    }

    /// A world in which one address may hold so many connections.
    pub async fn seated(connections: usize, is_tls: bool) -> Self {
        Self::made(Vec::new(), is_tls, Some(connections), |_| {}).await
    }

    /// A world whose services are changed before anybody asks them.
    pub async fn changed(change: impl FnOnce(&mut Services)) -> Self {
        Self::made(Vec::new(), false, None, change).await
    }

    /// The same with names besides its addresses.
    pub async fn changed_on(hosts: Vec<String>, change: impl FnOnce(&mut Services)) -> Self {
        Self::made(hosts, false, None, change).await
    }

    /// A world that finds that database, and whose frames stay as they are in it.
    pub async fn of_database(file: &std::path::Path) -> Self {
        let machine = Machine::new();
        std::fs::copy(file, machine.paths.database()).expect("copied");
        Self::on(machine, &[], Vec::new(), false, None, |_| {}).await
    }

    async fn made(
        hosts: Vec<String>,
        is_tls: bool,
        connections: Option<usize>,
        change: impl FnOnce(&mut Services),
    ) -> Self {
        Self::on(Machine::new(), &["frames"], hosts, is_tls, connections, change).await
    }

    async fn on(
        machine: Machine,
        running: &'static [&'static str],
        hosts: Vec<String>,
        is_tls: bool,
        connections: Option<usize>,
        change: impl FnOnce(&mut Services),
    ) -> Self {
        let names = || vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            is_tls.then(|| certificate::load_or_make(&machine.paths.tls(), names()).expect("a certificate"));
        let fingerprint = certificate.as_ref().map(|certificate| certificate.fingerprint);
        let agents = Tasks::default();
        let owner = agents.clone();
        machine.engine.on_start(move |started| run_agent(&owner, started));
        let mut gateway = machine.gateway().only(running).build();
        change(&mut gateway.services);
        let Gateway { services, stop, tasks: core, .. } = gateway.start();
        let edge = Tasks::new(stop.child_token());
        let socket = machine.paths.gateway_socket();
        let unix = Arc::new(UnixListener::bind(&socket).expect("binds"));
        let routes = gateway::app(services.clone());
        let app = routes.clone();
        edge.spawn("unix", OnExit::Report, move |stop| {
            let listener = unix.clone();
            let accept = move || {
                let listener = listener.clone();
                async move { listener.accept().await.map(|(stream, _)| stream) }
            };
            gateway::serve::unix(accept, app.clone(), stop)
        });
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("binds"));
        let tcp = listener.local_addr().expect("an address");
        let gate =
            Authenticator::new(Secret::new(TOKEN), services.access.clone(), hosts, certificate.as_ref());
        let gate = match connections {
            Some(most) => gate.with_connections(most),
            None => gate,
        };
        edge.spawn("tcp", OnExit::Report, move |stop| {
            gateway::serve::tcp(listener.clone(), gate.clone(), routes.clone(), stop)
        });
        let engine = machine.engine.clone();
        Self { engine, services, fingerprint, stop, tcp, socket, edge, core, agents, machine }
    }

    /// Where it listens.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    pub fn project(&self, name: &str) -> String {
        self.machine.project(name).display().to_string()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.ask("POST", path, body, &[]).await
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.map(|body| body.to_string());
        self.ask_raw(method, path, body, headers).await
    }

    pub async fn ask_raw(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let response = self.open(method, path, body, headers).await;
        whole(response).await
    }

    /// An answer whose body is still to be read.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).expect("a request");
        send(UnixStream::connect(&self.socket).await.expect("connects"), request).await
    }

    /// Asks over TCP with a token, under the right name; the answer's body is still to be read.
    pub async fn open_tcp(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Response<Incoming> {
        let request = self.tcp_request(method, path, token, body);
        send(TcpStream::connect(self.tcp).await.expect("connects"), request).await
    }

    /// Asks over TCP with these headers besides the right name; the answer's body is still to be read.
    pub async fn open_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let request = with_headers(self.tcp_request(method, path, None, body), headers);
        send(TcpStream::connect(self.tcp).await.expect("connects"), request).await
    }

    /// The same over TLS.
    pub async fn open_tls_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let request = with_headers(self.tcp_request(method, path, None, body), headers);
        send(self.greet().await, request).await
    }

    /// The same over TLS.
    pub async fn open_tls(&self, method: &str, path: &str, token: &str, body: &str) -> Response<Incoming> {
        let request = self.tcp_request(method, path, Some(token), body);
        send(self.greet().await, request).await
    }

    fn tcp_request(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header("host", self.tcp.to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).expect("a request")
    }

    /// An encrypted connection, as any client has it who trusts the gateway's certificate.
    pub async fn greet(&self) -> TlsStream<TcpStream> {
        self.greet_over(TcpStream::connect(self.tcp).await.expect("connects")).await
    }

    pub async fn greet_over(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        let pem = PathBuf::from(&self.services.about.home).join("tls/certificate.pem");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem).expect("a certificate")).expect("one to trust");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS")
    }

    /// The same with a whole answer.
    pub async fn ask_with(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        whole(self.open_tcp(method, path, Some(token), body).await).await
    }

    pub async fn ask_tcp(&self, path: &str, headers: Vec<(&'static str, String)>) -> Answer {
        let mut request = Request::builder().method("GET").uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::default()).expect("a request");
        whole(send(TcpStream::connect(self.tcp).await.expect("connects"), request).await).await
    }

    /// The details of what was done by that name, oldest first.
    pub async fn audited(&self, action: &'static str) -> Vec<String> {
        let rows = self.services.store.read(|db| mimir::store::audit::list(db, None, 1000)).await;
        let rows = rows.expect("audit rows").into_iter().rev();
        rows.filter(|row| row.action == action).map(|row| row.detail.to_string()).collect()
    }

    /// A frame, not started.
    pub async fn frame(&self, name: &str) -> Value {
        let body = serde_json::json!({ "name": name, "workspace": self.project(name) });
        let answer = self.post("/v1/frames", Some(body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }

    /// Asks until the answer is as wanted, and gives it.
    pub async fn until_json(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.get(path).await.json();
            if is_so(&seen) {
                return seen;
            }
            assert!(tokio::time::Instant::now() < end, "{path}: {seen}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    pub async fn until_state(&self, frame: &str, state: &str) {
        self.until_json(&format!("/v1/frames/{frame}"), |seen| seen["state"] == state).await;
    }

    /// Ends the gateway as a signal would; says whether everything ended in time.
    pub async fn end(&self) -> bool {
        self.stop.cancel();
        self.edge.stop(PATIENCE).await && self.core.stop(PATIENCE).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        self.core.stop_token().cancel();
        self.agents.stop_token().cancel();
    }
}

fn with_headers(mut request: Request<Full<Bytes>>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().expect("a header");
        request.headers_mut().append(name, value.parse().expect("a value"));
    }
    request
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let asked = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        Tasks::default().spawn_once("connection", move |_| async move { drop(connection.await) });
        sender.send_request(request).await.expect("an answer")
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}

pub async fn whole(response: Response<Incoming>) -> Answer {
    let header =
        |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (request_id, media) = (header("x-request-id"), header("content-type").unwrap_or_default());
    let status = response.status().as_u16();
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect());
    let body = body.await.expect("a body in time").expect("a body").to_bytes();
    Answer { status, request_id, media, text: String::from_utf8_lossy(&body).into_owned() }
}

/// An agent that is healthy and tells what it was asked.
fn run_agent(tasks: &Tasks, started: StartedContainer) {
    tasks.spawn_once("agent", move |stop| super::echo::serve(started, stop));
}

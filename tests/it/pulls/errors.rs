//! An error tracker with one issue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What it knows.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub is_resolved: bool,
    pub has_regressed: bool,
    /// What it was told.
    pub resolves: Vec<Value>,
    /// Whether it knows the repository of a commit.
    pub knows_commits: bool,
}

/// It ends with this value.
pub struct Errors {
    pub address: SocketAddr,
    pub known: Arc<Mutex<Known>>,
    _server: JoinSet<()>,
}

impl Errors {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let known = Arc::new(Mutex::new(Known { knows_commits: true, ..Known::default() }));
        let (mut server, shared) = (JoinSet::new(), known.clone());
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, known, _server: server }
    }
}

async fn answer(known: Arc<Mutex<Known>>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    assert_eq!(request.uri().path(), "/api/0/organizations/acme/issues/1234/");
    let is_change = request.method() == Method::PUT;
    let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    let mut known = known.lock();
    if is_change {
        let asked: Value = serde_json::from_slice(&body).expect("JSON");
        if asked["statusDetails"].get("inCommit").is_some() && !known.knows_commits {
            return Ok(said(
                400,
                &json!({"statusDetails": {"inCommit": ["Unable to find the given repository."]}}),
            ));
        }
        known.resolves.push(asked);
        known.is_resolved = true;
    }
    let (status, substatus) = match (known.has_regressed, known.is_resolved) {
        (true, _) => ("unresolved", "regressed"),
        (false, true) => ("resolved", "ongoing"),
        (false, false) => ("unresolved", "new"),
    };
    let issue = json!({"id": "1234", "shortId": "SHOP-1A", "title": "it fails", "status": status, "substatus": substatus});
    Ok(said(200, &issue))
}

fn said(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(body.to_string().into())).expect("a response")
}

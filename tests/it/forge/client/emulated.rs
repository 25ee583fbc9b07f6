//! mimir's client against the emulator of GitHub that others wrote.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mimir::clock::Clock;
use mimir::config::schema::TokenSource;
use mimir::forge::Merged;
use mimir::model::forge::{CommentKind, MergeMethod, OpenState, ReviewState};
use mimir::model::git::Repository;
use mimir::model::secret::Secret;
use mimir::outbound::HttpClients;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use super::{forges, new_pull, settings, to_main};
use crate::forge::TOKEN;
use crate::forge::emulator::{ANNS, Emulator};

/// The emulator behind the place where GitHub Enterprise has its API.
async fn front(emulator: &Emulator) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut front = JoinSet::new();
    front.spawn(pass_on(listener, emulator.url.clone()));
    (address, front)
}

/// It has no `/api/v3`, as every GitHub has that is not github.com.
async fn pass_on(listener: TcpListener, to: Url) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let to = to.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| passed_on(to.clone(), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn passed_on(to: Url, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, reqwest::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let url = to.join(path.trim_start_matches("/api/v3")).expect("an address");
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let client = HttpClients::default().to(&url)?;
    let mut request = client.request(parts.method, url).body(body);
    for name in ["authorization", "accept", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await?;
    let mut response = Response::builder().status(answer.status());
    if let Some(link) = answer.headers().get("link") {
        response = response.header("link", link);
    }
    Ok(response.body(Full::new(answer.bytes().await?)).expect("a response"))
}

#[tokio::test]
async fn a_pull_request_goes_its_way_at_an_emulator_of_others() {
    let test = "a_pull_request_goes_its_way_at_an_emulator_of_others";
    let Some(emulator) = Emulator::start("blog", test).await else { return };
    let (address, _front) = front(&emulator).await;
    let source = TokenSource::Here(Some(Secret::new(TOKEN)));
    let host = format!("github:http://{address}");
    let (forges, _) = forges(&host, source, settings(), &Clock::system());
    let repository = Repository::parse(&format!("{address}/me/blog")).expect("a repository");
    let client = forges.of(&repository).await.expect("a client");

    let info = client.repository().await.expect("a repository");
    assert_eq!((info.path.as_str(), info.default_branch.as_str()), ("me/blog", "main"));
    assert_eq!(client.login().await, Ok(Some("me".to_owned())));
    let sha = emulator.branch("mimir/fix").await;
    assert_eq!(client.find_pull("mimir/fix").await, Ok(None));
    let pull = client.open_pull(&new_pull("mimir/fix", false)).await.expect("opened");
    assert_eq!(
        (pull.head_sha.as_str(), pull.head_ref.as_str(), pull.state),
        (sha.as_str(), "mimir/fix", OpenState::Open)
    );
    assert_eq!(client.open_pull(&new_pull("mimir/fix", false)).await.expect("there").number, pull.number);
    let edited = client.edit_pull(pull.number, Some("Mend it well"), None).await.expect("edited");
    assert_eq!(edited.title, "Mend it well");

    let said = client.comment(pull.number, "Look at this.", "run-1/look").await.expect("said");
    let again = client.comment(pull.number, "Look at this.", "run-1/look").await.expect("said before");
    assert_eq!((said.id, said.kind), (again.id, CommentKind::Issue));
    let path = format!("/pulls/{}/reviews", pull.number);
    let review = json!({"event": "APPROVE", "body": "Good.", "commit_id": sha});
    emulator.of(ANNS, Method::POST, &path, review).await;
    let reviews = client.reviews(pull.number).await.expect("reviews");
    assert_eq!(reviews.len(), 1, "{reviews:?}");
    assert_eq!((reviews[0].author.as_str(), reviews[0].state), ("ann", ReviewState::Approved));
    let comments = client.comments(pull.number).await.expect("comments");
    let kinds: Vec<_> = comments.iter().map(|comment| comment.kind).collect();
    assert!(kinds.contains(&CommentKind::Issue) && kinds.contains(&CommentKind::Review), "{comments:?}");

    let stale = "0123456789012345678901234567890123456789";
    assert_eq!(client.merge(pull.number, &to_main(stale, MergeMethod::Merge)).await, Ok(Merged::HeadMoved));
    let merged = client.merge(pull.number, &to_main(&sha, MergeMethod::Merge)).await.expect("an outcome");
    let Merged::Merged { sha: commit } = merged.clone() else { panic!("{merged:?}") };
    assert_eq!(client.merge(pull.number, &to_main(&sha, MergeMethod::Merge)).await, Ok(merged), "once");
    let seen = client.pull(pull.number).await.expect("there");
    assert_eq!((seen.merged, seen.merge_commit), (true, Some(commit)));
    client.delete_branch("mimir/fix").await.expect("gone");
    client.delete_branch("mimir/fix").await.expect("gone already");
}

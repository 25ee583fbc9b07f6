//! Agents that nobody has met: worked with where the contract holds, refused with the reason where not, never waited
//! for without an end.

use std::time::{Duration, Instant};

use mimir::opencode::{Health, OpencodeError};
use serde_json::json;

use super::stranger::{Asked, Play, Stranger, json as answer, text};

const SOON: Duration = Duration::from_secs(5);

/// A healthy agent of that version with everything that is looked for, but for what `special` says.
async fn agent(
    version: &'static str,
    special: impl Fn(&Asked) -> Option<Play> + Send + Sync + 'static,
) -> Stranger {
    Stranger::start(move |asked: &Asked| {
        let usual = || match asked.line.as_str() {
            _ if !asked.with_password => text(401, "text/plain", "Unauthorized"),
            "GET /global/health" => answer(200, &json!({"healthy": true, "version": version})),
            "GET /session/status" => answer(200, &json!({})),
            "GET /session" | "GET /permission" | "GET /question" => answer(200, &json!([])),
            line if line.starts_with("POST ") => answer(400, &json!({"name": "BadRequest"})),
            _ => answer(404, &json!({"name": "NotFoundError"})),
        };
        Some(vec![special(asked).unwrap_or_else(usual)])
    })
    .await
}

async fn meet(stranger: &Stranger) -> Result<Health, OpencodeError> {
    let client = stranger.client();
    let health = client.health(SOON).await?;
    client.agree(&health, SOON).await.map(|()| health)
}

fn why(refusal: &Result<Health, OpencodeError>) -> String {
    let Err(error @ OpencodeError::WrongVersion { .. }) = refusal else { panic!("not refused: {refusal:?}") };
    error.to_string()
}

#[tokio::test]
async fn a_release_that_nobody_met_works_where_the_contract_holds() {
    let health = meet(&agent("1.99.0", |_| None).await).await.expect("an agent to work with");
    assert_eq!((health.version.as_str(), health.dialect.tested), ("1.99.0", false));
    meet(&agent("1.18.33", |_| None).await).await.expect("a known one too");
}

#[tokio::test]
async fn a_release_that_lacks_something_is_refused_with_its_name() {
    let page = || text(200, "text/html", "<!doctype html><title>opencode</title>");
    for (line, name) in [
        ("GET /session", "`sessions`"),
        ("GET /session/status", "`status`"),
        ("GET /permission", "`permissions`"),
        ("GET /question", "`questions`"),
        ("POST /session/ses_mimir/prompt_async", "`prompt`"),
        ("POST /permission/per_mimir/reply", "`answer permission`"),
        ("POST /question/que_mimir/reply", "`answer question`"),
    ] {
        let lacking =
            agent("1.99.0", move |asked| (asked.with_password && asked.line == line).then(page)).await;
        let said = why(&meet(&lacking).await);
        assert!(said.contains("opencode 1.99.0") && said.contains(name), "{line}: {said}");
        let gone =
            move |asked: &Asked| (asked.line == line).then(|| text(404, "text/plain", "404 Not Found"));
        let said = why(&meet(&agent("1.99.0", gone).await).await);
        assert!(said.contains("opencode 1.99.0"), "{line}: {said}");
    }
}

#[tokio::test]
async fn versions_that_cannot_be_spoken_with_are_refused_at_once() {
    for (version, reason) in [
        ("2.0.1", "1.x"),
        ("1.1.11", "password"),
        ("0.15.0", "1.x"),
        ("", "which release"),
        ("dev", "which release"),
    ] {
        let said = why(&meet(&agent(version, |_| None).await).await);
        assert!(said.contains(reason), "{version}: {said}");
    }
}

/// Trap 23 of docs/traps.md.
#[tokio::test]
async fn an_agent_that_lets_everybody_in_is_refused() {
    let open = |asked: &Asked| {
        (asked.line == "GET /global/health")
            .then(|| answer(200, &json!({"healthy": true, "version": "1.18.33"})))
    };
    let said = why(&meet(&agent("1.18.33", open).await).await);
    assert!(said.contains("without its password"), "{said}");
}

/// As 1.0.x answer: a plain 404, or the attempt to ask a page on the Internet.
#[tokio::test]
async fn an_agent_from_before_the_question_of_health_is_recognised() {
    let document = || answer(200, &json!({"info": {"title": "opencode"}, "paths": {"/session": {}}}));
    for unknown in
        [(404, "404 Not Found"), (500, r#"{"name":"UnknownError","data":{"message":"Unable to connect"}}"#)]
    {
        let old = agent("", move |asked| match asked.line.as_str() {
            "GET /global/health" => Some(text(unknown.0, "text/plain", unknown.1)),
            "GET /doc" => Some(document()),
            _ => None,
        });
        let said = why(&meet(&old.await).await);
        assert!(said.contains("1.0 or older"), "{said}");
    }
    let another = agent("", |asked| {
        (asked.line == "GET /global/health").then(|| text(404, "text/plain", "nothing here"))
    });
    let other = meet(&another.await).await;
    assert!(matches!(other, Err(OpencodeError::NotFound { .. })), "no guess without a sign: {other:?}");
}

#[tokio::test]
async fn a_negotiation_ends_whatever_the_agent_does() {
    for line in ["GET /session", "GET /question", "POST /permission/per_mimir/reply"] {
        let deaf = agent("1.99.0", move |asked| (asked.line == line).then_some(Play::Hang)).await;
        let client = deaf.client();
        let health = client.health(SOON).await.expect("healthy");
        let begun = Instant::now();
        let waited = client.agree(&health, Duration::from_millis(400)).await;
        assert!(matches!(waited, Err(OpencodeError::Silent { .. })), "{line}: {waited:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{line}: {:?}", begun.elapsed());
    }
    let deaf = agent("1.18.33", |_| Some(Play::Hang)).await;
    let silent = deaf.client().health(Duration::from_millis(200)).await;
    assert!(matches!(silent, Err(OpencodeError::Silent { .. })), "{silent:?}");
}

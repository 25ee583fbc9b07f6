//! What agents ask people.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::approvals::Approvals;
use crate::frames::Frames;
use crate::gateway::extract::{Caller, JsonBody, QueryParams, frame_name};
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::views;
use crate::model::approval::{ApprovalState, Decision};
use crate::store::{self, Store, StoreError};
use crate::wire::approvals::{AnswerApproval, ApprovalView, Policy, Say};

routes! {
    get "/v1/approvals" Read Query => list;
    get "/v1/approvals/{id}" Read Approval => show;
    post "/v1/approvals/{id}/answer" Approve Approval => answer;
    get "/v1/frames/{name}/policy" Read Path => policy;
    put "/v1/frames/{name}/policy" Frames Path => set_policy;
}

/// How many of those that are over a list shows.
const LISTED: u32 = 200;
/// The longest reason or answer.
const LONGEST_WORDS: usize = 64 * 1024;

/// Which approvals.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ApprovalQuery {
    /// Only of this frame, by name; also of one that is gone.
    pub frame: Option<String>,
    /// Also those that are over, newest first.
    #[serde(default)]
    pub all: bool,
}

/// What agents wait for, oldest first.
///
/// This is courtesy, not a boundary: the agent says itself what it is about to do, from inside its frame, and code in
/// the frame can act without asking. Limits that must hold are held outside the frame: its network mode, its limits,
/// the folders it is given.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalQuery),
    responses((status = 200, body = Vec<ApprovalView>)))]
pub async fn list(
    State(store): State<Store>,
    QueryParams(query): QueryParams<ApprovalQuery>,
) -> Answer<Json<Vec<ApprovalView>>> {
    let frame = query.frame.as_deref().map(frame_name).transpose()?;
    let found = store
        .read(move |db| {
            if query.all {
                return store::approvals::list(db, frame.as_ref(), LISTED);
            }
            let mut open = store::approvals::open(db, None)?;
            open.retain(|prompt| frame.as_ref().is_none_or(|name| *name == prompt.frame_name));
            Ok(open)
        })
        .await?;
    Ok(Json(found.into_iter().map(views::approval).collect()))
}

/// Something that an agent asks or asked. The id may be shortened to its end.
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals", params(("id" = String, Path)),
    responses((status = 200, body = ApprovalView)))]
pub async fn show(State(approvals): State<Approvals>, Path(id): Path<String>) -> Answer<Json<ApprovalView>> {
    Ok(Json(views::approval(approvals.find(&id).await?)))
}

/// Answers it. Whoever is first decides; others get 409 and what became of it.
///
/// 202 when the agent could not be told yet; that is tried again by itself. This is courtesy, not a boundary: see the
/// list.
#[utoipa::path(post, path = "/v1/approvals/{id}/answer", tag = "approvals", params(("id" = String, Path)),
    request_body = AnswerApproval,
    responses((status = 200, body = ApprovalView), (status = 202, body = ApprovalView)))]
pub async fn answer(
    State(approvals): State<Approvals>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<AnswerApproval>,
) -> Answer<(StatusCode, Json<ApprovalView>)> {
    let decision = decision(request)?;
    let prompt = approvals.find(&id).await?;
    let prompt = approvals.answer(&principal, &prompt.id, decision).await?;
    let status = if prompt.state == ApprovalState::Answering { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(views::approval(prompt))))
}

fn decision(request: AnswerApproval) -> Answer<Decision> {
    let words = request.answers.iter().flatten().chain(&request.why).map(String::len).sum::<usize>();
    if words > LONGEST_WORDS {
        return Err(Reply::bad_request("approval.answer", "the answer is too long").hint("say it shorter"));
    }
    let misplaced = |what: &str, with: &str| {
        Err(Reply::bad_request("approval.answer", format!("`{what}` stands only with `{with}`")))
    };
    match request.decision {
        Say::Reject if request.answers.is_empty() => {
            Ok(Decision::Reject { why: request.why.filter(|why| !why.trim().is_empty()) })
        }
        _ if request.why.is_some() => misplaced("why", "reject"),
        Say::Answer => Ok(Decision::Answer { answers: request.answers }),
        _ if !request.answers.is_empty() => misplaced("answers", "answer"),
        Say::Once => Ok(Decision::Once),
        Say::Always => Ok(Decision::Always),
        Say::Reject => misplaced("answers", "answer"),
    }
}

/// The rules of a frame, which come behind the configured ones.
#[utoipa::path(get, path = "/v1/frames/{name}/policy", tag = "approvals", params(("name" = String, Path)),
    responses((status = 200, body = Policy)))]
pub async fn policy(State(frames): State<Frames>, State(store): State<Store>, Path(name): Path<String>) -> Answer<Json<Policy>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let rules = store.read(move |db| store::approvals::rules_of(db, &frame.id)).await?;
    Ok(Json(Policy { rules }))
}

/// Gives a frame other rules. They hold for what is asked from now on; tools that no rule covered before are asked for
/// after the next start of the frame.
#[utoipa::path(put, path = "/v1/frames/{name}/policy", tag = "approvals", params(("name" = String, Path)),
    request_body = Policy, responses((status = 200, body = Policy)))]
pub async fn set_policy(
    State(frames): State<Frames>, State(store): State<Store>,
    Caller(principal): Caller,
    Path(name): Path<String>,
    JsonBody(policy): JsonBody<Policy>,
) -> Answer<Json<Policy>> {
    let frame = frames.get(&frame_name(&name)?).await?;
    let written = policy.clone();
    store
        .write(move |tx| {
            store::approvals::set_rules(tx, &frame.id, &written.rules)?;
            let lines: Vec<String> = written.rules.iter().map(crate::model::policy::Rule::line).collect();
            let detail = serde_json::json!({"rules": lines});
            tx.audit(&principal, "frame.policy", frame.name.as_str(), &detail)
        })
        .await
        .map_err(|error: StoreError| Reply::from(error))?;
    Ok(Json(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(decision: Say, why: Option<&str>, answers: &[&str]) -> AnswerApproval {
        let answers = answers.iter().map(|text| vec![(*text).to_owned()]).collect();
        AnswerApproval { decision, why: why.map(str::to_owned), answers }
    }

    #[test]
    fn words_that_do_not_belong_to_the_decision_are_refused() {
        assert_eq!(decision(said(Say::Once, None, &[])).ok(), Some(Decision::Once));
        assert_eq!(
            decision(said(Say::Reject, Some(" "), &[])).ok(),
            Some(Decision::Reject { why: None }),
            "an empty reason is none"
        );
        for wrong in [
            said(Say::Once, Some("x"), &[]),
            said(Say::Always, None, &["x"]),
            said(Say::Reject, None, &["x"]),
            said(Say::Answer, Some("x"), &["x"]),
            said(Say::Answer, None, &[&"x".repeat(70_000)]),
        ] {
            assert!(decision(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}

//! What may be spent, and what was; prices; the pause of all spending.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::budget::{BudgetTarget, Budgets};
use crate::gateway::extract::{Caller, JsonBody, JsonList, QueryParams};
use crate::gateway::problem::{Answer, Reply};
use crate::model::budget::{BudgetPeriod, BudgetScope};
use crate::store::usage::Share;
use crate::wire::budgets::{BudgetView, PriceView, SetBudget, ShareView, Spending, SpendingPaused};

routes! {
    get "/v1/budgets" Read All => spending;
    post "/v1/budgets" Admin All => set;
    delete "/v1/budgets" Admin All => remove;
    post "/v1/budgets/pause" Admin All => pause;
    post "/v1/budgets/resume" Admin All => resume;
    get "/v1/prices" Read NoFrame => prices;
    post "/v1/prices" Admin All => set_prices;
}

/// How far back is looked.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// How many days, today included; 30 when absent.
    #[serde(default = "month")]
    #[param(minimum = 1, maximum = 3660, default = 30)]
    pub days: u32,
}

fn month() -> u32 {
    30
}

/// Which budget.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Whose.
    #[param(inline)]
    pub scope: BudgetScope,
    /// The name of the frame or project, the id of the session or run; none for the home.
    pub subject: Option<String>,
    /// In which time; `total` when absent.
    #[serde(default)]
    #[param(inline)]
    pub period: BudgetPeriod,
}

/// Budgets as they stand, and what was spent by frame, project, model and day.
#[utoipa::path(get, path = "/v1/budgets", tag = "budgets", params(Days), responses((status = 200, body = Spending)))]
pub async fn spending(
    State(budgets): State<Budgets>,
    QueryParams(Days { days }): QueryParams<Days>,
) -> Answer<Json<Spending>> {
    if !(1..=3660).contains(&days) {
        return Err(Reply::bad_request("request.value", "days must be from 1 to 3660")
            .hint("for example `mimir budget show --days 7`"));
    }
    let (standings, charts) = (budgets.list().await?, budgets.charts(days).await?);
    let view = |shares: Vec<Share>| shares.into_iter().map(share).collect();
    Ok(Json(Spending {
        paused: budgets.is_paused().await?,
        budgets: standings.into_iter().map(BudgetView::from).collect(),
        days,
        by_frame: view(charts.frames),
        by_project: view(charts.projects),
        by_model: view(charts.models),
        by_day: view(charts.days),
    }))
}

fn share(share: Share) -> ShareView {
    ShareView {
        name: share.name,
        call_count: share.calls,
        unpriced_count: share.unpriced,
        estimated_count: share.estimated,
        cost_microusd: share.cost_microusd,
    }
}

/// Sets a budget. Answers with all budgets of its subject as they stand.
#[utoipa::path(post, path = "/v1/budgets", tag = "budgets", request_body = SetBudget,
    responses((status = 200, body = Vec<BudgetView>)))]
pub async fn set(
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
    JsonBody(request): JsonBody<SetBudget>,
) -> Answer<Json<Vec<BudgetView>>> {
    let target = target(request.scope, request.subject, request.period)?;
    if request.limit_microusd > Some(1_000_000_000_000) {
        return Err(Reply::bad_request("budget.limit", "a budget is at most 1000000 US dollars")
            .hint("for example `mimir budget set 25 --per day`"));
    }
    let standings = budgets.set(&principal, target, request.limit_microusd).await?;
    Ok(Json(standings.into_iter().map(BudgetView::from).collect()))
}

/// Takes a budget away; what the configuration has holds again. Answers as setting one does.
#[utoipa::path(delete, path = "/v1/budgets", tag = "budgets", params(Which),
    responses((status = 200, body = Vec<BudgetView>)))]
pub async fn remove(
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
    QueryParams(which): QueryParams<Which>,
) -> Answer<Json<Vec<BudgetView>>> {
    let target = target(which.scope, which.subject, which.period)?;
    let standings = budgets.remove(&principal, target).await?;
    Ok(Json(standings.into_iter().map(BudgetView::from).collect()))
}

fn target(scope: BudgetScope, subject: Option<String>, period: BudgetPeriod) -> Answer<BudgetTarget> {
    match (scope, subject) {
        (BudgetScope::Home, None) => Ok(BudgetTarget { scope, name: String::new(), period }),
        (BudgetScope::Home, Some(_)) => {
            Err(Reply::conflict("budget.subject", "the budget of the home has no subject")
                .hint("for example `mimir budget set 25 --per day`"))
        }
        (_, None) => Err(Reply::conflict("budget.subject", format!("which {scope}?"))
            .hint("for example `mimir budget set 5 --frame blog`")),
        (_, Some(name)) => Ok(BudgetTarget { scope, name, period }),
    }
}

/// Stops all spending: running model calls are cut, new ones refused, over restarts. Messages that wait go on waiting.
#[utoipa::path(post, path = "/v1/budgets/pause", tag = "budgets", responses((status = 200, body = SpendingPaused)))]
pub async fn pause(
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
) -> Answer<Json<SpendingPaused>> {
    let (changed, cut) = budgets.pause(&principal).await?;
    Ok(Json(SpendingPaused { paused: true, changed, cut_count: cut as u64 }))
}

/// Lets spending go on.
#[utoipa::path(post, path = "/v1/budgets/resume", tag = "budgets", responses((status = 200, body = SpendingPaused)))]
pub async fn resume(
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
) -> Answer<Json<SpendingPaused>> {
    let changed = budgets.resume(&principal).await?;
    Ok(Json(SpendingPaused { paused: false, changed, cut_count: 0 }))
}

/// What models cost, as far as it is known.
#[utoipa::path(get, path = "/v1/prices", tag = "budgets", responses((status = 200, body = Vec<PriceView>)))]
pub async fn prices(State(budgets): State<Budgets>) -> Json<Vec<PriceView>> {
    Json(budgets.prices().into_iter().map(PriceView::from).collect())
}

/// Sets prices, for calls from now on. They win over those that mimir carries.
#[utoipa::path(post, path = "/v1/prices", tag = "budgets", request_body = Vec<PriceView>,
    responses((status = 200, body = Vec<PriceView>)))]
pub async fn set_prices(
    State(budgets): State<Budgets>,
    Caller(principal): Caller,
    JsonList(rows): JsonList<PriceView>,
) -> Answer<Json<Vec<PriceView>>> {
    let rows: Vec<_> = rows.into_iter().map(crate::model::usage::PriceRow::from).collect();
    budgets.set_prices(&principal, rows.clone()).await?;
    Ok(Json(rows.into_iter().map(PriceView::from).collect()))
}

//! The routes of budgets, prices and the pause.

use hyper::Method;
use mimir_model::budget::{BudgetPeriod, BudgetScope};

use super::error::ClientError;
use super::http::Call;
use super::routes::{GatewayClient, with_body};
use mimir_model::wire::budgets::{BudgetView, PriceView, SetBudget, Spending, SpendingPaused};

impl GatewayClient {
    /// `GET /v1/budgets`: with what was spent in so many days.
    ///
    /// # Errors
    /// See [`ClientError`]; the same holds for every method below.
    pub async fn spending(&self, days: u32) -> Result<Spending, ClientError> {
        self.get(format!("/v1/budgets?days={days}")).await
    }

    /// `POST /v1/budgets`
    pub async fn set_budget(&self, budget: &SetBudget) -> Result<Vec<BudgetView>, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/budgets"), budget)?;
        self.json(call).await.map(|(_, value)| value)
    }

    /// `DELETE /v1/budgets`
    pub async fn remove_budget(
        &self,
        scope: BudgetScope,
        subject: Option<&str>,
        period: BudgetPeriod,
    ) -> Result<Vec<BudgetView>, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("scope", scope.as_str()).append_pair("period", period.as_str());
        if let Some(subject) = subject {
            query.append_pair("subject", subject);
        }
        let call = Call::new(Method::DELETE, format!("/v1/budgets?{}", query.finish()));
        self.json(call).await.map(|(_, value)| value)
    }

    /// `POST /v1/budgets/pause`, `POST /v1/budgets/resume`
    pub async fn pause_spending(&self, pause: bool) -> Result<SpendingPaused, ClientError> {
        let path = if pause { "/v1/budgets/pause" } else { "/v1/budgets/resume" };
        self.json(Call::new(Method::POST, path)).await.map(|(_, value)| value)
    }

    /// `GET /v1/prices`
    pub async fn prices(&self) -> Result<Vec<PriceView>, ClientError> {
        self.get("/v1/prices".to_owned()).await
    }

    /// `POST /v1/prices`
    pub async fn set_prices(&self, prices: &[PriceView]) -> Result<Vec<PriceView>, ClientError> {
        let call = with_body(Call::new(Method::POST, "/v1/prices"), &prices)?;
        self.json(call).await.map(|(_, value)| value)
    }
}

//! What a forge sent to a webhook, as its own list has it, and what it is asked to send again.

use reqwest::Method;

use super::call::Call;
use super::{Forge, ForgeError, received};
use crate::model::forge::HookDelivery;
use crate::model::git::ForgeKind;

impl Forge {
    /// What a hook of the repository was sent since that time, the newest first. GitHub keeps it for three days.
    ///
    /// # Errors
    /// See [`ForgeError`]; [`ForgeError::Refused`] where there is no such list (Gitea).
    pub async fn deliveries(&self, hook: u64, since_ms: u64) -> Result<Vec<HookDelivery>, ForgeError> {
        self.must_list()?;
        let url = self.at(&["hooks", &hook.to_string(), "deliveries"]);
        let call = Call::get(url, format!("what hook {hook} was sent"));
        let goes_on = |last: super::json::Json<'_>| {
            last.at("/delivered_at").time().is_none_or(|delivered| delivered >= since_ms)
        };
        let (found, _) = self.transport().pages(call, "", goes_on).await?;
        Ok(found.iter().filter_map(received::delivery).filter(|it| it.at >= since_ms).collect())
    }

    /// Asks for one to be sent again. It comes under the same `guid`.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn redeliver(&self, hook: u64, delivery: u64) -> Result<(), ForgeError> {
        self.must_list()?;
        let url = self.at(&["hooks", &hook.to_string(), "deliveries", &delivery.to_string(), "attempts"]);
        let call = Call::change(Method::POST, url, None, format!("delivery {delivery} of hook {hook}"));
        self.transport().value(&call).await.map(drop)
    }

    fn must_list(&self) -> Result<(), ForgeError> {
        match self.transport().kind {
            ForgeKind::Github => Ok(()),
            ForgeKind::Gitea => Err(ForgeError::Refused(format!(
                "{} keeps no list of what it sent to webhooks",
                self.transport().host()
            ))),
        }
    }
}

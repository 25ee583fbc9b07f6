//! Whether an agent may be worked with: it keeps strangers out, and answers what we are going to ask.
//!
//! A release that the contract was run against is only asked for its password. Any other one is asked once for
//! everything that a message needs, with requests that change nothing; what it lacks is the reason of the refusal.
//!
//! Not here: how releases differ (see [`super::dialect`]).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::call::Call;
use super::{Health, OpencodeClient, OpencodeError, call, wire};

/// No session, permission or question ever has such an id.
const NOBODY: &str = "ses_mimir";

/// One knock without a password. Short, for the same reason as a try of `health`.
const KNOCK: Duration = Duration::from_secs(1);

impl OpencodeClient {
    /// Makes sure that this agent may be worked with. Ends within `within` whatever it does.
    ///
    /// # Errors
    /// [`OpencodeError::WrongVersion`] is final and says what it lacks; the others are worth another try.
    pub async fn agree(&self, health: &Health, within: Duration) -> Result<(), OpencodeError> {
        let all = async {
            self.keeps_strangers_out(health, within).await?;
            if health.dialect.tested { Ok(()) } else { self.holds_the_contract(health).await }
        };
        let late = OpencodeError::Silent { call: "contract", waited: within };
        tokio::time::timeout(within, all).await.unwrap_or(Err(late))
    }

    /// Whoever reaches the port of an agent without a password may do everything that we may.
    async fn keeps_strangers_out(&self, health: &Health, within: Duration) -> Result<(), OpencodeError> {
        if self.authorization.reveal().is_empty() {
            // Somebody else's server, and whoever connected it knows that it asks for nothing.
            return Ok(());
        }
        let knock = Call::get("health", "/global/health").within(within.min(KNOCK));
        match call::whole(&self.connector, "", &knock, &self.known.now()).await {
            Err(OpencodeError::WrongPassword) => Ok(()),
            Ok(_) => Err(unfit(health, "it answers without its password".to_owned())),
            Err(error) if error.is_passing() => Err(error),
            // Whatever it said, it was not what we get.
            Err(_) => Ok(()),
        }
    }

    async fn holds_the_contract(&self, health: &Health) -> Result<(), OpencodeError> {
        let is_fit = |answer: Result<(), OpencodeError>| match answer {
            Err(error) if !error.is_passing() => Err(unfit(health, error.to_string())),
            answer => answer,
        };
        is_fit(
            self.ask::<Vec<wire::Session>>(Call::get("sessions", "/session?roots=true&limit=1"))
                .await
                .map(drop),
        )?;
        is_fit(
            self.ask::<BTreeMap<String, wire::Status>>(Call::get("status", "/session/status"))
                .await
                .map(drop),
        )?;
        is_fit(self.ask::<Vec<wire::Permission>>(Call::get("permissions", "/permission")).await.map(drop))?;
        is_fit(self.ask::<Vec<wire::Question>>(Call::get("questions", "/question")).await.map(drop))?;
        is_fit(self.takes("prompt", format!("/session/{NOBODY}/prompt_async")).await)?;
        is_fit(self.takes("answer permission", "/permission/per_mimir/reply".to_owned()).await)?;
        is_fit(self.takes("answer question", "/question/que_mimir/reply".to_owned()).await)
    }

    /// Whether there is such a call: one that is there refuses an empty body, one that is not is answered by
    /// something else (a page, "not found", an attempt to ask the Internet).
    async fn takes(&self, name: &'static str, path: String) -> Result<(), OpencodeError> {
        match self.ask::<Value>(Call::post(name, path, json!({}))).await {
            Err(OpencodeError::Refused { status: 400 | 422, .. }) => Ok(()),
            Ok(_) => Err(super::unreadable(name, "it took an empty one")),
            Err(error) => Err(error),
        }
    }

    /// An agent that answers, but not as a healthy one: is it a release from before there was such a question?
    pub(super) async fn recognise(&self, within: Duration, error: OpencodeError) -> OpencodeError {
        if error.is_passing() {
            return error;
        }
        let document =
            self.ask::<Value>(Call::get("document", "/doc").within(within)).await.unwrap_or_default();
        if document["info"]["title"] == "opencode" && document["paths"].get("/global/health").is_none() {
            let why = "releases before 1.1.16 lack what mimir needs";
            return OpencodeError::WrongVersion { found: "1.0 or older".to_owned(), why: why.to_owned() };
        }
        error
    }
}

fn unfit(health: &Health, why: String) -> OpencodeError {
    OpencodeError::WrongVersion { found: health.version.clone(), why }
}

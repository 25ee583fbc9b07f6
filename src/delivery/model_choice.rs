//! Which model a message goes to that names none: decided when its turn comes, by the owner's rules, and kept in its row.

use std::collections::BTreeSet;

use super::{Delivery, SendError};
use crate::model::agent::{AgentSessionId, ModelRef};
use crate::model::event::EventKind;
use crate::model::frame::Frame;
use crate::model::message::Message;
use crate::model::names::FrameName;
use crate::model::routing::{Route, Routed, Tiers, Unrouted, route};
use crate::store::budgets::Defaults;
use crate::store::{Queryable, StoreError, Tx, budgets, frames, messages, projects, sessions};

/// What followers are told, as a note.
const ROUTED: &str = "model_route";

/// By what models are chosen.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// The first that fits decides.
    pub routes: Vec<Route>,
    /// The models of tiers.
    pub tiers: Tiers,
    /// Providers that every frame may use.
    pub providers: BTreeSet<String>,
    /// Budgets that hold where none is set.
    pub budgets: Defaults,
}

/// What would answer a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Which model; none of a server elsewhere, which chooses itself.
    pub model: Option<ModelRef>,
    /// By which rule; none when it is the usual model.
    pub route: Option<String>,
}

impl Delivery {
    /// Other rules from now on, for messages whose turn comes then.
    pub fn configure_routing(&self, routing: Routing) {
        self.inner.routing.set(routing);
    }

    /// Which model would answer such a message now. Sends nothing.
    ///
    /// # Errors
    /// [`SendError::NoFrame`].
    pub async fn explain_route(
        &self,
        frame: &FrameName,
        text: String,
        agent: Option<String>,
    ) -> Result<Explained, SendError> {
        let (routing, name) = (self.inner.routing.now(), frame.clone());
        let agent = agent.unwrap_or_else(|| self.inner.deps.settings.default_agent.clone());
        let now_ms = self.inner.deps.clock.now_ms();
        let found = self.inner.deps.store.read(move |db| {
            let Some(frame) = frames::find_by_name(db, &name)? else { return Ok(None) };
            let routed = decide(db, &routing, &frame, None, (agent.as_str(), text.as_str()), now_ms)?;
            Ok(Some((frame.engine.is_local(), routed)))
        });
        match found.await? {
            None => Err(SendError::NoFrame(frame.to_string())),
            Some((_, Some(Routed { model, why }))) => Ok(Explained { model: Some(model), route: Some(why) }),
            Some((is_local, None)) => {
                let usual = || self.inner.deps.settings.default_model.clone();
                Ok(Explained { model: is_local.then(usual), route: None })
            }
        }
    }
}

/// Decides for a message whose turn has come, and keeps it. Nothing where it names a model, or no rule fits.
pub(super) fn choose(
    tx: &mut Tx<'_>,
    routing: &Routing,
    message: &Message,
    default_agent: &str,
) -> Result<(), StoreError> {
    if message.model.is_some() || routing.routes.is_empty() {
        return Ok(());
    }
    let Some(frame) = frames::find(tx, &message.frame)? else { return Ok(()) };
    let session = sessions::get(tx, &message.session)?.agent_session;
    let agent = message.agent.as_deref().unwrap_or(default_agent);
    let what = (agent, message.text.as_str());
    let Some(Routed { model, why }) = decide(tx, routing, &frame, session.as_ref(), what, tx.now_ms())?
    else {
        return Ok(());
    };
    messages::set_route(tx, &message.id, &model, &why)?;
    let text = format!("{model} answers, by {why}");
    tx.emit(&messages::subject(message), &EventKind::FrameNote { code: ROUTED.into(), text }).map(drop)
}

/// What the rules say. Servers elsewhere have models of their own.
fn decide(
    ask: &impl Queryable,
    routing: &Routing,
    frame: &Frame,
    session: Option<&AgentSessionId>,
    (agent, text): (&str, &str),
    now_ms: u64,
) -> Result<Option<Routed>, StoreError> {
    if routing.routes.is_empty() || !frame.engine.is_local() {
        return Ok(None);
    }
    let project = match &frame.project {
        Some(id) => Some(projects::get(ask, id)?.name),
        None => None,
    };
    let payer = budgets::payer(ask, &frame.id, session)?;
    let standings = budgets::of_payer(ask, &payer, routing.budgets, now_ms)?;
    let providers = routing.providers.iter().chain(&frame.providers).cloned().collect();
    let message = Unrouted {
        project: project.as_ref(),
        agent,
        text,
        budget_left: standings.iter().map(|standing| standing.percent_left()).min(),
        providers: &providers,
    };
    Ok(route(&routing.routes, &routing.tiers, &message))
}

//! Tells people and programs outside what agents ask: a call that is signed, a note on the desktop.
//!
//! A call is a row before it is made, written with the change it tells of, so it
//! survives the gateway. The desktop is told as well as it can be: nothing depends
//! on it.
//!
//! Not here: what is asked and who may answer (see `approvals`).

mod desktop;
mod webhook;

use std::sync::Arc;

use tokio::sync::Notify as Bell;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::model::approval::{ApprovalRequest, AskBody};
use crate::model::event::EventKind;
use crate::model::secret::Secret;
use crate::model::visible::exact;
use crate::outbound::HttpClients;
use crate::store::{Store, StoreError, Tx};
use crate::supervisor::failpoint::Failpoints;

pub use desktop::session_bus;
pub use webhook::Pace;

/// Somebody who is called.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Where.
    pub url: Url,
    /// What calls are signed with: `whsec_` and base64.
    pub secret: Secret,
}

/// What the configuration says about telling.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who is called.
    pub hooks: Vec<Hook>,
    /// The session bus, when the desktop is to be told.
    pub bus: Option<String>,
    /// How patient we are with those who are called.
    pub pace: Pace,
}

/// Tells. Cheap to clone; the default tells nobody.
#[derive(Clone, Default)]
pub struct Notifier {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    settings: Settings,
    http: HttpClients,
    desktop: desktop::Desktop,
    bell: Bell,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Notifier {
    /// Makes the service; [`Notifier::run`] makes the calls.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let desktop = desktop::Desktop::new(settings.bus.clone());
        Self { inner: Arc::new(Inner { settings, http: HttpClients::default(), desktop, bell: Bell::new() }) }
    }

    /// Notes the calls that tell of this, in the transaction of the change.
    ///
    /// # Errors
    /// Whatever the database says.
    pub fn note(
        &self,
        tx: &mut Tx<'_>,
        prompt: &ApprovalRequest,
        what: &EventKind,
    ) -> Result<(), StoreError> {
        for hook in &self.inner.settings.hooks {
            webhook::note(tx, hook, prompt, what)?;
        }
        Ok(())
    }

    /// The change is saved: makes the calls, and tells the desktop.
    pub fn told(&self, prompt: &ApprovalRequest) {
        self.inner.bell.notify_one();
        if prompt.state.is_open() {
            self.inner.desktop.show(prompt.id.as_str(), title(prompt), body(prompt));
        } else {
            self.inner.desktop.close(prompt.id.as_str());
        }
    }

    /// Makes calls until it is stopped.
    pub async fn run(&self, store: Store, clock: Clock, failpoints: Failpoints, stop: CancellationToken) {
        let Inner { settings, http, bell, .. } = &*self.inner;
        let caller =
            webhook::Caller { settings, http, store: &store, clock: &clock, failpoints: &failpoints };
        tokio::select! {
            () = webhook::run(&caller, bell) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn title(prompt: &ApprovalRequest) -> String {
    match &prompt.ask.body {
        AskBody::Permission { tool, .. } => {
            format!("{}: may the agent use {}?", prompt.frame_name, exact(tool))
        }
        AskBody::Question { .. } => format!("{}: the agent has a question", prompt.frame_name),
    }
}

fn body(prompt: &ApprovalRequest) -> String {
    format!("{}\n{}", exact(&prompt.ask.line()), prompt.command())
}

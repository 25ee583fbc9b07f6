//! Tells people and programs outside what agents ask: a call that is signed, a note on the desktop.
//!
//! It reads the events of approvals, of runs that want a person, and of budgets for the desktop, as a durable consumer. A call is a row before it is made, written together with
//! how far was read, so a gateway that dies in between neither forgets it nor notes it twice. The desktop is told as
//! well as it can be: nothing depends on it.
//!
//! Not here: what is asked and who may answer (see `approvals`).

mod desktop;
mod run;
mod webhook;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify as Bell;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::events::{Consumer, EventHandler, Filter};
use crate::model::approval::{ApprovalRequest, ApprovalState, AskBody};
use crate::model::event::{Event, EventKind};
use crate::model::ids::ApprovalId;
use crate::model::secret::Secret;
use crate::model::visible::exact;
use crate::outbound::HttpClients;
use crate::store::{Store, StoreError, Tx, approvals};
use crate::supervisor::Service;
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

/// What the service needs.
pub struct NotifierDeps {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where tests let it die.
    pub failpoints: Failpoints,
    /// Who is told.
    pub settings: Settings,
}

/// Tells. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

struct Inner {
    deps: NotifierDeps,
    http: HttpClients,
    desktop: desktop::Desktop,
    bell: Bell,
    /// Requests as they were when a page of events was dealt with, until the desktop is told.
    changes: Mutex<HashMap<ApprovalId, ApprovalRequest>>,
}

impl Notifier {
    /// Makes the service; nobody is told before it runs.
    #[must_use]
    pub fn new(deps: NotifierDeps) -> Self {
        let desktop = desktop::Desktop::new(deps.settings.bus.clone());
        let (http, bell, changes) = (HttpClients::default(), Bell::new(), Mutex::default());
        Self { inner: Arc::new(Inner { deps, http, desktop, bell, changes }) }
    }
}

impl Service for Notifier {
    const NAME: &'static str = "webhooks";

    /// Reads events and makes calls until it is stopped.
    async fn run(&self, stop: CancellationToken) {
        let Inner { deps: NotifierDeps { store, clock, failpoints, settings }, http, bell, .. } =
            &*self.inner;
        let filter = Filter {
            kinds: ["prompt.asked", "prompt.answered", "budget.warning", "run.moved", "schedule.paused"]
                .map(Into::into)
                .to_vec(),
            ..Filter::default()
        };
        let reader = Consumer::new(store.clone(), "notify", filter, self.clone(), failpoints.clone());
        let caller = webhook::Caller { settings, http, store, clock, failpoints };
        tokio::select! {
            () = webhook::run(&caller, bell) => {}
            () = reader.run(stop.clone()) => {}
            () = stop.cancelled() => {}
        }
    }
}

impl EventHandler for Notifier {
    fn handle(&self, tx: &mut Tx<'_>, event: &Event) -> Result<(), StoreError> {
        if let Some(told) = run::told(event) {
            for hook in self.inner.deps.settings.hooks.iter().filter(|_| told.wants_a_person) {
                webhook::note_run(tx, hook, &told, event)?;
            }
            return Ok(());
        }
        let Some(id) = told_of(event) else { return Ok(()) };
        let prompt = match approvals::get(tx, &id) {
            Err(StoreError::NotFound { .. }) => return Ok(()),
            found => found?,
        };
        for hook in &self.inner.deps.settings.hooks {
            webhook::note(tx, hook, &prompt, event)?;
        }
        let mut changes = self.inner.changes.lock();
        changes.insert(prompt.id.clone(), prompt);
        Ok(())
    }

    fn handled(&self, page: &[Event]) {
        self.inner.bell.notify_one();
        for event in page {
            if let EventKind::BudgetWarning { whose, is_used_up, text, .. } = &event.what {
                let how = if *is_used_up { "is used up" } else { "comes to its end" };
                let key = format!("budget {}", event.id);
                self.inner.desktop.show(&key, format!("the budget of {whose} {how}"), exact(text));
            }
        }
        for event in page {
            if let EventKind::SchedulePaused { schedule, reason } = &event.what {
                let key = format!("schedule {}", event.id);
                self.inner.desktop.show(&key, format!("the schedule {schedule} is paused"), exact(reason));
            }
        }
        for told in page.iter().filter_map(run::told) {
            match told.wants_a_person {
                true => self.inner.desktop.show(told.run, told.title(), told.body()),
                false => self.inner.desktop.close(told.run),
            }
        }
        for id in page.iter().filter_map(told_of) {
            let Some(prompt) = self.inner.changes.lock().remove(&id) else { continue };
            if prompt.state == ApprovalState::Pending {
                self.inner.desktop.show(prompt.id.as_str(), title(&prompt), body(&prompt));
            } else {
                self.inner.desktop.close(prompt.id.as_str());
            }
        }
    }
}

/// Which request an event tells people of. They hear nothing of the end of what a rule decided: they never heard
/// its beginning.
fn told_of(event: &Event) -> Option<ApprovalId> {
    let id = match &event.what {
        EventKind::PromptAsked { id, .. } => id.as_deref()?,
        EventKind::PromptAnswered { id, by, .. } if by.as_deref() != Some("policy") => id.as_deref()?,
        _ => return None,
    };
    ApprovalId::parse(id).ok()
}

fn title(prompt: &ApprovalRequest) -> String {
    match &prompt.ask.body {
        AskBody::Permission { tool, .. } => {
            format!("{}: may the agent use {}?", prompt.frame_name, exact(tool))
        }
        AskBody::Question { .. } => format!("{}: the agent has a question", prompt.frame_name),
        AskBody::Connection { listed, .. } => {
            format!("{}: may it reach {}?", prompt.frame_name, exact(listed))
        }
    }
}

fn body(prompt: &ApprovalRequest) -> String {
    format!("{}\n{}", exact(&prompt.ask.line()), prompt.command())
}

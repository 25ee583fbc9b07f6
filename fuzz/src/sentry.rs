//! What an error tracker says, without the connection.

#[path = "../../src/sentry/event.rs"]
mod event;
#[path = "../../src/sentry/issue.rs"]
mod issue;

pub use event::Event;
pub use issue::{Issue, instant};

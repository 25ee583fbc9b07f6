//! Runs of workflows: what happened, or whose time has come, goes through stages to an end that can be seen.
//!
//! A run is a row (`store::runs`, state diagram in `model::run`); whoever makes one (a webhook's rule, a schedule, a person)
//! sets its timer in the same transaction. One task for each open run (`supervisor::keyed`) performs the stage that it
//! is in. A stage can be repeated: it first asks what of it is done already, saves what it chose before it acts on it, and
//! what it found out after it. So a gateway that dies anywhere goes on where it was, and nothing outside happens twice.
//!
//! Not here: what the outside says (`webhooks`, `forge`), when something is due (`schedules`), the turns of agents (`feed`).

mod command;
pub mod context;
pub mod definition;
pub mod deps;
pub mod engine;
pub mod fix;
mod frame;
mod gate;
pub mod kind;
pub mod parse;
mod prompt;
pub mod pull;
pub mod quantities;
pub mod stage;
pub mod template;
pub mod trouble;

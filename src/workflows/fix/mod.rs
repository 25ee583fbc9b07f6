//! From what happened to a commit at the forge: an agent finds the cause, another one mends it, mimir looks at what came
//! of it and takes it out of the frame.
//!
//! ```text
//!  analyse   sealed frame, no push        evidence, fenced ──► report, checked ──► frame gone
//!  fix       own frame, package hosts     report ──► change ──► checks, run by mimir ──► commit, made by mimir
//!                                                      ▲            │ red, at most `rounds`
//!                                                      └────────────┘
//!  push      frame ──► broker ──► parcel (gate) ──► looked at ──► forge
//!  resume    the same for what reviews and the forge's checks say; on the same branch, forward only
//! ```
//!
//! Everything that strangers said is fenced, capped and stripped, and it is assumed that this fails. What holds is what a
//! frame can do: it has no key, it reaches no more than its list, and what it pushes is a parcel at the gate that this
//! module compares with what it asked for. What runs inside a frame, git and the checks included, is inside the agent's
//! reach: its word is good for telling an agent that it is not done yet, and for a reviewer to start from. The forge's own
//! checks and people decide.
//!
//! Not here: pull requests and what becomes of them (`pull`), in which order stages run (the engine).

mod analyse;
mod ask;
mod checks;
mod commit;
pub mod fence;
mod frame;
mod hand_out;
mod inside;
mod prompts;
mod report;
mod resume;
mod rounds;
pub mod settings;

use std::path::PathBuf;

use crate::delivery::Delivery;
use crate::frames::Frames;
use crate::pushes::Pushes;
use crate::store::Store;
use crate::supervisor::failpoint::Failpoints;

pub use analyse::perform as analyse;
pub use frame::clean_up;
pub use hand_out::perform as push;
pub use resume::{Instructions, Resumed, resume};
pub use rounds::perform as fix;
pub use settings::{AnalyseSettings, FixSettings, PushSettings};

/// What these stages work with.
#[derive(Clone)]
pub struct FixDeps {
    /// The database.
    pub store: Store,
    /// Frames.
    pub frames: Frames,
    /// Messages to their agents.
    pub delivery: Delivery,
    /// What they push.
    pub pushes: Pushes,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

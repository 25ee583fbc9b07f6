//! From a branch to a merged pull request, and until it is sure that the problem is gone.
//!
//! ```text
//!  (may_ask)     may whoever asked?               before the first stage of any run about an issue
//!  preflight     may we?                          before anything is spent
//!  pull_request  branch ──► draft                 found again instead of a second one
//!  follow        look ──► decide ──► one act ─┐   until it is ready to be merged
//!                  ▲                          │
//!                  └── saved ◄────────────────┘
//!  merge         the same, and somebody's yes, bound to the commit and to where it goes
//!  resolve       where it was reported
//!  watch         whether it comes back
//! ```
//!
//! `decide` is pure and is the whole specification of the loop: facts of the forge in, one step out. Messages of the forge
//! only wake the run; one that is lost costs a pause, and one that is false nothing. Only people who may write are heard, as
//! the forge says at that moment, and what they say is kept as it was when it was read first. Everything that is said at
//! the forge is built here (`texts`), does nothing there (`words`), and is searched for secrets.
//!
//! Not here: how the forge is asked (`forge`), what the agent does with its instructions (`fix`).

mod adopt;
pub mod decide;
pub mod facts;
pub mod follow;
mod hearing;
mod judged;
pub mod may_ask;
pub mod memory;
pub mod merge;
mod merging;
mod open;
mod outside;
mod place;
mod policy;
pub mod preflight;
mod resolve;
mod rounds;
mod say;
pub mod settings;
mod speakers;
mod texts;
mod watch;
mod words;
mod worker;
mod yes;

#[cfg(test)]
mod decide_tests;

pub use open::perform as pull_request;
pub use resolve::perform as resolve;
pub use watch::perform as watch;
pub use worker::Worker;

use crate::config::Live;
use crate::config::schema::Git as GitSettings;
use crate::forge::Forges;
use crate::secrets::Vault;
use crate::sentry::Sentries;
use crate::store::Store;
use crate::supervisor::failpoint::Failpoints;
use crate::workflows::Settings;

/// What these stages work with. Cheap to clone.
#[derive(Clone)]
pub struct PullDeps<W> {
    /// The database.
    pub store: Store,
    /// The forges.
    pub forges: Forges,
    /// Where errors are reported.
    pub sentries: Sentries,
    /// What must not leave.
    pub vault: Vault,
    /// Which files are protected.
    pub git: Live<GitSettings>,
    /// How many runs may be at work.
    pub runs: Live<Settings>,
    /// Who works on the branch.
    pub worker: W,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

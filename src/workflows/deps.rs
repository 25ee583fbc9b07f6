//! What the simple stages work with.

use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::frames::Frames;
use crate::model::principal::Principal;
use crate::store::Store;
use crate::supervisor::failpoint::Failpoints;

/// What the simple stages work with. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Frames to work in.
    pub frames: Frames,
    /// Who takes prompts to agents.
    pub delivery: Delivery,
    /// Where tests let the gateway die.
    pub failpoints: Failpoints,
}

/// Who does what runs do, in audit rows.
#[must_use]
pub fn principal() -> Principal {
    Principal::service("workflows")
}

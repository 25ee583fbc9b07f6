//! Composition: builds the services, starts them, waits, stops them. [`run`] reads top to bottom.

mod attendant;
mod detach;
mod examine;
mod ground;
mod lock;
mod projects;
#[cfg(feature = "test-support")]
mod rehearsal;
mod serve;
mod services;
mod settings;
mod signals;
mod socket;
mod token;

pub use detach::{Detached, detach};
pub use examine::examine;
pub use ground::AskKey;
pub use lock::holder;
pub use serve::{Mode, ServeOptions, Started, run, serve, start_core};
pub use services::{Ground, build};

/// The hash of everything that the frame image is built from; 64 hex digits. Needs no gateway.
#[must_use]
pub fn image_inputs() -> String {
    crate::runtime::build::inputs_hash()
}

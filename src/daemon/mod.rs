//! Composition: builds the services, starts them, waits, stops them. [`run`] reads top to bottom.

mod attendant;
mod backups;
mod bootstrap;
mod detach;
mod examine;
mod lock;
mod lost;
mod memory;
mod problem;
mod projects;
mod serve;
mod services;
mod settings;
mod signals;
mod socket;
#[cfg(feature = "test-support")]
mod test_support;
mod token;

pub use backups::{Copies, PutBack};
pub use bootstrap::AskKey;
pub use detach::{Detached, Started, detach};
pub use examine::examine;
pub use lock::{Holder, HomeLock, LockError, Stage, holder, lock_home};
pub use problem::already;
pub use serve::{Mode, ServeOptions, run, serve};
pub use services::{Background, Resources, ServiceSettings, StandIns, build};
pub use socket::BACK_WITHIN;

/// The hash of everything that the frame image is built from; 64 hex digits. Needs no gateway.
#[must_use]
pub fn image_inputs() -> String {
    crate::runtime::build::inputs_hash()
}

/// Whether that image was installed together with this program, as an archive.
#[must_use]
pub fn image_is_shipped() -> bool {
    crate::runtime::build::is_shipped()
}

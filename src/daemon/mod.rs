//! Composition: builds the services, starts them, waits, stops them. [`run`] reads top to bottom.

mod attendant;
mod detach;
mod examine;
mod ground;
mod lock;
mod projects;
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
pub use serve::{Mode, ServeOptions, Started, run, serve};
pub use services::{Ground, build};

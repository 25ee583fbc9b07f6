//! Composition: builds the services, starts them, waits, stops them.

pub mod lock;
pub mod signals;
pub mod socket;
pub mod token;

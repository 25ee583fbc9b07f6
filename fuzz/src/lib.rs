//! The modules of mimir that read what strangers write, compiled alone.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

pub use mimir_model as model;
pub use mimir_model::wire;

#[path = "../../src/clock.rs"]
pub mod clock;
#[path = "../../src/config/mod.rs"]
pub mod config;
pub mod fix;
pub mod opencode;
pub mod sentry;
pub mod webhooks;

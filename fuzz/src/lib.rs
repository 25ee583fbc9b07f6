//! The modules of mimir that read what strangers write, compiled alone.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

pub use mimir_model as model;

pub mod fix;
pub mod opencode;
pub mod sentry;
pub mod webhooks;

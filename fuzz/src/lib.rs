//! The modules of mimir that read what strangers write, compiled alone.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../../src/model/mod.rs"]
pub mod model;

pub mod opencode;

//! HTTP: the edge that clients talk to.

pub mod guard;
pub mod metrics;
pub mod ndjson;
pub mod problem;
pub mod request;
pub mod serve;

//! Link, host ports, broker and models: what stands between a frame and the world.

mod broker;
mod echoes;
mod link;
mod money;
mod outside;
mod ports;
mod questions;
mod secrets;
pub(crate) mod support;
mod through;

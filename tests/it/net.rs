//! Link, host ports, broker and models: what stands between a frame and the world.

mod broker;
mod echoes;
mod link;
mod money;
mod outside;
mod ports;
pub(crate) mod support;

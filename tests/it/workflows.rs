//! Runs of workflows, in a gateway with an engine in memory and scripted agents: to their end, over crashes, and not
//! without people where those have a say.
#![cfg(feature = "test-support")]

mod asked;
mod asker;
mod crashes;
mod emulated;
mod emulated_forge;
mod links;
mod mends;
mod mends_again;
mod mends_obeyed;
mod mends_world;
mod refused;
mod rows;
mod stages;
mod world;

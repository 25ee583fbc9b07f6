//! Frames from their making to their end, on the engine in memory: what happens when things go wrong.
#![cfg(feature = "test-support")]

mod combinations;
mod crashes;
mod creating;
mod external;
mod faults;
mod folders;
mod grants;
mod isolation;
mod real;
mod trust;
mod upgrade;
mod warm;
mod warm_pool;
mod world;

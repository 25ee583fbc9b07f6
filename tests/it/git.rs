//! Git without a key inside: a real git as a frame would run it, a real broker, a real forge.

mod direct;
mod gate;
mod leaves;
mod tags;
mod traps;
mod world;

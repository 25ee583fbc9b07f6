//! The stages from a pull request to the end of the watch, against a forge with real git and an error tracker, with an
//! agent that commits what it is told.

mod answers;
pub(crate) mod errors;
mod hostile;
mod kills;
mod kills_aside;
mod matrix;
pub(crate) mod obeying;
mod rules;
mod shuffled;
mod story;
pub(crate) mod world;

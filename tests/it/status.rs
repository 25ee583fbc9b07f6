//! What frames are said to do, against what they really do.

mod agent;
mod dashboard;
mod model;
mod upkeep;
mod wedge;
mod world;

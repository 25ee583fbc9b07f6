//! What frames are said to do, against what they really do.

mod agent;
mod inside;
mod wedge;
mod world;

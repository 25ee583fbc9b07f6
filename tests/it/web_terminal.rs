//! The terminal for browsers: `GET /v1/terminal`, its tickets and shared links.

#[cfg_attr(not(feature = "test-support"), expect(dead_code, reason = "a real frame needs less of it"))]
pub mod client;
#[cfg(feature = "test-support")]
mod doors;
#[cfg(feature = "test-support")]
mod flow;
#[cfg(feature = "test-support")]
pub mod world;

//! `mimir ui`: what every agent does, which one waits for somebody, and what it costs; a client of the gateway like any
//! command.
//!
//! In reading order: [`facts`] and [`conversation`] are what the gateway says, [`app`] is what the screen shows, [`press`] and
//! [`typing`] are the keys, [`view`] draws, [`work`] does what the keys ask for. [`mod@pick`] is a list of its own, for `mimir open`.
//! Only `run`, `pick`, `work`, `terminal` and `keyboard` touch anything outside.

mod app;
mod conversation;
mod effect;
#[cfg(test)]
mod examples;
mod facts;
mod keyboard;
mod keys;
mod markdown;
mod overlay;
mod palette;
mod pick;
mod press;
mod run;
mod terminal;
mod theme;
mod time;
mod typing;
mod view;
#[cfg(test)]
mod view_tests;
mod work;
mod wrap;

pub use app::CommandLine;
pub use pick::{Picking, pick};
pub use run::{Settings, UiError, run};

//! `mimir ui`: what every agent does, which one waits for somebody, and what it costs; a client of the gateway like any
//! command.
//!
//! In reading order: [`facts`] and [`conversation`] are what the gateway says, [`app`] is what the screen shows, [`press`] and
//! [`typing`] are the keys, [`view`] draws, [`work`] does what the keys ask for. Only this file, `work`, `terminal` and
//! `keyboard` touch anything outside.

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
pub use run::{Settings, UiError, run};

//! `mimir mcp`: a server of the Model Context Protocol, so that other programs' agents can work with frames; a client of
//! the gateway like any command.
//!
//! In reading order: [`tool`] says what a tool is, [`tools`] are all of them, [`handler`] answers the protocol, [`serve`](mod@serve)
//! speaks it over a pair of streams. [`words`] is how texts of others are shown, [`schema`] how inputs and results are
//! described, [`waiting`] how a message is followed, [`folders`] where frames may work.

mod folders;
mod handler;
mod progress;
mod rights;
mod schema;
mod serve;
mod settings;
mod tool;
mod tools;
mod waiting;
mod words;

pub use folders::Folders;
pub use rights::Rights;
pub use serve::{McpError, serve};
pub use settings::Settings;

//! Real Podman, the real frame image, the real opencode, through the executable that people use.
//!
//! The model is the built-in demo or a scripted one; everything else is what runs in earnest.
//! One world at a time: a frame start wants both cores of a small machine.

mod scripted;
pub(crate) mod support;

#[cfg(feature = "test-support")]
mod alert;
mod approvals;
mod attach;
mod canary;
mod commands;
mod controls;
mod crash;
mod devcontainer;
mod echo;
mod escape;
mod examined;
mod fix;
mod full_disk;
mod git;
mod injections;
mod isolation;
mod mcp;
mod money;
mod neighbours;
mod networks;
#[cfg(feature = "test-support")]
mod obeyed;
#[cfg(feature = "test-support")]
mod obeyed_alone;
mod passthrough;
mod projects;
mod remote;
mod residue;
mod resumed;
mod runs;
mod runtime_folder;
mod story;
mod talk;
mod terminal;
mod tools;
mod traps;
mod trust;
mod ui;
mod uninstall;
mod upgrade;
mod upkeep;
mod warm;
mod web_terminal;
mod window;

//! Conversations: what is kept of them, finding it again, and what can be done to them.
//!
//! The agent is a scripted opencode behind a real HTTP server.

mod search;
mod verbs;

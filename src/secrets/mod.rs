//! Secrets that frames may use, and what should not leave.

mod patterns;
pub mod scan;

/// What a placeholder begins with, which stands for a secret inside a frame.
pub const PLACEHOLDER: &str = "mimir-secret-";

//! Processes and threads.

use super::{Refusal, whole};

/// The fewest: threads count too, and an idle frame has 16 of them.
pub const LEAST: u32 = 64;
/// The most: what a Linux kernel can count.
pub const MOST: u32 = 4_194_304;

/// A number of processes and threads.
///
/// # Errors
/// When it is no number, or not from 64 to 4194304.
pub fn parse(text: &str) -> Result<u32, Refusal> {
    whole::parse(text, LEAST, MOST)
}

/// The same for a number.
///
/// # Errors
/// When it is not from 64 to 4194304.
pub fn check(pids: u32) -> Result<u32, Refusal> {
    parse(&pids.to_string())
}

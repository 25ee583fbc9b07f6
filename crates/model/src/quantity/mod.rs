//! Quantities as people write and read them: one grammar for the command line, files, the environment and requests.
//!
//! Each has `parse` for texts and, where JSON carries a number, `check` for numbers. What is refused is refused with
//! the same sentence everywhere.

pub mod cpus;
pub mod memory;
pub mod money;
pub mod pids;
pub mod span;
pub mod whole;

pub use memory::size;
pub use money::money;
pub use span::{age, left, took};
pub use whole::count;

/// Why something is not such a quantity, as the end of a sentence that begins with what was to be set.
pub type Refusal = String;

//! What strangers said on its way to an agent, and what that answers.

#[path = "../../src/workflows/fix/fence.rs"]
pub mod fence;
#[path = "../../src/workflows/fix/report.rs"]
pub mod report;

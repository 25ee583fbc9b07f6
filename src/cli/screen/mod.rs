//! This terminal: handed to a program in a frame and taken back, or asked for single keys.

mod keys;
mod pump;
mod raw;

pub use keys::{Keys, Pressed};
pub use pump::{Ending, Streams, pump};
pub use raw::RawMode;

/// This terminal's size; 80 × 24 when nobody knows.
pub fn size() -> (u16, u16) {
    match crossterm::terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}

//! Frames on the in-memory engine: crash matrix, random sequences.

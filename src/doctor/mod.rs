//! Tries each thing for real and says what to do about it.

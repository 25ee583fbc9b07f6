//! What happened, sent to whoever listens.

//! Talks to a gateway.

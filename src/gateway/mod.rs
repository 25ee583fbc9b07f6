//! HTTP over the Unix socket and loopback.

//! The sockets between host and frame.

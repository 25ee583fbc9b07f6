//! The gateway over its socket.

//! Link, broker, models and host ports.

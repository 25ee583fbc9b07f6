//! Logging: sentences for people, JSON for the gateway log.

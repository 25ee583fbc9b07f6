//! Composition: builds the services and runs the gateway.

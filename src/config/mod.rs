//! Layers of configuration, merged and checked, every value with its origin.

//! The contract suite of the engines.

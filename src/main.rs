//! The program: parse, run, turn a problem into an exit code.

fn main() {}

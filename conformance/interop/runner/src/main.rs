//! Runs the table of live peers.
fn main() {}

//! The command `p2p`.
fn main() {}

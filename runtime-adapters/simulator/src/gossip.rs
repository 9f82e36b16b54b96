//! GossipSub under attack, at the size of its evaluation, and the public interoperability scripts, at swarm level.
//!
//! The experiments are those of "GossipSub: Attack-Resilient Message Propagation in the Filecoin and ETH2.0 Networks" (arXiv 2007.02754) as its published test plan
//! (`libp2p/gossipsub-hardening`) configures them: who dials whom, when, how sybils behave, and the parameters of the routers.

mod interop;
mod paper;
mod player;
mod report;
mod store;
mod sybil;

pub use interop::{Interop, InteropReport};
pub use paper::{Attack, Experiment, Outcome, Router, Scale};
pub use report::{Band, cdf, table};
pub use sybil::Drops;

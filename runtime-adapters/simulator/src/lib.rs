#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod actor;
mod app;
mod check;
mod clock;
mod dial;
mod direct;
mod error;
mod fabric;
mod fault;
mod faults;
mod host;
mod nat;
mod net;
mod node;
mod pipe;
mod queue;
mod scenario;
mod sim;
mod stats;
mod trace;

pub use actor::{Actor, Heard, Link as ActorLink, Stage};
pub use app::{App, Birth, Lent, Step};
pub use check::Violation;
pub use clock::Skew;
pub use error::Error;
pub use fault::{Chances, Fault, FaultKind};
pub use host::Depth;
pub use nat::{Dependence, NatKind, PortChoice};
pub use net::{Chunks, Link, Places};
pub use node::{Node, NodeConfig};
pub use queue::Order;
pub use scenario::{NatPlace, Scenario};
pub use sim::Sim;
pub use stats::{Histogram, Sample, Stats};
pub use trace::{Line, TraceHash};

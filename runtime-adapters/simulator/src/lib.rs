#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod actor;
mod app;
mod check;
mod clock;
pub mod dht;
mod dial;
mod direct;
mod error;
mod fabric;
mod fault;
mod faults;
mod flow;
mod host;
mod nat;
mod net;
mod node;
mod pipe;
mod plan;
mod plot;
mod queue;
mod scenario;
mod shrink;
mod sim;
mod stats;
mod trace;

pub use actor::{Actor, Heard, Link as ActorLink, Stage};
pub use app::{App, Birth, Lent, Step};
pub use check::Violation;
pub use clock::Skew;
pub use error::Error;
pub use fault::{Chances, Fault, FaultKind};
pub use flow::{FLOW, Flow, Outcome};
pub use host::Depth;
pub use nat::{Dependence, NatKind, PortChoice};
pub use net::{Chunks, Link, Places};
pub use node::{Node, NodeConfig, TOPIC};
pub use plan::{Goal, Plan, Report, Traffic};
pub use plot::{Plot, plots};
pub use queue::Order;
pub use scenario::{NatPlace, Scenario};
pub use shrink::shrink;
pub use sim::Sim;
pub use stats::{Histogram, Sample, Stats};
pub use trace::{Line, TraceHash};

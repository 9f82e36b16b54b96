#![doc = include_str!("../README.md")]

mod app;
mod handle;
mod link;
mod node;
mod raw;
mod runtime;
mod sockets;
mod stream;

pub use app::{App, Config, Error};
pub use handle::{Closed, DialFailure, Handle};
pub use libp2p_proto_os::Entropy;
pub use link::Link;
pub use node::Node;
pub use runtime::{Answer, Resolver, Runtime, Timer};
pub use stream::{Incoming, OpenFailure, Stream};

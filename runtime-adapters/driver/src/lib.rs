#![doc = include_str!("../README.md")]

mod alarm;
mod app;
#[cfg(feature = "async-io")]
mod async_io;
mod desk;
#[cfg(feature = "mdns")]
mod discovery;
mod handle;
mod link;
mod node;
mod raw;
mod runtime;
mod sockets;
mod stream;

pub use app::{App, Config, Error};
#[cfg(feature = "async-io")]
pub use async_io::{AsyncIo, Spawn};
pub use desk::{Desk, Request};
pub use handle::{Closed, DialFailure, Handle};
pub use libp2p_proto_os::{self as os, Entropy};
#[cfg(feature = "mdns")]
pub use libp2p_proto_os::{Discovery, mdns};
pub use link::Link;
pub use node::Node;
pub use runtime::{Answer, Resolver, Runtime, Timer};
pub use stream::{Incoming, OpenFailure, Stream};

#![doc = include_str!("../README.md")]

mod addr;
mod clock;
mod handle;
mod link;
mod node;
mod runtime;
mod stream;

pub use handle::{Closed, DialFailure, Handle};
pub use link::Link;
pub use node::{App, Config, Error, Node};
pub use runtime::{Answer, Resolver, Runtime, Timer};
pub use stream::{Incoming, OpenFailure, Stream};

#![doc = include_str!("../README.md")]

mod clock;
mod link;
mod node;

pub use node::{App, Closed, Config, Error, Handle, Node};

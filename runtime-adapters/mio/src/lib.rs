#![doc = include_str!("../README.md")]

mod addr;
mod clock;
mod link;
mod node;

pub use node::{Config, Error, Node, Resolve};

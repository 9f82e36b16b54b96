#![doc = include_str!("../README.md")]

mod link;
mod node;
mod os;

pub use node::{Config, Error, Node, Resolve};

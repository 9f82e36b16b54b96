#![doc = include_str!("../README.md")]

use core::future::Future;
use libp2p_proto_driver as driver;
use libp2p_proto_identity::Identity;

pub use driver::{
    App, Closed, Config, DialFailure, Entropy, Error, Handle, Incoming, OpenFailure, Resolver, Stream, os,
};
#[cfg(feature = "mdns")]
pub use driver::{Discovery, mdns};

/// smol's global executor, as the driver sees it.
#[derive(Debug)]
pub enum Executor {}

impl driver::Spawn for Executor {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(task).detach();
    }
}

/// smol, as the driver sees it.
pub type Smol = driver::AsyncIo<Executor>;

/// Starts a node for `identity` that runs `app`, in a task of smol's global executor, whose threads it starts if there are none.
///
/// # Errors
///
/// See [`Error`].
pub fn spawn<A: App + Send>(identity: Identity, config: Config, app: A) -> Result<Handle<A>, Error> {
    let (node, handle) = driver::Node::<A, Smol>::new(identity, config, app)?;
    smol::spawn(node).detach();
    Ok(handle)
}

#![doc = include_str!("../README.md")]

use core::future::Future;
use libp2p_proto_driver as driver;
use libp2p_proto_identity::Identity;

pub use driver::{
    App, Closed, Config, DialFailure, Entropy, Error, Handle, Incoming, OpenFailure, Resolver, Stream, os,
};
#[cfg(feature = "mdns")]
pub use driver::{Discovery, mdns};

/// async-std's executor, as the driver sees it.
#[derive(Debug)]
pub enum Executor {}

impl driver::Spawn for Executor {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        async_std::task::spawn(task);
    }
}

/// async-std, as the driver sees it.
pub type AsyncStd = driver::AsyncIo<Executor>;

/// Starts a node for `identity` that runs `app`, in a task of async-std's executor, whose threads it starts if there are none.
///
/// # Errors
///
/// See [`Error`].
pub fn spawn<A: App + Send>(identity: Identity, config: Config, app: A) -> Result<Handle<A>, Error> {
    let (node, handle) = driver::Node::<A, AsyncStd>::new(identity, config, app)?;
    async_std::task::spawn(node);
    Ok(handle)
}

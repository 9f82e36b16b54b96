//! What every node begins with, whatever its loop.

use crate::{Entropy, to_socket};
use libp2p_proto_connection as connection;
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::Identity;
use libp2p_proto_stream_protocol::Protocols;
use libp2p_proto_swarm::{self as swarm, Swarm};
use std::{io, sync::Arc};

/// Why a node could not be built, or could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The operating system gave no entropy, so no key can be made.
    #[error("no entropy: {0}")]
    Entropy(#[from] getrandom::Error),
    /// A limit is out of its range.
    #[error("{0}")]
    Config(#[from] swarm::Error),
    /// The keys of the secure channel could not be made.
    #[error("{0}")]
    Keys(#[from] connection::Error),
    /// A name or limit of discovery.
    #[cfg(feature = "mdns")]
    #[error("{0}")]
    Discovery(#[from] crate::mdns::Error),
    /// Not an address of the form `/ip4|ip6/…/tcp/…`.
    #[error("cannot listen on {0}")]
    NotTcp(Multiaddr),
}

/// The swarm of a node over TCP, and what its connections share.
#[derive(Debug)]
pub struct Foundation {
    /// The swarm, which dials whatever [`to_socket`] reads.
    pub swarm: Swarm,
    /// What every connection begins with.
    pub upgrade: Arc<connection::Config>,
}

impl Foundation {
    /// Draws the keys and dice of a node, and builds its swarm for these protocols.
    ///
    /// # Errors
    ///
    /// [`Error::Entropy`], [`Error::Keys`], [`Error::Config`].
    pub fn lay(
        identity: Identity,
        limits: swarm::Config,
        entropy: Entropy,
        protocols: Protocols<'_, '_>,
    ) -> Result<Self, Error> {
        let [seed, keys] = [entropy.draw()?, entropy.draw()?];
        let upgrade = Arc::new(connection::Config::new(&identity, keys)?);
        let mut swarm = Swarm::new(identity, limits, seed, protocols)?;
        swarm.add_transport(|addr| to_socket(addr).is_some());
        Ok(Self { swarm, upgrade })
    }
}

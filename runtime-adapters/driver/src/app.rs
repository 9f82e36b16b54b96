//! What the application brings, and what a node is built of.

use crate::{Closed, Resolver};
use core::fmt;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_os::Entropy;
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_streams as streams;
use libp2p_proto_swarm::{self as swarm, Event};

/// What the node's task runs for the application.
pub trait App: 'static {
    /// The protocols, always the same ones in the same order.
    fn protocols(&mut self) -> Vec<&mut dyn Protocol>;

    /// An event of the swarm.
    fn handle_event(&mut self, event: Event) {
        let _nobody_listens = event;
    }

    /// Somebody was found on the local link, or is gone. The addresses are in the swarm's address book already; whether to dial is the application's choice.
    #[cfg(feature = "mdns")]
    fn handle_discovery(&mut self, event: libp2p_proto_os::mdns::Event) {
        let _nobody_listens = event;
    }

    /// After each drive: the place to read the protocols' own events.
    fn after_drive(&mut self) {}
}

/// How a node is built.
#[derive(Clone, Default)]
pub struct Config {
    /// Limits of the swarm.
    pub swarm: swarm::Config,
    /// Where keys and dice come from.
    pub entropy: Entropy,
    /// Names of raw streams, for [`Handle::open`](crate::Handle::open) and [`Handle::accept`](crate::Handle::accept). Default: none.
    pub streams: Vec<ProtocolName>,
    /// Limits of raw streams. Their bytes always go from the connection to the application, whatever `hand_over` says here.
    pub stream_limits: streams::Config,
    /// Who is asked for names. Default: nobody; dials of names fail with `no-resolver`.
    pub resolver: Option<Resolver>,
    /// How the node makes itself known on its links. Default: not at all. Whoever joins a network with it tells everybody there who they are.
    #[cfg(feature = "mdns")]
    pub discovery: Option<libp2p_proto_os::Discovery>,
    /// Who records what goes into the node. Default: nobody.
    #[cfg(feature = "recorder")]
    pub recorder: Option<libp2p_proto_recorder::Recorder>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("swarm", &self.swarm)
            .field("entropy", &self.entropy)
            .field("streams", &self.streams)
            .field("stream_limits", &self.stream_limits)
            .field("resolver", &self.resolver.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a node could not be built, or could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What every loop may fail with.
    #[error("{0}")]
    Os(#[from] libp2p_proto_os::Error),
    /// There are too many names of raw streams.
    #[error("{0}")]
    Streams(#[from] streams::Error),
    /// The node has stopped.
    #[error("{0}")]
    Closed(#[from] Closed),
}

//! What an application asks of the protocol, as values.

use crate::Rendezvous;
use alloc::string::String;
use core::time::Duration;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Rendezvous`].
    pub enum Command {
        /// [`Rendezvous::register`].
        "register" => Register {
            /// Where.
            point: PeerId,
            /// Under which name.
            namespace: String,
            /// The life to ask for.
            ttl: Option<Duration>,
        },
        /// [`Rendezvous::unregister`].
        "unregister" => Unregister {
            /// Where.
            point: PeerId,
            /// Under which name.
            namespace: String,
        },
        /// [`Rendezvous::discover`].
        "discover" => Discover {
            /// Where.
            point: PeerId,
            /// Under which name.
            namespace: String,
            /// The most peers to ask for.
            limit: Option<u64>,
        },
        /// [`Rendezvous::poll_event`].
        "poll" => Poll,
    }
}

impl Rendezvous {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Register {
                point,
                namespace,
                ttl,
            } => drop(self.register(point, &namespace, ttl)),
            Command::Unregister { point, namespace } => self.unregister(&point, &namespace),
            Command::Discover {
                point,
                namespace,
                limit,
            } => drop(self.discover(point, &namespace, limit)),
            Command::Poll => drop(self.poll_event()),
        }
    }
}

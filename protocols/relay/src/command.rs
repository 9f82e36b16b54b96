//! What an application asks of the protocol, as values.

use crate::Relay;
use alloc::vec::Vec;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Relay`].
    pub enum Command {
        /// [`Relay::reserve`].
        "reserve" => Reserve {
            /// Where.
            relay: PeerId,
            /// Where that is.
            addrs: Vec<Multiaddr>,
        },
        /// [`Relay::suggest`].
        "suggest" => Suggest {
            /// Who.
            relay: PeerId,
            /// Where that is.
            addrs: Vec<Multiaddr>,
        },
        /// [`Relay::release`].
        "release" => Release {
            /// Where.
            relay: PeerId,
        },
        /// [`Relay::poll_event`].
        "poll" => Poll,
    }
}

impl Relay {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Reserve { relay, addrs } => self.reserve(relay, addrs),
            Command::Suggest { relay, addrs } => self.suggest(relay, addrs),
            Command::Release { relay } => self.release(relay),
            Command::Poll => drop(self.poll_event()),
        }
    }
}

//! What an application asks of the protocol, as values.

use crate::{Autonat, Version};
use alloc::vec::Vec;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{commands, words};

words!(Version: "1" => V1, "2" => V2);

commands! {
    /// What an application asks of [`Autonat`].
    pub enum Command {
        /// [`Autonat::ask`].
        "ask" => Ask {
            /// Whom; `None`: any server.
            server: Option<PeerId>,
            /// With which version.
            version: Version,
            /// About which addresses.
            addrs: Vec<Multiaddr>,
        },
        /// [`Autonat::poll_event`].
        "poll" => Poll,
    }
}

impl Autonat {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Ask {
                server,
                version,
                addrs,
            } => drop(self.ask(server, version, addrs)),
            Command::Poll => drop(self.poll_event()),
        }
    }
}

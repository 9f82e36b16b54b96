//! What an application asks of the protocol, as values.

use crate::Dcutr;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Dcutr`].
    pub enum Command {
        /// [`Dcutr::retry`].
        "retry" => Retry {
            /// With whom.
            peer: PeerId,
        },
        /// [`Dcutr::poll_event`].
        "poll" => Poll,
    }
}

impl Dcutr {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Retry { peer } => self.retry(peer),
            Command::Poll => drop(self.poll_event()),
        }
    }
}

//! What an application asks of the protocol, as values.

use crate::Ping;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Ping`].
    pub enum Command {
        /// [`Ping::ping`].
        "ping" => Ping {
            /// Whom.
            peer: PeerId,
            /// How often.
            rounds: u32,
        },
        /// [`Ping::poll_event`].
        "poll" => Poll,
    }
}

impl Ping {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Ping { peer, rounds } => {
                let _shows_in_events = self.ping(peer, rounds);
            }
            Command::Poll => drop(self.poll_event()),
        }
    }
}

//! What an application asks of the protocol, as values.

use crate::Perf;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Perf`].
    pub enum Command {
        /// [`Perf::run`].
        "run" => Run {
            /// With whom.
            peer: PeerId,
            /// Bytes to send.
            up: u64,
            /// Bytes to receive.
            down: u64,
        },
        /// [`Perf::poll_event`].
        "poll" => Poll,
    }
}

impl Perf {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Run { peer, up, down } => {
                let _shows_in_events = self.run(peer, up, down);
            }
            Command::Poll => drop(self.poll_event()),
        }
    }
}

//! What an application asks of the protocol, as values.

use crate::Identify;
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Identify`].
    pub enum Command {
        /// [`Identify::poll_event`].
        "poll" => Poll,
    }
}

impl Identify {
    /// Does what the method of that name does.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Poll => drop(self.poll_event()),
        }
    }
}

//! What an application asks of the protocol, as values.

use crate::Streams;
use bytes::Bytes;
use libp2p_proto_core::{PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::commands;

commands! {
    /// What an application asks of [`Streams`].
    pub enum Command {
        /// [`Streams::open`].
        "open" => Open {
            /// To whom.
            peer: PeerId,
            /// Under which name.
            name: ProtocolName,
        },
        /// [`Streams::set_inbound`].
        "inbound" => SetInbound {
            /// Which name.
            name: ProtocolName,
            /// Streams of each connection.
            max: u16,
        },
        /// [`Streams::read`].
        "read" => Read {
            /// The stream.
            stream: StreamId,
        },
        /// [`Streams::write`].
        "write" => Write {
            /// The stream.
            stream: StreamId,
            /// What to send.
            data: Bytes,
        },
        /// [`Streams::finish`].
        "finish" => Finish {
            /// The stream.
            stream: StreamId,
        },
        /// [`Streams::reset`].
        "reset" => Reset {
            /// The stream.
            stream: StreamId,
        },
        /// [`Streams::poll_event`].
        "poll" => Poll,
    }
}

impl Streams {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Open { peer, name } => {
                let _shows_in_events = self.open(peer, &name);
            }
            Command::SetInbound { name, max } => {
                let _known_before = self.set_inbound(&name, max);
            }
            Command::Read { stream } => drop(self.read(stream)),
            Command::Write { stream, data } => {
                let _shows_in_events = self.write(stream, data);
            }
            Command::Finish { stream } => self.finish(stream),
            Command::Reset { stream } => self.reset(stream),
            Command::Poll => drop(self.poll_event()),
        }
    }
}

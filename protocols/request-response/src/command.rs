//! What an application asks of the protocol, as values.

use crate::{InboundId, Request, RequestId, RequestResponse};
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::{commands, words};

words!(RequestId { 0 });
words!(InboundId { 0 });
words!(Request {
    payloads,
    timeout,
    dial,
    addrs,
    in_parts,
    max_parts
});

commands! {
    /// What an application asks of [`RequestResponse`].
    pub enum Command {
        /// [`RequestResponse::request_with`], and [`request`](RequestResponse::request).
        "request" => Request {
            /// Whom.
            peer: PeerId,
            /// What.
            request: Request,
        },
        /// [`RequestResponse::cancel`].
        "cancel" => Cancel {
            /// The request.
            id: RequestId,
        },
        /// [`RequestResponse::respond`].
        "respond" => Respond {
            /// Whose request.
            id: InboundId,
            /// The answer.
            message: Bytes,
        },
        /// [`RequestResponse::respond_part`].
        "part" => RespondPart {
            /// Whose request.
            id: InboundId,
            /// What stands before the chunk.
            context: Option<[u8; 4]>,
            /// The part.
            part: Bytes,
        },
        /// [`RequestResponse::finish`].
        "finish" => Finish {
            /// Whose request.
            id: InboundId,
        },
        /// [`RequestResponse::reject`].
        "reject" => Reject {
            /// Whose request.
            id: InboundId,
        },
        /// [`RequestResponse::reject_with`].
        "reject-with" => RejectWith {
            /// Whose request.
            id: InboundId,
            /// The code of the error.
            code: u8,
            /// Its message.
            message: Bytes,
        },
        /// [`RequestResponse::omit`].
        "omit" => Omit {
            /// Whose request.
            id: InboundId,
        },
        /// [`RequestResponse::deny`].
        "deny" => Deny {
            /// Whom.
            peer: PeerId,
        },
        /// [`RequestResponse::allow`].
        "allow" => Allow {
            /// Whom.
            peer: PeerId,
        },
        /// [`RequestResponse::poll_event`].
        "poll" => Poll,
    }
}

impl RequestResponse {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        let _shows_in_events = match command {
            Command::Request { peer, request } => self.request_with(peer, request).map(|_| ()),
            Command::Cancel { id } => {
                self.cancel(id);
                Ok(())
            }
            Command::Respond { id, message } => self.respond(id, message),
            Command::RespondPart { id, context, part } => self.respond_part(id, context, part),
            Command::Finish { id } => self.finish(id),
            Command::Reject { id } => self.reject(id),
            Command::RejectWith { id, code, message } => self.reject_with(id, code, &message),
            Command::Omit { id } => self.omit(id),
            Command::Deny { peer } => self.deny(peer),
            Command::Allow { peer } => {
                self.allow(peer);
                Ok(())
            }
            Command::Poll => {
                self.poll_event();
                Ok(())
            }
        };
    }
}

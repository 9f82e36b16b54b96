//! The asking end of `/echo/1.0.0`: a stream that the application reads and writes itself.

use crate::{
    error::Error,
    node::{ECHO, broken},
};
use libp2p_proto_core::{PeerId, StreamId, bytes::Bytes};
use libp2p_proto_stream_protocol::{Closed, Protocol};
use libp2p_proto_streams::{self as streams, Event, Streams, Ticket};

/// One echo after the other.
pub(super) struct Echo {
    streams: Streams,
    state: State,
}

/// Where the echo stands.
enum State {
    Idle,
    Opening(Ticket, Bytes),
    /// What has come back, and how much may: one byte more than was sent is enough to see that it is wrong.
    Open(StreamId, Vec<u8>, usize),
    Done(Result<Vec<u8>, String>),
}

impl Echo {
    pub(super) fn new() -> Result<Self, Error> {
        let unannounced = streams::Config {
            max_inbound: 0,
            ..streams::Config::default()
        };
        Ok(Self {
            streams: Streams::new(&[ECHO], unannounced).map_err(broken)?,
            state: State::Idle,
        })
    }

    pub(super) fn protocol(&mut self) -> &mut dyn Protocol {
        &mut self.streams
    }

    /// Sends everything, and gathers what comes back.
    pub(super) fn send(&mut self, peer: PeerId, data: Bytes) -> Result<(), streams::Error> {
        let ticket = self.streams.open(peer, &ECHO)?;
        self.state = State::Opening(ticket, data);
        Ok(())
    }

    /// What has come back, once the peer has sent all of it.
    pub(super) fn take(&mut self) -> Option<Result<Vec<u8>, String>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Done(result) => Some(result),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Reads what there is.
    pub(super) fn advance(&mut self) {
        while let Some(event) = self.streams.poll_event() {
            match (event, &self.state) {
                (Event::Opened { ticket, stream, .. }, State::Opening(ours, data)) if ticket == *ours => {
                    let (data, most) = (data.clone(), data.len().saturating_add(1));
                    // Nothing was written before, so it fits, however long it is.
                    let written = self.streams.write(stream, data);
                    self.streams.finish(stream);
                    self.state = match written {
                        Ok(()) => State::Open(stream, Vec::new(), most),
                        Err(error) => State::Done(Err(error.to_string())),
                    };
                }
                (
                    Event::OpenFailed {
                        ticket,
                        error,
                        reason,
                    },
                    State::Opening(ours, _),
                ) if ticket == *ours => {
                    let told = error.map(|error| error.to_string());
                    let tried = reason.map(|reason| reason.to_string());
                    self.state = State::Done(Err(told.or(tried).unwrap_or_default()));
                }
                (Event::Closed { stream, reason }, State::Open(ours, ..))
                    if stream == *ours && reason != Closed::Finished =>
                {
                    self.state = State::Done(Err(reason.to_string()));
                }
                _ => {}
            }
        }
        let State::Open(stream, received, most) = &mut self.state else {
            return;
        };
        while let Some(data) = self.streams.read(*stream) {
            received.extend_from_slice(&data);
        }
        if received.len() >= *most {
            self.streams.reset(*stream);
        } else if !self.streams.is_finished(*stream) {
            return;
        }
        self.state = State::Done(Ok(std::mem::take(received)));
    }
}

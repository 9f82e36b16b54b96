//! The machine: both halves under one roof.

use crate::{
    Census, Command, Config, Error, Event, InboundId, Request, RequestId, Spec, Stats, config::validate,
    inbound::InboundHalf, outbound::Outbound,
};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{Deadline, PeerId};
use libp2p_proto_stream_protocol::{BadCommand, Context, Input, Journal, Protocol, StreamSpec};

/// What both halves share.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) specs: Vec<Spec>,
    pub(crate) config: Config,
    pub(crate) stats: Stats,
}

impl Terms {
    pub(crate) fn spec(&self, index: u8) -> Option<&Spec> {
        self.specs.get(usize::from(index))
    }
}

/// A request-response protocol under one or several names.
#[derive(Debug)]
pub struct RequestResponse {
    terms: Terms,
    stream_specs: Vec<StreamSpec>,
    outbound: Outbound,
    inbound: InboundHalf,
    journal: Journal,
}

impl RequestResponse {
    /// A protocol with these specs; a spec is named by its place in the list.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names what is missing or out of its range.
    pub fn new(specs: Vec<Spec>, config: Config) -> Result<Self, Error> {
        validate(&specs, &config)?;
        let stream_specs = specs.iter().map(|spec| spec.stream_spec(&config)).collect();
        let terms = Terms {
            specs,
            config,
            stats: Stats::default(),
        };
        Ok(Self {
            inbound: InboundHalf::new(&terms),
            outbound: Outbound::new(),
            journal: Journal::new(),
            stream_specs,
            terms,
        })
    }

    /// Asks a peer under one spec. Exactly one [`Event::Response`] or [`Event::Failed`] follows, unless it is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSpec`], [`Error::TooLarge`], [`Error::QueueFull`].
    pub fn request(&mut self, peer: PeerId, spec: u8, message: Bytes) -> Result<RequestId, Error> {
        self.request_with(peer, Request::new(spec, message))
    }

    /// The same for a request with limits, fallbacks or addresses of its own.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_with(&mut self, peer: PeerId, request: Request) -> Result<RequestId, Error> {
        self.journal.note(|| Command::Request {
            peer,
            request: request.clone(),
        });
        self.outbound.request(&self.terms, peer, request)
    }

    /// Gives a request up, wherever it stands; no end of it is reported. One that has ended is no error.
    pub fn cancel(&mut self, id: RequestId) {
        self.journal.note(|| Command::Cancel { id });
        self.outbound.cancel(&self.terms, id);
    }

    /// Answers a request with one message. [`Event::ResponseSent`] or [`Event::InboundFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::AlreadyAnswered`], [`Error::TooLarge`], [`Error::WrongFraming`] where chunks have context.
    pub fn respond(&mut self, id: InboundId, message: Bytes) -> Result<(), Error> {
        self.journal.note(|| Command::Respond {
            id,
            message: message.clone(),
        });
        self.inbound.respond(&self.terms, id, &message)
    }

    /// Sends one chunk of an answer, or the next bytes of one that ends with its stream. [`Event::Continue`] says when the next one may be given;
    /// [`finish`](Self::finish) ends the answer.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`], [`Error::Gone`], [`Error::AlreadyAnswered`], [`Error::TooLarge`], [`Error::WrongFraming`].
    pub fn respond_part(
        &mut self,
        id: InboundId,
        context: Option<[u8; 4]>,
        part: Bytes,
    ) -> Result<(), Error> {
        self.journal.note(|| Command::RespondPart {
            id,
            context,
            part: part.clone(),
        });
        self.inbound.respond_part(&self.terms, id, context, &part)
    }

    /// Ends an answer in parts; with no part before, it is an empty list. [`Event::ResponseSent`] or [`Event::InboundFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::AlreadyAnswered`], [`Error::WrongFraming`].
    pub fn finish(&mut self, id: InboundId) -> Result<(), Error> {
        self.journal.note(|| Command::Finish { id });
        self.inbound.finish(&self.terms, id)
    }

    /// Refuses a request: its stream is reset, which the peer can tell from an empty answer; in Ethereum's framing it is answered with code 2.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::AlreadyAnswered`].
    pub fn reject(&mut self, id: InboundId) -> Result<(), Error> {
        self.journal.note(|| Command::Reject { id });
        self.inbound.reject(&self.terms, id)
    }

    /// Ends an answer with an error chunk of this code, not 0, and up to 256 bytes of message. Only in Ethereum's framing.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::AlreadyAnswered`], [`Error::WrongFraming`].
    pub fn reject_with(&mut self, id: InboundId, code: u8, message: &[u8]) -> Result<(), Error> {
        self.journal.note(|| Command::RejectWith {
            id,
            code,
            message: Bytes::copy_from_slice(message),
        });
        self.inbound.reject_with(&self.terms, id, code, message)
    }

    /// Leaves a request without an answer: its stream is finished with nothing on it.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::AlreadyAnswered`].
    pub fn omit(&mut self, id: InboundId) -> Result<(), Error> {
        self.journal.note(|| Command::Omit { id });
        self.inbound.omit(&self.terms, id)
    }

    /// Resets every new stream of a peer from now on, such as one whose score is too low.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`] for more than [`Config::max_peers`].
    pub fn deny(&mut self, peer: PeerId) -> Result<(), Error> {
        self.journal.note(|| Command::Deny { peer });
        self.inbound.deny(&self.terms, peer)
    }

    /// Serves a denied peer again.
    pub fn allow(&mut self, peer: PeerId) {
        self.journal.note(|| Command::Allow { peer });
        self.inbound.allow(peer);
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let inbound_first = match (self.inbound.events.next_seq(), self.outbound.events.next_seq()) {
            (Some(inbound), Some(outbound)) => inbound <= outbound,
            (inbound, _) => inbound.is_some(),
        };
        let event = if inbound_first {
            self.inbound.events.pop()
        } else {
            self.outbound.events.pop()
        };
        match &event {
            Some(Event::Request { conn, data, .. }) => self.inbound.request_read(*conn, data.len()),
            Some(Event::Part { id, data, .. }) => {
                self.outbound.part_read(&self.terms.config, *id, data.len());
            }
            _ => {}
        }
        self.journal.took(event.as_ref(), || Command::Poll);
        event
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        [self.inbound.events.next_seq(), self.outbound.events.next_seq()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Counters since the start.
    pub const fn stats(&self) -> Stats {
        self.terms.stats
    }

    /// What is held now.
    pub fn census(&self) -> Census {
        let [requests, lines, outbound, dials, out_timers] = self.outbound.census();
        let [inbound, held, in_timers] = self.inbound.census();
        Census {
            requests,
            lines,
            outbound,
            dials,
            inbound,
            held,
            timers: out_timers.saturating_add(in_timers),
        }
    }
}

impl Protocol for RequestResponse {
    fn specs(&self) -> &[StreamSpec] {
        &self.stream_specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        let (terms, outbound, inbound) = (&mut self.terms, &mut self.outbound, &mut self.inbound);
        match input {
            Input::Opened { stream, .. }
            | Input::Frame { stream, .. }
            | Input::Writable { stream }
            | Input::Flushed { stream, .. }
            | Input::Finished { stream }
            | Input::Closed { stream, .. } => {
                if stream.is_inbound() {
                    inbound.handle(cx, terms, stream, input);
                } else {
                    outbound.handle(cx, terms, stream, input);
                }
            }
            Input::Connected { peer, .. } => outbound.handle_connected(cx, terms, peer),
            Input::DialFailed { dial, .. } => outbound.handle_dial_failed(cx, terms, dial),
            Input::Timeout => {
                outbound.handle_timeout(cx, terms);
                inbound.handle_timeout(cx, terms);
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        Deadline::earliest(self.outbound.deadline(), self.inbound.deadline())
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}

//! Raw streams: who opened them, who waits for them, and the pipe of each. Their bytes go from the task of the connection to the application; only the
//! beginning and the end come by here.

use crate::{
    Incoming, OpenFailure, Stream,
    link::{Order, Orders},
    stream::{Pipe, Shared, begin, hand_over, lock},
};
use core::time::Duration;
use futures_channel::oneshot;
use libp2p_proto_core::{Instant, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{Closed, OpenError, ToConnection};
use libp2p_proto_streams::{self as streams, Event, Streams, Ticket};
use std::collections::{BTreeMap, VecDeque};

/// Raw streams that may wait for [`Handle::accept`](crate::Handle::accept); further ones are reset.
const MAX_ARRIVED: usize = 256;

/// Who waits for a stream of ours.
pub(crate) type Opener = oneshot::Sender<Result<Stream, OpenFailure>>;

pub(crate) struct Raw {
    pub(crate) machine: Streams,
    /// Bytes of one stream that may wait to be sent.
    capacity: usize,
    /// Where the bytes of each stream go, and who takes its orders.
    pipes: BTreeMap<StreamId, (Shared, Orders)>,
    /// How long a stream waits for the application's first act, which leaves with the proposal.
    gather: Duration,
    /// Streams that wait so, by the end of that time.
    unopened: VecDeque<(Instant, StreamId)>,
    opens: BTreeMap<Ticket, Opener>,
    arrived: VecDeque<Incoming>,
    acceptors: VecDeque<oneshot::Sender<Incoming>>,
}

impl Raw {
    pub(crate) fn new(names: &[ProtocolName], limits: &streams::Config) -> Result<Self, streams::Error> {
        let config = streams::Config {
            hand_over: true,
            // It is done here already.
            gather: Duration::ZERO,
            ..limits.clone()
        };
        Ok(Self {
            machine: Streams::new(names, config)?,
            capacity: limits.write_capacity,
            pipes: BTreeMap::new(),
            gather: limits.gather,
            unopened: VecDeque::new(),
            opens: BTreeMap::new(),
            arrived: VecDeque::new(),
            acceptors: VecDeque::new(),
        })
    }

    pub(crate) fn open(&mut self, peer: PeerId, name: &ProtocolName, opener: Opener) {
        match self.machine.open(peer, name) {
            Ok(ticket) => drop(self.opens.insert(ticket, opener)),
            Err(error) => {
                let _nobody_waits = opener.send(Err(error.into()));
            }
        }
    }

    pub(crate) fn accept(&mut self, acceptor: oneshot::Sender<Incoming>) {
        self.acceptors.push_back(acceptor);
        self.hand_out();
    }

    /// The machine has ordered a connection to hand a stream over: here is where its bytes go. `open`: the order that opens it, not given yet.
    pub(crate) fn hand_over(
        &mut self,
        now: Instant,
        stream: StreamId,
        orders: &Orders,
        open: Option<ToConnection>,
    ) {
        let pipe = Pipe::shared(self.capacity);
        self.pipes.insert(stream, (pipe.clone(), orders.clone()));
        match open {
            Some(open) => {
                lock(&pipe).open_later(open);
                self.unopened.push_back((now + self.gather, stream));
                if self.gather.is_zero() {
                    self.begin(stream);
                }
            }
            None => hand_over(stream, pipe, orders),
        }
    }

    /// When a stream is to be opened although the application has done nothing with it.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut waiting = self
            .unopened
            .iter()
            .filter(|(_, stream)| self.is_unopened(*stream));
        waiting.next().map(|(at, _)| *at)
    }

    /// Opens the streams whose time has come, and forgets those that are open.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, stream)) = self.unopened.front().copied() {
            if at > now && self.is_unopened(stream) {
                return;
            }
            self.begin(stream);
            self.unopened.pop_front();
        }
    }

    fn is_unopened(&self, stream: StreamId) -> bool {
        let pipe = self.pipes.get(&stream);
        pipe.is_some_and(|(pipe, _)| lock(pipe).is_unopened())
    }

    /// Something else is ordered of a stream: so it is opened first, if the application has not done that yet.
    pub(crate) fn begin(&self, stream: StreamId) {
        if let Some((pipe, orders)) = self.pipes.get(&stream) {
            begin(stream, pipe, &mut lock(pipe), orders);
        }
    }

    pub(crate) fn take_events(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Opened { ticket, stream, .. } => {
                    let lost = OpenFailure::Failed(Closed::ConnectionLost);
                    let stream = self.stream(stream).ok_or(lost);
                    if let Some(opener) = self.opens.remove(&ticket) {
                        // A stream that nobody waits for is dropped, and so reset.
                        let _nobody_waits = opener.send(stream);
                    }
                }
                Event::OpenFailed {
                    ticket,
                    error,
                    reason,
                } => {
                    let failure = match (error, reason) {
                        (Some(error), _) => OpenFailure::Refused(error),
                        (None, Some(reason)) => OpenFailure::Failed(reason),
                        (None, None) => OpenFailure::Refused(OpenError::NotConnected),
                    };
                    if let Some(opener) = self.opens.remove(&ticket) {
                        let _nobody_waits = opener.send(Err(failure));
                    }
                }
                Event::Incoming { stream, peer, name } => {
                    let stream = self.stream(stream);
                    if let Some(stream) = stream.filter(|_| self.arrived.len() < MAX_ARRIVED) {
                        self.arrived.push_back(Incoming { peer, name, stream });
                    }
                    self.hand_out();
                }
                Event::Closed { stream, reason } => self.closed(stream, reason),
                _ => {}
            }
        }
    }

    /// The application's end of a stream that was handed over.
    fn stream(&self, id: StreamId) -> Option<Stream> {
        let (pipe, orders) = self.pipes.get(&id)?;
        Some(Stream::new(id, pipe.clone(), orders.clone()))
    }

    fn closed(&mut self, id: StreamId, reason: Closed) {
        if let Some((pipe, orders)) = self.pipes.remove(&id) {
            // The link closes the pipes that it knows.
            if lock(&pipe).close(reason) {
                let _ended = orders.unbounded_send(Order::Forget(id));
            }
        }
    }

    /// Gives what has arrived to those who wait.
    fn hand_out(&mut self) {
        while let Some(incoming) = self.arrived.pop_front() {
            let Some(acceptor) = self.acceptors.pop_front() else {
                self.arrived.push_front(incoming);
                return;
            };
            if let Err(incoming) = acceptor.send(incoming) {
                self.arrived.push_front(incoming);
            }
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        for (pipe, _) in self.pipes.values() {
            lock(pipe).close(Closed::ConnectionLost);
        }
    }
}

//! The machine: what the application opened, what it was offered, and the bytes between.

use crate::{Command, Config, Error};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, StreamId};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, EventQueue, Framing, Input, Journal, OpenError, Protocol, StreamSpec,
    Target, WriteError,
};

/// One call to open. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A stream that we asked for can be written to. If the peer is known to speak the protocol, this comes before the peer's answer, so that the first bytes leave with the
    /// proposal; should the peer refuse after all, [`Closed`](Self::Closed) follows.
    Opened {
        /// The call to open.
        ticket: Ticket,
        /// The stream.
        stream: StreamId,
        /// The peer.
        peer: PeerId,
    },
    /// A stream that we asked for could not be opened.
    OpenFailed {
        /// The call to open.
        ticket: Ticket,
        /// Why, if it was refused at once.
        error: Option<OpenError>,
        /// Why, if it was tried.
        reason: Option<Closed>,
    },
    /// The peer opened a stream.
    Incoming {
        /// The stream.
        stream: StreamId,
        /// The peer.
        peer: PeerId,
        /// The agreed name.
        name: ProtocolName,
    },
    /// There is something to read where there was nothing, or the peer has finished.
    Readable {
        /// The stream.
        stream: StreamId,
    },
    /// A blocked write may be tried again.
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is gone. After [`Closed::Finished`], what was received before can still be read; after any other end it can't.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: Closed,
    },
}

/// One stream of the application.
#[derive(Debug, Default)]
struct Pipe {
    ticket: Option<Ticket>,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    paused: bool,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    blocked: bool,
    finished: bool,
    peer_finished: bool,
    closed: bool,
    /// Whether the application has an event of this kind that it has not read: there is never a second one.
    told_readable: bool,
    told_writable: bool,
}

/// Raw streams of the application.
#[derive(Debug)]
pub struct Streams {
    config: Config,
    specs: Vec<StreamSpec>,
    opening: VecDeque<(Ticket, PeerId, u8)>,
    announcing: VecDeque<(u8, u16)>,
    pipes: BTreeMap<StreamId, Pipe>,
    /// Streams with something for the next drive to do.
    dirty: BTreeSet<StreamId>,
    next_ticket: u64,
    seq: u64,
    events: EventQueue<Event>,
    journal: Journal,
}

impl Streams {
    /// Streams under these names.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyNames`] for more than 255.
    pub fn new(names: &[ProtocolName], config: Config) -> Result<Self, Error> {
        if names.len() > usize::from(u8::MAX) {
            return Err(Error::TooManyNames);
        }
        let spec = |name: &ProtocolName| StreamSpec {
            max_inbound: config.max_inbound,
            max_outbound: config.max_outbound,
            send_capacity: config.write_capacity,
            recv_window: config.recv_window,
            open_timeout: config.open_timeout,
            gather: config.gather,
            handed_over: config.hand_over,
            ..StreamSpec::new(name.clone(), Framing::Raw)
        };
        Ok(Self {
            specs: names.iter().map(spec).collect(),
            opening: VecDeque::new(),
            announcing: VecDeque::new(),
            pipes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            next_ticket: 0,
            seq: 0,
            // What comes uninvited asks for room; every stream has one event of each kind at most.
            events: EventQueue::new(usize::MAX),
            journal: Journal::new(),
            config,
        })
    }

    /// Opens a stream to a connected peer; [`Event::Opened`] or [`Event::OpenFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] or [`Error::TooManyOpening`].
    pub fn open(&mut self, peer: PeerId, name: &ProtocolName) -> Result<Ticket, Error> {
        self.journal.note(|| Command::Open {
            peer,
            name: name.clone(),
        });
        let place = self
            .specs
            .iter()
            .position(|spec| spec.name == *name)
            .ok_or(Error::UnknownName)?;
        let spec = u8::try_from(place).map_err(|_| Error::UnknownName)?;
        if self.opening.len() >= self.config.max_opening || !self.has_room() {
            return Err(Error::TooManyOpening);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        self.opening.push_back((ticket, peer, spec));
        Ok(ticket)
    }

    /// Sets how many inbound streams of `name` each connection may have from the next drive on. 0: refused, and no longer announced.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`].
    pub fn set_inbound(&mut self, name: &ProtocolName, max: u16) -> Result<(), Error> {
        self.journal.note(|| Command::SetInbound {
            name: name.clone(),
            max,
        });
        let place = self
            .specs
            .iter()
            .position(|spec| spec.name == *name)
            .ok_or(Error::UnknownName)?;
        self.announcing
            .push_back((u8::try_from(place).map_err(|_| Error::UnknownName)?, max));
        Ok(())
    }

    /// The next received bytes. `None`: nothing waits now; ask [`is_finished`](Self::is_finished) whether more will come.
    pub fn read(&mut self, stream: StreamId) -> Option<Bytes> {
        let pipe = self.pipes.get_mut(&stream)?;
        let data = pipe.unread.pop_front()?;
        pipe.unread_bytes = pipe.unread_bytes.saturating_sub(data.len());
        if pipe.paused && pipe.unread_bytes <= self.config.read_capacity / 2 {
            self.dirty.insert(stream);
        }
        if pipe.closed && pipe.unread.is_empty() {
            self.pipes.remove(&stream);
        }
        self.journal.took(Some(&data), || Command::Read { stream });
        Some(data)
    }

    /// Whether the peer has finished and everything was read. A stream that is gone is finished.
    pub fn is_finished(&self, stream: StreamId) -> bool {
        self.pipes
            .get(&stream)
            .is_none_or(|pipe| pipe.peer_finished && pipe.unread.is_empty())
    }

    /// Sends bytes. Takes all or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Blocked`], after which [`Event::Writable`] follows; [`Error::Finished`]; [`Error::Closed`].
    pub fn write(&mut self, stream: StreamId, data: Bytes) -> Result<(), Error> {
        self.journal.note(|| Command::Write {
            stream,
            data: data.clone(),
        });
        let pipe = self
            .pipes
            .get_mut(&stream)
            .filter(|pipe| !pipe.closed)
            .ok_or(Error::Closed)?;
        if pipe.finished {
            return Err(Error::Finished);
        }
        if pipe.unsent_bytes > 0 && pipe.unsent_bytes.saturating_add(data.len()) > self.config.write_capacity
        {
            pipe.blocked = true;
            return Err(Error::Blocked);
        }
        if !data.is_empty() {
            pipe.unsent_bytes = pipe.unsent_bytes.saturating_add(data.len());
            pipe.unsent.push_back(data);
            self.dirty.insert(stream);
        }
        Ok(())
    }

    /// Says that we send no more; queues behind what was written.
    pub fn finish(&mut self, stream: StreamId) {
        self.journal.note(|| Command::Finish { stream });
        if let Some(pipe) = self.pipes.get_mut(&stream) {
            pipe.finished = true;
            self.dirty.insert(stream);
        }
    }

    /// Ends both directions at once and forgets the stream; no event follows.
    pub fn reset(&mut self, stream: StreamId) {
        self.journal.note(|| Command::Reset { stream });
        if self.pipes.remove(&stream).is_some_and(|pipe| !pipe.closed) {
            self.dirty.insert(stream);
        }
    }

    /// The oldest event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop()?;
        match event {
            Event::Readable { stream } => {
                if let Some(pipe) = self.pipes.get_mut(&stream) {
                    pipe.told_readable = false;
                }
            }
            Event::Writable { stream } => {
                if let Some(pipe) = self.pipes.get_mut(&stream) {
                    pipe.told_writable = false;
                }
            }
            _ => {}
        }
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// The drive that made the oldest event.
    pub fn next_event_seq(&self) -> Option<u64> {
        self.events.next_seq()
    }

    /// Streams that are open or hold unread bytes.
    pub fn len(&self) -> usize {
        self.pipes.len()
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }

    /// Whether another stream may come into being.
    fn has_room(&self) -> bool {
        self.pipes.len() < self.config.max_streams && self.events.len() < self.config.max_events
    }

    fn emit(&mut self, event: Event) {
        // The queue has no limit of its own; see `new`.
        let _unbounded = self.events.push(self.seq, event);
    }

    /// Says that there is something to read, unless that is said already.
    fn tell_readable(&mut self, stream: StreamId) {
        if let Some(pipe) = self.pipes.get_mut(&stream).filter(|pipe| !pipe.told_readable) {
            pipe.told_readable = true;
            self.emit(Event::Readable { stream });
        }
    }

    fn begin(&mut self, cx: &mut Context<'_>, ticket: Ticket, peer: PeerId, spec: u8) {
        match cx.open(Target::Peer(peer), &[spec]) {
            Ok(stream) => {
                let pipe = Pipe {
                    ticket: Some(ticket),
                    ..Pipe::default()
                };
                self.pipes.insert(stream, pipe);
                // The peer is known to speak the protocol: the first bytes may leave with the proposal.
                if cx.writable(stream) > 0 {
                    self.handle_ours(cx, stream, peer);
                }
            }
            Err(error) => {
                self.emit(Event::OpenFailed {
                    ticket,
                    error: Some(error),
                    reason: None,
                });
            }
        }
    }

    fn handle_opened(&mut self, cx: &mut Context<'_>, stream: StreamId, peer: PeerId, name: ProtocolName) {
        if stream.is_inbound() {
            if self.has_room() {
                self.pipes.insert(stream, Pipe::default());
                self.emit(Event::Incoming { stream, peer, name });
                self.hand_over(cx, stream);
            } else {
                cx.reset(stream);
            }
        } else if self.pipes.contains_key(&stream) {
            self.handle_ours(cx, stream, peer);
        } else {
            cx.reset(stream);
        }
    }

    /// A stream of ours can be written to; told once.
    fn handle_ours(&mut self, cx: &mut Context<'_>, stream: StreamId, peer: PeerId) {
        if let Some(ticket) = self.pipes.get_mut(&stream).and_then(|pipe| pipe.ticket.take()) {
            self.emit(Event::Opened { ticket, stream, peer });
            self.hand_over(cx, stream);
        }
    }

    fn hand_over(&self, cx: &mut Context<'_>, stream: StreamId) {
        if self.config.hand_over {
            cx.hand_over(stream);
        }
    }

    fn handle_data(&mut self, cx: &mut Context<'_>, stream: StreamId, data: Bytes) {
        let Some(pipe) = self.pipes.get_mut(&stream) else {
            return;
        };
        let was_empty = pipe.unread.is_empty();
        pipe.unread_bytes = pipe.unread_bytes.saturating_add(data.len());
        pipe.unread.push_back(data);
        if !pipe.paused && pipe.unread_bytes > self.config.read_capacity {
            pipe.paused = true;
            cx.pause(stream);
        }
        if was_empty {
            self.tell_readable(stream);
        }
    }

    fn handle_closed(&mut self, stream: StreamId, reason: Closed) {
        self.dirty.remove(&stream);
        let Some(pipe) = self.pipes.get_mut(&stream) else {
            return;
        };
        if let Some(ticket) = pipe.ticket.take() {
            self.pipes.remove(&stream);
            self.emit(Event::OpenFailed {
                ticket,
                error: None,
                reason: Some(reason),
            });
            return;
        }
        if reason == Closed::Finished && !pipe.unread.is_empty() {
            pipe.closed = true;
        } else {
            self.pipes.remove(&stream);
        }
        self.emit(Event::Closed { stream, reason });
    }

    /// Carries out what the application wished for one stream since the last drive.
    fn flush(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(pipe) = self.pipes.get_mut(&stream) else {
            cx.reset(stream);
            return;
        };
        if pipe.paused && pipe.unread_bytes <= self.config.read_capacity / 2 {
            pipe.paused = false;
            cx.resume(stream);
        }
        while let Some(data) = pipe.unsent.front() {
            match cx.write(stream, data.clone()) {
                Ok(()) => {
                    pipe.unsent_bytes = pipe.unsent_bytes.saturating_sub(data.len());
                    pipe.unsent.pop_front();
                }
                Err(WriteError::Blocked) => return,
                Err(_) => break,
            }
        }
        if pipe.finished {
            cx.finish(stream);
        }
        if pipe.blocked {
            pipe.blocked = false;
            if !pipe.told_writable {
                pipe.told_writable = true;
                self.emit(Event::Writable { stream });
            }
        }
    }
}

impl Protocol for Streams {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.seq = cx.seq;
        match input {
            Input::Opened {
                stream, peer, name, ..
            } => self.handle_opened(cx, stream, peer, name),
            Input::Frame { stream, data } => self.handle_data(cx, stream, data),
            Input::Writable { stream } => self.flush(cx, stream),
            Input::Finished { stream } => {
                if let Some(pipe) = self.pipes.get_mut(&stream) {
                    pipe.peer_finished = true;
                    self.tell_readable(stream);
                }
            }
            Input::Closed { stream, reason } => self.handle_closed(stream, reason),
            Input::Timeout => {
                if let Some((ticket, peer, spec)) = self.opening.pop_front() {
                    self.begin(cx, ticket, peer, spec);
                }
                while let Some((spec, max)) = self.announcing.pop_front() {
                    // The place was looked up in our own list.
                    let _known = cx.set_inbound(spec, max);
                }
                while let Some(stream) = self.dirty.pop_first() {
                    self.flush(cx, stream);
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        (!self.opening.is_empty() || !self.dirty.is_empty() || !self.announcing.is_empty())
            .then(|| Deadline::now("command"))
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}

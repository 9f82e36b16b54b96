//! The machine: a bare connection, or one inside a WebSocket.

use crate::{
    Config, Error,
    bare::{Bare, ConnectionStats},
    inner::Inner,
};
use alloc::{boxed::Box, sync::Arc};
use core::fmt;
use libp2p_proto_core::{ConnectionId, Deadline, Instant, Rng, Side, TransmitBuf, WebSocketTarget};
use libp2p_proto_stream_protocol::{FromConnection, Seat, ToConnection};
use libp2p_proto_websocket::{self as websocket, CloseCode, Event, WebSocket};

/// One connection over one byte pipe. See the crate's page for the calling contract.
pub struct Connection {
    bare: Bare,
    /// The WebSocket around all of its bytes, if the seat says so.
    web: Option<Box<WebSocket>>,
    /// Connections over streams of this one, once there is any.
    inner: Option<Box<Inner>>,
    config: Arc<Config>,
}

impl Connection {
    /// A connection machine on a fresh link, in the seat that the swarm gave.
    pub fn new(now: Instant, config: Arc<Config>, mut seat: Seat) -> Self {
        let web = seat.websocket.take().map(|target| {
            let dice = Rng::from_seed(seat.seed).fork("websocket", 0);
            web_socket(&config, seat.side, &target, dice, now)
        });
        let mut bare = Bare::new(now, config.clone(), seat);
        let web = web.and_then(|web| {
            // A name that can't stand in a request leads nowhere.
            web.inspect_err(|error| bare.fail_below(now, error.clone())).ok()
        });
        Self {
            bare,
            web,
            inner: None,
            config,
        }
    }

    /// The swarm's name for the connection.
    pub const fn id(&self) -> ConnectionId {
        self.bare.id()
    }

    /// Takes what it can of `input`, decrypting it where it lies, and answers how many bytes it took. The rest must be handed in again, as it is now, with what
    /// came behind it.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error, and the last message tells the swarm.
    pub fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, Error> {
        let Some(web) = &mut self.web else {
            return self.bare.handle_input(now, input);
        };
        let bare = &mut self.bare;
        let result = web.handle_input(now, input, |payload| {
            if bare.is_ending() {
                // What arrives after the end means nothing.
                return Ok(payload.len());
            }
            bare.handle_input(now, payload)
        });
        if let (Err(error), None) = (&result, self.bare.error()) {
            self.bare.fail_below(now, error.clone());
        }
        self.carry(now);
        match self.bare.error() {
            Some(error) => Err(error.clone()),
            None => result,
        }
    }

    /// Tells each of the two layers of a WebSocket what has become of the other.
    fn carry(&mut self, now: Instant) {
        let Some(web) = &mut self.web else { return };
        // While the bare connection reads nothing, it may have left something that came ahead of the end.
        while let Some(event) = self.bare.wants_input().then(|| web.poll_event()).flatten() {
            match event {
                Event::Closed { code } if code.is_clean() => self.bare.handle_eof(now),
                Event::Closed { code } => self.bare.fail_below(now, Error::WebSocketClosed(code.get())),
                _ => {}
            }
        }
        if self.bare.is_closed() && web.is_open() {
            let code = match self.bare.error() {
                Some(_) => CloseCode::POLICY,
                None => CloseCode::NORMAL,
            };
            web.close(now, code);
        } else if self.bare.is_closed() && web.is_upgrading() {
            web.abort();
        } else if self.bare.is_ending() && !web.is_open() {
            // Its last words can't leave any more.
            self.bare.handle_eof(now);
        }
    }

    /// An order of the swarm.
    pub fn handle_message(&mut self, now: Instant, message: ToConnection) {
        if let (Some(web), ToConnection::Abort) = (&mut self.web, &message) {
            web.abort();
        }
        match message {
            ToConnection::Promote { stream, seat } => {
                let inner = self.inner.get_or_insert_with(|| Box::new(Inner::new()));
                inner.promote(now, self.config.clone(), &mut self.bare, (stream, *seat));
            }
            ToConnection::Inner { conn, order } => self.order_inner(now, conn, *order),
            order => match order.stream().map(|stream| stream.conn) {
                Some(conn) if conn != self.bare.id() => self.order_inner(now, conn, order),
                _ => self.bare.handle_message(now, order),
            },
        }
        self.carry(now);
    }

    /// An order for a connection inside of this one. If it is gone, it has told so.
    fn order_inner(&mut self, now: Instant, conn: ConnectionId, order: ToConnection) {
        if let Some(inner) = &mut self.inner {
            inner.handle_message(now, conn, order);
        }
    }

    /// The remote sends no more bytes.
    pub fn handle_eof(&mut self, now: Instant) {
        match self.web.as_mut().map(|web| web.handle_eof(now)) {
            // The remote has closed, and is taken at its word.
            Some(Ok(())) | None => self.bare.handle_eof(now),
            Some(Err(error)) => self.bare.fail_below(now, error.into()),
        }
    }

    /// The transport failed, for a cause of one word.
    pub fn handle_link_error(&mut self, now: Instant, code: &'static str) {
        if let Some(web) = &mut self.web {
            web.abort();
        }
        self.bare.handle_link_error(now, code);
    }

    /// The deadline has come; harmless if early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(web) = &mut self.web {
            let result = web.handle_timeout(now);
            if let Err(error) = result {
                self.bare.fail_below(now, error.into());
            } else if web.is_upgrading() && self.bare.is_due(now) {
                // Nothing above has begun: it is the WebSocket that was too slow.
                web.abort();
                self.bare.fail_below(now, websocket::Error::UpgradeTimeout.into());
            }
        }
        self.bare.handle_timeout(now);
        if let Some(inner) = &mut self.inner {
            inner.handle_timeout(now, &mut self.bare);
        }
        self.carry(now);
    }

    /// Appends one unit of output, if there is any and it fits; says whether it did.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool {
        if let Some(inner) = &mut self.inner {
            inner.transmit(now, &mut self.bare);
        }
        let Some(web) = &mut self.web else {
            return self.bare.poll_transmit(now, out);
        };
        let bare = &mut self.bare;
        if web.poll_transmit(now, out, |payload| bare.poll_transmit(now, payload)) {
            return true;
        }
        // The bare connection may have come to its end just now.
        self.carry(now);
        let web = self.web.as_mut();
        web.is_some_and(|web| !web.is_open() && web.poll_transmit(now, out, |_| false))
    }

    /// The next message for the swarm. [`FromConnection::Disconnected`] is the last.
    pub fn poll_message(&mut self) -> Option<FromConnection> {
        loop {
            let Some(inner) = &mut self.inner else {
                return self.bare.poll_message();
            };
            if let Some(message) = inner.poll_message(&mut self.bare) {
                return Some(message);
            }
            if inner.is_empty() {
                self.inner = None;
                continue;
            }
            let message = self.bare.poll_message()?;
            if let Some(message) = inner.take(&mut self.bare, message) {
                return Some(message);
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let web = self.web.as_ref().and_then(|web| web.poll_timeout());
        let inner = self.inner.as_ref().and_then(|inner| inner.poll_timeout());
        Deadline::earliest(Deadline::earliest(self.bare.poll_timeout(), web), inner)
    }

    /// Whether more input may be handed in now. While the answer is no, the link is not to be read.
    pub fn wants_input(&self) -> bool {
        self.bare.wants_input()
    }

    /// Whether the machine is done: the link may be dropped once [`poll_message`](Self::poll_message) is drained.
    pub fn is_closed(&self) -> bool {
        self.bare.is_closed() && self.web.as_ref().is_none_or(|web| web.is_closed())
    }

    /// Counters; of a WebSocket, those of what it carries.
    pub fn stats(&self) -> ConnectionStats {
        self.bare.stats()
    }
}

fn web_socket(
    config: &Config,
    side: Side,
    target: &WebSocketTarget,
    dice: Rng,
    now: Instant,
) -> Result<Box<WebSocket>, Error> {
    let web = match side {
        Side::Dialer => WebSocket::client(config.websocket, &target.host, &target.path, dice, now)?,
        Side::Listener => WebSocket::server(config.websocket, now)?,
    };
    Ok(Box::new(web))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.web {
            Some(web) => write!(f, "Connection({:?} in {web:?})", self.bare),
            None => write!(f, "Connection({:?})", self.bare),
        }
    }
}

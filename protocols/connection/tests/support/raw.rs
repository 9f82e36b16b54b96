//! An authenticated peer whose plaintext is written by hand.

use super::{NOW, connection, identity};
use libp2p_proto_connection::{Connection, Error};
use libp2p_proto_core::{Instant, Rng, Side, TransmitBuf};
use libp2p_proto_noise::{self as noise, Handshake, Opener, Sealer};
use libp2p_proto_stream_protocol::{FromConnection, ToConnection};
use std::sync::Arc;

pub(crate) const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
pub(crate) const NOISE: &[u8] = b"\x07/noise\n";

/// One end of ours, and the keys of the peer that talks to it.
pub(crate) struct Raw {
    pub(crate) end: Connection,
    pub(crate) now: Instant,
    pub(crate) told: Vec<FromConnection>,
    /// Whether frames give their credit back when they are told.
    pub(crate) grant: bool,
    /// What the peer said up to here, flight by flight.
    pub(crate) flights: Vec<Vec<u8>>,
    sealer: Sealer,
    opener: Opener,
    /// Bytes of ours that the peer has not opened.
    unopened: Vec<u8>,
    /// Bytes of the peer that our end did not take.
    tail: Vec<u8>,
}

impl Raw {
    /// Our listener, and a dialer with its keys.
    pub(crate) fn dialer() -> Self {
        Self::upgraded(connection(2, Side::Listener))
    }

    pub(crate) fn upgraded(end: Connection) -> Self {
        let keys = noise::Config::new(&identity(1), &mut Rng::from_seed([3; 32])).unwrap();
        Self::with_keys(end, Side::Dialer, keys)
    }

    /// Our dialer, and a listener with its keys.
    pub(crate) fn listener() -> Self {
        let keys = noise::Config::new(&identity(2), &mut Rng::from_seed([3; 32])).unwrap();
        Self::with_keys(connection(1, Side::Dialer), Side::Listener, keys)
    }

    /// A dialer that lists no multiplexer in its handshake.
    pub(crate) fn without_inlined_muxer() -> Self {
        let keys = noise::Config::new(&identity(1), &mut Rng::from_seed([3; 32])).unwrap();
        let keys = keys.with_muxers(Vec::new()).unwrap();
        Self::with_keys(connection(2, Side::Listener), Side::Dialer, keys)
    }

    fn with_keys(mut end: Connection, side: Side, keys: noise::Config) -> Self {
        let mut peer = Handshake::new(Arc::new(keys), side, None, [5; 32]);
        let mut ours = Vec::new();
        let mut theirs = [HEADER, NOISE].concat();
        let theirs_first = theirs.clone();
        let mut flights = vec![theirs.clone()];
        say(&mut end, NOW, &mut ours);
        take(&mut end, &mut theirs);
        say(&mut end, NOW, &mut ours);
        // Both roles begin with the same bytes.
        assert!(ours.starts_with(&theirs_first));
        ours.drain(..theirs_first.len());
        while !peer.is_finished() {
            while peer.poll_transmit(&mut TransmitBuf::new(&mut theirs, 4096)) {}
            flights.push(theirs.clone());
            take(&mut end, &mut theirs);
            say(&mut end, NOW, &mut ours);
            let taken = peer.handle_input(&mut ours).unwrap();
            ours.drain(..taken);
        }
        while peer.poll_transmit(&mut TransmitBuf::new(&mut theirs, 4096)) {}
        if !theirs.is_empty() {
            flights.push(theirs.clone());
        }
        take(&mut end, &mut theirs);
        let done = peer.finish().unwrap();
        let mut raw = Self {
            end,
            now: NOW,
            told: Vec::new(),
            grant: true,
            flights,
            sealer: done.sealer,
            opener: done.opener,
            unopened: ours,
            tail: Vec::new(),
        };
        raw.messages();
        raw
    }

    /// Seals plaintext into frames, without handing them in.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in plaintext.chunks(noise::MAX_PLAINTEXT) {
            let mut out = TransmitBuf::new(&mut wire, noise::MAX_FRAME + 2);
            self.sealer
                .seal(&mut out, |body| assert!(body.put(part)))
                .unwrap();
        }
        wire
    }

    /// The peer says this; what is not taken waits.
    pub(crate) fn say(&mut self, plaintext: &[u8]) -> Result<(), Error> {
        let sealed = self.seal(plaintext);
        self.tail.extend_from_slice(&sealed);
        self.feed()
    }

    /// Hands in what waits until nothing moves.
    pub(crate) fn feed(&mut self) -> Result<(), Error> {
        loop {
            let taken = self.end.handle_input(self.now, &mut self.tail)?;
            self.tail.drain(..taken);
            if !self.messages() && taken == 0 {
                return Ok(());
            }
        }
    }

    /// Hands in what waits once, without looking at messages.
    pub(crate) fn feed_once(&mut self) -> Result<usize, Error> {
        let taken = self.end.handle_input(self.now, &mut self.tail)?;
        self.tail.drain(..taken);
        Ok(taken)
    }

    /// Bytes that our end did not take.
    pub(crate) fn untaken(&self) -> usize {
        self.tail.len()
    }

    /// Puts bytes behind what waits.
    pub(crate) fn queue(&mut self, plaintext: &[u8]) {
        let sealed = self.seal(plaintext);
        self.tail.extend_from_slice(&sealed);
    }

    /// Gives the memory of empty buffers back.
    pub(crate) fn forget_buffers(&mut self) {
        self.unopened.shrink_to_fit();
        self.tail.shrink_to_fit();
    }

    pub(crate) fn messages(&mut self) -> bool {
        let mut any = false;
        while let Some(message) = self.end.poll_message() {
            any = true;
            match &message {
                FromConnection::Authenticated { .. } => {
                    self.end.handle_message(self.now, ToConnection::Admit);
                }
                FromConnection::Frame { stream, data } if self.grant => {
                    let (stream, bytes) = (*stream, data.len());
                    self.end
                        .handle_message(self.now, ToConnection::Grant { stream, bytes });
                }
                _ => {}
            }
            self.told.push(message);
        }
        any
    }

    /// What our end says now, opened.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        say(&mut self.end, self.now, &mut self.unopened);
        let mut plaintext = Vec::new();
        while let Some((taken, plain)) = self.opener.open(&mut self.unopened).unwrap() {
            plaintext.extend_from_slice(plain);
            self.unopened.drain(..taken);
        }
        plaintext
    }
}

/// A yamux frame; the length of data is that of its body.
pub(crate) fn frame(kind: u8, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut wire = vec![0, kind];
    wire.extend(flags.to_be_bytes());
    wire.extend(stream.to_be_bytes());
    wire.extend(length.to_be_bytes());
    wire.extend_from_slice(body);
    wire
}

pub(crate) const SYN: u16 = 1;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

pub(crate) fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, u32::try_from(body.len()).unwrap(), body)
}

/// A message of multistream-select.
pub(crate) fn line(text: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.len() + 1).unwrap()];
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
    out
}

/// A stream that opens, and proposes a name.
pub(crate) fn open(stream: u32, name: &str) -> Vec<u8> {
    data(SYN, stream, &[HEADER, &line(name)].concat())
}

fn say(end: &mut Connection, now: Instant, out: &mut Vec<u8>) {
    while end.poll_transmit(now, &mut TransmitBuf::new(out, 70_000)) {}
}

fn take(end: &mut Connection, bytes: &mut Vec<u8>) {
    while !bytes.is_empty() {
        let taken = end.handle_input(NOW, bytes).unwrap();
        assert!(taken > 0);
        bytes.drain(..taken);
        while let Some(message) = end.poll_message() {
            assert!(matches!(
                message,
                FromConnection::Authenticated { .. } | FromConnection::Established { .. }
            ));
            if matches!(message, FromConnection::Authenticated { .. }) {
                end.handle_message(NOW, ToConnection::Admit);
            }
        }
    }
}

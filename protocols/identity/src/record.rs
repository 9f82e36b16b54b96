//! Peer records (RFC 0003): a peer's own statement of its addresses.

use crate::{Envelope, Error, Identity};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, PeerId, UnixTime,
    protobuf::{Limits, Reader, Value, Writer},
};

/// What go, js and nim sign and expect.
const DEPLOYED: (&[u8], &str) = (&[0x03, 0x01], "libp2p-peer-record");
/// What the RFC says, and rust signs by default.
const RFC: (&[u8], &str) = (b"/libp2p/routing-state-record", "libp2p-routing-state");

/// Addresses that are kept of one record.
const MAX_ADDRS: usize = 128;

const PEER_ID: u32 = 1;
const SEQ: u32 = 2;
const ADDRESSES: u32 = 3;
const MULTIADDR: u32 = 1;

/// The addresses of a peer, as it signed them. A signature proves authorship, not reachability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    peer: PeerId,
    seq: u64,
    addrs: Vec<Multiaddr>,
}

impl PeerRecord {
    /// A record to be sealed. Send only addresses that every peer can parse: rust and js refuse the whole record for one that they can't.
    pub const fn new(peer: PeerId, seq: u64, addrs: Vec<Multiaddr>) -> Self {
        Self { peer, seq, addrs }
    }

    /// The peer that the record speaks of, which is the one that signed it.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The sequence number: newer records have greater ones. It is no time, since every implementation counts in another unit.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The addresses.
    pub fn addrs(&self) -> &[Multiaddr] {
        &self.addrs
    }

    /// Signs the record in the deployed dialect and answers the encoded envelope.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPeer`] if the record is not of `identity`, and those of [`Envelope::seal`].
    pub fn seal(&self, identity: &Identity) -> Result<Bytes, Error> {
        if self.peer != identity.peer_id() {
            return Err(Error::WrongPeer);
        }
        Envelope::seal(DEPLOYED.1, DEPLOYED.0, &self.encode(), identity)
            .map(|envelope| envelope.encoded().clone())
    }

    /// Reads a record out of an envelope of either dialect. The signature is verified before the record is looked at. Addresses that don't parse, and those that end in
    /// another peer's id, are skipped; 128 are kept.
    ///
    /// # Errors
    ///
    /// Those of [`Envelope::open`], [`Error::MalformedRecord`], [`Error::WrongPeer`].
    pub fn open(envelope: &[u8]) -> Result<Self, Error> {
        let envelope = Envelope::open(envelope, &[DEPLOYED, RFC])?;
        let record = Self::decode(envelope.payload())?;
        if record.peer == envelope.signer().peer_id() {
            Ok(record)
        } else {
            Err(Error::WrongPeer)
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.bytes(PEER_ID, self.peer.as_bytes());
        writer.varint(SEQ, self.seq);
        for addr in &self.addrs {
            let mut info = Vec::new();
            Writer::new(&mut info).bytes(MULTIADDR, addr.as_bytes());
            writer.bytes(ADDRESSES, &info);
        }
        out
    }

    fn decode(payload: &[u8]) -> Result<Self, Error> {
        let (mut peer, mut seq, mut addrs) = (None, 0, Vec::new());
        let mut reader = Reader::new(payload, Limits::default());
        while let Some(field) = reader.next_field().map_err(|_| Error::MalformedRecord)? {
            match (field.number, field.value) {
                (PEER_ID, Value::Bytes(bytes)) => peer = PeerId::from_bytes(bytes).ok(),
                (SEQ, Value::Varint(number)) => seq = number,
                (ADDRESSES, Value::Bytes(info)) if addrs.len() < MAX_ADDRS => {
                    let nested = reader.nested(info).map_err(|_| Error::MalformedRecord)?;
                    addrs.extend(address(nested)?);
                }
                _ => {}
            }
        }
        let peer = peer.ok_or(Error::MalformedRecord)?;
        addrs.retain(|addr: &Multiaddr| addr.peer_id().is_none_or(|id| id == peer));
        Ok(Self { peer, seq, addrs })
    }
}

fn address(mut reader: Reader<'_>) -> Result<Option<Multiaddr>, Error> {
    let mut addr = None;
    while let Some(field) = reader.next_field().map_err(|_| Error::MalformedRecord)? {
        if let (MULTIADDR, Value::Bytes(bytes)) = (field.number, field.value) {
            addr = Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok();
        }
    }
    Ok(addr)
}

/// Gives our own records sequence numbers that always rise, also within one tick of the clock and when it steps back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordClock {
    last: u64,
}

impl RecordClock {
    /// Begins after the number of a record that was sealed before.
    pub const fn after(last: u64) -> Self {
        Self { last }
    }

    /// The next number: the time in nanoseconds, or one more than the last.
    pub fn next(&mut self, unix: UnixTime) -> u64 {
        self.last = self.last.saturating_add(1).max(unix.as_nanos());
        self.last
    }
}

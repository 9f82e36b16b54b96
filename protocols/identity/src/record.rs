//! Peer records (RFC 0003): a peer's own statement of its addresses.

use crate::{Envelope, Error, Identity};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, PeerId, UnixTime,
    protobuf::{Limits, Reader, Writer},
};

/// The two forms in which records are signed. [`PeerRecord::open`] reads both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// What go, js and nim sign and expect.
    #[default]
    Deployed,
    /// What the RFC says; rust signs it by default, and its rendezvous reads no other.
    Rfc,
}

impl Dialect {
    /// The payload type and its domain.
    const fn signed_as(self) -> (&'static [u8], &'static str) {
        match self {
            Self::Deployed => (&[0x03, 0x01], "libp2p-peer-record"),
            Self::Rfc => (b"/libp2p/routing-state-record", "libp2p-routing-state"),
        }
    }
}

/// The most addresses that are kept of one record.
pub const MAX_RECORD_ADDRS: usize = 128;

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
    /// Those of [`seal_as`](Self::seal_as).
    pub fn seal(&self, identity: &Identity) -> Result<Bytes, Error> {
        self.seal_as(Dialect::Deployed, identity)
    }

    /// Signs the record and answers the encoded envelope.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPeer`] if the record is not of `identity`, and those of [`Envelope::seal`].
    pub fn seal_as(&self, dialect: Dialect, identity: &Identity) -> Result<Bytes, Error> {
        if self.peer != identity.peer_id() {
            return Err(Error::WrongPeer);
        }
        let (payload_type, domain) = dialect.signed_as();
        Envelope::seal(domain, payload_type, &self.encode(), identity)
            .map(|envelope| envelope.encoded().clone())
    }

    /// Reads a record out of an envelope of either dialect. The signature is verified before the record is looked at. Addresses that don't parse, and those that end in
    /// another peer's id, are skipped; [`MAX_RECORD_ADDRS`] are kept.
    ///
    /// # Errors
    ///
    /// Those of [`Envelope::open`], [`Error::MalformedRecord`], [`Error::WrongPeer`].
    pub fn open(envelope: &[u8]) -> Result<Self, Error> {
        let envelope = Envelope::open(
            envelope,
            &[Dialect::Deployed.signed_as(), Dialect::Rfc.signed_as()],
        )?;
        Self::decode(envelope.payload(), envelope.signer().peer_id())
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

    /// Reads what `signer` signed.
    fn decode(payload: &[u8], signer: PeerId) -> Result<Self, Error> {
        let (mut peer, mut seq, mut addrs) = (None, 0, Vec::new());
        let mut reader = Reader::new(payload, Limits::default());
        while let Some(field) = reader.next_field().map_err(|_| Error::MalformedRecord)? {
            let malformed = |_| Error::MalformedRecord;
            match field.number {
                PEER_ID => peer = PeerId::from_bytes(field.value.to_bytes().map_err(malformed)?).ok(),
                SEQ => seq = field.value.to_u64().map_err(malformed)?,
                ADDRESSES => {
                    let info = field.value.to_bytes().map_err(malformed)?;
                    let addr = address(reader.nested(info).map_err(malformed)?)?;
                    let room = MAX_RECORD_ADDRS.saturating_sub(addrs.len());
                    addrs.extend(addr.filter(|addr| is_of(addr, signer)).into_iter().take(room));
                }
                _ => {}
            }
        }
        match peer {
            Some(peer) if peer == signer => Ok(Self { peer, seq, addrs }),
            Some(_) => Err(Error::WrongPeer),
            None => Err(Error::MalformedRecord),
        }
    }
}

/// The address of one `AddressInfo`; `None` if it does not parse.
fn address(mut info: Reader<'_>) -> Result<Option<Multiaddr>, Error> {
    let mut addr = None;
    while let Some(field) = info.next_field().map_err(|_| Error::MalformedRecord)? {
        if field.number == MULTIADDR {
            let bytes = field.value.to_bytes().map_err(|_| Error::MalformedRecord)?;
            addr = Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok();
        }
    }
    Ok(addr)
}

/// Whether the address leads to this peer, as far as it says.
fn is_of(addr: &Multiaddr, peer: PeerId) -> bool {
    addr.peer_id().is_none_or(|named| named == peer)
}

/// Gives our own records sequence numbers that always rise, also within one tick of the clock and when it steps back, until 2⁶⁴−1 (the year 2554).
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

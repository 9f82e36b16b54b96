//! Our own addresses, and the record that is signed over them.

use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::{AddressClass, Multiaddr, UnixTime};
use libp2p_proto_identity::{Dialect, Identity, PeerRecord, RecordClock};
use libp2p_proto_stream_protocol::{Fact, OwnAddresses};

/// Bytes that a record of ours may have: with namespace and time to live it fits the 4 096 bytes that nim reads.
const MAX_RECORD: usize = 3800;
/// Bytes of a record and its envelope besides key, signature and addresses: peer id, number, payload type, tags and lengths.
const RECORD_FRAME: usize = 128;
/// Bytes around one address: two tags, two lengths.
const ADDR_FRAME: usize = 6;

/// Our addresses, as the facts told them, and the records that were signed over them.
#[derive(Debug)]
pub(crate) struct Ourselves {
    identity: Identity,
    own: OwnAddresses,
    private: bool,
    clock: RecordClock,
    /// The number of the record over the present addresses, once one was signed.
    seq: Option<u64>,
    records: BTreeMap<Dialect, Bytes>,
}

impl Ourselves {
    pub(crate) fn new(identity: Identity, private: bool) -> Self {
        Self {
            identity,
            own: OwnAddresses::default(),
            private,
            clock: RecordClock::after(0),
            seq: None,
            records: BTreeMap::new(),
        }
    }

    /// Takes a fact in. Says whether it changes our record.
    pub(crate) fn learn(&mut self, fact: &Fact) -> bool {
        let before = self.addrs();
        let changed = self.own.learn(fact) && self.addrs() != before;
        if changed {
            self.seq = None;
            self.records.clear();
        }
        changed
    }

    /// Confirmed public and relayed addresses, then public listeners; with `private_addrs` all of them.
    pub(crate) fn addrs(&self) -> Vec<Multiaddr> {
        let allowed = |addr: &&Multiaddr| {
            let class = addr.class();
            matches!(
                class,
                AddressClass::Public | AddressClass::Name | AddressClass::Relayed
            ) || (self.private
                && matches!(
                    class,
                    AddressClass::Private | AddressClass::Loopback | AddressClass::LinkLocal
                ))
        };
        // A listener at a public address proves nothing; only who allows all addresses takes listeners unseen.
        let known = if self.private {
            self.own.all().collect()
        } else {
            self.own.confirmed().collect::<Vec<_>>()
        };
        known
            .into_iter()
            .filter(allowed)
            .map(|addr| addr.split_peer_id().0.unwrap_or_else(|| addr.clone()))
            .collect()
    }

    /// The signed record over our addresses, as many as fit; made once for each change. `None` if there is nothing to certify, or the key can't sign.
    pub(crate) fn record(&mut self, unix: UnixTime, dialect: Dialect, max_addrs: usize) -> Option<Bytes> {
        if let Some(record) = self.records.get(&dialect) {
            return Some(record.clone());
        }
        let key = self.identity.public_key();
        let mut room = MAX_RECORD
            .saturating_sub(key.encode().len())
            .saturating_sub(key.max_signature_len())
            .saturating_sub(RECORD_FRAME);
        let mut addrs = self.addrs();
        addrs.truncate(max_addrs);
        addrs.retain(|addr| {
            let left = room.checked_sub(addr.as_bytes().len().saturating_add(ADDR_FRAME));
            room = left.unwrap_or(room);
            left.is_some()
        });
        if addrs.is_empty() {
            return None;
        }
        let clock = &mut self.clock;
        let seq = *self.seq.get_or_insert_with(|| clock.next(unix));
        let record = PeerRecord::new(self.identity.peer_id(), seq, addrs);
        let sealed = record.seal_as(dialect, &self.identity).ok()?;
        self.records.insert(dialect, sealed.clone());
        Some(sealed)
    }
}

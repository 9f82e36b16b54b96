//! What is known of connected peers; equal lists and texts are stored once.

use crate::Message;
use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};
use libp2p_proto_core::{Multiaddr, ProtocolName};

/// What a peer says of itself. Its texts are untrusted: escape them before they reach a terminal (`{:?}` does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer's program.
    pub agent_version: Arc<str>,
    /// The family of protocols.
    pub protocol_version: Arc<str>,
    /// Protocols that it accepts, sorted.
    pub protocols: Arc<[ProtocolName]>,
    /// Addresses that it claims, without the final `/p2p`; those of its signed record if there was a valid one.
    pub listen_addrs: Arc<[Multiaddr]>,
    /// Whether a signed record carried the addresses.
    pub certified: bool,
    /// Our address, as it claims to see it.
    pub observed_addr: Option<Multiaddr>,
}

/// What the signed record of a message says.
#[derive(Debug)]
pub(crate) enum Record {
    /// There is none that is valid and the peer's own.
    None,
    /// It is not newer than the one that was read before.
    Known,
    /// These addresses.
    Newer(Vec<Multiaddr>),
}

/// Values that many peers share.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    texts: BTreeSet<Arc<str>>,
    lists: BTreeSet<Arc<[ProtocolName]>>,
    /// The size at which values that nobody else holds are swept out: events and facts hold them too, so that nobody knows when the last one lets go.
    sweep_at: usize,
}

/// Values that may stand before the first sweep.
const MIN_SWEEP: usize = 64;

impl Interned {
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        self.sweep();
        new
    }

    pub(crate) fn list(&mut self, mut names: Vec<ProtocolName>) -> Arc<[ProtocolName]> {
        names.sort();
        names.dedup();
        if let Some(known) = self.lists.get(names.as_slice()) {
            return known.clone();
        }
        let new: Arc<[ProtocolName]> = names.into();
        self.lists.insert(new.clone());
        self.sweep();
        new
    }

    /// Values that are held.
    pub(crate) fn len(&self) -> usize {
        self.texts.len().saturating_add(self.lists.len())
    }

    /// Drops what nobody else holds, each time the number of values has doubled.
    fn sweep(&mut self) {
        if self.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.sweep_at = self.len().saturating_mul(2);
        }
    }

    /// The first answer of a peer: what is missing is empty.
    pub(crate) fn complete(&mut self, message: Message, record: Record) -> PeerInfo {
        let nothing = PeerInfo {
            agent_version: self.text(""),
            protocol_version: self.text(""),
            protocols: self.list(Vec::new()),
            listen_addrs: Arc::new([]),
            certified: false,
            observed_addr: None,
        };
        self.update(&nothing, message, record)
    }

    /// A push: what is missing stays, a list with an entry replaces the old one.
    pub(crate) fn update(&mut self, old: &PeerInfo, message: Message, record: Record) -> PeerInfo {
        let (listen_addrs, certified) = match record {
            Record::Newer(addrs) => (addrs.into(), true),
            // The record that was read before says the same or more.
            Record::Known if old.certified => (old.listen_addrs.clone(), true),
            Record::Known | Record::None if message.listen_addrs.is_empty() => {
                (old.listen_addrs.clone(), old.certified)
            }
            Record::Known | Record::None => (message.listen_addrs.into(), false),
        };
        PeerInfo {
            agent_version: message
                .agent_version
                .map_or_else(|| old.agent_version.clone(), |text| self.text(&text)),
            protocol_version: message
                .protocol_version
                .map_or_else(|| old.protocol_version.clone(), |text| self.text(&text)),
            protocols: if message.protocols.is_empty() {
                old.protocols.clone()
            } else {
                self.list(message.protocols)
            },
            listen_addrs,
            certified,
            observed_addr: message.observed_addr.or_else(|| old.observed_addr.clone()),
        }
    }
}

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

/// Values that many peers share.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    texts: BTreeSet<Arc<str>>,
    lists: BTreeSet<Arc<[ProtocolName]>>,
}

impl Interned {
    pub(crate) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
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
        new
    }

    /// Gives back what nobody but us and `info` holds.
    pub(crate) fn release(&mut self, info: &PeerInfo) {
        for text in [&info.agent_version, &info.protocol_version] {
            if Arc::strong_count(text) <= 2 {
                self.texts.remove(text);
            }
        }
        if Arc::strong_count(&info.protocols) <= 2 {
            self.lists.remove(&info.protocols);
        }
    }

    /// The first answer of a peer: what is missing is empty.
    pub(crate) fn complete(&mut self, message: Message, record: Option<Vec<Multiaddr>>) -> PeerInfo {
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
    pub(crate) fn update(
        &mut self,
        old: &PeerInfo,
        message: Message,
        record: Option<Vec<Multiaddr>>,
    ) -> PeerInfo {
        let certified = record.is_some();
        let addrs = record.unwrap_or(message.listen_addrs);
        let keep_addrs = addrs.is_empty() && !certified;
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
            listen_addrs: if keep_addrs {
                old.listen_addrs.clone()
            } else {
                addrs.into()
            },
            certified: if keep_addrs { old.certified } else { certified },
            observed_addr: message.observed_addr.or_else(|| old.observed_addr.clone()),
        }
    }
}

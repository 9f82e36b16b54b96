//! What we say of ourselves, to each peer what it can use.

use crate::{Config, Message};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{AddressClass, Component, Multiaddr, UnixTime};
use libp2p_proto_identity::{Identity, PeerRecord, RecordClock};
use libp2p_proto_stream_protocol::{ConnectionInfo, Context, Fact, OwnAddresses};

/// Our addresses, as the facts told them, and the record that was signed over them.
#[derive(Debug, Default)]
pub(crate) struct Ourselves {
    own: OwnAddresses,
    record: Option<Bytes>,
    clock: RecordClock,
}

impl Ourselves {
    /// Takes a fact in. Says whether it changes what we say of ourselves.
    pub(crate) fn learn(&mut self, fact: &Fact) -> bool {
        if *fact == Fact::LocalProtocols {
            return true;
        }
        let changed = self.own.learn(fact);
        if changed {
            self.record = None;
        }
        changed
    }

    /// Our messages for the peer at the other end of a connection: one, or the signed record in a second where both together are too large for
    /// the peers that read one.
    pub(crate) fn messages(
        &mut self,
        cx: &Context<'_>,
        identity: &Identity,
        config: &Config,
        stream_conn: libp2p_proto_core::ConnectionId,
    ) -> Vec<Bytes> {
        let info = cx.connection_info(stream_conn);
        let record = config
            .signed_record
            .then(|| self.record(cx.unix, identity, config))
            .flatten();
        let mut message = Message {
            public_key: Some(Bytes::copy_from_slice(identity.public_key().encode())),
            listen_addrs: info.map(|info| self.addrs_for(info)).unwrap_or_default(),
            protocols: cx.local_protocols(Some(stream_conn)),
            observed_addr: info.and_then(observed_addr),
            protocol_version: Some(config.protocol_version.clone()),
            agent_version: Some(config.agent_version.clone()),
            signed_peer_record: None,
        };
        let mut first = message.encode();
        while first.len() > config.max_sent
            && (message.listen_addrs.pop().is_some() || message.protocols.pop().is_some())
        {
            first = message.encode();
        }
        let Some(record) = record else {
            return alloc::vec![first.into()];
        };
        message.signed_peer_record = Some(record.clone());
        let whole = message.encode();
        if whole.len() <= config.max_sent {
            return alloc::vec![whole.into()];
        }
        let second = Message {
            signed_peer_record: Some(record),
            ..Message::default()
        };
        alloc::vec![first.into(), second.encode().into()]
    }

    /// Addresses that this peer can use, best first: confirmed ones, then listeners.
    fn addrs_for(&self, info: &ConnectionInfo) -> Vec<Multiaddr> {
        let remote = info.remote.class();
        let useful = |addr: &&Multiaddr| match addr.class() {
            AddressClass::Loopback => remote == AddressClass::Loopback,
            AddressClass::LinkLocal => matches!(remote, AddressClass::Loopback | AddressClass::LinkLocal),
            AddressClass::Unspecified | AddressClass::Other => false,
            _ => true,
        };
        let mut addrs: Vec<_> = self.own.all().filter(useful).map(without_peer).collect();
        addrs.sort_by_key(|addr| match addr.class() {
            AddressClass::Public | AddressClass::Name => 0,
            AddressClass::Relayed => 2,
            _ => 1,
        });
        addrs
    }

    /// The signed record over our addresses, made once for each change. `None` if there is nothing to certify, or the key can't sign.
    fn record(&mut self, unix: UnixTime, identity: &Identity, config: &Config) -> Option<Bytes> {
        if self.record.is_none() {
            let allowed = |addr: &&Multiaddr| {
                everybody_can_parse(addr)
                    && (config.record_private_addrs
                        || matches!(addr.class(), AddressClass::Public | AddressClass::Name))
            };
            let addrs: Vec<_> = self.own.all().filter(allowed).map(without_peer).collect();
            if addrs.is_empty() {
                return None;
            }
            let record = PeerRecord::new(identity.peer_id(), self.clock.next(unix), addrs);
            self.record = record.seal(identity).ok();
        }
        self.record.clone()
    }
}

/// The peer's address as we see it, unless some peer can't parse it. Of a relayed one nothing is seen; js-libp2p 3 fails the whole exchange if it is told `/p2p/<relay>/p2p-circuit`.
fn observed_addr(info: &ConnectionInfo) -> Option<Multiaddr> {
    let addr = Some(&info.remote).filter(|addr| !addr.is_relayed() && everybody_can_parse(addr));
    addr.cloned()
}

fn without_peer(addr: &Multiaddr) -> Multiaddr {
    addr.split_peer_id().0.unwrap_or_else(|| addr.clone())
}

/// Whether every deployed implementation knows all components: js fails the whole exchange on an address that it can't parse, and nim too.
fn everybody_can_parse(addr: &Multiaddr) -> bool {
    addr.components().all(|component| {
        matches!(
            component,
            Component::Ip4(_)
                | Component::Ip6(_)
                | Component::Tcp(_)
                | Component::Udp(_)
                | Component::Dns(_)
                | Component::Dns4(_)
                | Component::Dns6(_)
                | Component::QuicV1
                | Component::Ws
                | Component::Wss
                | Component::Tls
                | Component::P2p(_)
                | Component::P2pCircuit
        )
    })
}

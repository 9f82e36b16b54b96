//! The RPC of GossipSub, whose repeated parts are merged.

use super::agree;
use bytes::Bytes;
use libp2p_proto_gossipsub::{
    Message, MessageId, Topic, WireLimits,
    wire::{Control, Extensions, IHave, Partial, PeerInfo, Prune, Rpc, Subscription},
};
use prost::Message as _;

#[derive(Clone, PartialEq, prost::Message)]
struct WireRpc {
    #[prost(message, repeated, tag = "1")]
    subscriptions: Vec<WireSubscription>,
    #[prost(message, repeated, tag = "2")]
    publish: Vec<WireMessage>,
    #[prost(message, optional, tag = "3")]
    control: Option<WireControl>,
    #[prost(message, optional, tag = "10")]
    partial: Option<WirePartial>,
    #[prost(bytes = "vec", optional, tag = "6492434")]
    test_extension: Option<Vec<u8>>,
}

/// Topics are bytes: an entry whose topic is not UTF-8 is left out alone.
#[derive(Clone, PartialEq, prost::Message)]
struct WireSubscription {
    #[prost(bool, tag = "1")]
    subscribe: bool,
    #[prost(bytes = "vec", optional, tag = "2")]
    topic: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    requests_partial: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    supports_partial: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireMessage {
    #[prost(bytes = "vec", optional, tag = "1")]
    from: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    data: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    seqno: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    topic: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    signature: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "6")]
    key: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireControl {
    #[prost(message, repeated, tag = "1")]
    ihave: Vec<WireIHave>,
    #[prost(message, repeated, tag = "2")]
    iwant: Vec<WireIds>,
    #[prost(message, repeated, tag = "3")]
    graft: Vec<WireGraft>,
    #[prost(message, repeated, tag = "4")]
    prune: Vec<WirePrune>,
    #[prost(message, repeated, tag = "5")]
    idontwant: Vec<WireIds>,
    #[prost(message, optional, tag = "6")]
    extensions: Option<WireExtensions>,
    #[prost(message, repeated, tag = "5316722")]
    choke: Vec<WireGraft>,
    #[prost(message, repeated, tag = "5316723")]
    unchoke: Vec<WireGraft>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireIHave {
    #[prost(bytes = "vec", optional, tag = "1")]
    topic: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    ids: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireIds {
    #[prost(bytes = "vec", repeated, tag = "1")]
    ids: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireGraft {
    #[prost(bytes = "vec", optional, tag = "1")]
    topic: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePrune {
    #[prost(bytes = "vec", optional, tag = "1")]
    topic: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    peers: Vec<WirePeerInfo>,
    #[prost(uint64, optional, tag = "3")]
    backoff: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePeerInfo {
    #[prost(bytes = "vec", optional, tag = "1")]
    peer_id: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    record: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireExtensions {
    #[prost(bool, optional, tag = "10")]
    partial_messages: Option<bool>,
    #[prost(bool, optional, tag = "6492434")]
    test_extension: Option<bool>,
    #[prost(bool, optional, tag = "5316721")]
    choke: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePartial {
    #[prost(bytes = "vec", optional, tag = "1")]
    topic: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    group: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    parts: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "4")]
    metadata: Option<Vec<u8>>,
}

pub(super) fn rpc(message: &[u8]) {
    let limits = WireLimits::default();
    let Ok(theirs) = WireRpc::decode(message) else {
        // A known field of another wire type counts as unknown to us.
        return;
    };
    let ours = Rpc::decode(&Bytes::copy_from_slice(message), &limits);
    let ours = ours.map(|mut rpc| {
        // Prost forgets what it doesn't know.
        for message in &mut rpc.publish {
            message.unknown = Bytes::new();
        }
        rpc
    });
    agree(message, ours, Some(theirs.means(&limits)));
}

fn topic(bytes: Option<Vec<u8>>) -> Option<Topic> {
    let text = String::from_utf8(bytes?).ok()?;
    Some(Topic::new(text.as_str()))
}

/// An id of nothing is none.
fn ids(list: Vec<Vec<u8>>) -> Vec<MessageId> {
    let ids = list.into_iter().filter(|id| !id.is_empty());
    ids.map(MessageId::from).collect()
}

impl WireRpc {
    fn means(self, limits: &WireLimits) -> Rpc {
        let subscriptions = self.subscriptions.into_iter().filter_map(|wire| {
            Some(Subscription {
                subscribe: wire.subscribe,
                topic: topic(wire.topic)?,
                requests_partial: wire.requests_partial,
                supports_partial: wire.supports_partial,
            })
        });
        Rpc {
            subscriptions: subscriptions.collect(),
            publish: self.publish.into_iter().map(WireMessage::means).collect(),
            control: self.control.map(|wire| wire.means(limits)),
            partial: self.partial.map(|wire| Partial {
                topic: topic(wire.topic),
                group: wire.group.map(Bytes::from),
                parts: wire.parts.map(Bytes::from),
                metadata: wire.metadata.map(Bytes::from),
            }),
            test_extension: self.test_extension.is_some(),
        }
    }
}

impl WireMessage {
    fn means(self) -> Message {
        Message {
            from: self.from.map(Bytes::from),
            data: self.data.map(Bytes::from),
            seqno: self.seqno.map(Bytes::from),
            topic: topic(self.topic),
            signature: self.signature.map(Bytes::from),
            key: self.key.map(Bytes::from),
            unknown: Bytes::new(),
        }
    }
}

fn topics(wires: Vec<WireGraft>) -> Vec<Topic> {
    wires.into_iter().filter_map(|wire| topic(wire.topic)).collect()
}

impl WireControl {
    fn means(self, limits: &WireLimits) -> Control {
        let ihave = self.ihave.into_iter().filter_map(|wire| {
            Some(IHave {
                topic: topic(wire.topic)?,
                ids: ids(wire.ids),
            })
        });
        let prune = self.prune.into_iter().filter_map(|wire| {
            let peers = wire.peers.into_iter().take(limits.px_peers);
            Some(Prune {
                topic: topic(wire.topic)?,
                peers: peers
                    .map(|wire| PeerInfo {
                        peer_id: wire.peer_id.map(Bytes::from),
                        record: wire.record.map(Bytes::from),
                    })
                    .collect(),
                backoff: wire.backoff,
            })
        });
        Control {
            ihave: ihave.collect(),
            iwant: self.iwant.into_iter().map(|wire| ids(wire.ids)).collect(),
            graft: topics(self.graft),
            prune: prune.collect(),
            idontwant: self.idontwant.into_iter().map(|wire| ids(wire.ids)).collect(),
            extensions: self.extensions.map(|wire| Extensions {
                partial_messages: wire.partial_messages,
                test_extension: wire.test_extension,
                choke: wire.choke,
            }),
            choke: topics(self.choke),
            unchoke: topics(self.unchoke),
        }
    }
}

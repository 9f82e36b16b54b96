#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "autonat")]
pub use libp2p_proto_autonat as autonat;
#[cfg(feature = "connection")]
pub use libp2p_proto_connection as connection;
pub use libp2p_proto_core as core;
#[cfg(feature = "dcutr")]
pub use libp2p_proto_dcutr as dcutr;
#[cfg(feature = "echo")]
pub use libp2p_proto_echo as echo;
#[cfg(feature = "fetch")]
pub use libp2p_proto_fetch as fetch;
#[cfg(feature = "gossipsub")]
pub use libp2p_proto_gossipsub as gossipsub;
#[cfg(feature = "identify")]
pub use libp2p_proto_identify as identify;
#[cfg(feature = "identity")]
pub use libp2p_proto_identity as identity;
#[cfg(feature = "kad")]
pub use libp2p_proto_kad as kad;
#[cfg(feature = "mdns")]
pub use libp2p_proto_mdns as mdns;
#[cfg(feature = "multistream-select")]
pub use libp2p_proto_multistream_select as multistream_select;
#[cfg(feature = "noise")]
pub use libp2p_proto_noise as noise;
#[cfg(feature = "perf")]
pub use libp2p_proto_perf as perf;
#[cfg(feature = "ping")]
pub use libp2p_proto_ping as ping;
#[cfg(feature = "relay")]
pub use libp2p_proto_relay as relay;
#[cfg(feature = "rendezvous")]
pub use libp2p_proto_rendezvous as rendezvous;
#[cfg(feature = "request-response")]
pub use libp2p_proto_request_response as request_response;
#[cfg(feature = "stream-protocol")]
pub use libp2p_proto_stream_protocol as stream_protocol;
#[cfg(feature = "streams")]
pub use libp2p_proto_streams as streams;
#[cfg(feature = "streams-core")]
pub use libp2p_proto_streams_core as streams_core;
#[cfg(feature = "swarm")]
pub use libp2p_proto_swarm as swarm;
#[cfg(feature = "websocket")]
pub use libp2p_proto_websocket as websocket;
#[cfg(feature = "yamux")]
pub use libp2p_proto_yamux as yamux;

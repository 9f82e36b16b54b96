#![doc = include_str!("../README.md")]
#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a target fails by panicking"
)]

pub mod autonat;
pub mod budget;
pub mod connection;
pub mod dcutr;
pub mod echo;
pub mod fetch;
pub mod framing;
pub mod gossipsub;
pub mod identify;
pub mod identity;
pub mod kad;
pub mod mdns;
pub mod messages;
pub mod multiaddr;
pub mod multistream_select;
pub mod mutate;
pub mod noise;
pub mod perf;
pub mod ping;
pub mod protobuf;
pub mod relay;
pub mod rendezvous;
pub mod request_response;
pub mod scene;
pub mod streams;
pub mod swarm;
pub mod websocket;
pub mod yamux;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its corpus, and of its libFuzzer program.
    pub name: &'static str,
    /// Runs it on one input. Whatever is wrong panics.
    pub run: fn(&[u8]),
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "connection",
        run: connection::run,
    },
    Target {
        name: "multistream-select",
        run: multistream_select::run,
    },
    Target {
        name: "noise",
        run: noise::run,
    },
    Target {
        name: "swarm",
        run: swarm::run,
    },
    Target {
        name: "yamux",
        run: yamux::run,
    },
    Target {
        name: "websocket",
        run: websocket::run,
    },
    Target {
        name: "framing",
        run: framing::run,
    },
    Target {
        name: "key",
        run: identity::run_key,
    },
    Target {
        name: "multiaddr",
        run: multiaddr::run,
    },
    Target {
        name: "peer-id",
        run: identity::run_peer_id,
    },
    Target {
        name: "protobuf",
        run: protobuf::run,
    },
    Target {
        name: "record",
        run: identity::run_record,
    },
    Target {
        name: "echo",
        run: echo::run,
    },
    Target {
        name: "fetch",
        run: fetch::run,
    },
    Target {
        name: "identify",
        run: identify::run,
    },
    Target {
        name: "kad",
        run: kad::run,
    },
    Target {
        name: "mdns",
        run: mdns::run,
    },
    Target {
        name: "messages",
        run: messages::run,
    },
    Target {
        name: "perf",
        run: perf::run,
    },
    Target {
        name: "ping",
        run: ping::run,
    },
    Target {
        name: "gossipsub",
        run: gossipsub::run,
    },
    Target {
        name: "dcutr",
        run: dcutr::run,
    },
    Target {
        name: "relay",
        run: relay::run,
    },
    Target {
        name: "autonat",
        run: autonat::run,
    },
    Target {
        name: "rendezvous",
        run: rendezvous::run,
    },
    Target {
        name: "request-response",
        run: request_response::run,
    },
    Target {
        name: "streams",
        run: streams::run,
    },
];

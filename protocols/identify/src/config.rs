//! What we say of ourselves, and limits.

use crate::Error;
use alloc::string::String;
use core::time::Duration;
use libp2p_proto_core::Rate;

/// What identify says of us, and what it takes from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The family of protocols, at most 256 bytes. Default `ipfs/0.1.0`, what the public networks say.
    pub protocol_version: String,
    /// Name and version of the program, not empty, at most 256 bytes. Default `libp2p-proto/<version>`.
    pub agent_version: String,
    /// Whether our answer carries a signed peer record in the deployed dialect. Default true.
    pub signed_record: bool,
    /// Whether the signed record may hold addresses that are not public. Default false.
    pub record_private_addrs: bool,
    /// Time for one exchange, from opening the stream. Default 5 s, as go-libp2p.
    pub timeout: Duration,
    /// Time for which changes are gathered before they are pushed. Default 1 s, as js-libp2p.
    pub push_delay: Duration,
    /// Pushes under way at once. At least 1. Default 32, as go-libp2p.
    pub push_parallel: usize,
    /// Largest message that is read, in bytes. Default 8 192, as go-libp2p.
    pub max_message: usize,
    /// Messages of one answer that are read. Default 10, as go-libp2p.
    pub max_messages: usize,
    /// Largest first message that we send, in bytes. Default 4 096: rust-libp2p and litep2p read no more.
    pub max_sent: usize,
    /// Protocols kept for each peer. Default 1 024, as go-libp2p.
    pub max_protocols: usize,
    /// Addresses kept for each peer. Default 500, as go-libp2p.
    pub max_addrs: usize,
    /// Bytes kept of each string; longer ones are cut (agent, version) or dropped (protocol). Default 256.
    pub max_string: usize,
    /// Bytes kept of the protocols and addresses of one peer, 48 for each entry included; entries beyond it are dropped. Default 48 KiB.
    pub max_kept: usize,
    /// Inbound pushes of one peer, and of one network prefix (IPv4 /24, IPv6 /56); more are reset. Default one in 5 s on average, 10 at once, as go-libp2p.
    pub push_rate: Rate,
    /// Inbound pushes in all; more are reset. Default 2 000 a second on average, 3 000 at once, as go-libp2p.
    pub push_rate_total: Rate,
    /// Peers, and prefixes, whose rate is remembered. Default 4 096.
    pub max_prefixes: usize,
    /// Events that may wait. Default 1 024.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            protocol_version: "ipfs/0.1.0".into(),
            agent_version: concat!("libp2p-proto/", env!("CARGO_PKG_VERSION")).into(),
            signed_record: true,
            record_private_addrs: false,
            timeout: Duration::from_secs(5),
            push_delay: Duration::from_secs(1),
            push_parallel: 32,
            max_message: 8192,
            max_messages: 10,
            max_sent: 4096,
            max_protocols: 1024,
            max_addrs: 500,
            max_string: 256,
            max_kept: 48 * 1024,
            push_rate: Rate {
                gap: Duration::from_secs(5),
                burst: 10,
            },
            push_rate_total: Rate::per_second(2000, 3000),
            max_prefixes: 4096,
            max_events: 1024,
        }
    }
}

impl Config {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`] names the field.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            (
                "agent_version",
                !self.agent_version.is_empty() && self.agent_version.len() <= 256,
            ),
            ("protocol_version", self.protocol_version.len() <= 256),
            ("push_parallel", self.push_parallel > 0),
            ("max_message", self.max_message >= 1024),
            ("max_messages", self.max_messages > 0),
            ("max_sent", self.max_sent >= 2048),
            ("push_rate", self.push_rate.burst > 0),
            ("push_rate_total", self.push_rate_total.burst > 0),
        ];
        checks
            .iter()
            .find(|(_, holds)| !holds)
            .map_or(Ok(()), |(field, _)| Err(Error::BadConfig(field)))
    }
}

//! The identify message, in protobuf.

use crate::{Config, Error};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::{
    Multiaddr, ProtocolName,
    protobuf::{Limits, Reader, Value, Writer},
};

/// What an entry of a list costs besides its bytes.
const ENTRY_COST: usize = 48;

const PUBLIC_KEY: u32 = 1;
const LISTEN_ADDRS: u32 = 2;
const PROTOCOLS: u32 = 3;
const OBSERVED_ADDR: u32 = 4;
const PROTOCOL_VERSION: u32 = 5;
const AGENT_VERSION: u32 = 6;
const SIGNED_PEER_RECORD: u32 = 8;

/// One or several identify messages, merged: singular fields keep the last value, lists grow.
///
/// Every field may be missing. Entries that don't parse are skipped, as go and rust do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The encoded public key.
    pub public_key: Option<Bytes>,
    /// Addresses that the peer listens on.
    pub listen_addrs: Vec<Multiaddr>,
    /// Protocols that the peer accepts.
    pub protocols: Vec<ProtocolName>,
    /// Our address, as the peer sees it.
    pub observed_addr: Option<Multiaddr>,
    /// The family of protocols. Untrusted text.
    pub protocol_version: Option<String>,
    /// The peer's program. Untrusted text.
    pub agent_version: Option<String>,
    /// An envelope with a peer record, not verified.
    pub signed_peer_record: Option<Bytes>,
}

impl Message {
    /// Merges one encoded message into this one, within the limits of `config`.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if it is no protobuf. The message may then hold a part.
    pub fn merge(&mut self, data: &[u8], config: &Config) -> Result<(), Error> {
        let limits = Limits {
            bytes: config.max_message,
            ..Limits::default()
        };
        let mut kept = self.kept();
        let mut reader = Reader::new(data, limits);
        while let Some(field) = reader.next_field().map_err(|_| Error::Malformed)? {
            let Value::Bytes(bytes) = field.value else {
                continue;
            };
            match field.number {
                PUBLIC_KEY => self.public_key = Some(Bytes::copy_from_slice(bytes)),
                LISTEN_ADDRS => self.push_addr(bytes, config, &mut kept),
                PROTOCOLS => self.push_protocol(bytes, config, &mut kept),
                // An address that doesn't parse counts as none.
                OBSERVED_ADDR => {
                    self.observed_addr = Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok();
                }
                PROTOCOL_VERSION => self.protocol_version = Some(text(bytes, config.max_string)),
                AGENT_VERSION => self.agent_version = Some(text(bytes, config.max_string)),
                SIGNED_PEER_RECORD => self.signed_peer_record = Some(Bytes::copy_from_slice(bytes)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes kept of the lists, with what their entries cost besides.
    fn kept(&self) -> usize {
        let addrs = self.listen_addrs.iter().map(|addr| addr.as_bytes().len());
        let names = self.protocols.iter().map(|name| name.as_str().len());
        addrs.chain(names).map(cost).fold(0, usize::saturating_add)
    }

    fn push_addr(&mut self, bytes: &[u8], config: &Config, kept: &mut usize) {
        if self.listen_addrs.len() < config.max_addrs && has_room(kept, bytes, config) {
            self.listen_addrs
                .extend(Multiaddr::from_bytes(Bytes::copy_from_slice(bytes)).ok());
        }
    }

    fn push_protocol(&mut self, bytes: &[u8], config: &Config, kept: &mut usize) {
        let fits = self.protocols.len() < config.max_protocols
            && bytes.len() <= config.max_string
            && has_room(kept, bytes, config);
        let name = core::str::from_utf8(bytes).ok().filter(|_| fits);
        self.protocols
            .extend(name.and_then(|name| ProtocolName::new(name).ok()));
    }

    /// The encoded message, fields in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        if let Some(key) = &self.public_key {
            writer.bytes(PUBLIC_KEY, key);
        }
        for addr in &self.listen_addrs {
            writer.bytes(LISTEN_ADDRS, addr.as_bytes());
        }
        for name in &self.protocols {
            writer.string(PROTOCOLS, name.as_str());
        }
        if let Some(addr) = &self.observed_addr {
            writer.bytes(OBSERVED_ADDR, addr.as_bytes());
        }
        if let Some(version) = &self.protocol_version {
            writer.string(PROTOCOL_VERSION, version);
        }
        if let Some(version) = &self.agent_version {
            writer.string(AGENT_VERSION, version);
        }
        if let Some(record) = &self.signed_peer_record {
            writer.bytes(SIGNED_PEER_RECORD, record);
        }
        out
    }
}

const fn cost(len: usize) -> usize {
    len.saturating_add(ENTRY_COST)
}

/// Whether one more entry of a list is within what is kept of one peer; counts it then.
fn has_room(kept: &mut usize, bytes: &[u8], config: &Config) -> bool {
    let with_it = kept.saturating_add(cost(bytes.len()));
    let fits = with_it <= config.max_kept;
    if fits {
        *kept = with_it;
    }
    fits
}

/// Text of at most `max` bytes; longer text is cut at a character. What is not UTF-8 is replaced: go and js take such messages too.
fn text(bytes: &[u8], max: usize) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let end = (0..=text.len().min(max))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    text.truncate(end);
    text
}

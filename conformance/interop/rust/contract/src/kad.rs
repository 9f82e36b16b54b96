//! Queries of Kademlia.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Failure, Outcome};

/// What is asked.
#[derive(Debug, Clone)]
pub enum Query {
    /// Store a value under a key.
    Put(Vec<u8>, Vec<u8>),
    /// Find the value of a key.
    Get(Vec<u8>),
    /// Announce that we provide what a multihash names.
    Provide(Vec<u8>),
    /// Find who provides it.
    FindProviders(Vec<u8>),
    /// Find where a peer is.
    FindPeer(String),
    /// Find who is nearest to a multihash.
    Closest(Vec<u8>),
}

/// What was found.
#[derive(Debug, Clone)]
pub enum Found {
    /// It was done, and there is nothing to tell.
    Done,
    /// A value.
    Value(Vec<u8>),
    /// Peer ids or addresses.
    List(Vec<String>),
}

impl Query {
    /// Reads the action `kad-NAME:TEXT`; none when there is no such action.
    pub(crate) fn read(name: &str, text: &str) -> Outcome<Option<Self>> {
        let key = |key: &str| format!("/interop/{key}").into_bytes();
        Ok(Some(match name {
            "kad-put" => {
                let (name, value) = text
                    .split_once(':')
                    .ok_or_else(|| Failure::Failed("kad-put:KEY:VALUE".into()))?;
                Self::Put(key(name), value.into())
            }
            "kad-get" => Self::Get(key(text)),
            "kad-provide" => Self::Provide(multihash(text)),
            "kad-find-providers" => Self::FindProviders(multihash(text)),
            "kad-find-peer" => Self::FindPeer(text.into()),
            "kad-closest" => Self::Closest(multihash(text)),
            _ => return Ok(None),
        }))
    }

    /// The fields that tell what was found, or why that is not enough.
    pub(crate) fn tell(&self, found: Found) -> Outcome<Value> {
        match found {
            Found::Done => Ok(json!({})),
            Found::Value(value) => Ok(json!({"value": String::from_utf8_lossy(&value)})),
            Found::List(list) if list.is_empty() => Err(Failure::Failed("nothing was found".into())),
            Found::List(list) => Ok(match self {
                Self::FindProviders(_) => json!({"providers": list}),
                Self::FindPeer(_) => json!({"addrs": list}),
                _ => json!({"peers": list}),
            }),
        }
    }
}

/// The multihash sha2-256 of a text.
fn multihash(text: &str) -> Vec<u8> {
    let mut hash = vec![0x12, 32];
    hash.extend(Sha256::digest(text.as_bytes()));
    hash
}

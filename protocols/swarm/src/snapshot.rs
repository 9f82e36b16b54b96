//! The address book as bytes, so that it survives a restart.
//!
//! One byte of version; the wall clock in seconds; then each peer, the one that was heard of longest ago first, as a length-delimited item: its id, and of every
//! address the source, the seconds that it has left to live (0: for ever), and its bytes.

use crate::{AddressBook, Error, book::Source};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, UnixTime, framing, varint};

/// The layout of a snapshot.
const VERSION: u8 = 1;
/// The largest item of a snapshot.
const MAX_ITEM: usize = 16 << 20;

impl AddressBook {
    /// The book as bytes, for a restart. What has expired is left out.
    pub fn snapshot(&self, now: Instant, unix: UnixTime) -> Vec<u8> {
        let mut out = alloc::vec![VERSION];
        varint::encode(unix.as_secs(), &mut out);
        for peer in self.oldest_first() {
            let mut item = Vec::new();
            framing::encode(peer.as_bytes(), &mut item);
            let alone = item.len();
            for known in self.live(now, peer) {
                item.push(known.source as u8);
                let left = match known.source {
                    Source::Told => 0,
                    _ => known.expires.since(now).as_secs().max(1),
                };
                varint::encode(left, &mut item);
                framing::encode(known.addr.as_bytes(), &mut item);
            }
            if item.len() > alone {
                framing::encode(&item, &mut out);
            }
        }
        out
    }

    /// Adds what a snapshot holds, less what has expired since it was taken. The limits of this book hold, whatever the snapshot says.
    ///
    /// # Errors
    ///
    /// [`Error::BadSnapshot`] if the bytes are no snapshot; what was read before stays.
    pub fn restore(&mut self, now: Instant, unix: UnixTime, snapshot: &[u8]) -> Result<(), Error> {
        let Some((&VERSION, mut rest)) = snapshot.split_first() else {
            return Err(Error::BadSnapshot);
        };
        let passed = unix.as_secs().saturating_sub(number(&mut rest)?);
        while !rest.is_empty() {
            let mut item = take(&mut rest)?;
            let peer = PeerId::from_bytes(take(&mut item)?).map_err(|_| Error::BadSnapshot)?;
            while let Some((&source, mut tail)) = item.split_first() {
                let source = source_of(source).ok_or(Error::BadSnapshot)?;
                let left = number(&mut tail)?;
                let addr = Bytes::copy_from_slice(take(&mut tail)?);
                let addr = Multiaddr::from_bytes(addr).map_err(|_| Error::BadSnapshot)?;
                item = tail;
                let longest = self.limits().expiry(now, source);
                if source == Source::Told {
                    self.insert(peer, addr, source, longest);
                } else if left > passed {
                    let expires = now + Duration::from_secs(left.saturating_sub(passed));
                    self.insert(peer, addr, source, expires.min(longest));
                }
            }
        }
        Ok(())
    }
}

const fn source_of(byte: u8) -> Option<Source> {
    Some(match byte {
        0 => Source::Heard,
        1 => Source::Claimed,
        2 => Source::Certified,
        3 => Source::Dialed,
        4 => Source::Told,
        _ => return None,
    })
}

fn number(input: &mut &[u8]) -> Result<u64, Error> {
    let (value, len) = varint::decode(input).ok().flatten().ok_or(Error::BadSnapshot)?;
    *input = input.get(len..).ok_or(Error::BadSnapshot)?;
    Ok(value)
}

fn take<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let (len, prefix) = framing::decode_prefix(input, MAX_ITEM)
        .ok()
        .flatten()
        .ok_or(Error::BadSnapshot)?;
    let (item, rest) = input
        .get(prefix..)
        .and_then(|rest| rest.split_at_checked(len))
        .ok_or(Error::BadSnapshot)?;
    *input = rest;
    Ok(item)
}

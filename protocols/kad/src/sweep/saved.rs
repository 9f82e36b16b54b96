//! What is provided, as bytes: protobuf, a version, when it was written, where in the interval that was, then keys and turns.

use super::{Prefix, Sweep};
use crate::{Key, kad::MAX_PROVIDER_KEY};
use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{
    Instant, UnixTime,
    protobuf::{Limits, Reader, Writer, encode},
};

const VERSION: u32 = 1;
const UNIX: u32 = 2;
const PHASE: u32 = 3;
const KEY: u32 = 4;
const FRESH: u32 = 5;
const TURN: u32 = 6;
const PLACE: u32 = 1;
const BITS: u32 = 2;
const WAIT: u32 = 3;
/// Bytes that are read, and entries.
const MAX_BYTES: usize = 256 << 20;
const MAX_ENTRIES: usize = 4 << 20;

/// What was read, and not taken over yet.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Multihashes, and whether each was never announced.
    pub(super) keys: Vec<(Box<[u8]>, bool)>,
    /// Seconds since 1970 at the time of writing.
    unix: u64,
    phase: Duration,
    /// Regions, and how long after the time of writing each has its turn.
    turns: Vec<(Prefix, Duration)>,
}

pub(super) fn write(sweep: &Sweep, now: Instant, unix: UnixTime, phase: Duration) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.varint(VERSION, 1);
    writer.varint(UNIX, unix.as_secs());
    writer.varint(PHASE, phase.as_secs());
    for (place, key) in &sweep.keys {
        let field = if sweep.fresh.contains(place) { FRESH } else { KEY };
        writer.bytes(field, key);
    }
    // Regions that are being served are served again.
    let running = sweep
        .jobs
        .values()
        .filter(|job| job.periodic)
        .map(|job| (job.prefix, now));
    let turns = sweep.turns.at.iter().map(|(prefix, at)| (*prefix, *at));
    for (prefix, at) in turns.chain(running) {
        let entry = encode(|entry| {
            entry.bytes(PLACE, prefix.first.as_bytes());
            entry.varint(BITS, u64::from(prefix.bits));
            entry.varint(WAIT, at.since(now).as_secs());
        });
        writer.bytes(TURN, &entry);
    }
    out
}

pub(super) fn read(bytes: &[u8]) -> Option<Saved> {
    let limits = Limits {
        bytes: MAX_BYTES,
        fields: MAX_ENTRIES,
        ..Limits::default()
    };
    let mut reader = Reader::new(bytes, limits);
    let (mut saved, mut version) = (Saved::default(), 0);
    while let Some(field) = reader.next_field().ok()? {
        match field.number {
            VERSION => version = field.value.to_u64().ok()?,
            UNIX => saved.unix = field.value.to_u64().ok()?,
            PHASE => saved.phase = Duration::from_secs(field.value.to_u64().ok()?),
            KEY | FRESH => {
                let key = field.value.to_bytes().ok()?;
                if key.is_empty() || key.len() > MAX_PROVIDER_KEY {
                    return None;
                }
                saved.keys.push((key.into(), field.number == FRESH));
            }
            TURN => {
                let entry = reader.nested(field.value.to_bytes().ok()?).ok()?;
                saved.turns.push(read_turn(entry)?);
            }
            _ => {}
        }
    }
    (version == 1).then_some(saved)
}

fn read_turn(mut entry: Reader<'_>) -> Option<(Prefix, Duration)> {
    let (mut place, mut bits, mut wait) = ([0; 32], 0, 0);
    while let Some(field) = entry.next_field().ok()? {
        match field.number {
            PLACE => place = field.value.to_bytes().ok()?.try_into().ok()?,
            BITS => bits = field.value.to_u64().ok()?,
            WAIT => wait = field.value.to_u64().ok()?,
            _ => {}
        }
    }
    let bits = u16::try_from(bits)
        .ok()
        .filter(|bits| *bits <= crate::region::MAX_BITS)?;
    Some((Prefix::of(&Key::from_raw(place), bits), Duration::from_secs(wait)))
}

impl Sweep {
    /// Goes on where an earlier run was: the time in between has passed.
    pub(super) fn resume(&mut self, now: Instant, unix: UnixTime, saved: Saved) {
        let away = Duration::from_secs(unix.as_secs().saturating_sub(saved.unix));
        self.origin = Some(now);
        self.phase = saved.phase.saturating_add(away);
        for (prefix, wait) in saved.turns {
            self.turns.set(prefix, now + wait.saturating_sub(away));
        }
    }
}

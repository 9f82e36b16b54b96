//! The laws of a machine, and random bytes in random pieces.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Instant, Side, TransmitBuf};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_noise::{Error, Finished, Handshake};
use proptest::prelude::*;
use std::mem;
use support::{Remote, end, ends, give, keys, payload, seal, take};

/// A handshake and then the transport, which echoes what it is told.
enum Channel {
    Handshake(Handshake, Vec<Said>),
    Transport(Box<Finished>, Vec<Said>),
    Between,
}

impl Channel {
    fn new(handshake: Handshake) -> Self {
        Self::Handshake(handshake, Vec::new())
    }

    fn advance(&mut self) {
        if matches!(self, Self::Handshake(handshake, _) if handshake.is_finished()) {
            if let Self::Handshake(handshake, mut said) = mem::replace(self, Self::Between) {
                let finished = Box::new(handshake.finish().unwrap());
                said.push(Said::Word(format!("{finished:?}")));
                *self = Self::Transport(finished, said);
            }
        }
    }
}

impl Machine for Channel {
    fn handle_input(&mut self, _: Instant, input: &mut [u8]) -> Result<usize, String> {
        let text = |error: Error| error.to_string();
        match self {
            Self::Handshake(handshake, _) => {
                let taken = handshake.handle_input(input).map_err(text)?;
                self.advance();
                Ok(taken)
            }
            Self::Transport(finished, said) => {
                let Some((taken, plain)) = finished.opener.open(input).map_err(text)? else {
                    return Ok(0);
                };
                said.push(Said::Bytes(0, plain.to_vec()));
                Ok(taken)
            }
            Self::Between => Ok(0),
        }
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut TransmitBuf<'_>) -> bool {
        let Self::Handshake(handshake, _) = self else {
            return false;
        };
        let sent = handshake.poll_transmit(out);
        self.advance();
        sent
    }

    fn poll_event(&mut self) -> Option<Said> {
        let (Self::Handshake(_, said) | Self::Transport(_, said)) = self else {
            return None;
        };
        (!said.is_empty()).then(|| said.remove(0))
    }
}

/// What the other end of `side` says, in a session of our ends 1 and 2, and then these frames.
fn script(side: Side, frames: &[&[u8]]) -> Script<Channel> {
    let (mut a, mut b) = ends();
    let first = take(&mut a);
    give(&mut b, &first).unwrap();
    let second = take(&mut b);
    give(&mut a, &second).unwrap();
    let third = take(&mut a);
    give(&mut b, &third).unwrap();
    let (mut a, mut b) = (a.finish().unwrap(), b.finish().unwrap());
    let (script, sealer) = match side {
        Side::Dialer => (Script::new().input(&second), &mut b.sealer),
        Side::Listener => (Script::new().input(&first).input(&third), &mut a.sealer),
    };
    let wire: Vec<u8> = frames.iter().flat_map(|plain| seal(sealer, plain)).collect();
    script.input(&wire)
}

fn laws(side: Side) -> Laws<Channel> {
    let seed = if side.is_dialer() { 1 } else { 2 };
    Laws::of(move |_| Channel::new(end(seed, side)))
}

#[test]
fn the_laws_hold_in_both_roles_from_the_first_byte_to_the_last_frame() {
    for side in [Side::Dialer, Side::Listener] {
        laws(side).hold(&script(side, &[b"one", &[7; 3000], b"three"]));
    }
}

#[test]
fn the_laws_hold_after_every_kind_of_error() {
    for side in [Side::Dialer, Side::Listener] {
        for bad in [&[0, 5][..], &[0, 15, 1], &[0, 0]] {
            laws(side).are_kept_after_an_error(&Script::new().input(bad), 34);
            laws(side).hold(&Script::new().input(bad));
            laws(side).are_kept_after_an_error(&script(side, &[b"one"]).input(bad), 0);
        }
        let forged = script(side, &[b"one"]).input(&support::frame(&[9; 30]));
        laws(side).are_kept_after_an_error(&forged, 0);
        laws(side).hold(&forged);
    }
}

/// A wire on which both ends' messages travel in pieces of these sizes.
fn travel(mut ends: [Handshake; 2], pieces: &mut dyn Iterator<Item = usize>) -> [Result<Finished, Error>; 2] {
    let mut waiting = [Vec::new(), Vec::new()];
    let mut arrived = [Vec::new(), Vec::new()];
    for _ in 0..20_000 {
        for from in [0, 1] {
            let to = 1 - from;
            waiting[to].extend(take(&mut ends[from]));
            let n = pieces.next().unwrap_or(1).min(waiting[to].len());
            arrived[to].extend(waiting[to].drain(..n));
            if let Ok(taken) = ends[to].handle_input(&mut arrived[to]) {
                arrived[to].drain(..taken);
            }
        }
        if ends.iter().all(|end| end.is_finished() || end.error().is_some()) {
            break;
        }
    }
    ends.map(Handshake::finish)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_ends_agree_over_a_wire_of_any_pieces(sizes in proptest::collection::vec(1_usize..300, 1..50)) {
        let (a, b) = ends();
        let [a, b] = travel([a, b], &mut sizes.into_iter().cycle());
        prop_assert_eq!(a.unwrap().handshake_hash, b.unwrap().handshake_hash);
    }

    #[test]
    fn one_changed_byte_of_a_handshake_ends_at_least_one_side(which in 0_usize..3, at: prop::sample::Index, change in 1_u8..) {
        let (mut a, mut b) = ends();
        let mut wire = take(&mut a);
        for message in 0..3 {
            if message == which {
                let at = at.index(wire.len());
                wire[at] ^= change;
            }
            let (to, from) = if message % 2 == 0 { (&mut b, 0) } else { (&mut a, 1) };
            let _ = to.handle_input(&mut wire);
            wire = if from == 0 { take(&mut b) } else { take(&mut a) };
        }
        prop_assert!(!(a.is_finished() && b.is_finished()));
    }

    #[test]
    fn no_bytes_make_a_handshake_panic(dials: bool, bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..100) {
        let side = if dials { Side::Dialer } else { Side::Listener };
        let mut ours = end(1, side);
        for part in bytes.chunks(cut) {
            take(&mut ours);
            let _ = ours.handle_input(&mut part.to_vec());
        }
        prop_assert!(!ours.is_finished());
    }

    #[test]
    fn no_payload_makes_a_handshake_panic_or_finish_unsigned(
        dials: bool,
        fields in proptest::collection::vec((1_u32..12, proptest::collection::vec(any::<u8>(), 0..120)), 0..8),
        raw in proptest::collection::vec(any::<u8>(), 0..40),
        vouches: bool,
    ) {
        let side = if dials { Side::Dialer } else { Side::Listener };
        let fields: Vec<_> = fields.iter().map(|(number, value)| (*number, &value[..])).collect();
        let say = |remote: &Remote| {
            let mut said = payload(&fields);
            said.extend(&raw);
            if vouches {
                said.extend(remote.vouch(&keys(2), &[]));
            }
            said
        };
        let result = support::meet_default(side, say);
        prop_assert!(vouches || result.is_err());
    }
}

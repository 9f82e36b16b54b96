//! The callee's part: whoever was dialed through the relay drives the exchange.

use crate::{
    Dcutr, Failure, HolePunch, Role,
    dcutr::{SPEC, Timer},
    peer::{Offer, Punch, Run},
    usable::usable,
};
use core::time::Duration;
use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::{Context, Target};

/// The finest that adapters' timers tell apart; half a round trip is rounded down to it, so that a late timer makes up for it.
const GRID: u64 = 1_000_000;

impl Dcutr {
    /// Begins an attempt: opens a stream on the relayed connection.
    pub(crate) fn offer(&mut self, cx: &mut Context<'_>, peer: PeerId, number: u8) {
        let callee = self.peers.get(&peer).and_then(|known| {
            let mut relayed = known.relayed.iter();
            relayed.find(|(_, relayed)| relayed.role == Role::Callee && relayed.wanted)
        });
        let Some((&conn, _)) = callee else {
            self.failed(cx, peer, Failure::RelayLost);
            return self.forget_if_unrelayed(peer);
        };
        let stream = match cx.open(Target::Connection(conn), &[SPEC]) {
            Ok(stream) => stream,
            Err(error) => return self.failed(cx, peer, Failure::NoStream(error)),
        };
        self.stats.offered = self.stats.offered.saturating_add(1);
        self.streams.insert(stream, peer);
        self.timers.set(Timer::Step(peer), cx.now + self.config.exchange);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.run = Run::Offering(Offer {
                stream,
                number,
                sent: None,
            });
        }
        // To a peer that is known to speak the protocol, CONNECT leaves with the proposal.
        self.say_connect(cx, stream);
    }

    /// Writes CONNECT as soon as the stream takes it. From there on the round trip is measured.
    pub(crate) fn say_connect(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let ours = self.own_addresses();
        let known = self
            .streams
            .get(&stream)
            .and_then(|peer| self.peers.get_mut(peer));
        let Some(Run::Offering(offer)) = known.map(|known| &mut known.run) else {
            return;
        };
        if offer.stream != stream || offer.sent.is_some() {
            return;
        }
        if ours.is_empty() {
            return self.break_off(cx, stream, Failure::NoOwnAddress);
        }
        let message = HolePunch::Connect { addrs: ours.clone() };
        // A stream that is not open yet says when it is, and the end of one that is gone is on its way.
        if cx.write(stream, message.encode()).is_ok() {
            offer.sent = Some((cx.now, ours));
        }
    }

    /// The peer has answered.
    pub(crate) fn answered(&mut self, cx: &mut Context<'_>, stream: StreamId, data: &[u8]) {
        let failure = match HolePunch::decode(data) {
            Ok(HolePunch::Connect { addrs }) => match self.sync(cx, stream, &addrs) {
                Ok(()) => return,
                Err(failure) => failure,
            },
            Ok(HolePunch::Sync) => Failure::Unexpected,
            Err(error) => Failure::Malformed(error),
        };
        self.break_off(cx, stream, failure);
    }

    /// Says SYNC, and waits for half a round trip.
    fn sync(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        addrs: &[libp2p_proto_core::Multiaddr],
    ) -> Result<(), Failure> {
        let peer = *self.streams.get(&stream).ok_or(Failure::Unexpected)?;
        let known = self.peers.get_mut(&peer).ok_or(Failure::Unexpected)?;
        let Run::Offering(offer) = &mut known.run else {
            return Err(Failure::Unexpected);
        };
        let (sent_at, ours) = offer.sent.take().ok_or(Failure::Unexpected)?;
        let theirs = usable(&self.config, &self.own, peer, &known.addrs, addrs);
        if theirs.is_empty() {
            return Err(Failure::NoAddress);
        }
        let rtt = cx.now.since(sent_at);
        if rtt > self.config.max_rtt {
            return Err(Failure::TooSlow);
        }
        cx.write(stream, HolePunch::Sync.encode())
            .map_err(|_| Failure::RelayLost)?;
        let punch = Punch {
            role: Role::Callee,
            number: offer.number,
            rtt: Some(rtt),
            ours,
            theirs,
        };
        known.run = Run::Idle;
        self.timers.clear(Timer::Step(peer));
        self.say_no_more(cx, stream);
        let wait = half(rtt);
        if wait.is_zero() {
            self.punch(cx, peer, punch);
        } else {
            if let Some(known) = self.peers.get_mut(&peer) {
                known.run = Run::Waiting(punch);
            }
            self.timers.set(Timer::Step(peer), cx.now + wait);
        }
        Ok(())
    }
}

/// Half of a round trip, on the grid of timers.
fn half(rtt: Duration) -> Duration {
    let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX) / 2;
    Duration::from_nanos((nanos / GRID).saturating_mul(GRID))
}

//! The caller's part: whoever dialed through the relay answers, and dials when it is told to.

use crate::{
    Dcutr, Event, Failure, HolePunch, Role,
    dcutr::{Timer, expected, is_direct},
    peer::{Answer, Punch, Run},
    usable::usable,
};
use core::mem;
use libp2p_proto_core::{PeerId, StreamId};
use libp2p_proto_stream_protocol::Context;

impl Dcutr {
    /// The peer opens a stream.
    pub(crate) fn called(&mut self, cx: &mut Context<'_>, peer: PeerId, stream: StreamId) {
        let direct = is_direct(cx, peer);
        let able = self.config.tcp && !self.own_addresses().is_empty();
        let number = self.peers.get_mut(&peer).and_then(|known| {
            let relayed = known.relayed.get_mut(&stream.conn)?;
            let may = relayed.role == Role::Caller && able && !direct;
            let yields = match &known.run {
                Run::Idle | Run::Answering(_) => true,
                Run::Punching(punch, _) if punch.role == Role::Caller => true,
                // Both were dialed through a relay, and both began: the smaller id gives way.
                _ => cx.local < peer,
            };
            relayed
                .serve(cx.now, self.config.max_served)
                .filter(|_| may && yields)
        });
        let Some(number) = number else {
            self.stats.refused = self.stats.refused.saturating_add(1);
            self.streams.insert(stream, peer);
            return cx.reset(stream);
        };
        self.make_way(cx, peer);
        self.stats.served = self.stats.served.saturating_add(1);
        self.streams.insert(stream, peer);
        self.timers.set(Timer::Step(peer), cx.now + self.config.exchange);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.run = Run::Answering(Answer {
                stream,
                number,
                ready: None,
            });
        }
    }

    /// Ends what was under way, in favour of a new exchange.
    fn make_way(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(run) = self.peers.get_mut(&peer).map(|known| mem::take(&mut known.run)) else {
            return;
        };
        self.stop(cx, peer, &run, None);
        match run {
            Run::Punching(punch, _) => {
                let failure = match punch.role {
                    Role::Caller => Failure::Replaced,
                    Role::Callee => Failure::Yielded,
                };
                let attempt = punch.ended(Err(failure));
                self.tell(cx, Event::Attempted { peer, attempt });
            }
            Run::Idle | Run::Answering(_) => {}
            _ => {
                let failure = Failure::Yielded;
                self.tell(cx, Event::Failed { peer, failure });
            }
        }
    }

    /// The peer speaks: CONNECT, later SYNC.
    pub(crate) fn asked(&mut self, cx: &mut Context<'_>, stream: StreamId, data: &[u8]) {
        let known = self
            .streams
            .get(&stream)
            .and_then(|peer| self.peers.get_mut(peer).map(|known| (*peer, known)));
        let Some((peer, known)) = known else { return };
        let Run::Answering(answer) = &mut known.run else {
            return;
        };
        let failure = match (HolePunch::decode(data), answer.ready.take()) {
            (Ok(HolePunch::Sync), Some(punch)) => {
                known.run = Run::Idle;
                // Nothing may come between SYNC and the dial: it goes first.
                self.punch(cx, peer, punch);
                return self.say_no_more(cx, stream);
            }
            (Ok(HolePunch::Connect { addrs }), None) => {
                let number = answer.number;
                match self.answer(cx, (peer, stream), number, &addrs) {
                    Ok(()) => return,
                    Err(failure) => failure,
                }
            }
            (Ok(_), _) => Failure::Unexpected,
            (Err(error), _) => Failure::Malformed(error),
        };
        self.break_off(cx, stream, failure);
    }

    /// Answers CONNECT, and gets everything ready for the dial.
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        (peer, stream): (PeerId, StreamId),
        number: u8,
        addrs: &[libp2p_proto_core::Multiaddr],
    ) -> Result<(), Failure> {
        let ours = self.own_addresses();
        let known = self.peers.get_mut(&peer).ok_or(Failure::Unexpected)?;
        let theirs = usable(&self.config, &self.own, peer, &known.addrs, addrs);
        if theirs.is_empty() {
            return Err(Failure::NoAddress);
        }
        if ours.is_empty() {
            return Err(Failure::NoOwnAddress);
        }
        let message = HolePunch::Connect { addrs: ours.clone() };
        cx.write(stream, message.encode())
            .map_err(|_| Failure::RelayLost)?;
        let punch = Punch {
            role: Role::Caller,
            number,
            rtt: None,
            ours,
            theirs,
        };
        // Where the relay is a detour, the peer's dial may be here before its SYNC.
        cx.expect(expected(peer, &punch, cx.now + self.config.exchange));
        let ready = Some(punch);
        known.run = Run::Answering(Answer {
            stream,
            number,
            ready,
        });
        Ok(())
    }
}

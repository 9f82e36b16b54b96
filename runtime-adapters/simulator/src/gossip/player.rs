//! What the hosts of the experiments run: an honest router that publishes and counts, or a sybil.

use super::sybil::Sybil;
use crate::{
    app::{App, Lent, Step},
    stats::Histogram,
};
use bytes::Bytes;
use core::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use libp2p_proto_core::{Deadline, Instant, Multiaddr};
use libp2p_proto_gossipsub::{Event, Gossipsub, Topic};
use libp2p_proto_stream_protocol::{Context, Input, Protocol, StreamSpec};
use std::{collections::BTreeMap, sync::Arc};

/// Bytes of a message that say who published it, its number, and when.
const HEAD: usize = 16;

/// A router, to which several hosts look as if they were one machine.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) router: Gossipsub,
    pub(crate) shared: Option<Arc<BTreeMap<IpAddr, Ipv4Addr>>>,
}

impl Protocol for Front {
    fn specs(&self) -> &[StreamSpec] {
        self.router.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, mut input: Input) {
        if let (Input::Connected { info, .. }, Some(shared)) = (&mut input, &self.shared) {
            if let Some(machine) = info.remote.ip().and_then(|ip| shared.get(&ip)) {
                info.remote = Multiaddr::tcp((*machine).into(), 4001);
            }
        }
        self.router.handle(cx, input);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.router.poll_timeout()
    }
}

/// What an honest node publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publisher {
    pub(crate) number: u32,
    pub(crate) next: Instant,
    pub(crate) every: Duration,
    pub(crate) until: Instant,
    pub(crate) size: usize,
    pub(crate) sent: u32,
    pub(crate) sent_settled: u32,
}

/// What an honest node got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// All messages.
    pub(crate) all: Histogram,
    /// Those that were published when the attack had been going on for a while.
    pub(crate) settled: Histogram,
    /// Those of the target.
    pub(crate) target: Histogram,
    /// Messages that came within 3 s, and within 6 s.
    pub(crate) in_time: (u64, u64),
}

impl Tally {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.settled.merge(&other.settled);
        self.target.merge(&other.target);
        self.in_time.0 = self.in_time.0.saturating_add(other.in_time.0);
        self.in_time.1 = self.in_time.1.saturating_add(other.in_time.1);
    }
}

/// An honest node.
#[derive(Debug)]
pub(crate) struct Honest {
    pub(crate) front: Front,
    pub(crate) topic: Topic,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) tally: Tally,
    pub(crate) target: u32,
    pub(crate) settled: Instant,
}

impl Honest {
    fn publish_due(&mut self, now: Instant) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        while publisher.next <= now && publisher.next < publisher.until {
            let mut data = Vec::with_capacity(publisher.size.max(HEAD));
            data.extend_from_slice(&publisher.number.to_be_bytes());
            data.extend_from_slice(&publisher.sent.to_be_bytes());
            data.extend_from_slice(&now.as_nanos().to_be_bytes());
            data.resize(publisher.size.max(HEAD), 0);
            if self
                .front
                .router
                .publish(self.topic.clone(), Bytes::from(data), false)
                .is_ok()
            {
                publisher.sent = publisher.sent.saturating_add(1);
                if now >= self.settled {
                    publisher.sent_settled = publisher.sent_settled.saturating_add(1);
                }
            }
            publisher.next = publisher.next + publisher.every;
        }
    }

    fn count(&mut self, now: Instant, data: &Bytes) {
        let (Some(author), Some(at)) = (data.get(..4), data.get(8..HEAD)) else {
            return;
        };
        let (Ok(author), Ok(at)) = (<[u8; 4]>::try_from(author), <[u8; 8]>::try_from(at)) else {
            return;
        };
        let at = Instant::from_nanos(u64::from_be_bytes(at));
        let delay = now.since(at);
        let tally = &mut self.tally;
        tally.all.add(delay);
        if at >= self.settled {
            tally.settled.add(delay);
        }
        if u32::from_be_bytes(author) == self.target {
            tally.target.add(delay);
        }
        if delay <= Duration::from_secs(3) {
            tally.in_time.0 = tally.in_time.0.saturating_add(1);
        }
        if delay <= Duration::from_secs(6) {
            tally.in_time.1 = tally.in_time.1.saturating_add(1);
        }
    }
}

/// What runs on a host.
#[derive(Debug)]
pub(crate) enum Player {
    Honest(Box<Honest>),
    Sybil(Box<Sybil>),
}

impl Player {
    pub(crate) fn honest(&self) -> Option<&Honest> {
        match self {
            Self::Honest(honest) => Some(honest),
            Self::Sybil(_) => None,
        }
    }
}

impl App for Player {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        match self {
            Self::Honest(honest) => lent.push(&mut honest.front),
            Self::Sybil(sybil) => lent.push(&mut **sybil),
        }
        lent
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        let Self::Honest(honest) = self else { return };
        honest.publish_due(cx.now);
        while let Some(event) = honest.front.router.poll_event() {
            if let Event::Message { message, .. } = event {
                honest.count(cx.now, &message.data.unwrap_or_default());
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let publisher = self.honest()?.publisher?;
        (publisher.next < publisher.until).then_some(publisher.next)
    }
}

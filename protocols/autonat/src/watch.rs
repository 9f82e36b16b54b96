//! Our own addresses, and what is believed of each.

use crate::{
    Event,
    addrs::may_be_asked_about,
    desk::Desk,
    log::Log,
    votes::{Rules, Votes},
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;
use libp2p_proto_core::{AddressClass, Instant, Multiaddr};
use libp2p_proto_stream_protocol::{Context, Fact, Reachability};

/// Time in which an address is asked about so many times at most, and for which one rests that is refused everywhere.
pub(crate) const CHECK_WINDOW: Duration = Duration::from_secs(600);

/// One address of ours.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Whether the adapter listens there.
    listening: bool,
    /// Whether others see us there.
    candidate: bool,
    /// Whether the application, or another protocol, has proven it: then it is not ours to judge.
    given: bool,
    pub(crate) votes: Votes,
    /// When it is to be asked about; `None` while it is.
    pub(crate) due: Option<Instant>,
    /// Whether nobody could be asked.
    pub(crate) starved: bool,
    pub(crate) checks: Log<()>,
    pub(crate) refusals: u8,
    /// Before this it is not asked about, because nobody would dial it.
    pub(crate) rests_until: Instant,
    /// What others were told.
    told: Reachability,
}

impl Watched {
    const fn new(due: Instant) -> Self {
        Self {
            listening: false,
            candidate: false,
            given: false,
            votes: Votes::new(),
            due: Some(due),
            starved: false,
            checks: Log::new(CHECK_WINDOW),
            refusals: 0,
            rests_until: Instant::ZERO,
            told: Reachability::Unknown,
        }
    }

    /// Whether it is ours to judge.
    pub(crate) const fn is_open(&self) -> bool {
        (self.listening || self.candidate) && !self.given
    }

    const fn is_known(&self) -> bool {
        self.listening || self.candidate || self.given
    }
}

/// Our addresses.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    addrs: BTreeMap<Multiaddr, Watched>,
    /// Addresses that are gone, and of which others still believe something.
    gone: Vec<Multiaddr>,
}

impl Watch {
    /// Takes a fact in. A new address is to be asked about at `due`. Says whether there is one.
    pub(crate) fn learn(&mut self, fact: &Fact, due: Instant, private: bool, max: usize) -> bool {
        let (Fact::ListenAddress { addr, .. } | Fact::ExternalAddress { addr, .. }) = fact else {
            return false;
        };
        let bare = addr.split_peer_id().0.unwrap_or_else(|| addr.clone());
        if !may_be_asked_about(&bare, private) || (self.addrs.len() >= max && !self.addrs.contains_key(&bare))
        {
            return false;
        }
        let known = self
            .addrs
            .entry(bare.clone())
            .or_insert_with(|| Watched::new(due));
        let was_open = known.is_open();
        match fact {
            Fact::ListenAddress { up, .. } => known.listening = *up,
            Fact::ExternalAddress { confirmed, .. } => {
                known.given = *confirmed;
                known.candidate = !*confirmed;
                // Who tells so takes back what was believed of the address.
                known.told = Reachability::Unknown;
            }
            _ => {}
        }
        let is_new = known.is_open() && !was_open;
        if !known.is_known() {
            let believed = known.told != Reachability::Unknown;
            self.addrs.remove(&bare);
            if believed && self.gone.len() < max {
                self.gone.push(bare);
            }
        }
        is_new
    }

    pub(crate) fn get_mut(&mut self, addr: &Multiaddr) -> Option<&mut Watched> {
        self.addrs.get_mut(addr).filter(|watched| watched.is_open())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Watched> {
        self.addrs.values_mut().filter(|watched| watched.is_open())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Multiaddr, &Watched)> {
        self.addrs.iter().filter(|(_, watched)| watched.is_open())
    }

    /// The addresses, the most important first: where others see us, then public listeners, then names, then the rest.
    pub(crate) fn by_importance(&self) -> Vec<Multiaddr> {
        let rank = |addr: &Multiaddr, watched: &Watched| match addr.class() {
            _ if watched.candidate => 0,
            AddressClass::Public => 1,
            AddressClass::Name => 2,
            AddressClass::Private => 3,
            _ => 4,
        };
        let mut all: Vec<_> = self
            .iter()
            .map(|(addr, watched)| (rank(addr, watched), addr.clone()))
            .collect();
        all.sort();
        all.into_iter().map(|(_, addr)| addr).collect()
    }

    /// What is believed of all of them together.
    pub(crate) fn state(&self) -> Reachability {
        let states = || self.iter().map(|(_, watched)| watched.votes.state());
        if states().any(|state| state == Reachability::Public) {
            Reachability::Public
        } else if states().next().is_some() && states().all(|state| state == Reachability::Private) {
            Reachability::Private
        } else {
            Reachability::Unknown
        }
    }

    /// Forgets old voices.
    pub(crate) fn judge(&mut self, cx: &Context<'_>, desk: &mut Desk, rules: Rules) {
        for (addr, watched) in &mut self.addrs {
            let before = watched.votes.state();
            watched.votes.judge(cx.now, rules);
            let reachability = watched.votes.state();
            if reachability != before {
                let addr = addr.clone();
                desk.tell(cx, Event::Address { addr, reachability });
            }
        }
    }

    /// Tells others what is believed and what they were not told. Says whether all of it was taken.
    pub(crate) fn tell(&mut self, cx: &mut Context<'_>) -> bool {
        let mut all = true;
        self.gone.retain(|addr| {
            let reachability = Reachability::Unknown;
            let addr = addr.clone();
            let told = cx.tell(Fact::AddressReachability { addr, reachability }).is_ok();
            all &= told;
            !told
        });
        for (addr, watched) in &mut self.addrs {
            let reachability = if watched.is_open() {
                watched.votes.state()
            } else {
                Reachability::Unknown
            };
            if reachability != watched.told {
                let addr = addr.clone();
                let told = cx.tell(Fact::AddressReachability { addr, reachability }).is_ok();
                if told {
                    watched.told = reachability;
                }
                all &= told;
            }
        }
        all
    }
}

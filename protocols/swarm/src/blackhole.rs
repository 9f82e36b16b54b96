//! Kinds of addresses that lead nowhere from here: UDP behind some firewalls, IPv6 in some homes.
//!
//! The rule of go-libp2p: of the last N attempts of a kind at least a few must have succeeded; else the kind is left alone, but for every N-th attempt.

use alloc::collections::VecDeque;
use libp2p_proto_core::{AddressClass, Component, Multiaddr};

/// The last attempts of one kind.
#[derive(Debug, Default)]
struct Kind {
    results: VecDeque<bool>,
    successes: usize,
    /// Asked so often since it was found to lead nowhere.
    asked: usize,
}

/// What is known of UDP and IPv6.
#[derive(Debug)]
pub(crate) struct BlackHoles {
    window: usize,
    needed: usize,
    udp: Kind,
    ip6: Kind,
}

impl BlackHoles {
    pub(crate) fn new(window: usize, needed: usize) -> Self {
        Self {
            window,
            needed,
            udp: Kind::default(),
            ip6: Kind::default(),
        }
    }

    /// Whether an address is worth a socket.
    pub(crate) fn allows(&mut self, addr: &Multiaddr) -> bool {
        let (window, needed) = (self.window, self.needed);
        let mut all = true;
        for kind in self.kinds(addr).into_iter().flatten() {
            // Each is asked, so that each lets its own probes through.
            all &= kind.allows(window, needed);
        }
        all
    }

    pub(crate) fn record(&mut self, addr: &Multiaddr, success: bool) {
        let (window, needed) = (self.window, self.needed);
        for kind in self.kinds(addr).into_iter().flatten() {
            kind.record(success, window, needed);
        }
    }

    /// Private and relayed addresses say nothing about the way to the internet.
    fn kinds(&mut self, addr: &Multiaddr) -> [Option<&mut Kind>; 2] {
        if addr.class() != AddressClass::Public || self.window == 0 {
            return [None, None];
        }
        let is_udp = addr
            .components()
            .any(|component| matches!(component, Component::Udp(_)));
        let is_ip6 = addr.ip().is_some_and(|ip| ip.to_canonical().is_ipv6());
        [is_udp.then_some(&mut self.udp), is_ip6.then_some(&mut self.ip6)]
    }
}

impl Kind {
    fn is_black_hole(&self, window: usize, needed: usize) -> bool {
        self.results.len() >= window && self.successes < needed
    }

    fn allows(&mut self, window: usize, needed: usize) -> bool {
        if !self.is_black_hole(window, needed) {
            return true;
        }
        self.asked = self.asked.saturating_add(1);
        if self.asked >= window {
            self.asked = 0;
            return true;
        }
        false
    }

    fn record(&mut self, success: bool, window: usize, needed: usize) {
        if success && self.is_black_hole(window, needed) {
            // It leads somewhere after all: what was before says nothing any more.
            *self = Self::default();
        }
        if self.results.len() >= window && self.results.pop_front() == Some(true) {
            self.successes = self.successes.saturating_sub(1);
        }
        self.results.push_back(success);
        self.successes = self.successes.saturating_add(usize::from(success));
    }
}

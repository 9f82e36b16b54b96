//! Which addresses were dialed lately. Peers name them, and one of them may be a victim's: none is dialed more than three times a minute, whoever names it.

use alloc::collections::VecDeque;
use core::time::Duration;
use libp2p_proto_core::{Instant, Multiaddr};

/// Dials of one address in a minute.
const MAX_DIALS: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);
/// Dials that are remembered. While there are more in a minute, nothing is dialed.
const MAX_ENTRIES: usize = 4096;

/// The dials of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Lately(VecDeque<(Instant, Multiaddr)>);

impl Lately {
    /// Whether an address may be dialed now; it counts as dialed then.
    pub(crate) fn take(&mut self, now: Instant, addr: &Multiaddr) -> bool {
        while self.0.front().is_some_and(|(at, _)| *at + MINUTE <= now) {
            self.0.pop_front();
        }
        let dialed = self.0.iter().filter(|(_, known)| known == addr).count();
        let free = dialed < MAX_DIALS && self.0.len() < MAX_ENTRIES;
        if free {
            self.0.push_back((now, addr.clone()));
        }
        free
    }
}

//! Faults: what goes wrong, when, and for how long. A run's faults are a list, so that a failing one can be cut down.

use crate::net::{Chunks, Places};
use core::time::Duration;
use libp2p_proto_core::Rng;
use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins, from the start of the simulation.
    pub at: Duration,
    /// How long it stands; `None`: for ever. Of no meaning for what happens at once.
    pub during: Option<Duration>,
    /// What it is.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nothing arrives from the ones at the others; the operating system sends again, so that it arrives once the fault is over. Links can't be dialed meanwhile.
    Cut {
        /// Senders.
        from: Places,
        /// Receivers.
        to: Places,
    },
    /// What is sent from the ones to the others is lost without a word, for as long as each link lives: half-open links.
    BlackHole {
        /// Senders.
        from: Places,
        /// Receivers.
        to: Places,
    },
    /// Links between the ones and the others break at once.
    Break {
        /// One end.
        from: Places,
        /// The other end.
        to: Places,
    },
    /// Links that are dialed from now on by the ones to the others break behind so many bytes of their dialer, or of their listener.
    BreakAt {
        /// Dialers.
        from: Places,
        /// Listeners.
        to: Places,
        /// Bytes.
        bytes: u64,
        /// Whether the listener's bytes count, not the dialer's.
        listener: bool,
    },
    /// Hosts lose power, and everything but their identity. If the fault ends, they start again.
    Crash {
        /// Which.
        hosts: Places,
    },
    /// Hosts are killed: their links break. If the fault ends, they start again.
    Kill {
        /// Which.
        hosts: Places,
    },
    /// Hosts close everything in an orderly way, and refuse what is new.
    Close {
        /// Which.
        hosts: Places,
    },
    /// Applications look at nothing: neither at events nor at time.
    Deaf {
        /// Which.
        hosts: Places,
    },
    /// Both clocks of hosts jump by so many seconds.
    Step {
        /// Which.
        hosts: Places,
        /// Seconds, forwards or backwards.
        seconds: i64,
    },
    /// Both clocks of hosts run fast by so many parts per million.
    Drift {
        /// Which.
        hosts: Places,
        /// Parts per million; negative: slow.
        ppm: i32,
    },
    /// Both clocks of hosts stand still.
    Freeze {
        /// Which.
        hosts: Places,
    },
    /// A NAT is switched off and on: it has forgotten its mappings, and links through it are lost.
    NatReboot {
        /// Its number.
        nat: usize,
    },
    /// Bytes arrive in other pieces.
    Chunked {
        /// Which.
        chunks: Chunks,
    },
}

impl Fault {
    /// A fault that ends.
    pub const fn during(at: Duration, during: Duration, kind: FaultKind) -> Self {
        Self {
            at,
            during: Some(during),
            kind,
        }
    }

    /// A fault that happens at once, or stands for ever.
    pub const fn at(at: Duration, kind: FaultKind) -> Self {
        Self {
            at,
            during: None,
            kind,
        }
    }

    /// When it is over, if ever.
    pub fn ends(&self) -> Option<Duration> {
        self.during.map(|during| self.at.saturating_add(during))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}", self.at)?;
        if let Some(during) = self.during {
            write!(f, " for {during:?}")?;
        }
        write!(f, ": {:?}", self.kind)
    }
}

/// How often faults come, drawn from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chances {
    /// Faults in each hour of the simulation, 0 to 100 000.
    pub per_hour: u32,
    /// From when on.
    pub from: Duration,
    /// Until when: faults begin before, and are over by then.
    pub until: Duration,
    /// How long they stand, at most. At least a second.
    pub longest: Duration,
}

impl Chances {
    /// A list of faults for so many hosts. How likely each kind is, is drawn first: some runs see only partitions, some only crashes.
    pub fn draw(&self, hosts: usize, dice: &mut Rng) -> Vec<Fault> {
        let span = self.until.saturating_sub(self.from);
        let wanted = u128::from(self.per_hour).saturating_mul(span.as_millis()) / 3_600_000;
        let weights: [u64; KINDS] = core::array::from_fn(|_| dice.below(5));
        let all = weights.iter().sum::<u64>().max(1);
        let mut faults = Vec::new();
        for _ in 0..wanted {
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            let at = self
                .from
                .saturating_add(Duration::from_millis(dice.below(millis.max(1))));
            let longest = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
            let during = Duration::from_millis(dice.below(longest.max(1000)).max(1));
            let during = during.min(self.until.saturating_sub(at));
            let mut drawn = dice.below(all);
            let mut kind = 0;
            for (place, weight) in weights.iter().enumerate() {
                kind = place;
                if drawn < *weight {
                    break;
                }
                drawn = drawn.saturating_sub(*weight);
            }
            faults.push(Fault::during(at, during, random(kind, hosts, dice)));
        }
        faults.sort_by_key(|fault| fault.at);
        faults
    }
}

const KINDS: usize = 9;

fn random(kind: usize, hosts: usize, dice: &mut Rng) -> FaultKind {
    let any = |dice: &mut Rng| usize::try_from(dice.below(hosts.max(1) as u64)).unwrap_or(0);
    let one = |dice: &mut Rng| Places::one(any(dice));
    match kind {
        0 => {
            let some: Vec<_> = (0..hosts).filter(|_| dice.below(2) == 0).collect();
            let (from, to) = (Places::Some(some.clone()), Places::But(some));
            FaultKind::Cut { from, to }
        }
        1 => FaultKind::Cut {
            from: one(dice),
            to: Places::All,
        },
        2 => FaultKind::BlackHole {
            from: one(dice),
            to: one(dice),
        },
        3 => FaultKind::Break {
            from: one(dice),
            to: one(dice),
        },
        4 => FaultKind::Crash { hosts: one(dice) },
        5 => FaultKind::Kill { hosts: one(dice) },
        6 => FaultKind::Step {
            hosts: one(dice),
            seconds: i64::try_from(dice.below(7200)).unwrap_or(0).saturating_sub(3600),
        },
        7 => FaultKind::Deaf { hosts: one(dice) },
        _ => FaultKind::Drift {
            hosts: one(dice),
            ppm: i32::try_from(dice.below(1000)).unwrap_or(0).saturating_sub(500),
        },
    }
}

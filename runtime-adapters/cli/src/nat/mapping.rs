//! What a NAT makes of our ports, from what others see.

use std::{collections::BTreeSet, net::IpAddr};

/// One connection of ours, as both ends see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sight {
    /// Our end, as we see it.
    pub(super) from: (IpAddr, u16),
    /// The other end.
    pub(super) to: (IpAddr, u16),
    /// Our end, as the other one sees it.
    pub(super) seen: (IpAddr, u16),
}

/// How addresses are mapped (RFC 4787, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// There is no NAT: others see the address that we have.
    None,
    /// One address of ours is one address to everybody.
    EndpointIndependent,
    /// One address of ours is another one to each.
    EndpointDependent,
    /// There is a NAT, and no two peers of different addresses have seen the same address of ours.
    Unknown,
    /// Nobody has said where they see us.
    Unseen,
}

impl Mapping {
    pub(super) fn of(sights: &[Sight]) -> Self {
        if sights.is_empty() {
            return Self::Unseen;
        }
        if sights.iter().all(|sight| sight.from.0 == sight.seen.0) {
            return Self::None;
        }
        let mut compared = false;
        for sight in sights {
            let others = sights
                .iter()
                .filter(|other| other.from == sight.from && other.to.0 != sight.to.0);
            let seen: BTreeSet<_> = others.map(|other| other.seen).collect();
            if seen.iter().any(|seen| *seen != sight.seen) {
                return Self::EndpointDependent;
            }
            compared |= !seen.is_empty();
        }
        if compared {
            Self::EndpointIndependent
        } else {
            Self::Unknown
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::EndpointIndependent => "endpoint-independent",
            Self::EndpointDependent => "endpoint-dependent",
            Self::Unknown | Self::Unseen => "unknown",
        }
    }

    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::None => "Mapping: none. Others see the address that this node has.",
            Self::EndpointIndependent => {
                "Mapping: endpoint-independent. A NAT shows one port to everybody, so holes can be punched through it."
            }
            Self::EndpointDependent => {
                "Mapping: endpoint-dependent. A NAT shows another port to each peer, so hole punches fail; use a relay."
            }
            Self::Unknown => {
                "Mapping: unknown. There is a NAT; to tell its kind, name two peers with different IP addresses, reached from one port."
            }
            Self::Unseen => "Mapping: unknown. No peer has told where it sees this node.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapping, Sight};

    fn sight(from: u16, to: u8, seen: u16) -> Sight {
        Sight {
            from: ([10, 0, 0, 2].into(), from),
            to: ([198, 51, 100, to].into(), 4001),
            seen: ([203, 0, 113, 5].into(), seen),
        }
    }

    #[test]
    fn the_kind_of_a_mapping_shows_when_two_peers_see_one_port() {
        assert_eq!(Mapping::of(&[]), Mapping::Unseen);
        assert_eq!(Mapping::of(&[sight(1, 1, 9)]), Mapping::Unknown);
        // Two connections of one peer, or from two ports, say nothing.
        assert_eq!(Mapping::of(&[sight(1, 1, 9), sight(1, 1, 8)]), Mapping::Unknown);
        assert_eq!(Mapping::of(&[sight(1, 1, 9), sight(2, 2, 8)]), Mapping::Unknown);
        assert_eq!(
            Mapping::of(&[sight(1, 1, 9), sight(1, 2, 9)]),
            Mapping::EndpointIndependent
        );
        assert_eq!(
            Mapping::of(&[sight(1, 1, 9), sight(1, 2, 8)]),
            Mapping::EndpointDependent
        );
        let open = Sight {
            seen: ([10, 0, 0, 2].into(), 1),
            ..sight(1, 1, 9)
        };
        assert_eq!(Mapping::of(&[open]), Mapping::None);
    }
}

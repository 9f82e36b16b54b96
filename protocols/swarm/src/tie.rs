//! Which of several connections to one peer is preferred, and which may go: pure functions of ids, time and streams.
//!
//! Both ends prefer the connection that the larger peer id dialed, so both choose the same one of two that were dialed at once. The other is closed only by
//! the end that dialed it, only while it carries no stream, and only two seconds after both stand: by then both ends have moved on. A relayed connection beside a
//! direct one is closed by either end. A foreign implementation may keep both.
//!
//! A connection that serves one purpose and goes with it (the dial back of AutoNAT) is set aside by both ends: it is preferred by neither, whoever dialed it, so it
//! goes by the same rule, without a stream of anybody's.

use core::{cmp::Reverse, time::Duration};
use libp2p_proto_core::{ConnectionId, Instant, PeerId, Side};

/// How long two connections to one peer stand side by side at least.
pub const SIDE_BY_SIDE: Duration = Duration::from_secs(2);

/// One of the connections to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The connection.
    pub conn: ConnectionId,
    /// Our end of it.
    pub side: Side,
    /// Whether it is limited (relayed).
    pub limited: bool,
    /// Whether it serves one purpose, a dial back for example, and goes with it.
    pub aside: bool,
    /// Whether it was punched through a NAT: both ends dialed it, so the rule does not concern it.
    pub punched: bool,
    /// Streams that it carries.
    pub streams: u32,
    /// Whether a protocol keeps it without a stream.
    pub kept: bool,
    /// Since when it stands.
    pub since: Instant,
}

/// The order in which new streams choose: those that were set aside last, direct before limited, then the one that the larger peer id dialed, then the oldest.
pub fn preference(local: &PeerId, peer: &PeerId, standing: &Standing) -> impl Ord + use<> {
    let dialed_by_larger = standing.side.is_dialer() == (local > peer);
    (
        standing.aside,
        standing.limited,
        Reverse(dialed_by_larger),
        standing.conn,
    )
}

/// From when on `other` may be closed in favour of `preferred`, if it may: by us, because we dialed it or it is limited and `preferred` is not, and not while it carries
/// streams or is kept.
pub fn redundant_from(preferred: &Standing, other: &Standing) -> Option<Instant> {
    let twin = other.side.is_dialer() && !other.punched && other.limited == preferred.limited;
    let concerned = twin || (other.limited && !preferred.limited);
    (concerned && other.streams == 0 && !other.kept && other.conn != preferred.conn)
        .then(|| preferred.since.max(other.since) + SIDE_BY_SIDE)
}

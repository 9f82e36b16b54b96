//! The counts that the machine keeps, counted again.

use crate::{Yamux, stream::Opening};

pub(super) fn assert_census(yamux: &Yamux) {
    let ours = |id: &u32| yamux.is_ours(*id);
    let streams = &yamux.streams;
    assert_eq!(yamux.outbound, streams.keys().filter(|id| ours(id)).count());
    assert_eq!(yamux.inbound, streams.keys().filter(|id| !ours(id)).count());
    let unaccepted = streams.values().filter(|s| s.opening == Opening::Unaccepted);
    assert_eq!(yamux.unaccepted, unaccepted.count());
    let unacknowledged = streams.values().filter(|s| s.is_unacknowledged());
    assert_eq!(yamux.unacknowledged, unacknowledged.count());
    assert_eq!(yamux.growth, streams.values().map(|s| s.growth()).sum::<usize>());
    assert!(yamux.growth <= yamux.config.growth_budget);
    for (queue, stands) in [
        (&yamux.control, streams.values().filter(|s| s.in_control).count()),
        (&yamux.data, streams.values().filter(|s| s.in_data).count()),
        (&yamux.drained, streams.values().filter(|s| s.in_drained).count()),
    ] {
        assert_eq!(queue.len(), stands);
        assert!(queue.iter().all(|id| streams.contains_key(id)));
    }
    for (id, stream) in streams {
        let credit = u64::from(stream.recv_window) + u64::from(stream.consumed) + u64::from(stream.held());
        assert_eq!(credit, u64::from(stream.recv_max), "credit of stream {id}");
        assert!(!stream.has_data() || stream.in_data, "stream {id} is forgotten");
        let waits = stream.in_control || yamux.early.contains(id);
        let rides = stream.opening == Opening::AckDue && stream.in_data;
        assert!(
            !stream.has_control() || waits || rides,
            "control of stream {id} is forgotten"
        );
        assert!(!stream.is_done());
    }
}

pub(super) fn assert_empty(yamux: &Yamux) {
    assert_census(yamux);
    assert!(yamux.streams.is_empty());
    assert_eq!(yamux.unreported() + yamux.resets.len() + yamux.pongs.len(), 0);
}

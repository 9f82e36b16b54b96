//! What this connection serves, and how names are found.

use alloc::sync::Arc;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_multistream_select::Names;
use libp2p_proto_stream_protocol::{SpecEntry, SpecId, SpecTable};
use smallvec::SmallVec;

/// The node's specs, as far as this connection serves them.
#[derive(Debug)]
pub(crate) struct Table {
    specs: Arc<SpecTable>,
    /// Specs whose inbound limit differs from the table.
    inbound: SmallVec<[(SpecId, u16); 2]>,
    /// Only specs that allow it are served.
    limited: bool,
}

impl Table {
    pub(crate) const fn new(
        specs: Arc<SpecTable>,
        inbound: SmallVec<[(SpecId, u16); 2]>,
        limited: bool,
    ) -> Self {
        Self {
            specs,
            inbound,
            limited,
        }
    }

    pub(crate) fn get(&self, spec: SpecId) -> Option<&SpecEntry> {
        self.specs.get(spec)
    }

    /// From now on the remote may have `max` streams of this spec.
    pub(crate) fn set_inbound(&mut self, spec: SpecId, max: u16) {
        self.inbound.retain(|(known, _)| *known != spec);
        // A limit of a spec that is not there would only take room.
        if self.specs.get(spec).is_some() {
            self.inbound.push((spec, max));
        }
    }

    /// How many streams of this spec the remote may have.
    pub(crate) fn max_inbound(&self, spec: SpecId) -> usize {
        let own = self.inbound.iter().find(|(known, _)| *known == spec);
        let table = || self.specs.get(spec).map_or(0, |entry| entry.spec.max_inbound);
        usize::from(own.map_or_else(table, |(_, max)| *max))
    }
}

/// What a dialer proposes, in order.
pub(crate) struct Proposals<'a> {
    pub(crate) table: &'a Table,
    pub(crate) specs: &'a [SpecId],
}

impl Names for Proposals<'_> {
    fn name(&self, place: usize) -> Option<&ProtocolName> {
        let entry = self.table.get(*self.specs.get(place)?)?;
        Some(&entry.spec.name)
    }

    fn place(&self, _: &str) -> Option<usize> {
        None
    }
}

/// What a listener accepts; places are spec ids.
impl Names for Table {
    fn name(&self, place: usize) -> Option<&ProtocolName> {
        let id = SpecId(u16::try_from(place).ok()?);
        self.get(id).map(|entry| &entry.spec.name)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        let serves = |id: SpecId, entry: &SpecEntry| {
            entry.spec.matches(proposed)
                && (entry.spec.on_limited || !self.limited)
                && self.max_inbound(id) > 0
        };
        let found = self.specs.iter().find(|(id, entry)| serves(*id, entry));
        found.map(|(id, _)| usize::from(id.0))
    }
}

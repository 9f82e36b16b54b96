//! Which connections are kept for the mesh: those of its members, and of explicit peers, over which our stream to them runs.

use crate::{Gossipsub, peers::Outbound};
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::Context;

impl Gossipsub {
    /// A peer came into a mesh of ours, or left one.
    pub(crate) fn count_mesh(&mut self, peer: PeerId, joined: bool) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let before = entry.meshes;
        entry.meshes = if joined {
            before.saturating_add(1)
        } else {
            before.saturating_sub(1)
        };
        if before == 0 || entry.meshes == 0 {
            self.shifted.insert(peer);
        }
    }

    /// Keeps the connections of peers that are in a mesh or explicit, and no others.
    pub(crate) fn settle_keeps(&mut self, cx: &mut Context<'_>) {
        while let Some(peer) = self.shifted.pop_first() {
            let Some(entry) = self.peers.get_mut(&peer) else {
                continue;
            };
            let wanted = entry.meshes > 0 || self.explicit.contains(&peer);
            let conn = match &entry.out {
                Outbound::Open(open) => Some(open.stream.conn),
                // The one that it was, until our stream is open again.
                _ => entry.kept,
            };
            let conn = conn.filter(|conn| wanted && entry.conns.contains_key(conn));
            if entry.kept == conn {
                continue;
            }
            if let Some(old) = entry.kept {
                cx.keep(old, false);
            }
            if let Some(new) = conn {
                cx.keep(new, true);
            }
            entry.kept = conn;
        }
    }
}

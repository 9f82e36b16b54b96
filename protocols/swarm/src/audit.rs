//! Everything counted again, for tests.

use crate::{
    Swarm,
    census::Census,
    conn::{Conn, Timer},
};
use libp2p_proto_core::ConnectionId;

impl Swarm {
    /// Recounts everything that is counted on the way, and looks for what belongs to nothing. For tests and fuzzers: it looks at all there is.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn audit(&self) -> Result<(), &'static str> {
        let checks = [
            ("the census differs from a recount", self.is_census_right()),
            (
                "a connection has a wrong count of streams",
                self.are_streams_counted(),
            ),
            (
                "a scope differs from a recount",
                self.core.scopes.is_count_of(self.core.slots.iter()),
            ),
            (
                "a stream without a connection",
                self.do_streams_have_connections(),
            ),
            (
                "a peer without connections, or with foreign ones",
                self.are_peers_right(),
            ),
            (
                "a phase without a deadline, or the reverse",
                self.are_deadlines_right(),
            ),
            (
                "a kept connection that is gone, or does not know",
                self.are_kept_ones_right(),
            ),
            ("a question without a dial", self.do_questions_have_dials()),
            ("a queue is over its limit", self.are_queues_bounded()),
        ];
        checks
            .into_iter()
            .find(|(_, right)| !right)
            .map_or(Ok(()), |(wrong, _)| Err(wrong))
    }

    fn is_census_right(&self) -> bool {
        let mut census = Census::default();
        for (id, conn) in &self.core.conns {
            census.enter(*id, conn);
        }
        census == self.core.census
    }

    fn are_streams_counted(&self) -> bool {
        self.core.conns.iter().all(|(id, conn)| {
            let streams = self.core.streams_of(*id);
            let spec = |stream| self.core.slots.get(stream).map(|slot| slot.spec);
            let keeps = |stream| {
                let entry = spec(stream).and_then(|spec| self.core.specs.get(spec));
                entry.is_some_and(|entry| entry.spec.keeps_alive)
            };
            let keeping = streams.iter().filter(|stream| keeps(stream)).count();
            equal(conn.streams, streams.len()) && equal(conn.keeping, keeping)
        })
    }

    fn do_streams_have_connections(&self) -> bool {
        let mut conns = self.core.slots.keys().map(|stream| stream.conn);
        conns.all(|conn| self.core.conns.contains_key(&conn))
    }

    fn are_peers_right(&self) -> bool {
        let of = |id: &ConnectionId| self.core.conns.get(id).and_then(|conn| conn.peer);
        self.core.peers.iter().all(|(peer, known)| {
            !known.conns.is_empty() && known.conns.iter().all(|conn| of(conn) == Some(*peer))
        })
    }

    fn are_kept_ones_right(&self) -> bool {
        let is_kept = |id: &ConnectionId| self.core.kept.iter().any(|(known, _)| known == id);
        let mut known = self.core.kept.iter();
        known.all(|(id, _)| self.core.conns.contains_key(id))
            && self.core.conns.iter().all(|(id, conn)| conn.kept == is_kept(id))
    }

    fn are_deadlines_right(&self) -> bool {
        let waits = |id: ConnectionId| {
            let overdue =
                |news: &crate::news::News| matches!(news, crate::news::News::Overdue(known) if *known == id);
            self.core.timers.get(Timer::Phase(id)).is_some() || self.news.iter().any(overdue)
        };
        let right = |(id, conn): (&ConnectionId, &Conn)| conn.is_established() || waits(*id);
        self.core.conns.iter().all(right)
    }

    fn do_questions_have_dials(&self) -> bool {
        self.core
            .dials
            .values()
            .map(|dial| dial.resolving.len())
            .sum::<usize>()
            == self.core.questions.len()
            && self
                .core
                .starved
                .iter()
                .all(|dial| self.core.dials.contains_key(dial))
    }

    fn are_queues_bounded(&self) -> bool {
        let (core, config) = (&self.core, &self.core.config);
        core.events.len() <= config.max_events
            && core.facts.len() <= config.max_facts.saturating_add(1)
            && core.dials.len().saturating_add(core.ended.len()) <= config.max_dials
            && core.book.bytes() <= config.book.max_bytes
            && core.expectations.len() <= config.max_expected
            && core.timers.len()
                <= core
                    .conns
                    .len()
                    .saturating_mul(2)
                    .saturating_add(core.dials.len())
                    .saturating_add(1)
    }
}

fn equal(count: u32, recount: usize) -> bool {
    u32::try_from(recount) == Ok(count)
}

//! Names in addresses: which question to ask a resolver, and what to make of its answer.

use crate::{Action, Record, ResolveId, ResolveKind, conn::Timer, core::Core};
use alloc::{string::String, vec::Vec};
use core::net::IpAddr;
use libp2p_proto_core::{Component, DialId, Multiaddr};
use libp2p_proto_stream_protocol::AttemptError;

/// One question to a resolver, and what its answer is for.
#[derive(Debug)]
pub(crate) struct Question {
    dial: DialId,
    addr: Multiaddr,
    depth: u8,
}

impl Core {
    /// Asks for the name of an address.
    pub(crate) fn ask(&mut self, id: DialId, addr: &Multiaddr, depth: u8) {
        let Some(dial) = self.dials.get_mut(&id) else {
            return;
        };
        let question = question(addr).filter(|_| depth < self.config.max_resolve_depth);
        let Some((name, kind)) = question else {
            return dial.fail(addr.clone(), AttemptError::Resolve("bad-name"));
        };
        let query = ResolveId(self.next_query);
        self.next_query = self.next_query.saturating_add(1);
        dial.resolving.push(query);
        let addr = addr.clone();
        self.questions.insert(
            query,
            Question {
                dial: id,
                addr,
                depth,
            },
        );
        self.actions.push_back(Action::Resolve { query, name, kind });
    }

    /// A resolver has answered.
    pub(crate) fn resolved(&mut self, query: ResolveId, answer: Result<Vec<Record>, &'static str>) {
        let Some(question) = self.questions.remove(&query) else {
            return;
        };
        let Some(dial) = self.dials.get_mut(&question.dial) else {
            return;
        };
        dial.resolving.retain(|known| *known != query);
        self.timers.set(Timer::Dial(question.dial), self.now);
        let records = match answer {
            Ok(records) => records,
            Err(cause) => return dial.fail(question.addr, AttemptError::Resolve(cause)),
        };
        let peer = dial.peer;
        let own = |addr: Multiaddr| match addr.split_peer_id() {
            (rest, None) => rest,
            (rest, named) if named == peer || peer.is_none() => rest,
            _ => None,
        };
        let left = self.config.max_resolved.saturating_sub(dial.taken);
        let found: Vec<_> = records
            .iter()
            .filter_map(|record| substitute(&question.addr, record))
            .filter_map(own)
            .take(left)
            .collect();
        if found.is_empty() {
            return dial.fail(question.addr, AttemptError::Resolve("no-address"));
        }
        dial.name(&question.addr, &found);
        self.plan(question.dial, &found, question.depth.saturating_add(1));
    }
}

/// What to ask for the name of an address.
fn question(addr: &Multiaddr) -> Option<(String, ResolveKind)> {
    let (name, kind) = match addr.components().next()? {
        Component::Dns(name) => (String::from(name), ResolveKind::Ip),
        Component::Dns4(name) => (String::from(name), ResolveKind::Ip4),
        Component::Dns6(name) => (String::from(name), ResolveKind::Ip6),
        Component::Dnsaddr(name) => (["_dnsaddr.", name].concat(), ResolveKind::Txt),
        _ => return None,
    };
    is_host_name(&name).then_some((name, kind))
}

/// The address with its name replaced by one answer. A TXT record is a whole address that must end as the asking one does.
fn substitute(addr: &Multiaddr, record: &Record) -> Option<Multiaddr> {
    let suffix = || addr.components().skip(1);
    match (addr.components().next()?, record) {
        (Component::Dns4(_), Record::Ip(IpAddr::V6(_))) | (Component::Dns6(_), Record::Ip(IpAddr::V4(_))) => {
            None
        }
        (Component::Dns(_) | Component::Dns4(_) | Component::Dns6(_), Record::Ip(ip)) => {
            Multiaddr::from_components(core::iter::once(Component::from(*ip)).chain(suffix())).ok()
        }
        (Component::Dnsaddr(_), Record::Txt(text)) => {
            let found: Multiaddr = text.strip_prefix("dnsaddr=")?.parse().ok()?;
            let wanted: Vec<_> = suffix().collect();
            let components: Vec<_> = found.components().collect();
            components.ends_with(&wanted).then_some(found.clone())
        }
        _ => None,
    }
}

/// Whether a resolver may be asked: at most 253 bytes, labels of 1 to 63.
fn is_host_name(name: &str) -> bool {
    let labels = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty() && name.len() <= 253 && labels.split('.').all(|label| (1..=63).contains(&label.len()))
}

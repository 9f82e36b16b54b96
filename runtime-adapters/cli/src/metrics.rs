//! What a scraper sees: every counter of the node, in the `OpenMetrics` text format.

mod endpoint;

use crate::listen::Listener;
use libp2p_proto_identify::Identify;
use libp2p_proto_ping::Ping;
use libp2p_proto_swarm::Swarm;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt};

pub(crate) use endpoint::serve;

/// The state of the node, as text.
pub(crate) fn text(swarm: &mut Swarm, app: &Listener) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("p2p");
    about_connections(&mut registry, swarm, app);
    about_protocols(&mut registry, app);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn about_connections(registry: &mut Registry, swarm: &mut Swarm, app: &Listener) {
    let stats = swarm.stats();
    gauge(
        registry,
        "connections",
        "Established connections",
        stats.established,
    );
    gauge(
        registry,
        "connections_inbound",
        "Established connections that others dialed",
        stats.established_inbound,
    );
    gauge(
        registry,
        "connections_pending_inbound",
        "Inbound connections that are not upgraded",
        stats.pending_inbound,
    );
    gauge(
        registry,
        "connections_pending_outbound",
        "Outbound attempts under way",
        stats.pending_outbound,
    );
    gauge(registry, "streams", "Open streams", stats.streams);
    gauge(registry, "dials", "Dials under way", stats.dials);
    gauge(registry, "peers", "Connected peers", swarm.peers().count());
    gauge(
        registry,
        "listen_addresses",
        "Addresses that are announced",
        swarm.listen_addresses().count(),
    );
    counter(
        registry,
        "links_denied",
        "Inbound links refused by a limit or a rule before a byte",
        stats.refused,
    );
    counter(
        registry,
        "frames_in",
        "Frames delivered to protocols",
        stats.frames_in,
    );
    counter(
        registry,
        "frames_out",
        "Frames written by protocols",
        stats.frames_out,
    );
    let book = swarm.book_mut();
    gauge(registry, "book_peers", "Peers in the address book", book.len());
    gauge(registry, "book_bytes", "Memory of the address book", book.bytes());
    let tally = &app.tally;
    let opened = BTreeMap::from([("inbound", tally.accepted), ("outbound", tally.dialed)]);
    family(
        registry,
        "connections_opened",
        "Connections established",
        "side",
        &opened,
    );
    family(
        registry,
        "connections_ended",
        "Connections that ended",
        "cause",
        &tally.ended,
    );
    family(
        registry,
        "incoming_failed",
        "Inbound connections that were not upgraded",
        "cause",
        &tally.refused,
    );
    counter(registry, "dials_failed", "Dials that failed", tally.dials_failed);
}

fn about_protocols(registry: &mut Registry, app: &Listener) {
    if let Some(stats) = app.identify.as_ref().map(Identify::stats) {
        counter(
            registry,
            "identify_identified",
            "Peers identified",
            stats.identified,
        );
        counter(
            registry,
            "identify_failures",
            "Exchanges that failed",
            stats.failures,
        );
        counter(
            registry,
            "identify_pushes_received",
            "Pushes read",
            stats.pushes_received,
        );
        counter(registry, "identify_pushes_sent", "Pushes sent", stats.pushes_sent);
        counter(
            registry,
            "identify_events_dropped",
            "Events lost to a full queue",
            stats.events_dropped,
        );
    }
    if let Some(stats) = app.ping.as_ref().map(Ping::stats) {
        counter(registry, "ping_pongs", "Rounds that were answered", stats.pongs);
        counter(registry, "ping_failures", "Rounds that failed", stats.failures);
        counter(registry, "ping_echoed", "Blocks echoed", stats.echoed);
        counter(
            registry,
            "ping_events_dropped",
            "Events lost to a full queue",
            stats.events_dropped,
        );
    }
    counter(
        registry,
        "reqresp_answered",
        "Requests answered",
        app.tally.requests,
    );
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Counter::<u64>::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn family(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &BTreeMap<&'static str, u64>,
) {
    let family = Family::<Vec<(&'static str, &'static str)>, Counter>::default();
    for (value, count) in values {
        family.get_or_create(&vec![(label, *value)]).inc_by(*count);
    }
    registry.register(name, help, family);
}

//! What a scraper sees: every counter of the node, in the `OpenMetrics` text format.

mod endpoint;

use crate::listen::Listener;
use libp2p_proto_identify::Identify;
use libp2p_proto_ping::Ping;
use libp2p_proto_request_response::RequestResponse;
use libp2p_proto_swarm::Swarm;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt, sync::atomic::AtomicU64};

pub(crate) use endpoint::serve;

/// The state of the node, as text.
pub(crate) fn text(swarm: &mut Swarm, app: &Listener) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("p2p");
    about_connections(&mut registry, swarm, app);
    about_each_connection(&mut registry, swarm);
    about_protocols(&mut registry, app);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn about_connections(registry: &mut Registry, swarm: &mut Swarm, app: &Listener) {
    let stats = swarm.stats();
    for (name, help, value) in [
        ("connections", "Established connections", stats.established),
        (
            "connections_inbound",
            "Established connections that others dialed",
            stats.established_inbound,
        ),
        (
            "connections_pending_inbound",
            "Inbound connections that are being upgraded",
            stats.pending_inbound,
        ),
        (
            "connections_pending_outbound",
            "Outbound attempts under way",
            stats.pending_outbound,
        ),
        (
            "connections_closing",
            "Connections that were ordered to end and have not",
            stats.closing,
        ),
        ("streams", "Open streams", stats.streams),
        (
            "streams_inbound",
            "Open streams that others opened",
            stats.streams_inbound,
        ),
        ("dials", "Dials under way", stats.dials),
        ("news_waiting", "News of connections that waits", stats.news),
        ("events_waiting", "Events that wait", stats.events),
        ("peers", "Connected peers", swarm.peers().count()),
        (
            "listen_addresses",
            "Addresses that are announced",
            swarm.listen_addresses().count(),
        ),
        ("book_peers", "Peers in the address book", swarm.book_mut().len()),
        (
            "book_bytes",
            "Memory of the address book, about",
            stats.book_bytes,
        ),
    ] {
        gauge(registry, name, help, value);
    }
    for (name, help, value) in [
        (
            "links_refused",
            "Inbound links refused by a limit or a rule before a byte",
            stats.refused,
        ),
        (
            "links_crowded_out",
            "Inbound links that made room for others while being upgraded",
            stats.crowded_out,
        ),
        (
            "connections_trimmed",
            "Connections that were trimmed",
            stats.trimmed,
        ),
        (
            "streams_refused",
            "Inbound streams reset because a scope was full",
            stats.streams_refused,
        ),
        (
            "bytes_in",
            "Bytes that connections took from their links, those that ended included",
            stats.bytes_in,
        ),
        (
            "bytes_out",
            "Bytes that connections gave to their links, those that ended included",
            stats.bytes_out,
        ),
        ("frames_in", "Frames delivered to protocols", stats.frames_in),
        ("frames_out", "Frames written by protocols", stats.frames_out),
        ("dials_failed", "Dials that failed", app.tally.dials_failed),
    ] {
        counter(registry, name, help, value);
    }
    about_causes(registry, app);
}

/// Whose connections they were, and why some are not there.
fn about_causes(registry: &mut Registry, app: &Listener) {
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
}

/// What each connection that stands has carried, under its number.
fn about_each_connection(registry: &mut Registry, swarm: &Swarm) {
    type Label = [(&'static str, u64); 1];
    let bytes_in = Family::<Label, Counter>::default();
    let bytes_out = Family::<Label, Counter>::default();
    let rtt = Family::<Label, Gauge<f64, AtomicU64>>::default();
    for conn in swarm.peers().flat_map(|peer| swarm.connections(peer)) {
        let Some(traffic) = swarm.traffic(conn) else {
            continue;
        };
        let label = [("conn", conn.get())];
        bytes_in.get_or_create(&label).inc_by(traffic.bytes_in);
        bytes_out.get_or_create(&label).inc_by(traffic.bytes_out);
        if let Some(measured) = traffic.rtt {
            rtt.get_or_create(&label).set(measured.as_secs_f64());
        }
    }
    registry.register("connection_bytes_in", "Bytes taken from the link", bytes_in);
    registry.register("connection_bytes_out", "Bytes given to the link", bytes_out);
    registry.register(
        "connection_rtt_seconds",
        "Round trip that the multiplexer measured last",
        rtt,
    );
}

fn about_protocols(registry: &mut Registry, app: &Listener) {
    let mut counters: Vec<(&str, &str, u64)> = Vec::new();
    if let Some(stats) = app.identify.as_ref().map(Identify::stats) {
        counters.extend([
            ("identify_identified", "Peers identified", stats.identified),
            ("identify_failures", "Exchanges that failed", stats.failures),
            ("identify_pushes_received", "Pushes read", stats.pushes_received),
            ("identify_pushes_sent", "Pushes sent", stats.pushes_sent),
            (
                "identify_events_dropped",
                "Events lost to a full queue",
                stats.events_dropped,
            ),
        ]);
    }
    if let Some(stats) = app.ping.as_ref().map(Ping::stats) {
        counters.extend([
            ("ping_pongs", "Rounds that were answered", stats.pongs),
            ("ping_failures", "Rounds that failed", stats.failures),
            ("ping_echoed", "Blocks echoed", stats.echoed),
            (
                "ping_events_dropped",
                "Events lost to a full queue",
                stats.events_dropped,
            ),
        ]);
    }
    if let Some(stats) = app.requests.as_ref().map(RequestResponse::stats) {
        counters.extend([
            ("reqresp_requests", "Requests that were read", stats.requests),
            ("reqresp_answers", "Answers that have left", stats.answers),
            (
                "reqresp_refused",
                "Streams that ended without a request",
                stats.refused,
            ),
        ]);
    }
    for (name, help, value) in counters {
        counter(registry, name, help, value);
    }
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

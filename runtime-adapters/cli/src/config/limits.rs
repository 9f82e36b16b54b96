//! The table of limits: each with its unit, its range and its meaning.

use core::{
    ops::{Deref, DerefMut},
    time::Duration,
};
use libp2p_proto_swarm::{self as swarm, Trim};
use std::fmt::Write as _;
use toml::Value;

/// How long an idle connection is kept: whoever runs the command wants to keep it.
const IDLE: Duration = Duration::from_secs(300);
/// The greatest number of anything.
const MANY: i64 = u32::MAX as i64;
/// The longest time, in seconds: a year.
const LONG: f64 = 31_536_000.0;
/// The shortest time, in seconds.
const SHORT: f64 = 0.001;

/// The swarm's configuration, and beside it how it trims, which is off while `high` is 0.
pub(super) struct Config {
    swarm: swarm::Config,
    trim: Trim,
}

impl Config {
    /// What holds without a file.
    pub(super) fn new() -> Self {
        let trim = Trim {
            high: 0,
            ..Trim::default()
        };
        let swarm = swarm_config();
        Self { swarm, trim }
    }

    /// The configuration that the limits make.
    pub(super) fn finish(self) -> swarm::Config {
        let Self { mut swarm, trim } = self;
        swarm.trim = (trim.high > 0).then_some(trim);
        swarm
    }
}

impl Deref for Config {
    type Target = swarm::Config;

    fn deref(&self) -> &swarm::Config {
        &self.swarm
    }
}

impl DerefMut for Config {
    fn deref_mut(&mut self) -> &mut swarm::Config {
        &mut self.swarm
    }
}

/// A field of the swarm's configuration.
enum Field {
    Count(fn(&mut Config) -> &mut usize),
    /// As a number of 32 bits.
    Rate(fn(&mut Config) -> &mut u32),
    Depth(fn(&mut Config) -> &mut u8),
    Time(fn(&mut Config) -> &mut Duration),
    /// 0: without a limit.
    OptionalTime(fn(&mut Config) -> &mut Option<Duration>),
}

struct Limit {
    name: &'static str,
    /// The least value that makes sense, of numbers.
    least: i64,
    field: Field,
    help: &'static str,
}

const fn limit(name: &'static str, least: i64, field: Field, help: &'static str) -> Limit {
    Limit {
        name,
        least,
        field,
        help,
    }
}

use Field::{Count, Depth, OptionalTime, Rate, Time};

const LIMITS: &[Limit] = &[
    limit(
        "max_connections",
        1,
        Count(|c| &mut c.max_connections),
        "established connections",
    ),
    limit(
        "max_inbound",
        0,
        Count(|c| &mut c.max_inbound),
        "of them, those that others dialed",
    ),
    limit(
        "max_per_peer",
        1,
        Count(|c| &mut c.max_per_peer),
        "connections with one peer",
    ),
    limit(
        "max_per_ip",
        1,
        Count(|c| &mut c.max_per_ip),
        "connections with one IP address (IPv6: one /56)",
    ),
    limit(
        "max_pending_inbound",
        1,
        Count(|c| &mut c.max_pending_inbound),
        "inbound connections that are not upgraded",
    ),
    limit(
        "max_pending_per_ip",
        1,
        Count(|c| &mut c.max_pending_per_ip),
        "of them, those of one IP address",
    ),
    limit(
        "accepts_per_second",
        1,
        Rate(|c| &mut c.accepts_per_second),
        "inbound connections that one IP address may begin in a second",
    ),
    limit(
        "max_rated_ips",
        1,
        Count(|c| &mut c.max_rated_ips),
        "IP addresses whose rate is remembered",
    ),
    limit(
        "inbound_upgrade",
        0,
        Time(|c| &mut c.inbound_upgrade),
        "for an inbound upgrade",
    ),
    limit(
        "outbound_upgrade",
        0,
        Time(|c| &mut c.outbound_upgrade),
        "for an outbound attempt, to the end of the upgrade",
    ),
    limit(
        "idle_timeout",
        0,
        OptionalTime(|c| &mut c.idle_timeout),
        "that a connection may carry no stream that keeps it alive; 0: for ever",
    ),
    limit("max_dials", 1, Count(|c| &mut c.max_dials), "dials under way"),
    limit(
        "max_parallel_attempts",
        1,
        Count(|c| &mut c.max_parallel_attempts),
        "attempts of one dial at a time",
    ),
    limit(
        "max_attempts",
        1,
        Count(|c| &mut c.max_attempts),
        "attempts of one dial in all",
    ),
    limit(
        "max_attempts_per_ip",
        1,
        Count(|c| &mut c.max_attempts_per_ip),
        "attempts of one dial at one IP address",
    ),
    limit(
        "dial_timeout",
        0,
        Time(|c| &mut c.dial_timeout),
        "for a whole dial",
    ),
    limit(
        "max_resolve_depth",
        1,
        Depth(|c| &mut c.max_resolve_depth),
        "rounds of name resolution that lead on, at most 255",
    ),
    limit(
        "max_resolved",
        1,
        Count(|c| &mut c.max_resolved),
        "addresses that the names of one dial may resolve to",
    ),
    limit(
        "book_peers",
        1,
        Count(|c| &mut c.book.max_peers),
        "peers in the address book",
    ),
    limit(
        "book_addrs",
        1,
        Count(|c| &mut c.book.max_addrs),
        "addresses of one of them",
    ),
    limit(
        "book_bytes",
        65_536,
        Count(|c| &mut c.book.max_bytes),
        "bytes of memory of the whole address book, about",
    ),
    limit(
        "book_heard",
        0,
        Time(|c| &mut c.book.heard),
        "that the book keeps an address that others spoke of",
    ),
    limit(
        "book_claimed",
        0,
        Time(|c| &mut c.book.claimed),
        "that the book keeps an address that its peer claims",
    ),
    limit(
        "book_certified",
        0,
        Time(|c| &mut c.book.certified),
        "that the book keeps an address from a signed record",
    ),
    limit(
        "book_dialed",
        0,
        Time(|c| &mut c.book.dialed),
        "that the book keeps an address where a connection stood",
    ),
    limit("max_facts", 1, Count(|c| &mut c.max_facts), "facts that may wait"),
    limit(
        "max_events",
        1,
        Count(|c| &mut c.max_events),
        "events that may wait before no more news is taken",
    ),
    limit(
        "observers",
        1,
        Count(|c| &mut c.observers),
        "networks that must see us at an address before it is a candidate",
    ),
    limit(
        "max_streams_inbound",
        0,
        Count(|c| &mut c.streams.inbound),
        "streams that the remote of one connection may have open",
    ),
    limit(
        "max_streams_outbound",
        1,
        Count(|c| &mut c.streams.outbound),
        "streams of ours on one connection",
    ),
    limit(
        "max_streams_negotiating",
        1,
        Count(|c| &mut c.streams.negotiating),
        "inbound streams of one connection whose name is not agreed",
    ),
    limit(
        "trim_high",
        0,
        Count(|c| &mut c.trim.high),
        "connections beyond which those worth least are closed; 0: never",
    ),
    limit(
        "trim_low",
        0,
        Count(|c| &mut c.trim.low),
        "connections that are left then",
    ),
    limit(
        "trim_grace",
        0,
        Time(|c| &mut c.trim.grace),
        "for which a young connection is spared",
    ),
    limit(
        "trim_every",
        0,
        Time(|c| &mut c.trim.every),
        "between two of these rounds at least",
    ),
    limit(
        "max_unread",
        65_536,
        Count(|c| &mut c.streams.unread),
        "bytes received on one connection that were not taken yet",
    ),
    limit(
        "unread_pause",
        0,
        Time(|c| &mut c.streams.unread_pause),
        "that reading pauses at max_unread before a stream is reset",
    ),
    limit(
        "max_outbound",
        0,
        Count(|c| &mut c.max_outbound),
        "of them, those that we dialed",
    ),
    limit(
        "max_exempt",
        0,
        Count(|c| &mut c.max_exempt),
        "connections from exempt networks",
    ),
    limit(
        "max_pending_outbound",
        1,
        Count(|c| &mut c.max_pending_outbound),
        "links that are being connected or upgraded, over all dials",
    ),
    limit(
        "close_timeout",
        0,
        Time(|c| &mut c.close_timeout),
        "that a connection which was ordered to end may take",
    ),
    limit(
        "max_tagged",
        1,
        Count(|c| &mut c.max_tagged),
        "peers that may have tags",
    ),
    limit(
        "black_hole_window",
        0,
        Count(|c| &mut c.black_hole_window),
        "attempts of one kind that are looked at to find out that it leads nowhere; 0: never",
    ),
    limit(
        "black_hole_successes",
        0,
        Count(|c| &mut c.black_hole_successes),
        "successes among them that speak against it",
    ),
    limit("max_news", 1, Count(|c| &mut c.max_news), "news that may wait"),
    limit(
        "max_news_per_connection",
        1,
        Rate(|c| &mut c.max_news_per_connection),
        "news of one connection that may wait",
    ),
    limit(
        "scope_system_inbound",
        0,
        Rate(|c| &mut c.scopes.system.inbound),
        "all streams, that others opened",
    ),
    limit(
        "scope_system_outbound",
        0,
        Rate(|c| &mut c.scopes.system.outbound),
        "all streams, of ours",
    ),
    limit(
        "scope_system_total",
        0,
        Rate(|c| &mut c.scopes.system.total),
        "all streams, in all",
    ),
    limit(
        "scope_service_inbound",
        0,
        Rate(|c| &mut c.scopes.service.inbound),
        "streams of one protocol machine, that others opened",
    ),
    limit(
        "scope_service_outbound",
        0,
        Rate(|c| &mut c.scopes.service.outbound),
        "streams of one protocol machine, of ours",
    ),
    limit(
        "scope_service_total",
        0,
        Rate(|c| &mut c.scopes.service.total),
        "streams of one protocol machine, in all",
    ),
    limit(
        "scope_protocol_inbound",
        0,
        Rate(|c| &mut c.scopes.protocol.inbound),
        "streams of one protocol name, that others opened",
    ),
    limit(
        "scope_protocol_outbound",
        0,
        Rate(|c| &mut c.scopes.protocol.outbound),
        "streams of one protocol name, of ours",
    ),
    limit(
        "scope_protocol_total",
        0,
        Rate(|c| &mut c.scopes.protocol.total),
        "streams of one protocol name, in all",
    ),
    limit(
        "scope_peer_inbound",
        0,
        Rate(|c| &mut c.scopes.peer.inbound),
        "streams of one peer, that others opened",
    ),
    limit(
        "scope_peer_outbound",
        0,
        Rate(|c| &mut c.scopes.peer.outbound),
        "streams of one peer, of ours",
    ),
    limit(
        "scope_peer_total",
        0,
        Rate(|c| &mut c.scopes.peer.total),
        "streams of one peer, in all",
    ),
    limit(
        "scope_service_peer_inbound",
        0,
        Rate(|c| &mut c.scopes.service_peer.inbound),
        "streams of one protocol machine with one peer, that others opened",
    ),
    limit(
        "scope_service_peer_outbound",
        0,
        Rate(|c| &mut c.scopes.service_peer.outbound),
        "streams of one protocol machine with one peer, of ours",
    ),
    limit(
        "scope_service_peer_total",
        0,
        Rate(|c| &mut c.scopes.service_peer.total),
        "streams of one protocol machine with one peer, in all",
    ),
    limit(
        "scope_protocol_peer_inbound",
        0,
        Rate(|c| &mut c.scopes.protocol_peer.inbound),
        "streams of one protocol name with one peer, that others opened",
    ),
    limit(
        "scope_protocol_peer_outbound",
        0,
        Rate(|c| &mut c.scopes.protocol_peer.outbound),
        "streams of one protocol name with one peer, of ours",
    ),
    limit(
        "scope_protocol_peer_total",
        0,
        Rate(|c| &mut c.scopes.protocol_peer.total),
        "streams of one protocol name with one peer, in all",
    ),
];

/// The swarm's limits, as this command has them by default.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config {
        idle_timeout: Some(IDLE),
        ..swarm::Config::default()
    }
}

/// Sets one limit; `written` is the value as it stands in the file. The error says what would be right.
pub(super) fn set(config: &mut Config, name: &str, value: &Value, written: &str) -> Result<(), String> {
    let limit = LIMITS.iter().find(|limit| limit.name == name).ok_or_else(|| {
        let names: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
        format!("limits: there is no {name}; there are {}", names.join(", "))
    })?;
    let wrong = || format!("limits: {name} = {written} is not {}", limit.range());
    match &limit.field {
        Count(field) => *field(config) = limit.number(value).ok_or_else(wrong)?,
        Rate(field) => *field(config) = limit.number(value).ok_or_else(wrong)?,
        Depth(field) => *field(config) = limit.number(value).ok_or_else(wrong)?,
        Time(field) => *field(config) = time(value).filter(|time| !time.is_zero()).ok_or_else(wrong)?,
        OptionalTime(field) => {
            let time = time(value).ok_or_else(wrong)?;
            *field(config) = (!time.is_zero()).then_some(time);
        }
    }
    Ok(())
}

impl Limit {
    /// A number in the range of the limit, and of its type.
    fn number<T: TryFrom<i64>>(&self, value: &Value) -> Option<T> {
        let range = self.least..=MANY;
        value.as_integer().filter(|n| range.contains(n))?.try_into().ok()
    }

    fn range(&self) -> String {
        match self.field {
            Count(_) | Rate(_) => format!("a whole number, {} to {MANY}", self.least),
            Depth(_) => format!("a whole number, {} to 255", self.least),
            Time(_) => format!("a number of seconds, {SHORT} to {LONG}"),
            OptionalTime(_) => format!("a number of seconds, {SHORT} to {LONG}, or 0 for none"),
        }
    }

    /// The value in a configuration, as it is written in a file.
    fn value(&self, config: &mut Config) -> String {
        match &self.field {
            Count(field) => field(config).to_string(),
            Rate(field) => field(config).to_string(),
            Depth(field) => field(config).to_string(),
            Time(field) => field(config).as_secs_f64().to_string(),
            OptionalTime(field) => field(config).unwrap_or_default().as_secs_f64().to_string(),
        }
    }
}

/// Seconds, whole or not; 0, or in the range.
fn time(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Integer(n) => f64::from(i32::try_from(*n).ok()?),
        Value::Float(n) => *n,
        _ => return None,
    };
    (seconds == 0.0 || (SHORT..=LONG).contains(&seconds))
        .then(|| Duration::try_from_secs_f64(seconds).ok())
        .flatten()
}

/// All limits as they are, to be read again.
pub(crate) fn current(swarm: &swarm::Config) -> String {
    let mut config = Config::new();
    config.trim = swarm.trim.unwrap_or(config.trim);
    config.swarm = swarm.clone();
    let mut out = String::new();
    for limit in LIMITS {
        let _infallible = writeln!(out, "{} = {}", limit.name, limit.value(&mut config));
    }
    out
}

/// All limits with their defaults.
pub(super) fn example() -> String {
    let mut out = String::new();
    let mut config = Config::new();
    for limit in LIMITS {
        let kind = match limit.field {
            Time(_) | OptionalTime(_) => "time ",
            _ => "",
        };
        let _infallible = writeln!(
            out,
            "# {kind}{} ({})\n{} = {}",
            limit.help,
            limit.range(),
            limit.name,
            limit.value(&mut config)
        );
    }
    out
}

//! Scenario files: TOML, with every value held against its range.

use crate::{
    clock::Skew,
    error::Error,
    fault::{Chances, Fault, FaultKind},
    host::Depth,
    nat::{Dependence, NatKind, PortChoice},
    net::{Chunks, Places},
    plan::Plan,
    queue::Order,
    scenario::NatPlace,
};
use core::{ops::RangeInclusive, time::Duration};
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_identity::KeyType;
use libp2p_proto_kad as kad;
use serde::Deserialize;
use toml::{Spanned, Value};

type Int = Option<Spanned<i64>>;
type Text = Option<Spanned<String>>;
type Any = Option<Spanned<Value>>;
type Flag = Option<bool>;
type Share = Option<Spanned<f64>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    name: Option<String>,
    hosts: Int,
    level: Text,
    run: Text,
    friends: Int,
    dial_within: Text,
    sample: Text,
    order: Text,
    reuse_port: Flag,
    strict: Flag,
    keys: Vec<Spanned<String>>,
    services: Option<Vec<Spanned<String>>>,
    link: LinkPart,
    ping: PingPart,
    identify: IdentifyPart,
    traffic: TrafficPart,
    limits: LimitsPart,
    goal: GoalPart,
    chances: Option<ChancesPart>,
    nat: Vec<NatPart>,
    clock: Vec<ClockPart>,
    fault: Vec<FaultPart>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LinkPart {
    latency: Text,
    asymmetric: bool,
    jitter: Text,
    bandwidth: Int,
    buffer: Int,
    chunks: Any,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PingPart {
    interval: Text,
    timeout: Text,
    max_failures: Int,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IdentifyPart {
    signed_record: Flag,
    push_delay: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TrafficPart {
    lookups: Int,
    messages: Int,
    bytes: Int,
    from: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsPart {
    max_connections: Int,
    max_inbound: Int,
    max_per_peer: Int,
    max_per_ip: Int,
    max_pending_inbound: Int,
    max_pending_per_ip: Int,
    accepts_per_second: Int,
    idle_timeout: Text,
    dial_timeout: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GoalPart {
    connected: Share,
    pongs: Int,
    found: Share,
    delivered: Share,
    within: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChancesPart {
    per_hour: Int,
    from: Text,
    until: Text,
    longest: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NatPart {
    hosts: Any,
    outer: Int,
    mapping: Text,
    filtering: Text,
    ports: Text,
    hairpin: bool,
    unsolicited: Text,
    timeout: Text,
    table: Int,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClockPart {
    hosts: Any,
    start: Text,
    unix: Int,
    ppm: Int,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FaultPart {
    kind: Text,
    at: Text,
    during: Text,
    from: Any,
    to: Any,
    hosts: Any,
    seconds: Int,
    ppm: Int,
    bytes: Int,
    listener: bool,
    nat: Int,
    chunks: Any,
}

/// What is wrong, and at which byte.
struct Wrong {
    at: usize,
    what: String,
}

type Checked<T> = Result<T, Wrong>;

pub(super) fn parse(text: &str) -> Result<Plan, Error> {
    let tell = |wrong: Wrong| {
        let before = text.get(..wrong.at).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        Error::File {
            line: line.saturating_add(1),
            what: wrong.what,
        }
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let what = error.message().replace('\n', " ");
        tell(Wrong { at, what })
    })?;
    let plan = file.plan().map_err(tell)?;
    plan.scenario.validate()?;
    plan.scenario.swarm.validate()?;
    Ok(plan)
}

fn wrong<T>(value: &Spanned<T>, what: String) -> Wrong {
    Wrong {
        at: value.span().start,
        what,
    }
}

/// A whole number in its range.
fn int<T: TryFrom<i64>>(name: &str, value: &Int, range: RangeInclusive<i64>) -> Checked<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let number = *value.get_ref();
    let fits = Some(number).filter(|number| range.contains(number));
    let fits = fits.and_then(|number| T::try_from(number).ok());
    fits.map(Some).ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        wrong(
            value,
            format!("{name}: {number} is out of its range, {low} to {high}"),
        )
    })
}

/// A share, in per mille.
fn share(name: &str, value: &Share) -> Checked<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    let share = *value.get_ref();
    if !(0.0..=1.0).contains(&share) {
        return Err(wrong(
            value,
            format!("{name}: {share} is out of its range, 0.0 to 1.0"),
        ));
    }
    let mille = Duration::from_secs_f64(share).as_millis();
    Ok(Some(u32::try_from(mille).unwrap_or(1000)))
}

/// The number of something of which there are `count`.
fn index(name: &str, value: &Int, count: usize, what: &str) -> Checked<Option<usize>> {
    if let Some(value) = value.as_ref().filter(|_| count == 0) {
        let number = value.get_ref();
        return Err(wrong(
            value,
            format!("{name}: {number} is none: there are no {what}"),
        ));
    }
    int(
        name,
        value,
        0..=i64::try_from(count).unwrap_or(i64::MAX).saturating_sub(1),
    )
}

/// `250ms`, `1.5s`, `10m`, `2h`, `3d`, `1y`.
fn read_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit.trim() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "y" => 31_557_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

const YEARS: Duration = Duration::from_secs(100 * 31_557_600);

/// A length of time, `low` to a hundred years.
fn duration(name: &str, value: &Text, low: Duration) -> Checked<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    let text = value.get_ref();
    match read_duration(text.trim()) {
        Some(found) if found >= low && found <= YEARS => Ok(Some(found)),
        _ => Err(wrong(
            value,
            format!(
                "{name}: \"{text}\" is out of its range, {low:?} to 100 years, written like 250ms, 10s, 5m, 2h, 30d, 1y"
            ),
        )),
    }
}

const ZERO: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// One of a few words.
fn word<T: Copy>(name: &str, value: &Text, words: &[(&str, T)]) -> Checked<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let found = words.iter().find(|(word, _)| word == value.get_ref());
    found.map(|(_, meaning)| Some(*meaning)).ok_or_else(|| {
        let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        wrong(
            value,
            format!("{name}: \"{}\" is none of {}", value.get_ref(), list.join(", ")),
        )
    })
}

/// `"all"`, a number, a list of numbers, `"3..7"` (3 to 6), or `"but 2"`.
fn places(name: &str, value: &Any, hosts: usize) -> Checked<Option<Places>> {
    let Some(value) = value else { return Ok(None) };
    let one = |number: i64| usize::try_from(number).ok().filter(|number| *number < hosts);
    let found = match value.get_ref() {
        Value::Integer(number) => one(*number).map(Places::one),
        Value::Array(list) => {
            let numbers = list.iter().map(|item| one(item.as_integer()?));
            numbers.collect::<Option<Vec<_>>>().map(Places::Some)
        }
        Value::String(text) => match text.split_once("..") {
            Some((low, high)) => {
                let (low, high) = (low.trim().parse().ok(), high.trim().parse().ok());
                let range = low
                    .zip(high)
                    .filter(|(low, high): &(usize, usize)| low <= high && *high <= hosts);
                range.map(|(low, high)| Places::Some((low..high).collect()))
            }
            None if text == "all" => Some(Places::All),
            None => {
                let number = text
                    .strip_prefix("but ")
                    .and_then(|number| number.trim().parse().ok());
                number.and_then(one).map(|number| Places::But(vec![number]))
            }
        },
        _ => None,
    };
    let last = hosts.saturating_sub(1);
    found.map(Some).ok_or_else(|| {
        wrong(
            value,
            format!(
                "{name}: not hosts of 0 to {last}, written like 3, [1, 2], \"0..4\", \"but 2\" or \"all\""
            ),
        )
    })
}

fn chunks(name: &str, value: &Any) -> Checked<Option<Chunks>> {
    let Some(value) = value else { return Ok(None) };
    let found = match value.get_ref() {
        Value::Integer(size) => usize::try_from(*size)
            .ok()
            .filter(|size| (1..=1_000_000).contains(size))
            .map(Chunks::Of),
        Value::String(text) => match text.as_str() {
            "whole" => Some(Chunks::Whole),
            "primes" => Some(Chunks::Primes),
            "random" => Some(Chunks::Random),
            _ => None,
        },
        _ => None,
    };
    found.map(Some).ok_or_else(|| {
        wrong(
            value,
            format!("{name}: none of \"whole\", \"primes\", \"random\", 1 to 1000000"),
        )
    })
}

const DEPENDENCE: &[(&str, Dependence)] = &[
    ("endpoint-independent", Dependence::EndpointIndependent),
    ("address-dependent", Dependence::AddressDependent),
    ("address-and-port-dependent", Dependence::AddressPortDependent),
];

impl File {
    fn plan(&self) -> Checked<Plan> {
        let mut plan = Plan::default();
        let scenario = &mut plan.scenario;
        set(&mut scenario.hosts, int("hosts", &self.hosts, 1..=1_000_000)?);
        let hosts = scenario.hosts;
        // Looking at everything after each step pays in small networks.
        scenario.strict = self.strict.unwrap_or(hosts <= 1000);
        set(
            &mut scenario.depth,
            word(
                "level",
                &self.level,
                &[("full", Depth::Full), ("swarm", Depth::Swarm)],
            )?,
        );
        let orders = [("fifo", false), ("shuffled", true)];
        if word("order", &self.order, &orders)? == Some(true) {
            scenario.order = Order::Shuffled;
        }
        scenario.reuse_port = self.reuse_port.unwrap_or(false);
        scenario.sample = duration("sample", &self.sample, Duration::from_millis(1))?.or(scenario.sample);
        let kinds = [
            ("ed25519", KeyType::Ed25519),
            ("secp256k1", KeyType::Secp256k1),
            ("ecdsa", KeyType::Ecdsa),
        ];
        let keys = self
            .keys
            .iter()
            .map(|key| word("keys", &Some(key.clone()), &kinds));
        let keys: Vec<_> = keys.collect::<Checked<Vec<_>>>()?.into_iter().flatten().collect();
        if !keys.is_empty() {
            scenario.keys = keys;
        }
        self.link.apply(&mut scenario.link)?;
        self.limits.apply(&mut scenario.swarm)?;
        for nat in &self.nat {
            let nat = nat.read(hosts, &scenario.nats)?;
            scenario.nats.push(nat);
        }
        for clock in &self.clock {
            scenario.skews.push(clock.read(hosts)?);
        }
        for fault in &self.fault {
            scenario.faults.push(fault.read(hosts, self.nat.len())?);
        }
        set(
            &mut plan.run,
            duration("run", &self.run, Duration::from_millis(1))?,
        );
        if let Some(chances) = &self.chances {
            plan.scenario.chances = Some(chances.read(plan.run)?);
        }
        plan.name = self.name.clone().unwrap_or(plan.name);
        set(&mut plan.friends, int("friends", &self.friends, 0..=1000)?);
        set(
            &mut plan.dial_within,
            duration("dial_within", &self.dial_within, Duration::from_millis(1))?,
        );
        let ping = &mut plan.node.ping;
        ping.interval =
            duration("ping.interval", &self.ping.interval, Duration::from_millis(1))?.or(ping.interval);
        set(
            &mut ping.timeout,
            duration("ping.timeout", &self.ping.timeout, Duration::from_millis(1))?,
        );
        set(
            &mut ping.max_failures,
            int("ping.max_failures", &self.ping.max_failures, 0..=1_000_000)?,
        );
        let identify = &mut plan.node.identify;
        set(&mut identify.signed_record, self.identify.signed_record);
        set(
            &mut identify.push_delay,
            duration("identify.push_delay", &self.identify.push_delay, ZERO)?,
        );
        self.serve(&mut plan)?;
        self.traffic.apply(&mut plan.traffic)?;
        self.goal.apply(&mut plan)?;
        Ok(plan)
    }
}

/// What a node may serve. Ping and identify always are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Service {
    Base,
    Kad,
    Gossipsub,
    Autonat,
}

const SERVICES: &[(&str, Service)] = &[
    ("ping", Service::Base),
    ("identify", Service::Base),
    ("kad", Service::Kad),
    ("gossipsub", Service::Gossipsub),
    ("autonat", Service::Autonat),
];

impl File {
    fn serve(&self, plan: &mut Plan) -> Checked<()> {
        for service in self.services.iter().flatten() {
            match word("services", &Some(service.clone()), SERVICES)? {
                Some(Service::Kad) => {
                    plan.node.kad = Some(kad::Config {
                        mode: kad::Mode::Server,
                        ..kad::Config::default()
                    });
                }
                Some(Service::Gossipsub) => {
                    plan.node.gossipsub = Some(libp2p_proto_gossipsub::Config::default());
                }
                Some(Service::Autonat) => {
                    // Somebody has to be the first to serve.
                    let server = libp2p_proto_autonat::ServerConfig {
                        when: libp2p_proto_autonat::Serve::Always,
                        ..libp2p_proto_autonat::ServerConfig::default()
                    };
                    plan.node.autonat = Some(libp2p_proto_autonat::Config {
                        server: Some(server),
                        ..libp2p_proto_autonat::Config::default()
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl TrafficPart {
    fn apply(&self, traffic: &mut crate::plan::Traffic) -> Checked<()> {
        const MOST: i64 = 1_000_000;
        set(
            &mut traffic.lookups,
            int("traffic.lookups", &self.lookups, 0..=MOST)?,
        );
        set(
            &mut traffic.messages,
            int("traffic.messages", &self.messages, 0..=MOST)?,
        );
        set(
            &mut traffic.bytes,
            int("traffic.bytes", &self.bytes, 8..=262_144)?,
        );
        set(&mut traffic.from, duration("traffic.from", &self.from, ZERO)?);
        Ok(())
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

impl LinkPart {
    fn apply(&self, link: &mut crate::net::Link) -> Checked<()> {
        if let Some(value) = &self.latency {
            let text = value.get_ref();
            let (low, high) = text.split_once("..").unwrap_or((text, text));
            let found = read_duration(low.trim()).zip(read_duration(high.trim()));
            let minute = Duration::from_secs(60);
            let found = found.filter(|(low, high)| low <= high && *high <= minute);
            link.latency = found.ok_or_else(|| {
                wrong(
                    value,
                    format!("link.latency: \"{text}\" is out of its range, 0s to 60s, written like 20ms or 5ms..50ms"),
                )
            })?;
        }
        link.asymmetric = self.asymmetric;
        set(&mut link.jitter, duration("link.jitter", &self.jitter, ZERO)?);
        link.bandwidth = int("link.bandwidth", &self.bandwidth, 1..=1_000_000_000_000)?.or(link.bandwidth);
        set(
            &mut link.buffer,
            int("link.buffer", &self.buffer, 1024..=1_073_741_824)?,
        );
        set(&mut link.chunks, chunks("link.chunks", &self.chunks)?);
        Ok(())
    }
}

impl LimitsPart {
    fn apply(&self, limits: &mut libp2p_proto_swarm::Config) -> Checked<()> {
        const MOST: i64 = 1_000_000_000;
        set(
            &mut limits.max_connections,
            int("limits.max_connections", &self.max_connections, 0..=MOST)?,
        );
        set(
            &mut limits.max_inbound,
            int("limits.max_inbound", &self.max_inbound, 0..=MOST)?,
        );
        set(
            &mut limits.max_per_peer,
            int("limits.max_per_peer", &self.max_per_peer, 1..=MOST)?,
        );
        set(
            &mut limits.max_per_ip,
            int("limits.max_per_ip", &self.max_per_ip, 0..=MOST)?,
        );
        set(
            &mut limits.max_pending_inbound,
            int("limits.max_pending_inbound", &self.max_pending_inbound, 0..=MOST)?,
        );
        set(
            &mut limits.max_pending_per_ip,
            int("limits.max_pending_per_ip", &self.max_pending_per_ip, 0..=MOST)?,
        );
        set(
            &mut limits.accepts_per_second,
            int("limits.accepts_per_second", &self.accepts_per_second, 0..=MOST)?,
        );
        limits.idle_timeout =
            duration("limits.idle_timeout", &self.idle_timeout, ZERO)?.or(limits.idle_timeout);
        set(
            &mut limits.dial_timeout,
            duration(
                "limits.dial_timeout",
                &self.dial_timeout,
                Duration::from_millis(1),
            )?,
        );
        Ok(())
    }
}

impl GoalPart {
    fn apply(&self, plan: &mut Plan) -> Checked<()> {
        set(
            &mut plan.goal.connected,
            share("goal.connected", &self.connected)?,
        );
        set(&mut plan.goal.found, share("goal.found", &self.found)?);
        set(
            &mut plan.goal.delivered,
            share("goal.delivered", &self.delivered)?,
        );
        set(
            &mut plan.goal.pongs,
            int("goal.pongs", &self.pongs, 0..=1_000_000_000)?,
        );
        set(
            &mut plan.goal.within,
            duration("goal.within", &self.within, ZERO)?,
        );
        Ok(())
    }
}

impl ChancesPart {
    fn read(&self, run: Duration) -> Checked<Chances> {
        let from = duration("chances.from", &self.from, ZERO)?.unwrap_or_default();
        let until = duration("chances.until", &self.until, ZERO)?.unwrap_or(run);
        if let Some(value) = self.until.as_ref().filter(|_| until > run || until < from) {
            return Err(wrong(
                value,
                format!(
                    "chances.until: {until:?} is out of its range, {from:?} (chances.from) to {run:?} (run)"
                ),
            ));
        }
        Ok(Chances {
            per_hour: int("chances.per_hour", &self.per_hour, 0..=100_000)?.unwrap_or(60),
            from,
            until,
            longest: duration("chances.longest", &self.longest, SECOND)?.unwrap_or(Duration::from_secs(30)),
        })
    }
}

impl NatPart {
    fn read(&self, hosts: usize, earlier: &[NatPlace]) -> Checked<NatPlace> {
        let mut kind = NatKind::default();
        set(&mut kind.mapping, word("nat.mapping", &self.mapping, DEPENDENCE)?);
        set(
            &mut kind.filtering,
            word("nat.filtering", &self.filtering, DEPENDENCE)?,
        );
        let ports = [
            ("preserve", PortChoice::Preserve),
            ("sequential", PortChoice::Sequential),
            ("random", PortChoice::Random),
        ];
        set(&mut kind.ports, word("nat.ports", &self.ports, &ports)?);
        kind.hairpin = self.hairpin;
        let answers = [("silence", false), ("refusal", true)];
        let refuses = word("nat.unsolicited", &self.unsolicited, &answers)?;
        set(&mut kind.refuses, refuses);
        set(&mut kind.timeout, duration("nat.timeout", &self.timeout, SECOND)?);
        set(&mut kind.table, int("nat.table", &self.table, 1..=40_000)?);
        let behind: Vec<usize> = match places("nat.hosts", &self.hosts, hosts)? {
            Some(places) => (0..hosts).filter(|host| places.contains(*host)).collect(),
            None => Vec::new(),
        };
        let twice = |host: &usize| earlier.iter().any(|nat| nat.hosts.contains(host));
        if let Some((host, value)) = behind.iter().copied().find(twice).zip(self.hosts.as_ref()) {
            return Err(wrong(
                value,
                format!("nat.hosts: host {host} is behind an earlier NAT already"),
            ));
        }
        Ok(NatPlace {
            kind,
            outer: index("nat.outer", &self.outer, earlier.len(), "NATs before this one")?,
            hosts: behind,
        })
    }
}

impl ClockPart {
    fn read(&self, hosts: usize) -> Checked<(Places, Skew)> {
        let mut skew = Skew::default();
        if let Some(start) = duration("clock.start", &self.start, ZERO)? {
            skew.start = Instant::ZERO + start;
        }
        if let Some(unix) = int("clock.unix", &self.unix, 0..=18_000_000_000)? {
            skew.unix = UnixTime::from_secs(unix);
        }
        set(&mut skew.ppm, int("clock.ppm", &self.ppm, -900_000..=900_000)?);
        Ok((
            places("clock.hosts", &self.hosts, hosts)?.unwrap_or_default(),
            skew,
        ))
    }
}

/// The kinds of faults as a file names them.
const KINDS: &[(&str, &str)] = &[
    ("cut", "cut"),
    ("black-hole", "black-hole"),
    ("break", "break"),
    ("break-at", "break-at"),
    ("crash", "crash"),
    ("kill", "kill"),
    ("close", "close"),
    ("deaf", "deaf"),
    ("step", "step"),
    ("drift", "drift"),
    ("freeze", "freeze"),
    ("nat-reboot", "nat-reboot"),
    ("chunked", "chunked"),
];

/// Ten years, in seconds.
const STEP: i64 = 31_557_600 * 10;

impl FaultPart {
    fn read(&self, all: usize, nats: usize) -> Checked<Fault> {
        let at = duration("fault.at", &self.at, ZERO)?.unwrap_or_default();
        let during = duration("fault.during", &self.during, Duration::from_millis(1))?;
        let from = places("fault.from", &self.from, all)?.unwrap_or_default();
        let to = places("fault.to", &self.to, all)?.unwrap_or_default();
        let hosts = places("fault.hosts", &self.hosts, all)?.unwrap_or_default();
        let kind = match word("fault.kind", &self.kind, KINDS)?.unwrap_or("cut") {
            "black-hole" => FaultKind::BlackHole { from, to },
            "break" => FaultKind::Break { from, to },
            "break-at" => FaultKind::BreakAt {
                from,
                to,
                bytes: int("fault.bytes", &self.bytes, 0..=i64::MAX)?.unwrap_or_default(),
                listener: self.listener,
            },
            "crash" => FaultKind::Crash { hosts },
            "kill" => FaultKind::Kill { hosts },
            "close" => FaultKind::Close { hosts },
            "deaf" => FaultKind::Deaf { hosts },
            "step" => FaultKind::Step {
                hosts,
                seconds: int("fault.seconds", &self.seconds, -STEP..=STEP)?.unwrap_or_default(),
            },
            "drift" => FaultKind::Drift {
                hosts,
                ppm: int("fault.ppm", &self.ppm, -900_000..=900_000)?.unwrap_or_default(),
            },
            "freeze" => FaultKind::Freeze { hosts },
            "nat-reboot" => FaultKind::NatReboot {
                nat: index("fault.nat", &self.nat, nats, "NATs")?.unwrap_or_default(),
            },
            "chunked" => FaultKind::Chunked {
                chunks: chunks("fault.chunks", &self.chunks)?.unwrap_or_default(),
            },
            _ => FaultKind::Cut { from, to },
        };
        Ok(Fault { at, during, kind })
    }
}

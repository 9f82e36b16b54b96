//! A network of Kademlia nodes: honest ones, clients, liars, and those that come and go; lookups in it, and what they cost.
//!
//! What identify would tell of a peer is told at once when a connection stands, from a directory: whether it serves, and where it is.

mod liar;

use crate::{
    app::{App, Birth, Lent, Step},
    check::Violation,
    error::Error,
    fault::{Fault, FaultKind},
    net::Places,
    scenario::Scenario,
    sim::Sim,
};
use core::time::Duration;
use liar::Liar;
use libp2p_proto_core::{Instant, Multiaddr, PeerId, ProtocolName, Rng, UnixTime};
use libp2p_proto_kad::{
    Config, Contact, Effort, Event, Invalid, Kad, Key, Mode, Outcome, QueryError, QueryId, Validator,
    Validators,
};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Protocol, StreamSpec};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

pub use liar::{LIES, Lie};

mod population;
use population::Population;

/// The network's name.
pub const NAME: ProtocolName = ProtocolName::from_static("/simulation/kad/1.0.0");
/// Hosts that everybody knows, and that neither lie nor go.
const KNOWN: usize = 4;
/// Time in which a host comes to be known.
const TO_JOIN: Duration = Duration::from_secs(60);
/// Peers that a newcomer is told of.
const FRIENDS: usize = 3;

/// Values of the namespace `x`: eight bytes, and the larger number is better.
#[derive(Debug)]
pub struct Newest;

impl Validator for Newest {
    fn validate(&self, _unix: UnixTime, _key: &[u8], value: &[u8]) -> Result<(), Invalid> {
        (value.len() == 8).then_some(()).ok_or(Invalid::Malformed)
    }

    fn is_better(&self, _key: &[u8], new: &[u8], old: &[u8]) -> bool {
        new > old
    }
}

/// A server of this network, with everything else by default. Peers of one /16 are limited as on the public network if `diverse`.
pub fn server(diverse: bool) -> Config {
    let default = Config::default();
    let private = Config::private(NAME, Validators::none().with("x", Newest));
    Config {
        mode: Mode::Server,
        diversity: default.diversity.filter(|_| diverse),
        ..private
    }
}

/// How hosts come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Churn {
    /// Half of all sessions are shorter. Exponential.
    pub up: Duration,
    /// The same for absences.
    pub down: Duration,
}

/// A network and what is looked up in it.
#[derive(Clone, Debug)]
pub struct DhtPlan {
    /// Hosts, liars included.
    pub hosts: usize,
    /// The last so many of them lie.
    pub liars: usize,
    /// What they do, in turn.
    pub lies: Vec<Lie>,
    /// So many of a thousand honest hosts are clients: nobody can dial them.
    pub clients: usize,
    /// The rules of the honest.
    pub config: Config,
    /// How honest hosts come and go while lookups run.
    pub churn: Option<Churn>,
    /// Peers of each bucket, at most, that every host knows from an earlier life, as from a snapshot; it checks them, and does not walk the network to join it. 0: all join anew.
    pub known: usize,
    /// Time in which all have joined.
    pub join: Duration,
    /// Time until the first lookup.
    pub settle: Duration,
    /// Lookups of each kind: nearest peers of a key, and values that another one has put.
    pub lookups: usize,
    /// Time in which these are spread.
    pub during: Duration,
    /// The network below. Its `hosts` is replaced.
    pub scenario: Scenario,
}

impl DhtPlan {
    /// So many honest servers, in a network without faults.
    pub fn new(hosts: usize) -> Self {
        let mut scenario = Scenario::new(hosts).at_swarm_level();
        scenario.strict = false;
        scenario.swarm.idle_timeout = Some(Duration::from_secs(10));
        Self {
            hosts,
            liars: 0,
            lies: LIES.to_vec(),
            clients: 0,
            config: server(false),
            churn: None,
            known: 0,
            join: Duration::from_secs(120),
            settle: Duration::from_secs(120),
            lookups: 100,
            during: Duration::from_secs(60),
            scenario,
        }
    }

    const fn honest(&self) -> usize {
        self.hosts.saturating_sub(self.liars)
    }

    fn is_client(&self, place: usize) -> bool {
        // Spread evenly, and the same ones in every run.
        let turn = place.wrapping_mul(7919).checked_rem(1000).unwrap_or(0);
        place >= KNOWN && turn < self.clients
    }
}

/// What came of the lookups.
#[derive(Clone, Debug, Default)]
pub struct DhtReport {
    /// Lookups of the nearest peers, and those of them whose result has the honest server that is nearest.
    pub lookups: usize,
    /// See above.
    pub found: usize,
    /// Of the twenty that are nearest, how many the results have, in all.
    pub recalled: usize,
    /// Values that were looked up, and those that came back as they were put last.
    pub gets: usize,
    /// See above.
    pub got: usize,
    /// The lengths of the chains of answers, shortest first.
    pub hops: Vec<u16>,
    /// Peers that each lookup of the nearest asked, fewest first.
    pub asked: Vec<usize>,
    /// How long they took, shortest first.
    pub took: Vec<Duration>,
    /// Estimates of the network's size at the end.
    pub sizes: Vec<f64>,
    /// Peers in the tables of the honest, and liars among them.
    pub table: (usize, usize),
    /// The most dials that one honest host made.
    pub requests: u64,
    /// Events of the simulation.
    pub events: u64,
}

impl DhtReport {
    /// The middle of a sorted list.
    pub fn median<T: Copy + Default>(sorted: &[T]) -> T {
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// Who serves where.
#[derive(Debug, Default)]
struct Directory {
    peers: BTreeMap<PeerId, (Multiaddr, bool)>,
    /// By place.
    places: Vec<PeerId>,
    liars: Vec<Contact>,
    /// The first so many places are honest.
    honest: usize,
    /// When those begin who act unasked.
    begin: Instant,
}

/// Tells of every peer what identify would.
#[derive(Debug)]
struct Introducer(Rc<RefCell<Directory>>);

impl Protocol for Introducer {
    fn specs(&self) -> &[StreamSpec] {
        &[]
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        let Input::Connected {
            peer, first: true, ..
        } = input
        else {
            return;
        };
        let directory = self.0.borrow();
        let Some((addr, serves)) = directory.peers.get(&peer) else {
            return;
        };
        let protocols = if *serves { vec![NAME] } else { Vec::new() };
        let (addrs, certified) = ([addr.clone()].into(), false);
        // A full queue of facts only delays.
        let _told = cx.tell(Fact::PeerAddresses {
            peer,
            addrs,
            certified,
        });
        let protocols = protocols.into();
        let _told = cx.tell(Fact::PeerProtocols { peer, protocols });
    }
}

/// A host of such a network.
#[derive(Debug)]
pub struct DhtNode {
    introducer: Introducer,
    role: Role,
    /// How often it was started before: queries of an earlier life have the numbers of others.
    boot: u32,
    /// When it was first driven.
    began: Option<Instant>,
    /// Ends of queries that were not taken.
    ended: BTreeMap<QueryId, (Result<Outcome, QueryError>, Effort)>,
}

#[derive(Debug)]
enum Role {
    Honest(Box<Kad>),
    Liar(Box<Liar>),
}

impl DhtNode {
    /// The machine of an honest host.
    pub fn kad(&self) -> Option<&Kad> {
        match &self.role {
            Role::Honest(kad) => Some(kad),
            Role::Liar(_) => None,
        }
    }

    fn kad_mut(&mut self) -> Option<&mut Kad> {
        match &mut self.role {
            Role::Honest(kad) => Some(kad),
            Role::Liar(_) => None,
        }
    }
}

impl App for DhtNode {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.introducer);
        match &mut self.role {
            Role::Honest(kad) => lent.push(&mut **kad),
            Role::Liar(liar) => lent.push(&mut **liar),
        }
        lent
    }

    fn step(&mut self, cx: &mut Step<'_>) {
        self.began.get_or_insert(cx.now);
        let Role::Honest(kad) = &mut self.role else {
            return;
        };
        while let Some(event) = kad.poll_event() {
            if let Event::Finished {
                query,
                result,
                effort,
            } = event
            {
                self.ended.insert(query, (result, effort));
            }
        }
    }
}

/// The running network.
pub struct Dht {
    /// The simulation.
    pub sim: Sim<DhtNode>,
    plan: DhtPlan,
    directory: Rc<RefCell<Directory>>,
    dice: Rng,
}

impl core::fmt::Debug for Dht {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Dht({} hosts, {} liars)", self.plan.hosts, self.plan.liars)
    }
}

impl Dht {
    /// The network before anybody has joined.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn new(plan: DhtPlan, seed: u64) -> Result<Self, Error> {
        let directory = Rc::new(RefCell::new(Directory::default()));
        let mut dice = Rng::from_seed([77; 32]).fork("dht", seed);
        let mut scenario = plan.scenario.clone();
        scenario.hosts = plan.hosts;
        if let Some(churn) = plan.churn {
            let begin = plan.join.saturating_add(plan.settle);
            let end = begin.saturating_add(plan.during);
            let places =
                (KNOWN..plan.honest()).flat_map(|place| absences(place, churn, begin, end, &mut dice));
            scenario.faults.extend(places.collect::<Vec<_>>());
        }
        let (rules, told) = (plan.clone(), Rc::clone(&directory));
        let make = move |birth: Birth<'_>| born(&rules, &told, birth);
        let sim = Sim::new(scenario, seed, make)?;
        {
            let mut directory = directory.borrow_mut();
            directory.honest = plan.honest();
            directory.begin = Instant::ZERO + plan.join.saturating_add(plan.settle);
            for place in 0..plan.hosts {
                let (Some(peer), Some(addr)) = (sim.peer(place), sim.address_of(place)) else {
                    continue;
                };
                let serves = place >= plan.honest() || !plan.is_client(place);
                directory.places.push(peer);
                directory.peers.insert(peer, (addr.clone(), serves));
                if place >= plan.honest() {
                    let addrs = vec![addr];
                    directory.liars.push(Contact { peer, addrs });
                }
            }
        }
        Ok(Self {
            sim,
            plan,
            directory,
            dice,
        })
    }

    /// Lets everybody join, one after the other, and waits.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn join(&mut self) -> Result<(), Violation> {
        let hosts = u32::try_from(self.plan.hosts).unwrap_or(u32::MAX).max(1);
        let gap = self.plan.join.checked_div(hosts).unwrap_or_default();
        // Liars are among those who come first, so that they are known everywhere.
        let mut order: Vec<usize> = (KNOWN..self.plan.hosts).collect();
        for last in (1..order.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            order.swap(last, usize::try_from(self.dice.below(bound)).unwrap_or(0));
        }
        let mut here: Vec<usize> = (0..KNOWN.min(self.plan.hosts)).collect();
        let population = (self.plan.known > 0).then(|| Population::new(&self.directory.borrow().places));
        for place in here.clone().into_iter().chain(order) {
            if let Some(population) = &population {
                for friend in population.table_of(place, self.plan.known, &mut self.dice) {
                    self.introduce(place, friend);
                }
                self.sim.run_for(gap)?;
                continue;
            }
            for number in 0..FRIENDS {
                // Where some lie, one friend is of those whom everybody knows, as the bootstrap peers of a public network: whoever knows liars alone is lost before it begins.
                let trusted = number == 0 && self.plan.liars > 0;
                let friend = if trusted {
                    self.any_of(here.get(..KNOWN).unwrap_or(&here).to_vec().as_slice())
                } else {
                    self.any_of(&here)
                };
                if friend != place {
                    self.introduce(place, friend);
                }
            }
            if place >= KNOWN {
                here.push(place);
            }
            self.sim.run_for(gap)?;
        }
        self.sim.run_for(self.plan.settle)
    }

    fn any_of(&mut self, list: &[usize]) -> usize {
        let bound = u64::try_from(list.len()).unwrap_or(1).max(1);
        let at = usize::try_from(self.dice.below(bound)).unwrap_or(0);
        list.get(at).copied().unwrap_or(0)
    }

    fn introduce(&mut self, place: usize, friend: usize) {
        let (Some(peer), Some(addr)) = (self.sim.peer(friend), self.sim.address_of(friend)) else {
            return;
        };
        let honest = self.sim.command(place, |node, _, _| {
            node.kad_mut().map(|kad| kad.add_peer(peer, vec![addr])).is_some()
        });
        if honest == Some(false) {
            // A liar makes itself known.
            self.sim.dial(place, friend);
        }
    }

    /// An honest host that is up.
    pub fn anybody(&mut self) -> usize {
        for _ in 0..1000 {
            let bound = u64::try_from(self.plan.honest()).unwrap_or(1).max(1);
            let place = usize::try_from(self.dice.below(bound)).unwrap_or(0);
            if self.is_up(place) {
                return place;
            }
        }
        0
    }

    fn boot(&self, place: usize) -> Option<u32> {
        self.sim.app(place).map(|node| node.boot)
    }

    fn is_up(&self, place: usize) -> bool {
        self.sim.app(place).is_some()
    }

    fn has_joined(&self, place: usize) -> bool {
        let began = self.sim.app(place).and_then(|node| node.began);
        began.is_some_and(|began| self.sim.now().since(began) >= TO_JOIN)
    }

    /// Begins a query at an honest host. `None` if the host is down or refuses.
    pub fn begin<E>(
        &mut self,
        place: usize,
        command: impl FnOnce(&mut Kad) -> Result<QueryId, E>,
    ) -> Option<QueryId> {
        let begun = self.sim.command(place, |node, _, _| node.kad_mut().map(command));
        begun.flatten()?.ok()
    }

    /// Takes the end of a query, if it has ended.
    pub fn take(&mut self, place: usize, query: QueryId) -> Option<(Result<Outcome, QueryError>, Effort)> {
        self.sim
            .command(place, |node, _, _| node.ended.remove(&query))
            .flatten()
    }

    /// The honest servers that are nearest to a key and have been up for a minute: whoever came just now is not known yet.
    pub fn nearest(&self, key: &Key, count: usize, but: usize) -> Vec<PeerId> {
        let serves = |place: &usize| *place != but && !self.plan.is_client(*place) && self.has_joined(*place);
        let directory = self.directory.borrow();
        let peers = (0..self.plan.honest()).filter(serves);
        let mut peers: Vec<_> = peers
            .filter_map(|place| directory.places.get(place))
            .map(|peer| (key.distance(&Key::of_peer(peer)), *peer))
            .collect();
        peers.sort_unstable();
        peers.into_iter().take(count).map(|(_, peer)| peer).collect()
    }

    /// Joins, looks up, and tells what came of it.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn run(&mut self) -> Result<DhtReport, Violation> {
        self.join()?;
        self.look_up()
    }

    /// Puts values and looks for peers and values, spread over the time of the plan.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn look_up(&mut self) -> Result<DhtReport, Violation> {
        let mut report = DhtReport::default();
        let rounds = u32::try_from(self.plan.lookups).unwrap_or(u32::MAX).max(1);
        let gap = self.plan.during.checked_div(rounds).unwrap_or_default();
        let mut open = Vec::new();
        for round in 0..rounds {
            let key = Key::from_raw(self.dice.bytes32());
            let name = format!("/x/{}/{round}", self.sim.now().since(Instant::ZERO).as_nanos()).into_bytes();
            let value = u64::from(round).saturating_add(1).to_be_bytes();
            let putter = self.anybody();
            let put = self.begin(putter, |kad| kad.put_value(name.clone(), value.to_vec()));
            let place = self.anybody();
            let truth = self.nearest(&Key::of(key.as_bytes()), 20, place);
            let query = self.begin(place, |kad| kad.closest_peers(key.as_bytes().to_vec()));
            open.push((place, self.boot(place), query, truth, put.map(|_| (name, value))));
            self.sim.run_for(gap)?;
        }
        self.sim.run_for(Duration::from_secs(61))?;
        let mut gets = Vec::new();
        for (place, boot, query, truth, value) in open {
            let lives = self.boot(place) == boot;
            if let Some((result, effort)) = query.filter(|_| lives).and_then(|query| self.take(place, query))
            {
                judge(&mut report, &result, effort, &truth);
            }
            if let Some((name, value)) = value {
                let place = self.anybody();
                let query = self.begin(place, |kad| kad.get_value(name, Some(0)));
                gets.push((place, self.boot(place), query, value));
            }
            self.sim.run_for(gap)?;
        }
        self.sim.run_for(Duration::from_secs(61))?;
        for (place, boot, query, wanted) in gets {
            let query = query.filter(|_| self.boot(place) == boot);
            let Some((result, _)) = query.and_then(|query| self.take(place, query)) else {
                continue;
            };
            report.gets = report.gets.saturating_add(1);
            let right = matches!(&result, Ok(Outcome::Value { value, .. }) if value[..] == wanted);
            report.got = report.got.saturating_add(usize::from(right));
        }
        self.census(&mut report);
        report.hops.sort_unstable();
        report.asked.sort_unstable();
        report.took.sort_unstable();
        report.sizes.sort_unstable_by(f64::total_cmp);
        Ok(report)
    }

    fn census(&self, report: &mut DhtReport) {
        let directory = self.directory.borrow();
        let first = self.plan.honest();
        let liars: std::collections::BTreeSet<_> = directory.places.iter().skip(first).collect();
        for place in 0..first {
            let Some(kad) = self.sim.app(place).and_then(DhtNode::kad) else {
                continue;
            };
            report.requests = report.requests.saturating_add(kad.stats().requests_sent);
            report.sizes.extend(kad.network_size(self.sim.now()));
            for known in kad.table() {
                report.table.0 = report.table.0.saturating_add(1);
                report.table.1 = report
                    .table
                    .1
                    .saturating_add(usize::from(liars.contains(&known.peer)));
            }
        }
        report.events = self.sim.stats().events;
    }
}

fn judge(report: &mut DhtReport, result: &Result<Outcome, QueryError>, effort: Effort, truth: &[PeerId]) {
    report.lookups = report.lookups.saturating_add(1);
    report.hops.push(effort.hops);
    report.asked.push(effort.asked);
    report.took.push(effort.took);
    let Ok(Outcome::Closest(found)) = result else {
        return;
    };
    let has = |peer: &&PeerId| found.iter().any(|found| found.peer == **peer);
    report.found = report
        .found
        .saturating_add(usize::from(truth.first().is_some_and(|peer| has(&peer))));
    report.recalled = report.recalled.saturating_add(truth.iter().filter(has).count());
}

/// A host as it is born.
fn born(plan: &DhtPlan, directory: &Rc<RefCell<Directory>>, birth: Birth<'_>) -> Result<DhtNode, Error> {
    let role = if birth.place >= plan.honest() {
        let turn = birth.place.checked_rem(plan.lies.len()).unwrap_or(0);
        let lie = plan.lies.get(turn).copied().unwrap_or(Lie::Silence);
        Role::Liar(Box::new(Liar::new(
            birth.identity.peer_id(),
            lie,
            birth.dice,
            Rc::clone(directory),
        )))
    } else {
        let mode = if plan.is_client(birth.place) {
            Mode::Client
        } else {
            plan.config.mode
        };
        let config = Config {
            mode,
            ..plan.config.clone()
        };
        let local = birth.identity.peer_id();
        let mut kad = Kad::new(local, config).map_err(|error| Error::App(error.to_string()))?;
        // Whoever was here before begins with those whom everybody knows.
        let directory = directory.borrow();
        for peer in directory.places.iter().take(KNOWN).filter(|_| birth.boot > 0) {
            if let Some((addr, _)) = directory.peers.get(peer).filter(|_| *peer != local) {
                kad.add_peer(*peer, vec![addr.clone()]);
            }
        }
        Role::Honest(Box::new(kad))
    };
    Ok(DhtNode {
        introducer: Introducer(Rc::clone(directory)),
        role,
        boot: birth.boot,
        began: None,
        ended: BTreeMap::new(),
    })
}

/// When a host is away: sessions and absences in turn, both exponential.
fn absences(place: usize, churn: Churn, from: Duration, until: Duration, dice: &mut Rng) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = from.saturating_add(drawn(churn.up, dice));
    while at < until {
        let away = drawn(churn.down, dice).max(Duration::from_secs(1));
        let hosts = Places::one(place);
        faults.push(Fault::during(at, away, FaultKind::Kill { hosts }));
        at = at.saturating_add(away).saturating_add(drawn(churn.up, dice));
    }
    faults
}

/// An exponential time of this median.
fn drawn(median: Duration, dice: &mut Rng) -> Duration {
    let even = f64::from(u32::try_from(dice.below(1 << 32)).unwrap_or(u32::MAX)) / 4_294_967_296.0;
    median.mul_f64((-f64::log2(1.0 - even)).min(1000.0))
}

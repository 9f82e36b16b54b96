//! The machine.

use crate::{
    Config, Dropped, Error, Event, Family, GROUP4, GROUP6, Interface, PORT, Received, Transmit,
    found::{Found, Heard},
    ours::{Kinds, Ours, Reader},
    schedule::{Say, Schedule, share},
    wire::{Data, Message, Question, Record, class},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::{self, Vec},
};
use core::net::{IpAddr, SocketAddr};
use libp2p_proto_core::{Deadline, Instant, Multiaddr, PeerId, Rates, Rng, TransmitBuf};

/// An interface in one family.
type Link = (u32, Family);

/// Links that rest while their interface is down or discovery is off, so that beginning again is no way to make us speak more often: so many times `max_interfaces`.
const RESTING: usize = 4;

/// A record that was said to everybody within this share of its life, in percent, need not be said to everybody again (RFC 6762, § 5.4).
const RECENTLY: u32 = 25;

/// What was counted since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that were understood.
    pub received: u64,
    /// Packets that were dropped, whatever the cause.
    pub dropped: u64,
    /// Of them, those that no DNS message could be read from.
    pub malformed: u64,
    /// Questions that were sent.
    pub queries: u64,
    /// Packets with records of ours that were sent to a group.
    pub answers: u64,
    /// Replies to single hosts.
    pub replies: u64,
    /// Replies that were not sent, because a host asks too often or too many wait.
    pub refused: u64,
}

/// What is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Interfaces.
    pub interfaces: usize,
    /// Peers that were found, once for each interface.
    pub peers: usize,
    /// Their addresses.
    pub addrs: usize,
    /// Packets that wait to be sent.
    pub waiting: usize,
    /// Events that wait to be read.
    pub events: usize,
}

/// A packet that is to be written once there is a buffer.
#[derive(Debug)]
struct Outgoing {
    link: Link,
    what: What,
}

#[derive(Debug)]
enum What {
    /// The question, and whom we know behind this one.
    Question(Option<(PeerId, u32)>),
    Goodbye,
    /// The answer from the string of this number on.
    Answer(usize),
    Records(Kinds),
    Reply(Reply),
}

/// A reply to one host.
#[derive(Debug)]
struct Reply {
    to: SocketAddr,
    kinds: Kinds,
    /// Of a resolver that knows no multicast: what it asked, under which identifier.
    asked: Option<(u16, Question)>,
}

/// Discovery on the local link.
///
/// *After anything that takes `&mut self`: drain [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), then sleep until
/// [`poll_timeout`](Self::poll_timeout) and call [`handle_timeout`](Self::handle_timeout); forgetting to drain only delays.*
///
/// Nothing is sent or believed before [`start`](Self::start): who speaks on a link tells everybody there who they are.
#[derive(Debug)]
pub struct Mdns {
    config: Config,
    ours: Ours,
    rng: Rng,
    now: Instant,
    running: bool,
    interfaces: BTreeMap<u32, Interface>,
    links: BTreeMap<Link, Schedule>,
    found: Found,
    replies: Rates<IpAddr>,
    outbox: VecDeque<Outgoing>,
    stats: Stats,
}

impl Mdns {
    /// A machine that makes `local` known, once it is started. The seed decides the random name under which it speaks; every process needs another one.
    ///
    /// # Errors
    ///
    /// [`Error::BadConfig`], [`Error::BadName`].
    pub fn new(local: PeerId, config: Config, seed: [u8; 32]) -> Result<Self, Error> {
        config.validate()?;
        let mut rng = Rng::from_seed(seed);
        Ok(Self {
            ours: Ours::new(local, &config, &mut rng)?,
            rng,
            now: Instant::ZERO,
            running: false,
            interfaces: BTreeMap::new(),
            links: BTreeMap::new(),
            found: Found::default(),
            replies: Rates::new(config.reply_rate, config.max_rated),
            outbox: VecDeque::new(),
            stats: Stats::default(),
            config,
        })
    }

    /// Begins to ask and to answer.
    pub fn start(&mut self, now: Instant) {
        let now = self.clock(now);
        if !core::mem::replace(&mut self.running, true) {
            for link in self.up() {
                self.raise(now, link);
            }
        }
    }

    /// Says goodbye and falls silent; what was found is forgotten without a word.
    pub fn stop(&mut self, now: Instant) {
        self.clock(now);
        if !core::mem::replace(&mut self.running, false) {
            return;
        }
        self.outbox.clear();
        for link in self.up() {
            if self.links.get(&link).is_some_and(Schedule::is_known_to_others) {
                self.outbox.push_back(Outgoing {
                    link,
                    what: What::Goodbye,
                });
            }
        }
        for schedule in self.links.values_mut() {
            schedule.rest();
        }
        self.found.clear();
    }

    /// Where we listen now: whole or without our id; `0.0.0.0` and `::` stand for the addresses of each interface. What is of no use on a link is left out. More than
    /// `max_own` are not looked at.
    pub fn set_addresses(&mut self, now: Instant, addrs: impl IntoIterator<Item = Multiaddr>) {
        let now = self.clock(now);
        let addrs: BTreeSet<_> = addrs.into_iter().take(self.config.max_own).collect();
        if self.ours.set(addrs) {
            for schedule in self.links.values_mut() {
                schedule.announce(now, &mut self.rng);
            }
        }
    }

    /// An interface has come up, or has other addresses or families than before.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyInterfaces`], [`Error::BadConfig`].
    pub fn handle_interface(&mut self, now: Instant, mut interface: Interface) -> Result<(), Error> {
        let now = self.clock(now);
        interface.validate()?;
        interface.addrs.truncate(self.config.max_interface_addrs);
        let id = interface.id;
        let known = self.interfaces.get(&id);
        if known == Some(&interface) {
            return Ok(());
        }
        if known.is_none() && self.interfaces.len() >= self.config.max_interfaces {
            return Err(Error::TooManyInterfaces);
        }
        self.interfaces.insert(id, interface);
        if self.running {
            for link in self.up().filter(|(of, _)| *of == id).collect::<Vec<_>>() {
                self.raise(now, link);
            }
        }
        Ok(())
    }

    /// An interface is gone. What was learned there holds for its time.
    pub fn handle_interface_down(&mut self, now: Instant, id: u32) {
        self.clock(now);
        self.interfaces.remove(&id);
        self.outbox.retain(|outgoing| outgoing.link.0 != id);
    }

    /// A datagram has come.
    ///
    /// # Errors
    ///
    /// See [`Dropped`]. The machine goes on.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        received: &Received,
        datagram: &[u8],
    ) -> Result<(), Dropped> {
        let now = self.clock(now);
        let result = self.read(now, received, datagram);
        let counted = match result {
            Ok(()) => &mut self.stats.received,
            Err(_) => &mut self.stats.dropped,
        };
        *counted = counted.saturating_add(1);
        if matches!(result, Err(Dropped::Malformed(_))) {
            self.stats.malformed = self.stats.malformed.saturating_add(1);
        }
        result
    }

    fn read(&mut self, now: Instant, received: &Received, datagram: &[u8]) -> Result<(), Dropped> {
        if !self.running {
            return Err(Dropped::Off);
        }
        let interface = self
            .interfaces
            .get(&received.interface)
            .ok_or(Dropped::UnknownInterface)?;
        let from = received.from.ip().to_canonical();
        let to_us = received.to == IpAddr::V4(GROUP4)
            || received.to == IpAddr::V6(GROUP6)
            || interface.has(received.to);
        if !to_us || !interface.is_on_link(from) {
            return Err(Dropped::OffLink);
        }
        let message = Message::decode(datagram)?;
        if !message.ordinary {
            return Err(Dropped::OtherOperation);
        }
        if message.response {
            if self.found.is_full(&self.config) {
                return Err(Dropped::Busy);
            }
            let heard = Heard { now, interface, from };
            self.found
                .learn(heard, &message, &self.ours, &self.config, &mut self.rng);
        } else {
            self.hear(now, received, &message);
        }
        Ok(())
    }

    /// Takes in a query.
    fn hear(&mut self, now: Instant, received: &Received, message: &Message) {
        let from = received.from.ip();
        let link = (received.interface, Family::of(from));
        let (ours, interface) = (&self.ours, self.interfaces.get(&received.interface));
        let Some((schedule, interface)) = self.links.get_mut(&link).zip(interface) else {
            return;
        };
        let known = message.answers.iter().any(|record| ours.is_known(record));
        if message.questions.is_empty() && known {
            // The rest of a question that did not fit into one packet.
            schedule.is_known(from);
        }
        let asked = message
            .questions
            .iter()
            .map(|question| (question, ours.asked(question)));
        let mut all = asked.clone().fold(Kinds::NONE, |all, (_, kinds)| all | kinds);
        let is_foreign = !interface.has(from);
        if all.has(Kinds::PTR) && is_foreign && message.answers.is_empty() {
            schedule.hear_question(now);
        }
        if known {
            all = all.without(Kinds::PTR);
        }
        if all.is_empty() || !ours.has_strings(interface) {
            return;
        }
        let legacy = received.from.port() != PORT;
        let unicast = asked
            .clone()
            .all(|(question, kinds)| question.unicast || kinds.is_empty());
        let recently = now - share(self.config.ttl, RECENTLY);
        if !legacy && unicast && schedule.all_said_since(all, recently) {
            self.reply(now, link, received.from, all, None);
            return;
        }
        schedule.want(now, all, from, message.truncated, &mut self.rng);
        if legacy {
            let question = asked.clone().find(|(_, kinds)| !kinds.is_empty());
            let asked = question.map(|(question, _)| (message.id, question.clone()));
            self.reply(now, link, received.from, all, asked);
        }
    }

    /// Plans a reply, unless that host asks too often.
    fn reply(
        &mut self,
        now: Instant,
        link: Link,
        to: SocketAddr,
        kinds: Kinds,
        asked: Option<(u16, Question)>,
    ) {
        let waiting = self.outbox.iter();
        let waiting = waiting.filter(|outgoing| matches!(outgoing.what, What::Reply(_)));
        if waiting.count() >= self.config.max_replies || self.replies.take(now, to.ip()).is_err() {
            self.stats.refused = self.stats.refused.saturating_add(1);
            return;
        }
        let what = What::Reply(Reply { to, kinds, asked });
        self.outbox.push_back(Outgoing { link, what });
    }

    /// The deadline has come; harmless if early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock(now);
        if !self.running {
            return;
        }
        let ask = self.found.handle_timeout(now, &self.config, &mut self.rng);
        for ((id, _), schedule) in &mut self.links {
            if ask.contains(id) {
                schedule.ask(now);
            }
        }
        for link in self.up() {
            self.speak(now, link);
        }
    }

    /// Puts what is due on a link into the outbox.
    fn speak(&mut self, now: Instant, link: Link) {
        let (Some(schedule), Some(interface)) = (self.links.get_mut(&link), self.interfaces.get(&link.0))
        else {
            return;
        };
        let can_answer = self.ours.has_strings(interface);
        while let Some(say) = schedule.pop(now, can_answer, &self.config, &mut self.rng) {
            let what = match say {
                Say::Question => What::Question(None),
                Say::Goodbye => What::Goodbye,
                Say::Answer => What::Answer(0),
                Say::Meta => What::Records(Kinds::META),
                Say::Records(kinds) => What::Records(kinds),
            };
            // An adapter that does not drain gets each thing once.
            let same = |outgoing: &Outgoing| outgoing.link == link && same_kind(&outgoing.what, &what);
            if !self.outbox.iter().any(same) {
                self.outbox.push_back(Outgoing { link, what });
            }
        }
    }

    /// Appends one datagram and says where it goes. `None`: there is nothing to send, or it does not fit; [`max_packet`](Config::max_packet) bytes are always enough, but for names that
    /// are longer than the one of the specification.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> Option<Transmit> {
        self.handle_timeout(now);
        loop {
            let outgoing = self.outbox.front()?;
            let Some(interface) = self.interfaces.get(&outgoing.link.0) else {
                self.outbox.pop_front();
                continue;
            };
            let (message, more) = self.write(interface, &outgoing.what);
            if message.questions.is_empty() && message.answers.is_empty() {
                // Our addresses have gone meanwhile.
                self.outbox.pop_front();
                continue;
            }
            if !out.put(&message.encode()) {
                return None;
            }
            let (id, family) = outgoing.link;
            let mut transmit = Transmit::group(id, family);
            let counter = match &outgoing.what {
                What::Question(_) => &mut self.stats.queries,
                What::Reply(reply) => {
                    transmit.to = reply.to;
                    &mut self.stats.replies
                }
                _ => &mut self.stats.answers,
            };
            *counter = counter.saturating_add(1);
            match (more, self.outbox.front_mut()) {
                (Some(more), Some(outgoing)) => outgoing.what = more,
                _ => drop(self.outbox.pop_front()),
            }
            return Some(transmit);
        }
    }

    /// A packet, and what of it comes in the next one.
    fn write(&self, interface: &Interface, what: &What) -> (Message, Option<What>) {
        match what {
            What::Question(after) => self.write_question(interface, *after),
            What::Goodbye => (self.ours.goodbye(), None),
            What::Answer(from) => {
                let (message, next) = self.ours.answer(interface, *from, Reader::Multicast);
                let message = if self.ours.has_strings(interface) {
                    message
                } else {
                    Message::response()
                };
                (message, next.map(What::Answer))
            }
            What::Records(kinds) => {
                let mut message = Message::response();
                message.answers = self.ours.records(*kinds, interface, Reader::Multicast);
                (message, None)
            }
            What::Reply(reply) => (self.write_reply(interface, reply), None),
        }
    }

    /// The question, with those whom we know. What does not fit comes behind it, and the packet says so.
    fn write_question(&self, interface: &Interface, after: Option<(PeerId, u32)>) -> (Message, Option<What>) {
        let mut message = Message::query();
        if after.is_none() {
            message.questions.push(self.ours.question());
        }
        let mut room = self.config.max_packet.saturating_sub(Message::HEADER);
        let asked = message.questions.iter().map(Question::encoded_len);
        room = room.saturating_sub(asked.sum());
        let mut last = after;
        for (key, instance, ttl) in self
            .found
            .known(self.now, interface.id, after)
            .take(self.config.max_known)
        {
            let record = Record {
                name: self.ours.service.clone(),
                class: class::IN,
                flush: false,
                ttl,
                data: Data::Ptr(instance.clone()),
            };
            let Some(left) = room.checked_sub(record.encoded_len()) else {
                message.truncated = true;
                break;
            };
            room = left;
            last = Some(key);
            message.answers.push(record);
        }
        let next = (message.truncated && last != after).then_some(What::Question(last));
        message.truncated = next.is_some();
        (message, next)
    }

    fn write_reply(&self, interface: &Interface, reply: &Reply) -> Message {
        let reader = match reply.asked {
            Some(_) => Reader::Legacy,
            None => Reader::Multicast,
        };
        let mut message = if reply.kinds.has(Kinds::PTR) && self.ours.has_strings(interface) {
            self.ours.answer(interface, 0, reader).0
        } else {
            let mut message = Message::response();
            message.answers = self.ours.records(reply.kinds, interface, reader);
            message
        };
        if let Some((id, question)) = reply.asked.as_ref().filter(|_| !message.answers.is_empty()) {
            message.id = *id;
            message.questions.push(question.clone());
        }
        message
    }

    /// The next thing that the application is told.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.found.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if !self.running {
            return None;
        }
        let expire = self.found.poll_timeout(&self.config);
        let expire = expire.map(|at| Deadline::new(at, "expire"));
        let links = self.links.iter().filter(|(link, _)| self.is_up(**link));
        links
            .map(|(_, schedule)| schedule.poll_timeout())
            .fold(expire, Deadline::earliest)
    }

    /// What was counted.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// What is held.
    pub fn census(&self) -> Census {
        Census {
            interfaces: self.interfaces.len(),
            peers: self.found.peers(),
            addrs: self.found.addrs(),
            waiting: self.outbox.len(),
            events: self.found.events.len(),
        }
    }

    /// Whether it was started.
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// The interfaces that were told, by their numbers.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces.values()
    }

    /// Time never runs back.
    fn clock(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn is_up(&self, (id, family): Link) -> bool {
        let interface = self.interfaces.get(&id);
        interface.is_some_and(|interface| interface.families.contains(&family))
    }

    /// The links of all interfaces.
    fn up(&self) -> vec::IntoIter<Link> {
        let families = |interface: &Interface| interface.families.iter().copied().collect::<BTreeSet<_>>();
        let all = self.interfaces.values();
        all.flat_map(|interface| {
            families(interface)
                .into_iter()
                .map(|family| (interface.id, family))
        })
        .collect::<Vec<_>>()
        .into_iter()
    }

    /// A link begins, or begins anew.
    fn raise(&mut self, now: Instant, link: Link) {
        if let Some(schedule) = self.links.get_mut(&link) {
            schedule.restart(now, &self.config, &mut self.rng);
            return;
        }
        if self.links.len() >= self.config.max_interfaces.saturating_mul(RESTING) {
            let resting = self.links.keys().copied().find(|link| !self.is_up(*link));
            if let Some(resting) = resting {
                self.links.remove(&resting);
            }
        }
        let schedule = Schedule::new(now, &self.config, &mut self.rng);
        self.links.insert(link, schedule);
    }
}

/// Whether one stands for the other.
fn same_kind(a: &What, b: &What) -> bool {
    match (a, b) {
        (What::Question(_), What::Question(_))
        | (What::Goodbye, What::Goodbye)
        | (What::Answer(_), What::Answer(_)) => true,
        (What::Records(a), What::Records(b)) => a == b,
        _ => false,
    }
}

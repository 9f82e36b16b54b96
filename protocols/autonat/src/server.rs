//! What we do for others: a question, perhaps dial data, a fresh dial, an answer.

use crate::{
    Event, Outcome, Serve, ServerConfig, Version,
    addrs::ip_of,
    autonat::{DIAL_BACK_SPEC, DIAL_REQUEST_SPEC, V1_SPEC},
    desk::Desk,
    log::Log,
    policy::{Policy, direct},
    wire::{v1, v2},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use core::{net::IpAddr, time::Duration};
use libp2p_proto_core::{ConnectionId, DialId, Instant, Multiaddr, PeerId, StreamId, Timers};
use libp2p_proto_stream_protocol::{
    Context, Dial, DialOutcome, DialRefused, Input, OwnAddresses, Reachability, Target,
};

/// The time of "in a minute".
const MINUTE: Duration = Duration::from_secs(60);
/// Bytes that a message of dial data holds, but for the last, at least and at most.
const LEAST_DATA: usize = 100;
const MOST_DATA: usize = 4096;
/// What is left of the time for a question so that its answer still arrives.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// One question of somebody, for as long as its stream stands.
#[derive(Debug)]
struct Job {
    peer: PeerId,
    version: Version,
    /// When the question must be answered.
    until: Instant,
    stage: Stage,
    /// What the stream has not taken.
    unsent: Option<Bytes>,
}

/// An address of a question, by its place there, and the nonce that a dial back brings.
#[derive(Clone, Debug)]
struct Chosen {
    place: u32,
    addr: Multiaddr,
    nonce: u64,
}

#[derive(Debug)]
enum Stage {
    /// The question is awaited.
    Reading,
    /// Dial data is awaited: so many bytes more.
    Charging(Chosen, u64),
    /// It was paid for; the dial waits.
    Waiting(Chosen),
    /// Version 2 dials.
    Dialing(Chosen, DialId),
    /// Version 1 dials, or has failed (`None`) and does not say so yet.
    DialingAny(Option<DialId>),
    /// The dial back's stream opens.
    Opening(Chosen, StreamId),
    /// The nonce was sent.
    Confirming(Chosen, StreamId),
    /// The answer is given; the stream has to end.
    Answered,
}

/// The part that serves.
#[derive(Debug)]
pub(crate) struct Server {
    config: ServerConfig,
    policy: Policy,
    serving: bool,
    jobs: BTreeMap<StreamId, Job>,
    dials: BTreeMap<DialId, StreamId>,
    /// Dials whose end is not told yet, and whose connection nobody wants.
    cancelled: BTreeSet<DialId>,
    /// The question that a dial back belongs to.
    backs: BTreeMap<StreamId, StreamId>,
    timers: Timers<StreamId>,
    /// Who has asked, with each version.
    asked: [Log<PeerId>; 2],
    charged: Log<()>,
    dialed: Log<IpAddr>,
}

impl Server {
    pub(crate) fn new(config: ServerConfig, private: bool) -> Self {
        Self {
            policy: Policy::new(private),
            serving: config.when == Serve::Always,
            jobs: BTreeMap::new(),
            dials: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            backs: BTreeMap::new(),
            timers: Timers::new(),
            asked: [Log::new(MINUTE), Log::new(MINUTE)],
            charged: Log::new(MINUTE),
            dialed: Log::new(MINUTE),
            config,
        }
    }

    pub(crate) const fn is_serving(&self) -> bool {
        self.serving
    }

    /// Questions, dials, and dial backs that are held.
    pub(crate) fn census(&self) -> (usize, usize) {
        (self.jobs.len(), self.dials.len().saturating_add(self.backs.len()))
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// Begins or ceases to serve, as our own reachability says.
    pub(crate) fn update(&mut self, cx: &mut Context<'_>, desk: &mut Desk, ours: Reachability) {
        let serving = self.config.when == Serve::Always || ours == Reachability::Public;
        if serving == self.serving {
            return;
        }
        self.serving = serving;
        for (spec, on) in [(V1_SPEC, self.config.v1), (DIAL_REQUEST_SPEC, self.config.v2)] {
            let max = if serving && on { self.config.max_inbound } else { 0 };
            // The spec is ours.
            let _known = cx.set_inbound(spec, max);
        }
        desk.tell(cx, Event::Serving(serving));
    }

    // ── streams ──

    /// An input about a stream that is a question, or a dial back of ours.
    pub(crate) fn handle_stream(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        own: &OwnAddresses,
        input: Input,
    ) {
        match input {
            Input::Opened {
                stream, peer, spec, ..
            } if stream.is_inbound() => {
                let version = if spec == V1_SPEC { Version::V1 } else { Version::V2 };
                self.listen(cx, desk, stream, peer, version);
            }
            Input::Writable { stream } if stream.is_inbound() => self.say(cx, stream),
            Input::Opened { stream, .. } | Input::Writable { stream } => self.bring(cx, stream),
            Input::Frame { stream, data } if stream.is_inbound() => {
                self.handle_frame(cx, desk, own, stream, &data);
            }
            // Whatever the other end says of the nonce, it has taken it.
            Input::Frame { stream, .. } | Input::Finished { stream } if !stream.is_inbound() => {
                self.confirm(cx, desk, stream);
            }
            Input::Finished { stream } => {
                let waits = |job: &Job| matches!(job.stage, Stage::Reading | Stage::Charging(..));
                if self.jobs.get(&stream).is_some_and(waits) {
                    cx.reset(stream);
                    self.free(cx, stream);
                }
            }
            Input::Closed { stream, .. } if stream.is_inbound() => self.free(cx, stream),
            Input::Closed { stream, .. } => self.confirm(cx, desk, stream),
            _ => {}
        }
    }

    /// Whether a stream of somebody is a question.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.jobs.contains_key(&stream)
    }

    /// Whether a stream of ours is a dial back.
    pub(crate) fn owns(&self, stream: StreamId) -> bool {
        self.backs.contains_key(&stream)
    }

    /// A peer begins a question. Limits come before what it says.
    fn listen(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        stream: StreamId,
        peer: PeerId,
        version: Version,
    ) {
        let timeout = match version {
            Version::V1 => self.config.v1_timeout,
            Version::V2 => self.config.v2_timeout,
        };
        let allowed = self.admit(cx.now, peer, version);
        let job = Job {
            peer,
            version,
            until: cx.now + timeout,
            stage: Stage::Reading,
            unsent: None,
        };
        self.jobs.insert(stream, job);
        self.timers.set(stream, cx.now + timeout);
        if !allowed {
            self.answer(cx, desk, stream, None, Outcome::Rejected);
        }
    }

    fn admit(&mut self, now: Instant, peer: PeerId, version: Version) -> bool {
        let running =
            |job: &&Job| job.peer == peer && job.version == version && !matches!(job.stage, Stage::Answered);
        let at_once = self.jobs.values().filter(running).count();
        let (config, is_v2) = (self.config, version == Version::V2);
        let (all, each, most) = if is_v2 {
            (config.v2_per_minute, config.v2_per_peer, config.v2_at_once)
        } else {
            (config.v1_per_minute, config.v1_per_peer, 1)
        };
        let Some(asked) = self.asked.get_mut(usize::from(is_v2)) else {
            return false;
        };
        let recent: Vec<PeerId> = asked.recent(now).copied().collect();
        let of_peer = recent.iter().filter(|known| **known == peer).count();
        let allowed = self.serving && at_once < most && recent.len() < all && of_peer < each;
        if allowed {
            asked.push(now, peer);
        }
        allowed
    }

    fn handle_frame(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        own: &OwnAddresses,
        stream: StreamId,
        frame: &Bytes,
    ) {
        let Some(job) = self.jobs.get_mut(&stream) else {
            return;
        };
        match (job.version, &job.stage) {
            (Version::V1, Stage::Reading) => self.read_v1(cx, desk, own, stream, frame),
            (Version::V2, Stage::Reading) => self.read_v2(cx, desk, own, stream, frame),
            (_, Stage::Charging(..)) => self.charge(cx, stream, frame),
            // Who was refused at once may still be sending.
            (_, Stage::Answered) => {}
            _ => {
                cx.reset(stream);
                self.free(cx, stream);
            }
        }
    }

    // ── version 1 ──

    fn read_v1(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        own: &OwnAddresses,
        stream: StreamId,
        frame: &Bytes,
    ) {
        let Some(peer) = self.jobs.get(&stream).map(|job| job.peer) else {
            return;
        };
        let message = v1::Message::decode(frame, v1_kept(self.config.v1_max_addrs));
        let Ok(v1::Message::Dial { peer: named, addrs }) = message else {
            return self.answer(cx, desk, stream, None, Outcome::BadRequest);
        };
        if named.is_some_and(|named| named != peer.as_bytes()) {
            return self.answer(cx, desk, stream, None, Outcome::BadRequest);
        }
        let Some((remote, ip)) = self.policy.observed(cx, own, stream.conn) else {
            return self.answer(cx, desk, stream, None, Outcome::Refused);
        };
        let mut fit = self.policy.candidates(cx, own, &addrs, &remote, ip);
        fit.truncate(self.config.v1_max_addrs);
        if fit.is_empty() || !self.may_dial(cx.now, ip) {
            return self.answer(cx, desk, stream, None, Outcome::Refused);
        }
        match dial(cx, peer, fit) {
            Ok(dial) => {
                self.dialed.push(cx.now, ip);
                self.dials.insert(dial, stream);
                self.enter(
                    stream,
                    Stage::DialingAny(Some(dial)),
                    cx.now + self.config.v1_dial_timeout,
                );
            }
            Err(_) => self.answer(cx, desk, stream, None, Outcome::Refused),
        }
    }

    // ── version 2 ──

    fn read_v2(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        own: &OwnAddresses,
        stream: StreamId,
        frame: &Bytes,
    ) {
        let message = v2::Message::decode(frame, self.config.v2_max_addrs);
        let Ok(v2::Message::DialRequest { addrs, nonce }) = message else {
            cx.reset(stream);
            return self.free(cx, stream);
        };
        let observed = direct(cx, stream.conn).map(ip_of);
        let chosen = observed.and_then(|_| self.policy.choose(cx, own, &addrs));
        let Some((place, addr, ip)) = chosen else {
            return self.answer(cx, desk, stream, None, Outcome::Refused);
        };
        let chosen = Chosen { place, addr, nonce };
        if !self.may_dial(cx.now, ip) {
            return self.answer(cx, desk, stream, None, Outcome::Rejected);
        }
        if observed.flatten() == Some(ip) {
            return self.begin_dial(cx, desk, stream, chosen);
        }
        if self.charged.recent(cx.now).count() >= self.config.v2_with_data {
            return self.answer(cx, desk, stream, None, Outcome::Rejected);
        }
        self.charged.push(cx.now, ());
        let (least, most) = self.config.data;
        let span = most.saturating_sub(least).saturating_add(1);
        let num_bytes = least.saturating_add(cx.rng.below(span));
        let addr_idx = place;
        let ask = v2::Message::DialDataRequest { addr_idx, num_bytes };
        self.enter(
            stream,
            Stage::Charging(chosen, num_bytes),
            cx.now + self.config.data_timeout,
        );
        if let Some(job) = self.jobs.get_mut(&stream) {
            job.unsent = Some(ask.encode().into());
        }
        self.say(cx, stream);
    }

    /// A part of what is owed. Only what is data counts, and nothing of it is kept.
    fn charge(&mut self, cx: &mut Context<'_>, stream: StreamId, frame: &Bytes) {
        let Some(job) = self.jobs.get_mut(&stream) else {
            return;
        };
        let Stage::Charging(chosen, owed) = &mut job.stage else {
            return;
        };
        let paid = match v2::Message::decode(frame, 0) {
            Ok(v2::Message::DialDataResponse { data }) => data.len(),
            _ => 0,
        };
        let left = owed.saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX));
        if paid > MOST_DATA || (paid < LEAST_DATA && (left > 0 || paid == 0)) {
            cx.reset(stream);
            return self.free(cx, stream);
        }
        *owed = left;
        if left == 0 {
            let chosen = chosen.clone();
            let most = u64::try_from(self.config.dial_delay.as_nanos()).unwrap_or(u64::MAX);
            let delay = Duration::from_nanos(cx.rng.below(most.saturating_add(1)));
            self.enter(stream, Stage::Waiting(chosen), cx.now + delay);
        }
    }

    fn begin_dial(&mut self, cx: &mut Context<'_>, desk: &mut Desk, stream: StreamId, chosen: Chosen) {
        let Some(job) = self.jobs.get(&stream) else { return };
        let (peer, addr) = (job.peer, chosen.addr.clone());
        let latest = job.until - LAST_WORDS;
        let ip = ip_of(&addr).filter(|ip| self.may_dial(cx.now, *ip));
        let Some(ip) = ip else {
            return self.answer(cx, desk, stream, None, Outcome::Rejected);
        };
        match dial(cx, peer, alloc::vec![addr]) {
            Ok(dial) => {
                self.dialed.push(cx.now, ip);
                self.dials.insert(dial, stream);
                let until = latest.min(cx.now + self.config.v2_dial_timeout);
                self.enter(stream, Stage::Dialing(chosen, dial), until);
            }
            Err(DialRefused::TooManyDials) => self.answer(cx, desk, stream, None, Outcome::Rejected),
            Err(_) => self.answer(cx, desk, stream, None, Outcome::Refused),
        }
    }

    /// The dial back's stream takes the nonce.
    fn bring(&mut self, cx: &mut Context<'_>, back: StreamId) {
        let Some(stream) = self.backs.get(&back).copied() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&stream) else {
            return;
        };
        let Stage::Opening(chosen, _) = &job.stage else {
            return;
        };
        let nonce = chosen.nonce;
        if cx.write(back, v2::DialBack { nonce }.encode()).is_ok() {
            cx.finish(back);
            let chosen = chosen.clone();
            self.enter(
                stream,
                Stage::Confirming(chosen, back),
                cx.now + self.config.dial_back_timeout,
            );
        }
    }

    /// The dial back's stream has said something, or has ended.
    fn confirm(&mut self, cx: &mut Context<'_>, desk: &mut Desk, back: StreamId) {
        let Some(stream) = self.backs.get(&back).copied() else {
            return;
        };
        self.settle(cx, desk, stream);
    }

    /// The dial back is over, one way or the other.
    fn settle(&mut self, cx: &mut Context<'_>, desk: &mut Desk, stream: StreamId) {
        let Some(job) = self.jobs.get(&stream) else { return };
        let (chosen, outcome) = match &job.stage {
            Stage::Opening(chosen, _) => (chosen, Outcome::NotProven),
            Stage::Confirming(chosen, _) => (chosen, Outcome::Reached),
            _ => return,
        };
        let chosen = Some((chosen.place, chosen.addr.clone()));
        self.answer(cx, desk, stream, chosen, outcome);
    }

    // ── dials ──

    fn may_dial(&mut self, now: Instant, ip: IpAddr) -> bool {
        let dialed = self.dialed.recent(now).filter(|known| **known == ip);
        dialed.count() < self.config.max_per_ip
    }

    pub(crate) fn handle_connected(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        dial: DialId,
        conn: ConnectionId,
        addr: &Multiaddr,
    ) {
        // Nobody but us knows what it is for, so others may have opened streams on it already: it goes once it carries none.
        if self.cancelled.remove(&dial) {
            return cx.set_aside(conn);
        }
        let Some(stream) = self.dials.remove(&dial) else {
            return;
        };
        cx.set_aside(conn);
        match self.jobs.get(&stream).map(|job| &job.stage) {
            Some(Stage::Dialing(chosen, _)) => {
                let chosen = chosen.clone();
                if let Ok(back) = cx.open(Target::Connection(conn), &[DIAL_BACK_SPEC]) {
                    self.backs.insert(back, stream);
                    let until = cx.now + self.config.dial_back_timeout;
                    self.enter(stream, Stage::Opening(chosen, back), until);
                    self.bring(cx, back);
                } else {
                    let chosen = Some((chosen.place, chosen.addr));
                    self.answer(cx, desk, stream, chosen, Outcome::NotProven);
                }
            }
            Some(Stage::DialingAny(_)) => {
                self.answer(cx, desk, stream, Some((0, addr.clone())), Outcome::Reached);
            }
            _ => {}
        }
    }

    pub(crate) fn handle_dial_failed(&mut self, cx: &mut Context<'_>, desk: &mut Desk, dial: DialId) {
        self.cancelled.remove(&dial);
        let Some(stream) = self.dials.remove(&dial) else {
            return;
        };
        match self.jobs.get_mut(&stream).map(|job| &mut job.stage) {
            // Told when the time is up: how fast it failed is nobody's business.
            Some(Stage::DialingAny(dial)) => *dial = None,
            Some(Stage::Dialing(chosen, _)) => {
                let chosen = Some((chosen.place, chosen.addr.clone()));
                self.answer(cx, desk, stream, chosen, Outcome::NotReached);
            }
            _ => {}
        }
    }

    // ── ends ──

    fn enter(&mut self, stream: StreamId, stage: Stage, until: Instant) {
        if let Some(job) = self.jobs.get_mut(&stream) {
            job.stage = stage;
            self.timers.set(stream, until.min(job.until));
        }
    }

    /// One question has had its time, or its dial may begin.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>, desk: &mut Desk) {
        let Some(stream) = self.timers.pop_due(cx.now) else {
            return;
        };
        match self.jobs.get(&stream).map(|job| &job.stage) {
            Some(Stage::Waiting(chosen)) => {
                let chosen = chosen.clone();
                self.begin_dial(cx, desk, stream, chosen);
            }
            Some(Stage::Dialing(chosen, _)) => {
                let chosen = Some((chosen.place, chosen.addr.clone()));
                self.answer(cx, desk, stream, chosen, Outcome::NotReached);
            }
            Some(Stage::DialingAny(_)) => self.answer(cx, desk, stream, None, Outcome::NotReached),
            Some(Stage::Opening(..) | Stage::Confirming(..)) => self.settle(cx, desk, stream),
            _ => {
                cx.reset(stream);
                self.free(cx, stream);
            }
        }
    }

    /// Gives the one answer, and lets go of all but the stream.
    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        desk: &mut Desk,
        stream: StreamId,
        dialed: Option<(u32, Multiaddr)>,
        outcome: Outcome,
    ) {
        let Some(job) = self.jobs.get_mut(&stream) else {
            return;
        };
        let stage = core::mem::replace(&mut job.stage, Stage::Answered);
        let (peer, version) = (job.peer, job.version);
        job.unsent = Some(match version {
            Version::V1 => answer_v1(outcome, dialed.as_ref()),
            Version::V2 => answer_v2(outcome, dialed.as_ref()),
        });
        let linger = match version {
            Version::V1 => self.config.v1_timeout,
            Version::V2 => self.config.v2_timeout,
        };
        job.until = cx.now + linger;
        self.timers.set(stream, cx.now + linger);
        self.let_go(cx, stage);
        self.say(cx, stream);
        let stats = &mut desk.stats;
        stats.served = stats.served.saturating_add(1);
        let refused = matches!(
            outcome,
            Outcome::Refused | Outcome::Rejected | Outcome::BadRequest
        );
        stats.refused = stats.refused.saturating_add(u64::from(refused));
        let addr = dialed.map(|(_, addr)| addr);
        desk.tell(
            cx,
            Event::Served {
                peer,
                version,
                addr,
                outcome,
            },
        );
    }

    /// Sends what the stream has not taken; behind the answer it ends.
    fn say(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(job) = self.jobs.get_mut(&stream) else {
            return;
        };
        let Some(frame) = job.unsent.clone() else { return };
        if cx.write(stream, frame).is_ok() {
            job.unsent = None;
            if matches!(job.stage, Stage::Answered) {
                cx.finish(stream);
            }
        }
    }

    /// Forgets a question and ends all that was done for it.
    fn free(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        self.timers.clear(stream);
        if let Some(job) = self.jobs.remove(&stream) {
            self.let_go(cx, job.stage);
        }
    }

    /// Ends the dial and the dial back of a stage.
    fn let_go(&mut self, cx: &mut Context<'_>, stage: Stage) {
        match stage {
            Stage::Dialing(_, dial) | Stage::DialingAny(Some(dial)) if self.dials.remove(&dial).is_some() => {
                self.cancelled.insert(dial);
                cx.cancel_dial(dial);
            }
            Stage::Opening(_, back) | Stage::Confirming(_, back) => {
                self.backs.remove(&back);
                cx.reset(back);
            }
            _ => {}
        }
    }
}

/// A fresh dial to these addresses alone, from another port than those where we listen.
fn dial(cx: &mut Context<'_>, peer: PeerId, addrs: Vec<Multiaddr>) -> Result<DialId, DialRefused> {
    let dial = Dial {
        addrs,
        force: true,
        only: true,
        ..Dial::peer(peer)
    };
    match cx.dial(dial)? {
        DialOutcome::Pending(dial) => Ok(dial),
        DialOutcome::Connected(_) => Err(DialRefused::NoAddress),
    }
}

/// Addresses of a question of version 1 that are kept: some of them may be no address, or of no use.
const fn v1_kept(max: usize) -> usize {
    max.saturating_mul(4)
}

fn answer_v1(outcome: Outcome, dialed: Option<&(u32, Multiaddr)>) -> Bytes {
    let status = match outcome {
        Outcome::Reached => v1::Status::Ok,
        Outcome::NotReached | Outcome::NotProven => v1::Status::DialError,
        Outcome::Refused | Outcome::Rejected => v1::Status::DialRefused,
        Outcome::BadRequest => v1::Status::BadRequest,
    };
    let addr = dialed.map(|(_, addr)| Bytes::copy_from_slice(addr.as_bytes()));
    v1::Message::answer(status, addr).encode().into()
}

fn answer_v2(outcome: Outcome, dialed: Option<&(u32, Multiaddr)>) -> Bytes {
    let place = dialed.map_or(0, |(place, _)| *place);
    let message = match outcome {
        Outcome::Reached => v2::Message::dialed(place, v2::DialStatus::Ok),
        Outcome::NotReached => v2::Message::dialed(place, v2::DialStatus::DialError),
        Outcome::NotProven => v2::Message::dialed(place, v2::DialStatus::DialBackError),
        Outcome::Refused => v2::Message::refusal(v2::ResponseStatus::DialRefused),
        Outcome::Rejected | Outcome::BadRequest => v2::Message::refusal(v2::ResponseStatus::RequestRejected),
    };
    message.encode().into()
}

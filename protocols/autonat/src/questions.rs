//! Questions of ours on their streams: asked, paid for, proven, answered.

use crate::{
    ClientConfig, Failure, QuestionId, Verdict, Version,
    addrs::{at_ip, same_stack},
    autonat::{DIAL_REQUEST_SPEC, V1_SPEC},
    log::Log,
    wire::{
        v1::{Message as V1, Status},
        v2::{DIAL_BACK_OK, DialBack, DialStatus, Message as V2, ResponseStatus},
    },
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId, StreamId, Subnet, Timers};
use libp2p_proto_stream_protocol::{Closed, Context, Input, OpenError, Target};

/// Bytes of a question: what rust and nim read.
const MAX_REQUEST: usize = 1024;
/// Addresses of a question of version 1: what nim looks at.
const MAX_V1_ADDRS: usize = 8;
/// Bytes around the addresses of a question: id, nonce, tags and lengths.
const REQUEST_FRAME: usize = 80;
/// Bytes around one address.
const ADDR_FRAME: usize = 4;
/// Dial data of one message: what go sends; a message of rust holds 4 096.
const CHUNK: u64 = 4000;
/// What a payment weighs at least in the budget, so that the log of payments stays short.
const LEAST_PAYMENT: u64 = 4000;
/// Time in which what is paid stays below the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(600);

/// Who is to be asked what.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) id: QuestionId,
    /// Whether the application wants to know; we ourselves otherwise.
    pub(crate) manual: bool,
    pub(crate) server: PeerId,
    pub(crate) network: Subnet,
    /// Whether what the server says counts.
    pub(crate) counts: bool,
    pub(crate) version: Version,
    /// The most important first.
    pub(crate) addrs: Vec<Multiaddr>,
}

/// How a question ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) question: Question,
    pub(crate) result: Result<Verdict, Failure>,
}

#[derive(Debug)]
struct Running {
    question: Question,
    nonce: u64,
    stage: Stage,
    /// Whether dial data was asked for.
    charged: bool,
    seen: Seen,
}

/// What is known of the nonce.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Nobody has brought it.
    Nothing,
    /// It came in on a connection of which our address is not known.
    Somewhere,
    /// It came in at this address of ours.
    At(Multiaddr),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The stream has not taken the question.
    Opening,
    /// An answer is awaited.
    Asked,
    /// So many bytes of dial data are owed.
    Paying(u64),
    /// The answer says that this address was reached; the nonce is awaited.
    Settling(usize),
}

/// Our questions, and the dial backs that prove their answers.
#[derive(Debug)]
pub(crate) struct Questions {
    config: ClientConfig,
    running: BTreeMap<StreamId, Running>,
    /// Streams of others that are to bring a nonce.
    dial_backs: BTreeSet<StreamId>,
    /// When a stream has had its time. One that is in no other table has only to end.
    timers: Timers<StreamId>,
    paid: Log<u64>,
    ended: Vec<Ended>,
}

impl Questions {
    pub(crate) const fn new(config: &ClientConfig) -> Self {
        Self {
            config: *config,
            running: BTreeMap::new(),
            dial_backs: BTreeSet::new(),
            timers: Timers::new(),
            paid: Log::new(BUDGET_WINDOW),
            ended: Vec::new(),
        }
    }

    /// The next question that has ended.
    pub(crate) fn pop_ended(&mut self) -> Option<Ended> {
        self.ended.pop()
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.next().map(|(at, _)| at)
    }

    /// The questions under way.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = &Question> {
        self.running.values().map(|running| &running.question)
    }

    pub(crate) fn dial_backs(&self) -> usize {
        self.dial_backs.len()
    }

    /// Asks a question on a new stream.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, conn: ConnectionId, question: Question) {
        let (spec, timeout) = match question.version {
            Version::V1 => (V1_SPEC, self.config.v1_timeout),
            Version::V2 => (DIAL_REQUEST_SPEC, self.config.v2_timeout),
        };
        let stream = match cx.open(Target::Connection(conn), &[spec]) {
            Ok(stream) => stream,
            Err(error) => {
                let closed = match error {
                    OpenError::TooManyStreams => Closed::Limit,
                    _ => Closed::ConnectionLost,
                };
                let result = Err(Failure::NoAnswer(closed));
                return self.ended.push(Ended { question, result });
            }
        };
        let running = Running {
            question: fitted(question),
            nonce: self.fresh_nonce(cx),
            stage: Stage::Opening,
            charged: false,
            seen: Seen::Nothing,
        };
        self.running.insert(stream, running);
        self.timers.set(stream, cx.now + timeout);
        self.send(cx, stream);
    }

    /// A number that nobody guesses, of no other question, and not 0, which some would leave out.
    fn fresh_nonce(&self, cx: &mut Context<'_>) -> u64 {
        loop {
            let nonce = cx.rng.next_u64();
            if nonce != 0 && self.running.values().all(|running| running.nonce != nonce) {
                return nonce;
            }
        }
    }

    pub(crate) fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Opened { stream, .. } if stream.is_inbound() => self.expect_nonce(cx, stream),
            Input::Opened { stream, .. } | Input::Writable { stream } => self.send(cx, stream),
            Input::Frame { stream, data } if stream.is_inbound() => self.handle_nonce(cx, stream, &data),
            Input::Frame { stream, data } => self.handle_frame(cx, stream, &data),
            Input::Finished { stream } if self.dial_backs.contains(&stream) || self.awaits_answer(stream) => {
                self.fail(cx, stream, Failure::NoAnswer(Closed::UnexpectedEnd));
            }
            Input::Closed { stream, reason } => {
                self.dial_backs.remove(&stream);
                if self.awaits_answer(stream) {
                    self.end(stream, Err(Failure::NoAnswer(reason)));
                }
                if !self.running.contains_key(&stream) {
                    self.timers.clear(stream);
                }
            }
            _ => {}
        }
    }

    /// One stream has had its time.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let Some(stream) = self.timers.pop_due(cx.now) else {
            return;
        };
        let failure = if self.awaits_answer(stream) {
            Failure::NoAnswer(Closed::TimedOut)
        } else {
            Failure::Unproven
        };
        self.fail(cx, stream, failure);
    }

    fn awaits_answer(&self, stream: StreamId) -> bool {
        self.running
            .get(&stream)
            .is_some_and(|running| !matches!(running.stage, Stage::Settling(_)))
    }

    /// Sends what the stream has not taken: the question, or dial data.
    fn send(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        let Some(running) = self.running.get_mut(&stream) else {
            return;
        };
        if matches!(running.stage, Stage::Opening) {
            if cx.write(stream, running.encode(cx.local)).is_ok() {
                running.stage = Stage::Asked;
            }
            return;
        }
        let Stage::Paying(mut left) = running.stage else {
            return;
        };
        let chunk = data(CHUNK);
        while left > 0 {
            let part = left.min(CHUNK);
            let frame = if part == CHUNK { chunk.clone() } else { data(part) };
            if cx.write(stream, frame).is_err() {
                running.stage = Stage::Paying(left);
                return;
            }
            left = left.saturating_sub(part);
        }
        running.stage = Stage::Asked;
    }

    fn handle_frame(&mut self, cx: &mut Context<'_>, stream: StreamId, frame: &Bytes) {
        let Some(running) = self.running.get(&stream) else {
            return;
        };
        match (running.question.version, running.stage) {
            // The first answer counts.
            (_, Stage::Settling(_)) => {}
            (Version::V1, _) => match V1::decode(frame, 0) {
                Ok(V1::Response { status, addr, .. }) => {
                    let result = verdict_v1(&running.question.addrs, status, addr);
                    self.conclude(cx, stream, result);
                }
                _ => self.fail(cx, stream, Failure::BadAnswer),
            },
            (Version::V2, _) => match V2::decode(frame, 0) {
                Ok(V2::DialResponse {
                    status,
                    addr_idx,
                    dial_status,
                }) => self.handle_response(cx, stream, status, addr_idx, dial_status),
                Ok(V2::DialDataRequest { addr_idx, num_bytes }) => self.pay(cx, stream, addr_idx, num_bytes),
                _ => self.fail(cx, stream, Failure::BadAnswer),
            },
        }
    }

    fn handle_response(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        status: ResponseStatus,
        addr_idx: u32,
        dial_status: DialStatus,
    ) {
        let result = match status {
            ResponseStatus::Ok => {
                return self.handle_dialed(cx, stream, place(addr_idx), dial_status);
            }
            ResponseStatus::DialRefused => Failure::Refused,
            ResponseStatus::RequestRejected => Failure::Rejected,
            ResponseStatus::InternalError => Failure::ServerFailed,
            ResponseStatus::Unknown(_) => Failure::BadAnswer,
        };
        self.conclude(cx, stream, Err(result));
    }

    /// The server says that it has dialed, and how that went.
    fn handle_dialed(&mut self, cx: &mut Context<'_>, stream: StreamId, place: usize, status: DialStatus) {
        let Some(running) = self.running.get_mut(&stream) else {
            return;
        };
        let known = running.question.addrs.get(place).is_some();
        let result = match status {
            _ if !known => Err(Failure::BadAnswer),
            // Who brought the nonce has reached us.
            DialStatus::DialError if running.seen != Seen::Nothing => Err(Failure::BadAnswer),
            DialStatus::DialError => Ok(running.verdict(place, false)),
            DialStatus::DialBackError => running.proven(place),
            DialStatus::Ok if running.seen != Seen::Nothing => running.proven(place),
            DialStatus::Ok => {
                running.stage = Stage::Settling(place);
                cx.finish(stream);
                return self.timers.set(stream, cx.now + self.config.nonce_wait);
            }
            DialStatus::Unused | DialStatus::Unknown(_) => Err(Failure::BadAnswer),
        };
        self.conclude(cx, stream, result);
    }

    /// The server wants dial data first.
    fn pay(&mut self, cx: &mut Context<'_>, stream: StreamId, addr_idx: u32, num_bytes: u64) {
        let Some(running) = self.running.get_mut(&stream) else {
            return;
        };
        let addr = running.question.addrs.get(place(addr_idx));
        let in_order = matches!(running.stage, Stage::Asked) && !running.charged;
        let Some(addr) = addr.filter(|_| in_order) else {
            return self.fail(cx, stream, Failure::BadAnswer);
        };
        let weight = num_bytes.max(LEAST_PAYMENT);
        let spent: u64 = self.paid.recent(cx.now).sum();
        let affordable = num_bytes <= self.config.max_data
            && spent.saturating_add(weight) <= self.config.data_budget
            && (self.config.pay)(addr);
        if !affordable {
            return self.fail(cx, stream, Failure::TooCostly);
        }
        self.paid.push(cx.now, weight);
        running.charged = true;
        running.stage = Stage::Paying(num_bytes);
        self.send(cx, stream);
    }

    // ── dial backs ──

    fn expect_nonce(&mut self, cx: &mut Context<'_>, stream: StreamId) {
        if self.dial_backs.len() >= usize::from(self.config.max_dial_backs) {
            return cx.reset(stream);
        }
        self.dial_backs.insert(stream);
        self.timers.set(stream, cx.now + self.config.dial_back_timeout);
    }

    /// A dial back brings what it says is a nonce of ours. Whoever brings it: the nonce alone counts.
    fn handle_nonce(&mut self, cx: &mut Context<'_>, stream: StreamId, frame: &[u8]) {
        if !self.dial_backs.remove(&stream) {
            return;
        }
        let nonce = DialBack::decode(frame).map(|dial_back| dial_back.nonce);
        let wanted = |running: &Running| {
            running.question.version == Version::V2
                && running.seen == Seen::Nothing
                && Ok(running.nonce) == nonce
        };
        let asked = self.running.iter_mut().find(|(_, running)| wanted(running));
        let Some((question, running)) = asked else {
            self.timers.clear(stream);
            return cx.reset(stream);
        };
        let question = *question;
        let local = cx
            .connection_info(stream.conn)
            .and_then(|info| info.local.clone());
        running.seen = local.map_or(Seen::Somewhere, Seen::At);
        let settled = match running.stage {
            Stage::Settling(place) => Some(running.proven(place)),
            _ => None,
        };
        // Who does not get the answer knows from the end of the stream as well.
        let _taken = cx.write(stream, DIAL_BACK_OK);
        cx.finish(stream);
        if let Some(result) = settled {
            self.conclude(cx, question, result);
        }
    }

    // ── ends ──

    /// The question is answered; its stream is given time to end.
    fn conclude(&mut self, cx: &mut Context<'_>, stream: StreamId, result: Result<Verdict, Failure>) {
        cx.finish(stream);
        self.end(stream, result);
        self.timers.set(stream, cx.now + self.config.dial_back_timeout);
    }

    fn fail(&mut self, cx: &mut Context<'_>, stream: StreamId, failure: Failure) {
        cx.reset(stream);
        self.timers.clear(stream);
        self.dial_backs.remove(&stream);
        self.end(stream, Err(failure));
    }

    fn end(&mut self, stream: StreamId, result: Result<Verdict, Failure>) {
        if let Some(Running { question, .. }) = self.running.remove(&stream) {
            self.ended.push(Ended { question, result });
        }
    }
}

impl Running {
    fn encode(&self, local: PeerId) -> Vec<u8> {
        let addrs = self.question.addrs.iter();
        let addrs = addrs
            .map(|addr| Bytes::copy_from_slice(addr.as_bytes()))
            .collect();
        match self.question.version {
            Version::V1 => {
                let peer = Some(Bytes::copy_from_slice(local.as_bytes()));
                V1::Dial { peer, addrs }.encode()
            }
            Version::V2 => {
                let nonce = self.nonce;
                V2::DialRequest { addrs, nonce }.encode()
            }
        }
    }

    fn verdict(&self, place: usize, reachable: bool) -> Verdict {
        let addr = self.question.addrs.get(place).cloned();
        Verdict { addr, reachable }
    }

    /// Reached, if the nonce came in at a listener of the address' kind.
    fn proven(&self, place: usize) -> Result<Verdict, Failure> {
        let tested = self.question.addrs.get(place);
        match (tested, &self.seen) {
            (Some(tested), Seen::At(local)) if same_stack(tested, local) => Ok(self.verdict(place, true)),
            _ => Err(Failure::Unproven),
        }
    }
}

/// The question with as many addresses as every server reads.
fn fitted(mut question: Question) -> Question {
    let mut room = MAX_REQUEST.saturating_sub(REQUEST_FRAME);
    if question.version == Version::V1 {
        question.addrs.truncate(MAX_V1_ADDRS);
    }
    question.addrs.retain(|addr| {
        let left = room.checked_sub(addr.as_bytes().len().saturating_add(ADDR_FRAME));
        room = left.unwrap_or(room);
        left.is_some()
    });
    question
}

/// What an answer of version 1 says. Its address is a claim: kept only if it is one that we asked about, at whatever IP address.
fn verdict_v1(asked: &[Multiaddr], status: Status, addr: Option<Bytes>) -> Result<Verdict, Failure> {
    match status {
        Status::Ok => {
            let claimed = addr.and_then(|addr| Multiaddr::from_bytes(addr).ok());
            let claimed = claimed.and_then(|addr| addr.split_peer_id().0);
            let known = claimed.filter(|claimed| {
                let same = |addr: &&Multiaddr| {
                    *addr == claimed || claimed.ip().and_then(|ip| at_ip(addr, ip)).as_ref() == Some(claimed)
                };
                asked.iter().any(|addr| same(&addr))
            });
            Ok(Verdict {
                addr: known,
                reachable: true,
            })
        }
        Status::DialError => Ok(Verdict {
            addr: None,
            reachable: false,
        }),
        Status::DialRefused => Err(Failure::Refused),
        Status::BadRequest | Status::InternalError => Err(Failure::ServerFailed),
        Status::Unknown(_) => Err(Failure::BadAnswer),
    }
}

fn data(bytes: u64) -> Bytes {
    let len = usize::try_from(bytes).unwrap_or(0);
    let data = alloc::vec![0; len].into();
    V2::DialDataResponse { data }.encode().into()
}

fn place(addr_idx: u32) -> usize {
    usize::try_from(addr_idx).unwrap_or(usize::MAX)
}

//! Those who lie.

use super::{Directory, NAME};
use bytes::Bytes;
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant, Multiaddr, PeerId, Rng, StreamId};
use libp2p_proto_kad::{Contact, Message, MessageType, Record};
use libp2p_proto_stream_protocol::{Context, Dial, Framing, Input, OpenError, Protocol, StreamSpec, Target};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// What a liar does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing.
    Silence,
    /// Names peers that do not exist.
    Invent,
    /// Names liars only, and provides nothing.
    Promote,
    /// Names liars only, and takes eight seconds.
    Slow,
    /// Names providers that do not exist, and values that are old.
    Bogus,
    /// Names a thousand peers that do not exist.
    Huge,
    /// Answers nothing, and announces contents and values of its own to one honest host after the other, so often.
    Spam(Duration),
}

/// The lies of a mixed crowd, all of them answers.
pub const LIES: [Lie; 6] = [
    Lie::Silence,
    Lie::Invent,
    Lie::Promote,
    Lie::Slow,
    Lie::Bogus,
    Lie::Huge,
];

/// A server that lies.
#[derive(Debug)]
pub(super) struct Liar {
    local: PeerId,
    specs: [StreamSpec; 1],
    lie: Lie,
    dice: Rng,
    directory: Rc<RefCell<Directory>>,
    /// Answers that wait.
    later: Vec<(Instant, StreamId, Vec<u8>)>,
    /// Streams of ours to those who are flooded, and what comes next.
    floods: BTreeMap<PeerId, StreamId>,
    turn: usize,
    next: Instant,
}

impl Liar {
    pub(super) fn new(local: PeerId, lie: Lie, dice: Rng, directory: Rc<RefCell<Directory>>) -> Self {
        let framing = Framing::LengthDelimited { max: 512 * 1024 };
        let spec = StreamSpec {
            max_inbound: 64,
            send_capacity: 1 << 20,
            ..StreamSpec::new(NAME, framing)
        };
        Self {
            local,
            specs: [spec],
            lie,
            dice,
            directory,
            later: Vec::new(),
            floods: BTreeMap::new(),
            turn: 0,
            next: Instant::ZERO,
        }
    }

    /// One more content and one more value for the next honest host.
    fn spam(&mut self, cx: &mut Context<'_>) {
        self.turn = self.turn.saturating_add(1);
        let Some(stream) = self.flood(cx) else {
            return;
        };
        let key = Bytes::copy_from_slice(&self.dice.bytes32());
        let name: Bytes = [b"/x/", &key[..]].concat().into();
        let mut add = Message::new(MessageType::AddProvider, key);
        let own = self.directory.borrow().peers.get(&self.local).cloned();
        add.providers.push(Contact {
            peer: self.local,
            addrs: own.into_iter().map(|(addr, _)| addr).collect(),
        });
        let mut put = Message::new(MessageType::PutValue, name.clone());
        put.record = Some(Record {
            key: name,
            value: Bytes::from_static(&[0xff; 8]),
            ..Record::default()
        });
        // What does not fit is left out.
        let _written = cx.write(stream, add.encode());
        let _written = cx.write(stream, put.encode());
    }

    /// The stream to the honest host whose turn it is; the first time around it is dialed.
    fn flood(&mut self, cx: &mut Context<'_>) -> Option<StreamId> {
        let directory = Rc::clone(&self.directory);
        let directory = directory.borrow();
        let places = directory.places.get(..directory.honest)?;
        let peer = *places.get(self.turn.checked_rem(places.len())?)?;
        if let Some(stream) = self.floods.get(&peer) {
            return Some(*stream);
        }
        match cx.open(Target::Peer(peer), &[0]) {
            Ok(stream) => {
                self.floods.insert(peer, stream);
                Some(stream)
            }
            Err(OpenError::NotConnected) => {
                let addr = directory.peers.get(&peer).map(|(addr, _)| addr.clone());
                let dial = Dial {
                    addrs: addr.into_iter().collect(),
                    ..Dial::peer(peer)
                };
                // The next round finds it, or tries again.
                let _dialing = cx.dial(dial);
                None
            }
            Err(_) => None,
        }
    }

    fn invented(&mut self, count: usize) -> Vec<Contact> {
        let dice = &mut self.dice;
        let invent = |_| {
            let [a, b, c, ..] = dice.bytes32();
            Contact {
                peer: PeerId::random(dice),
                addrs: vec![Multiaddr::tcp([46, a, b, c].into(), 4001)],
            }
        };
        (0..count).map(invent).collect()
    }

    fn friends(&mut self) -> Vec<Contact> {
        let directory = Rc::clone(&self.directory);
        let liars = &directory.borrow().liars;
        let bound = u64::try_from(liars.len()).unwrap_or(1).max(1);
        let any = |_| {
            liars
                .get(usize::try_from(self.dice.below(bound)).unwrap_or(0))
                .cloned()
        };
        (0..20).filter_map(any).collect()
    }

    fn answer(&mut self, request: &Message) -> Option<Message> {
        let mut answer = Message::new(request.kind, Bytes::new());
        match request.kind {
            MessageType::AddProvider => return None,
            // It keeps nothing, and says that it did.
            MessageType::PutValue => answer.record.clone_from(&request.record),
            _ => {}
        }
        match self.lie {
            Lie::Silence | Lie::Spam(_) => return None,
            Lie::Invent => answer.closer = self.invented(20),
            Lie::Promote | Lie::Slow => answer.closer = self.friends(),
            Lie::Huge => answer.closer = self.invented(1000),
            Lie::Bogus => {
                answer.closer = self.friends();
                answer.providers = self.invented(20);
                if request.kind == MessageType::GetValue {
                    answer.record = Some(Record {
                        key: request.key.clone(),
                        value: Bytes::from_static(&[0; 8]),
                        ..Record::default()
                    });
                }
            }
        }
        Some(answer)
    }
}

impl Protocol for Liar {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Frame { stream, data } if stream.is_inbound() => {
                let request = Message::decode(&data, 4 << 20, 100).ok();
                let Some(answer) = request.and_then(|request| self.answer(&request)) else {
                    return;
                };
                let wait = if self.lie == Lie::Slow { 8 } else { 0 };
                self.later
                    .push((cx.now + Duration::from_secs(wait), stream, answer.encode()));
            }
            Input::Finished { stream } => cx.finish(stream),
            Input::Closed { stream, .. } => self.floods.retain(|_, other| *other != stream),
            Input::Timeout => {}
            _ => return,
        }
        let now = cx.now;
        let due = |(at, ..): &(Instant, StreamId, Vec<u8>)| *at <= now;
        while let Some(place) = self.later.iter().position(due) {
            let (_, stream, answer) = self.later.remove(place);
            let _gone = cx.write(stream, answer);
        }
        if let Lie::Spam(gap) = self.lie {
            let begin = self.directory.borrow().begin;
            self.next = self.next.max(begin);
            while self.next <= now {
                self.next = self.next + gap.max(Duration::from_millis(1));
                self.spam(cx);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let spam = matches!(self.lie, Lie::Spam(_)).then_some(self.next);
        let next = self.later.iter().map(|(at, ..)| *at).chain(spam).min();
        next.map(|at| Deadline::new(at, "lie"))
    }
}

//! What we answer others.

use crate::{
    Contact, Invalid, Kad, Key, Malformed, Message, MessageType, Record, StoredProvider, StoredValue,
    address::Group,
    kad::{MAX_KEY, MAX_PROVIDER_KEY},
    rfc3339,
};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{Instant, PeerId, StreamId, UnixTime};
use libp2p_proto_stream_protocol::Context;

/// Why a value is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unkept {
    Invalid(Invalid),
    /// A better one is there.
    Older,
    /// The store has no room for it.
    NoRoom,
}

impl Kad {
    /// Serves one request: an answer, none, or the end of the stream.
    pub(crate) fn serve(&mut self, cx: &mut Context<'_>, stream: StreamId, peer: PeerId, data: &[u8]) {
        let answer = Message::decode(data, self.config.max_message, 0)
            .and_then(|request| self.respond(cx, stream, peer, request));
        let counter = if let Ok(answer) = answer {
            let frame = answer.map(|answer| Bytes::from(answer.encode_within(self.config.max_sent)));
            self.server.answer(cx, &self.config, stream, frame);
            &mut self.stats.requests_served
        } else {
            self.server.refuse(cx, stream);
            &mut self.stats.requests_refused
        };
        *counter = counter.saturating_add(1);
    }

    fn respond(
        &mut self,
        cx: &mut Context<'_>,
        stream: StreamId,
        peer: PeerId,
        request: Message,
    ) -> Result<Option<Message>, Malformed> {
        let (kind, key) = (request.kind, request.key.clone());
        let most = match kind {
            MessageType::Ping => return Ok(Some(Message::new(MessageType::Ping, Bytes::new()))),
            MessageType::AddProvider | MessageType::GetProviders => MAX_PROVIDER_KEY,
            _ => MAX_KEY,
        };
        if key.is_empty() || key.len() > most {
            return Err(Malformed::BadKey);
        }
        let mut answer = Message::new(kind, key.clone());
        match kind {
            MessageType::PutValue => answer.record = Some(self.take_value(cx, &key, request.record)?),
            MessageType::AddProvider => {
                self.take_provider(cx, stream, peer, &key, request.providers)?;
                return Ok(None);
            }
            MessageType::GetValue => {
                answer.record = self.stored_value(cx, &key);
                answer.closer = self.told_closest(&Key::of(&key), &peer);
            }
            MessageType::GetProviders => {
                answer.closer = self.told_closest(&Key::of(&key), &peer);
                answer.providers = self.told_providers(cx, &key);
            }
            MessageType::FindNode => {
                answer.key = Bytes::new();
                answer.closer = self.told_closest(&Key::of(&key), &peer);
                let target = PeerId::from_bytes(&key)
                    .ok()
                    .and_then(|target| self.told_target(cx.now, target));
                if let Some(target) = target {
                    answer.closer.retain(|contact| contact.peer != target.peer);
                    answer.closer.insert(0, target);
                }
            }
            MessageType::Ping => {}
        }
        Ok(Some(answer))
    }

    /// The peers of the table that are nearest to a key, with the addresses that this network tells; neither the one who asks nor any without addresses.
    fn told_closest(&self, target: &Key, asker: &PeerId) -> Vec<Contact> {
        let told = self.filters.told;
        let has_told = |addrs: &[_]| addrs.iter().any(told);
        let nearest = self.table.closest(target, self.config.replication, |known| {
            known.peer != *asker && has_told(&known.addrs)
        });
        let contact = |known: &crate::Neighbour| Contact {
            peer: known.peer,
            addrs: known.addrs.iter().filter(|addr| told(addr)).cloned().collect(),
        };
        nearest.into_iter().map(contact).collect()
    }

    /// The peer that is asked for, if we know where it is: whoever it is, and at whatever addresses.
    fn told_target(&self, now: Instant, target: PeerId) -> Option<Contact> {
        let mut addrs = if target == self.local {
            self.ourselves.addrs(|_| true)
        } else {
            self.addrs_of(&target)
        };
        if addrs.is_empty() {
            addrs.extend_from_slice(self.server.client(now, &target));
        }
        (!addrs.is_empty()).then_some(Contact { peer: target, addrs })
    }

    /// The value that is stored under a key, if it is not too old; a value that is, is forgotten.
    pub(crate) fn stored_value(&mut self, cx: &Context<'_>, key: &[u8]) -> Option<Record> {
        let stored = self.store.value(key)?;
        let old = cx.now.since(stored.stored) > self.config.value_age;
        let judged = |unix: UnixTime| self.config.validators.validate(unix, key, &stored.record.value);
        if old || stored.record.key != key || judged(cx.unix).is_err() {
            self.store.remove_value(key);
            return None;
        }
        Some(Record {
            received: Some(rfc3339::format(stored.received)),
            ..stored.record
        })
    }

    /// Stores a value of another peer if it is valid and better than ours. Answers the record as it came.
    fn take_value(
        &mut self,
        cx: &Context<'_>,
        key: &Bytes,
        record: Option<Record>,
    ) -> Result<Record, Malformed> {
        let record = record
            .filter(|record| record.key == *key)
            .ok_or(Malformed::BadRecord)?;
        self.keep_value(cx, &record).map_err(|_| Malformed::BadRecord)?;
        Ok(Record {
            received: None,
            ..record
        })
    }

    /// Judges, compares and stores a value, under our own time.
    pub(crate) fn keep_value(&mut self, cx: &Context<'_>, record: &Record) -> Result<(), Unkept> {
        let validators = &self.config.validators;
        validators
            .validate(cx.unix, &record.key, &record.value)
            .map_err(Unkept::Invalid)?;
        if let Some(known) = self.stored_value(cx, &record.key) {
            let better = self
                .config
                .validators
                .of(&record.key)
                .is_ok_and(|validator| validator.is_better(&record.key, &record.value, &known.value));
            if !better && known.value != record.value {
                return Err(Unkept::Older);
            }
        }
        let stored = StoredValue {
            record: Record {
                key: record.key.clone(),
                value: record.value.clone(),
                ..Record::default()
            },
            stored: cx.now,
            received: cx.unix,
        };
        self.store.put_value(stored).map_err(|_| Unkept::NoRoom)
    }

    /// Stores that a peer provides a content, by its own word only.
    fn take_provider(
        &mut self,
        cx: &Context<'_>,
        stream: StreamId,
        peer: PeerId,
        key: &Bytes,
        named: Vec<Contact>,
    ) -> Result<(), Malformed> {
        let own = named
            .into_iter()
            .find(|contact| contact.peer == peer && !contact.addrs.is_empty());
        let own = own.ok_or(Malformed::BadRecord)?;
        let told = |addr: &_| (self.filters.told)(addr) || (self.filters.own)(addr);
        let remote = cx.connection_info(stream.conn).map(|info| &info.remote);
        let source = remote.and_then(Group::of);
        let provider = StoredProvider {
            peer,
            addrs: own.addrs.into_iter().filter(told).collect(),
            source: source.map(|group| Bytes::copy_from_slice(group.as_bytes())),
            stored: cx.now,
        };
        // A full store is no fault of the peer, and there is nothing to tell it.
        let _full = self.store.add_provider(key, provider);
        Ok(())
    }

    /// The providers of a content that we tell, in random order; we are one of them if we said so.
    pub(crate) fn told_providers(&mut self, cx: &mut Context<'_>, key: &Bytes) -> Vec<Contact> {
        let mut told: Vec<Contact> = Vec::new();
        if self.upkeep.provides(key) || self.sweep.provides(key) {
            told.push(Contact {
                peer: self.local,
                addrs: self.ourselves.addrs(self.filters.own),
            });
        }
        for provider in self.store.providers(key) {
            let age = cx.now.since(provider.stored);
            if age > self.config.provider_age {
                continue;
            }
            let addrs = if age > self.config.provider_addr_age {
                let mut addrs = self.addrs_of(&provider.peer);
                addrs.retain(self.filters.told);
                addrs
            } else {
                provider.addrs
            };
            told.push(Contact {
                peer: provider.peer,
                addrs,
            });
        }
        shuffle(&mut told, cx);
        told
    }
}

/// Fisher and Yates.
pub(crate) fn shuffle<T>(list: &mut [T], cx: &mut Context<'_>) {
    for last in (1..list.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let other = usize::try_from(cx.rng.below(bound)).unwrap_or(0);
        list.swap(last, other);
    }
}

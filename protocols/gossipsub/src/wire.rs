//! The RPC envelope of every version, in protobuf.

use crate::{MessageId, Topic};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{
    Fault,
    protobuf::{Field, Limits, ProtobufError, Reader, Value, Writer, encode},
};

const SUBSCRIPTIONS: u32 = 1;
const PUBLISH: u32 = 2;
const CONTROL: u32 = 3;
const PARTIAL: u32 = 10;
const TEST_EXTENSION: u32 = 6_492_434;
/// Experimental numbers of ours: those of the draft, 6 and 7, are taken.
const CHOKE_EXTENSION: u32 = 5_316_721;
const CHOKE: u32 = 5_316_722;
const UNCHOKE: u32 = 5_316_723;

const TOPIC: u32 = 1;
const IDS_OF_IHAVE: u32 = 2;
const IDS: u32 = 1;

/// What may be in one RPC. Checked on the raw bytes, before a collection is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Published messages. Default 5 000.
    pub messages: usize,
    /// Subscriptions. Default 1 024.
    pub subscriptions: usize,
    /// Bytes of subscriptions and control together. Default 256 KiB: go sends 240 000 bytes in one IHAVE of 5 000 ids.
    pub control: usize,
    /// Control entries (IHAVE, IWANT, GRAFT, PRUNE, IDONTWANT) together. Default 4 096.
    pub entries: usize,
    /// Message ids of all entries together. Default 8 192.
    pub ids: usize,
    /// Peers of one PRUNE that are read; the rest is skipped. Default 16, as go and js.
    pub px_peers: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            messages: 5000,
            subscriptions: 1024,
            control: 256 * 1024,
            entries: 4096,
            ids: 8192,
            px_peers: 16,
        }
    }
}

/// Why an RPC was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It is no protobuf.
    #[error("malformed: {0}")]
    Malformed(ProtobufError),
    /// More messages than the limit.
    #[error("too many messages")]
    TooManyMessages,
    /// More subscriptions than the limit.
    #[error("too many subscriptions")]
    TooManySubscriptions,
    /// More bytes of control and subscriptions than the limit.
    #[error("too many bytes of control")]
    ControlTooLarge,
    /// More control entries than the limit.
    #[error("too many control entries")]
    TooManyEntries,
    /// More message ids than the limit.
    #[error("too many message ids")]
    TooManyIds,
}

impl WireError {
    /// Whom the error accuses.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Malformed(error) => error.fault(),
            _ => Fault::Limit,
        }
    }
}

impl From<ProtobufError> for WireError {
    fn from(error: ProtobufError) -> Self {
        Self::Malformed(error)
    }
}

/// Everything that one frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rpc {
    /// Topics that the sender joins or leaves, in order.
    pub subscriptions: Vec<Subscription>,
    /// Messages.
    pub publish: Vec<Message>,
    /// Control; absent where the field is absent.
    pub control: Option<Control>,
    /// Parts of a message, or what is known of them.
    pub partial: Option<Partial>,
    /// The message of the test extension.
    pub test_extension: bool,
}

/// A topic that the sender joins or leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whether it joins. Absent on the wire: false.
    pub subscribe: bool,
    /// The topic.
    pub topic: Topic,
    /// Whether the sender wants parts instead of whole messages. `None`: absent on the wire.
    pub requests_partial: Option<bool>,
    /// Whether the sender can answer with parts. `None`: absent on the wire.
    pub supports_partial: Option<bool>,
}

/// A published message as it is on the wire. Presence counts: `Some` of nothing is not `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The author's peer id, in binary.
    pub from: Option<Bytes>,
    /// The payload.
    pub data: Option<Bytes>,
    /// The sequence number: 8 bytes, big endian.
    pub seqno: Option<Bytes>,
    /// The topic; `None` also if it is not UTF-8.
    pub topic: Option<Topic>,
    /// The signature.
    pub signature: Option<Bytes>,
    /// The author's public key in protobuf.
    pub key: Option<Bytes>,
    /// Fields that this version doesn't know, as they came.
    pub unknown: Bytes,
}

/// The control part of an RPC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Messages that the sender has.
    pub ihave: Vec<IHave>,
    /// Messages that the sender asks for.
    pub iwant: Vec<Vec<MessageId>>,
    /// Topics in whose mesh the sender puts us.
    pub graft: Vec<Topic>,
    /// Topics out of whose mesh the sender puts us.
    pub prune: Vec<Prune>,
    /// Messages that the sender doesn't want.
    pub idontwant: Vec<Vec<MessageId>>,
    /// Extensions that the sender speaks.
    pub extensions: Option<Extensions>,
    /// Topics of which the sender wants to be told, and not sent, what we have: a draft.
    pub choke: Vec<Topic>,
    /// Topics of which it wants to be sent messages again.
    pub unchoke: Vec<Topic>,
}

/// Messages of a topic that the sender has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IHave {
    /// The topic.
    pub topic: Topic,
    /// The messages.
    pub ids: Vec<MessageId>,
}

/// The sender takes us out of its mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// The topic.
    pub topic: Topic,
    /// Other peers of the topic.
    pub peers: Vec<PeerInfo>,
    /// Seconds for which we must not graft it again.
    pub backoff: Option<u64>,
}

/// A peer of a PRUNE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its id, in binary.
    pub peer_id: Option<Bytes>,
    /// An envelope with its signed record.
    pub record: Option<Bytes>,
}

/// What a peer speaks beyond the protocol itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Partial messages.
    pub partial_messages: Option<bool>,
    /// The test extension.
    pub test_extension: Option<bool>,
    /// CHOKE and UNCHOKE, a draft.
    pub choke: Option<bool>,
}

/// Parts of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The topic.
    pub topic: Option<Topic>,
    /// The message whose parts these are.
    pub group: Option<Bytes>,
    /// Parts.
    pub parts: Option<Bytes>,
    /// Which parts the sender has and wants.
    pub metadata: Option<Bytes>,
}

/// What has been read of an RPC, against the limits.
struct Counts<'a> {
    frame: &'a Bytes,
    limits: &'a WireLimits,
    entries: usize,
    ids: usize,
}

impl Rpc {
    /// Reads a frame. Slices of it are shared, not copied. Entries without a topic, or with one that is not UTF-8, are dropped; a field of another wire type
    /// than its own counts as unknown.
    ///
    /// # Errors
    ///
    /// See [`WireError`].
    pub fn decode(frame: &Bytes, limits: &WireLimits) -> Result<Self, WireError> {
        scan(frame, limits)?;
        let mut rpc = Self::default();
        let mut counts = Counts {
            frame,
            limits,
            entries: 0,
            ids: 0,
        };
        let mut reader = reader(frame);
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (SUBSCRIPTIONS, Value::Bytes(entry)) => {
                    rpc.subscriptions
                        .extend(Subscription::read(reader.nested(entry)?)?);
                }
                (PUBLISH, Value::Bytes(entry)) => rpc.publish.push(Message::read(frame, entry)?),
                (CONTROL, Value::Bytes(entry)) => {
                    let control = rpc.control.get_or_insert_default();
                    control.read(reader.nested(entry)?, &mut counts)?;
                }
                (PARTIAL, Value::Bytes(entry)) => {
                    let partial = rpc.partial.get_or_insert_default();
                    partial.read(frame, reader.nested(entry)?)?;
                }
                (TEST_EXTENSION, Value::Bytes(_)) => rpc.test_extension = true,
                _ => {}
            }
        }
        Ok(rpc)
    }

    /// The encoded frame, without its length prefix; fields in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            for subscription in &self.subscriptions {
                writer.bytes(SUBSCRIPTIONS, &subscription.encode());
            }
            for message in &self.publish {
                writer.bytes(PUBLISH, &message.encode());
            }
            if let Some(control) = &self.control {
                writer.bytes(CONTROL, &control.encode());
            }
            if let Some(partial) = &self.partial {
                writer.bytes(PARTIAL, &partial.encode());
            }
            if self.test_extension {
                writer.bytes(TEST_EXTENSION, &[]);
            }
        })
    }
}

/// Counts before anything is built.
fn scan(frame: &Bytes, limits: &WireLimits) -> Result<(), WireError> {
    let (mut messages, mut subscriptions, mut control) = (0_usize, 0_usize, 0_usize);
    let mut reader = reader(frame);
    while let Some(field) = reader.next_field()? {
        let Value::Bytes(bytes) = field.value else {
            continue;
        };
        match field.number {
            SUBSCRIPTIONS => {
                subscriptions = subscriptions.saturating_add(1);
                control = control.saturating_add(bytes.len());
            }
            PUBLISH => messages = messages.saturating_add(1),
            CONTROL => control = control.saturating_add(bytes.len()),
            _ => {}
        }
        if messages > limits.messages {
            return Err(WireError::TooManyMessages);
        }
        if subscriptions > limits.subscriptions {
            return Err(WireError::TooManySubscriptions);
        }
        if control > limits.control {
            return Err(WireError::ControlTooLarge);
        }
    }
    Ok(())
}

/// The framing has bounded the bytes already.
const fn reader(message: &[u8]) -> Reader<'_> {
    Reader::new(
        message,
        Limits {
            bytes: usize::MAX,
            fields: 16_384,
            depth: 4,
        },
    )
}

/// Text of a topic, if it is one.
fn topic(bytes: &[u8]) -> Option<Topic> {
    core::str::from_utf8(bytes).ok().map(Topic::new)
}

impl Subscription {
    /// Joining or leaving, without a word on parts.
    pub const fn new(topic: Topic, subscribe: bool) -> Self {
        Self {
            subscribe,
            topic,
            requests_partial: None,
            supports_partial: None,
        }
    }

    fn read(mut reader: Reader<'_>) -> Result<Option<Self>, WireError> {
        let (mut subscribe, mut name, mut requests, mut supports) = (false, None, None, None);
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (1, Value::Varint(value)) => subscribe = value != 0,
                (2, Value::Bytes(bytes)) => name = topic(bytes),
                (3, Value::Varint(value)) => requests = Some(value != 0),
                (4, Value::Varint(value)) => supports = Some(value != 0),
                _ => {}
            }
        }
        Ok(name.map(|topic| Self {
            subscribe,
            topic,
            requests_partial: requests,
            supports_partial: supports,
        }))
    }

    fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            writer.varint(1, u64::from(self.subscribe));
            writer.string(2, self.topic.as_str());
            if let Some(value) = self.requests_partial {
                writer.varint(3, u64::from(value));
            }
            if let Some(value) = self.supports_partial {
                writer.varint(4, u64::from(value));
            }
        })
    }
}

impl Message {
    /// Reads one message; the last of a repeated field counts.
    fn read(frame: &Bytes, entry: &[u8]) -> Result<Self, WireError> {
        let mut message = Self::default();
        let mut unknown = Vec::new();
        let mut reader = reader(entry);
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => message.from = Some(frame.slice_ref(bytes)),
                (2, Value::Bytes(bytes)) => message.data = Some(frame.slice_ref(bytes)),
                (3, Value::Bytes(bytes)) => message.seqno = Some(frame.slice_ref(bytes)),
                (4, Value::Bytes(bytes)) => message.topic = topic(bytes),
                (5, Value::Bytes(bytes)) => message.signature = Some(frame.slice_ref(bytes)),
                (6, Value::Bytes(bytes)) => message.key = Some(frame.slice_ref(bytes)),
                _ => keep(&mut unknown, field),
            }
        }
        message.unknown = Bytes::from(unknown);
        Ok(message)
    }

    /// The encoded message, known fields in ascending order, unknown ones behind them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, true);
        out
    }

    /// Appends the fields; signature and key only if `whole`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, whole: bool) {
        let mut writer = Writer::new(out);
        let name = self.topic.as_ref().map(|topic| topic.as_str().as_bytes());
        let fields = [
            (1, self.from.as_deref()),
            (2, self.data.as_deref()),
            (3, self.seqno.as_deref()),
            (4, name),
            (5, self.signature.as_deref().filter(|_| whole)),
            (6, self.key.as_deref().filter(|_| whole)),
        ];
        for (number, value) in fields {
            if let Some(value) = value {
                writer.bytes(number, value);
            }
        }
        out.extend_from_slice(&self.unknown);
    }

    /// The frame that publishes this message alone: what every receiver shares.
    pub fn to_frame(&self) -> Bytes {
        let body = self.encode();
        Bytes::from(encode(|writer| writer.bytes(PUBLISH, &body)))
    }

    /// The message of a frame made by [`to_frame`](Self::to_frame), with its fields as slices of that frame.
    pub(crate) fn of_frame(frame: &Bytes) -> Option<Self> {
        let mut rpc = Rpc::decode(frame, &WireLimits::default()).ok()?;
        rpc.publish.pop()
    }
}

/// Keeps a field that this version doesn't know.
fn keep(out: &mut Vec<u8>, field: Field<'_>) {
    let mut writer = Writer::new(out);
    match field.value {
        Value::Varint(value) => writer.varint(field.number, value),
        Value::Bytes(bytes) => writer.bytes(field.number, bytes),
        Value::Fixed64(value) => fixed(out, field.number, 1, &value.to_le_bytes()),
        Value::Fixed32(value) => fixed(out, field.number, 5, &value.to_le_bytes()),
    }
}

/// A field of fixed length: its tag is written as a number of field 0, of which the first byte is taken off.
fn fixed(out: &mut Vec<u8>, number: u32, wire_type: u64, value: &[u8]) {
    let mut tag = Vec::new();
    Writer::new(&mut tag).varint(1, u64::from(number).wrapping_shl(3) | wire_type);
    out.extend_from_slice(tag.get(1..).unwrap_or_default());
    out.extend_from_slice(value);
}

impl Counts<'_> {
    fn entry(&mut self) -> Result<(), WireError> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > self.limits.entries {
            return Err(WireError::TooManyEntries);
        }
        Ok(())
    }

    /// Ids of one entry; an empty id is no id.
    fn id(&mut self, bytes: &[u8], ids: &mut Vec<MessageId>) -> Result<(), WireError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.ids = self.ids.saturating_add(1);
        if self.ids > self.limits.ids {
            return Err(WireError::TooManyIds);
        }
        ids.push(MessageId::from(self.frame.slice_ref(bytes)));
        Ok(())
    }

    fn ids(&mut self, mut reader: Reader<'_>) -> Result<Vec<MessageId>, WireError> {
        let mut ids = Vec::new();
        while let Some(field) = reader.next_field()? {
            if let (IDS, Value::Bytes(bytes)) = (field.number, field.value) {
                self.id(bytes, &mut ids)?;
            }
        }
        Ok(ids)
    }

    fn ihave(&mut self, mut reader: Reader<'_>) -> Result<Option<IHave>, WireError> {
        let (mut name, mut ids) = (None, Vec::new());
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (TOPIC, Value::Bytes(bytes)) => name = topic(bytes),
                (IDS_OF_IHAVE, Value::Bytes(bytes)) => self.id(bytes, &mut ids)?,
                _ => {}
            }
        }
        Ok(name.map(|topic| IHave { topic, ids }))
    }

    fn prune(&mut self, mut reader: Reader<'_>) -> Result<Option<Prune>, WireError> {
        let (mut name, mut peers, mut backoff) = (None, Vec::new(), None);
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (TOPIC, Value::Bytes(bytes)) => name = topic(bytes),
                (2, Value::Bytes(bytes)) if peers.len() < self.limits.px_peers => {
                    peers.push(PeerInfo::read(self.frame, reader.nested(bytes)?)?);
                }
                (3, Value::Varint(value)) => backoff = Some(value),
                _ => {}
            }
        }
        Ok(name.map(|topic| Prune {
            topic,
            peers,
            backoff,
        }))
    }
}

impl Control {
    fn read(&mut self, mut reader: Reader<'_>, counts: &mut Counts<'_>) -> Result<(), WireError> {
        while let Some(field) = reader.next_field()? {
            let Value::Bytes(entry) = field.value else {
                continue;
            };
            if field.number <= 5 || matches!(field.number, CHOKE | UNCHOKE) {
                counts.entry()?;
            }
            let nested = reader.nested(entry)?;
            match field.number {
                1 => self.ihave.extend(counts.ihave(nested)?),
                2 => self.iwant.push(counts.ids(nested)?),
                3 => self.graft.extend(graft(nested)?),
                4 => self.prune.extend(counts.prune(nested)?),
                5 => self.idontwant.push(counts.ids(nested)?),
                6 => self.extensions.get_or_insert_default().read(nested)?,
                CHOKE => self.choke.extend(graft(nested)?),
                UNCHOKE => self.unchoke.extend(graft(nested)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            for entry in &self.ihave {
                let body = encode(|writer| {
                    writer.string(TOPIC, entry.topic.as_str());
                    for id in &entry.ids {
                        writer.bytes(IDS_OF_IHAVE, id.as_bytes());
                    }
                });
                writer.bytes(1, &body);
            }
            for ids in &self.iwant {
                writer.bytes(2, &encode_ids(ids));
            }
            for topic in &self.graft {
                writer.bytes(3, &encode(|writer| writer.string(TOPIC, topic.as_str())));
            }
            for prune in &self.prune {
                writer.bytes(4, &prune.encode());
            }
            for ids in &self.idontwant {
                writer.bytes(5, &encode_ids(ids));
            }
            if let Some(extensions) = &self.extensions {
                writer.bytes(6, &extensions.encode());
            }
            for (number, topics) in [(CHOKE, &self.choke), (UNCHOKE, &self.unchoke)] {
                for topic in topics {
                    writer.bytes(number, &encode(|writer| writer.string(TOPIC, topic.as_str())));
                }
            }
        })
    }
}

fn graft(mut reader: Reader<'_>) -> Result<Option<Topic>, WireError> {
    let mut name = None;
    while let Some(field) = reader.next_field()? {
        if let (TOPIC, Value::Bytes(bytes)) = (field.number, field.value) {
            name = topic(bytes);
        }
    }
    Ok(name)
}

fn encode_ids(ids: &[MessageId]) -> Vec<u8> {
    encode(|writer| {
        for id in ids {
            writer.bytes(IDS, id.as_bytes());
        }
    })
}

impl Prune {
    fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            writer.string(TOPIC, self.topic.as_str());
            for peer in &self.peers {
                let body = encode(|writer| {
                    if let Some(id) = &peer.peer_id {
                        writer.bytes(1, id);
                    }
                    if let Some(record) = &peer.record {
                        writer.bytes(2, record);
                    }
                });
                writer.bytes(2, &body);
            }
            if let Some(backoff) = self.backoff {
                writer.varint(3, backoff);
            }
        })
    }
}

impl PeerInfo {
    fn read(frame: &Bytes, mut reader: Reader<'_>) -> Result<Self, WireError> {
        let mut info = Self::default();
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => info.peer_id = Some(frame.slice_ref(bytes)),
                (2, Value::Bytes(bytes)) => info.record = Some(frame.slice_ref(bytes)),
                _ => {}
            }
        }
        Ok(info)
    }
}

impl Extensions {
    /// Field numbers: canonical ones are small, experimental ones at least 0x200000.
    const PARTIAL_MESSAGES: u32 = 10;

    fn read(&mut self, mut reader: Reader<'_>) -> Result<(), WireError> {
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (Self::PARTIAL_MESSAGES, Value::Varint(value)) => self.partial_messages = Some(value != 0),
                (TEST_EXTENSION, Value::Varint(value)) => self.test_extension = Some(value != 0),
                (CHOKE_EXTENSION, Value::Varint(value)) => self.choke = Some(value != 0),
                _ => {}
            }
        }
        Ok(())
    }

    fn encode(self) -> Vec<u8> {
        encode(|writer| {
            if let Some(value) = self.partial_messages {
                writer.varint(Self::PARTIAL_MESSAGES, u64::from(value));
            }
            if let Some(value) = self.test_extension {
                writer.varint(TEST_EXTENSION, u64::from(value));
            }
            if let Some(value) = self.choke {
                writer.varint(CHOKE_EXTENSION, u64::from(value));
            }
        })
    }
}

impl Partial {
    fn read(&mut self, frame: &Bytes, mut reader: Reader<'_>) -> Result<(), WireError> {
        while let Some(field) = reader.next_field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(bytes)) => self.topic = topic(bytes),
                (2, Value::Bytes(bytes)) => self.group = Some(frame.slice_ref(bytes)),
                (3, Value::Bytes(bytes)) => self.parts = Some(frame.slice_ref(bytes)),
                (4, Value::Bytes(bytes)) => self.metadata = Some(frame.slice_ref(bytes)),
                _ => {}
            }
        }
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        encode(|writer| {
            if let Some(topic) = &self.topic {
                writer.string(1, topic.as_str());
            }
            for (number, value) in [(2, &self.group), (3, &self.parts), (4, &self.metadata)] {
                if let Some(value) = value {
                    writer.bytes(number, value);
                }
            }
        })
    }
}

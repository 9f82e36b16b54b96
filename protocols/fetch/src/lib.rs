#![doc = include_str!("../README.md")]
#![no_std]

use core::time::Duration;
use libp2p_proto_core::protobuf::{Value, decode, encode};
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, bytes::Bytes};
use libp2p_proto_stream_protocol::{Closed, Context, Exchanges, Framing, Input, Protocol, StreamSpec};

/// `/libp2p/fetch/0.0.1`.
pub const NAME: ProtocolName = ProtocolName::from_static("/libp2p/fetch/0.0.1");

/// What a fetch ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The value of the key.
    Value(Bytes),
    /// The peer has no value for the key.
    NotFound,
    /// The peer answers with this error status.
    Error(u64),
    /// There is no answer.
    Failed(Closed),
}

/// Asks peers for values, and answers out of a lookup.
#[derive(Debug)]
pub struct Fetch(Exchanges<()>, fn(&str) -> Option<Bytes>);

impl Fetch {
    /// Answers every key out of `lookup`. At most 384 KiB a message, 10 s an exchange, 256 questions, two of them at once to one peer: so many answers fit
    /// the unread budget of a connection side by side (see `StreamLimits::unread`).
    pub fn new(lookup: fn(&str) -> Option<Bytes>) -> Self {
        let framing = Framing::LengthDelimited { max: 384 * 1024 };
        let mut spec = StreamSpec::new(NAME, framing);
        spec.max_outbound = 2;
        Self(Exchanges::new(spec, Duration::from_secs(10), 256), lookup)
    }

    /// Asks a connected peer for the value of `key`; one event follows.
    ///
    /// # Errors
    ///
    /// [`Closed::Limit`] while 256 questions are open, or their answers unread.
    pub fn fetch(&mut self, peer: PeerId, key: &str) -> Result<(), Closed> {
        self.0.ask(peer, (), encode(|out| out.string(1, key)))
    }

    /// The oldest answer.
    pub fn poll_event(&mut self) -> Option<(PeerId, Answer)> {
        let end = self.0.poll_answer()?;
        let answer = match end.result.and_then(|data| read(&data)) {
            Ok((0, value)) => Answer::Value(value),
            Ok((1, _)) => Answer::NotFound,
            Ok((status, _)) => Answer::Error(status),
            Err(reason) => Answer::Failed(reason),
        };
        Some((end.peer, answer))
    }
}

impl Protocol for Fetch {
    fn specs(&self) -> &[StreamSpec] {
        self.0.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if let Some((stream, request)) = self.0.handle(cx, input) {
            match read(&request).map(|(_, key)| core::str::from_utf8(&key).map(self.1)) {
                Ok(Ok(Some(value))) => self.0.answer(cx, stream, encode(|out| out.bytes(2, &value))),
                Ok(Ok(None)) => self.0.answer(cx, stream, encode(|out| out.varint(1, 1))),
                _ => cx.reset(stream),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0.poll_timeout()
    }
}

/// The number and the bytes of a message: a request has its key in field 1, a response its status in field 1 and the value in field 2.
fn read(message: &[u8]) -> Result<(u64, Bytes), Closed> {
    let read = decode::<(u64, Bytes)>(message, |(number, bytes), at| match (at.number, at.value) {
        (1, Value::Varint(value)) => *number = value,
        (1 | 2, Value::Bytes(value)) => *bytes = Bytes::copy_from_slice(value),
        _ => {}
    });
    read.map_err(|_| Closed::Malformed)
}

#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

use alloc::string::String;
use core::time::Duration;
use libp2p_proto_core::protobuf::{Value, decode, encode};
use libp2p_proto_core::{Deadline, PeerId, ProtocolName, bytes::Bytes};
use libp2p_proto_stream_protocol::{
    BadCommand, Closed, Context, Exchanges, Framing, Input, Journal, Protocol, StreamSpec, commands,
};

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

commands! {
    /// What an application asks of [`Fetch`].
    pub enum Command {
        /// [`Fetch::fetch`].
        "fetch" => Fetch {
            /// Whom.
            peer: PeerId,
            /// What for.
            key: String,
        },
        /// [`Fetch::poll_event`].
        "poll" => Poll,
    }
}

/// Asks peers for values, and answers out of a lookup.
#[derive(Debug)]
pub struct Fetch {
    exchanges: Exchanges<()>,
    lookup: fn(&str) -> Option<Bytes>,
    journal: Journal,
}

impl Fetch {
    /// Answers every key out of `lookup`. At most 384 KiB a message, 10 s an exchange, 256 questions, two of them at once to one peer: so many answers fit
    /// the unread budget of a connection side by side (see `StreamLimits::unread`).
    pub fn new(lookup: fn(&str) -> Option<Bytes>) -> Self {
        let framing = Framing::LengthDelimited { max: 384 * 1024 };
        let mut spec = StreamSpec::new(NAME, framing);
        spec.max_outbound = 2;
        Self {
            exchanges: Exchanges::new(spec, Duration::from_secs(10), 256),
            lookup,
            journal: Journal::new(),
        }
    }

    /// Asks a connected peer for the value of `key`; one event follows.
    ///
    /// # Errors
    ///
    /// [`Closed::Limit`] while 256 questions are open, or their answers unread.
    pub fn fetch(&mut self, peer: PeerId, key: &str) -> Result<(), Closed> {
        self.journal.note(|| Command::Fetch {
            peer,
            key: key.into(),
        });
        self.exchanges.ask(peer, (), encode(|out| out.string(1, key)))
    }

    /// The oldest answer.
    pub fn poll_event(&mut self) -> Option<(PeerId, Answer)> {
        let end = self.exchanges.poll_answer()?;
        let answer = match end.result.and_then(|data| read(&data)) {
            Ok((0, value)) => Answer::Value(value),
            Ok((1, _)) => Answer::NotFound,
            Ok((status, _)) => Answer::Error(status),
            Err(reason) => Answer::Failed(reason),
        };
        let event = (end.peer, answer);
        self.journal.took(Some(&event), || Command::Poll);
        Some(event)
    }

    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Fetch { peer, key } => {
                let _shows_in_events = self.fetch(peer, &key);
            }
            Command::Poll => drop(self.poll_event()),
        }
    }
}

impl Protocol for Fetch {
    fn specs(&self) -> &[StreamSpec] {
        self.exchanges.specs()
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if let Some((stream, request)) = self.exchanges.handle(cx, input) {
            match read(&request).map(|(_, key)| core::str::from_utf8(&key).map(self.lookup)) {
                Ok(Ok(Some(value))) => self
                    .exchanges
                    .answer(cx, stream, encode(|out| out.bytes(2, &value))),
                Ok(Ok(None)) => self.exchanges.answer(cx, stream, encode(|out| out.varint(1, 1))),
                _ => cx.reset(stream),
            }
        }
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.exchanges.poll_timeout()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
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

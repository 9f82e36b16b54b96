//! Reads lines, and repeats what they say.

use crate::{
    VERSION, digest, digest_of,
    lines::{Line, Reader, Wrong, unescape},
};
use data_encoding::HEXLOWER;
use libp2p_proto_core::{Instant, PeerId};
use libp2p_proto_identity::{Error, Identity, PublicKey, Signer};
use libp2p_proto_stream_protocol::{Journal, Noted, Protocols};
use libp2p_proto_swarm::{Action, Call, Event, Swarm};
use siphasher::sip::SipHasher13;
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    hash::Hasher as _,
    io::{self, BufRead},
    sync::{Arc, Mutex, PoisonError},
};

/// The longest line, in bytes: a frame of 16 MiB in hexadecimal, and some.
const MAX_LINE: u64 = 40 << 20;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose recording it is.
    pub peer: PeerId,
    /// Its public key.
    pub key: PublicKey,
    /// The words of the application.
    pub application: String,
    /// The seeds of the protocols' dice, in the order of the protocols.
    pub dice: Vec<[u8; 32]>,
}

/// Where a repetition ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Divergence {
    /// A line says nothing.
    #[error("line {0}: {1}")]
    Wrong(usize, Wrong),
    /// Something else came out than was recorded. `None`: nothing did.
    #[error("line {line}: {}", differs(.got.as_ref()))]
    Differs {
        /// The line.
        line: usize,
        /// What came out.
        got: Option<String>,
    },
    /// The file can't be read.
    #[error("line {0}: {1}")]
    Io(usize, io::Error),
}

fn differs(got: Option<&String>) -> String {
    got.map_or_else(
        || String::from("something came out when it was recorded, and nothing does now"),
        |got| format!("something else comes out than was recorded: {got}"),
    )
}

/// One line, repeated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// A call was made.
    Call(Instant, Call),
    /// The application commanded something.
    Command {
        /// When it was told.
        now: Instant,
        /// The place of the protocol.
        protocol: u8,
        /// The command in words, and the debug text of what it gave, as recorded.
        command: Noted,
    },
    /// This action came out, as recorded.
    Action(Action),
    /// This event came out, as recorded.
    Event(Event),
    /// The recorder had reached its limit.
    Stopped,
    /// The file ends within a line.
    Cut,
}

/// Signatures that were recorded and not given out, and digests of what they are of.
type Signatures = Arc<Mutex<VecDeque<(u64, Vec<u8>)>>>;

/// A recording, being repeated.
pub struct Replay<R> {
    input: R,
    reader: Reader,
    header: Header,
    /// The line that was read last, counted from 1.
    line: usize,
    /// A line that was read ahead.
    ahead: Option<Line>,
    signatures: Signatures,
    trace: SipHasher13,
    outputs: u64,
    /// What the recording could not tell, with its line.
    unseen: Option<(usize, &'static str)>,
}

impl<R: BufRead> Replay<R> {
    /// Reads the first line.
    ///
    /// # Errors
    ///
    /// [`Divergence::Wrong`] or [`Divergence::Io`], on line 1.
    pub fn open(mut input: R) -> Result<Self, Divergence> {
        let text = next_line(&mut input).map_err(|error| Divergence::Io(1, error))?;
        let header = text
            .strip_suffix('\n')
            .ok_or_else(|| Wrong(String::from("no whole first line")));
        let header = header
            .and_then(read_header)
            .map_err(|wrong| Divergence::Wrong(1, wrong))?;
        Ok(Self {
            input,
            reader: Reader::default(),
            header,
            line: 1,
            ahead: None,
            signatures: Signatures::default(),
            trace: SipHasher13::new(),
            outputs: 0,
            unseen: None,
        })
    }

    /// The first line.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The identity that was recorded, to build swarm and protocols with. It has no key: it gives the recorded signatures out, each for what was signed then.
    pub fn identity(&self) -> Identity {
        let signer = Replayed(self.signatures.clone());
        Identity::from_signer(self.header.key.clone(), Arc::new(signer))
    }

    /// The line that was repeated last, counted from 1.
    pub const fn line(&self) -> usize {
        self.line
    }

    /// How many actions and events have come out, those of protocols included.
    pub const fn outputs(&self) -> u64 {
        self.outputs
    }

    /// A hash of everything that has come out; [`Recorder::trace`](crate::Recorder::trace) of the recording node is the same.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// The first thing that the recording could not tell, and its line: from there on, differences may have that cause.
    pub const fn unseen(&self) -> Option<(usize, &'static str)> {
        self.unseen
    }

    /// Repeats the next line. `None`: there is no more.
    ///
    /// # Errors
    ///
    /// See [`Divergence`]. Nothing can be repeated after it.
    pub fn step(
        &mut self,
        swarm: &mut Swarm,
        protocols: Protocols<'_, '_>,
    ) -> Result<Option<Step>, Divergence> {
        for journal in protocols.iter_mut().filter_map(|protocol| protocol.journal()) {
            journal.start();
        }
        let line = match self.ahead.take() {
            Some(line) => line,
            None => match self.read()? {
                Read::Line(line) => line,
                Read::End => return Ok(None),
                Read::Cut => return Ok(Some(Step::Cut)),
            },
        };
        let step = match line {
            Line::Call(now, call) => {
                self.take_signatures()?;
                if let Call::Unseen(what) = call {
                    self.unseen.get_or_insert((self.line, what));
                }
                swarm.repeat(now, call.clone(), protocols);
                Step::Call(now, call)
            }
            Line::Command {
                now,
                protocol,
                command,
                gave,
            } => {
                let command = self.command(protocols, protocol, &command, gave)?;
                Step::Command {
                    now,
                    protocol,
                    command,
                }
            }
            Line::Action(recorded) => Step::Action(self.compare(recorded, swarm.poll_action())?),
            Line::Event(recorded) => Step::Event(self.compare(recorded, swarm.poll_event())?),
            // One that nobody has asked for by now.
            Line::Signature(message, signature) => {
                self.keep(message, signature);
                return self.step(swarm, protocols);
            }
            Line::Stopped => Step::Stopped,
        };
        Ok(Some(step))
    }

    /// Repeats a command, and compares what it gives.
    fn command(
        &mut self,
        protocols: Protocols<'_, '_>,
        place: u8,
        command: &str,
        recorded: Option<u64>,
    ) -> Result<Noted, Divergence> {
        let wrong = |what: &str| Divergence::Wrong(self.line, Wrong(format!("{what}: {command:?}")));
        let protocol = protocols
            .get_mut(usize::from(place))
            .ok_or_else(|| wrong("a command to a protocol that is not there"))?;
        protocol.repeat(command).map_err(|bad| wrong(&bad.to_string()))?;
        // A command that gives nothing now was not noted: there is nothing to take.
        let noted = protocol.journal().and_then(Journal::pop);
        let gave = noted.and_then(|noted| noted.gave);
        if gave.as_ref().map(digest_of) != recorded {
            return Err(Divergence::Differs {
                line: self.line,
                got: gave,
            });
        }
        if let Some(recorded) = recorded {
            self.trace.write_u64(recorded);
            self.outputs = self.outputs.saturating_add(1);
        }
        Ok(Noted {
            command: command.to_owned(),
            gave,
        })
    }

    fn compare<T: fmt::Debug>(&mut self, recorded: u64, got: Option<T>) -> Result<T, Divergence> {
        match got {
            Some(got) if digest(&got) == recorded => {
                self.trace.write_u64(recorded);
                self.outputs = self.outputs.saturating_add(1);
                Ok(got)
            }
            got => Err(Divergence::Differs {
                line: self.line,
                got: got.map(|got| format!("{got:?}")),
            }),
        }
    }

    /// A call asks for signatures before it ends, and their lines stand behind its own.
    fn take_signatures(&mut self) -> Result<(), Divergence> {
        loop {
            // A cut line is found again: the file has nothing behind it.
            match self.read()? {
                Read::Line(Line::Signature(message, signature)) => self.keep(message, signature),
                Read::Line(line) => {
                    self.ahead = Some(line);
                    return Ok(());
                }
                Read::End | Read::Cut => return Ok(()),
            }
        }
    }

    fn keep(&self, message: u64, signature: Vec<u8>) {
        let mut signatures = self.signatures.lock().unwrap_or_else(PoisonError::into_inner);
        signatures.push_back((message, signature));
    }

    fn read(&mut self) -> Result<Read, Divergence> {
        let next = self.line.saturating_add(1);
        let text = next_line(&mut self.input).map_err(|error| Divergence::Io(next, error))?;
        if text.is_empty() {
            return Ok(Read::End);
        }
        let Some(text) = text.strip_suffix('\n') else {
            return Ok(Read::Cut);
        };
        self.line = next;
        let line = self
            .reader
            .read(text)
            .map_err(|wrong| Divergence::Wrong(next, wrong))?;
        Ok(Read::Line(line))
    }
}

enum Read {
    Line(Line),
    End,
    Cut,
}

fn next_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    io::Read::take(input, MAX_LINE).read_line(&mut text)?;
    Ok(text)
}

fn read_header(line: &str) -> Result<Header, Wrong> {
    let mut words = line.split(' ');
    if words.next() != Some("libp2p-proto-recording") {
        return Err(Wrong(String::from("not a recording of libp2p-proto")));
    }
    let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    let field = |name: &str| {
        let missing = || Wrong(format!("the first line has no {name}"));
        fields.get(name).copied().ok_or_else(missing)
    };
    let version = field("version")?;
    if version != VERSION.to_string() {
        return Err(Wrong(format!(
            "version {version} (this program reads version {VERSION})"
        )));
    }
    if field("level")? != "swarm" {
        return Err(Wrong(String::from("not recorded at the level of the swarm")));
    }
    let wrong = |name: &str| Wrong(format!("the first line has a wrong {name}"));
    let hex = |text: &str, name: &str| HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong(name));
    let key = PublicKey::decode(&hex(field("key")?, "key")?).map_err(|_| wrong("key"))?;
    let peer = field("peer")?.parse().map_err(|_| wrong("peer"))?;
    if key.peer_id() != peer {
        return Err(Wrong(String::from("the first line has the key of another peer")));
    }
    let dice = field("dice")?.split(',').filter(|seed| !seed.is_empty());
    let seed = |seed: &str| hex(seed, "dice")?.try_into().map_err(|_| wrong("dice"));
    Ok(Header {
        peer,
        key,
        application: unescape(field("application")?)?,
        dice: dice.map(seed).collect::<Result<_, _>>()?,
    })
}

/// Gives out what was signed when it was recorded.
struct Replayed(Signatures);

impl Signer for Replayed {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signatures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What the application signed is not asked for again.
        let message = digest_of(message);
        let place = signatures.iter().position(|(of, _)| *of == message);
        let found = place.and_then(|place| signatures.remove(place));
        found.map(|(_, signature)| signature).ok_or(Error::SigningFailed)
    }
}

impl<R> fmt::Debug for Replay<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replay(line {})", self.line)
    }
}

//! One line for each thing that went in or came out.

use bytes::Bytes;
use core::time::Duration;
use data_encoding::HEXLOWER;
use libp2p_proto_core::{
    ConnectionId, DialId, Fault, Instant, Multiaddr, PeerId, ProtocolName, Side, StreamId, UnixTime,
};
use libp2p_proto_stream_protocol::{AttemptError, Closed, Dial, FromConnection, LinkError, SpecId, Traffic};
use libp2p_proto_swarm::{Call, Record, ResolveId};
use std::{collections::BTreeSet, fmt::Write as _, str::FromStr};

/// Words that a reader keeps for the life of the process, because causes are words fixed at compile time; and how long each may be.
const MAX_WORDS: usize = 256;
const MAX_WORD: usize = 64;
/// Says of a dial that it is to begin at a port where we listen.
const REUSE: &str = "reuse";
/// Says of a dial that it is to try the named addresses alone.
const ONLY: &str = "only";
/// Says of a dial that it is to try them all at once.
const AT_ONCE: &str = "at-once";

/// What a line says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Line {
    /// A call of the swarm, at its time.
    Call(Instant, Call),
    /// A command of the application.
    Command {
        /// When it was told.
        now: Instant,
        /// The place of the protocol.
        protocol: u8,
        /// The command, in the words of the protocol.
        command: String,
        /// The digest of what it gave.
        gave: Option<u64>,
    },
    /// The identity signed something: the digest of that, and the signature.
    Signature(u64, Vec<u8>),
    /// An action was taken; its digest.
    Action(u64),
    /// An event was taken; its digest.
    Event(u64),
    /// The size limit was reached: the recording is whole up to here.
    Stopped,
}

/// Why a line says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub(crate) String);

/// Writes a call. `None`: it has something that lines can't say.
pub(crate) fn write_call(now: Instant, call: &Call) -> Option<String> {
    let mut line = now.as_nanos().to_string();
    let mut add = |word: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _infallible = write!(line, " {word}");
    };
    match call {
        Call::Accepted { local, remote } => {
            add(&"accepted");
            add(&optional(local.as_ref()));
            add(remote);
        }
        Call::Dialed { conn, local, remote } => {
            add(&"dialed");
            add(&conn.get());
            add(&optional(local.as_ref()));
            add(remote);
        }
        Call::DialFailed { conn, error } => {
            add(&"dial-failed");
            add(&conn.get());
            match error {
                AttemptError::Transport(word) => {
                    add(&"transport");
                    add(&escape(word));
                }
                AttemptError::TimedOut => add(&"timed-out"),
                _ => return None,
            }
        }
        Call::Resolved { query, answer } => {
            add(&"resolved");
            add(&query.get());
            match answer {
                Err(word) => {
                    add(&"failed");
                    add(&escape(word));
                }
                Ok(records) => {
                    add(&"found");
                    for record in records {
                        match record {
                            Record::Ip(ip) => add(&format_args!("ip={ip}")),
                            Record::Txt(text) => add(&format_args!("txt={}", escape(text))),
                        }
                    }
                }
            }
        }
        Call::Listening { addr, up } => {
            add(&"listening");
            add(addr);
            add(&if *up { "up" } else { "down" });
        }
        Call::Message { conn, message } => {
            add(&"news");
            add(&conn.get());
            write_news(&mut add, message);
        }
        Call::Dial(dial) => write_dial(&mut add, dial),
        Call::CancelDial(dial) => {
            add(&"cancel");
            add(&dial.get());
        }
        Call::Disconnect(conn) => {
            add(&"disconnect");
            add(&conn.get());
        }
        Call::Close => add(&"close"),
        Call::Protect(peer, protect) => {
            add(&"protect");
            add(peer);
            add(protect);
        }
        Call::Drive { unix, budget } => {
            add(&"drive");
            add(&unix.as_nanos());
            add(budget);
        }
        Call::Tag { peer, reason, value } => {
            add(&"tag");
            add(peer);
            add(&escape(reason));
            add(value);
        }
        Call::Unseen(what) => {
            add(&"unseen");
            add(&escape(what));
        }
        _ => return None,
    }
    Some(line)
}

/// Writes a command.
pub(crate) fn write_command(now: Instant, protocol: u8, command: &str, gave: Option<u64>) -> String {
    let gave = gave.map_or_else(|| String::from("-"), |gave| format!("{gave:016x}"));
    format!("{} command {protocol} {gave} {command}", now.as_nanos())
}

fn write_dial(add: &mut impl FnMut(&dyn std::fmt::Display), dial: &Dial) {
    add(&"dial");
    add(&optional(dial.peer.as_ref()));
    add(&if dial.force { "force" } else { "once" });
    add(&if dial.side.is_dialer() {
        "dialer"
    } else {
        "listener"
    });
    for (word, said) in [
        (REUSE, dial.reuse_port),
        (ONLY, dial.only),
        (AT_ONCE, dial.at_once),
    ] {
        if said {
            add(&word);
        }
    }
    dial.addrs.iter().for_each(|addr| add(addr));
}

fn write_news(add: &mut impl FnMut(&dyn std::fmt::Display), message: &FromConnection) {
    let mut stream = |word: &str, stream: &StreamId| {
        add(&word);
        add(&stream.seq());
    };
    match message {
        FromConnection::Authenticated { peer } => add(&format_args!("authenticated {peer}")),
        FromConnection::WrongPeer { got } => add(&format_args!("wrong-peer {got}")),
        FromConnection::Established { security, muxer } => {
            add(&format_args!(
                "established {} {}",
                escape(security.as_str()),
                escape(muxer.as_str())
            ));
        }
        FromConnection::Opened {
            stream: id,
            spec,
            name,
        } => {
            stream("opened", id);
            add(&spec.0);
            add(&escape(name.as_str()));
        }
        FromConnection::Frame { stream: id, data } => {
            stream("frame", id);
            add(&format_args!("x{}", HEXLOWER.encode(data)));
        }
        FromConnection::Sent { stream: id, bytes } => {
            stream("sent", id);
            add(bytes);
        }
        FromConnection::Flushed { stream: id, frames } => {
            stream("flushed", id);
            add(frames);
        }
        FromConnection::Finished { stream: id } => stream("finished", id),
        FromConnection::Closed { stream: id, reason } => {
            stream("closed", id);
            add(&format_args!("{reason:?}"));
        }
        FromConnection::Carried(traffic) => {
            add(&format_args!(
                "carried {} {}",
                traffic.bytes_in, traffic.bytes_out
            ));
            add(&optional(traffic.rtt.map(|rtt| rtt.as_nanos()).as_ref()));
        }
        // The swarm takes it apart before it tells.
        FromConnection::Inner { conn, news } => {
            add(&format_args!("inner {}", conn.get()));
            write_news(add, news);
        }
        FromConnection::Disconnected { error } => {
            add(&"disconnected");
            if let Some(error) = error {
                add(&format_args!("{:?} {}", error.fault, escape(error.code)));
            }
        }
    }
}

fn optional(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| String::from("-"), ToString::to_string)
}

/// One word of any text: what could end it is written as `%` and two digits.
pub(crate) fn escape(text: &str) -> String {
    let mut word = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            word.push(char::from(byte));
        } else {
            let _infallible = write!(word, "%{byte:02x}");
        }
    }
    if word.is_empty() { String::from("%") } else { word }
}

pub(crate) fn unescape(word: &str) -> Result<String, Wrong> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    if word != "%" {
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let byte = HEXLOWER.decode(&digits).map_err(|_| wrong("escape", word))?;
                bytes.extend(byte);
            } else {
                bytes.push(byte);
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("text", word))
}

fn wrong(what: &str, word: &str) -> Wrong {
    let word: String = word.chars().take(MAX_WORD).collect();
    Wrong(format!("not a {what}: {word:?}"))
}

/// Reads lines. It remembers the words of causes, which live as long as the process: 256 different ones at most.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    words: BTreeSet<&'static str>,
}

struct Words<'a>(std::str::SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self, what: &str) -> Result<&'a str, Wrong> {
        self.0
            .next()
            .ok_or_else(|| Wrong(format!("the line ends where {what} should be")))
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let word = self.next(what)?;
        word.parse().map_err(|_| wrong(what, word))
    }

    fn optional<T: FromStr>(&mut self, what: &str) -> Result<Option<T>, Wrong> {
        match self.next(what)? {
            "-" => Ok(None),
            word => word.parse().map(Some).map_err(|_| wrong(what, word)),
        }
    }

    fn text(&mut self, what: &str) -> Result<String, Wrong> {
        unescape(self.next(what)?)
    }

    fn conn(&mut self) -> Result<ConnectionId, Wrong> {
        self.parse("connection").map(ConnectionId::new)
    }

    fn name(&mut self) -> Result<ProtocolName, Wrong> {
        let text = self.text("protocol name")?;
        ProtocolName::new(&text).map_err(|_| wrong("protocol name", &text))
    }

    fn one_of(&mut self, what: &str, words: [&str; 2]) -> Result<bool, Wrong> {
        let word = self.next(what)?;
        words
            .iter()
            .position(|known| *known == word)
            .map(|place| place == 0)
            .ok_or_else(|| wrong(what, word))
    }

    fn hex(&mut self, what: &str) -> Result<Vec<u8>, Wrong> {
        let word = self.next(what)?;
        let digits = word.strip_prefix('x').ok_or_else(|| wrong(what, word))?;
        HEXLOWER.decode(digits.as_bytes()).map_err(|_| wrong(what, word))
    }

    fn digest(&mut self) -> Result<u64, Wrong> {
        let word = self.next("digest")?;
        u64::from_str_radix(word, 16).map_err(|_| wrong("digest", word))
    }
}

impl Reader {
    /// Reads one line.
    pub(crate) fn read(&mut self, line: &str) -> Result<Line, Wrong> {
        let mut words = Words(line.split_ascii_whitespace());
        let line = match words.next("something")? {
            "action" => Line::Action(words.digest()?),
            "event" => Line::Event(words.digest()?),
            "signature" => Line::Signature(words.digest()?, words.hex("signature")?),
            "stopped" => Line::Stopped,
            first => {
                let now = first
                    .parse()
                    .map(Instant::from_nanos)
                    .map_err(|_| wrong("time", first))?;
                match words.next("verb")? {
                    "command" => return command(now, &mut words),
                    verb => Line::Call(now, self.call(verb, &mut words)?),
                }
            }
        };
        match words.0.next() {
            None => Ok(line),
            Some(word) => Err(Wrong(format!("more than the line can have: {word:?}"))),
        }
    }

    fn call(&mut self, verb: &str, words: &mut Words<'_>) -> Result<Call, Wrong> {
        Ok(match verb {
            "accepted" => Call::Accepted {
                local: words.optional("address")?,
                remote: words.parse("address")?,
            },
            "dialed" => Call::Dialed {
                conn: words.conn()?,
                local: words.optional("address")?,
                remote: words.parse("address")?,
            },
            "dial-failed" => Call::DialFailed {
                conn: words.conn()?,
                error: match words.next("cause")? {
                    "transport" => AttemptError::Transport(self.word(words)?),
                    "timed-out" => AttemptError::TimedOut,
                    other => return Err(wrong("cause", other)),
                },
            },
            "resolved" => self.resolved(words)?,
            "listening" => Call::Listening {
                addr: words.parse("address")?,
                up: words.one_of("up or down", ["up", "down"])?,
            },
            "news" => {
                let conn = words.conn()?;
                Call::Message {
                    conn,
                    message: self.news(conn, words)?,
                }
            }
            "dial" => {
                let peer = words.optional::<PeerId>("peer id")?;
                let force = words.one_of("force or once", ["force", "once"])?;
                let dials = words.one_of("side", ["dialer", "listener"])?;
                let mut rest = words.0.by_ref().peekable();
                let reuse_port = rest.next_if_eq(&REUSE).is_some();
                let only = rest.next_if_eq(&ONLY).is_some();
                let at_once = rest.next_if_eq(&AT_ONCE).is_some();
                let addrs = rest.map(|word| word.parse::<Multiaddr>().map_err(|_| wrong("address", word)));
                Call::Dial(Dial {
                    peer,
                    force,
                    side: if dials { Side::Dialer } else { Side::Listener },
                    reuse_port,
                    only,
                    at_once,
                    addrs: addrs.collect::<Result<_, _>>()?,
                })
            }
            "cancel" => Call::CancelDial(words.parse("dial").map(DialId::new)?),
            "disconnect" => Call::Disconnect(words.conn()?),
            "close" => Call::Close,
            "protect" => Call::Protect(words.parse("peer id")?, words.parse("true or false")?),
            "drive" => Call::Drive {
                unix: words.parse("wall clock").map(UnixTime::from_nanos)?,
                budget: words.parse("budget")?,
            },
            "tag" => Call::Tag {
                peer: words.parse("peer id")?,
                reason: self.word(words)?,
                value: words.parse("value")?,
            },
            "unseen" => Call::Unseen(self.word(words)?),
            other => return Err(wrong("verb", other)),
        })
    }

    fn resolved(&mut self, words: &mut Words<'_>) -> Result<Call, Wrong> {
        let query = words.parse("question").map(ResolveId::new)?;
        if !words.one_of("found or failed", ["found", "failed"])? {
            let answer = Err(self.word(words)?);
            return Ok(Call::Resolved { query, answer });
        }
        let mut records = Vec::new();
        for word in words.0.by_ref() {
            records.push(match word.split_once('=') {
                Some(("ip", ip)) => Record::Ip(ip.parse().map_err(|_| wrong("record", word))?),
                Some(("txt", text)) => Record::Txt(unescape(text)?),
                _ => return Err(wrong("record", word)),
            });
        }
        Ok(Call::Resolved {
            query,
            answer: Ok(records),
        })
    }

    fn news(&mut self, conn: ConnectionId, words: &mut Words<'_>) -> Result<FromConnection, Wrong> {
        let kind = words.next("news")?;
        match kind {
            "authenticated" => {
                return Ok(FromConnection::Authenticated {
                    peer: words.parse("peer id")?,
                });
            }
            "wrong-peer" => {
                return Ok(FromConnection::WrongPeer {
                    got: words.parse("peer id")?,
                });
            }
            "established" => {
                return Ok(FromConnection::Established {
                    security: words.name()?,
                    muxer: words.name()?,
                });
            }
            "carried" => {
                return Ok(FromConnection::Carried(Traffic {
                    bytes_in: words.parse("number of bytes")?,
                    bytes_out: words.parse("number of bytes")?,
                    rtt: words.optional("round trip")?.map(Duration::from_nanos),
                }));
            }
            "disconnected" => {
                let error = match words.0.next() {
                    None => None,
                    Some(fault) => Some(LinkError {
                        fault: fault_of(fault)?,
                        code: self.word(words)?,
                    }),
                };
                return Ok(FromConnection::Disconnected { error });
            }
            _ => {}
        }
        let seq: u64 = words.parse("stream")?;
        let count = seq / 2;
        let stream = if seq % 2 == 0 {
            StreamId::ours(conn, count)
        } else {
            StreamId::theirs(conn, count)
        };
        Ok(match kind {
            "opened" => FromConnection::Opened {
                stream,
                spec: SpecId(words.parse("spec")?),
                name: words.name()?,
            },
            "frame" => FromConnection::Frame {
                stream,
                data: Bytes::from(words.hex("frame")?),
            },
            "sent" => FromConnection::Sent {
                stream,
                bytes: words.parse("number of bytes")?,
            },
            "flushed" => FromConnection::Flushed {
                stream,
                frames: words.parse("number of frames")?,
            },
            "finished" => FromConnection::Finished { stream },
            "closed" => FromConnection::Closed {
                stream,
                reason: closed_of(words.next("cause")?)?,
            },
            other => return Err(wrong("news", other)),
        })
    }

    /// A word that was fixed when the recording program was compiled.
    fn word(&mut self, words: &mut Words<'_>) -> Result<&'static str, Wrong> {
        let text = words.text("cause")?;
        if let Some(known) = self.words.get(text.as_str()) {
            return Ok(known);
        }
        if self.words.len() >= MAX_WORDS || text.len() > MAX_WORD {
            return Err(wrong("known cause", &text));
        }
        let word: &'static str = text.leak();
        self.words.insert(word);
        Ok(word)
    }
}

/// The words of a command are its protocol's.
fn command(now: Instant, words: &mut Words<'_>) -> Result<Line, Wrong> {
    let protocol = words.parse("place of a protocol")?;
    let gave = match words.next("digest")? {
        "-" => None,
        word => Some(u64::from_str_radix(word, 16).map_err(|_| wrong("digest", word))?),
    };
    let command: Vec<&str> = words.0.by_ref().collect();
    Ok(Line::Command {
        now,
        protocol,
        command: command.join(" "),
        gave,
    })
}

fn fault_of(word: &str) -> Result<Fault, Wrong> {
    [Fault::Peer, Fault::Local, Fault::Limit]
        .into_iter()
        .find(|fault| format!("{fault:?}") == word)
        .ok_or_else(|| wrong("fault", word))
}

fn closed_of(word: &str) -> Result<Closed, Wrong> {
    [
        Closed::Finished,
        Closed::Reset,
        Closed::LocalReset,
        Closed::Refused,
        Closed::TimedOut,
        Closed::FrameTooLarge,
        Closed::Malformed,
        Closed::UnexpectedEnd,
        Closed::Limit,
        Closed::ConnectionLost,
    ]
    .into_iter()
    .find(|reason| format!("{reason:?}") == word)
    .ok_or_else(|| wrong("cause", word))
}

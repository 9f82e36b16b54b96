//! The JSON vectors: whole lives of one end, byte for byte, fed whole and byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use data_encoding::HEXLOWER;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{Instant, Side, StreamId, TransmitBuf};
use libp2p_proto_stream_protocol::{FromConnection, SpecId, StreamOrder, ToConnection};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};
use support::{
    NOW, identity,
    raw::{FIN, HEADER, Raw, SYN, data, frame, line, open},
    seat,
};

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../conformance/vectors/connection"
);

/// One end under a vector: it admits its peer, and gives all credit back.
struct Runner {
    end: Connection,
    now: Instant,
    tail: Vec<u8>,
    told: Vec<String>,
}

impl Runner {
    fn new(vector: &Value) -> Self {
        let dialer = vector["side"] == "dialer";
        let (seed, side) = if dialer {
            (1, Side::Dialer)
        } else {
            (2, Side::Listener)
        };
        let mut config = Config::new(&identity(seed), [seed; 32]).unwrap();
        if vector["inlined"] == false {
            config = config.without_inlined_muxer().unwrap();
        }
        let mut seat = seat(seed, side);
        seat.limited = vector["limited"] == true;
        let expect = vector["expect"].as_u64();
        seat.expect = expect.map(|seed| identity(u8::try_from(seed).unwrap()).peer_id());
        Self {
            end: Connection::new(NOW, Arc::new(config), seat),
            now: NOW,
            tail: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Carries out one step; answers what was told and what was said.
    fn step(&mut self, step: &Value, cut: usize) -> (Vec<String>, Vec<u8>) {
        for order in step["do"].as_array().into_iter().flatten() {
            self.order(order);
        }
        let input = HEXLOWER
            .decode(step["in"].as_str().unwrap_or_default().as_bytes())
            .unwrap();
        for part in input.chunks(cut) {
            self.tail.extend_from_slice(part);
            self.feed();
        }
        if step["eof"] == true {
            self.end.handle_eof(self.now);
        }
        if let Some(millis) = step["wait"].as_u64() {
            self.now = self.now + Duration::from_millis(millis);
            self.end.handle_timeout(self.now);
        }
        self.messages();
        let mut said = Vec::new();
        loop {
            while self
                .end
                .poll_transmit(self.now, &mut TransmitBuf::new(&mut said, 70_000))
            {}
            self.messages();
            if !self.feed() {
                break;
            }
        }
        (core::mem::take(&mut self.told), said)
    }

    fn feed(&mut self) -> bool {
        let taken = self
            .end
            .handle_input(self.now, &mut self.tail)
            .unwrap_or(self.tail.len());
        self.tail.drain(..taken);
        self.messages() || taken > 0
    }

    fn messages(&mut self) -> bool {
        let before = self.told.len();
        while let Some(message) = self.end.poll_message() {
            let word = match &message {
                FromConnection::Authenticated { peer } => {
                    self.end.handle_message(self.now, ToConnection::Admit);
                    format!("authenticated {peer}")
                }
                FromConnection::Established { security, muxer } => format!("established {security} {muxer}"),
                FromConnection::Opened { stream, name, .. } => format!("opened {} {name}", stream.seq()),
                FromConnection::Frame { stream, data } => {
                    let (stream, bytes) = (*stream, data.len());
                    self.end
                        .handle_message(self.now, ToConnection::Grant { stream, bytes });
                    format!("frame {} {}", stream.seq(), HEXLOWER.encode(data))
                }
                FromConnection::Finished { stream } => format!("finished {}", stream.seq()),
                FromConnection::Closed { stream, reason } => format!("closed {} {reason:?}", stream.seq()),
                FromConnection::Disconnected { error } => {
                    format!("disconnected {}", error.map_or("in order", |error| error.code))
                }
                // Credit for what has left, whose pieces depend on how it was cut.
                _ => continue,
            };
            self.told.push(word);
        }
        self.told.len() > before
    }

    fn order(&mut self, order: &Value) {
        let words: Vec<&str> = order.as_str().unwrap().split(' ').collect();
        let conn = self.end.id();
        let stream = |number: &str| {
            let number: u64 = number.parse().unwrap();
            let half = number / 2;
            if number % 2 == 0 {
                StreamId::ours(conn, half)
            } else {
                StreamId::theirs(conn, half)
            }
        };
        let message = match words[..] {
            ["open", number, spec, how] => ToConnection::Open {
                stream: stream(number),
                specs: spec
                    .split(',')
                    .map(|spec| SpecId(spec.parse().unwrap()))
                    .collect(),
                lazy: how == "lazy",
            },
            ["write", number, data] => ToConnection::Write {
                stream: stream(number),
                data: HEXLOWER.decode(data.as_bytes()).unwrap().into(),
            },
            ["finish", number] => ToConnection::Order {
                stream: stream(number),
                order: StreamOrder::Finish,
            },
            ["reset", number] => ToConnection::Order {
                stream: stream(number),
                order: StreamOrder::Reset,
            },
            ["close"] => ToConnection::Close,
            _ => panic!("no such order: {order}"),
        };
        self.end.handle_message(self.now, message);
    }
}

fn all_vectors() -> Vec<Value> {
    let mut files: Vec<_> = fs::read_dir(Path::new(VECTORS))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |path| -> Vec<Value> { serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    files.into_iter().flat_map(read).collect()
}

#[test]
fn every_vector_holds_whole_and_byte_by_byte() {
    let vectors = all_vectors();
    assert!(vectors.len() >= 12);
    for vector in &vectors {
        for cut in [usize::MAX, 1] {
            let mut runner = Runner::new(vector);
            for (place, step) in vector["steps"].as_array().unwrap().iter().enumerate() {
                let (told, said) = runner.step(step, cut);
                let name = format!("{} step {place}", vector["name"]);
                assert_eq!(json!(told), step["told"], "{name}");
                assert_eq!(HEXLOWER.encode(&said), step["out"].as_str().unwrap(), "{name}");
            }
        }
    }
}

// ── how they were made ──

/// A life of one end: what it is, and what happens to it.
fn life(name: &str, covers: &[&str], mut vector: Value, steps: Vec<Value>) -> Value {
    let mut runner = Runner::new(&vector);
    let mut done = Vec::new();
    for mut step in steps {
        let (told, said) = runner.step(&step, usize::MAX);
        step["told"] = json!(told);
        step["out"] = json!(HEXLOWER.encode(&said));
        done.push(step);
    }
    vector["name"] = json!(name);
    vector["covers"] = json!(covers);
    vector["steps"] = json!(done);
    vector
}

/// A life against a dialer that says its flights and then these plaintexts.
fn listener(name: &str, covers: &[&str], mut peer: Raw, plaintexts: &[Vec<u8>]) -> Value {
    let mut steps = vec![json!({})];
    steps.extend(
        peer.flights
            .clone()
            .iter()
            .map(|flight| json!({"in": HEXLOWER.encode(flight)})),
    );
    for plain in plaintexts {
        let wire = peer.seal(plain);
        steps.push(json!({"plain": HEXLOWER.encode(plain), "in": HEXLOWER.encode(&wire)}));
    }
    life(name, covers, json!({"side": "listener"}), steps)
}

/// Of each end: whether it lists its multiplexer in the handshake, and whether its link is limited.
type Ends = [(bool, bool); 2];
const BOTH: Ends = [(true, false); 2];
const NEITHER: Ends = [(false, false); 2];
const LISTENER: Ends = [(false, false), (true, false)];
const DIALER: Ends = [(true, false), (false, false)];
const LIMITED: Ends = [(true, false), (true, true)];

/// Two ends that talk with each other: both their lives. `orders` are given to the dialer once it is established.
fn pair(name: &str, covers: &[&str], ends: Ends, orders: &[&str]) -> [Value; 2] {
    let kind = |side, (inlined, limited)| json!({"side": side, "inlined": inlined, "limited": limited});
    let mut kinds = [kind("dialer", ends[0]), kind("listener", ends[1])];
    kinds[0]["expect"] = json!(2);
    let mut runners = [Runner::new(&kinds[0]), Runner::new(&kinds[1])];
    let mut steps = [Vec::new(), Vec::new()];
    let mut wires = [Vec::new(), Vec::new()];
    let mut waiting = Some(orders);
    for turn in 0..20 {
        let end = turn % 2;
        let input = core::mem::take(&mut wires[end]);
        let mut step = json!({"in": HEXLOWER.encode(&input)});
        if end == 0 && turn > 6 {
            if let Some(orders) = waiting.take() {
                step["do"] = json!(orders);
            }
        }
        let (told, said) = runners[end].step(&step, usize::MAX);
        if step["do"].is_null() && input.is_empty() && said.is_empty() && told.is_empty() {
            continue;
        }
        wires[1 - end].extend_from_slice(&said);
        steps[end].push(step);
    }
    let [near, far] = steps;
    [
        life(&format!("{name}, dialer"), covers, kinds[0].clone(), near),
        life(&format!("{name}, listener"), covers, kinds[1].clone(), far),
    ]
}

/// Two ends of ours: both their lives.
fn upgrades() -> Vec<Value> {
    let pairs = [
        pair(
            "multiplexer in the handshake",
            &["CON-001", "CON-007", "CON-008"],
            BOTH,
            &[],
        ),
        pair(
            "multiplexer by negotiation, both",
            &["CON-003", "CON-007"],
            NEITHER,
            &[],
        ),
        pair(
            "multiplexer by negotiation, the dialer lists none",
            &["CON-007"],
            LISTENER,
            &[],
        ),
        pair(
            "multiplexer by negotiation, the listener lists none",
            &["CON-007"],
            DIALER,
            &[],
        ),
        pair(
            "a lazy stream, used and finished",
            &["CON-009", "CON-021"],
            BOTH,
            &["open 0 1 lazy", "write 0 616263", "finish 0"],
        ),
        pair(
            "a stream that agrees on its second name",
            &["CON-021", "CON-028"],
            LIMITED,
            &["open 0 1,5 strict"],
        ),
        pair("an orderly close", &["CON-064"], BOTH, &["close"]),
    ];
    pairs.into_iter().flatten().collect()
}

/// One end of ours, and whoever comes.
fn peers() -> Vec<Value> {
    let go = [
        frame(1, SYN, 1, 0, b""),
        data(0, 1, &[HEADER, &line("/framed/1")].concat()),
        data(0, 1, b"\x03abc"),
        frame(1, FIN, 1, 0, b""),
        frame(3, 0, 0, 0, b""),
    ];
    let rust = [
        frame(2, SYN, 0, 1, b""),
        data(SYN, 1, &[HEADER, &line("/framed/1"), b"\x03abc"].concat()),
        data(FIN, 1, b""),
        frame(3, 0, 0, 0, b""),
    ];
    let hello = [HEADER, b"\x0b/tls/1.0.0\n"].concat();
    vec![
        listener("a dialer like go", &["CON-008", "CON-022"], Raw::dialer(), &go),
        listener("a dialer like rust", &["CON-008"], Raw::dialer(), &rust),
        listener(
            "a multiplexer that we don't speak",
            &["CON-005"],
            Raw::without_inlined_muxer(),
            &[
                [HEADER, &line("/mplex/6.7.0")].concat(),
                [line("/yamux/1.0.0"), open(1, "/framed/1")].concat(),
            ],
        ),
        listener(
            "a name that we don't serve",
            &["CON-022"],
            Raw::dialer(),
            &[open(1, "/x/1"), data(FIN, 1, b"")],
        ),
        listener(
            "a frame that is not yamux",
            &[],
            Raw::dialer(),
            &[frame(9, 0, 1, 0, b"")],
        ),
        life(
            "a security that we don't speak",
            &["CON-004"],
            json!({"side": "listener"}),
            vec![
                json!({}),
                json!({"in": HEXLOWER.encode(&hello)}),
                json!({"eof": true}),
            ],
        ),
        life(
            "no multistream at all",
            &[],
            json!({"side": "listener"}),
            vec![json!({"in": HEXLOWER.encode(&b"GET / HTTP/1.1\r\n".repeat(5))})],
        ),
        life(
            "silence until the deadline",
            &["CON-012"],
            json!({"side": "listener"}),
            vec![json!({"wait": 9999}), json!({"wait": 1})],
        ),
        wrong_peer(),
    ]
}

/// Writes the vectors anew: only where a change of the bytes is meant.
#[test]
#[ignore = "writes the vectors: run it when the bytes are meant to change"]
fn the_vectors_are_written() {
    let write = |name: &str, vectors: Vec<Value>| {
        let lines: Vec<String> = vectors.iter().map(Value::to_string).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        fs::write(Path::new(VECTORS).join(name), text).unwrap();
    };
    write("upgrades.json", upgrades());
    write("peers.json", peers());
}

/// The dialer expects another peer than the one that answers.
fn wrong_peer() -> Value {
    let [right, _] = pair("", &[], BOTH, &[]);
    let steps = right["steps"].as_array().unwrap();
    let inputs = steps
        .iter()
        .take(4)
        .map(|step| json!({"in": step["in"]}))
        .collect();
    life(
        "another peer than the expected",
        &["CON-010"],
        json!({"side": "dialer", "expect": 9}),
        inputs,
    )
}

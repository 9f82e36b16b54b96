//! The JSON vectors: sessions as steps, each whole and byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Side;
use libp2p_proto_yamux::{Config, Error, Event, Yamux};
use serde_json::Value;
use std::{fs, path::Path};
use support::{NOW, events, hex, transmit, unhex, word};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/yamux");

struct Runner {
    yamux: Yamux,
    /// Feeds inputs byte by byte.
    cut: bool,
    events: Vec<String>,
    error: Option<Error>,
}

impl Runner {
    fn new(vector: &Value, cut: bool) -> Self {
        let side = match vector["side"].as_str().unwrap() {
            "dialer" => Side::Dialer,
            _ => Side::Listener,
        };
        let steps = vector["steps"].as_array().unwrap();
        let config = Config {
            syn_on_data: steps.iter().any(|step| step["config"] == "syn_on_data"),
            ..Config::default()
        };
        Self {
            yamux: support::session_with(side, config),
            cut,
            events: Vec::new(),
            error: None,
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        let step = if self.cut { 1 } else { bytes.len().max(1) };
        for mut part in bytes.chunks(step) {
            loop {
                match self.yamux.handle_input(NOW, &mut part) {
                    Ok(Some(event)) => {
                        self.events.push(word(event));
                        if matches!(event, Event::GoAway { code } if code != 0) {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.error = Some(error);
                        return;
                    }
                }
            }
            self.events.extend(events(&mut self.yamux));
        }
    }

    fn command(&mut self, words: &[Value]) -> Result<(), Error> {
        let number = |at: usize| words[at].as_u64().unwrap();
        let id = words
            .get(1)
            .and_then(Value::as_u64)
            .map_or(0, |id| u32::try_from(id).unwrap());
        match words[0].as_str().unwrap() {
            "open" if words.len() == 3 => {
                let opened = self.yamux.open(usize::try_from(number(1)).unwrap())?;
                assert_eq!(u64::from(opened), number(2));
            }
            "open" => drop(self.yamux.open(1)?),
            "accept" => self.yamux.accept(id, usize::try_from(number(2)).unwrap()),
            "write" => {
                let mut bytes = unhex(words[2].as_str().unwrap()).into();
                self.yamux.write(id, &mut bytes)?;
                assert!(bytes.is_empty());
            }
            "finish" => self.yamux.finish(id),
            "reset" => self.yamux.reset(id),
            "go_away" => self.yamux.go_away(),
            "abort" => self.yamux.abort(),
            other => panic!("unknown command {other}"),
        }
        Ok(())
    }

    fn step(&mut self, step: &Value) {
        let (key, value) = step.as_object().unwrap().iter().next().unwrap();
        match key.as_str() {
            "config" => {}
            "input" => self.input(&unhex(value.as_str().unwrap())),
            "output" => {
                let wire: Vec<&str> = value
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v.as_str().unwrap())
                    .collect();
                assert_eq!(hex(&transmit(&mut self.yamux, NOW)), wire.concat());
            }
            "events" => {
                self.events.extend(events(&mut self.yamux));
                let mut got = Vec::new();
                // Byte by byte, data comes in pieces.
                for event in self.events.drain(..) {
                    let (head, tail) = event.rsplit_once(' ').unwrap();
                    match got.last_mut().filter(|last: &&mut String| {
                        head.starts_with("data") && last.rsplit_once(' ').unwrap().0 == head
                    }) {
                        Some(last) => last.push_str(tail),
                        None => got.push(event.clone()),
                    }
                }
                assert_eq!(got, serde_json::from_value::<Vec<String>>(value.clone()).unwrap());
            }
            "error" => assert_eq!(
                self.error.take().map(|error| error.code()),
                Some(value.as_str().unwrap())
            ),
            "do" => self.command(value.as_array().unwrap()).unwrap(),
            "fails" => {
                let (code, words) = value.as_array().unwrap().split_last().unwrap();
                assert_eq!(self.command(words).unwrap_err().code(), code.as_str().unwrap());
            }
            "streams" => assert_eq!(self.yamux.stream_count() as u64, value.as_u64().unwrap()),
            "eof" => assert_eq!(
                self.yamux.handle_eof().err().map(|error| error.code()),
                value.as_str()
            ),
            other => panic!("unknown step {other}"),
        }
        assert!(self.error.is_none() || key == "input");
    }
}

// covers: YMX-001, YMX-008, YMX-097
#[test]
fn every_vector_gives_the_listed_events_and_bytes_whole_and_byte_by_byte() {
    if !Path::new(VECTORS).exists() {
        println!("skipped: the vectors are not part of the package");
        return;
    }
    let mut count = 0;
    for file in ["sessions.json", "hostile.json"] {
        let text = fs::read_to_string(Path::new(VECTORS).join(file)).unwrap();
        let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
        for vector in &vectors {
            println!("{file}: {}", vector["name"]);
            for cut in [false, true] {
                let mut runner = Runner::new(vector, cut);
                for step in vector["steps"].as_array().unwrap() {
                    runner.step(step);
                }
            }
            count += 1;
        }
    }
    assert!(count >= 70, "{count}");
}

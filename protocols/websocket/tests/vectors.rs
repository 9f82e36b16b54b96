//! The JSON vectors: connections as steps, each whole and byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Side, TransmitBuf};
use libp2p_proto_websocket::{CloseCode, Error, Event, WebSocket};
use serde_json::Value;
use std::{fs, path::Path};
use support::{NOW, frames, hex, transmit, unhex};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/vectors/websocket");

struct Runner {
    socket: WebSocket,
    side: Side,
    /// Feeds inputs byte by byte.
    cut: bool,
    accept: String,
    left: Vec<u8>,
    payload: Vec<u8>,
    output: Vec<u8>,
    error: Option<Error>,
}

impl Runner {
    fn new(vector: &Value, cut: bool) -> Self {
        let side = match vector["side"].as_str().unwrap() {
            "dialer" => Side::Dialer,
            _ => Side::Listener,
        };
        Self {
            socket: if vector["open"] == true {
                support::open(side)
            } else {
                support::of(side)
            },
            side,
            cut,
            accept: String::new(),
            left: Vec::new(),
            payload: Vec::new(),
            output: Vec::new(),
            error: None,
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        let step = if self.cut { 1 } else { bytes.len().max(1) };
        for part in bytes.chunks(step) {
            self.left.extend_from_slice(part);
            let payload = &mut self.payload;
            let taken = self.socket.handle_input(NOW, &mut self.left, |data| {
                payload.extend_from_slice(data);
                Ok::<_, Error>(data.len())
            });
            match taken {
                Ok(taken) => drop(self.left.drain(..taken)),
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            }
        }
    }

    fn output(&mut self) -> Vec<u8> {
        let mut output = std::mem::take(&mut self.output);
        output.extend(transmit(&mut self.socket, NOW));
        output
    }

    /// What leaves next, up to the end of a head of HTTP.
    fn head(&mut self) -> String {
        let output = self.output();
        let end = output
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map_or(output.len(), |at| at + 4);
        self.output = output[end..].to_vec();
        String::from_utf8(output[..end].to_vec()).unwrap()
    }

    fn step(&mut self, step: &Value) {
        let (key, value) = step.as_object().unwrap().iter().next().unwrap();
        let text = value.as_str().unwrap_or_default();
        match key.as_str() {
            "text" => self.input(text.replace("{accept}", &self.accept).as_bytes()),
            "input" => self.input(&unhex(text)),
            "request" => {
                let request = self.head();
                let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap()[..24].to_owned();
                self.accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
                if !value.is_null() {
                    assert_eq!(request.replace(&key, "{key}"), text);
                }
            }
            "answer" => assert_eq!(self.head(), text),
            "output" => assert_eq!(hex(&self.output()), hex(&unhex(text))),
            "frames" => {
                let output = self.output();
                let got = frames(&output, self.side.is_dialer())
                    .into_iter()
                    .map(|(first, payload)| {
                        let name = match first {
                            0x82 => "binary",
                            0x88 => "close",
                            0x8a => "pong",
                            other => panic!("a frame that begins {other:#x}"),
                        };
                        Value::from(format!("{name} {}", hex(&payload)))
                    });
                assert_eq!(*value, got.collect::<Value>());
            }
            "payload" => assert_eq!(hex(&std::mem::take(&mut self.payload)), hex(&unhex(text))),
            "events" => {
                let mut got = Vec::new();
                while let Some(event) = self.socket.poll_event() {
                    got.push(match event {
                        Event::Opened => "opened".to_owned(),
                        Event::Closed { code } => format!("closed {}", code.get()),
                        other => panic!("{other:?}"),
                    });
                }
                assert_eq!(got, serde_json::from_value::<Vec<String>>(value.clone()).unwrap());
            }
            "error" => assert_eq!(self.error.take().map(|error| error.code()), value.as_str()),
            "write" => {
                let waiting = transmit(&mut self.socket, NOW);
                self.output.extend(waiting);
                let payload = unhex(text);
                let mut out = TransmitBuf::new(&mut self.output, 1 << 20);
                self.socket.poll_transmit(NOW, &mut out, |out| out.put(&payload));
            }
            "do" => {
                assert_eq!(value[0], "close");
                let code = u16::try_from(value[1].as_u64().unwrap()).unwrap();
                self.socket.close(NOW, CloseCode::new(code).unwrap());
            }
            "eof" => assert_eq!(
                self.socket.handle_eof(NOW).err().map(|error| error.code()),
                value.as_str()
            ),
            "closed" => assert_eq!(Value::from(self.socket.is_closed()), *value),
            other => panic!("unknown step {other}"),
        }
        assert!(self.error.is_none() || matches!(key.as_str(), "input" | "text" | "events"));
    }
}

// covers: WSK-030
#[test]
fn every_vector_gives_the_listed_events_and_bytes_whole_and_byte_by_byte() {
    if !Path::new(VECTORS).exists() {
        println!("skipped: the vectors are not part of the package");
        return;
    }
    let mut count = 0;
    for file in ["upgrade.json", "sessions.json", "hostile.json"] {
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
    assert!(count >= 150, "{count}");
}

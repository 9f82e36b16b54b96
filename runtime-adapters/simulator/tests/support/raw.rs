//! A peer that does the handshake by the book and then says whatever it likes.

use libp2p_proto_core::{Rng, Side, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_noise::{self as noise, Handshake, Sealer};
use libp2p_proto_simulator::{Actor, ActorLink, Heard, Stage};
use std::{sync::Arc, time::Duration};

pub const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
pub const NOISE: &[u8] = b"\x07/noise\n";

/// Dials `target`, authenticates, and says `script`, part by part, ten milliseconds apart.
pub struct Raw {
    target: usize,
    keys: Arc<noise::Config>,
    handshake: Option<Handshake>,
    sealer: Option<Sealer>,
    link: Option<ActorLink>,
    tail: Vec<u8>,
    script: Vec<Vec<u8>>,
    agreed: bool,
}

impl Raw {
    pub fn new(target: usize, key: u8, script: Vec<Vec<u8>>) -> Self {
        Self::with_seed(target, [key; 32], script)
    }

    pub fn with_seed(target: usize, seed: [u8; 32], script: Vec<Vec<u8>>) -> Self {
        let identity = Identity::from(Keypair::ed25519_from_seed(seed));
        let keys = noise::Config::new(&identity, &mut Rng::from_seed(seed)).unwrap();
        Self {
            target,
            keys: Arc::new(keys),
            handshake: None,
            sealer: None,
            link: None,
            tail: Vec::new(),
            script,
            agreed: false,
        }
    }

    fn go_on(&mut self, cx: &mut Stage<'_>, link: ActorLink) {
        if !self.agreed {
            let hello = [HEADER, NOISE].concat();
            if self.tail.len() < hello.len() {
                return;
            }
            assert_eq!(self.tail[..hello.len()], hello);
            self.tail.drain(..hello.len());
            self.agreed = true;
            let seed = cx.dice.bytes32();
            self.handshake = Some(Handshake::new(self.keys.clone(), Side::Dialer, None, seed));
        }
        let Some(handshake) = &mut self.handshake else {
            return;
        };
        let taken = handshake.handle_input(&mut self.tail).unwrap();
        self.tail.drain(..taken);
        let mut out = Vec::new();
        while handshake.poll_transmit(&mut TransmitBuf::new(&mut out, 4096)) {}
        if !out.is_empty() {
            cx.write(link, out);
        }
        if handshake.is_finished() {
            let done = self.handshake.take().unwrap().finish().unwrap();
            self.sealer = Some(done.sealer);
            cx.note("authenticated");
            cx.wake_at(cx.now + Duration::from_millis(10));
        }
    }

    fn say(&mut self, cx: &mut Stage<'_>) {
        let (Some(sealer), Some(link)) = (&mut self.sealer, self.link) else {
            return;
        };
        if self.script.is_empty() {
            return;
        }
        let part = self.script.remove(0);
        for piece in part.chunks(noise::MAX_PLAINTEXT) {
            let mut wire = Vec::new();
            let mut out = TransmitBuf::new(&mut wire, noise::MAX_FRAME + 2);
            sealer.seal(&mut out, |body| assert!(body.put(piece))).unwrap();
            cx.write(link, wire);
        }
        cx.wake_at(cx.now + Duration::from_millis(10));
    }
}

impl Actor for Raw {
    fn handle(&mut self, cx: &mut Stage<'_>, heard: Heard<'_>) {
        match heard {
            Heard::Start => cx.dial(self.target),
            Heard::Opened { link, .. } => {
                self.link = Some(link);
                cx.write(link, [HEADER, NOISE].concat());
            }
            Heard::Bytes { link, bytes } => {
                self.tail.extend_from_slice(bytes);
                if self.sealer.is_none() {
                    self.go_on(cx, link);
                }
            }
            Heard::Ended { .. } | Heard::Broken { .. } => {
                self.sealer = None;
                cx.note("closed");
            }
            Heard::Wake => self.say(cx),
            _ => {}
        }
    }
}

/// A frame of yamux: type, flags, stream, length, body.
pub fn frame(kind: u8, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend_from_slice(&flags.to_be_bytes());
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

//! tungstenite as the other end, in both roles.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{Rng, Side, TransmitBuf};
use libp2p_proto_websocket::{CloseCode, Error, Event, WebSocket};
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    rc::Rc,
};
use support::{NOW, of, rng};
use tungstenite::{
    HandshakeError, Message,
    handshake::{HandshakeRole, MidHandshake},
    protocol::{CloseFrame, frame::coding::CloseCode as TheirCode},
};

/// A link in memory: what we sent and they have not read, and what they wrote.
#[derive(Clone, Default)]
struct Link(Rc<RefCell<(Vec<u8>, Vec<u8>)>>);

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (there, _) = &mut *self.0.borrow_mut();
        let len = buf.len().min(there.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf[..len].copy_from_slice(&there[..len]);
        there.drain(..len);
        Ok(len)
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().1.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Ours {
    socket: WebSocket,
    link: Link,
    left: Vec<u8>,
    got: Vec<u8>,
}

impl Ours {
    fn send(&mut self, payload: &[u8]) {
        let (there, _) = &mut *self.link.0.borrow_mut();
        let mut payload = Some(payload).filter(|payload| !payload.is_empty());
        while self
            .socket
            .poll_transmit(NOW, &mut TransmitBuf::new(there, 1 << 20), |out| {
                payload.take().is_some_and(|payload| out.put(payload))
            })
        {}
    }

    /// Takes what they wrote, in pieces.
    fn receive(&mut self, piece: usize) {
        let wire = std::mem::take(&mut self.link.0.borrow_mut().1);
        for part in wire.chunks(piece) {
            self.left.extend_from_slice(part);
            let got = &mut self.got;
            let taken = self.socket.handle_input(NOW, &mut self.left, |data| {
                got.extend_from_slice(data);
                Ok::<_, Error>(data.len())
            });
            self.left.drain(..taken.unwrap());
        }
    }
}

/// Lets their handshake come to its end.
fn shake<R: HandshakeRole>(
    ours: &mut Ours,
    mut theirs: Result<R::FinalResult, HandshakeError<R>>,
) -> R::FinalResult {
    for _ in 0..100 {
        match theirs {
            Ok(done) => return done,
            Err(HandshakeError::Interrupted(mid)) => {
                ours.receive(1);
                ours.send(b"");
                theirs = MidHandshake::handshake(mid);
            }
            Err(HandshakeError::Failure(error)) => panic!("{error}"),
        }
    }
    panic!("no end of the upgrade");
}

fn pair(side: Side) -> (Ours, tungstenite::WebSocket<Link>) {
    let link = Link::default();
    let mut ours = Ours {
        socket: of(side),
        link: link.clone(),
        left: Vec::new(),
        got: Vec::new(),
    };
    ours.send(b"");
    let theirs = match side {
        Side::Dialer => {
            let theirs = tungstenite::accept(link);
            shake(&mut ours, theirs)
        }
        Side::Listener => {
            let theirs = tungstenite::client("ws://example.com:4001/", link);
            shake(&mut ours, theirs).0
        }
    };
    ours.receive(1);
    assert!(ours.socket.is_open());
    (ours, theirs)
}

fn bytes(dice: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| u8::try_from(dice.below(256)).unwrap()).collect()
}

// covers: WSK-003, WSK-030, WSK-037
#[test]
fn messages_of_every_length_form_go_both_ways() {
    for side in [Side::Dialer, Side::Listener] {
        let (mut ours, mut theirs) = pair(side);
        let mut dice = rng(5);
        for len in [1, 2, 125, 126, 127, 1000, 65_535, 65_536, 100_000] {
            let message = bytes(&mut dice, len);
            theirs.send(Message::binary(message.clone())).unwrap();
            ours.receive(1 + usize::try_from(dice.below(5000)).unwrap());
            assert_eq!(std::mem::take(&mut ours.got), message);
            if len <= 65_535 {
                ours.send(&message);
                assert_eq!(theirs.read().unwrap(), Message::binary(message));
            }
        }
    }
}

// covers: WSK-041, WSK-042
#[test]
fn pings_are_answered_both_ways() {
    for side in [Side::Dialer, Side::Listener] {
        let (mut ours, mut theirs) = pair(side);
        theirs.send(Message::Ping("are you there?".into())).unwrap();
        ours.receive(3);
        ours.send(b"");
        assert_eq!(theirs.read().unwrap(), Message::Pong("are you there?".into()));
        theirs.send(Message::Pong("unasked".into())).unwrap();
        ours.receive(3);
        ours.send(b"still here");
        assert_eq!(theirs.read().unwrap(), Message::binary("still here"));
    }
}

// covers: WSK-060, WSK-061
#[test]
fn either_side_closes_and_both_know_the_code() {
    for side in [Side::Dialer, Side::Listener] {
        let (mut ours, mut theirs) = pair(side);
        ours.socket.close(NOW, CloseCode::GOING_AWAY);
        ours.send(b"");
        let Message::Close(Some(frame)) = theirs.read().unwrap() else {
            panic!("no close frame")
        };
        assert_eq!(frame.code, TheirCode::Away);
        let _closed = theirs.flush();
        ours.receive(1);
        assert!(ours.socket.is_closed());

        let (mut ours, mut theirs) = pair(side);
        let frame = CloseFrame {
            code: TheirCode::Library(3999),
            reason: "enough".into(),
        };
        theirs.close(Some(frame)).unwrap();
        ours.receive(1);
        assert_eq!(ours.socket.poll_event(), Some(Event::Opened));
        assert_eq!(
            ours.socket.poll_event(),
            CloseCode::new(3999).map(|code| Event::Closed { code })
        );
        ours.send(b"");
        assert!(ours.socket.is_closed());
        assert!(matches!(
            theirs.read(),
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed)
        ));
    }
}

#[test]
fn what_they_refuse_in_a_frame_we_refuse_as_well() {
    let mut dice = rng(6);
    let mut refused = 0;
    for _ in 0..3000 {
        let (mut ours, mut theirs) = pair(Side::Listener);
        // Frames to a client, from the server that we play: small, with random heads.
        let mut client = support::open(Side::Dialer);
        let first = u8::try_from(dice.below(256)).unwrap();
        let len = usize::try_from(dice.below(8)).unwrap();
        let wire = [&[first, u8::try_from(len).unwrap()][..], &bytes(&mut dice, len)].concat();
        ours.link.0.borrow_mut().0.extend_from_slice(&wire);
        let theirs = theirs.read();
        let our_result = support::feed(&mut client, NOW, &wire);
        let they_refuse = matches!(
            &theirs,
            Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_))
        );
        // Text is fine to them; a bad code of a close frame is answered by them, and an error to us.
        if they_refuse {
            assert!(our_result.is_err(), "{wire:02x?}: {theirs:?}");
            refused += 1;
        } else if first & 0x0f != 1 && first & 0x0f != 8 {
            assert!(our_result.is_ok(), "{wire:02x?}: {theirs:?} {our_result:?}");
        }
        ours.left.clear();
    }
    assert!(refused > 1000, "{refused}");
}

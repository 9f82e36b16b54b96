//! Both sides over a link that cuts as it likes, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_core::{Instant, RecvBuf, Rng, Side, TransmitBuf};
use libp2p_proto_websocket::{CloseCode, Config, Error, Event, WebSocket};
use proptest::prelude::*;
use support::{NOW, rng};

struct End {
    socket: WebSocket,
    recv: RecvBuf,
    /// Bytes on the way to this end.
    link: Vec<u8>,
    to_send: Vec<u8>,
    got: Vec<u8>,
    events: Vec<Event>,
    /// The layer above takes blocks of this size.
    block: usize,
}

impl End {
    fn new(side: Side, config: Config, to_send: Vec<u8>, block: usize) -> Self {
        Self {
            socket: match side {
                Side::Dialer => WebSocket::client(config, "[::1]:4001", "a/b", rng(1), NOW).unwrap(),
                Side::Listener => WebSocket::server(config, NOW).unwrap(),
            },
            recv: RecvBuf::new(),
            link: Vec::new(),
            to_send,
            got: Vec::new(),
            events: Vec::new(),
            block,
        }
    }

    fn transmit(&mut self, now: Instant, room: usize, piece: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        let to_send = &mut self.to_send;
        self.socket
            .poll_transmit(now, &mut TransmitBuf::new(&mut wire, room), |out| {
                let len = piece.min(to_send.len()).min(out.remaining());
                let now: Vec<u8> = to_send.drain(..len).collect();
                out.put(&now) && len > 0
            });
        wire
    }

    fn receive(&mut self, now: Instant, len: usize) -> Result<(), Error> {
        let len = len.min(self.link.len());
        let part: Vec<u8> = self.link.drain(..len).collect();
        self.recv.spare_mut(len)[..len].copy_from_slice(&part);
        self.recv.fill(len);
        let (got, block) = (&mut self.got, self.block);
        let taken = self.socket.handle_input(now, self.recv.filled_mut(), |data| {
            let whole = data.len() - data.len() % block;
            got.extend_from_slice(&data[..whole]);
            Ok::<_, Error>(whole)
        })?;
        self.recv.consume(taken);
        self.events
            .extend(std::iter::from_fn(|| self.socket.poll_event()));
        Ok(())
    }
}

/// Lets both ends talk until nothing is on its way; answers the time it took.
fn run(ends: &mut [End; 2], dice: &mut Rng, latency: Duration) -> Instant {
    let mut now = NOW;
    for _ in 0..1_000_000 {
        let mut quiet = true;
        for (from, to) in [(0, 1), (1, 0)] {
            let room = 600 + usize::try_from(dice.below(5000)).unwrap();
            let piece = 1 + usize::try_from(dice.below(3000)).unwrap();
            let wire = ends[from].transmit(now, room, piece);
            quiet &= wire.is_empty() && ends[to].link.is_empty();
            ends[to].link.extend(wire);
            let len = 1 + usize::try_from(dice.below(4000)).unwrap();
            ends[to].receive(now, len).unwrap();
        }
        if quiet {
            return now;
        }
        now = now + latency;
    }
    panic!("they talk without end");
}

fn bytes(len: usize, salt: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at * 7 + salt) % 256).unwrap())
        .collect()
}

#[test]
fn both_sides_talk_and_close_in_order() {
    let (there, back) = (bytes(300_000, 1), bytes(200_000, 2));
    let mut ends = [
        End::new(Side::Dialer, Config::default(), there.clone(), 1),
        End::new(Side::Listener, Config::default(), back.clone(), 1),
    ];
    run(&mut ends, &mut rng(9), Duration::from_micros(100));
    assert_eq!(ends[1].got, there);
    assert_eq!(ends[0].got, back);
    assert_eq!(ends[0].events, [Event::Opened]);
    assert_eq!(ends[1].events, [Event::Opened]);
    let stats = ends.each_ref().map(|end| end.socket.stats());
    assert_eq!((stats[0].bytes_out, stats[1].bytes_in), (300_000, 300_000));
    assert_eq!((stats[1].bytes_out, stats[0].bytes_in), (200_000, 200_000));
    assert_eq!(stats[0].frames_out, stats[1].frames_in);

    ends[1].socket.close(NOW, CloseCode::GOING_AWAY);
    run(&mut ends, &mut rng(9), Duration::ZERO);
    let closed = Event::Closed {
        code: CloseCode::GOING_AWAY,
    };
    assert_eq!(ends[0].events, [Event::Opened, closed]);
    assert_eq!(ends[1].events, [Event::Opened, closed]);
    for end in &mut ends {
        assert!(end.socket.is_closed());
        assert_eq!(end.socket.handle_eof(NOW), Ok(()));
    }
}

// covers: WSK-069
#[test]
fn both_sides_may_close_at_once() {
    let mut ends =
        [Side::Dialer, Side::Listener].map(|side| End::new(side, Config::default(), Vec::new(), 1));
    run(&mut ends, &mut rng(9), Duration::ZERO);
    for end in &mut ends {
        end.socket.close(NOW, CloseCode::NORMAL);
    }
    run(&mut ends, &mut rng(9), Duration::ZERO);
    assert!(ends.iter().all(|end| end.socket.is_closed()));
}

// covers: WSK-018
#[test]
fn a_slow_link_is_given_up_at_the_deadline() {
    let config = Config {
        upgrade_timeout: Duration::from_millis(100),
        ..Config::default()
    };
    let mut server = WebSocket::server(config, NOW).unwrap();
    let now = NOW + Duration::from_millis(100);
    assert_eq!(server.handle_timeout(now), Err(Error::UpgradeTimeout));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // covers: WSK-030, WSK-031
    #[test]
    fn every_byte_arrives_once_and_in_order_however_it_is_cut(
        seed: [u8; 32],
        there in prop::collection::vec(any::<u8>(), 0..20_000),
        back in prop::collection::vec(any::<u8>(), 0..20_000),
        max in 1_usize..3000,
        blocks in (1_usize..300, 1_usize..300),
    ) {
        let config = Config { max_sent_frame: max, ..Config::default() };
        let mut ends = [
            End::new(Side::Dialer, config, there.clone(), blocks.0),
            End::new(Side::Listener, config, back.clone(), blocks.1),
        ];
        run(&mut ends, &mut Rng::from_seed(seed), Duration::from_micros(1));
        prop_assert_eq!(&ends[1].got[..], &there[..there.len() - there.len() % blocks.1]);
        prop_assert_eq!(&ends[0].got[..], &back[..back.len() - back.len() % blocks.0]);
    }

    /// Whatever comes, the machine neither panics nor takes more than there is nor says more than it must.
    #[test]
    fn no_bytes_make_it_panic_or_talk(
        side in prop::bool::ANY.prop_map(|is| if is { Side::Dialer } else { Side::Listener }),
        is_open: bool,
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        piece in 1_usize..100,
    ) {
        let mut socket = if is_open { support::open(side) } else { support::of(side) };
        support::transmit(&mut socket, NOW);
        let mut left = Vec::new();
        let mut said = 0;
        for part in bytes.chunks(piece) {
            left.extend_from_slice(part);
            match socket.handle_input(NOW, &mut left, |data| Ok::<_, Error>(data.len() / 2)) {
                Ok(taken) => drop(left.drain(..taken)),
                Err(_) => break,
            }
            said += support::transmit(&mut socket, NOW).len();
        }
        said += support::transmit(&mut socket, NOW).len();
        prop_assert!(said <= 200 + 3 * bytes.len());
    }
}

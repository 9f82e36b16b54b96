//! A live session between two nodes on tokio, recorded and repeated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_identify::{Config as IdentifyConfig, Identify};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_os::Entropy;
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::Ping;
use libp2p_proto_recorder::{Divergence, Recorder, Replay, Step};
use libp2p_proto_stream_protocol::{Dial, Protocol};
use libp2p_proto_swarm::{Config as Limits, Swarm};
use libp2p_proto_tokio::{App, Config, spawn};
use std::{
    io::{self, Cursor, Write},
    sync::{Arc, Mutex},
};

/// A file in memory.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Node {
    identify: Identify,
    ping: Ping,
    perf: Perf,
    identified: bool,
}

impl Node {
    fn new(identity: &Identity) -> Self {
        let serve = perf::Config {
            serve: true,
            ..perf::Config::default()
        };
        Self {
            identify: Identify::new(identity.clone(), IdentifyConfig::default()).unwrap(),
            ping: Ping::new(libp2p_proto_ping::Config::default()).unwrap(),
            perf: Perf::new(serve).unwrap(),
            identified: false,
        }
    }
}

impl App for Node {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![&mut self.identify, &mut self.ping, &mut self.perf]
    }

    fn after_drive(&mut self) {
        self.identified |= self.identify.poll_event().is_some();
    }
}

/// The secret of the recorded identity, and the entropy of its node.
const SECRET: [u8; 32] = [0xA5; 32];
const ENTROPY: [u8; 32] = [0xC3; 32];

fn of(seed: [u8; 32]) -> Identity {
    Identity::from(Keypair::ed25519_from_seed(seed))
}

/// Which node of a session is recorded.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Listener,
    Dialer,
}

/// What one node of a session recorded, within so many bytes.
async fn record(role: Role, limit: u64) -> (Vec<u8>, Recorder) {
    let file = Shared::default();
    let (recorder, signing) = Recorder::new(of(SECRET), "a test", file.clone(), limit);
    let start = |of_role| {
        if of_role == role {
            let config = Config {
                recorder: Some(recorder.clone()),
                entropy: Entropy(|bytes| {
                    bytes.copy_from_slice(&ENTROPY[..bytes.len()]);
                    Ok(())
                }),
                ..Config::default()
            };
            spawn(of(SECRET), config, Node::new(&signing)).unwrap()
        } else {
            spawn(of([1; 32]), Config::default(), Node::new(&of([1; 32]))).unwrap()
        }
    };
    let (listener, dialer) = (start(Role::Listener), start(Role::Dialer));
    let addr = listener
        .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .await
        .unwrap();
    // The application signs something of its own: nobody asks for that again.
    signing.sign(b"a text").unwrap();
    // An address that is worth a signature; loopback is not.
    for node in [&listener, &dialer] {
        let public = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        node.call(move |swarm, _, now| swarm.handle_listening(now, public, true))
            .await
            .unwrap();
    }
    let (peer, _) = dialer.dial(Dial::addr(addr)).await.unwrap();
    dialer
        .call(move |_, app, _| app.ping.ping(peer, 3))
        .await
        .unwrap()
        .unwrap();
    dialer
        .call(move |swarm, app, _| {
            swarm.tag(peer, "a friend", 5);
            app.perf.run(peer, 100_000, 100_000)
        })
        .await
        .unwrap()
        .unwrap();
    let done = |app: &mut Node| {
        std::iter::from_fn(|| app.perf.poll_event()).find(|event| matches!(event, perf::Event::Done { .. }))
    };
    dialer.next(done).await.unwrap();
    for node in [&listener, &dialer] {
        node.next(|app| app.identified.then_some(())).await.unwrap();
    }
    dialer.close().await;
    listener.close().await;
    recorder.flush();
    let recorded = file.0.lock().unwrap().clone();
    (recorded, recorder)
}

/// Repeats a recording: how it ended, its trace, and the number of lines.
fn repeat(recorded: &[u8]) -> (Result<Option<Step>, Divergence>, u64, usize) {
    let mut replay = Replay::open(Cursor::new(recorded)).unwrap();
    let identity = replay.identity();
    let mut node = Node::new(&identity);
    let dice = replay.header().dice.clone();
    let mut swarm = Swarm::with_dice(identity, Limits::default(), &dice, &mut node.protocols()).unwrap();
    let end = loop {
        match replay.step(&mut swarm, &mut node.protocols()) {
            Ok(Some(end @ (Step::Stopped | Step::Cut))) => break Ok(Some(end)),
            Ok(Some(_)) => {}
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(replay.unseen(), None);
    (end, replay.trace(), replay.line())
}

fn lines(recorded: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(recorded).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect()
}

#[tokio::test]
async fn a_recorded_session_gives_the_same_trace_when_it_is_repeated_on_either_side() {
    for role in [Role::Listener, Role::Dialer] {
        let (recorded, recorder) = record(role, 1 << 30).await;
        assert!(recorder.is_whole());
        for _ in 0..2 {
            let (end, trace, read) = repeat(&recorded);
            assert!(matches!(end, Ok(None)), "{end:?}");
            assert_eq!(trace, recorder.trace());
            assert_eq!(read, lines(&recorded).len());
        }
    }
}

#[tokio::test]
async fn a_command_that_is_left_out_or_changed_is_missed() {
    let (recorded, _) = record(Role::Dialer, 1 << 30).await;
    let good = lines(&recorded);
    let place = good
        .iter()
        .position(|line| line.contains(" command 1 - ping ") && line.ends_with(" 3"))
        .unwrap();
    let mut left_out = good.clone();
    left_out.remove(place);
    let mut changed = good.clone();
    changed[place] = changed[place].replace(" 3", " 4");
    for bad in [left_out, changed] {
        let (end, ..) = repeat(&joined(&bad));
        let Err(Divergence::Differs { line, .. }) = end else {
            panic!("{end:?}")
        };
        assert!(line > place, "{line}");
    }
}

#[tokio::test]
async fn a_recording_holds_no_secret_and_says_so() {
    let (recorded, _) = record(Role::Listener, 1 << 30).await;
    let text = String::from_utf8(recorded.clone()).unwrap();
    assert!(text.starts_with("libp2p-proto-recording version=2 level=swarm keys=none "));
    for secret in [SECRET, ENTROPY] {
        let hex = data_encoding::HEXLOWER.encode(&secret);
        // A quarter of it would do too.
        assert!(!text.contains(&hex[..16]));
        assert!(!recorded.windows(8).any(|part| part == &secret[..8]));
    }
    assert!(lines(&recorded).iter().any(|line| line.starts_with("signature ")));
}

#[tokio::test]
async fn a_changed_line_is_found_where_something_else_comes_out() {
    let (recorded, _) = record(Role::Listener, 1 << 30).await;
    let good = lines(&recorded);
    // What was read from a stream is answered otherwise: the address that a listener is told.
    let place = good.iter().position(|line| line.contains(" listening ")).unwrap();
    let mut bad = good.clone();
    bad[place] = bad[place].replace("127.0.0.1", "127.0.0.2");
    let (end, _, _) = repeat(&joined(&bad));
    let Err(Divergence::Differs { line, got }) = end else {
        panic!("{end:?}")
    };
    assert!(good[line - 1].starts_with("event "), "{}", good[line - 1]);
    assert!(got.unwrap().contains("127.0.0.2"));

    // An output that never was.
    let mut bad = good.clone();
    let place = bad.iter().position(|line| line.starts_with("action ")).unwrap();
    bad[place] = String::from("action 0123456789abcdef");
    let (end, _, _) = repeat(&joined(&bad));
    assert!(
        matches!(end, Err(Divergence::Differs { line, .. }) if line == place + 1),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_recording_that_is_cut_off_anywhere_is_good_up_to_there() {
    let (recorded, _) = record(Role::Listener, 1 << 30).await;
    let head = recorded.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in (head..recorded.len()).step_by(recorded.len() / 97) {
        let (end, ..) = repeat(&recorded[..cut]);
        assert!(matches!(end, Ok(None | Some(Step::Cut))), "{cut}: {end:?}");
    }
}

#[tokio::test]
async fn a_recording_stops_at_its_limit_and_says_so() {
    let limit = 20_000;
    let (recorded, recorder) = record(Role::Listener, limit).await;
    assert!(!recorder.is_whole());
    assert!(recorded.len() <= usize::try_from(limit).unwrap());
    assert!(recorded.ends_with(b"\nstopped\n"));
    let (end, trace, _) = repeat(&recorded);
    assert!(matches!(end, Ok(Some(Step::Stopped))), "{end:?}");
    assert_eq!(trace, recorder.trace());
}

#[tokio::test]
async fn a_line_that_says_nothing_is_named() {
    let (recorded, _) = record(Role::Listener, 1 << 30).await;
    for (bad, words) in [
        ("12 dance", "verb"),
        ("x listening /ip4/127.0.0.1/tcp/1 up", "time"),
        ("12 listening nowhere up", "address"),
        ("12 listening /ip4/127.0.0.1/tcp/1 sideways", "up or down"),
        ("12 listening", "ends where address"),
        ("12 news 1 frame 0 x0", "frame"),
        ("12 news 1 closed 0 Gone", "cause"),
        ("12 close now", "more than"),
        ("12 command 9 - poll", "not there"),
        ("12 command 1 - dance", "not a command"),
        ("12 command 1 x poll", "digest"),
        ("12 command", "place"),
        ("12 resolved 1 found ip=x", "record"),
        ("12 dial-failed 1 transport %zz", "escape"),
        ("action 12x", "digest"),
        ("", "something"),
    ] {
        let mut lines = lines(&recorded);
        lines[1] = bad.to_owned();
        let (end, ..) = repeat(&joined(&lines));
        let error = end.unwrap_err().to_string();
        assert!(
            error.starts_with("line 2: ") && error.contains(words),
            "{bad:?}: {error}"
        );
    }
}

#[test]
fn a_first_line_of_something_else_is_refused_with_its_reason() {
    for (text, words) in [
        ("", "no whole first line"),
        ("hello\n", "not a recording"),
        ("libp2p-proto-recording level=swarm\n", "no version"),
        ("libp2p-proto-recording version=1 level=swarm\n", "version 1"),
        (
            "libp2p-proto-recording version=2 level=full\n",
            "level of the swarm",
        ),
        (
            "libp2p-proto-recording version=2 level=swarm key=00\n",
            "wrong key",
        ),
    ] {
        let error = Replay::open(Cursor::new(text)).unwrap_err().to_string();
        assert!(
            error.starts_with("line 1: ") && error.contains(words),
            "{text:?}: {error}"
        );
    }
}

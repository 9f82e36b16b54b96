//! Raw streams between two nodes, over real sockets on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{PeerId, ProtocolName};
use libp2p_proto_identify::Identify;
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{Closed, Context, Dial, DialError, Framing, Input, Protocol, StreamSpec};
use libp2p_proto_tokio::{App, Config, DialFailure, Handle, OpenFailure, Stream, spawn};
use std::{future::Future, io::ErrorKind, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const RAW: ProtocolName = ProtocolName::from_static("/raw/1");
const OTHER: ProtocolName = ProtocolName::from_static("/other/1");

struct Nothing;

impl App for Nothing {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![]
    }
}

/// Runs a test on both flavours of tokio, for half a minute at most.
fn on_tokio<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for mut builder in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        builder
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), test()).await })
            .expect("the test ends in time");
    }
}

fn node(seed: u8, names: &[ProtocolName]) -> Handle<Nothing> {
    let config = Config {
        streams: names.to_vec(),
        ..Config::default()
    };
    spawn(
        Identity::from(Keypair::ed25519_from_seed([seed; 32])),
        config,
        Nothing,
    )
    .unwrap()
}

/// Two nodes that are connected, and the second one's id.
async fn pair(theirs: &[ProtocolName]) -> (Handle<Nothing>, Handle<Nothing>, PeerId) {
    let (a, b) = (node(1, &[RAW]), node(2, theirs));
    let addr = b.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let (peer, _) = a.dial(Dial::addr(addr)).await.unwrap();
    assert_eq!(peer, b.peer_id());
    (a, b, peer)
}

async fn stream() -> (Handle<Nothing>, Handle<Nothing>, Stream, Stream) {
    let (a, b, peer) = pair(&[RAW]).await;
    let (ours, theirs) = tokio::join!(a.open(peer, RAW), b.accept());
    let incoming = theirs.unwrap();
    assert_eq!((incoming.peer, &incoming.name), (a.peer_id(), &RAW));
    (a, b, ours.unwrap(), incoming.stream)
}

#[test]
fn bytes_arrive_whole_in_both_directions_at_once() {
    on_tokio(|| async {
        let (_a, _b, ours, mut theirs) = stream().await;
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let copy = sent.clone();
        let echo = tokio::spawn(async move {
            let (mut reading, mut writing) = tokio::io::split(&mut theirs);
            tokio::io::copy(&mut reading, &mut writing).await.unwrap();
            writing.shutdown().await.unwrap();
        });
        let (mut reading, mut writing) = tokio::io::split(ours);
        let writer = tokio::spawn(async move {
            writing.write_all(&copy).await.unwrap();
            writing.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        reading.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), sent.len());
        assert!(got == sent);
        writer.await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn a_half_that_is_shut_down_leaves_the_other_open() {
    on_tokio(|| async {
        let (_a, _b, mut ours, mut theirs) = stream().await;
        ours.shutdown().await.unwrap();
        assert_eq!(theirs.read(&mut [0; 8]).await.unwrap(), 0);
        theirs.write_all(b"still here").await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "still here");
        let error = ours.write_all(b"more").await.unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ));
    });
}

#[test]
fn what_was_written_before_a_drop_arrives_if_the_stream_was_shut_down() {
    on_tokio(|| async {
        let (_a, _b, mut ours, mut theirs) = stream().await;
        ours.write_all(&vec![7; 100_000]).await.unwrap();
        ours.shutdown().await.unwrap();
        drop(ours);
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, vec![7; 100_000]);
    });
}

#[test]
fn a_drop_without_shutdown_resets_the_stream() {
    on_tokio(|| async {
        let (_a, _b, mut ours, mut theirs) = stream().await;
        ours.write_all(b"x").await.unwrap();
        ours.flush().await.unwrap();
        drop(ours);
        let error = loop {
            match theirs.read(&mut [0; 8]).await {
                Ok(n) => assert_eq!(n, 1),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(
            error.get_ref().and_then(|cause| cause.downcast_ref::<Closed>()),
            Some(&Closed::Reset)
        );
    });
}

#[test]
fn a_writer_waits_while_the_peers_application_does_not_read() {
    on_tokio(|| async {
        let (_a, _b, mut ours, mut theirs) = stream().await;
        // Far more than any window and any queue between the two applications.
        let total = 16 << 20;
        let mut written = 0;
        let chunk = vec![9; 65536];
        while let Ok(n) = tokio::time::timeout(Duration::from_millis(300), ours.write(&chunk)).await {
            written += n.unwrap();
            assert!(written < 3 << 20, "nobody reads, and {written} bytes were taken");
        }
        assert!(written > 0);
        let writer = tokio::spawn(async move {
            while written < total {
                written += ours
                    .write(&chunk[..chunk.len().min(total - written)])
                    .await
                    .unwrap();
            }
            ours.shutdown().await.unwrap();
        });
        let mut got = 0;
        let mut buf = vec![0; 65536];
        loop {
            match theirs.read(&mut buf).await.unwrap() {
                0 => break,
                n => got += n,
            }
        }
        assert_eq!(got, total);
        writer.await.unwrap();
    });
}

#[test]
fn a_name_that_the_peer_does_not_speak_is_refused_with_the_cause() {
    on_tokio(|| async {
        let (a, _b, peer) = pair(&[OTHER]).await;
        assert_eq!(
            a.open(peer, RAW).await.unwrap_err(),
            OpenFailure::Failed(Closed::Refused)
        );
        assert!(matches!(
            a.open(peer, OTHER).await.unwrap_err(),
            OpenFailure::Streams(_)
        ));
        let stranger = Identity::from(Keypair::ed25519_from_seed([9; 32])).peer_id();
        assert!(matches!(
            a.open(stranger, RAW).await.unwrap_err(),
            OpenFailure::Refused(_)
        ));
    });
}

#[test]
fn the_end_of_the_peers_node_ends_streams_with_the_cause() {
    on_tokio(|| async {
        let (_a, b, mut ours, mut theirs) = stream().await;
        b.close().await;
        let error = ours.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(theirs.read(&mut [0; 8]).await.is_err());
        assert!(b.accept().await.is_err());
    });
}

#[test]
fn a_stream_outlives_neither_its_node_nor_a_dropped_handle() {
    on_tokio(|| async {
        let (a, b, mut ours, mut theirs) = stream().await;
        drop(a);
        assert!(theirs.read(&mut [0; 8]).await.is_err());
        assert!(ours.read(&mut [0; 8]).await.is_err());
        drop(b);
    });
}

#[test]
fn a_dial_that_fails_says_why() {
    on_tokio(|| async {
        let a = node(1, &[]);
        let dial = |addr: &str| a.dial(Dial::addr(addr.parse().unwrap()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = dial(&format!("/ip4/127.0.0.1/tcp/{port}")).await.unwrap_err();
        assert!(
            matches!(refused, DialFailure::Failed(DialError::AllFailed(_))),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("refused"), "{refused}");
        let nameless = dial("/dns4/example.invalid/tcp/1").await.unwrap_err();
        assert!(nameless.to_string().contains("no-resolver"), "{nameless}");
        a.close().await;
        assert!(matches!(
            dial("/ip4/127.0.0.1/tcp/1").await,
            Err(DialFailure::Closed(_))
        ));
    });
}

/// Takes streams and says nothing to them.
struct Silent([StreamSpec; 1]);

impl Protocol for Silent {
    fn specs(&self) -> &[StreamSpec] {
        &self.0
    }

    fn handle(&mut self, _: &mut Context<'_>, _: Input) {}
}

impl App for Silent {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![self]
    }
}

#[test]
fn a_stream_is_agreed_on_although_the_other_ends_protocol_says_nothing_to_it() {
    on_tokio(|| async {
        let a = node(1, &[RAW]);
        let identity = Identity::from(Keypair::ed25519_from_seed([2; 32]));
        let silent = Silent([StreamSpec::new(RAW, Framing::Raw)]);
        let b = spawn(identity, Config::default(), silent).unwrap();
        let addr = b.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
        let (peer, _) = a.dial(Dial::addr(addr)).await.unwrap();
        a.open(peer, RAW).await.unwrap();
    });
}

/// Learns what the other end speaks, so that streams open in one flight.
struct Knowing(Identify);

impl App for Knowing {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![&mut self.0]
    }
}

fn knowing(seed: u8) -> Handle<Knowing> {
    let identity = Identity::from(Keypair::ed25519_from_seed([seed; 32]));
    let config = Config {
        streams: vec![RAW],
        ..Config::default()
    };
    let identify = Identify::new(identity.clone(), libp2p_proto_identify::Config::default()).unwrap();
    spawn(identity, config, Knowing(identify)).unwrap()
}

#[test]
fn a_stream_of_a_known_name_is_opened_by_what_is_done_first_or_a_moment_later() {
    on_tokio(|| async {
        let (a, b) = (knowing(1), knowing(2));
        let peer = b.peer_id();
        let addr = b.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
        a.dial(Dial::addr(addr)).await.unwrap();
        a.next(move |app| app.0.info(&peer).map(|_| ())).await.unwrap();

        // Nothing is done: it comes all the same.
        let idle = a.open(peer, RAW).await.unwrap();
        drop(b.accept().await.unwrap());
        drop(idle);

        // Who only reads hears a peer that speaks first.
        let mut reading = a.open(peer, RAW).await.unwrap();
        let talk = tokio::spawn({
            let b = b.clone();
            async move {
                let mut incoming = b.accept().await.unwrap();
                incoming.stream.write_all(b"you first").await.unwrap();
                incoming.stream.shutdown().await.unwrap();
            }
        });
        let mut text = String::new();
        reading.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "you first");
        talk.await.unwrap();

        // What is shut down without a word arrives as an end.
        let mut silent = a.open(peer, RAW).await.unwrap();
        silent.shutdown().await.unwrap();
        let mut incoming = b.accept().await.unwrap();
        assert_eq!(incoming.stream.read(&mut [0; 8]).await.unwrap(), 0);

        // More than may be open at a time are opened and dropped, and none is left.
        for _ in 0..1000 {
            while a.open(peer, RAW).await.is_err() {
                tokio::task::yield_now().await;
            }
            if let Ok(incoming) = tokio::time::timeout(Duration::ZERO, b.accept()).await {
                drop(incoming.unwrap());
            }
        }
        let mut last = loop {
            match a.open(peer, RAW).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        last.write_all(b"last").await.unwrap();
        last.shutdown().await.unwrap();
        loop {
            let mut incoming = b.accept().await.unwrap();
            let mut text = Vec::new();
            if incoming.stream.read_to_end(&mut text).await.is_ok() && text == b"last" {
                break;
            }
        }
    });
}

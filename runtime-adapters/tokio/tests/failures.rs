//! An operating system that fails.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use libp2p_proto_adapter_suite::{PATIENCE, puppet::Puppet};
use libp2p_proto_core::ProtocolName;
use libp2p_proto_driver::{Link, Node, Runtime};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{Dial, Protocol};
use libp2p_proto_tokio::{App, Config, Entropy, Error, Tokio, os, spawn};
use std::{
    future::Future,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, UdpSocket},
};
use tokio::net::TcpListener;

struct Nothing;

impl App for Nothing {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![]
    }
}

/// tokio, where the first accepts fail as if descriptors were short.
enum Short {}

impl Runtime for Short {
    type Socket = <Tokio as Runtime>::Socket;
    /// The listener, and how often it is still to fail.
    type Listener = (TcpListener, u32);
    type Udp = <Tokio as Runtime>::Udp;
    type Timer = <Tokio as Runtime>::Timer;
    type Connecting = Pin<Box<dyn Future<Output = io::Result<Self::Socket>> + Send>>;

    fn connecting(socket: std::net::TcpStream) -> Self::Connecting {
        Tokio::connecting(socket)
    }

    fn listener(socket: std::net::TcpListener) -> io::Result<Self::Listener> {
        Ok((Tokio::listener(socket)?, 3))
    }

    fn poll_accept(listener: &mut Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Socket>> {
        let (listener, failures) = listener;
        if let Some(left) = failures.checked_sub(1) {
            *failures = left;
            return Poll::Ready(Err(io::Error::other("too many open files")));
        }
        Tokio::poll_accept(listener, cx)
    }

    fn udp(socket: UdpSocket) -> io::Result<Self::Udp> {
        Tokio::udp(socket)
    }

    fn poll_receive(
        socket: &mut Self::Udp,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        Tokio::poll_receive(socket, cx, buf)
    }

    fn try_send(socket: &mut Self::Udp, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        Tokio::try_send(socket, datagram, to)
    }

    fn addrs(socket: &Self::Socket) -> io::Result<(SocketAddr, SocketAddr)> {
        Tokio::addrs(socket)
    }

    fn spawn(link: Link<Self>) {
        tokio::spawn(link);
    }
}

#[tokio::test]
async fn a_listener_outlives_failed_accepts() {
    let identity = |seed| Identity::from(Keypair::ed25519_from_seed([seed; 32]));
    let (node, bob) = Node::<_, Short>::new(identity(2), Config::default(), Nothing).unwrap();
    tokio::spawn(node);
    let addr = bob.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let alice = spawn(identity(1), Config::default(), Nothing).unwrap();
    let dialed = tokio::time::timeout(PATIENCE, alice.dial(Dial::addr(addr))).await;
    assert_eq!(dialed.unwrap().map(|(peer, _)| peer), Ok(bob.peer_id()));
}

/// A peer whose first bytes behind the upgrade mean nothing, and who says three mebibytes more before it listens.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_reaches_a_peer_that_was_still_talking() {
    let identity = Identity::from(Keypair::ed25519_from_seed([2; 32]));
    let bob = spawn(identity, Config::default(), Nothing).unwrap();
    let addr = bob.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let talk = move || {
        let name = ProtocolName::from_static("/raw/1");
        let mut puppet = Puppet::connected(&addr, 3, name);
        puppet.socket.write_all(&vec![0x7f; 3 << 20])?;
        let mut heard = Vec::new();
        puppet.socket.read_to_end(&mut heard)
    };
    let heard = tokio::task::spawn_blocking(talk).await.unwrap();
    assert!(heard.is_ok_and(|bytes| bytes > 0), "the link was reset");
}

// covers: SIM-17
#[tokio::test]
async fn without_entropy_no_node_is_built() {
    let entropy = Entropy(|_| Err(getrandom::Error::UNSUPPORTED));
    let config = Config {
        entropy,
        ..Config::default()
    };
    let identity = Identity::from(Keypair::ed25519_from_seed([1; 32]));
    let built = spawn(identity, config, Nothing).map(drop);
    assert!(matches!(
        built,
        Err(Error::Os(os::Error::Entropy(getrandom::Error::UNSUPPORTED)))
    ));
}

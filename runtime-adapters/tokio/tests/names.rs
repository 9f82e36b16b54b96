//! Dials by name, with a name server of the test's own, all on loopback.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{
    PATIENCE,
    names::{self, Record},
};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_dns::Resolver;
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{Dial, Protocol};
use libp2p_proto_tokio::{App, Config, Handle, spawn};
use std::sync::Arc;

struct Nothing;

impl App for Nothing {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![]
    }
}

fn node(seed: u8, config: Config) -> Handle<Nothing> {
    spawn(
        Identity::from(Keypair::ed25519_from_seed([seed; 32])),
        config,
        Nothing,
    )
    .unwrap()
}

#[tokio::test]
async fn every_kind_of_name_leads_to_the_peer() {
    let bob = node(2, Config::default());
    let addr = bob.listen("/ip4/127.0.0.1/tcp/0".parse().unwrap()).await.unwrap();
    let (_, port) = addr.socket_tcp().unwrap();
    let whole = format!("dnsaddr={}", addr.with_peer_id(bob.peer_id()).unwrap());
    let known = vec![
        ("bob.test", Record::Ip("127.0.0.1".parse().unwrap())),
        ("_dnsaddr.bob.test", Record::Txt(vec![whole])),
        (
            "_dnsaddr.far.test",
            Record::Txt(vec!["dnsaddr=/dnsaddr/bob.test".into()]),
        ),
    ];
    let resolver = Resolver::new(libp2p_proto_dns::Config {
        servers: vec![names::serve(known)],
        ..Default::default()
    })
    .unwrap();
    let resolver: libp2p_proto_tokio::Resolver =
        Arc::new(move |name, kind, answer| resolver.resolve(name, kind, answer));
    for (seed, name) in [
        (10, format!("/dns4/bob.test/tcp/{port}")),
        (11, format!("/dns/bob.test/tcp/{port}")),
        (12, format!("/dnsaddr/bob.test/p2p/{}", bob.peer_id())),
        (13, format!("/dnsaddr/far.test/p2p/{}", bob.peer_id())),
    ] {
        let config = Config {
            resolver: Some(resolver.clone()),
            ..Config::default()
        };
        let alice = node(seed, config);
        let addr: Multiaddr = name.parse().unwrap();
        let dialed = tokio::time::timeout(PATIENCE, alice.dial(Dial::addr(addr))).await;
        assert_eq!(dialed.unwrap().map(|(peer, _)| peer), Ok(bob.peer_id()), "{name}");
    }
}

//! Hole punches between every two kinds of NATs, through a relay, against a fixed table: real upgrades, relayed and direct, from the first byte to the last.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Side;
use libp2p_proto_dcutr::{self as dcutr, How};
use libp2p_proto_simulator::{NatKind, PortChoice, Sim};
use std::{env, time::Duration};
use support::punch::{
    AD, APD, CALLEE, CALLER, EI, Node, Place, RESTRICTED, is_direct, kind, relayed, settle, world,
};

/// For each kind, as caller, with which kinds of callee, in the same order, a direct connection comes about (1) or not (0). Where both mappings are the same for everybody, always: both
/// ends know where to send, and each NAT sees its own packet first. Where one of them is not, if the other NAT lets in what comes from another port of an address
/// that was dialed. Where neither is, if one NAT lets in everybody; none of these does.
const TABLE: [(&str, Place, &str); 10] = [
    ("no NAT", Place::Open, "1111111111"),
    (
        "full cone",
        Place::Nat(kind(EI, EI, PortChoice::Preserve)),
        "1111111111",
    ),
    (
        "address restricted",
        Place::Nat(kind(EI, AD, PortChoice::Preserve)),
        "1111111111",
    ),
    ("port restricted", Place::Nat(RESTRICTED), "1111110000"),
    (
        "port restricted, refusing",
        Place::Nat(NatKind {
            refuses: true,
            ..RESTRICTED
        }),
        "1111110000",
    ),
    ("two port restricted", Place::Twice(RESTRICTED), "1111110000"),
    (
        "mapping by address",
        Place::Nat(kind(AD, APD, PortChoice::Preserve)),
        "1110000000",
    ),
    (
        "symmetric, kept port",
        Place::Nat(kind(APD, APD, PortChoice::Preserve)),
        "1110000000",
    ),
    (
        "symmetric, next port",
        Place::Nat(kind(APD, APD, PortChoice::Sequential)),
        "1110000000",
    ),
    (
        "symmetric, any port",
        Place::Nat(kind(APD, APD, PortChoice::Random)),
        "1110000000",
    ),
];

/// One run: how the direct connection came about, if it did, and when.
fn punch(caller: Place, callee: Place, seed: u64) -> (Option<How>, Sim<Node>) {
    let mut sim = relayed(world(caller, callee), seed);
    settle(&mut sim);
    let how = is_direct(&sim).then(|| sim.app(CALLEE).unwrap().how().unwrap());
    (how, sim)
}

/// The sides of the connections that are not relayed, as an end sees them.
fn sides(sim: &Sim<Node>, host: usize, other: usize) -> Vec<Side> {
    let (swarm, peer) = (sim.swarm(host).unwrap(), sim.peer(other).unwrap());
    let infos = swarm
        .connections(peer)
        .into_iter()
        .map(|conn| swarm.connection_info(conn).unwrap());
    let direct = infos.filter(|info| !info.remote.is_relayed());
    direct.map(|info| info.side).collect()
}

// covers: SIM-18, DCU-033, DCU-037, CON-067, MSS-063, NOI-005
#[test]
fn ten_kinds_of_nats_meet_ten_kinds_as_the_table_says_and_the_caller_is_the_dialer_of_every_punched_connection()
 {
    let seeds: u64 = env::var("PUNCH_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let (mut punchable, mut punched) = (0_u64, 0_u64);
    let mut wrong = Vec::new();
    for (a, caller, row) in TABLE {
        for ((b, callee, _), expected) in TABLE.into_iter().zip(row.bytes()) {
            for seed in 1..=seeds {
                let (how, sim) = punch(caller, callee, seed);
                let expected = expected == b'1';
                punchable += u64::from(expected);
                punched += u64::from(expected && how.is_some());
                assert!(expected || how.is_none(), "{a} to {b}, seed {seed}: {how:?}");
                if expected != how.is_some() {
                    let told = &sim.app(CALLEE).unwrap().told;
                    wrong.push(format!("{a} to {b}, seed {seed}: {how:?}: {told:?}"));
                }
                if how == Some(How::Punched) {
                    // The third attempt, in which some of go-libp2p turn the roles round, is not needed.
                    let told = &sim.app(CALLEE).unwrap().told;
                    let late = |event: &dcutr::Event| matches!(event, dcutr::Event::Attempted { attempt, .. } if attempt.number > 2);
                    assert!(!told.iter().any(late), "{a} to {b}: {told:?}");
                    for (host, other, side) in
                        [(CALLER, CALLEE, Side::Dialer), (CALLEE, CALLER, Side::Listener)]
                    {
                        let sides = sides(&sim, host, other);
                        assert!(
                            !sides.is_empty() && sides.iter().all(|is| *is == side),
                            "{a} to {b}: {sides:?}"
                        );
                    }
                }
                if how.is_none() {
                    let told = sim.app(CALLEE).unwrap().told.last().cloned();
                    let failed = matches!(told, Some(dcutr::Event::Failed { .. }));
                    assert!(failed, "{a} to {b}, seed {seed}: {told:?}");
                    let peer = sim.peer(CALLEE).unwrap();
                    assert_eq!(
                        sim.swarm(CALLER).unwrap().connections(peer).len(),
                        1,
                        "it stays relayed"
                    );
                }
            }
        }
    }
    println!("{punched} of {punchable} pairs that can be punched are direct");
    assert!(
        punched * 100 >= punchable * 99,
        "{punched} of {punchable}: {wrong:#?}"
    );
    assert!(seeds > 1 || wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn after_a_punch_the_relayed_connection_goes_and_the_direct_one_stays() {
    let restricted = Place::Nat(RESTRICTED);
    let (how, mut sim) = punch(restricted, restricted, 7);
    assert_eq!(how, Some(How::Punched));
    sim.run_for(Duration::from_secs(4)).unwrap();
    assert!(is_direct(&sim));
    let peer = sim.peer(CALLEE).unwrap();
    assert_eq!(sim.swarm(CALLER).unwrap().connections(peer).len(), 1);
    sim.wind_down(Duration::from_secs(60)).unwrap();
}

#[test]
fn the_same_seed_punches_in_the_same_way() {
    let restricted = Place::Nat(RESTRICTED);
    let hash = || punch(restricted, restricted, 3).1.trace_hash();
    assert_eq!(hash(), hash());
}

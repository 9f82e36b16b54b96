//! What a whole node holds while a thousand peers that have proved who they are do their worst.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::Instant;
use libp2p_proto_simulator::{Fault, FaultKind, Places, Scenario};
use support::{
    apart, ask, build, connected, millis,
    raw::{HEADER, Raw, frame},
    seconds, until,
};

const ATTACKERS: usize = 1000;
const SYN: u16 = 1;
const DATA: u8 = 0;

/// Opens streams, agrees on a protocol whose messages have a length in front, and sends all of each message but its last bytes; and on others says nothing.
fn attack() -> Vec<Vec<u8>> {
    let message = [&[0x80, 0x20][..], &[7; 4090]].concat();
    let begun = [HEADER, b"\x0f/test/length/1\n", &message].concat();
    let mut script = Vec::new();
    // With more of them the thousand would use up what the node allows in all for one name, and whoever comes later is refused, as that limit says.
    for number in 0..16 {
        let length = u32::try_from(begun.len()).unwrap();
        script.extend(frame(DATA, SYN, 2 * number + 1, length, &begun));
    }
    for number in 16..400 {
        let length = u32::try_from(HEADER.len()).unwrap();
        script.extend(frame(DATA, SYN, 2 * number + 1, length, HEADER));
    }
    vec![script]
}

#[test]
fn a_thousand_authenticated_peers_at_their_worst_take_less_than_256_mebibytes_and_keep_nobody_out() {
    // covers: SIM-036
    let mut scenario = Scenario::new(3).link(apart(millis(20)));
    scenario.strict = false;
    scenario.swarm.max_inbound = ATTACKERS + 100;
    scenario.swarm.max_connections = ATTACKERS + 200;
    // They come all at once, and each is to get as far as it can.
    scenario.swarm.max_pending_inbound = ATTACKERS + 100;
    // At the eighth second the node loses its power: what is free a moment later is what it held.
    let power = millis(8_000);
    let kind = FaultKind::Crash {
        hosts: Places::one(0),
    };
    let mut sim = build(scenario.fault(Fault::during(power, seconds(1), kind)), 1);
    assert!(sim.dial(1, 0));
    sim.run_for(seconds(1)).unwrap();
    for number in 0..ATTACKERS {
        let key = u8::try_from(number % 251).unwrap();
        let mut seed = [key; 32];
        seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
        sim.add_actor(Raw::with_seed(0, seed, attack())).unwrap();
    }
    sim.run_for(seconds(3)).unwrap();
    // In the middle of it somebody new comes, and whoever was there is served.
    assert!(sim.dial(2, 0));
    let up = until(&mut sim, seconds(2), |sim| {
        connected(sim, 2, 0) && connected(sim, 0, 2)
    });
    assert!(up.unwrap(), "nobody new is let in");
    ask(&mut sim, 1, 0, 1, 10);
    ask(&mut sim, 2, 0, 1, 10);
    sim.run_for(seconds(2)).unwrap();
    for host in [1, 2] {
        let answers = &sim.app(host).unwrap().answers;
        assert!(
            answers.len() == 1 && answers[0].result.is_ok(),
            "host {host}: {answers:?}"
        );
    }
    let standing = sim.swarm(0).unwrap().stats().established;
    assert!(standing >= ATTACKERS, "{standing} stand");

    let rest = power
        .saturating_sub(millis(1))
        .saturating_sub(sim.now().since(Instant::ZERO));
    sim.run_for(rest).unwrap();
    let standing = sim.swarm(0).unwrap().stats().established;
    let freed = allocation_counter::measure(|| sim.run_for(millis(2)).unwrap());
    assert!(sim.swarm(0).is_none(), "it lost its power");
    let held = -freed.bytes_current;
    eprintln!("{standing} connections stood, {held} bytes were held");
    assert!(held > 0 && held < 256 << 20, "{held} bytes");
}

//! Failures of other implementations, and what became of them here.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_gossipsub::{Config, Event, Gossipsub, MeshParams, ScoreConfig};
use support::{Rig, graft, id, identity, ihave, publish, quiet, subscribe, t};

#[test]
fn vul_021_every_product_of_small_and_large_parameters_is_refused_or_beats_a_thousand_times() {
    let sizes = |default| [0_usize, 1, default, usize::MAX];
    let beats = [
        Duration::ZERO,
        Duration::from_millis(10),
        Duration::from_secs(1),
        Duration::from_secs(3600),
        Duration::MAX,
    ];
    let mut ran = 0;
    for d in sizes(6) {
        for (d_lo, d_hi) in sizes(5).into_iter().flat_map(|lo| sizes(12).map(|hi| (lo, hi))) {
            for (d_out, history) in sizes(2)
                .into_iter()
                .flat_map(|out| sizes(5).map(|history| (out, history)))
            {
                for history_gossip in sizes(3) {
                    for heartbeat in beats {
                        let config = Config {
                            mesh: MeshParams {
                                d,
                                d_lo,
                                d_hi,
                                d_score: 0,
                                d_out,
                            },
                            history,
                            history_gossip,
                            heartbeat,
                            seen_ttl: Duration::from_secs(100_000),
                            ..quiet()
                        };
                        if Gossipsub::new(identity(1), config.clone()).is_err() {
                            continue;
                        }
                        ran += 1;
                        let mut rig = Rig::subscribed(2, config);
                        rig.router.publish("t", "x", false).unwrap();
                        rig.run_for(heartbeat * 1020);
                        assert!(rig.router.stats().heartbeats >= 999);
                    }
                }
            }
        }
    }
    assert!(ran > 20, "{ran}");
}

#[test]
fn vul_026_whatever_an_application_does_at_any_event_in_any_order_nothing_breaks() {
    for order in 0..729_usize {
        let mut rig = Rig::subscribed(3, quiet());
        let mut rest = order;
        for step in 0..6 {
            let puppet = step % 3;
            match rest % 3 {
                0 => {
                    rig.router.unsubscribe(&t()).unwrap();
                }
                1 => {
                    let peer = rig.peer(puppet);
                    rig.router.block(peer).unwrap();
                    rig.router.subscribe("t").unwrap();
                }
                _ => rig.disconnect(puppet),
            }
            rest /= 3;
            if rig.conns[(puppet + 1) % 3].is_some() && rig.streams[(puppet + 1) % 3].is_some() {
                rig.write((puppet + 1) % 3, graft(&["t"]).encode());
            }
            rig.run(2);
        }
        rig.run(1500);
        let members = rig.mesh("t");
        assert!(
            members.iter().all(|puppet| rig.conns[*puppet].is_some()),
            "{order}"
        );
        assert!(rig.router.census().peers <= 3);
    }
}

#[test]
fn vul_197_a_peer_that_does_not_read_blocks_nobody_and_leaves_the_mesh() {
    let config = Config {
        mesh: MeshParams {
            d: 20,
            d_lo: 20,
            d_hi: 24,
            d_score: 4,
            d_out: 2,
        },
        score: Some(ScoreConfig::default()),
        ..quiet()
    };
    let mut rig = Rig::subscribed(20, config);
    assert_eq!(rig.mesh("t").len(), 20);
    rig.hush();
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    for number in 0..1000 {
        rig.router.publish("t", vec![0; 100_000], false).unwrap();
        rig.run(1);
        assert!(rig.router.census().queued_bytes <= 1 << 20, "{number}");
    }
    let failed = |event: &&Event| matches!(event, Event::PublishFailed { .. });
    assert_eq!(rig.events.iter().filter(failed).count(), 0);
    rig.run(1100);
    assert!(!rig.mesh("t").contains(&0));
    for puppet in 1..20 {
        assert_eq!(rig.messages(puppet).len(), 1000);
    }
}

/// 100 KiB each: a thousand are 100 MB, a hundred thousand 10 GB, which `PASSED_ON=100000` passes on.
fn passed_on() -> u64 {
    let said = std::env::var("PASSED_ON").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(1000)
}

#[test]
fn vul_019_ten_gigabytes_passed_on_past_a_peer_that_does_not_read() {
    let config = Config {
        score: Some(ScoreConfig::default()),
        ..quiet()
    };
    let mut rig = Rig::subscribed(4, config);
    rig.heartbeat();
    assert_eq!(rig.mesh("t"), [0, 1, 2, 3]);
    let opened = rig.puppets[0].opened();
    let stream = *opened.iter().find(|stream| stream.is_inbound()).unwrap();
    rig.bench.with(1, &rig.puppets[0], |cx| cx.pause(stream));
    let (mut told, mut out, mut heard) = (0, false, [0, 0]);
    for number in 0..passed_on() {
        let mut body = vec![0x5a; 100 * 1024];
        body[..8].copy_from_slice(&number.to_be_bytes());
        let message = rig.message(3, number + 1, "t", &body);
        rig.say(3, &publish(message));
        let census = rig.router.census();
        assert!(
            census.queued_bytes <= 1 << 20 && census.cached_bytes <= 64 << 20,
            "{number}"
        );
        out |= !rig.mesh("t").contains(&0);
        told += rig.delivered().len() as u64;
        for place in [0, 1] {
            heard[place] += rig.messages(place + 1).len() as u64;
        }
        rig.events.clear();
        // What the bench keeps of what was heard and of what the link carries is not the router's.
        for puppet in 1..4 {
            rig.forget_inputs(puppet);
        }
    }
    assert_eq!((told, heard), (passed_on(), [passed_on(); 2]));
    assert!(out && rig.router.stats().dropped > 0);
    // Control that was due in the meantime has waited, unless it was for so long that the stream was given up.
    if passed_on() > 1000 {
        return;
    }
    rig.router.subscribe("u").unwrap();
    rig.run(5);
    rig.bench.with(1, &rig.puppets[0], |cx| cx.resume(stream));
    rig.run(200);
    let heard = rig.heard(0);
    let pruned = |rpc: &libp2p_proto_gossipsub::wire::Rpc| {
        rpc.control
            .as_ref()
            .is_some_and(|control| control.prune.iter().any(|prune| prune.topic == t()))
    };
    assert!(heard.iter().any(pruned));
    assert!(
        heard
            .iter()
            .any(|rpc| rpc.subscriptions == subscribe("u", true).subscriptions)
    );
}

#[test]
fn vul_198_all_announced_ids_are_asked_for_in_few_frames() {
    for (count, frames) in [(500, 1), (5000, 9)] {
        let mut rig = Rig::subscribed(1, quiet());
        rig.hush();
        rig.say(0, &ihave("t", (0..count).map(id).collect()));
        let heard = rig.heard(0);
        let asked = heard.iter().filter_map(|rpc| rpc.control.as_ref());
        let asked: usize = asked.flat_map(|control| &control.iwant).map(Vec::len).sum();
        assert_eq!(asked as u64, count);
        assert!(heard.len() <= frames, "{}", heard.len());
    }
}

#[test]
fn vul_199_topics_that_only_others_know_cost_nothing_at_a_heartbeat() {
    let cost = |foreign: usize| {
        let mut rig = Rig::subscribed(100, quiet());
        for puppet in 0..100 {
            for topic in 0..foreign {
                let name = format!("{puppet}/{topic}");
                rig.write(puppet, subscribe(&name, true).encode());
            }
            rig.run(2);
        }
        rig.heartbeat();
        assert_eq!(rig.router.census().topics, foreign * 100 + 1);
        rig.router.publish("t", "x", false).unwrap();
        rig.run(3);
        let work = allocation_counter::measure(|| rig.run(1000));
        (work.count_total, work.bytes_total)
    };
    // What is counted is what the heartbeat builds: it builds something of everything that it looks at.
    let (alone, among) = (cost(0), cost(256));
    assert!(among.0 * 10 <= alone.0 * 11, "{among:?} {alone:?}");
}

#[test]
fn vul_022_a_thousand_grafts_at_once_leave_a_mesh_within_its_bound() {
    let mut rig = Rig::subscribed(1000, quiet());
    for puppet in 0..1000 {
        rig.write(puppet, graft(&["t"]).encode());
    }
    rig.run(3);
    assert_eq!(rig.mesh("t").len(), 12);
    let message = rig.message(999, 1, "t", b"x");
    rig.say(999, &publish(message));
    assert_eq!(rig.delivered(), ["x"]);
}

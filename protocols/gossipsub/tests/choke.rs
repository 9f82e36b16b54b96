//! CHOKE and UNCHOKE, the draft behind a switch.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_gossipsub::{
    Choke, Config, MessageId, ScoreConfig, Topic, TopicScoreParams,
    wire::{Control, Extensions, Rpc},
};
use support::{Rig, go_id, graft, iwant, publish, quiet, subscribe, t, with_control};

fn choking() -> Config {
    Config {
        choke: Some(Choke {
            ticks: 1,
            unchoked: 2,
            ratio: 2,
            least: 5,
        }),
        ..quiet()
    }
}

fn choke(choke: &[&str], unchoke: &[&str]) -> Rpc {
    let topics = |names: &[&str]| names.iter().map(|name| Topic::from(*name)).collect();
    with_control(Control {
        choke: topics(choke),
        unchoke: topics(unchoke),
        ..Control::default()
    })
}

/// Members of the mesh of `t`, all of which speak the draft if `speak`.
fn members(count: usize, config: Config, speak: bool) -> Rig {
    let mut rig = Rig::new(count, config);
    rig.router.subscribe("t").unwrap();
    rig.run(2);
    for puppet in 0..count {
        if speak {
            let extensions = Some(Extensions {
                choke: Some(true),
                ..Extensions::default()
            });
            rig.say(
                puppet,
                &with_control(Control {
                    extensions,
                    ..Control::default()
                }),
            );
        }
        rig.say(puppet, &subscribe("t", true));
        rig.say(puppet, &graft(&["t"]));
    }
    assert_eq!(rig.mesh("t").len(), count);
    rig.hush();
    rig
}

// covers: GSP-361
#[test]
fn a_member_that_chokes_us_is_told_at_the_heartbeat_and_sent_what_we_publish_ourselves() {
    let mut rig = members(3, choking(), true);
    rig.say(0, &choke(&["t", "nobody's"], &[]));
    let message = rig.message(2, 1, "t", b"x");
    rig.say(1, &publish(message.clone()));
    assert!(rig.messages(0).is_empty());
    rig.heartbeat();
    let told: Vec<MessageId> = rig
        .control(0)
        .ihave
        .into_iter()
        .flat_map(|entry| entry.ids)
        .collect();
    assert_eq!(told, [go_id(&message)]);
    rig.say(0, &iwant(told));
    assert_eq!(rig.messages(0), [message]);
    rig.router.publish("t", "own", false).unwrap();
    rig.run(3);
    assert_eq!(rig.messages(0).len(), 1);
    rig.say(0, &choke(&[], &["t"]));
    let message = rig.message(2, 2, "t", b"y");
    rig.say(1, &publish(message));
    assert_eq!(rig.messages(0).len(), 1);
    // It leaves the mesh and comes back: nothing is left of it.
    rig.say(0, &choke(&["t"], &[]));
    rig.say(0, &support::prune("t", Some(1)));
    rig.run(1500);
    rig.say(0, &graft(&["t"]));
    assert!(rig.mesh("t").contains(&0));
    rig.hush();
    let message = rig.message(2, 3, "t", b"z");
    rig.say(1, &publish(message));
    assert_eq!(rig.messages(0).len(), 1);
}

#[test]
fn without_the_switch_or_the_extension_nobody_chokes_and_nobody_is_choked() {
    for (config, speak) in [(quiet(), true), (choking(), false)] {
        let mut rig = members(4, config, speak);
        rig.say(0, &choke(&["t"], &[]));
        for number in 0..20 {
            let message = rig.message(3, number, "t", b"x");
            rig.say(1, &publish(message.clone()));
            rig.say(2, &publish(message));
        }
        assert_eq!(rig.messages(0).len(), 20);
        rig.heartbeat();
        assert!((0..4).all(|puppet| rig.control(puppet).choke.is_empty()));
    }
}

#[test]
fn of_a_mesh_the_member_that_is_always_second_is_choked_and_not_blamed_until_it_is_needed() {
    let topic = TopicScoreParams {
        mesh_deliveries_weight: -1.0,
        mesh_deliveries_threshold: 1.0,
        mesh_deliveries_decay: 0.9,
        mesh_deliveries_cap: 100.0,
        mesh_deliveries_activation: core::time::Duration::from_secs(3),
        mesh_failure_weight: 0.0,
        ..TopicScoreParams::default()
    };
    let config = Config {
        score: Some(ScoreConfig {
            topics: [(t(), topic)].into(),
            ..ScoreConfig::default()
        }),
        ..choking()
    };
    let mut rig = members(4, config, true);
    rig.heartbeat();
    rig.hush();
    let mut asked = Vec::new();
    for number in 0..40 {
        let message = rig.message(3, number, "t", &number.to_be_bytes());
        // The first two bring it in turn; the third is late.
        let first = (number % 2) as usize;
        rig.say(first, &publish(message.clone()));
        rig.run(100);
        rig.say(2, &publish(message));
        for puppet in 0..4 {
            let control = rig.control(puppet);
            asked.extend(control.choke.iter().map(|_| (puppet, true)));
            asked.extend(control.unchoke.iter().map(|_| (puppet, false)));
        }
    }
    assert_eq!(asked, [(2, true)], "once, and two stay");
    // It has brought nothing for seconds, and is not to blame: we asked for it.
    rig.run(4000);
    let explained = rig.router.explain(&rig.peer(2)).unwrap();
    assert!(
        explained.topics[&t()].mesh_deliveries.adds.abs() < 1e-9,
        "{explained:?}"
    );
    // Two of the others go: it is needed.
    rig.hush();
    for puppet in [0, 1] {
        rig.say(puppet, &support::prune("t", Some(3600)));
    }
    rig.heartbeat();
    assert_eq!(rig.control(2).unchoke, [t()]);
}

#[test]
fn what_cannot_work_is_refused() {
    for choke in [
        Choke {
            ticks: 0,
            ..Choke::default()
        },
        Choke {
            unchoked: 0,
            ..Choke::default()
        },
    ] {
        let config = Config {
            choke: Some(choke),
            ..quiet()
        };
        assert!(config.validate().is_err());
    }
}

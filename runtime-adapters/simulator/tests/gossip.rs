//! The evaluation of GossipSub 1.1 at a tenth of its size, and a public interoperability script.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_simulator::gossip::{Attack, Experiment, Interop, Outcome, Router, Scale, cdf, table};

fn small(attack: Attack, router: Router) -> Outcome {
    let experiment = Experiment {
        attack,
        router,
        scale: Scale::small(4.0),
        seed: 1,
    };
    experiment.run(|_| {}).unwrap()
}

// covers: GSP-583
#[test]
fn four_sybils_to_one_eclipse_a_network_of_version_1_0_and_not_one_with_scores() {
    let plain = small(Attack::EclipseNet, Router::V10);
    assert!(
        plain.least_honest < 30 && plain.lost() > 0.0,
        "{}",
        table(&[plain])
    );
    let scored = small(Attack::EclipseNet, Router::Ours);
    assert!(scored.lost() == 0.0, "{}", table(&[scored]));
    let text = table(&[plain.clone(), scored.clone()]);
    assert_eq!(text.lines().count(), 4);
    let lines = [
        ("v1.0", &plain.all, plain.expected),
        ("ours", &scored.all, scored.expected),
    ];
    assert_eq!(cdf("eclipse-net", &lines).matches("<polyline").count(), 2);
}

// covers: GSP-579
#[test]
fn sybils_that_behave_for_two_minutes_and_then_do_not_lose_nothing_for_others() {
    let outcome = small(Attack::CovertFlash, Router::Ours);
    assert!(outcome.lost() == 0.0, "{}", table(&[outcome]));
}

/// A script as `run.py --scenario subnet-blob-msg` writes it, with fewer nodes and messages.
fn script(nodes: usize) -> String {
    let mut steps = Vec::new();
    for node in 0..nodes {
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"initGossipSub","gossipSubParams":{{"HeartbeatInitialDelay":{}}}}}}}"#,
            100_000_000 + node * 100_000
        ));
    }
    steps.push(r#"{"type":"setTopicValidationDelay","topicID":"a-subnet","delaySeconds":0.005}"#.into());
    for node in 0..nodes {
        let to: Vec<String> = [1, 3, 7]
            .iter()
            .map(|step| ((node + step) % nodes).to_string())
            .collect();
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"connect","connectTo":[{}]}}}}"#,
            to.join(",")
        ));
    }
    steps.push(r#"{"type":"subscribeToTopic","topicID":"a-subnet","partial":false}"#.into());
    for message in 0..6 {
        steps.push(format!(
            r#"{{"type":"waitUntil","elapsedSeconds":{}}}"#,
            120 + 12 * message
        ));
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{},"instruction":{{"type":"publish","messageID":{message},"messageSizeBytes":98304,"topicID":"a-subnet"}}}}"#,
            message * 5 % nodes
        ));
    }
    format!(r#"{{"script":[{}]}}"#, steps.join(","))
}

// covers: GSP-545
#[test]
fn a_public_script_runs_unchanged_and_every_node_gets_every_message() {
    let interop = Interop::parse(&script(24), 24).unwrap();
    let report = interop.run(1, |_| {}).unwrap();
    assert!(report.passed(), "{:?}", report.messages);
    assert_eq!(report.messages.len(), 6);
    let log = report.log(0);
    assert!(log.starts_with(r#"{"time":"2000-01-01T00:00:00.000000Z","msg":"PeerID","id":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN""#));
    assert!(
        report
            .log(1)
            .contains("12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X")
    );
    assert_eq!(report.log(7).matches(r#""msg":"Received Message""#).count(), 6);
    assert!(Interop::parse("{", 2).is_err() && Interop::parse(&script(2), 0).is_err());
}

/// As `partial-messages` has it: every node has some parts, and asks for the others.
#[test]
fn nodes_with_some_parts_each_all_end_with_all_parts() {
    let nodes = 8;
    let mut steps = vec![r#"{"type":"initGossipSub","gossipSubParams":{}}"#.to_owned()];
    for node in 0..nodes {
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"connect","connectTo":[{},{}]}}}}"#,
            (node + 1) % nodes,
            (node + 3) % nodes
        ));
    }
    steps.push(r#"{"type":"subscribeToTopic","topicID":"a-subnet","partial":true}"#.into());
    steps.push(r#"{"type":"waitUntil","elapsedSeconds":30}"#.into());
    for node in 0..nodes {
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"addPartialMessage","topicID":"a-subnet","groupID":7,"parts":{}}}}}"#,
            1 << node
        ));
    }
    steps.push(r#"{"type":"publishPartial","topicID":"a-subnet","groupID":7}"#.into());
    steps.push(r#"{"type":"waitUntil","elapsedSeconds":40}"#.into());
    let interop = Interop::parse(&format!(r#"{{"script":[{}]}}"#, steps.join(",")), nodes).unwrap();
    let report = interop.run(1, |_| {}).unwrap();
    assert_eq!(report.parts, (nodes, nodes));
    assert!(report.passed() && report.log(0).contains("All parts received"));
}

/// As `partial-messages-chain` has it: eight nodes in a row, each with one part of each of sixteen groups.
#[test]
fn parts_of_sixteen_groups_pass_along_a_row_of_nodes_that_have_one_part_each() {
    let nodes = 8;
    let mut steps = vec![r#"{"type":"initGossipSub","gossipSubParams":{}}"#.to_owned()];
    for node in 0..nodes - 1 {
        steps.push(format!(
            r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"connect","connectTo":[{}]}}}}"#,
            node + 1
        ));
    }
    steps.push(r#"{"type":"subscribeToTopic","topicID":"chain","partial":true}"#.into());
    steps.push(r#"{"type":"waitUntil","elapsedSeconds":30}"#.into());
    for group in 0..16 {
        for node in 0..nodes {
            steps.push(format!(
                r#"{{"type":"ifNodeIDEquals","nodeID":{node},"instruction":{{"type":"addPartialMessage","topicID":"chain","groupID":{group},"parts":{}}}}}"#,
                1 << node
            ));
        }
    }
    for group in 0..16 {
        steps.push(format!(
            r#"{{"type":"waitUntil","elapsedSeconds":{}}}"#,
            32 + 2 * group
        ));
        steps.push(format!(
            r#"{{"type":"publishPartial","topicID":"chain","groupID":{group}}}"#
        ));
    }
    let interop = Interop::parse(&format!(r#"{{"script":[{}]}}"#, steps.join(",")), nodes).unwrap();
    let report = interop.run(1, |_| {}).unwrap();
    assert_eq!(report.parts, (16 * nodes, 16 * nodes));
    // What the scripts' own check counts.
    assert!((0..nodes).all(|node| report.log(node).matches(r#""msg":"All parts received""#).count() == 16));
}

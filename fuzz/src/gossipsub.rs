//! Gossipsub: RPCs of any bytes, whole and broken, at any moment.

use crate::{budget, scene};
use libp2p_proto_gossipsub::{Config, Event, Gossipsub, ScoreConfig, TopicScoreParams, Verdict};
use libp2p_proto_identity::{Identity, Keypair};

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let [us, them] = [1, 2].map(|seed| Identity::from(Keypair::ed25519_from_seed([seed; 32])));
    let peers = [us.peer_id(), them.peer_id()];
    let judged = data.first().is_some_and(|byte| byte % 2 == 0);
    let make = || {
        let topic = TopicScoreParams {
            invalid_weight: -1.0,
            ..TopicScoreParams::default()
        };
        let score = ScoreConfig {
            other_topics: Some(topic),
            ..ScoreConfig::default()
        };
        let config = Config {
            validate: judged,
            partial_messages: judged,
            test_extension: judged,
            score: judged.then_some(score),
            ..Config::default()
        };
        let mut router = Gossipsub::new(us, config).expect("the configuration is valid");
        router.subscribe("t").expect("there is room");
        router
    };
    scene::lead(data, 4 << 20, &peers, make, |router, _, choice| {
        let census = router.census();
        budget::at_most("subscriptions", census.subscriptions, 1024);
        budget::at_most("promises", census.promises, 65_536);
        budget::at_most("pending", census.pending, 1024);
        budget::at_most("unwanted", census.unwanted, 4000);
        budget::at_most("queued bytes", census.queued_bytes, 1 << 20);
        match choice % 4 {
            0 => {
                while let Some(event) = router.poll_event() {
                    if let Event::Message { id, waits: true, .. } = event {
                        let _full_is_fine = router.report(id, Verdict::Accept);
                    }
                }
            }
            1 => {
                let _full_is_fine = router.publish("t", vec![choice; 2000], true);
            }
            2 => {
                let _full_is_fine = router.subscribe("u");
            }
            _ => {
                let _full_is_fine = router.unsubscribe(&"u".into());
            }
        }
    });
}

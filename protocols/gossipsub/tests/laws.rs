//! The laws of protocols.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_core::{PeerId, Rng};
use libp2p_proto_gossipsub::{
    Config, Event, Feedback, Gossipsub, ScoreConfig, Topic, TopicScoreParams, Verdict,
};
use libp2p_proto_laws::protocol::{Laws, Subject};
use libp2p_proto_stream_protocol::Context;
use support::{graft, id, identity, idontwant, ihave, iwant, prune, publish, signed, subscribe};

struct Router(Gossipsub);

libp2p_proto_laws::wraps!(Router);

impl Subject for Router {
    fn poll_event(&mut self) -> Option<String> {
        let event = self.0.poll_event()?;
        if let Event::Message { id, waits: true, .. } = &event {
            let _full_is_fine = self.0.report(id.clone(), Verdict::Accept);
        }
        Some(format!("{event:?}"))
    }
    fn command(&mut self, _: &mut Context<'_>, dice: &mut Rng) {
        let peer = PeerId::random(&mut Rng::from_seed([9; 32]).fork("peer", 1 + dice.below(4)));
        let topic = Topic::from(["t", "u", "v"][usize::try_from(dice.below(3)).unwrap()]);
        let _any_answer_is_fine = match dice.below(17) {
            14 => self
                .0
                .publish_batch(topic, vec!["one".into(), "two".into()])
                .map(|_| ()),
            15 => self.0.feedback(peer, topic, Feedback::Invalid),
            16 => {
                self.0.remember_author(peer, dice.below(9));
                Ok(())
            }
            0 => self.0.relay(topic),
            1 => self.0.unrelay(&topic).map(|_| ()),
            2 => self.0.add_explicit(peer),
            3 => self.0.remove_explicit(peer),
            4 => self.0.set_app_score(peer, -0.1),
            5 => self.0.penalize(peer, 1),
            6 => self
                .0
                .send_partial(Some(peer), topic, "group".into(), Some("parts".into()), None),
            7 => self.0.publish_locally(topic, "hello").map(|_| ()),
            8 | 9 => self.0.subscribe(topic),
            10 => self.0.unsubscribe(&topic).map(|_| ()),
            _ => self.0.publish(topic, "hello", dice.below(2) == 0).map(|_| ()),
        };
    }
}

// covers: GSP-521, GSP-522, GSP-567
#[test]
fn a_router_keeps_the_laws_with_and_without_scores_and_verdicts() {
    for validate in [false, true] {
        let make = move || {
            let score = ScoreConfig {
                other_topics: Some(TopicScoreParams {
                    first_deliveries_weight: 1.0,
                    invalid_weight: -1.0,
                    ..TopicScoreParams::default()
                }),
                ..ScoreConfig::default()
            };
            let config = Config {
                validate,
                partial_messages: validate,
                test_extension: validate,
                score: validate.then_some(score),
                ..Config::default()
            };
            Router(Gossipsub::new(identity(1), config).unwrap())
        };
        let message = signed(&identity(2), 7, "t", b"hello");
        Laws::of(make)
            .frame(&subscribe("t", true).encode())
            .frame(&subscribe("t", false).encode())
            .frame(&graft(&["t", "u"]).encode())
            .frame(&prune("t", Some(u64::MAX)).encode())
            .frame(&ihave("t", (0..9).map(id).collect()).encode())
            .frame(&iwant((0..9).map(id).collect()).encode())
            .frame(&idontwant((0..9).map(id).collect()).encode())
            .frame(&publish(message).encode())
            .frame(b"\x0e")
            .hold();
    }
}

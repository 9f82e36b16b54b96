//! What an application asks of the protocol, as values.

use crate::{Feedback, Gossipsub, MessageId, Topic, TopicScoreParams, Verdict};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use libp2p_proto_core::PeerId;
use libp2p_proto_stream_protocol::{Reader, Words, commands, words};

impl Words for Topic {
    fn write(&self, out: &mut String) {
        String::from(self.as_str()).write(out);
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        String::read(words).map(Self::new)
    }
}

impl Words for MessageId {
    fn write(&self, out: &mut String) {
        Bytes::copy_from_slice(self.as_bytes()).write(out);
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        Bytes::read(words).map(Self::from)
    }
}

words!(Feedback: "useful" => Useful, "invalid" => Invalid);
words!(Verdict: "accept" => Accept, "reject" => Reject, "ignore" => Ignore);
words!(TopicScoreParams {
    topic_weight,
    time_in_mesh_weight,
    time_in_mesh_quantum,
    time_in_mesh_cap,
    first_deliveries_weight,
    first_deliveries_decay,
    first_deliveries_cap,
    mesh_deliveries_weight,
    mesh_deliveries_decay,
    mesh_deliveries_cap,
    mesh_deliveries_threshold,
    mesh_deliveries_window,
    mesh_deliveries_activation,
    mesh_failure_weight,
    mesh_failure_decay,
    invalid_weight,
    invalid_decay,
    floor
});

commands! {
    /// What an application asks of [`Gossipsub`].
    pub enum Command {
        /// [`Gossipsub::subscribe`].
        "subscribe" => Subscribe {
            /// To what.
            topic: Topic,
        },
        /// [`Gossipsub::unsubscribe`].
        "unsubscribe" => Unsubscribe {
            /// From what.
            topic: Topic,
        },
        /// [`Gossipsub::relay`].
        "relay" => Relay {
            /// What.
            topic: Topic,
        },
        /// [`Gossipsub::unrelay`].
        "unrelay" => Unrelay {
            /// What.
            topic: Topic,
        },
        /// [`Gossipsub::publish`].
        "publish" => Publish {
            /// Under which topic.
            topic: Topic,
            /// The payload.
            data: Bytes,
            /// Whether to tell when it has left.
            reported: bool,
        },
        /// [`Gossipsub::publish_locally`].
        "publish-locally" => PublishLocally {
            /// Under which topic.
            topic: Topic,
            /// The payload.
            data: Bytes,
        },
        /// [`Gossipsub::publish_batch`].
        "batch" => PublishBatch {
            /// Under which topic.
            topic: Topic,
            /// The payloads.
            messages: Vec<Bytes>,
        },
        /// [`Gossipsub::feedback`].
        "feedback" => Feedback {
            /// Of whom.
            peer: PeerId,
            /// In which topic.
            topic: Topic,
            /// What it did.
            feedback: Feedback,
        },
        /// [`Gossipsub::remember_author`].
        "author" => RememberAuthor {
            /// Who.
            author: PeerId,
            /// Its last number.
            seqno: u64,
        },
        /// [`Gossipsub::report`].
        "report" => Report {
            /// The message.
            id: MessageId,
            /// What was found of it.
            verdict: Verdict,
        },
        /// [`Gossipsub::add_explicit`].
        "add-explicit" => AddExplicit {
            /// Whom.
            peer: PeerId,
        },
        /// [`Gossipsub::remove_explicit`].
        "remove-explicit" => RemoveExplicit {
            /// Whom.
            peer: PeerId,
        },
        /// [`Gossipsub::block`].
        "block" => Block {
            /// Whom.
            peer: PeerId,
        },
        /// [`Gossipsub::unblock`].
        "unblock" => Unblock {
            /// Whom.
            peer: PeerId,
        },
        /// [`Gossipsub::set_app_score`].
        "app-score" => SetAppScore {
            /// Of whom.
            peer: PeerId,
            /// What it is worth.
            score: f64,
        },
        /// [`Gossipsub::penalize`].
        "penalize" => Penalize {
            /// Whom.
            peer: PeerId,
            /// How much.
            amount: u32,
        },
        /// [`Gossipsub::set_topic_score`].
        "topic-score" => SetTopicScore {
            /// Of which topic.
            topic: Topic,
            /// The new parameters.
            params: TopicScoreParams,
        },
        /// [`Gossipsub::set_record`].
        "record" => SetRecord {
            /// The signed record.
            envelope: Bytes,
        },
        /// [`Gossipsub::send_partial`].
        "partial" => SendPartial {
            /// To whom, if not to all.
            peer: Option<PeerId>,
            /// Under which topic.
            topic: Topic,
            /// Of which message.
            group: Bytes,
            /// Parts of it.
            parts: Option<Bytes>,
            /// What we have and want of it.
            metadata: Option<Bytes>,
        },
        /// [`Gossipsub::poll_event`].
        "poll" => Poll,
    }
}

impl Gossipsub {
    /// Does what the method of that name does. What that would answer shows in the events, and in what is sent.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::Subscribe { topic } => drop(self.subscribe(topic)),
            Command::Unsubscribe { topic } => drop(self.unsubscribe(&topic)),
            Command::Relay { topic } => drop(self.relay(topic)),
            Command::Unrelay { topic } => drop(self.unrelay(&topic)),
            Command::Publish {
                topic,
                data,
                reported,
            } => drop(self.publish(topic, data, reported)),
            Command::PublishLocally { topic, data } => drop(self.publish_locally(topic, data)),
            Command::PublishBatch { topic, messages } => drop(self.publish_batch(topic, messages)),
            Command::Feedback {
                peer,
                topic,
                feedback,
            } => drop(self.feedback(peer, topic, feedback)),
            Command::RememberAuthor { author, seqno } => self.remember_author(author, seqno),
            Command::Report { id, verdict } => drop(self.report(id, verdict)),
            Command::AddExplicit { peer } => drop(self.add_explicit(peer)),
            Command::RemoveExplicit { peer } => drop(self.remove_explicit(peer)),
            Command::Block { peer } => drop(self.block(peer)),
            Command::Unblock { peer } => self.unblock(&peer),
            Command::SetAppScore { peer, score } => drop(self.set_app_score(peer, score)),
            Command::Penalize { peer, amount } => drop(self.penalize(peer, amount)),
            Command::SetTopicScore { topic, params } => drop(self.set_topic_score(topic, params)),
            Command::SetRecord { envelope } => drop(self.set_record(envelope)),
            Command::SendPartial {
                peer,
                topic,
                group,
                parts,
                metadata,
            } => {
                let _shows_in_what_is_sent = self.send_partial(peer, topic, group, parts, metadata);
            }
            Command::Poll => drop(self.poll_event()),
        }
    }
}

#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! | what | bound in [`Limits`], and its default | beyond it |
//! |---|---|---|
//! | one RPC, both ways | `max_frame`, 512 KiB | refused at its prefix; not published |
//! | entries of an RPC | `wire`: 5 000 messages, 1 024 subscriptions, 256 KiB of control, 4 096 entries, 8 192 ids | the stream is reset |
//! | topics of a peer | `max_topics_per_peer`, 1 024, and `max_topic_bytes_per_peer`, 64 KiB | ignored |
//! | own topics, fanouts | `max_topics`, 4 096 | refused |
//! | messages for a peer | `max_queue_bytes`, 1 MiB, and `max_queue_messages`, 5 000 | own ones displace those of others, others are refused |
//! | ids for a peer | `max_queue_ids`, 10 000 of IHAVE and of IWANT; `max_idontwant`, 1 000 | not told |
//! | unwanted ids of a peer | `max_idontwant`, 1 000 a heartbeat, for 3 heartbeats, 64 bytes each | ignored |
//! | seen ids | `max_seen`, 1 000 000, for 120 s | the oldest are forgotten |
//! | cached messages | `max_cache_bytes`, 64 MiB, for 5 heartbeats | the oldest are forgotten |
//! | messages that wait for a verdict | `max_pending`, 1 024, and `max_pending_bytes`, 16 MiB | dropped, and their senders paused |
//! | promises, back-offs | 65 536 each | not asked; the one that ends first is forgotten |
//! | gone peers with a score, deliveries | `max_retained`, 10 000; `max_deliveries`, 100 000, for 120 s | the best, the oldest are forgotten |
//! | groups that peers begin, what they have and want | `max_groups_per_peer`, 8, and `max_groups`, 255, a topic, with names of 1 KiB (`max_group`); `max_metadata_per_peer`, 64 of 1 KiB (`max_metadata`) | ignored; refused |
//! | what we have and want, for a peer | `max_queue_partial`, 256; parts are among its messages | not told |
//! | fingerprints of messages | `max_seen`, if `fast_id` is set | the oldest are forgotten |
//! | events, commands, reports, steps of the trace | 4 096 each | lost and counted; refused; not reported; lost |

extern crate alloc;

mod backoff;
mod cache;
mod choke;
mod command;
mod config;
mod error;
mod event;
mod few;
mod filter;
mod gossip;
mod gossipsub;
mod heartbeat;
mod hooks;
mod id;
mod keep;
mod mesh;
mod messages;
mod partial;
mod peers;
mod promises;
mod queue;
mod rpc;
mod score;
mod sign;
mod topic;
mod trace;
pub mod wire;

pub use choke::Choke;
pub use command::Command;
pub use config::{Config, Level, Limits, MeshParams, TopicConfig};
pub use error::{Error, PublishError, Reject};
pub use event::{Census, Event, Feedback, Publication, Stats, Verdict};
pub use filter::{CustomFilter, SubscriptionFilter};
pub use gossipsub::Gossipsub;
pub use hooks::{FastId, Inspector, NameMatcher, PeerFilter};
pub use id::{CustomId, MessageId, MessageIdFn, ethereum_id, snappy_len};
pub use score::{
    ScoreConfig, ScoreExplanation, Term, Thresholds, TopicExplanation, TopicScoreParams, decay_factor,
};
pub use sign::{SignaturePolicy, preimage};
pub use topic::Topic;
pub use trace::{Step, Trace};
pub use wire::{Message, WireError, WireLimits};

#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
//!
//! # What can grow, and what stops it
//!
//! | what | limit in `StreamLimits`, default | answer at the limit |
//! |---|---|---|
//! | streams that the remote opens | `inbound`, 250 | reset |
//! | of them, those without a name | `negotiating`, 128; 10 s | reset |
//! | of them, those of one kind | `max_inbound` of the spec | reset |
//! | bytes that the swarm has not returned: in frames that were delivered, that wait, or that are incomplete | `unread`, 640 KiB, and what is left of one read | not [`wants_input`](Streams::wants_input); after `unread_pause`, 10 s, the stream that holds most is reset |
//! | messages that wait for the swarm | `news`, 256, or `unread` bytes of frames | parsing stops, and not [`wants_input`](Streams::wants_input) |
//! | of them, those of frames that grow past the window of their stream | what `unread` has room for, one frame at least | the others wait, without credit |
//! | one frame | `max` of the spec's framing | reset, on its prefix |
//! | bytes to be sent | the swarm writes within `send_capacity` of the spec; small writes share one entry of the books | `Blocked` in the swarm |

extern crate alloc;

mod backlog;
mod framer;
mod growth;
mod muxer;
mod news;
mod orders;
mod receive;
mod slot;
mod streams;
mod table;

pub use muxer::{Blocked, Muxer};
pub use streams::Streams;

//! Peer scores: seven terms, and what they lead to.

mod params;
mod peers;

pub use params::{ScoreConfig, Thresholds, TopicScoreParams, decay_factor};
pub(crate) use peers::Scores;
pub use peers::{ScoreExplanation, Term, TopicExplanation};

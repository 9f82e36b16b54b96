//! Hole punches to peers behind relays: what was tried, what came of it, and why, in a sentence.

use super::{Patient, mapping::Mapping};
use crate::{explain, node::Node};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_dcutr::{Attempt, Event, Failure, How};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialError};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Attempts that the other end makes, each of ten seconds at most, and what lies between.
const TIME: Duration = Duration::from_secs(40);
/// Attempts after which nobody tries again.
const ATTEMPTS: usize = 3;

/// One punch, from the relayed connection to the direct one.
#[derive(Debug)]
pub(super) struct Punch {
    pub(super) peer: PeerId,
    pub(super) addr: Multiaddr,
    pub(super) attempts: Vec<Attempt>,
    pub(super) end: End,
}

#[derive(Debug)]
pub(super) enum End {
    Direct(How),
    /// Both ends have tried, or one had nothing to try with.
    Failed(Option<Failure>),
    /// The other end, which has to begin, did not.
    NotBegun,
    /// There is not even a relayed connection.
    NotConnected(String),
}

impl Punch {
    /// Connects over the relay and waits for the other end to punch.
    pub(super) async fn to(node: &Node<Patient>, peer: PeerId, addr: &Multiaddr, latest: Instant) -> Self {
        let mut punch = Self {
            peer,
            addr: addr.clone(),
            attempts: Vec::new(),
            end: End::NotBegun,
        };
        let until = Instant::now()
            .checked_add(TIME)
            .map_or(latest, |at| at.min(latest));
        match timeout_at(until, node.dial(Dial::addr(addr.clone()))).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => punch.end = End::NotConnected(explain::dial(&failure)),
            Err(_) => punch.end = End::NotConnected("no answer in time".into()),
        }
        while matches!(punch.end, End::NotBegun) && punch.attempts.len() < ATTEMPTS {
            let next = node.next(|app| app.dcutr.poll_event());
            let Ok(Ok(event)) = timeout_at(until, next).await else {
                break;
            };
            match event {
                Event::Upgraded { peer: with, how, .. } if with == peer => punch.end = End::Direct(how),
                Event::Attempted { peer: with, attempt } if with == peer => punch.attempts.push(attempt),
                Event::Failed { peer: with, failure } if with == peer => {
                    punch.end = End::Failed(Some(failure));
                }
                _ => {}
            }
        }
        let last = punch.attempts.last().map(|last| last.result.clone().err());
        if let Some(failure) = last.filter(|_| matches!(punch.end, End::NotBegun)) {
            punch.end = End::Failed(failure);
        }
        punch
    }

    pub(super) fn fields(&self, mapping: Mapping) -> Value {
        let texts = |addrs: &[Multiaddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
        let attempt = |attempt: &Attempt| {
            json!({
                "number": attempt.number, "ours": texts(&attempt.ours), "theirs": texts(&attempt.theirs),
                "error": attempt.result.as_ref().err().map(explained),
            })
        };
        let direct = matches!(self.end, End::Direct(_));
        json!({
            "peer": self.peer.to_string(), "addr": self.addr.to_string(), "direct": direct,
            "attempts": self.attempts.iter().map(attempt).collect::<Vec<_>>(), "why": self.in_words(mapping),
        })
    }

    /// What came of it, and why.
    pub(super) fn in_words(&self, mapping: Mapping) -> String {
        let peer = &self.peer;
        match &self.end {
            End::Direct(How::Unilateral | How::Appeared) if self.attempts.is_empty() => {
                format!("Hole punch to {peer}: none was needed, one end can be dialed directly.")
            }
            End::Direct(_) => {
                let number = self.attempts.len().max(1);
                format!("Hole punch to {peer}: it succeeded, at attempt {number}.")
            }
            End::NotConnected(why) => {
                format!("Hole punch to {peer}: none was made, there is no connection over the relay: {why}.")
            }
            End::NotBegun => format!(
                "Hole punch to {peer}: none was made, the other end did not begin one; it has to speak /libp2p/dcutr and know an address of its own."
            ),
            End::Failed(failure) => {
                let count = self.attempts.len();
                format!(
                    "Hole punch to {peer}: {count} attempts failed; the connection stays relayed. {}",
                    why(failure.as_ref(), mapping)
                )
            }
        }
    }
}

/// The most likely cause.
fn why(failure: Option<&Failure>, mapping: Mapping) -> String {
    match (failure, mapping) {
        (Some(Failure::DialFailed(error)), _) if is_refused(error) => {
            "What we sent was refused on the way: a firewall answers packets that it did not expect, instead of dropping them.".into()
        }
        (Some(Failure::DialFailed(_)), Mapping::EndpointDependent) => {
            "Our NAT shows another port to each peer, so the port that the other end dials is not the one that our packets come from.".into()
        }
        (Some(Failure::DialFailed(_)), Mapping::EndpointIndependent | Mapping::None) => {
            "Our side shows one port to everybody, so it is the other end's NAT that shows another port to each peer, or lets nothing in.".into()
        }
        (Some(Failure::DialFailed(_)), Mapping::Unknown | Mapping::Unseen) => {
            "Nothing came through: one of the two NATs shows another port to each peer, or lets nothing in. To tell which, name a second peer with another IP address.".into()
        }
        (Some(failure), _) => format!("Cause: {}.", explained(failure)),
        (None, _) => "The direct connection did not last.".into(),
    }
}

fn explained(failure: &Failure) -> String {
    match failure {
        Failure::DialFailed(error) => explain::dial_error(error),
        other => other.to_string(),
    }
}

fn is_refused(error: &DialError) -> bool {
    let refused = |cause: &AttemptError| matches!(cause, AttemptError::Transport(code) if code.contains("refused") || code.contains("reset"));
    matches!(error, DialError::AllFailed(all) if !all.is_empty() && all.iter().all(|(_, cause)| refused(cause)))
}

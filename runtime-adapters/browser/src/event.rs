//! What the node tells its application.

use libp2p_proto_core::PeerId;
use libp2p_proto_identify as identify;
use libp2p_proto_ping as ping;
use libp2p_proto_swarm as swarm;
use wasm_bindgen::prelude::wasm_bindgen;

/// Something happened: `kind` is `connected`, `identified`, `ping`, `disconnected` or `failed`.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: String,
    /// The peer, if it is known.
    pub peer: Option<String>,
    /// Its agent, the protocols of the connection, or the cause of the failure.
    pub text: String,
    /// The round trip of a ping.
    pub ms: Option<f64>,
}

impl Event {
    fn new(kind: &str, peer: Option<PeerId>, text: impl ToString) -> Self {
        Self {
            kind: kind.into(),
            peer: peer.map(|peer| peer.to_string()),
            text: text.to_string(),
            ms: None,
        }
    }

    pub(crate) fn of_swarm(event: swarm::Event) -> Option<Self> {
        Some(match event {
            swarm::Event::Connected {
                peer,
                security,
                muxer,
                ..
            } => Self::new("connected", Some(peer), format!("{security} {muxer}")),
            swarm::Event::Disconnected { peer, error, .. } => {
                let cause = error.map(|error| error.code).unwrap_or_default();
                Self::new("disconnected", Some(peer), cause)
            }
            swarm::Event::DialFailed { peer, error, .. } => Self::new("failed", peer, error),
            _ => return None,
        })
    }

    pub(crate) fn of_identify(event: identify::Event) -> Option<Self> {
        Some(match event {
            identify::Event::Identified { peer, info, .. } => {
                Self::new("identified", Some(peer), info.agent_version)
            }
            identify::Event::Failed { peer, failure, .. } => Self::new("failed", Some(peer), failure),
            _ => return None,
        })
    }

    pub(crate) fn of_ping(event: ping::Event) -> Option<Self> {
        Some(match event {
            ping::Event::Pong { peer, rtt, .. } => Self {
                ms: Some(rtt.as_secs_f64() * 1000.0),
                ..Self::new("ping", Some(peer), "")
            },
            ping::Event::Failed { peer, failure, .. } => Self::new("failed", Some(peer), failure),
            _ => return None,
        })
    }
}

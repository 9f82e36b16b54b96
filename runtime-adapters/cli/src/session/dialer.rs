//! The protocols of a dialer, and what it remembers of its one connection.

use super::{Connected, echo::Echo};
use crate::{
    error::Error,
    explain,
    node::{ECHO, REQRESP, autonat, broken, dcutr, introduce, kademlia, pubsub, relay, rendezvous, requests},
    record::Dialing,
};
use libp2p_proto_autonat::Autonat;
use libp2p_proto_core::{ConnectionId, PeerId, ProtocolName};
use libp2p_proto_dcutr::Dcutr;
use libp2p_proto_driver::App;
use libp2p_proto_fetch::Fetch;
use libp2p_proto_gossipsub::Gossipsub;
use libp2p_proto_identify::{self as identify, Failure, Identify, PeerInfo};
use libp2p_proto_identity::Identity;
use libp2p_proto_kad::Kad;
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_relay::Relay;
use libp2p_proto_rendezvous::Rendezvous;
use libp2p_proto_request_response::RequestResponse;
use libp2p_proto_stream_protocol::{LinkError, Protocol};
use libp2p_proto_streams::{self as streams, Streams};
use libp2p_proto_swarm::Event;

/// Names that a dialer speaks anyway, as one side or both.
pub(crate) const OWN_NAMES: [ProtocolName; 8] = [
    identify::NAME,
    identify::PUSH_NAME,
    ping::NAME,
    perf::NAME,
    libp2p_proto_autonat::DIAL_BACK,
    libp2p_proto_fetch::NAME,
    ECHO,
    REQRESP,
];

/// Connections that are remembered.
const KNOWN: usize = 64;

/// Where the connection stands.
#[derive(Debug)]
enum Link {
    Connecting,
    Standing(Connected),
    /// It ended, in an orderly way or not.
    Lost(Option<LinkError>),
}

/// What a dialer runs.
pub(crate) struct Dialer {
    pub(super) identify: Identify,
    pub(super) ping: Ping,
    pub(super) perf: Perf,
    pub(super) fetch: Fetch,
    pub(super) requests: RequestResponse,
    /// For a run that asks it something.
    pub(super) kad: Option<Kad>,
    /// For circuits, dialed and reserved.
    pub(super) relay: Relay,
    /// For a run that asks for a direct connection.
    pub(super) dcutr: Option<Dcutr>,
    pub(super) rendezvous: Rendezvous,
    pub(super) autonat: Autonat,
    pub(super) echo: Echo,
    pub(super) gossip: Gossipsub,
    /// The protocols that it may begin to handle.
    pub(super) handled: Streams,
    link: Link,
    /// Every connection that was told, and whether it stands: one that is looked for may have been joined, or replaced, by a direct one.
    known: Vec<(Connected, bool)>,
    /// Why the peer was not identified, or did not take a push.
    pub(super) unidentified: Option<Failure>,
    /// Pushes that have left.
    pub(super) pushes: u64,
    /// Signs the names that are published.
    pub(super) identity: Identity,
}

impl Dialer {
    pub(crate) fn new(
        identity: &Identity,
        dialing: &Dialing,
        kad_protocol: Option<&str>,
    ) -> Result<Self, Error> {
        let limit = dialing.limit;
        let names = dialing.names.iter().map(|name| ProtocolName::new(name));
        let names = names.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let kad = dialing
            .kad
            .then(|| kademlia(identity, kad_protocol))
            .transpose()?;
        let ping = ping::Config {
            interval: None,
            ..ping::Config::default()
        };
        let perf = perf::Config {
            timeout: limit,
            on_limited: true,
            ..perf::Config::default()
        };
        let unannounced = streams::Config {
            max_inbound: 0,
            ..streams::Config::default()
        };
        Ok(Self {
            identify: introduce(identity)?,
            ping: Ping::new(ping).map_err(broken)?,
            perf: Perf::new(perf).map_err(broken)?,
            fetch: Fetch::new(|_| None),
            requests: requests(false, limit)?,
            kad,
            relay: relay(identity, false, true)?,
            dcutr: dialing.dcutr.then(dcutr).transpose()?,
            rendezvous: rendezvous(identity, false)?,
            autonat: autonat(None)?,
            echo: Echo::new()?,
            gossip: pubsub(identity)?,
            handled: Streams::new(&names, unannounced).map_err(broken)?,
            link: Link::Connecting,
            known: Vec::new(),
            unidentified: None,
            pushes: 0,
            identity: identity.clone(),
        })
    }

    /// The connection that was dialed, once it is known.
    pub(super) fn connected(&mut self, conn: ConnectionId) -> Option<Connected> {
        // It may be gone by now: what was agreed was agreed.
        let known = self.known.iter().find(|(known, _)| known.conn == conn);
        known.map(|(known, _)| known.clone())
    }

    /// A connection is gone. If it was ours, another one to the same peer takes its place.
    fn ended(&mut self, conn: ConnectionId, error: Option<LinkError>) {
        for (_, stands) in self.known.iter_mut().filter(|(known, _)| known.conn == conn) {
            *stands = false;
        }
        let Link::Standing(ours) = &self.link else { return };
        if ours.conn == conn {
            let mut others = self.known.iter().rev();
            let other = others.find(|(known, stands)| *stands && known.peer == ours.peer);
            self.link = match other {
                Some((other, _)) => Link::Standing(other.clone()),
                None => Link::Lost(error),
            };
        }
    }

    /// Why the connection is gone, if it is.
    pub(super) fn lost(&mut self) -> Option<String> {
        match &self.link {
            Link::Lost(error) => Some(explain::ended(*error)),
            Link::Connecting | Link::Standing(_) => None,
        }
    }

    /// What the peer said of itself, or why it did not.
    pub(super) fn identified(&mut self, peer: &PeerId) -> Option<Result<PeerInfo, Failure>> {
        match self.identify.info(peer) {
            Some(info) => Some(Ok(info.clone())),
            None => self.unidentified.map(Err),
        }
    }
}

impl App for Dialer {
    fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        let mut all: Vec<&mut dyn Protocol> = vec![
            &mut self.identify,
            &mut self.ping,
            &mut self.perf,
            &mut self.fetch,
            &mut self.requests,
            self.echo.protocol(),
            &mut self.gossip,
            &mut self.relay,
            &mut self.rendezvous,
            &mut self.autonat,
            &mut self.handled,
        ];
        all.extend(self.dcutr.as_mut().map(|dcutr| dcutr as &mut dyn Protocol));
        all.extend(self.kad.as_mut().map(|kad| kad as &mut dyn Protocol));
        all
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected {
                peer,
                conn,
                info,
                security,
                muxer,
                ..
            } => {
                let connected = Connected {
                    peer,
                    conn,
                    security,
                    muxer,
                    relayed: info.remote.is_relayed(),
                };
                if self.known.len() >= KNOWN {
                    self.known.remove(0);
                }
                self.known.push((connected.clone(), true));
                // Whoever comes later, such as a dial back, is another matter; what we dial later is the circuit behind a relay.
                if matches!(self.link, Link::Connecting) || info.dial.is_some() {
                    self.link = Link::Standing(connected);
                }
            }
            Event::Disconnected { conn, error, .. } => self.ended(conn, error),
            _ => {}
        }
    }

    fn after_drive(&mut self) {
        self.echo.advance();
        while let Some(event) = self.identify.poll_event() {
            match event {
                identify::Event::Failed { failure, .. } => self.unidentified = Some(failure),
                identify::Event::PushSent { .. } => self.pushes = self.pushes.saturating_add(1),
                _ => {}
            }
        }
        // Whoever opens a stream that we were asked to handle has seen that we do; there is nothing to say on it.
        while let Some(event) = self.handled.poll_event() {
            if let streams::Event::Incoming { stream, .. } = event {
                self.handled.finish(stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialer, Dialing};
    use libp2p_proto_core::{ConnectionId, Multiaddr, PeerId, ProtocolName, Side};
    use libp2p_proto_identity::{Identity, Keypair};
    use libp2p_proto_stream_protocol::ConnectionInfo;
    use libp2p_proto_swarm::Event;
    use libp2p_proto_tokio::App as _;
    use std::time::Duration;

    fn connected(peer: PeerId, conn: ConnectionId) -> Event {
        let name = ProtocolName::from_static("/noise");
        Event::Connected {
            peer,
            conn,
            first: true,
            info: ConnectionInfo {
                side: Side::Dialer,
                local: None,
                remote: Multiaddr::tcp([192, 0, 2, 1].into(), 1),
                limited: false,
                dial: None,
            },
            security: name.clone(),
            muxer: name,
        }
    }

    #[test]
    fn a_connection_that_came_and_went_before_anyone_asked_is_known_and_lost() {
        let identity = Identity::from(Keypair::ed25519_from_seed([1; 32]));
        let dialing = Dialing {
            names: Vec::new(),
            limit: Duration::from_secs(1),
            kad: false,
            dcutr: false,
        };
        let mut dialer = Dialer::new(&identity, &dialing, None).unwrap();
        let (peer, conn) = (identity.peer_id(), ConnectionId::new(7));
        let gone = |conn| Event::Disconnected {
            peer,
            conn,
            last: true,
            error: None,
        };
        dialer.handle_event(gone(conn));
        assert!(dialer.connected(conn).is_none() && dialer.lost().is_none());
        dialer.handle_event(connected(peer, conn));
        // Another connection is nothing to it.
        dialer.handle_event(gone(ConnectionId::new(8)));
        assert!(dialer.lost().is_none());
        dialer.handle_event(gone(conn));
        assert_eq!(dialer.connected(conn).map(|link| link.peer), Some(peer));
        assert!(dialer.lost().is_some());
    }
}

//! A behaviour that hands out raw streams: any number at a time in both directions, and a list of
//! accepted protocols that can grow while connections are open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use interop_contract::{Failure, Outcome};
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

/// A stream that a peer opened.
pub struct Inbound {
    /// Who opened it.
    pub peer: PeerId,
    /// What was agreed.
    pub protocol: StreamProtocol,
    /// The stream.
    pub stream: Stream,
}

type Answer = oneshot::Sender<Outcome<Stream>>;

/// What the handler of a connection is asked to do.
enum Order {
    Open(StreamProtocol, Answer),
    /// The list of accepted protocols changed; being polled is enough to notice.
    Look,
}

#[derive(Default)]
struct State {
    protocols: Vec<StreamProtocol>,
    connections: HashMap<ConnectionId, (PeerId, mpsc::UnboundedSender<Order>)>,
}

/// Opens streams and changes the list of accepted protocols, from any task.
#[derive(Clone)]
pub struct Control(Arc<Mutex<State>>);

impl Control {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream on one of the connections to a peer.
    pub async fn open(&self, peer: PeerId, protocol: &'static str) -> Outcome<Stream> {
        let (answer, result) = oneshot::channel();
        let order = Order::Open(StreamProtocol::new(protocol), answer);
        let sender = self
            .lock()
            .connections
            .values()
            .find(|(remote, _)| *remote == peer)
            .map(|(_, to)| to.clone());
        let sent = sender.is_some_and(|to| to.send(order).is_ok());
        if !sent {
            return Err(Failure::Failed("not connected".into()));
        }
        result
            .await
            .unwrap_or_else(|_| Err(Failure::Failed("the connection closed".into())))
    }

    /// Accepts one more protocol, on the open connections too.
    pub fn accept(&self, protocol: StreamProtocol) {
        let mut state = self.lock();
        state.protocols.push(protocol);
        for (_, to) in state.connections.values() {
            // A connection that is closing does not need to know.
            let _ = to.send(Order::Look);
        }
    }
}

/// The behaviour.
pub struct Behaviour {
    control: Control,
    inbound: mpsc::UnboundedSender<Inbound>,
}

impl Behaviour {
    /// A behaviour that accepts the given protocols, and where their streams come out.
    pub fn new(protocols: Vec<StreamProtocol>) -> (Self, mpsc::UnboundedReceiver<Inbound>) {
        let (inbound, streams) = mpsc::unbounded_channel();
        let control = Control(Arc::new(Mutex::new(State {
            protocols,
            connections: HashMap::new(),
        })));
        (Self { control, inbound }, streams)
    }

    /// A handle for other tasks.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    fn handler(&self, id: ConnectionId, peer: PeerId) -> Handler {
        let (to, orders) = mpsc::unbounded_channel();
        self.control.lock().connections.insert(id, (peer, to));
        Handler {
            peer,
            control: self.control.clone(),
            inbound: self.inbound.clone(),
            orders,
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = event {
            self.control.lock().connections.remove(&closed.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// The behaviour's part of one connection.
pub struct Handler {
    peer: PeerId,
    control: Control,
    inbound: mpsc::UnboundedSender<Inbound>,
    orders: mpsc::UnboundedReceiver<Order>,
}

/// Offers or accepts a list of protocols and gives the bare stream.
pub struct Names(Vec<StreamProtocol>);

impl UpgradeInfo for Names {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Names {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Answer;

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names(self.control.lock().protocols.clone()), ())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Names, Answer, Infallible>> {
        while let Poll::Ready(Some(order)) = self.orders.poll_recv(cx) {
            if let Order::Open(protocol, answer) = order {
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                    protocol: SubstreamProtocol::new(Names(vec![protocol]), answer),
                });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Names, Names, (), Answer>) {
        // A receiver that is gone no longer wants the stream: dropping it is right.
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => {
                let _ = self.inbound.send(Inbound {
                    peer: self.peer,
                    protocol,
                    stream,
                });
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                let _ = info.send(Ok(protocol));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                let failure = match error {
                    StreamUpgradeError::Timeout => Failure::Failed("opening the stream timed out".into()),
                    StreamUpgradeError::NegotiationFailed => {
                        Failure::Failed("the peer refused the protocol".into())
                    }
                    StreamUpgradeError::Io(error) => error.into(),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = info.send(Err(failure));
            }
            _ => {}
        }
    }
}

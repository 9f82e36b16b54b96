//! A litep2p user protocol that opens raw streams on demand and serves those that peers open.

use std::collections::HashMap;

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use interop_contract::{Failure, Outcome, services};
use litep2p::PeerId;
use litep2p::codec::ProtocolCodec;
use litep2p::protocol::{Direction, TransportEvent, TransportService, UserProtocol};
use litep2p::substream::Substream;
use litep2p::types::SubstreamId;
use litep2p::types::protocol::ProtocolName;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// A raw stream.
pub type Stream = Compat<Substream>;

/// What a protocol is asked to do.
pub enum Order {
    /// Open a stream.
    Open(Open),
    /// Close the connection to a peer.
    Close(PeerId),
}

/// Asks for a stream to a connected peer.
pub struct Open {
    /// To whom.
    pub peer: PeerId,
    /// Where the stream goes.
    pub answer: oneshot::Sender<Outcome<Stream>>,
}

/// One protocol name.
pub struct Streams {
    protocol: &'static str,
    serve: bool,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Streams {
    /// A protocol, and where to ask for its streams. It resets what peers open unless it is to serve.
    pub fn new(protocol: &'static str, serve: bool) -> (Self, mpsc::UnboundedSender<Order>) {
        let (sender, orders) = mpsc::unbounded_channel();
        (
            Self {
                protocol,
                serve,
                orders,
            },
            sender,
        )
    }
}

#[async_trait::async_trait]
impl UserProtocol for Streams {
    fn protocol(&self) -> ProtocolName {
        ProtocolName::from(self.protocol)
    }

    fn codec(&self) -> ProtocolCodec {
        ProtocolCodec::Unspecified
    }

    async fn run(mut self: Box<Self>, mut service: TransportService) -> litep2p::Result<()> {
        use futures::StreamExt as _;
        // Whether the connection to a peer is still open.
        let mut connected: HashMap<PeerId, bool> = HashMap::new();
        let mut waiting: Vec<Open> = Vec::new();
        let mut opening: HashMap<SubstreamId, oneshot::Sender<Outcome<Stream>>> = HashMap::new();
        let mut listening = true;
        loop {
            tokio::select! {
                order = self.orders.recv(), if listening => match order {
                    Some(Order::Open(order)) => waiting.push(order),
                    Some(Order::Close(peer)) => if let Err(error) = service.force_close(peer) {
                        eprintln!("cannot close the connection: {error}");
                    },
                    None => listening = false,
                },
                event = service.next() => match event {
                    None => return Ok(()),
                    Some(TransportEvent::ConnectionEstablished { peer, .. }) => {
                        connected.insert(peer, true);
                    }
                    Some(TransportEvent::ConnectionClosed { peer }) => {
                        connected.insert(peer, false);
                    }
                    Some(TransportEvent::SubstreamOpened { peer, direction, substream, .. }) => {
                        let stream = substream.compat();
                        match direction {
                            Direction::Outbound(id) => {
                                if let Some(answer) = opening.remove(&id) {
                                    let _ = answer.send(Ok(stream));
                                }
                            }
                            Direction::Inbound if self.serve => {
                                tokio::spawn(serve(self.protocol, peer, stream));
                            }
                            Direction::Inbound => {}
                        }
                    }
                    Some(TransportEvent::SubstreamOpenFailure { substream, error }) => {
                        if let Some(answer) = opening.remove(&substream) {
                            let _ = answer.send(Err(Failure::of(&error)));
                        }
                    }
                    Some(TransportEvent::DialFailure { .. }) => {}
                },
            }
            // An order may come before this protocol has heard of the connection.
            for order in waiting.extract_if(.., |order| connected.contains_key(&order.peer)) {
                if connected.get(&order.peer) == Some(&false) {
                    let _ = order
                        .answer
                        .send(Err(Failure::Failed("the connection was closed".into())));
                    continue;
                }
                match service.open_substream(order.peer) {
                    Ok(id) => {
                        opening.insert(id, order.answer);
                    }
                    Err(error) => {
                        let _ = order.answer.send(Err(Failure::of(&error)));
                    }
                }
            }
        }
    }
}

async fn serve(protocol: &'static str, peer: PeerId, mut stream: Stream) {
    // The end is borrowed, so that litep2p's own close at the drop comes after everything is read.
    let served = services::serve(protocol, &mut stream).await;
    if let Err(error) = served {
        eprintln!("{protocol} with {peer}: {error}");
        return;
    }
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
    let _ = stream.close().await;
}
